package dispatch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// beside has a life in which another endpoint takes every b, and a lane has room for a few.
func beside(t *testing.T, room int) *life {
	t.Helper()
	return newLife(t, func(_ *life, o *dispatch.Options) {
		o.LaneEvents = room
		o.Endpoints = []dispatch.Endpoint{{
			Sender: sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 200) }),
			Config: config.Endpoint{
				ID: "other", Concurrency: 64, ParkAfter: time.Hour, Timeout: time.Minute, Subscriptions: []config.Subscription{{Events: []string{"b"}}},
			},
		}}
	})
}

// A receiver that takes less than there is for it is not sent what is new before what is old: once
// its lane was full, everything goes by the table until that is sent.
func TestALaneThatWasFullTakesNothingNewBeforeWhatItParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const room = 4
		l := beside(t, room)
		e := l.endpoint()
		e.Config.ParkAfter, e.Config.Subscriptions = time.Hour, []config.Subscription{{Events: []string{"a"}}}
		l.change(e)
		l.commit(func(tx *source.Unsettled) {
			l.Dispatch(outbox.Event{ID: "b", Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
		})
		send := func(from, to int) {
			for i := from; i < to; i++ {
				l.event(fmt.Sprint("e", i))
				l.later(50 * time.Millisecond)
			}
		}
		reason := func(event string) outbox.Reason {
			row, _ := l.row(event)
			return row.Reason
		}
		send(0, room+1) // one is sent, and others wait
		l.event("e5")
		l.gate.answer <- 200
		synctest.Wait()
		l.event("e6")
		l.later(20 * time.Millisecond)
		require.Equal(t, outbox.ReasonLaneFull, reason("e5"))
		require.Equal(t, outbox.ReasonSlow, reason("e6"), "there was room, and something older on its way to the table")
		for range room + 2 {
			l.gate.answer <- 200
			l.later(time.Minute)
		}
		require.Empty(t, l.tables.rows)
		send(room+3, room+4)
		require.Empty(t, l.tables.rows, "it has caught up, and takes what is new as before")
		l.gate.answer <- 200
		l.later(time.Second)
		var order []string
		for i := range l.gate.calls {
			order = append(order, l.gate.calls[i].Event.ID)
		}
		require.Equal(t, []string{"e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"}, order)
		l.stop()
	})
}

// Beside others a lane has room for a thousand deliveries, unless it is told otherwise.
func TestALaneHasRoomForManyByDefault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const room = 1024
		l := beside(t, 0)
		e := l.endpoint()
		e.Config.ParkAfter, e.Config.Subscriptions = time.Hour, []config.Subscription{{Events: []string{"a"}}}
		l.change(e)
		l.commit(func(tx *source.Unsettled) {
			l.Dispatch(outbox.Event{ID: "b", Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
		})
		l.event("in flight")
		l.later(time.Second)
		events(l, 1, room)
		l.later(time.Second)
		require.Empty(t, l.tables.rows)
		l.event("beyond")
		l.later(time.Second)
		l.requireRow("beyond", outbox.Pending, outbox.ReasonLaneFull)
		l.stop()
	})
}

// What waits in the table for a time of its own, such as a retry, is not caught up with: it keeps
// nothing new from memory.
func TestALaneThatWasFullWaitsForNothingThatIsNotDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const room = 4
		l := beside(t, room)
		e := l.endpoint()
		e.Config.ParkAfter, e.Config.Subscriptions = time.Hour, []config.Subscription{{Events: []string{"a"}}}
		e.Config.Retry.Schedule = []time.Duration{10 * time.Hour}
		l.change(e)
		l.commit(func(tx *source.Unsettled) {
			l.Dispatch(outbox.Event{ID: "b", Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
		})
		l.event("fails")
		l.gate.answer <- 500
		l.later(time.Second)
		l.requireRow("fails", outbox.Pending, outbox.ReasonFailed)
		for i := range room + 2 {
			l.event(fmt.Sprint("e", i))
			l.later(50 * time.Millisecond)
		}
		l.requireRow("e5", outbox.Pending, outbox.ReasonLaneFull)
		for range room + 2 {
			l.gate.answer <- 200
			l.later(time.Minute)
		}
		l.event("new")
		l.later(time.Second)
		require.Equal(t, room+4, l.gate.sent(), "it is on its way")
		_, parked := l.row("new")
		require.False(t, parked)
		l.gate.answer <- 200
		l.later(time.Second)
		l.stop()
	})
}

// Alone, an endpoint keeps nobody waiting: its lane grows as far as the budget of all.
func TestALaneOfTheOnlyEndpointWithTrafficIsNeverFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(_ *life, o *dispatch.Options) { o.LaneEvents = 4 })
		e := l.endpoint()
		e.Config.ParkAfter = time.Hour
		l.change(e)
		for i := range 20 {
			l.event(fmt.Sprint("e", i))
		}
		l.later(time.Second)
		require.Empty(t, l.tables.rows)
		for range 20 {
			l.gate.answer <- 200
		}
		l.later(time.Second)
		require.Equal(t, 20, l.gate.sent())
		l.stop()
	})
}

