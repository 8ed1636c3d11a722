package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// A connection takes time: right before a batch is written all of it is in time and the slot is
// held, or nothing is sent. What has begun is written to its end, unless the slot is lost.
func TestBatch_isWrittenOnlyWhileAllOfItIsInTime(t *testing.T) {
	t.Parallel()
	const step = 400 * time.Millisecond
	for name, test := range map[string]struct {
		expires, loses time.Duration
		want           []bool // after each step
	}{
		"in time":                         {time.Minute, 0, []bool{true, true, true}},
		"expired while it is written":     {step + step/2, 0, []bool{true, true, true}},
		"expired before that":             {step / 2, 0, []bool{false, false, false}},
		"the slot is lost before that":    {time.Minute, step / 2, []bool{false, false, false}},
		"the slot is lost meanwhile":      {time.Minute, step + step/2, []bool{true, false, false}},
		"both, the slot while it has not": {step + step/2, step / 2, []bool{false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				l := newLife(t, func(_ *life, o *dispatch.Options) {
					o.Held = func() bool { return test.loses == 0 || time.Since(began) < test.loses }
				})
				e := l.endpoint()
				e.Config.ParkAfter, e.Config.Batch = time.Minute, config.Batch{Events: 2, Bytes: 10_000, Wait: time.Second}
				var said []bool
				e.Sender = batchSender(func(b *webhook.Batch) []webhook.Result {
					for len(said) < len(test.want) {
						pause(t.Context(), step)
						said = append(said, b.Requests[0].Held())
					}
					results := make([]webhook.Result, len(b.Requests))
					for i := range results {
						results[i] = answer(&b.Requests[i], 200)
					}
					return results
				})
				l.change(e)
				l.event("e1")
				l.timed("e2", "", 0, test.expires)
				l.later(10 * time.Second)
				require.Equal(t, test.want, said)
				l.stop()
			})
		})
	}
}

// What a body has no room for waits for company as before, and for nobody's answer.
func TestBatch_whatIsLeftWaitsForNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		l := newLife(t)
		e := l.endpoint()
		e.Config.Concurrency, e.Config.ParkAfter = 2, time.Hour
		e.Config.Batch = config.Batch{Events: 2, Bytes: 10_000, Wait: 100 * time.Millisecond}
		e.Sender = batchSender(func(b *webhook.Batch) []webhook.Result {
			pause(t.Context(), time.Second) // until it is known how large it is
			if len(b.Requests) > 1 {
				b.Left(1)
			}
			looked.Lock()
			sent = append(sent, fmt.Sprint(time.Since(begin0), " ", b.Requests[0].Event.ID))
			looked.Unlock()
			pause(t.Context(), time.Minute)
			return []webhook.Result{answer(&b.Requests[0], 200)}
		})
		l.change(e)
		events(l, 1, 2)
		l.later(10 * time.Second)
		require.Equal(t, []string{"1s e1", "2s e2"}, sent)
		l.later(2 * time.Minute)
		l.stop()
	})
}

// What a body has no room for is held, parked or dropped as its endpoint is by then.
func TestBatch_whatIsLeftFollowsItsEndpoint(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		meanwhile func(l *life, e *dispatch.Endpoint)
		reason    outbox.Reason // of its row; empty: it has none
	}{
		"paused": {func(l *life, _ *dispatch.Endpoint) {
			l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusPaused})
		}, outbox.ReasonPaused},
		"in another order": {func(l *life, e *dispatch.Endpoint) {
			e.Config.Ordering = config.OrderingStrict
			l.change(e)
		}, outbox.ReasonOrder},
		"gone": {func(l *life, _ *dispatch.Endpoint) { l.change(nil) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				full, answers := make(chan struct{}), make(chan struct{})
				var ended []outbox.Outcome
				l := newLife(t, func(_ *life, o *dispatch.Options) {
					o.Trace = func(*outbox.Event, string, int, outbox.Trigger, time.Time) dispatch.Trace {
						return spans(func(_ *outbox.Attempt, outcome outbox.Outcome) { ended = append(ended, outcome) })
					}
				})
				e := l.endpoint()
				e.Config.ParkAfter, e.Config.Batch = time.Hour, config.Batch{Events: 2, Bytes: 10_000, Wait: time.Second}
				var sent []string
				e.Sender = batchSender(func(b *webhook.Batch) []webhook.Result {
					<-full
					b.Left(1)
					sent = append(sent, b.Requests[0].Event.ID)
					<-answers
					return []webhook.Result{answer(&b.Requests[0], 500)}
				})
				l.change(e)
				events(l, 1, 2)
				synctest.Wait()
				test.meanwhile(l, e)
				close(full)
				l.later(100 * time.Millisecond)
				require.Equal(t, []string{"e1"}, sent)
				if test.reason != "" {
					l.requireRow("e2", outbox.Pending, test.reason)
				}
				close(answers)
				l.later(100 * time.Millisecond)
				if test.reason == "" {
					require.Empty(t, l.tables.rows)
					require.Equal(t, []string{"#1 500 dead"}, attemptsOf(l, "e1"), "nobody will try again")
					require.Equal(t, []outbox.Outcome{outbox.Dead, ""}, ended)
					require.Len(t, l.tables.attempts, 1)
					require.Equal(t, l.at+5, l.tables.position())
				}
				require.Zero(t, dispatch.Flying(l.Dispatcher))
				l.stop()
				require.Empty(t, l.tables.problems)
			})
		})
	}
}

