package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// TestRecorded_saysHowLongDeliveriesTook: from the commit of the event to the answer; a queued one
// counts from when it was queued, and what a person asked for again does not count.
func TestRecorded_saysHowLongDeliveriesTook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const takes = 40 * time.Millisecond
		var waited []time.Duration
		l := newLife(t, func(_ *life, o *dispatch.Options) {
			o.Committed = func(r dispatch.Recorded) {
				looked.Lock()
				defer looked.Unlock()
				require.Positive(t, r.Took)
				waited = append(waited, r.Waited...)
			}
		})
		e := l.endpoint()
		e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
			pause(ctx, takes)
			result := answer(r, 200)
			if r.Event.ID == "fails" && r.Number == 1 {
				result = answer(r, 500)
			}
			result.Attempt.Duration = takes
			return result
		})
		l.change(e)
		l.at += 10
		tx := l.tracker.Begin(time.Now().Add(-3 * time.Second)) // the stream brought it late
		l.Dispatch(outbox.Event{ID: "late", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
		l.tracker.Commit(tx, l.at+5)
		l.later(time.Second)
		require.Equal(t, []time.Duration{3*time.Second + takes}, waited)

		l.event("fails")
		l.later(time.Second)
		require.Len(t, waited, 1, "it is not delivered")
		queue := func(id string, trigger outbox.Trigger) {
			l.tables.mu.Lock()
			l.tables.rows[outbox.Pair{EventID: id, EndpointID: "ep_1"}] = outbox.Delivery{
				Event:      outbox.Event{ID: id, Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)},
				EndpointID: "ep_1", State: outbox.Pending, NextAttemptAt: time.Now(), Attempts: 1, Trigger: trigger, QueuedAt: time.Now().Add(-time.Hour),
			}
			l.tables.mu.Unlock()
			l.Due("ep_1")
			l.later(time.Second)
		}
		queue("queued", "")
		require.Len(t, waited, 2)
		require.InDelta(t, time.Hour+takes, waited[1], float64(100*time.Millisecond), "the read takes a moment")
		queue("again", outbox.TriggerResend)
		queue("replayed", outbox.TriggerReplay)
		require.Len(t, waited, 2, "a person asked for these, whenever")
		require.Zero(t, l.InFlight())
		l.event("slow")
		pause(t.Context(), takes/2)
		synctest.Wait()
		require.Equal(t, 1, l.InFlight())
		l.later(time.Second)
		require.Len(t, waited, 3)
		l.stop()
	})
}
