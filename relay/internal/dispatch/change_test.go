package dispatch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// gate is a Sender that answers when it is told to.
type gate struct {
	alone

	mu     sync.Mutex
	calls  []webhook.Request
	answer chan int // a status code for each request
	word   string   // beside every answer
	token  bool     // there is none to send with, where the answer is 0
}

func (g *gate) Send(ctx context.Context, r *webhook.Request) webhook.Result {
	g.mu.Lock()
	g.calls = append(g.calls, *r)
	g.mu.Unlock()
	a := outbox.Attempt{EventID: r.Event.ID, Number: r.Number, Trigger: r.Trigger, AttemptedAt: r.Now, CommitLSN: r.Event.CommitLSN}
	select {
	case a.StatusCode = <-g.answer:
	case <-ctx.Done():
		a.Error = "aborted"
	}
	return webhook.Result{Attempt: a, Word: g.word, Barred: g.token && a.StatusCode == 0}
}

func (g *gate) sent() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.calls)
}

// life is a dispatcher without endpoints in virtual time.
type life struct {
	*dispatch.Dispatcher

	t       *testing.T
	tables  *tables
	tracker *source.Frontier
	at      source.Position
	gate    *gate
	stop    func()
}

func newLife(t *testing.T, with ...func(*life, *dispatch.Options)) *life {
	t.Helper()
	l := &life{t: t, tables: newTables(rand.New(rand.NewPCG(1, 1))), tracker: source.NewFrontier(0), gate: &gate{answer: make(chan int, 100)}}
	o := dispatch.Options{Ledger: l.tables, Frontier: l.tracker, Ack: l.tables.ack, Grace: time.Second}
	for _, set := range with {
		set(l, &o)
	}
	l.Dispatcher = dispatch.New(t.Context(), o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	l.stop = func() {
		cancel()
		require.NoError(t, <-done)
		require.Empty(t, l.tables.problems)
	}
	return l
}

// commit runs f as a transaction of the stream.
func (l *life) commit(f func(tx *source.Unsettled)) {
	l.at += 10
	tx := l.tracker.Begin(time.Now())
	f(tx)
	l.tracker.Commit(tx, l.at+5)
	l.Advanced()
}

func (l *life) endpoint() *dispatch.Endpoint {
	return &dispatch.Endpoint{Streamed: true, Sender: l.gate, Config: config.Endpoint{
		ID: "ep_1", Ordering: config.OrderingNone, Concurrency: 1, ParkAfter: time.Second, Timeout: time.Minute,
		Retry: config.Retry{Schedule: []time.Duration{time.Minute}}, Subscriptions: []config.Subscription{{}},
	}}
}

func (l *life) change(e *dispatch.Endpoint) {
	l.commit(func(tx *source.Unsettled) {
		c := dispatch.Change{ID: "ep_1", Endpoint: e, Version: ledger.EndpointVersion{EndpointID: "ep_1", CommitLSN: outbox.LSN(l.at)}}
		if e != nil {
			c.ID, c.Version.EndpointID = e.Config.ID, e.Config.ID
			c.Version.Row = []byte("{}")
		}
		l.Change([]dispatch.Change{c}, tx)
	})
}

func (l *life) event(id string) { l.keyed(id, "") }

func (l *life) keyed(id, key string) {
	l.commit(func(tx *source.Unsettled) {
		l.Dispatch(outbox.Event{ID: id, Type: "a", Key: key, Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), Seq: 1}, tx)
	})
}

// timed brings an event with times, as so long from now; 0: it has none.
func (l *life) timed(id, key string, deliver, expire time.Duration) {
	ev := outbox.Event{ID: id, Type: "a", Key: key, Payload: []byte("{}")}
	now := time.Now()
	if deliver != 0 {
		ev.DeliverAt = now.Add(deliver)
	}
	if expire != 0 {
		ev.ExpiresAt = now.Add(expire).In(time.FixedZone("", 3600)) // as a database may have it
	}
	l.commit(func(tx *source.Unsettled) {
		ev.CommitLSN = outbox.LSN(l.at)
		l.Dispatch(ev, tx)
	})
}

