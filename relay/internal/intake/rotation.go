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

// rotation sends for an endpoint whose older secrets sign only for a while yet. Once one has
// expired, the next request is signed without it, over the connections that are there.
type rotation struct {
	endpoint *webhook.Endpoint
	config   config.Endpoint
	secrets  []ledger.EndpointSecret // the newest first
	mu       sync.Mutex
	until    time.Time // when one of the secrets that sign expires; zero: never
}

func newRotation(c *webhook.Client, e config.Endpoint, secrets []ledger.EndpointSecret, now time.Time) (*rotation, error) {
	s := &rotation{config: e, secrets: secrets}
	e.Secrets, s.until = s.live(now)
	var err error
	s.endpoint, err = c.Endpoint(e)
	return s, err
}

// live returns the secrets to sign with, and when one of them expires. The newest is live in any
// case.
func (s *rotation) live(now time.Time) (secrets []config.Secret, until time.Time) {
	for i, secret := range s.secrets {
		if i > 0 && !secret.ExpiresAt.IsZero() {
			if !now.Before(secret.ExpiresAt) {
				continue
			}
			if until.IsZero() || secret.ExpiresAt.Before(until) {
				until = secret.ExpiresAt
			}
		}
		secrets = append(secrets, secret.Secret)
	}
	return webhook.Signing(s.config.Signature, secrets), until
}

// Send implements dispatch.Sender.
func (s *rotation) Send(ctx context.Context, r *webhook.Request) webhook.Result {
	if err := s.expire(r.Now); err != nil {
		return s.unsigned(r, err)
	}
	return s.endpoint.Send(ctx, r)
}

// SendBatch implements dispatch.Sender.
func (s *rotation) SendBatch(ctx context.Context, b *webhook.Batch) []webhook.Result {
	if err := s.expire(b.Requests[0].Now); err != nil {
		results := make([]webhook.Result, len(b.Requests))
		for i := range b.Requests {
			results[i] = s.unsigned(&b.Requests[i], err)
			results[i].Attempt.RequestID = b.ID
		}
		return results
	}
	return s.endpoint.SendBatch(ctx, b)
}

// unsigned is the result of an attempt that was not made: nothing is signed with an expired secret.
func (s *rotation) unsigned(r *webhook.Request, err error) webhook.Result {
	return webhook.Result{Attempt: outbox.Attempt{
		EventID: r.Event.ID, EventType: r.Event.Type, Tenant: r.Event.Tenant, EndpointID: s.config.ID,
		Number: r.Number, Trigger: r.Trigger, Error: err.Error(), AttemptedAt: r.Now, CommitLSN: r.Event.CommitLSN,
	}}
}

// Verify implements dispatch.Verifier.
func (s *rotation) Verify(ctx context.Context, held func() bool) webhook.Result {
	if err := s.expire(time.Now()); err != nil {
		return webhook.Result{Attempt: outbox.Attempt{EndpointID: s.config.ID, Error: err.Error()}, Local: true}
	}
	return s.endpoint.Verify(ctx, held)
}

// expire stops signing with secrets that have expired by now.
func (s *rotation) expire(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.IsZero() || now.Before(s.until) {
		return nil
	}
	secrets, until := s.live(now)
	if err := s.endpoint.SetSecrets(secrets); err != nil {
		return err
	}
	s.until = until
	return nil
}

// Close closes idle connections; requests in flight end as they would.
func (s *rotation) Close() { s.endpoint.Close() }
