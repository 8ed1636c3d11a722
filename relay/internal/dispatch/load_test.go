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
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// waiting puts n due deliveries for ep_1 into the table, and an endpoint that knows of them.
func (l *life) waiting(n int) *dispatch.Endpoint {
	e := l.endpoint()
	e.Streamed, e.Due, e.Config.Retry.Schedule = false, time.Now(), []time.Duration{time.Hour}
	for i := range n {
		row := outbox.Delivery{
			Event: outbox.Event{ID: fmt.Sprint("e", i), CommitLSN: outbox.LSN(i)}, EndpointID: "ep_1", State: outbox.Pending,
			NextAttemptAt: time.Now(),
		}
		l.tables.rows[outbox.Pair{EventID: row.Event.ID, EndpointID: "ep_1"}] = row
	}
	return e
}

// TestLoader_bringsBackPageAfterPage: what a page leaves needs nobody to ask for it.
func TestLoader_bringsBackPageAfterPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(l *life, o *dispatch.Options) {
			o.LaneEvents = 4
			o.Endpoints = []dispatch.Endpoint{*l.waiting(30)}
		})
		for range 30 {
			l.gate.answer <- 200
		}
		l.later(time.Minute)
		require.Equal(t, 30, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// failingPages is a table that cannot be read for a while.
type failingPages struct {
	dispatch.Ledger

	until time.Time
	asked int
}

func (f *failingPages) Page(ctx context.Context, q ledger.PageQuery) (ledger.Page, error) {
	looked.Lock()
	looked.Unlock() //nolint:staticcheck // only the order counts
	if f.asked++; time.Now().Before(f.until) {
		return ledger.Page{}, errors.New("the statement timed out")
	}
	return f.Ledger.Page(ctx, q)
}

func (f *failingPages) InKeyOrder(ctx context.Context, id string, keys []string, perKey int, dead bool) ([]outbox.Delivery, bool, error) {
	looked.Lock()
	looked.Unlock() //nolint:staticcheck // only the order counts
	if f.asked++; time.Now().Before(f.until) {
		return nil, false, errors.New("the statement timed out")
	}
	return f.Ledger.InKeyOrder(ctx, id, keys, perKey, dead)
}

// TestLoader_asksAgainForKeys: a key whose rows could not be read is not forgotten.
func TestLoader_asksAgainForKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &failingPages{until: time.Now().Add(time.Minute)}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			e := l.waiting(3)
			e.Config.Ordering = config.OrderingKey
			for p, row := range l.tables.rows {
				row.Event.Key = "of " + p.EventID
				l.tables.rows[p] = row
				e.KeyHeads = append(e.KeyHeads, ledger.KeyHead{Key: row.Event.Key, EventID: p.EventID, NextAttemptAt: time.Now()})
			}
			f.Ledger = l.tables
			o.Ledger, o.Endpoints = f, []dispatch.Endpoint{*e}
		})
		for range 3 {
			l.gate.answer <- 200
		}
		l.later(3 * time.Minute)
		require.Equal(t, 3, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// changingPages is a table that cannot be read, and whose endpoint changes meanwhile.
type changingPages struct {
	dispatch.Ledger

	meanwhile func()
}

func (c *changingPages) InKeyOrder(ctx context.Context, id string, keys []string, perKey int, dead bool) ([]outbox.Delivery, bool, error) {
	if change := c.meanwhile; change != nil {
		c.meanwhile = nil
		change()
		return nil, false, errors.New("the statement timed out")
	}
	return c.Ledger.InKeyOrder(ctx, id, keys, perKey, dead)
}

// TestLoader_thatFailsWhileTheOrderingChanges: what was asked for is forgotten with the old order.
func TestLoader_thatFailsWhileTheOrderingChanges(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingStrict} {
		synctest.Test(t, func(t *testing.T) {
			c := &changingPages{}
			l := newLife(t, func(l *life, o *dispatch.Options) {
				e := l.waiting(1)
				e.Config.Ordering = config.OrderingKey
				for p, row := range l.tables.rows {
					row.Event.Key = "k"
					l.tables.rows[p] = row
				}
				l.tables.queued(e)
				c.Ledger, o.Ledger, o.Endpoints = l.tables, c, []dispatch.Endpoint{*e}
				c.meanwhile = func() {
					e.Config.Ordering = ordering
					l.Reload([]dispatch.Endpoint{*e})
				}
			})
			l.gate.answer <- 200
			l.later(time.Minute)
			require.Equal(t, 1, l.gate.sent(), ordering)
			require.Empty(t, l.tables.rows)
			l.stop()
		})
	}
}

// TestLoader_findsWhatHasNoKeyBesideALongChain: rows of a key that fill the memory, and wait for
// the first of them, do not have others wait too.
func TestLoader_findsWhatHasNoKeyBesideALongChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(l *life, o *dispatch.Options) {
			e := l.waiting(20)
			e.Config.Ordering = config.OrderingKey
			for p, row := range l.tables.rows {
				if p.EventID != "e19" {
					row.Event.Key = "k"
				}
				l.tables.rows[p] = row
			}
			l.tables.queued(e)
			o.LaneEvents, o.Endpoints = 4, []dispatch.Endpoint{*e}
		})
		l.gate.answer <- 500 // the first of the key, which is tried again in an hour
		l.gate.answer <- 200
		l.later(time.Minute)
		require.Equal(t, 2, l.gate.sent())
		require.NotContains(t, l.tables.rows, outbox.Pair{EventID: "e19", EndpointID: "ep_1"})
		l.stop()
	})
}

