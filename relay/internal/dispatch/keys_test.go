package dispatch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// manyKeys returns a life that begins with many keys in the table, two deliveries of each. It knows
// few.
func manyKeys(t *testing.T, keys, few int) *life {
	t.Helper()
	return newLife(t, func(l *life, o *dispatch.Options) {
		e := l.endpoint()
		e.Streamed, e.Config.Ordering, e.Config.Concurrency = false, config.OrderingKey, 4
		l.tables.keys, o.LaneKeys, o.LaneEvents = few, few, 8
		for i := range 2 * keys {
			row := outbox.Delivery{
				Event: outbox.Event{ID: fmt.Sprintf("%d/%d", i%keys, i/keys), Key: fmt.Sprint(i % keys), CommitLSN: outbox.LSN(i)}, EndpointID: "ep_1",
				State: outbox.Pending, NextAttemptAt: time.Now(),
			}
			if i >= keys {
				row.NextAttemptAt = time.Time{}
			}
			l.tables.rows[outbox.Pair{EventID: row.Event.ID, EndpointID: "ep_1"}] = row
		}
		l.tables.queued(e)
		require.Equal(t, keys > few/2, e.ManyKeys)
		o.Endpoints = []dispatch.Endpoint{*e}
	})
}

// answerAll has the receiver take n deliveries, and looks at the lane after each.
func (l *life) answerAll(n int, look func(v dispatch.LaneView)) {
	for range n {
		l.gate.answer <- 200
		l.later(20 * time.Millisecond)
		v, _ := dispatch.View(l.Dispatcher, "ep_1")
		look(v)
	}
	l.later(5 * time.Second)
}

// TestManyKeys_takeNoMemory: a lane has a chain of a few keys, and delivers all of them in their
// order.
func TestManyKeys_takeNoMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys, few = 400, 20
		l := manyKeys(t, keys, few)
		most := 0
		l.answerAll(2*keys, func(v dispatch.LaneView) { most = max(most, v.Chains) })
		require.LessOrEqual(t, most, few+2*16, "chains, with those of what is in memory or uncommitted")
		require.Equal(t, 2*keys, l.gate.sent())
		require.Empty(t, l.tables.rows)
		sent := map[string]int{}
		for _, c := range l.gate.calls {
			require.Equal(t, fmt.Sprintf("%s/%d", c.Event.Key, sent[c.Event.Key]), c.Event.ID)
			sent[c.Event.Key]++
		}
		l.stop()
	})
}

// TestManyKeys_areNotOvertaken: an event waits for what the table has of its key, although nothing
// is known of the key.
func TestManyKeys_areNotOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys = 40
		l := manyKeys(t, keys, 4)
		l.at = 10 * keys // all of those are before it
		l.keyed("39/2", "39")
		l.keyed("new/0", "new")
		l.answerAll(2*keys+2, func(dispatch.LaneView) {})
		require.Equal(t, 2*keys+2, l.gate.sent())
		var of39 []string
		for _, c := range l.gate.calls {
			if c.Event.Key == "39" {
				of39 = append(of39, c.Event.ID)
			}
		}
		require.Equal(t, []string{"39/0", "39/1", "39/2"}, of39)
		l.stop()
	})
}

// TestManyKeys_goFromMemoryAgainOnceTheyAreFew: no event is parked then, and nothing is asked of
// the table.
func TestManyKeys_goFromMemoryAgainOnceTheyAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys = 40
		parked := 0
		l := manyKeys(t, keys, 4)
		l.answerAll(2*keys, func(dispatch.LaneView) {})
		l.later(time.Minute)
		require.Empty(t, l.tables.rows)
		for i := range 20 {
			l.keyed(fmt.Sprint("again", i), fmt.Sprint(i))
			l.gate.answer <- 200
			l.later(10 * time.Millisecond)
			parked += len(l.tables.rows)
		}
		l.later(time.Second)
		require.Equal(t, 2*keys+20, l.gate.sent())
		require.Zero(t, parked)
		l.stop()
	})
}

