package dispatch_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// others are those that deliver in a dispatcher's place.
type others struct {
	events map[string][]string // endpoints, by event
	due    []string
	stored []func()
}

func (o *others) Event(ev *outbox.Event, endpoints []string, stored func()) {
	o.events[ev.ID] = endpoints
	o.stored = append(o.stored, stored)
}

func (o *others) Due(endpoint string) { o.due = append(o.due, endpoint) }

// TestWhatOthersDeliverIsSettledOnceItIsStored: a dispatcher that passes events on sends nothing,
// and the slot keeps what others cannot find yet.
func TestWhatOthersDeliverIsSettledOnceItIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &others{events: map[string][]string{}}
		l := newLife(t, func(_ *life, options *dispatch.Options) { options.Elsewhere = o })
		l.change(l.endpoint())
		l.later(time.Second)
		before := l.tables.acked
		var settle func()
		l.commit(func(tx *source.Unsettled) {
			l.Dispatch(outbox.Event{ID: "a", Type: "order.created"}, tx)
			settle = l.Pending(tx)
		})
		l.Due("ep_1")
		l.later(time.Minute)
		require.Equal(t, map[string][]string{"a": {"ep_1"}}, o.events)
		require.Equal(t, []string{"ep_1"}, o.due)
		require.Equal(t, before, l.tables.acked, "nothing is stored")
		settle()
		l.later(time.Second)
		require.Equal(t, before, l.tables.acked, "the event is not stored")
		o.stored[0]()
		l.later(time.Second)
		require.Equal(t, l.at+5, l.tables.acked)
		deliveries, bytes := l.InMemory()
		require.Zero(t, deliveries)
		require.Zero(t, bytes)
		l.stop()
		require.Zero(t, l.gate.sent())
		require.Empty(t, l.tables.rows)
		require.Empty(t, l.tables.problems)
	})
}

// passings notes which records of a position were of nothing but WAL without events.
type passings struct {
	*tables

	passing []bool
	settled outbox.LSN
}

func (p *passings) Record(ctx context.Context, hold ledger.Hold, b *ledger.Batch) error {
	p.passing, p.settled = append(p.passing, b.Passing), b.Settled
	return p.tables.Record(ctx, hold, b)
}

// TestAnAwaitedPositionIsRecorded: where somebody waits for it the table gets a position that
// nothing but WAL without events leads to, once.
func TestAnAwaitedPositionIsRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &passings{}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			p.tables = l.tables
			o.Ledger = p
		})
		move := func(to source.Position) {
			l.tracker.Keepalive(to)
			l.Advanced()
			l.later(time.Second)
		}
		move(100)
		require.Equal(t, []bool{true}, p.passing)
		l.Await(100)
		l.later(time.Second)
		require.Equal(t, []bool{true, false}, p.passing, "it is acknowledged already, and not recorded")
		require.EqualValues(t, 100, p.settled)
		move(200)
		l.Await(150)
		l.Await(100)
		l.later(time.Second)
		require.Equal(t, []bool{true, false, true, false}, p.passing)
		require.EqualValues(t, 200, p.settled)
		move(300)
		require.Equal(t, []bool{true, false, true, false, true}, p.passing)
		l.stop()
	})
}