// Whether others have traffic is a matter of now: who has had none for long waits for nobody, and
// is waited for again with its next event.
func TestALaneIsFullOnlyWhileOthersHaveTraffic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := beside(t, 4)
		e := l.endpoint()
		e.Config.ParkAfter = 10 * time.Hour
		e.Config.Subscriptions = []config.Subscription{{Events: []string{"a"}}}
		l.change(e)
		other := func() {
			l.commit(func(tx *source.Unsettled) {
				l.Dispatch(outbox.Event{ID: fmt.Sprint("b", l.at), Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
			})
			l.later(time.Second)
		}
		// fills says whether a lane is full with six events, and has them sent.
		fills := func(name string) (full bool) {
			l.commit(func(tx *source.Unsettled) {
				for i := range 6 {
					l.Dispatch(outbox.Event{ID: fmt.Sprint(name, i), Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), Seq: int64(i)}, tx)
				}
			})
			l.later(time.Second)
			_, full = l.row(name + "5")
			for range 6 {
				l.gate.answer <- 200
				l.later(time.Minute)
			}
			return full
		}
		other()
		require.True(t, fills("beside"))
		l.later(100 * time.Hour)
		require.False(t, fills("alone"))
		other()
		require.True(t, fills("again"))
		require.Equal(t, 18, l.gate.sent())
		l.stop()
	})
}

// What a receiver says while it is well does not date from a failure.
func TestANoticeOfAnEndpointThatIsWellSaysOfNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []map[string]any
		l := newLife(t, func(_ *life, o *dispatch.Options) {
			o.Committed = func(b dispatch.Recorded) {
				looked.Lock()
				defer looked.Unlock()
				for _, content := range b.Emit {
					var e struct {
						Event struct {
							Data map[string]any `json:"data"`
						} `json:"event"`
					}
					if err := json.Unmarshal(content, &e); err != nil {
						panic(err)
					}
					seen = append(seen, e.Event.Data)
				}
			}
			o.Endpoints = []dispatch.Endpoint{{
				Sender: sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 200) }),
				Config: config.Endpoint{
					ID: "ops", Concurrency: 1, ParkAfter: time.Second, Timeout: time.Minute,
					Subscriptions: []config.Subscription{{Events: []string{"webhook.*"}}},
				},
			}}
		})
		e := l.endpoint()
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			res := answer(r, 200)
			res.Word = string(retry.WordDisable)
			return res
		})
		l.change(e)
		l.event("e1")
		l.later(time.Second)
		require.Len(t, seen, 1)
		require.NotContains(t, seen[0], "failing_since")
		require.Contains(t, seen[0]["reason"], "disable")
		require.Len(t, l.tables.changes, 1)
		require.Equal(t, ledger.StatusDisabled, l.tables.changes[0].Status)
		l.stop()
	})
}

// Who asks about an endpoint that is left alone learns that nothing is admitted, until when, and
// that it is over once it is.
func TestAdmission_saysUntilWhenAnEndpointIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			res := answer(r, 429)
			res.RetryAfter = 10 * time.Minute
			return res
		})
		e.Config.Retry.Schedule = []time.Duration{time.Hour, time.Hour}
		l.change(e)
		a, ok := l.Admission("ep_1")
		require.True(t, ok)
		require.Equal(t, dispatch.Admission{Admitting: 1, Concurrency: 1}, a)
		require.Empty(t, l.Limited())
		asked := time.Now()
		for i := range 3 { // one that asks may have been alone with it
			l.event(fmt.Sprint("e", i))
			l.later(time.Second)
		}
		a, _ = l.Admission("ep_1")
		require.Zero(t, a.Admitting)
		require.WithinRange(t, a.PausedUntil, asked.Add(10*time.Minute), asked.Add(11*time.Minute))
		require.Equal(t, a, l.Limited()["ep_1"])
		l.later(time.Until(a.PausedUntil))
		a, _ = l.Admission("ep_1")
		require.Equal(t, 1, a.Admitting)
		require.Zero(t, a.PausedUntil)
		_, ok = l.Admission("ep_2")
		require.False(t, ok)
		l.stop()
	})
}

// Who has had an event within park_after has traffic, though there was nothing to do for a while
// before.
func TestALaneIsFullBesideOneThatHadTrafficLately(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const room = 4
		l := beside(t, room)
		e := l.endpoint()
		e.Config.ParkAfter, e.Config.Subscriptions = 10*time.Hour, []config.Subscription{{Events: []string{"a"}}}
		l.change(e)
		for range 2 {
			l.commit(func(tx *source.Unsettled) {
				l.Dispatch(outbox.Event{ID: fmt.Sprint("b", l.at), Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
			})
			l.later(45 * time.Minute) // of an hour
		}
		events(l, 1, room+2)
		l.later(time.Second)
		require.NotEmpty(t, l.tables.rows)
		for range room + 2 {
			l.gate.answer <- 200
			l.later(time.Minute)
		}
		require.Equal(t, room+2, l.gate.sent())
		l.stop()
	})
}
