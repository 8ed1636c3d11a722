package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// sender answers as a function says.
type sender func(ctx context.Context, r *webhook.Request) webhook.Result

// looked orders what a test looked at before it let time pass before what senders write after that:
// synctest.Wait orders the other way round alone.
var looked sync.Mutex

func (s sender) Send(ctx context.Context, r *webhook.Request) webhook.Result {
	looked.Lock()
	looked.Unlock() //nolint:staticcheck // only the order counts
	return s(ctx, r)
}

// SendBatch has the function answer for each event.
func (s sender) SendBatch(ctx context.Context, b *webhook.Batch) []webhook.Result {
	results := make([]webhook.Result, len(b.Requests))
	for i := range b.Requests {
		results[i] = s.Send(ctx, &b.Requests[i])
		results[i].Attempt.RequestID = b.ID
	}
	return results
}

// alone is a Sender for endpoints without batches.
type alone struct{}

func (alone) SendBatch(context.Context, *webhook.Batch) []webhook.Result {
	panic("no endpoint has batches")
}

// answer is the result of a request that was answered with a status.
func answer(r *webhook.Request, status int) webhook.Result {
	return webhook.Result{Attempt: outbox.Attempt{
		EventID: r.Event.ID, Number: r.Number, Trigger: r.Trigger, AttemptedAt: r.Now, CommitLSN: r.Event.CommitLSN, StatusCode: status,
	}}
}

// row returns what the table has of an event for ep_1; false: nothing.
func (l *life) row(event string) (outbox.Delivery, bool) {
	l.tables.mu.Lock()
	defer l.tables.mu.Unlock()
	d, ok := l.tables.rows[outbox.Pair{EventID: event, EndpointID: "ep_1"}]
	return d, ok
}

func TestReject_isADeadDeliveryToEveryone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.commit(func(tx *source.Unsettled) {
			l.Reject(outbox.Event{ID: "e1", CommitLSN: outbox.LSN(l.at)}, "its type is null", tx)
		})
		l.later(time.Hour)
		require.Zero(t, l.gate.sent())
		row := l.tables.rows[outbox.Pair{EventID: "e1", EndpointID: dispatch.Everyone}]
		require.Equal(t, outbox.StateDead, row.State)
		require.Equal(t, outbox.ReasonInvalid, row.Reason)
		require.Equal(t, "its type is null", row.LastError)
		require.Equal(t, l.at+5, l.tables.settled)
		l.stop()
	})
}

// What the receiver has taken is delivered, also where the rest of its answer could not be read.
func TestDelivered_althoughItsAnswerBroke(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			res := answer(r, 200)
			res.Delivered, res.Attempt.Error = true, "the answer broke off"
			return res
		})
		l.change(e)
		l.event("e1")
		l.later(time.Hour)
		require.Empty(t, l.tables.rows)
		require.Len(t, l.tables.attempts, 1)
		require.Equal(t, outbox.Delivered, l.tables.attempts[0].Outcome)
		l.stop()
	})
}

func TestSetState_parksWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		for i := range 3 {
			l.event(fmt.Sprint("e", i))
		}
		l.later(time.Millisecond)
		l.SetState("ep_1", ledger.EndpointState{Status: "paused"})
		l.later(50 * time.Millisecond)
		require.Len(t, l.tables.rows, 2, "all but what is in flight, long before park_after")
		row, _ := l.row("e2")
		require.Equal(t, outbox.ReasonPaused, row.Reason)
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 1, l.gate.sent())
		l.stop()
	})
}

// TestOrder_noRowBeforeThatOfAnEarlierDelivery: after a crash the rows are sent as soon as they are
// found, and an earlier delivery without one only when the stream brings it again.
func TestOrder_noRowBeforeThatOfAnEarlierDelivery(t *testing.T) {
	t.Parallel()
	for _, before := range [][]string{{"e1"}, {"e1", "e2"}} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Config.Ordering = config.OrderingKey
			l.change(e)
			for _, id := range before {
				l.keyed(id, "k")
			}
			l.later(time.Millisecond)
			require.Equal(t, 1, l.gate.sent())
			l.SetState("ep_1", ledger.EndpointState{Status: "paused"})
			l.keyed("e3", "k")
			l.later(100 * time.Millisecond)
			for _, id := range append(before, "e3") {
				_, ok := l.row(id)
				require.True(t, ok, id)
			}
			row := l.requireRow("e1", outbox.Pending, outbox.ReasonOrder)
			require.False(t, row.NextAttemptAt.IsZero(), "after a crash it is found at once")
			l.gate.answer <- 200
			l.later(time.Second)
			require.Len(t, l.tables.rows, len(before))
			l.stop()
		})
	}
}

