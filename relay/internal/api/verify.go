package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// guardPortal has an endpoint that a visitor of the portal makes, or moves to another receiver,
// show that it wants events, as the portal's configuration says. What an endpoint was asked for, a
// visitor does not take back. A chat cannot answer a challenge, and is asked for none.
func guardPortal(s *Server, row *ledger.EndpointRow, set *settler) {
	wants := s.config().Panel.Portal.Verify
	if before, err := ledger.DecodeEndpoint(*row); err == nil && row.Policy != nil && before.Verify != "" {
		wants = before.Verify
	} else if row.Policy != nil && !set.moved {
		return
	}
	if set.e.Verify == "" && wants != config.VerifyNone && (wants != config.VerifyEcho || set.e.Echoes()) {
		set.e.Verify = wants
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

// verifyEndpoint asks an endpoint now whether it wants events. The relay that delivers hears of it
// through the endpoint's row.
func verifyEndpoint(ctx context.Context, s *Server, p *principal, in *verifyEndpointInput) (*verifyOutput, error) {
	op := (&route{method: http.MethodPost, path: "/v1/endpoints/{id}/verify"}).operation()
	r, err := remembered(&op, p, in)
	if err != nil {
		return nil, err
	}
	if again, err := s.store.Recall(ctx, r); err != nil || again != nil {
		if err != nil {
			return nil, err
		}
		out := new(verifyOutput)
		err := openAnswer(p, in, again, out)
		out.Body.Attempt.conceal(p) // the key may have lost the scope meanwhile
		return out, err
	}
	row, err := s.store.Endpoint(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	if err := mayTest(s, p); err != nil {
		return nil, err
	}
	proof, attempt, err := sendChallenge(ctx, s, &row)
	if err != nil {
		return nil, err
	}
	return inChange(ctx, s, &op, p, in, func(ctx context.Context, _ *Server, c *query.Change, _ *principal, _ *verifyEndpointInput) (*verifyOutput, error) {
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
	cfg.Timeout = min(cfg.Timeout, testTimeout)
	endpoint, err := s.client(row.Source == ledger.SourceConfig).Endpoint(cfg)
	if err != nil {
		return "", nil, fmt.Errorf("prepare the verification: %w", err)
	}
	defer endpoint.Close()
	// A caller who leaves does not change what is recorded.
	result := endpoint.Verify(context.WithoutCancel(ctx), nil)
	result.Attempt.Outcome = outbox.Dead
	if result.Delivered {
		result.Attempt.Outcome = outbox.Delivered
	}
	return cfg.Proof(), &result.Attempt, nil
}
