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
		l.event("waits")
		l.later(time.Millisecond)
		require.Equal(t, 1, l.gate.sent())
		l.Reload(nil)
		moved := &gate{answer: make(chan int, 2)}
		e.Sender = moved
		l.Reload([]dispatch.Endpoint{*e})
		l.event("e2")
		l.later(100 * time.Millisecond)
		require.Zero(t, moved.sent(), "one at a time, as it was")
		l.gate.answer <- 200
		moved.answer <- 200
		moved.answer <- 200
		l.later(10 * time.Second)
		require.Equal(t, 1, l.gate.sent())
		require.Equal(t, 2, moved.sent(), "to where it is by now")
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// What waits for an endpoint when nothing can be sent to it any more, or not as before, waits in
// the table from then on.
func TestReload_parksWhatWaits(t *testing.T) {
	t.Parallel()
	for reason, reload := range map[outbox.Reason]func(e *dispatch.Endpoint) []dispatch.Endpoint{
		outbox.ReasonDisabled: func(*dispatch.Endpoint) []dispatch.Endpoint { return nil },
		outbox.ReasonUnusable: func(e *dispatch.Endpoint) []dispatch.Endpoint {
			e.Blocked, e.Sender = true, nil
			return []dispatch.Endpoint{*e}
		},
		outbox.ReasonOrder: func(e *dispatch.Endpoint) []dispatch.Endpoint {
			e.Config.Ordering = config.OrderingStrict
			return []dispatch.Endpoint{*e}
		},
	} {
		for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey} {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				e := l.endpoint()
				e.Streamed, e.Config.ParkAfter, e.Config.Ordering = false, time.Hour, ordering
				l.Reload([]dispatch.Endpoint{*e})
				l.keyed("e0", "k")
				l.gate.answer <- 200
				l.later(time.Second)
				l.keyed("e1", "k")
				l.keyed("e2", "k")
				l.later(time.Second)
				l.Reload(reload(e))
				l.later(time.Second)
				l.requireRow("e2", outbox.Pending, reason)
				_, rooted := l.row("e1")
				require.Equal(t, ordering == config.OrderingKey, rooted, "what is in flight has a row before what follows it")
				require.Equal(t, 2, l.gate.sent())
				l.gate.answer <- 200
				if reason == outbox.ReasonOrder {
					l.gate.answer <- 200
				}
				l.later(time.Minute)
				_, waits := l.row("e2")
				require.Equal(t, reason != outbox.ReasonOrder, waits, "%s, %s", reason, ordering)
				l.stop()
			})
		}
	}
}

// A change of a setting leaves the order alone: what is in flight is waited for.
func TestReload_leavesTheOrderAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Streamed, e.Config.Ordering, e.Config.Concurrency, e.Config.ParkAfter = false, config.OrderingKey, 8, time.Hour
		l.Reload([]dispatch.Endpoint{*e})
		l.keyed("e1", "k")
		l.later(time.Second)
		e.Config.ParkAfter = time.Minute
		l.Reload([]dispatch.Endpoint{*e})
		l.keyed("e2", "k")
		l.later(time.Second)
		require.Equal(t, 1, l.gate.sent())
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 2, l.gate.sent())
		l.stop()
	})
}

// A rate that is changed, or removed, counts from then on.
func TestReload_changesTheRate(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]int{0: 1000, 5: 51, 50: 505} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			l := newLife(t)
			e := l.endpoint()
			e.Streamed, e.Config.Rate, e.Config.ParkAfter = false, 20, time.Hour
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				n++
				return answer(r, 200)
			})
			l.Reload([]dispatch.Endpoint{*e})
			e.Config.Rate = rate
			l.Reload([]dispatch.Endpoint{*e})
			events(l, 1, 1000)
			l.later(10 * time.Second)
			require.InDelta(t, want, n, 2, "at %g a second", rate)
			l.stop()
		})
	}
}

