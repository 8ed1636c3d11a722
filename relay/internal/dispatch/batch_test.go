package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
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
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// arrays is a receiver of batches: what they had, and when they began.
type arrays struct {
	takes   time.Duration
	answers func(ids []string) (status int, failed []string)
	room    int // events that a body has room for; 0: all

	mu  sync.Mutex
	got []string // "time: ids"
	all [][]string
	ids []string // of requests
}

var begin0 = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a bubble begins

func (a *arrays) Send(context.Context, *webhook.Request) webhook.Result { panic("not an array") }

func (a *arrays) SendBatch(ctx context.Context, b *webhook.Batch) []webhook.Result {
	looked.Lock()
	looked.Unlock() //nolint:staticcheck // only the order counts
	if n := len(b.Requests); a.room > 0 && n > a.room {
		b.Left(n - a.room)
		b.Requests = b.Requests[:a.room]
	}
	ids := make([]string, len(b.Requests))
	for i := range b.Requests {
		ids[i] = b.Requests[i].Event.ID
	}
	a.mu.Lock()
	a.got = append(a.got, fmt.Sprintf("%s: %s", time.Since(begin0), strings.Join(ids, " ")))
	a.all, a.ids = append(a.all, ids), append(a.ids, b.ID)
	a.mu.Unlock()
	pause(ctx, a.takes)
	status, failed := 200, []string(nil)
	if a.answers != nil {
		status, failed = a.answers(ids)
	}
	results := make([]webhook.Result, len(ids))
	for i := range results {
		results[i] = answer(&b.Requests[i], status)
		results[i].Attempt.RequestID, results[i].Barred = b.ID, status == 0
		results[i].Delivered = status == 200
		if slices.Contains(failed, ids[i]) {
			results[i].Delivered, results[i].Attempt.Error = false, "the answer names it as failed"
		}
	}
	return results
}

// newArrays is a life whose endpoint has batches.
func newArrays(t *testing.T, a *arrays, change func(*config.Endpoint), settings ...func(*life, *dispatch.Options)) *life {
	t.Helper()
	l := newLife(t, settings...)
	e := l.endpoint()
	e.Sender = a
	e.Config.Batch = config.Batch{Events: 3, Wait: 200 * time.Millisecond, Bytes: 1_000_000}
	if change != nil {
		change(&e.Config)
	}
	l.change(e)
	return l
}

// attemptsOf returns the attempts of an event: status and outcome.
func attemptsOf(l *life, event string) (list []string) {
	l.tables.mu.Lock()
	defer l.tables.mu.Unlock()
	for i := range l.tables.attempts {
		if a := &l.tables.attempts[i]; a.EventID == event {
			list = append(list, fmt.Sprintf("#%d %d %s", a.Number, a.StatusCode, a.Outcome))
		}
	}
	return list
}

// events commits e1, e2 and so on.
func events(l *life, from, to int) {
	for i := from; i <= to; i++ {
		l.event(fmt.Sprintf("e%d", i))
	}
}

// TestBatch_withoutAWaitHasWhatIsThere: an event goes at once if there is a request for it, and
// shares the next one with what came meanwhile otherwise.
func TestBatch_withoutAWaitHasWhatIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{takes: 50 * time.Millisecond}
		l := newArrays(t, a, func(e *config.Endpoint) { e.Batch.Wait = 0 })
		l.event("e1")
		synctest.Wait()
		events(l, 2, 5)
		l.later(time.Minute)
		require.Equal(t, []string{"0s: e1", "50ms: e2 e3 e4", "100ms: e5"}, a.got)
		l.stop()
	})
}