// A relay that may have lost the slot sends nothing, and goes on once it knows that it has it,
// though nothing else happens.
func TestHeld_isAskedBeforeARequestAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := newLife(t, func(_ *life, o *dispatch.Options) {
			o.Held = func() bool { return time.Since(began) > 3500*time.Millisecond }
		})
		e := l.endpoint()
		e.Config.ParkAfter = time.Hour
		l.change(e)
		l.event("e1")
		l.later(3 * time.Second)
		require.Zero(t, l.gate.sent())
		l.later(2 * time.Second)
		require.Equal(t, 1, l.gate.sent())
		l.gate.answer <- 200
		l.later(time.Second)
		l.stop()
	})
}

// What waits in memory while a receiver is left alone, as it asked, goes on by itself after that.
func TestAdmission_whatWaitedForAPauseGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		l := newLife(t)
		e := l.endpoint()
		e.Config.ParkAfter, e.Config.Retry.Schedule = time.Hour, []time.Duration{time.Hour}
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			pause(t.Context(), time.Second)
			if asked++; asked > 2 {
				return answer(r, 200)
			}
			res := answer(r, 429)
			res.RetryAfter = 10 * time.Minute
			return res
		})
		l.change(e)
		for i := range 4 {
			l.event(fmt.Sprint("e", i))
		}
		l.later(9 * time.Minute)
		require.Equal(t, 2, asked)
		l.later(2 * time.Minute)
		require.Equal(t, 4, asked)
		l.stop()
	})
}

// opens has the circuit of ep_1 open, with one delivery waiting for the probe.
func opens(t *testing.T, first func(r *webhook.Request) webhook.Result) (l *life, sent *[]string) {
	t.Helper()
	l, sent = newLife(t), new([]string)
	e := l.endpoint()
	e.Config.Circuit = config.Circuit{Failures: 1, Reopen: 10 * time.Second}
	e.Config.Retry.Schedule = []time.Duration{time.Hour}
	e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
		*sent = append(*sent, r.Event.ID)
		switch r.Event.ID {
		case "fails":
			return answer(r, 500)
		case "probe":
			return first(r)
		}
		return answer(r, 200)
	})
	l.change(e)
	l.event("fails")
	l.later(time.Second)
	l.event("probe")
	l.event("next")
	l.later(5 * time.Second)
	require.Equal(t, []string{"fails"}, *sent)
	return l, sent
}

func TestCircuit_aProbeThatCannotBeBuiltFreesItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, sent := opens(t, func(r *webhook.Request) webhook.Result {
			a := answer(r, 0)
			a.Attempt.Error, a.Permanent = "the payload is not JSON", true
			return a
		})
		l.later(time.Minute)
		require.Equal(t, []string{"fails", "probe", "next"}, *sent)
		l.stop()
	})
}

func TestCircuit_aProbeThatIsNotSentFreesItsPlace(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]webhook.Result{
		"not sent":                          {Unsent: true},
		"broken off by this machine's lack": {Local: true, Reached: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				l, sent := opens(t, func(r *webhook.Request) webhook.Result {
					if tries++; tries == 1 {
						broken.Attempt = answer(r, 0).Attempt
						return broken
					}
					return answer(r, 200)
				})
				l.later(time.Minute)
				require.ElementsMatch(t, []string{"fails", "probe", "probe", "next"}, *sent)
				l.stop()
			})
		})
	}
}

// lines counts the lines of a log that have a text.
type lines struct {
	of string

	mu sync.Mutex
	n  int
}

func (w *lines) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n += bytes.Count(line, []byte(w.of))
	return len(line), nil
}

func (w *lines) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// TestLocal_costsNeitherAttemptsNorHealth: what this machine lacks is no receiver's fault.
func TestLocal_costsNeitherAttemptsNorHealth(t *testing.T) {
	t.Parallel()
	for name, reached := range map[string]bool{"before anything was sent": false, "after something was": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := &lines{of: "this machine is short of something"}
				l := newLife(t, func(_ *life, o *dispatch.Options) { o.Logger = zerolog.New(log) })
				lacking := time.Now().Add(10 * time.Minute)
				var sent []string
				e := l.endpoint()
				e.Config.Circuit = config.Circuit{Failures: 2, Reopen: time.Hour}
				e.Config.Retry.Schedule, e.Config.DisableAfter = nil, time.Minute
				e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
					sent = append(sent, r.Event.ID)
					if time.Now().Before(lacking) {
						a := answer(r, 0)
						a.Attempt.Error, a.Local, a.Reached = "too many open files", true, reached
						return a
					}
					return answer(r, 200)
				})
				l.change(e)
				l.event("e1")
				l.event("e2")
				l.later(10 * time.Minute)
				require.LessOrEqual(t, len(sent), 300, "no loop without a pause")
				require.GreaterOrEqual(t, len(sent), 50)
				require.Equal(t, uint64(len(sent)), l.LocalFailures())
				require.GreaterOrEqual(t, log.count(), 9, "somebody hears of it")
				require.LessOrEqual(t, log.count(), 11, "once a minute")
				require.Len(t, l.tables.rows, 2, "without a schedule a failure would be the last")
				l.requireRow("e1", outbox.Pending, outbox.ReasonShutdown)
				v, _ := dispatch.View(l.Dispatcher, "ep_1")
				require.GreaterOrEqual(t, v.Unrecorded, 0)
				l.later(time.Minute)
				require.Empty(t, l.tables.rows)
				require.Empty(t, l.tables.changes, "it is not failing, and not disabled")
				if reached {
					require.Len(t, l.tables.attempts, len(sent), "one row for each request that may have arrived")
					made := l.tables.attempts[0]
					require.Equal(t, "e1 too many open files retry", fmt.Sprint(made.EventID, " ", made.Error, " ", made.Outcome))
				} else {
					require.Len(t, l.tables.attempts, 2)
					require.Equal(t, 1, l.tables.attempts[0].Number)
				}
				l.stop()
			})
		})
	}
}