// Who is gone has no traffic: nobody's lane is full because of it.
func TestReload_whoIsGoneHasNoTraffic(t *testing.T) {
	t.Parallel()
	for name, goes := range map[string]func(l *life){
		"an endpoint of the configuration": func(l *life) { l.Reload(nil) },
		"one of the stream": func(l *life) {
			l.commit(func(tx *source.Unsettled) { l.Change([]dispatch.Change{{ID: "other"}}, tx) })
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := beside(t, 4)
			e := l.endpoint()
			e.Config.ParkAfter, e.Config.Subscriptions = time.Hour, []config.Subscription{{Events: []string{"a"}}}
			l.change(e)
			l.commit(func(tx *source.Unsettled) {
				l.Dispatch(outbox.Event{ID: "b", Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
			})
			l.later(time.Second)
			goes(l)
			l.later(time.Second)
			require.Len(t, l.tables.versions, 1, "nothing is noted where there is nothing to note")
			events(l, 1, 8)
			l.later(time.Second)
			require.Empty(t, l.tables.rows, name)
			for range 8 {
				l.gate.answer <- 200
			}
			l.later(time.Second)
			require.Equal(t, 8, l.gate.sent())
			l.stop()
		})
	}
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

// TestStrain_ofRequestsThatFailTogetherIsOne: how many requests were under way when this machine
// ran short says nothing of how long it will be.
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

// What comes while the ordering changes waits for what is in flight by the old one, however much of
// it is in the table by then.
func TestReload_withAnotherOrderingWaitsForWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Streamed, e.Config.Concurrency, e.Config.ParkAfter = false, 8, time.Hour
		l.Reload([]dispatch.Endpoint{*e})
		l.keyed("e1", "k")
		l.later(time.Second)
		e.Config.Ordering = config.OrderingKey
		l.Reload([]dispatch.Endpoint{*e})
		for _, id := range []string{"e2", "e3", "e4"} {
			l.keyed(id, "k")
			l.later(time.Second)
			l.requireRow(id, outbox.Pending, outbox.ReasonOrder)
		}
		require.Equal(t, 1, l.gate.sent())
		for n := range 4 {
			l.gate.answer <- 200
			l.later(10 * time.Second)
			require.Equal(t, min(n+2, 4), l.gate.sent())
			require.Equal(t, fmt.Sprint("e", min(n+2, 4)), l.gate.calls[len(l.gate.calls)-1].Event.ID)
		}
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// Whoever changed the rows of an endpoint while it was gone needs not say so again once it is back.
func TestReload_findsWhatWasChangedWhileItWasGone(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Streamed, e.Config.Ordering, e.Config.ParkAfter = false, ordering, time.Hour
			l.Reload([]dispatch.Endpoint{*e})
			l.keyed("in flight", "k")
			l.later(time.Second)
			l.Reload(nil)
			l.tables.mu.Lock()
			l.tables.rows[outbox.Pair{EventID: "resent", EndpointID: "ep_1"}] = outbox.Delivery{
				Event: outbox.Event{ID: "resent", Key: "other"}, EndpointID: "ep_1", State: outbox.Pending, NextAttemptAt: time.Now(),
			}
			l.tables.mu.Unlock()
			l.Due("ep_1")
			l.Reload([]dispatch.Endpoint{*e})
			l.gate.answer <- 200
			l.gate.answer <- 200
			l.later(10 * time.Second)
			require.Equal(t, 2, l.gate.sent(), ordering)
			require.Empty(t, l.tables.rows)
			l.stop()
		})
	}
}

// Endpoints that are put back take each other's place nowhere.
func TestReload_putsBackEachOfThoseThatWereRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		list := make([]dispatch.Endpoint, 3)
		for i := range list {
			list[i] = *l.endpoint()
			list[i].Streamed, list[i].Config.ID = false, fmt.Sprint("ep_", i)
		}
		for n := range 3 {
			l.Reload(list)
			l.event(fmt.Sprint("e", n))
			for range list {
				l.gate.answer <- 200
			}
			l.later(time.Second)
			require.Equal(t, (n+1)*len(list), l.gate.sent())
			l.Reload(nil)
			l.later(time.Second)
		}
		l.stop()
	})
}

// What had to wait for another in the table goes once nothing is before it any more, because the
// endpoint has another order or none.
func TestReload_withLessOfAnOrderLetsGoWhatWaited(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		from, to config.Ordering
		key      string
	}{
		{config.OrderingKey, config.OrderingNone, "k"},
		{config.OrderingStrict, config.OrderingNone, "k"},
		{config.OrderingStrict, config.OrderingKey, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Streamed, e.Config.Ordering, e.Config.Retry.Schedule = false, test.from, []time.Duration{time.Hour}
			l.Reload([]dispatch.Endpoint{*e})
			l.keyed("fails", test.key)
			l.keyed("waits", test.key)
			l.gate.answer <- 500
			l.later(time.Second)
			require.True(t, l.requireRow("waits", outbox.Pending, outbox.ReasonOrder).NextAttemptAt.IsZero())
			e.Config.Ordering = test.to
			l.Reload([]dispatch.Endpoint{*e})
			l.gate.answer <- 200
			l.later(10 * time.Second)
			require.Equal(t, 2, l.gate.sent(), "%s to %s", test.from, test.to)
			_, waits := l.row("waits")
			require.False(t, waits)
			l.stop()
		})
	}
}
