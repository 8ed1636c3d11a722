package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// counted is a life whose transactions and parked deliveries are counted, with an endpoint whose
// receiver takes its time.
type counted struct {
	*life

	records, parked int
}

func newCounted(t *testing.T, takes time.Duration, concurrency int, set func(*dispatch.Options)) *counted {
	t.Helper()
	c := &counted{}
	c.life = newLife(t, func(_ *life, o *dispatch.Options) {
		o.Committed = func(r dispatch.Recorded) {
			c.parked += len(r.Park)
			if len(r.Attempts) > 0 {
				c.records++
			}
		}
		set(o)
	})
	e := c.endpoint()
	e.Config.Concurrency = concurrency
	e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
		pause(ctx, takes)
		return answer(r, 200)
	})
	c.change(e)
	c.later(time.Second)
	return c
}

// stream brings n events as fast as the dispatcher takes them.
func (c *counted) stream(n int) {
	for i := range n {
		if ready := c.Ready(); ready != nil {
			<-ready
		}
		c.event(fmt.Sprint("e", i))
	}
}

// What waits in memory is about what is delivered in a quarter of park_after: a backlog for a
// receiver that is slow stays in the stream, and costs no row for each of its events.
func TestBudget_leavesABacklogInTheStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, concurrency, takes = 1000, 4, 50 * time.Millisecond
		c := newCounted(t, takes, concurrency, func(o *dispatch.Options) { o.MinEvents = 8 })
		began := time.Now()
		c.stream(events)
		require.InEpsilon(t, events/concurrency*takes, time.Since(began), 0.1, "the receiver has as much to do as it takes")
		c.later(time.Minute)
		require.Zero(t, c.parked)
		require.Equal(t, c.at+5, c.tables.position())
		c.stop()
	})
}

// Of a receiver that takes longer than park_after the rate says little: it gets as many requests at
// once as its endpoint allows, however little may wait.
func TestBudget_growsWithWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const concurrency = 200
		c := newCounted(t, 3*time.Second, concurrency, func(o *dispatch.Options) { o.MinEvents = 8 })
		most := 0
		for i := range 5000 {
			if ready := c.Ready(); ready != nil {
				<-ready
			}
			c.event(fmt.Sprint("e", i))
			most = max(most, c.InFlight())
		}
		require.Equal(t, concurrency, most)
		c.later(10 * time.Minute)
		require.Empty(t, c.tables.rows)
		require.Zero(t, dispatch.Flying(c.Dispatcher))
		c.stop()
	})
}

// What is to be recorded waits for company as long as it is told to, and no longer.
func TestRecord_waitsForCompany(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ pause, is time.Duration }{
		"by default": {0, 10 * time.Millisecond},
		"as told":    {50 * time.Millisecond, 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCounted(t, time.Microsecond, 1, func(o *dispatch.Options) { o.RecordPause = test.pause })
				began := time.Now()
				for i := range 400 {
					c.event(fmt.Sprint("e", i))
					pause(t.Context(), 5*time.Millisecond)
				}
				took := time.Since(began)
				c.later(time.Second)
				require.LessOrEqual(t, c.records, int(took/test.is)+2)
				require.GreaterOrEqual(t, c.records, int(took/test.is)*2/3, "it waits no longer, but for the database")
				c.stop()
			})
		})
	}
}

// What is in memory of an event counts once, whoever shares it, and what a delivery takes beside it
// counts for each; one that others deliver is passed on whole.
func TestInMemory_countsAnEventOnce(t *testing.T) {
	t.Parallel()
	const each, payload, extra = 512, 3000, 600
	for name, test := range map[string]struct {
		elsewhere  dispatch.Elsewhere
		deliveries int
		bytes      int64
	}{
		"delivered here": {nil, 3, 3*each + payload + extra},
		"passed on":      {&others{events: map[string][]string{}}, 1, each + payload + extra},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t, func(l *life, o *dispatch.Options) {
				o.Elsewhere = test.elsewhere
				for i := range 3 {
					e := l.endpoint()
					e.Streamed, e.Config.ParkAfter, e.Config.ID = false, time.Hour, fmt.Sprint("ep", i)
					o.Endpoints = append(o.Endpoints, *e)
				}
			})
			l.commit(func(tx *source.Unsettled) {
				l.Dispatch(outbox.Event{
					ID: "e1", Type: "a", Payload: make([]byte, payload), Extra: make([]byte, extra), CommitLSN: outbox.LSN(l.at),
				}, tx)
			})
			l.later(time.Second)
			deliveries, bytes := l.InMemory()
			require.Equal(t, test.deliveries, deliveries, name)
			require.Equal(t, test.bytes, bytes, name)
			for range 3 {
				l.gate.answer <- 200
			}
			l.stop()
		})
	}
}

// What waits for the recorder is never what the stream waits for: with half of the budget it does
// not wait for more.
func TestRecord_comesBeforeTheBudgetIsUsedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCounted(t, time.Microsecond, 100, func(o *dispatch.Options) { o.MinEvents, o.RecordPause = 16, time.Minute })
		began := time.Now()
		c.stream(1000)
		require.Less(t, time.Since(began), time.Minute)
		c.stop()
	})
}

// A budget that grows has more of it recorded at once.
func TestRecord_takesMoreAtOnceWhereMoreIsInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, least = 5000, 16
		c := newCounted(t, time.Microsecond, 500, func(o *dispatch.Options) { o.MinEvents, o.RecordPause = least, time.Second })
		for i := range events {
			c.event(fmt.Sprint("e", i))
			pause(t.Context(), time.Millisecond)
		}
		require.Less(t, c.records, events/(4*least))
		c.stop()
	})
}