// requireRow says what the table has of an event.
func (l *life) requireRow(id string, state outbox.State, reason outbox.Reason) outbox.Delivery {
	l.t.Helper()
	row, ok := l.row(id)
	require.True(l.t, ok, id)
	require.Equal(l.t, state, row.State, id)
	require.Equal(l.t, reason, row.Reason, id)
	return row
}

func (l *life) later(d time.Duration) {
	looked.Lock()
	looked.Unlock() //nolint:staticcheck // only the order counts
	l.tables.mu.Lock()
	l.tables.mu.Unlock() //nolint:staticcheck // likewise
	pause(l.t.Context(), d)
	synctest.Wait()
	before := l.done()
	dispatch.Nudge(l.Dispatcher)
	synctest.Wait()
	require.Equal(l.t, before, l.done(), "something could have gone before, and nobody looked")
}

// done returns how many deliveries are in flight, and how many attempts are recorded.
func (l *life) done() (counts [2]int) {
	l.tables.mu.Lock()
	defer l.tables.mu.Unlock()
	return [2]int{dispatch.Flying(l.Dispatcher), len(l.tables.attempts)}
}

// TestChange_ofAnEndpointThatIsNotKnownTouchesNoOther: the stream may bring the end of one that was
// gone before it began.
func TestChange_ofAnEndpointThatIsNotKnownTouchesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.commit(func(tx *source.Unsettled) {
			l.Change([]dispatch.Change{{ID: "ep_gone", Version: ledger.EndpointVersion{EndpointID: "ep_gone", CommitLSN: outbox.LSN(l.at)}}}, tx)
		})
		l.event("e1")
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 1, l.gate.sent())
		require.Equal(t, l.at+5, l.tables.position())
		l.stop()
	})
}

func TestChange_startsAndEndsAtItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.event("before")
		l.change(l.endpoint())
		l.event("after")
		l.later(100 * time.Millisecond)
		require.Equal(t, 1, l.gate.sent())
		require.Less(t, l.tables.settled, l.at, "the event is not settled yet")
		l.gate.answer <- 200
		l.later(100 * time.Millisecond)
		require.Equal(t, l.at+5, l.tables.settled)
		require.Len(t, l.tables.versions, 1)

		// Of what waits at the end nothing is sent or kept, and what is in flight is recorded
		// without a row.
		for i := range 5 {
			l.event(fmt.Sprint("waits", i))
		}
		l.later(100 * time.Millisecond)
		l.change(nil)
		l.event("gone")
		l.later(100 * time.Millisecond)
		require.Equal(t, l.at+5, l.tables.settled, "the frontier waits for no request to an endpoint that is gone")
		l.gate.answer <- 500
		l.later(time.Hour)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		require.Len(t, l.tables.attempts, 2)
		require.Equal(t, outbox.Dead, l.tables.attempts[1].Outcome, "nobody will try again")
		l.stop()
		require.Empty(t, l.tables.problems)
		require.Empty(t, l.tables.rows)
	})
}

func TestChange_dropsRowsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.event("fails")
		l.gate.answer <- 500
		l.later(time.Second)
		require.Len(t, l.tables.rows, 1)
		l.event("slow")
		l.later(5 * time.Second)
		require.Len(t, l.tables.rows, 2)
		l.change(nil)
		l.later(time.Second)
		require.Empty(t, l.tables.rows)
		l.gate.answer <- 200
		l.later(time.Hour)
		require.Equal(t, 2, l.gate.sent())
		require.Equal(t, outbox.Delivered, l.tables.attempts[1].Outcome, "what is delivered is, whoever is gone by then")
		l.change(l.endpoint())
		l.event("again")
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 3, l.gate.sent())
		l.stop()
	})
}