// TestManyKeys_areAllFoundHoweverLittleRoomThereIs: keys that the lane knows of take the room of
// those that are to be found in the table for a while, and no longer.
func TestManyKeys_areAllFoundHoweverLittleRoomThereIs(t *testing.T) {
	t.Parallel()
	for _, room := range []int{1, 6, 12} {
		synctest.Test(t, func(t *testing.T) {
			const keys, few, each = 25, 20, 3
			n := 0
			l := newLife(t, func(l *life, o *dispatch.Options) {
				e := l.endpoint()
				e.Streamed, e.Config.Ordering = false, config.OrderingKey
				e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
					n++
					return answer(r, 200)
				})
				l.tables.keys, o.LaneKeys, o.LaneEvents = few, few, room
				for i := range keys * each {
					row := outbox.Delivery{
						Event: outbox.Event{ID: fmt.Sprint(i), Key: fmt.Sprint(i % keys), CommitLSN: outbox.LSN(i)}, EndpointID: "ep_1",
						State: outbox.Pending, NextAttemptAt: time.Now(),
					}
					l.tables.rows[outbox.Pair{EventID: row.Event.ID, EndpointID: "ep_1"}] = row
				}
				l.tables.queued(e)
				o.Endpoints = []dispatch.Endpoint{*e}
			})
			l.later(time.Minute)
			require.Equal(t, keys*each, n, "room for %d", room)
			l.stop()
		})
	}
}

// TestManyKeys_whatCouldNotBeSentKeepsItsTime: its row has the time that it had, where a sweep has
// been already, so that only the lane knows that it is to come again.
func TestManyKeys_whatCouldNotBeSentKeepsItsTime(t *testing.T) {
	t.Parallel()
	for _, batch := range []config.Batch{{}, {Events: 2, Bytes: 10_000}} {
		synctest.Test(t, func(t *testing.T) {
			const keys, few = 30, 20
			var sent sync.Map
			lacking := time.Now().Add(10 * time.Second)
			l := newLife(t, func(l *life, o *dispatch.Options) {
				e := l.endpoint()
				e.Streamed, e.Config.Ordering, e.Config.Batch, e.Config.Concurrency = false, config.OrderingKey, batch, 16
				e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
					pause(ctx, 50*time.Millisecond)
					if time.Now().Before(lacking) {
						return webhook.Result{Local: true, Attempt: outbox.Attempt{Error: "too many open files"}}
					}
					sent.Store(r.Event.ID, true)
					return answer(r, 200)
				})
				l.tables.keys, o.LaneKeys, o.LaneEvents = few, few, 8
				for i := range keys {
					row := outbox.Delivery{
						Event: outbox.Event{ID: fmt.Sprint(i), Key: fmt.Sprint(i), CommitLSN: outbox.LSN(i)}, EndpointID: "ep_1",
						State: outbox.Pending, NextAttemptAt: time.Now(),
					}
					l.tables.rows[outbox.Pair{EventID: row.Event.ID, EndpointID: "ep_1"}] = row
				}
				l.tables.queued(e)
				o.Endpoints = []dispatch.Endpoint{*e}
			})
			l.later(2 * time.Minute)
			for i := range keys {
				_, ok := sent.Load(fmt.Sprint(i))
				require.True(t, ok, "%d, in batches of %d", i, batch.Events)
			}
			require.Empty(t, l.tables.rows)
			l.stop()
		})
	}
}

// changing is a table that somebody changes right after its keys were read.
type changing struct {
	dispatch.Ledger

	change func()
}

func (c *changing) KeyHeads(ctx context.Context, id string, dead bool, most int) ([]ledger.KeyHead, error) {
	heads, err := c.Ledger.KeyHeads(ctx, id, dead, most)
	if change := c.change; change != nil && err == nil {
		c.change = nil
		change()
	}
	return heads, err
}

// TestReread_doesNotLoseWhatIsChangedMeanwhile: who says so is heard, although the table is being
// read for another who did.
func TestReread_doesNotLoseWhatIsChangedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &changing{}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			e := l.endpoint()
			e.Streamed, e.Config.Ordering = false, config.OrderingKey
			c.Ledger = l.tables
			o.Ledger, o.Endpoints = c, []dispatch.Endpoint{*e}
		})
		c.change = func() {
			l.tables.mu.Lock()
			row := outbox.Delivery{Event: outbox.Event{ID: "resent", Key: "k"}, EndpointID: "ep_1", State: outbox.Pending, NextAttemptAt: time.Now()}
			l.tables.rows[outbox.Pair{EventID: "resent", EndpointID: "ep_1"}] = row
			l.tables.mu.Unlock()
			l.Due("ep_1")
		}
		l.Due("ep_1")
		l.gate.answer <- 200
		l.later(time.Minute)
		require.Equal(t, 1, l.gate.sent())
		l.stop()
	})
}
