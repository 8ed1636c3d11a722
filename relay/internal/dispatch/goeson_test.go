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
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// What waited until its endpoint had shown that it wants events goes out at once then, whatever its
// order.
func TestProof_whatWaitedGoesOutAtOnce(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				c := &careful{gate: l.gate}
				e := l.endpoint()
				e.Sender, e.Proof, e.Config.Ordering = c, "p1", ordering
				l.change(e)
				l.event("e1")
				l.later(time.Second)
				l.requireRow("e1", outbox.Pending, outbox.ReasonUnverified)
				looked.Lock()
				c.wants = true
				looked.Unlock()
				l.gate.answer <- 200
				l.later(5 * time.Second) // when it is asked for the second time
				require.Equal(t, 1, l.gate.sent())
				require.Empty(t, l.tables.rows)
				l.stop()
			})
		})
	}
}

// However long an endpoint has not wanted events, it is asked at once when it has moved.
func TestProof_ofAnotherURLIsAskedForAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		c := &careful{gate: l.gate}
		e := l.endpoint()
		e.Sender, e.Proof = c, "p1"
		l.change(e)
		l.event("e1")
		l.later(24*time.Hour + time.Minute) // in the middle of a long pause
		moved := l.endpoint()
		moved.Sender, moved.Proof = c, "p2"
		before := c.asked
		l.change(e)
		l.later(time.Second)
		require.Equal(t, before, c.asked, "another setting is no reason")
		l.change(moved)
		l.event("e2")
		l.later(time.Second)
		require.Equal(t, before+1, c.asked)
		l.later(5 * time.Second)
		require.Equal(t, before+2, c.asked, "and again soon")
		l.stop()
	})
}

// The longer a machine lacks what requests need, the longer a lane waits; once a request was made,
// the next lack is a first one again.
func TestStrain_isOverWithARequestThatWasMade(t *testing.T) {
	t.Parallel()
	for _, batch := range []config.Batch{{}, {Events: 2, Bytes: 10_000}} {
		synctest.Test(t, func(t *testing.T) {
			const lacks = 8
			l := newLife(t)
			var tries []time.Time
			e := l.endpoint()
			e.Config.Batch = batch
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				tries = append(tries, time.Now())
				if n := len(tries); n <= lacks || n == lacks+2 {
					return webhook.Result{Local: true, Attempt: outbox.Attempt{Error: "too many open files"}}
				}
				return answer(r, 200)
			})
			l.change(e)
			l.event("e1")
			l.later(time.Minute)
			require.Len(t, tries, lacks+1)
			require.Greater(t, tries[lacks].Sub(tries[lacks-1]), 10*pace.DefaultLeast)
			l.event("e2")
			l.later(time.Minute)
			require.Len(t, tries, lacks+3)
			require.LessOrEqual(t, tries[lacks+2].Sub(tries[lacks+1]), 2*pace.DefaultLeast)
			l.stop()
		})
	}
}

// What a request had no room for, while the ordering of its endpoint changed, follows the new one:
// of one key one at a time.
func TestBatch_whatIsLeftWhileTheOrderingChangesFollowsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		var mu sync.Mutex
		var got []string
		var reordered sync.Once
		under, most := 0, 0
		e := l.endpoint()
		e.Streamed, e.Config.Concurrency, e.Config.Batch = false, 8, config.Batch{Events: 4, Wait: 100 * time.Millisecond, Bytes: 10_000}
		e.Sender = batchSender(func(b *webhook.Batch) []webhook.Result {
			reordered.Do(func() {
				keyed := *e
				keyed.Config.Ordering = config.OrderingKey
				l.Reload([]dispatch.Endpoint{keyed})
			})
			if n := len(b.Requests); n > 1 { // it has room for one
				b.Left(n - 1)
				b.Requests = b.Requests[:1]
			}
			mu.Lock()
			got = append(got, b.Requests[0].Event.ID)
			under++
			most = max(most, under)
			mu.Unlock()
			pause(t.Context(), time.Second)
			mu.Lock()
			under--
			mu.Unlock()
			return []webhook.Result{answer(&b.Requests[0], 200)}
		})
		l.Reload([]dispatch.Endpoint{*e})
		for n := range 4 {
			l.keyed(fmt.Sprint("e", n), "k")
		}
		l.later(time.Minute)
		require.Equal(t, []string{"e0", "e1", "e2", "e3"}, got)
		require.Equal(t, 1, most, "at once")
		require.Empty(t, l.tables.rows)
		l.stop()
		require.Empty(t, l.tables.problems)
	})
}

// What nothing blocks any more is found though the database was out of reach when it was looked
// for, and though nothing else is due.
func TestManyKeys_whatNothingBlocksIsLookedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keys, few = 30, 20
		sent := 0
		l := newLife(t, func(l *life, o *dispatch.Options) {
			e := l.endpoint()
			e.Streamed, e.Config.Ordering = false, config.OrderingKey
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				sent++
				return answer(r, 200)
			})
			l.tables.keys, o.LaneKeys, o.LaneEvents, l.tables.barred = few, few, 8, 3
			for i := range keys {
				row := outbox.Delivery{
					Event: outbox.Event{ID: fmt.Sprint(i), Key: fmt.Sprint(i), CommitLSN: outbox.LSN(i)}, EndpointID: "ep_1", State: outbox.Pending,
				}
				l.tables.rows[outbox.Pair{EventID: row.Event.ID, EndpointID: "ep_1"}] = row
			}
			l.tables.queued(e)
			require.True(t, e.ManyKeys)
			o.Endpoints = []dispatch.Endpoint{*e}
		})
		l.later(5 * time.Minute)
		require.Equal(t, keys, sent)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}