// What waits behind a batch after which nothing is sent for a while waits in the table.
func TestBatch_parksWhatWaitsOnceNothingIsSent(t *testing.T) {
	t.Parallel()
	for reason, status := range map[outbox.Reason]int{outbox.ReasonDisabled: 410, outbox.ReasonCircuitOpen: 500} {
		synctest.Test(t, func(t *testing.T) {
			a := &arrays{takes: time.Second, answers: func([]string) (int, []string) { return status, nil }}
			l := newArrays(t, a, func(e *config.Endpoint) {
				e.ParkAfter, e.Circuit = time.Hour, config.Circuit{Failures: 1, Reopen: time.Hour}
			})
			events(l, 1, 6)
			l.later(2 * time.Second)
			require.Len(t, a.all, 1)
			l.requireRow("e4", outbox.Pending, reason)
			l.stop()
		})
	}
}

// What a receiver has to say beside its answer counts for the endpoint, whatever it took; that it
// wants one event no more it can say of one alone.
func TestBatch_theReceiversWord(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		events, status int
		word           retry.Word
		want           string // of e1
		disabled       bool
	}{
		"disable, of several that it takes": {3, 200, retry.WordDisable, "#1 200 delivered", true},
		"disable, of several that fail":     {3, 500, retry.WordDisable, "#1 500 retry", true},
		"abort, of several":                 {3, 500, retry.WordAbort, "#1 500 retry", false},
		"abort, of one":                     {1, 500, retry.WordAbort, "#1 500 dead", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				e := l.endpoint()
				e.Config.Batch, e.Config.Ordering = config.Batch{Events: 3, Bytes: 10_000, Wait: time.Second}, config.OrderingStrict
				e.Sender = batchSender(func(b *webhook.Batch) []webhook.Result {
					results := make([]webhook.Result, len(b.Requests))
					for i := range results {
						results[i] = answer(&b.Requests[i], test.status)
						results[i].Word = string(test.word)
					}
					return results
				})
				l.change(e)
				events(l, 1, test.events)
				l.later(5 * time.Second)
				require.Equal(t, []string{test.want}, attemptsOf(l, "e1"))
				for i := range l.tables.attempts {
					require.Empty(t, l.tables.attempts[i].Error, "nothing is wrong but the status")
				}
				require.Equal(t, test.disabled, slices.ContainsFunc(l.tables.changes, func(c ledger.EndpointChange) bool {
					return c.Status == ledger.StatusDisabled
				}))
				l.stop()
			})
		})
	}
}

// A receiver that takes some of a batch works, whichever event of it failed.
func TestBatch_ofWhichSomeIsTakenSaysThatTheReceiverWorks(t *testing.T) {
	t.Parallel()
	for _, failed := range []string{"e1", "e3"} {
		synctest.Test(t, func(t *testing.T) {
			a := &arrays{answers: func([]string) (int, []string) { return 200, []string{failed} }}
			l := newArrays(t, a, func(e *config.Endpoint) {
				e.Batch.Partial, e.Circuit = true, config.Circuit{Failures: 1, Reopen: time.Hour}
			})
			events(l, 1, 3)
			l.later(time.Second)
			l.requireRow(failed, outbox.Pending, outbox.ReasonFailed)
			events(l, 4, 6)
			l.later(time.Second)
			require.Len(t, a.all, 2, "its circuit is closed")
			require.Empty(t, l.tables.changes, "it is not failing")
			l.stop()
		})
	}
}

