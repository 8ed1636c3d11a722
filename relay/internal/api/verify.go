package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// guardPortal has an endpoint that a visitor of the portal makes, or moves to another receiver,
// show that it wants events, as the portal's configuration says. What an endpoint was asked for, a
// visitor does not take back. A chat cannot answer a challenge, and is asked for none as long as it
// is one.
func guardPortal(s *Server, row *ledger.EndpointRow, set *settler) {
	wants := s.config().Panel.Portal.Verify
	before, err := ledger.DecodeEndpoint(*row)
	switch {
	case row.Policy == nil: // it is new
	case err == nil && before.Verify != "":
		wants = before.Verify
	case !set.moved && (before.Echoes() || !set.e.Echoes()):
		return
	}
	set.guarded = wants != config.VerifyNone
	if set.e.Verify == "" && wants != config.VerifyNone && (wants != config.VerifyEcho || set.e.Echoes()) {
		set.e.Verify = wants
	}
}

// refuseExpressions says to a visitor, of whom the portal asks for a verification, what stands in
// its way, where that was written: of verify they have written nothing.
func (s *settler) refuseExpressions() {
	const detail = "Write it without ${…}: your receiver is first asked whether it wants events, and that request is about none. Every event has its values in its body."
	written := map[string]string{"/url": s.e.URL}
	for name, value := range s.e.Query {
		written["/query/"+escapePointer(name)] = value
	}
	for name, value := range s.e.Headers {
		written["/headers/"+escapePointer(name)] = value
	}
	for _, pointer := range slices.Sorted(maps.Keys(written)) {
		if strings.Contains(written[pointer], "${") {
			s.fail(pointer, detail)
		}
	}
}

// Verification is what came of asking an endpoint whether it wants events.
type Verification struct {
	Verified bool    `json:"verified" doc:"It does: what waited for that goes out."`
	Problem  string  `json:"problem,omitempty" doc:"Why it did not pass."`
	Attempt  Attempt `json:"attempt" doc:"The request that was made, and its answer."`
}

type verifyEndpointInput struct {
	EndpointID
	Repeatable
}

type verifyOutput struct {
	Body Verification
}

func (o *verifyOutput) conceal(p *principal) { o.Body.Attempt.conceal(p) }

// verifyEndpoint asks an endpoint now whether it wants events. The relay that delivers hears of it
// through the endpoint's row.
func verifyEndpoint(ctx context.Context, s *Server, p *principal, in *verifyEndpointInput) (*verifyOutput, error) {
	return byHand(ctx, s, p, "/v1/endpoints/{id}/verify", in, in.ID, func(row *ledger.EndpointRow) (recorder[verifyOutput], error) {
		proof, attempt, err := sendChallenge(ctx, s, row)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, c *query.Change) (*verifyOutput, error) {
			return recordVerification(ctx, c, p, row, proof, attempt)
		}, nil
	})
}

// recordVerification records whether an endpoint has shown that it wants events.
func recordVerification(ctx context.Context, c *query.Change, p *principal, row *ledger.EndpointRow, proof string, attempt *outbox.Attempt) (*verifyOutput, error) {
	out := &verifyOutput{Body: Verification{Verified: attempt.Outcome == outbox.Delivered}}
	if !out.Body.Verified {
		if out.Body.Problem = attempt.Error; attempt.Error == "" {
			out.Body.Problem = fmt.Sprintf("the answer was status %d", attempt.StatusCode)
		}
		proof = ""
	}
	if err := c.SaveVerification(ctx, row.ID, proof, out.Body.Problem); err != nil {
		return nil, err
	}
	if err := c.RecordTest(ctx, attempt); err != nil {
		return nil, err
	}
	out.Body.Attempt = showAttempt(p, attempt)
	out.Body.Problem = p.readable(out.Body.Problem)
	return out, c.Audit(ctx, "endpoint.verify", row.ID, row.Tenant, nil, map[string]any{
		"verified": out.Body.Verified, "status_code": attempt.StatusCode,
	})
}

// sendChallenge asks an endpoint whether it wants events, and returns what is then on record of it.
func sendChallenge(ctx context.Context, s *Server, row *ledger.EndpointRow) (proof string, made *outbox.Attempt, err error) {
	cfg, err := sendableRow(s, row)
	if err != nil {
		return "", nil, err
	}
	if cfg.Verify == "" {
		return "", nil, problem(http.StatusConflict, "The endpoint has nothing to show: set verify first.")
	}
	made, err = sendOnce(ctx, s, row, &cfg, func(ctx context.Context, endpoint *webhook.Endpoint) webhook.Result {
		return endpoint.Verify(ctx, nil)
	})
	return cfg.Proof(), made, err
}
