package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// An endpoint that comes back is what its row says by then, though requests of before are still in
// flight.
func TestReload_putsBackWhatIsPausedByNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Streamed = false
		l.Reload([]dispatch.Endpoint{*e})
		l.event("e1")
		l.later(time.Millisecond)
		require.Equal(t, 1, l.gate.sent())
		l.Reload(nil)
		e.State.Status = ledger.StatusPaused
		l.Reload([]dispatch.Endpoint{*e})
		l.event("e2")
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(time.Minute)
		require.Equal(t, 1, l.gate.sent())
		row, waits := l.row("e2")
		require.True(t, waits)
		require.Equal(t, outbox.Pending, row.State)
		l.stop()
	})
}

func TestReload_leavesStreamedEndpointsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		other := *l.endpoint()
		other.Streamed, other.Config.ID = false, "erp"
		l.Reload([]dispatch.Endpoint{other})
		l.event("e1")
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 2, l.gate.sent())
		l.Reload(nil)
		l.event("e2")
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 3, l.gate.sent())
		l.stop()
	})
}

func TestReload_leavesTheRateAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		l := newLife(t)
		e := l.endpoint()
		e.Streamed, e.Config.Rate, e.Config.Concurrency, e.Config.ParkAfter = false, 20, 8, time.Hour
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			n++
			return answer(r, 200)
		})
		l.Reload([]dispatch.Endpoint{*e})
		for i := range 500 {
			l.event(fmt.Sprint("e", i))
		}
		for range 100 {
			l.Reload([]dispatch.Endpoint{*e})
			l.later(100 * time.Millisecond)
		}
		require.LessOrEqual(t, n, 10*20+2, "in ten seconds")
		require.GreaterOrEqual(t, n, 10*20-2)
		l.stop()
	})
}

// An endpoint that is removed and put back while a request is under way goes on.
func TestReload_putsBackWhatWasRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Streamed = false
		l.Reload([]dispatch.Endpoint{*e})
		l.event("e1")
		l.later(time.Millisecond)
		require.Equal(t, 1, l.gate.sent())
		l.Reload(nil)
		l.Reload([]dispatch.Endpoint{*e})
		l.event("e2")
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(10 * time.Second)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// Once all that was there by the old ordering is in the table and read, events go from memory
// again, by the new one.
func TestReload_withAnotherOrderingGoesOnFromMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Streamed = false
		l.Reload([]dispatch.Endpoint{*e})
		l.keyed("e1", "k")
		l.keyed("e2", "k")
		l.later(time.Millisecond)
		e.Config.Ordering = config.OrderingKey
		l.Reload([]dispatch.Endpoint{*e})
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(10 * time.Second)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.keyed("e3", "k")
		synctest.Wait()
		require.Equal(t, 3, l.gate.sent(), "at once, without a row")
		l.gate.answer <- 200
		l.later(time.Second)
		l.stop()
	})
}

// What a dead delivery held goes on once dead ones hold nothing any more, and waits again once they
// do.
func TestReload_withAnotherOnDeadGoesByThatFromThenOn(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingKey, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				var sent []string
				e := l.endpoint()
				e.Streamed, e.Config.Ordering, e.Config.OnDead, e.Config.Retry.Schedule = false, ordering, config.OnDeadHold, nil
				e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
					sent = append(sent, r.Event.ID)
					if r.Event.ID == "dies" {
						return answer(r, 500)
					}
					return answer(r, 200)
				})
				l.Reload([]dispatch.Endpoint{*e})
				l.keyed("dies", "k")
				l.keyed("held", "k")
				l.later(time.Minute)
				require.Equal(t, []string{"dies"}, sent)

				e.Config.OnDead = config.OnDeadSkip
				l.Reload([]dispatch.Endpoint{*e})
				l.later(time.Minute)
				require.Equal(t, []string{"dies", "held"}, sent)

				e.Config.OnDead = config.OnDeadHold
				l.Reload([]dispatch.Endpoint{*e})
				l.later(time.Minute)
				l.keyed("held again", "k")
				l.later(time.Minute)
				require.Equal(t, []string{"dies", "held"}, sent)
				l.stop()
			})
		})
	}
}

// TestChange_keepsNothingOfItsArguments: the stream uses their memory again for the next
// transaction, while what it brought waits to be recorded.
func TestChange_keepsNothingOfItsArguments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		version := ledger.EndpointVersion{EndpointID: "ep_1", Seq: 3, Row: []byte("{}")}
		l.commit(func(tx *source.Unsettled) {
			version.CommitLSN = outbox.LSN(l.at)
			changes := []dispatch.Change{{ID: "ep_1", Endpoint: l.endpoint(), Version: version}}
			l.Change(changes, tx)
			changes[0] = dispatch.Change{ID: "ep_2", Version: ledger.EndpointVersion{EndpointID: "ep_2"}}
		})
		l.later(time.Second)
		require.Equal(t, []ledger.EndpointVersion{version}, l.tables.versions)
		l.stop()
	})
}

// TestStrain_ofRequestsThatFailTogetherIsOne: how many requests were under way when this machine ran
// short says nothing of how long it will be.
func TestStrain_ofRequestsThatFailTogetherIsOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const together = 8
		l := newLife(t)
		tries := 0
		e := l.endpoint()
		e.Config.Concurrency = together
		e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
			looked.Lock()
			tries++
			short := tries <= together
			looked.Unlock()
			if !short {
				res := answer(r, 200)
				res.Delivered = true
				return res
			}
			pause(ctx, time.Second)
			return webhook.Result{Local: true, Attempt: outbox.Attempt{Error: "too many open files"}}
		})
		l.change(e)
		for n := range together {
			l.event(fmt.Sprint("e", n))
		}
		l.later(time.Second + 2*pace.DefaultLeast + 10*time.Millisecond)
		require.Equal(t, 2*together, tries)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}