// TestSpilling_endsOnceTheTableIsEmpty: an endpoint that was slow once is sent to from memory
// again.
func TestSpilling_endsOnceTheTableIsEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.event("slow")
		l.event("waits")
		l.later(3 * time.Second)
		require.Len(t, l.tables.rows, 2)
		for range 2 {
			l.gate.answer <- 200
		}
		l.later(10 * time.Second)
		require.Empty(t, l.tables.rows)
		require.Equal(t, 2, l.gate.sent())
		l.event("fast")
		synctest.Wait()
		require.Equal(t, 3, l.gate.sent(), "at once, without a row")
		l.gate.answer <- 200
		l.later(time.Second)
		l.stop()
	})
}

// TestLoader_leavesOutWhatIsInMemory: a row that is in memory is neither read again nor takes the
// place of another.
func TestLoader_leavesOutWhatIsInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		watch := &watchedPages{}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			watch.Ledger, o.LaneEvents = l.tables, 4
			o.Ledger = watch
		})
		l.change(l.endpoint())
		for i := range 6 {
			l.event(fmt.Sprint("e", i))
		}
		l.later(5 * time.Second)
		require.Len(t, l.tables.rows, 6)
		l.Due("ep_1")
		l.later(time.Second)
		l.Due("ep_1")
		l.later(time.Second)
		require.NotEmpty(t, watch.queries)
		for _, q := range watch.queries {
			require.Contains(t, q.Exclude, "e0", "it is in flight")
		}
		for range 6 {
			l.gate.answer <- 200
		}
		l.later(10 * time.Second)
		require.Equal(t, 6, l.gate.sent())
		l.stop()
	})
}

// TestRetry_comesAtItsTime: nobody has to ask for it.
func TestRetry_comesAtItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.event("e1")
		l.gate.answer <- 500
		l.later(59 * time.Second)
		require.Equal(t, 1, l.gate.sent())
		l.gate.answer <- 200
		l.later(10 * time.Second)
		require.Equal(t, 2, l.gate.sent())
		require.Equal(t, 2, l.gate.calls[1].Number)
		require.Equal(t, outbox.TriggerRetry, l.gate.calls[1].Trigger)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// TestHealed_letsTheOrderGoOn: until what was missed is in the table nothing of an order is sent,
// and then it comes first.
func TestHealed_letsTheOrderGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(_ *life, o *dispatch.Options) { o.Healing = true })
		e := l.endpoint()
		e.Config.Ordering = config.OrderingKey
		l.change(e)
		l.keyed("second", "k")
		l.later(time.Minute)
		require.Zero(t, l.gate.sent())
		l.tables.mu.Lock()
		l.tables.rows[outbox.Pair{EventID: "first", EndpointID: "ep_1"}] = outbox.Delivery{
			Event: outbox.Event{ID: "first", Key: "k"}, EndpointID: "ep_1", State: outbox.Pending, NextAttemptAt: time.Now(),
		}
		l.tables.mu.Unlock()
		l.Due("ep_1")
		l.Healed()
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(time.Minute)
		require.Equal(t, 2, l.gate.sent())
		require.Equal(t, "first", l.gate.calls[0].Event.ID)
		l.stop()
	})
}

// TestHealed_letsTheOrderGoOnThoughNothingWasMissed: what waited for that comes, though nobody
// found anything to put before it.
func TestHealed_letsTheOrderGoOnThoughNothingWasMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(_ *life, o *dispatch.Options) { o.Healing = true })
		e := l.endpoint()
		e.Config.Ordering = config.OrderingKey
		l.change(e)
		l.keyed("first", "k")
		l.later(time.Minute)
		require.Zero(t, l.gate.sent())
		l.Healed()
		l.gate.answer <- 200
		l.later(time.Minute)
		require.Equal(t, 1, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// Who has no order waits for nothing that may have been missed.
func TestHealing_keepsNobodyWithoutAnOrderWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(_ *life, o *dispatch.Options) { o.Healing = true })
		l.change(l.endpoint())
		l.event("e1")
		l.gate.answer <- 200
		l.later(time.Millisecond)
		require.Equal(t, 1, l.gate.sent())
		l.stop()
	})
}
