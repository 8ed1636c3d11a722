package dispatch_test

import (
	"context"
	"errors"
	"fmt"
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

// What a transaction brought for an endpoint before it took that away goes with it, and what it
// brought after it made that anew stays.
func TestChange_dropsRowsOfItsOwnTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		blocked := l.endpoint()
		blocked.Sender, blocked.Blocked = nil, true
		l.change(blocked)
		l.commit(func(tx *source.Unsettled) {
			version := ledger.EndpointVersion{EndpointID: "ep_1", CommitLSN: outbox.LSN(l.at)}
			brings := func(id string, seq int64) {
				l.Dispatch(outbox.Event{ID: id, Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), Seq: seq}, tx)
			}
			brings("before", 3)
			l.Change([]dispatch.Change{{ID: "ep_1", Version: version, Seq: 4}}, tx)
			version.Row = []byte("{}")
			l.Change([]dispatch.Change{{ID: "ep_1", Endpoint: blocked, Version: version, Seq: 4}}, tx)
			brings("after", 4)
		})
		l.later(time.Second)
		require.Len(t, l.tables.rows, 1)
		l.requireRow("after", outbox.Pending, outbox.ReasonUnusable)
		l.stop()
	})
}

// What comes from the table and could not be sent is there as it was, with the attempts that it had.
func TestLocal_leavesARowAsItWas(t *testing.T) {
	t.Parallel()
	for _, result := range []webhook.Result{{Local: true}, {Unsent: true}} {
		synctest.Test(t, func(t *testing.T) {
			pair := outbox.Pair{EventID: "e0", EndpointID: "ep_1"}
			var was outbox.Delivery
			l := newLife(t, func(l *life, o *dispatch.Options) {
				e := l.waiting(1)
				e.Sender = sender(func(context.Context, *webhook.Request) webhook.Result { return result })
				was = l.tables.rows[pair]
				was.Attempts, was.LastStatus, was.LastError, was.Reason = 3, 500, "it is unwell", outbox.ReasonFailed
				l.tables.rows[pair] = was
				o.Endpoints = []dispatch.Endpoint{*e}
			})
			l.later(time.Minute)
			l.stop()
			require.Equal(t, was, l.tables.rows[pair])
		})
	}
}

// Who was let through and has nothing to send any more keeps nobody else waiting.
func TestRequestsThatAreNotNeededAnyMoreTakeNoPlace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		expire    time.Duration
		meanwhile func(l *life)
	}{
		"paused":  {0, func(l *life) { l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusPaused}) }},
		"expired": {time.Millisecond, func(*life) {}},
	} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			l := newLife(t, func(l *life, o *dispatch.Options) {
				other := l.endpoint()
				other.Streamed, other.Config.ID, other.Config.Subscriptions = false, "other", []config.Subscription{{Events: []string{"b"}}}
				other.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
					sent++
					pause(ctx, 3*time.Millisecond)
					return answer(r, 200)
				})
				o.MaxYoung, o.Endpoints = 1, []dispatch.Endpoint{*other}
			})
			other := func() {
				l.commit(func(tx *source.Unsettled) {
					l.Dispatch(outbox.Event{ID: "b", Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
				})
			}
			e := l.endpoint()
			e.Config.Subscriptions = []config.Subscription{{Events: []string{"a"}}}
			l.change(e)
			other()
			synctest.Wait()
			l.timed("waits", "", 0, test.expire)
			synctest.Wait()
			test.meanwhile(l)
			l.later(time.Second)
			require.Zero(t, l.gate.sent(), name)
			require.Len(t, l.tables.rows, 1)
			other()
			l.later(time.Second)
			require.Equal(t, 2, sent, name)
			l.stop()
		})
	}
}

// Once a receiver is to be left alone, what waits for it in memory waits in the table, and holds no WAL.
func TestCircuit_parksWhatWaitsOnceItIsOpen(t *testing.T) {
	t.Parallel()
	for reason, status := range map[outbox.Reason]int{outbox.ReasonDisabled: 410, outbox.ReasonCircuitOpen: 500} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Config.ParkAfter, e.Config.Circuit = time.Hour, config.Circuit{Failures: 1, Reopen: time.Hour}
			l.change(e)
			events(l, 1, 3)
			l.gate.answer <- status
			l.later(time.Second)
			l.requireRow("e3", outbox.Pending, reason)
			require.Equal(t, l.at+5, l.tables.position())
			require.Equal(t, 1, l.gate.sent())
			l.stop()
		})
	}
}

// Whoever finds that an endpoint has not shown yet that it wants events has it asked at once, and
// nothing is sent to it meanwhile.
func TestProof_thatIsTakenBackIsAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		c := &careful{gate: l.gate}
		e := l.endpoint()
		e.Sender, e.Proof, e.State.Verified, e.Config.ParkAfter = c, "p1", "p1", time.Hour
		l.change(e)
		events(l, 1, 2)
		l.later(time.Second)
		require.Zero(t, c.asked)
		l.SetVerified("ep_1", "")
		l.gate.answer <- 200
		l.later(time.Second)
		require.Equal(t, 1, c.asked)
		require.Equal(t, 1, l.gate.sent(), "what was on its way")
		l.requireRow("e2", outbox.Pending, outbox.ReasonUnverified)
		l.stop()
	})
}