// TestLoader_goesOnOnceTheCircuitLetsIt: what waits in the table needs nobody to ask for it then.
func TestLoader_goesOnOnceTheCircuitLetsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(l *life, o *dispatch.Options) {
			e := l.waiting(20)
			e.Config.Circuit = config.Circuit{Failures: 3, Reopen: time.Minute}
			o.LaneEvents, o.Endpoints = 4, []dispatch.Endpoint{*e}
		})
		for range 3 {
			l.gate.answer <- 500
		}
		l.later(30 * time.Second)
		failed := l.gate.sent()
		for range 20 {
			l.gate.answer <- 200
		}
		l.later(2 * time.Minute)
		require.Len(t, l.tables.rows, failed, "tried again in an hour")
		l.stop()
	})
}

// TestLoader_keepsNothingOfWhatExpired: neither its bytes nor its place.
func TestLoader_keepsNothingOfWhatExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, func(l *life, o *dispatch.Options) {
			e := l.waiting(5)
			for p, row := range l.tables.rows {
				row.Event.ExpiresAt = time.Now().Add(-time.Second)
				l.tables.rows[p] = row
			}
			o.Endpoints = []dispatch.Endpoint{*e}
		})
		l.later(time.Minute)
		l.requireRow("e4", outbox.StateDead, outbox.ReasonExpired)
		v, _ := dispatch.View(l.Dispatcher, "ep_1")
		require.Zero(t, v.Loaded)
		l.stop()
	})
}

// TestLoader_asksAgainAfterPausesThatGrow: a table that cannot be read is not asked in a loop, and
// what is in it is not lost.
func TestLoader_asksAgainAfterPausesThatGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &failingPages{until: time.Now().Add(10 * time.Minute)}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			f.Ledger = l.tables
			o.Ledger, o.Endpoints = f, []dispatch.Endpoint{*l.waiting(3)}
		})
		l.later(10 * time.Minute)
		require.LessOrEqual(t, f.asked, 20)
		require.Zero(t, l.gate.sent())
		for range 3 {
			l.gate.answer <- 200
		}
		l.later(2 * time.Minute)
		require.Equal(t, 3, l.gate.sent())
		l.stop()
	})
}

// A table that was read again is soon asked once more, should it fail another time.
func TestLoader_asksSoonAfterALoadThatWorked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &failingPages{until: time.Now().Add(10 * time.Minute)}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			f.Ledger = l.tables
			e := l.waiting(1)
			e.Config.Retry.Schedule = []time.Duration{time.Minute, time.Minute, time.Minute}
			o.Ledger, o.Endpoints = f, []dispatch.Endpoint{*e}
		})
		l.gate.answer <- 500
		for l.gate.sent() == 0 {
			l.later(time.Second)
		}
		looked.Lock()
		f.until = time.Now().Add(70 * time.Second) // the retry is due before that
		looked.Unlock()
		l.gate.answer <- 200
		l.later(85 * time.Second)
		require.Equal(t, 2, l.gate.sent())
		l.stop()
	})
}

// TestLoader_isBoundedInBytes: five hundred endpoints that come back at once must not fill the
// memory with what waits for them.
func TestLoader_isBoundedInBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const endpoints, rows, size = 60, 200, 16 << 10 // 187 MiB
		payload := make([]byte, size)
		sent := 0
		l := newLife(t, func(l *life, o *dispatch.Options) {
			for e := range endpoints {
				ep := l.endpoint()
				ep.Streamed, ep.Due, ep.Config.ID = false, time.Now(), fmt.Sprint("ep", e)
				ep.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
					pause(ctx, 10*time.Millisecond)
					l.tables.mu.Lock()
					sent++
					l.tables.mu.Unlock()
					return answer(r, 200)
				})
				o.Endpoints = append(o.Endpoints, *ep)
				for i := range rows {
					row := outbox.Delivery{
						Event: outbox.Event{ID: fmt.Sprint("e", i), CommitLSN: outbox.LSN(i), Payload: payload}, EndpointID: ep.Config.ID,
						State: outbox.Pending, NextAttemptAt: time.Now(),
					}
					l.tables.rows[outbox.Pair{EventID: row.Event.ID, EndpointID: row.EndpointID}] = row
				}
			}
		})
		most := 0
		for range 100 {
			l.later(20 * time.Millisecond)
			loaded := 0
			for e := range endpoints {
				v, _ := dispatch.View(l.Dispatcher, fmt.Sprint("ep", e))
				loaded += v.Loaded
			}
			most = max(most, loaded)
		}
		require.LessOrEqual(t, most*size, 32<<20+rows*size+endpoints*8*size)
		l.later(10 * time.Minute)
		require.Equal(t, endpoints*rows, sent)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// watchedPages remembers what was asked of the table.
type watchedPages struct {
	dispatch.Ledger

	queries []ledger.PageQuery
}

func (w *watchedPages) Page(ctx context.Context, q ledger.PageQuery) (ledger.Page, error) {
	w.queries = append(w.queries, q)
	return w.Ledger.Page(ctx, q)
}

// What comes from the table and could not be sent is there as it was, with the attempts that it
// had.
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