func TestDue_looksAtRowsOfOthers(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				e := l.endpoint()
				e.Config.Ordering = ordering
				l.change(e)
				l.later(time.Second)
				for i, key := range []string{"k", "k", ""} {
					row := outbox.Delivery{
						Event:      outbox.Event{ID: fmt.Sprint("e", i), Key: key, CommitLSN: 1, Seq: int64(i)},
						EndpointID: "ep_1", State: outbox.Pending, NextAttemptAt: time.Now(), Attempts: 3, Trigger: outbox.TriggerReplay,
					}
					l.tables.mu.Lock()
					l.tables.rows[outbox.Pair{EventID: row.Event.ID, EndpointID: "ep_1"}] = row
					l.tables.mu.Unlock()
				}
				l.later(time.Hour)
				require.Zero(t, l.gate.sent(), "nobody polls")
				l.Due("ep_1")
				l.Due("ep_unknown")
				for range 3 {
					l.gate.answer <- 200
				}
				l.later(10 * time.Second)
				require.Equal(t, 3, l.gate.sent())
				require.Equal(t, outbox.TriggerReplay, l.gate.calls[0].Trigger)
				require.Equal(t, 4, l.gate.calls[0].Number)
				require.Empty(t, l.tables.rows)
				l.stop()
			})
		})
	}
}

func TestSetState_pausesAndResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.SetState("ep_1", ledger.EndpointState{Status: "paused"})
		l.event("e1")
		l.later(time.Hour)
		require.Zero(t, l.gate.sent())
		require.Len(t, l.tables.rows, 1)
		// A change of its settings resumes nothing.
		l.change(l.endpoint())
		l.later(time.Hour)
		require.Zero(t, l.gate.sent())
		l.gate.answer <- 200
		l.SetState("ep_1", ledger.EndpointState{Status: "active"})
		l.later(time.Second)
		require.Equal(t, 1, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

func TestSetState_enablingClearsWhatItWasDisabledFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.event("e1")
		l.gate.answer <- 410
		l.later(time.Second)
		failing := time.Now()
		l.gate.answer <- 200
		l.SetState("ep_1", ledger.EndpointState{Status: "active", FailingSince: failing})
		l.later(time.Second)
		require.Equal(t, 2, l.gate.sent())
		last := l.tables.changes[len(l.tables.changes)-1]
		require.Equal(t, ledger.EndpointChange{EndpointID: "ep_1"}, last, "healthy again, in its row too")
		l.stop()
	})
}

// TestChange_madeAnewAtOnce: an endpoint that is deleted and made again with no event in between,
// so that both changes come together, gets what follows.
func TestChange_madeAnewAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.event("e1")
		l.later(time.Millisecond) // in flight
		l.commit(func(tx *source.Unsettled) {
			version := ledger.EndpointVersion{EndpointID: "ep_1", CommitLSN: outbox.LSN(l.at)}
			made := version
			made.Row = []byte("{}")
			l.Change([]dispatch.Change{{ID: "ep_1", Version: version}, {ID: "ep_1", Endpoint: l.endpoint(), Version: made}}, tx)
		})
		l.event("e2")
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// TestTheReceiversWord_disables: a receiver may take an event and ask for no more.
func TestTheReceiversWord_disables(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.gate.word = "disable"
		l.event("e1")
		l.gate.answer <- 200
		l.later(time.Second)
		require.Empty(t, l.tables.rows, "it was delivered")
		last := l.tables.changes[len(l.tables.changes)-1]
		require.Equal(t, "disabled", last.Status)
		require.Equal(t, "the receiver asked for it (webhook-delivery: disable)", last.DisabledReason)
		l.event("e2")
		l.later(time.Hour)
		require.Equal(t, 1, l.gate.sent())
		require.Equal(t, outbox.ReasonDisabled, l.tables.rows[outbox.Pair{EventID: "e2", EndpointID: "ep_1"}].Reason)
		l.stop()
	})
}

