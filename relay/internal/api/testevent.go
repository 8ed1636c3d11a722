package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// testType is the type of test events that ask for none.
const testType = "webhook.test"

// testTimeout bounds a test: a person waits for it.
const testTimeout = 30 * time.Second

// TestEvent is the event that a test sends.
type TestEvent struct {
	Type string `json:"type,omitempty" maxLength:"200" doc:"Type of the event; the payload is the example of the catalogue. Default: webhook.test."`
	// Data keeps the digits of its numbers.
	Data json.RawMessage `json:"data,omitempty" doc:"The payload, in place of the example."`
}

type testEndpointInput struct {
	EndpointID
	Repeatable

	Body *TestEvent
}

type attemptOutput struct {
	Body Attempt
}

func (o *attemptOutput) conceal(p *principal) { o.Body.conceal(p) }

func testEndpoint(ctx context.Context, s *Server, p *principal, in *testEndpointInput) (*attemptOutput, error) {
	return byHand(ctx, s, p, "/v1/endpoints/{id}/test", in, in.ID, func(row *ledger.EndpointRow) (recorder[attemptOutput], error) {
		attempt, err := sendTest(ctx, s, row, in.Body)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, c *query.Change) (*attemptOutput, error) {
			if err := c.RecordTest(ctx, attempt); err != nil {
				return nil, err
			}
			shown := showAttempt(p, attempt)
			return &attemptOutput{Body: shown}, c.Audit(ctx, "endpoint.test", row.ID, row.Tenant, nil, map[string]any{
				"event_id": attempt.EventID, "outcome": attempt.Outcome, "status_code": attempt.StatusCode,
			})
		}, nil
	})
}

// recorder records what came of a request, and answers the caller.
type recorder[O any] func(context.Context, *query.Change) (*O, error)

// byHand has a request made to an endpoint that a person asks for, and recorded. An answer that is
// kept for the caller's Idempotency-Key is shown again without a second request.
//
// The request is made outside of the transaction, which would otherwise be open for as long as the
// receiver likes.
func byHand[I, O any, P interface {
	*O
	conceal(p *principal)
}](ctx context.Context, s *Server, p *principal, path string, in *I, id string, send func(*ledger.EndpointRow) (recorder[O], error)) (*O, error) {
	op := (&route{method: http.MethodPost, path: path}).operation()
	r, err := remembered(&op, p, in)
	if err != nil {
		return nil, err
	}
	if again, err := s.store.Recall(ctx, r); err != nil || again != nil {
		if err != nil {
			return nil, err
		}
		out := new(O)
		err := openAnswer(p, in, again, out)
		P(out).conceal(p) // the key may have lost the scope meanwhile
		return out, err
	}
	row, err := s.store.Endpoint(ctx, p.tenant(), id)
	if err != nil {
		return nil, err
	}
	if err := mayTest(s, p); err != nil {
		return nil, err
	}
	record, err := send(&row)
	if err != nil {
		return nil, err
	}
	return inChange(ctx, s, &op, p, in, func(ctx context.Context, _ *Server, c *query.Change, _ *principal, _ *I) (*O, error) {
		return record(ctx, c)
	})
}

// sendTest makes one attempt with a made-up event.
func sendTest(ctx context.Context, s *Server, row *ledger.EndpointRow, body *TestEvent) (*outbox.Attempt, error) {
	cfg, err := sendableRow(s, row)
	if err != nil {
		return nil, err
	}
	ev, err := newTestEvent(ctx, s, row, body)
	if err != nil {
		return nil, err
	}
	request := webhook.Request{Event: ev, Number: 1, Trigger: outbox.TriggerTest, Now: s.now().UTC()}
	return sendOnce(ctx, s, row, &cfg, func(ctx context.Context, endpoint *webhook.Endpoint) webhook.Result {
		if cfg.Batch.On() {
			// The receiver expects an array.
			return endpoint.SendBatch(ctx, &webhook.Batch{ID: ledger.NewRequestID(request.Now), Requests: []webhook.Request{request}})[0]
		}
		return endpoint.Send(ctx, &request)
	})
}

// sendOnce makes one request by an endpoint of its own, and returns it as the attempt that is
// recorded: what did not succeed is not tried again.
func sendOnce(ctx context.Context, s *Server, row *ledger.EndpointRow, cfg *config.Endpoint,
	send func(context.Context, *webhook.Endpoint) webhook.Result,
) (*outbox.Attempt, error) {
	cfg.Timeout = min(cfg.Timeout, testTimeout)
	endpoint, err := s.client(row.Source == ledger.SourceConfig).Endpoint(*cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare the request: %w", err)
	}
	defer endpoint.Close()
	// A caller who leaves does not change what is recorded.
	result := send(context.WithoutCancel(ctx), endpoint)
	attempt := result.Attempt
	attempt.Outcome = outbox.Dead
	if result.Delivered {
		attempt.Outcome = outbox.Delivered
	}
	return &attempt, nil
}

// sendableRow returns an endpoint with what it takes to sign.
func sendableRow(s *Server, row *ledger.EndpointRow) (config.Endpoint, error) {
	current := s.config()
	if row.Source == ledger.SourceConfig {
		for i := range current.Endpoints {
			if current.Endpoints[i].ID == row.ID {
				return current.Endpoints[i], nil
			}
		}
		return config.Endpoint{}, problem(http.StatusConflict, "The configuration no longer has this endpoint.")
	}
	e, err := ledger.DecodeEndpoint(*row)
	if err != nil {
		return e, fmt.Errorf("decode endpoint %q: %w", row.ID, err)
	}
	ledger.Pin(&e, row, current.Versions)
	sealed, err := unsealRow(s, row)
	if err != nil {
		return e, err
	}
	e.Secrets = webhook.Signing(e.Signature, live(sealed.Secrets, s.now()))
	sealed.Give(&e)
	return e, (&settler{e: &e}).finish(current)
}

// newTestEvent makes the event up.
func newTestEvent(ctx context.Context, s *Server, row *ledger.EndpointRow, body *TestEvent) (*outbox.Event, error) {
	name := testType
	payload, err := json.Marshal(map[string]any{"test": true, "endpoint_id": row.ID})
	if err != nil {
		return nil, fmt.Errorf("encode the test event: %w", err)
	}
	if body != nil && body.Type != "" {
		name = body.Type
		entry, err := s.store.EventType(ctx, name)
		switch {
		case errors.Is(err, query.ErrNotFound):
		case err != nil:
			return nil, err
		case entry.Example != nil:
			payload = entry.Example
		}
	}
	if body != nil && given(body.Data) != nil {
		payload = body.Data
	}
	return &outbox.Event{ID: newID("test_"), Type: name, Tenant: row.Tenant, Payload: payload, CreatedAt: s.now().UTC()}, nil
}
