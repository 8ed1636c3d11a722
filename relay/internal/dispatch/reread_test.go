package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// failingHeads is a table whose keys cannot be read for a while.
type failingHeads struct {
	dispatch.Ledger

	until time.Time
	asked atomic.Int64
}

func (f *failingHeads) KeyHeads(ctx context.Context, id string, dead bool, most int) ([]ledger.KeyHead, error) {
	if f.asked.Add(1); time.Now().Before(f.until) {
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
		require.Greater(t, f.asked.Load(), int64(5))
		require.LessOrEqual(t, f.asked.Load(), int64(20))
		l.gate.answer <- 500
		l.later(2 * time.Minute)
		require.Equal(t, 1, l.gate.sent())
		before := f.asked.Load()
		l.gate.answer <- 200
		l.later(15 * time.Minute)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		require.Equal(t, before, f.asked.Load(), "nobody has changed anything since")
		l.stop()
	})
}

// A new order ignores what the table says of the old one.
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
		require.LessOrEqual(t, f.asked.Load(), int64(15))
		require.Greater(t, f.asked.Load(), int64(3))
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