// TestARefusal_endsTheDeliveryAndNothingElse: an answer that the endpoint takes for a refusal makes
// its delivery dead at once, and however many there are, no circuit opens.
func TestARefusal_endsTheDeliveryAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Retry.Permanent = config.Statuses{"422"}
		e.Config.Circuit = config.Circuit{Failures: 2, Reopen: time.Hour}
		e.Config.DisableAfter = time.Minute
		l.change(e)
		for _, id := range []string{"e1", "e2", "e3", "e4"} {
			l.event(id)
			l.gate.answer <- 422
			l.later(time.Minute)
			row := l.tables.rows[outbox.Pair{EventID: id, EndpointID: "ep_1"}]
			require.Equal(t, outbox.ReasonRejected, row.Reason, id)
			require.Equal(t, 1, row.Attempts)
		}
		require.Equal(t, 4, l.gate.sent())
		require.Empty(t, l.tables.changes)
		l.stop()
	})
}

// TestAnEventWithNowhereToGo_saysNothingOfTheReceiver: its delivery is dead at once, as is that of
// one that makes no request, and the endpoint neither opens its circuit nor is disabled.
func TestAnEventWithNowhereToGo_saysNothingOfTheReceiver(t *testing.T) {
	t.Parallel()
	for reason, nowhere := range map[outbox.Reason]bool{outbox.ReasonUnaddressable: true, outbox.ReasonInvalid: false} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Config.Circuit = config.Circuit{Failures: 2, Reopen: time.Hour}
			e.Config.DisableAfter = time.Minute
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				res := answer(r, 0)
				res.Attempt.Error, res.Permanent, res.Unaddressable = "it has no place", true, nowhere
				return res
			})
			l.change(e)
			for _, id := range []string{"e1", "e2", "e3", "e4"} {
				l.event(id)
				l.later(time.Minute)
				l.requireRow(id, outbox.StateDead, reason)
			}
			require.Empty(t, l.tables.changes)
			l.stop()
		})
	}
}

// TestAMissingToken_saysNothingOfTheReceiver: while the authorization server gives no token,
// deliveries are retried by their schedule, and the endpoint neither opens its circuit nor is
// disabled.
func TestAMissingToken_saysNothingOfTheReceiver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.gate.token = true
		e := l.endpoint()
		e.Config.Retry.Schedule = []time.Duration{time.Minute, time.Minute, time.Minute, time.Minute}
		e.Config.Circuit = config.Circuit{Failures: 2, Reopen: 24 * time.Hour}
		e.Config.DisableAfter = time.Minute
		l.change(e)
		l.event("e1")
		for n := 1; n <= 4; n++ {
			l.gate.answer <- 0
			l.later(30 * time.Second)
			row := l.tables.rows[outbox.Pair{EventID: "e1", EndpointID: "ep_1"}]
			require.Equal(t, outbox.ReasonAuthFailed, row.Reason)
			require.Equal(t, n, row.Attempts)
			l.later(40 * time.Second)
		}
		require.Empty(t, l.tables.changes)
		l.gate.answer <- 200
		l.later(time.Minute)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

func TestBlocked_parksUntilItIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		blocked := l.endpoint()
		blocked.Sender, blocked.Blocked = nil, true
		l.change(blocked)
		l.event("e1")
		l.SetState("ep_1", ledger.EndpointState{Status: "active"})
		l.later(time.Hour)
		require.Len(t, l.tables.rows, 1)
		require.Equal(t, outbox.ReasonUnusable, l.tables.rows[outbox.Pair{EventID: "e1", EndpointID: "ep_1"}].Reason)
		l.gate.answer <- 200
		l.change(l.endpoint())
		l.later(time.Second)
		require.Equal(t, 1, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// WAL without events is acknowledged only once the ledger has been told, which decides whether that
// takes a record.
func TestWhatPassesWithoutEventsIsToldTheLedgerFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.tracker.Keepalive(100)
		l.Advanced()
		l.later(100 * time.Millisecond)
		l.stop()
		require.EqualValues(t, 100, l.tables.acked)
		require.Empty(t, l.tables.problems)
	})
}