func TestBatch_endsWhereItIsLargeEnough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{room: 2}
		l := newArrays(t, a, func(e *config.Endpoint) { e.Batch.Events, e.Batch.Bytes = 100, 1000 })
		events(l, 1, 15) // of about 130 bytes each
		l.later(time.Minute)
		require.Equal(t, []string{"e1", "e2"}, a.all[0])
		require.Equal(t, "0s: e3 e4", a.got[1], "what had no room goes next, and at once")
		var order []string
		for _, ids := range a.all {
			order = append(order, ids...)
		}
		want := make([]string, 15)
		for i := range want {
			want[i] = fmt.Sprintf("e%d", i+1)
		}
		require.Equal(t, want, order)
		l.stop()
		require.Empty(t, l.tables.problems)
	})
}

// TestBatch_aPoisonedEventFailsByItself: whatever a receiver refuses because of one event is tried
// again in smaller company, until that event is alone; nobody else is given up for it.
func TestBatch_aPoisonedEventFailsByItself(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status   int
		schedule int
		want     string // of the last attempt of the poisoned one
	}{
		"a failure":                 {500, 4, "#5 500 dead"},
		"a refusal for good":        {422, 4, "#3 422 dead"},
		"with a single retry":       {500, 1, "#2 500 dead"},
		"a refusal, with one retry": {422, 1, "#2 422 dead"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &arrays{answers: func(ids []string) (int, []string) {
					if slices.Contains(ids, "e7") {
						return test.status, nil
					}
					return 200, nil
				}}
				l := newArrays(t, a, func(e *config.Endpoint) {
					e.Batch.Events = 16
					e.Retry.Permanent = config.Statuses{"422"}
					e.Retry.Schedule = slices.Repeat([]time.Duration{time.Minute}, test.schedule)
				})
				events(l, 1, 16)
				l.later(2 * time.Hour)
				for i := 1; i <= 16; i++ {
					got := attemptsOf(l, fmt.Sprintf("e%d", i))
					if last := got[len(got)-1]; i == 7 {
						require.Equal(t, test.want, last)
					} else {
						require.Contains(t, last, "delivered", "e%d", i)
					}
				}
				require.Len(t, a.all[0], 16)
				if test.schedule > 1 {
					require.Len(t, a.all[1], 4, "a quarter")
				}
				l.stop()
				require.Empty(t, l.tables.problems)
			})
		})
	}
}

// TestBatch_whatFailsTogetherIsDueTogether: jitter does not tear a batch apart.
func TestBatch_whatFailsTogetherIsDueTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := true
		a := &arrays{answers: func([]string) (int, []string) {
			if down {
				return 500, nil
			}
			return 200, nil
		}}
		l := newArrays(t, a, func(e *config.Endpoint) {
			e.Batch.Events, e.Batch.Wait = 40, 0
			e.Retry.Schedule = []time.Duration{time.Hour, time.Hour, time.Hour}
			e.Concurrency = 4
		})
		events(l, 1, 40)
		l.later(time.Second)
		first := len(a.all)
		down = false
		l.later(2 * time.Hour)
		sizes := 0
		for _, ids := range a.all[first:] {
			sizes += len(ids)
		}
		require.Equal(t, 40, sizes)
		require.LessOrEqual(t, len(a.all)-first, 2*first+4, "%v", a.got)
		l.stop()
	})
}

