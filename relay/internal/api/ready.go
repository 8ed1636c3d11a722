package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tailpost/tailpost/relay/internal/query"
)

// From when on the relay that has the slot is no longer believed to make progress: it has confirmed
// nothing for so long, while so much log waited for it. Less waits wherever somebody writes.
const (
	stuckAfter = time.Minute
	stuckBytes = 16 << 20
)

// owner is what a standby has seen of the relay that holds the slot.
type owner struct {
	mu        sync.Mutex
	confirmed string    // LSN
	since     time.Time // when it was first seen there
}

// stuck reports for how long the slot's owner has confirmed nothing although it had to; 0: it makes
// progress.
func (o *owner) stuck(st *query.RelayState, now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if st.ConfirmedFlush != o.confirmed || st.LagBytes < stuckBytes {
		o.confirmed, o.since = st.ConfirmedFlush, now
	}
	if waited := now.Sub(o.since); waited >= stuckAfter {
		return waited
	}
	return 0
}

func readyz(ctx context.Context, s *Server, _ *principal, _ *healthInput) (*healthOutput, error) {
	if err := s.store.Ready(ctx); err != nil {
		s.log.Warn().Err(err).Msg("not ready")
		return nil, problem(http.StatusServiceUnavailable, "The database cannot be used; the relay's log says why.")
	}
	status := s.status()
	reason, err := unreadyReason(ctx, s, status)
	switch {
	case err != nil:
		return nil, err
	case reason != "":
		return nil, problem(http.StatusServiceUnavailable, reason)
	}
	return &healthOutput{Body: Health{Status: "ok", State: status.State}}, nil
}

// unreadyReason returns why events are not delivered, neither by this process nor by the one that
// it stands by for; empty: they are.
func unreadyReason(ctx context.Context, s *Server, status Status) (string, error) {
	switch status.State {
	case "delivering":
		if waited := s.now().Sub(status.Unrecorded); !status.Unrecorded.IsZero() && waited >= stuckAfter {
			return fmt.Sprintf("Attempts could not be recorded for %s, and delivery waits until they can be; the relay's log says why.",
				waited.Round(time.Second)), nil
		}
		if waited := s.now().Sub(status.Unpublished); !status.Unpublished.IsZero() && waited >= stuckAfter {
			return fmt.Sprintf("NATS has not taken what senders are to get for %s, and the slot keeps it; the relay's log says why.",
				waited.Round(time.Second)), nil
		}
		return "", nil
	case "standby":
	case "starting":
		return "The relay is taking the slot, or waits until it can; its log says for what.", nil
	default:
		return "The relay is " + status.State + ".", nil
	}
	st, err := s.store.SlotState(ctx, status.Slot)
	switch {
	case err != nil:
		return "", err
	case !st.SlotActive:
		return "This relay stands by, and no other one streams from the slot: it takes the slot within seconds, or its log says why not.", nil
	}
	if waited := s.owner.stuck(&st, s.now()); waited > 0 {
		return fmt.Sprintf("This relay stands by, and the one that has the slot has confirmed nothing for %s, while %d bytes of the log wait.",
			waited.Round(time.Second), st.LagBytes), nil
	}
	return "", nil
}