// failingHeads is a table whose keys cannot be read for a while.
type failingHeads struct {
	dispatch.Ledger

	until time.Time
	asked int
}

func (f *failingHeads) KeyHeads(ctx context.Context, id string, dead bool, most int) ([]ledger.KeyHead, error) {
	looked.Lock()
	looked.Unlock() //nolint:staticcheck // only the order counts
	if f.asked++; time.Now().Before(f.until) {
		return nil, errors.New("the statement timed out")
	}
	return f.Ledger.KeyHeads(ctx, id, dead, most)
}

// What somebody changed is looked for until it is found, after pauses that grow, and then no more.
func TestReread_goesOnUntilTheTableCanBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &failingHeads{until: time.Now().Add(10 * time.Minute)}
		l := newLife(t, func(l *life, o *dispatch.Options) { f.Ledger, o.Ledger = l.tables, f })
		e := l.endpoint()
		e.Config.Ordering, e.Config.Retry.Schedule = config.OrderingKey, []time.Duration{10 * time.Minute}
		l.change(e)
		l.tables.mu.Lock()
		l.tables.rows[outbox.Pair{EventID: "resent", EndpointID: "ep_1"}] = outbox.Delivery{
			Event: outbox.Event{ID: "resent", Key: "k"}, EndpointID: "ep_1", State: outbox.Pending, NextAttemptAt: time.Now(),
		}
		l.tables.mu.Unlock()
		l.Due("ep_1")
		l.later(10 * time.Minute)
		require.Greater(t, f.asked, 5)
		require.LessOrEqual(t, f.asked, 20)
		l.gate.answer <- 500
		l.later(2 * time.Minute)
		require.Equal(t, 1, l.gate.sent())
		before := f.asked
		l.gate.answer <- 200
		l.later(15 * time.Minute)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		require.Equal(t, before, f.asked, "nobody has changed anything since")
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

// What the table says of the old order is nothing that the new one goes by.
func TestReread_isInVainWhileTheOrderingChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &changing{}
		l := newLife(t, func(l *life, o *dispatch.Options) { c.Ledger, o.Ledger = l.tables, c })
		e := l.endpoint()
		e.Streamed, e.Config.Ordering, e.Config.Concurrency, e.Config.ParkAfter = false, config.OrderingKey, 8, time.Hour
		l.Reload([]dispatch.Endpoint{*e})
		l.keyed("e1", "k")
		l.later(time.Second)
		c.change = func() {
			e.Config.Ordering = config.OrderingStrict
			l.Reload([]dispatch.Endpoint{*e})
		}
		l.Due("ep_1")
		l.later(time.Second)
		l.keyed("e2", "other")
		l.later(time.Second)
		require.Equal(t, 1, l.gate.sent(), "it comes after what is in flight")
		for range 2 {
			l.gate.answer <- 200
			l.later(10 * time.Second)
		}
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// Whether an endpoint has few keys by now is asked less and less often while nothing is sent.
func TestManyKeys_areCountedAfterPausesThatGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys, few = 30, 20
		f := &failingHeads{}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			f.Ledger, o.Ledger = l.tables, f
			l.tables.keys, o.LaneKeys = few, few
			e := l.waiting(keys)
			e.Config.Ordering = config.OrderingKey
			for p, row := range l.tables.rows {
				row.Event.Key, row.NextAttemptAt = p.EventID, time.Now().Add(time.Hour)
				l.tables.rows[p] = row
			}
			l.tables.queued(e)
			require.True(t, e.ManyKeys)
			o.Endpoints = []dispatch.Endpoint{*e}
		})
		l.later(50 * time.Minute)
		require.LessOrEqual(t, f.asked, 15)
		require.Greater(t, f.asked, 3)
		l.stop()
	})
}

// cramped has room for one row of an order in an answer.
type cramped struct{ dispatch.Ledger }

func (c cramped) InKeyOrder(ctx context.Context, id string, keys []string, perKey int, dead bool) ([]outbox.Delivery, bool, error) {
	rows, _, err := c.Ledger.InKeyOrder(ctx, id, keys, perKey, dead)
	return rows[:min(1, len(rows))], len(rows) <= 1, err
}

func (c cramped) InOrder(ctx context.Context, id string, limit int, dead bool) ([]outbox.Delivery, bool, error) {
	rows, _, err := c.Ledger.InOrder(ctx, id, limit, dead)
	return rows[:min(1, len(rows))], len(rows) <= 1, err
}

// What an answer of the table had no room for is asked for again.
func TestLoader_asksForWhatAnAnswerHadNoRoomFor(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingKey, config.OrderingStrict} {
		synctest.Test(t, func(t *testing.T) {
			const rows, keys = 9, 3
			l := newLife(t, func(l *life, o *dispatch.Options) {
				o.Ledger = cramped{l.tables}
				e := l.waiting(rows)
				e.Config.Ordering = ordering
				for p, row := range l.tables.rows {
					row.Event.Key = fmt.Sprint(int(row.Event.CommitLSN) % keys)
					l.tables.rows[p] = row
				}
				l.tables.queued(e)
				o.Endpoints = []dispatch.Endpoint{*e}
			})
			for range rows {
				l.gate.answer <- 200
			}
			l.later(10 * time.Second)
			require.Equal(t, rows, l.gate.sent(), ordering)
			require.Empty(t, l.tables.rows)
			l.stop()
		})
	}
}