// TestBatch_inOrderSomeOfIt: an answer that names an event as failed takes none of those behind it
// in its order; they come again, after it. Others are delivered.
func TestBatch_inOrderWhatFollowsAFailureComesAgain(t *testing.T) {
	t.Parallel()
	for _, onDead := range []config.OnDead{config.OnDeadSkip, config.OnDeadHold} {
		t.Run(string(onDead), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &arrays{answers: func(ids []string) (int, []string) {
					if ids[0] == "a1" {
						return 200, []string{"a2"}
					}
					return 200, nil
				}}
				var log bytes.Buffer
				l := newArrays(t, a, func(e *config.Endpoint) {
					e.Ordering, e.OnDead, e.Batch.Events, e.Batch.Partial = config.OrderingKey, onDead, 6, true
				}, func(_ *life, o *dispatch.Options) { o.Logger = zerolog.New(zerolog.SyncWriter(&log)) })
				for _, id := range []string{"a1", "b1", "a2", "b2", "a3", "x"} {
					l.keyed(id, strings.TrimRight(id, "123x"))
				}
				l.later(time.Second)
				require.Equal(t, [][]string{{"a1", "b1", "a2", "b2", "a3", "x"}}, a.all, "several of a key, in the order of commits")
				require.Equal(t, []string{"#1 200 delivered"}, attemptsOf(l, "b2"))
				require.Equal(t, []string{"#1 200 retry"}, attemptsOf(l, "a3"), "whatever the receiver says of it")
				row, ok := l.row("a3")
				require.True(t, ok)
				require.Equal(t, outbox.ReasonOrder, row.Reason)
				require.Zero(t, row.NextAttemptAt)
				for i := range l.tables.attempts {
					a := &l.tables.attempts[i]
					require.Equal(t, a.EventID == "a3", strings.HasPrefix(a.Error, "sent again, after an earlier event"), "%s: %s", a.EventID, a.Error)
				}
				l.later(time.Hour)
				require.Equal(t, []string{"#1 200 retry", "#2 200 delivered"}, attemptsOf(l, "a3"))
				require.Equal(t, []string{"#1 200 retry", "#2 200 delivered"}, attemptsOf(l, "a2"))
				require.Equal(t, [][]string{{"a2"}, {"a3"}}, a.all[1:])
				l.stop()
				require.Empty(t, l.tables.problems)
				require.Contains(t, log.String(), `"event_id":"a3"`)
				require.NotContains(t, log.String(), `"0001-`, "what waits for another has no time of its own")
			})
		})
	}
}

// TestBatch_ofAStrictOrderIsThatOrder: the whole endpoint is one order, and a batch has its next
// events. One that is given up holds what was behind it, in the same request or not.
func TestBatch_ofAStrictOrderHoldsBehindTheDead(t *testing.T) {
	t.Parallel()
	for dead, held := range map[string][]string{"e2": {"e3", "e4", "e6"}, "e3": {"e4", "e6"}} {
		synctest.Test(t, func(t *testing.T) {
			a := &arrays{answers: func([]string) (int, []string) { return 200, []string{dead} }}
			l := newArrays(t, a, func(e *config.Endpoint) {
				e.Ordering, e.OnDead, e.Batch.Partial, e.Concurrency = config.OrderingStrict, config.OnDeadHold, true, 8
				e.Retry.Schedule = []time.Duration{}
			})
			events(l, 1, 6)
			l.later(time.Hour)
			require.Equal(t, [][]string{{"e1", "e2", "e3"}}, a.all, "one request at a time")
			require.Equal(t, []string{"#1 200 dead"}, attemptsOf(l, dead))
			for _, id := range held {
				l.requireRow(id, outbox.Pending, outbox.ReasonOrder)
			}
			l.stop()
			require.Empty(t, l.tables.problems)
		})
	}
}

func TestBatch_aProbeHasOneEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{takes: time.Second, answers: func(ids []string) (int, []string) {
			if slices.Contains(ids, "e1") {
				return 500, nil
			}
			return 200, nil
		}}
		l := newArrays(t, a, func(e *config.Endpoint) {
			e.Circuit, e.Concurrency = config.Circuit{Failures: 1, Reopen: 5 * time.Second}, 8
			e.Retry.Schedule = []time.Duration{time.Hour, time.Hour}
		})
		events(l, 1, 3)
		l.later(10 * time.Second) // half open, and nothing is due
		events(l, 4, 4)
		synctest.Wait()
		require.Equal(t, []string{"0s: e1 e2 e3", "10s: e4"}, a.got, "it waits for no company")
		events(l, 5, 9)
		l.later(time.Minute)
		require.ElementsMatch(t, []string{"e5", "e6", "e7", "e8", "e9"}, slices.Concat(a.all[2:]...), "%v", a.got)
		l.stop()
	})
}

