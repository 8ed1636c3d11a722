package intake

import (
	"context"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// rotation sends for an endpoint whose older secrets sign only for a while yet. Once one has expired, the next request is
// signed without it.
type rotation struct {
	client  *webhook.Client
	config  config.Endpoint
	secrets []ledger.EndpointSecret

	mu      sync.Mutex
	current *webhook.Endpoint
	until   time.Time // when one of the secrets that current signs with expires; zero: never
	closed  bool
}

func newRotation(c *webhook.Client, e config.Endpoint, secrets []ledger.EndpointSecret, now time.Time) (*rotation, error) {
	s := &rotation{client: c, config: e, secrets: secrets}
	return s, s.renew(now)
}

// renew makes the sender of the secrets that are live. The newest signs in any case.
func (s *rotation) renew(now time.Time) error {
	e, until := s.config, time.Time{}
	e.Secrets = []config.Secret{s.secrets[0].Secret}
	for _, secret := range s.secrets[1:] {
		if !secret.ExpiresAt.IsZero() && !now.Before(secret.ExpiresAt) {
			continue
		}
		e.Secrets = append(e.Secrets, secret.Secret)
		if !secret.ExpiresAt.IsZero() && (until.IsZero() || secret.ExpiresAt.Before(until)) {
			until = secret.ExpiresAt
		}
	}
	sender, err := s.client.Endpoint(e)
	if err != nil {
		return err
	}
	if s.current != nil {
		s.current.Close()
	}
	if s.closed {
		sender.Close()
	}
	s.current, s.until = sender, until
	return nil
}

// Send implements dispatch.Sender.
func (s *rotation) Send(ctx context.Context, r *webhook.Request) webhook.Result {
	s.mu.Lock()
	if !s.until.IsZero() && !r.Now.Before(s.until) {
		if err := s.renew(r.Now); err != nil {
			s.mu.Unlock()
			// Nothing is signed with an expired secret.
			return webhook.Result{Attempt: outbox.Attempt{
				EventID: r.Event.ID, EventType: r.Event.Type, Tenant: r.Event.Tenant, EndpointID: s.config.ID,
				Number: r.Number, Trigger: r.Trigger, Error: err.Error(), AttemptedAt: r.Now, CommitLSN: r.Event.CommitLSN,
			}}
		}
	}
	current := s.current
	s.mu.Unlock()
	return current.Send(ctx, r)
}

// Close closes idle connections; requests in flight end as they would.
func (s *rotation) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.current.Close()
}