// While nothing can be recorded only so much is answered, of batches what one transaction takes:
// after a crash that is sent again.
func TestRecord_leavesLittleToBeSentAgain(t *testing.T) {
	t.Parallel()
	for size, most := range map[int]int64{0: 32, 100: 2048} {
		synctest.Test(t, func(t *testing.T) {
			s := &slowLedger{free: make(chan struct{})}
			var sent atomic.Int64
			l := newLife(t, func(l *life, o *dispatch.Options) {
				s.Ledger = l.tables
				o.Ledger, o.MinEvents = s, 5000
			})
			e := l.endpoint()
			e.Config.ParkAfter, e.Config.Batch = time.Hour, config.Batch{Events: size, Bytes: 1_000_000, Wait: time.Second}
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				sent.Add(1)
				return answer(r, 200)
			})
			l.change(e)
			events(l, 1, int(2*most))
			l.later(time.Minute)
			require.GreaterOrEqual(t, sent.Load(), most)
			require.LessOrEqual(t, sent.Load(), most+int64(size))
			close(s.free)
			l.later(time.Minute)
			require.Equal(t, 2*most, sent.Load())
			l.stop()
		})
	}
}

// How full a lane is does not depend on what it has sent in order before, together or in parts.
func TestBatch_leavesItsLaneAsEmptyAsBefore(t *testing.T) {
	t.Parallel()
	for _, room := range []int{0, 1} {
		t.Run(fmt.Sprint("a body has room for ", room), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const capacity = 6
				a := &arrays{room: room}
				l := newLife(t, func(l *life, o *dispatch.Options) {
					o.LaneEvents = capacity
					other := l.endpoint() // with traffic of its own
					other.Streamed, other.Config.ID, other.Config.ParkAfter, other.Config.Concurrency = false, "other", time.Hour, 100
					other.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 200) })
					o.Endpoints = []dispatch.Endpoint{*other}
				})
				e := l.endpoint()
				e.Sender, e.Config.ParkAfter, e.Config.Ordering = a, time.Hour, config.OrderingStrict
				e.Config.Batch = config.Batch{Events: 3, Bytes: 10_000}
				l.change(e)
				for n := range 6 {
					events(l, 3*n, 3*n+2)
					l.later(time.Second)
				}
				require.Empty(t, l.tables.rows)
				a.room, a.takes = 0, time.Minute
				events(l, 100, 100)
				l.later(time.Millisecond)
				events(l, 101, 100+capacity)
				l.later(time.Second)
				require.Empty(t, l.tables.rows, "there is room")
				events(l, 101+capacity, 101+capacity)
				l.later(time.Second)
				l.requireRow(fmt.Sprint("e", 101+capacity), outbox.Pending, outbox.ReasonLaneFull)
				require.Len(t, l.tables.rows, 2+capacity, "and all before it in its order")
				l.stop()
			})
		})
	}
}

// What expires while its request is on its way there keeps nobody else waiting: neither who is
// behind it in its order nor the next probe.
func TestBatch_whatExpiresOnItsWayLetsOthersGo(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		for _, several := range []int{0, 3} {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				var sent []string
				e := l.endpoint()
				e.Config.ParkAfter, e.Config.Ordering, e.Config.Batch = time.Hour, ordering, config.Batch{Events: several, Bytes: 10_000}
				e.Config.Circuit, e.Config.Retry.Schedule = config.Circuit{Failures: 1, Reopen: time.Minute}, nil
				e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
					sent = append(sent, r.Event.ID)
					switch r.Event.ID {
					case "fails":
						return answer(r, 500)
					case "expires":
						pause(t.Context(), time.Minute)
						return webhook.Result{Unsent: true}
					}
					return answer(r, 200)
				})
				l.change(e)
				l.keyed("fails", "other")
				l.later(time.Minute) // it is half open
				l.timed("expires", "k", 0, time.Second)
				l.keyed("next", "k")
				l.later(3 * time.Minute)
				require.Equal(t, []string{"fails", "expires", "next"}, sent, "%s, %d", ordering, several)
				l.requireRow("expires", outbox.StateDead, outbox.ReasonExpired)
				l.stop()
			})
		}
	}
}