// TestBatch_limitsCountRequests: a rate and what failures open a circuit are of requests.
func TestBatch_limitsCountRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{}
		l := newArrays(t, a, func(e *config.Endpoint) { e.Rate, e.ParkAfter = 2, time.Minute })
		events(l, 1, 9)
		l.later(10 * time.Second)
		require.Equal(t, []string{"0s: e1 e2 e3", "500ms: e4 e5 e6", "1s: e7 e8 e9"}, a.got)
		l.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{answers: func([]string) (int, []string) { return 500, nil }}
		l := newArrays(t, a, func(e *config.Endpoint) { e.Circuit = config.Circuit{Failures: 2, Reopen: time.Hour} })
		events(l, 1, 3)
		l.later(100 * time.Millisecond)
		events(l, 4, 6)
		l.later(time.Second)
		require.Len(t, a.all, 2, "three events that failed are one failure")
		l.stop()
	})
}

// TestBatch_aRequestThatIsNotMadeCostsNoAttempt: what was to go out together goes out later.
func TestBatch_aRequestThatIsNotMadeCostsNoAttempt(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]webhook.Result{
		"not sent":                          {Unsent: true},
		"not made for this machine's lack":  {Local: true},
		"broken off by this machine's lack": {Local: true, Reached: true},
	} {
		for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingStrict} {
			t.Run(name+string(ordering), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					tries := 0
					var got []string
					l := newLife(t)
					e := l.endpoint()
					e.Config.Ordering, e.Config.Batch = ordering, config.Batch{Events: 4, Wait: 100 * time.Millisecond, Bytes: 10_000}
					e.Config.Retry.Schedule = nil // a failure would be the last
					e.Sender = batchSender(func(b *webhook.Batch) []webhook.Result {
						tries++
						results := make([]webhook.Result, len(b.Requests))
						for i := range results {
							results[i] = answer(&b.Requests[i], 200)
							if tries == 1 {
								results[i] = broken
								results[i].Attempt = answer(&b.Requests[i], 0).Attempt
							} else {
								got = append(got, b.Requests[i].Event.ID)
							}
						}
						return results
					})
					l.change(e)
					events(l, 1, 6)
					l.later(time.Hour)
					require.ElementsMatch(t, []string{"e1", "e2", "e3", "e4", "e5", "e6"}, got)
					require.True(t, ordering == config.OrderingNone || slices.IsSorted(got), "%v", got)
					require.Empty(t, l.tables.rows)
					require.Empty(t, l.tables.changes, "it says nothing of the receiver")
					require.Equal(t, broken.Reached, len(l.tables.attempts) > 6, "what may have got there is on record")
					l.stop()
					require.Empty(t, l.tables.problems)
				})
			})
		}
	}
}

// TestBatch_noRowBeforeThoseInFlight: what is parked behind deliveries that are in flight together
// leaves none of them without a row.
func TestBatch_noRowBeforeThoseInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{takes: 10 * time.Second}
		l := newArrays(t, a, func(e *config.Endpoint) { e.Ordering, e.ParkAfter = config.OrderingStrict, time.Minute })
		events(l, 1, 5)
		l.later(time.Second)
		require.Equal(t, [][]string{{"e1", "e2", "e3"}}, a.all)
		l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusPaused})
		l.later(time.Second)
		for i := 1; i <= 5; i++ {
			_, ok := l.row(fmt.Sprintf("e%d", i))
			require.True(t, ok, "e%d", i)
		}
		l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusActive})
		l.later(time.Minute)
		require.Equal(t, [][]string{{"e1", "e2", "e3"}, {"e4", "e5"}}, a.all)
		require.Empty(t, l.tables.rows)
		l.stop()
		require.Empty(t, l.tables.problems)
	})
}

type batchSender func(b *webhook.Batch) []webhook.Result

func (batchSender) Send(context.Context, *webhook.Request) webhook.Result { panic("not an array") }

func (s batchSender) SendBatch(_ context.Context, b *webhook.Batch) []webhook.Result { return s(b) }

var _ dispatch.Sender = batchSender(nil)
