package dispatch_test

import (
	"context"
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

// TestParkAfter_holdsForAnEndpointThatWasIdle: whatever went before, what a receiver does not
// answer within park_after is in the table, and WAL waits for it no longer.
func TestParkAfter_holdsForAnEndpointThatWasIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		for range 3 {
			l.event("quick")
			l.gate.answer <- 200
			l.later(time.Minute)
			require.Empty(t, l.tables.rows)
		}
		l.event("slow")
		l.later(900 * time.Millisecond)
		require.Empty(t, l.tables.rows, "it may be answered yet")
		l.later(time.Second)
		row, parked := l.row("slow")
		require.True(t, parked)
		require.Equal(t, outbox.ReasonSlow, row.Reason)
		require.Equal(t, l.at+5, l.tables.position())
		l.gate.answer <- 200
		l.later(time.Second)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// TestParkAfter_thatIsShorterHoldsAtOnce: what is unsettled by then does not wait for the end of
// the longer one.
func TestParkAfter_thatIsShorterHoldsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.ParkAfter = time.Hour
		l.change(e)
		l.event("e1")
		l.later(time.Minute)
		require.Empty(t, l.tables.rows)
		e.Config.ParkAfter = time.Second
		l.change(e)
		l.later(2 * time.Second)
		l.requireRow("e1", outbox.Pending, outbox.ReasonSlow)
		l.gate.answer <- 200
		l.later(time.Second)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// Each delivery has its own time: one that comes while another is being waited for is in the table
// when it has waited for park_after itself, not when the next look at both would come.
func TestParkAfter_countsForEachDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.event("first")
		l.later(600 * time.Millisecond)
		l.event("second")
		l.later(600 * time.Millisecond)
		l.requireRow("first", outbox.Pending, outbox.ReasonSlow)
		_, parked := l.row("second")
		require.False(t, parked)
		l.later(600 * time.Millisecond)
		l.requireRow("second", outbox.Pending, outbox.ReasonSlow)
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(time.Second)
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// What waits for longer than park_after waits in the table, and what comes then in its order too.
func TestParkAfter_isForWhatWaitsAndWhatFollowsIt(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Config.Ordering = ordering
			l.change(e)
			l.keyed("e1", "k")
			l.keyed("e2", "k")
			l.later(time.Second)
			l.keyed("e3", "k")
			l.later(100 * time.Millisecond)
			l.requireRow("e1", outbox.Pending, outbox.ReasonSlow)
			row := l.requireRow("e2", outbox.Pending, outbox.ReasonSlow)
			require.Equal(t, ordering != config.OrderingNone, row.NextAttemptAt.IsZero(), "it waits for the one before it")
			if ordering != config.OrderingNone {
				l.requireRow("e3", outbox.Pending, outbox.ReasonOrder)
			}
			for i := range 3 {
				l.gate.answer <- 200
				l.later(time.Second)
				require.Equal(t, min(i+2, 3), l.gate.sent())
			}
			require.Empty(t, l.tables.rows)
			for i, r := range l.gate.calls {
				require.Equal(t, fmt.Sprint("e", i+1), r.Event.ID)
			}
			l.stop()
		})
	}
}

// What was brought back from the table and could not be sent comes again once the endpoint goes on.
func TestSetState_bringsBackAgainWhatItLetGo(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t, func(l *life, o *dispatch.Options) {
				e := l.waiting(5)
				e.Config.Ordering = ordering
				for p, row := range l.tables.rows {
					row.Event.Key = "k" + row.Event.ID
					l.tables.rows[p] = row
				}
				l.tables.queued(e)
				o.Endpoints = []dispatch.Endpoint{*e}
			})
			l.later(time.Second)
			v, _ := dispatch.View(l.Dispatcher, "ep_1")
			require.Equal(t, 5, v.Loaded)
			l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusPaused})
			l.later(time.Second)
			v, _ = dispatch.View(l.Dispatcher, "ep_1")
			require.Equal(t, 1, v.Loaded, "what is in flight")
			l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusActive})
			for range 5 {
				l.gate.answer <- 200
			}
			l.later(time.Minute)
			require.Equal(t, 5, l.gate.sent(), ordering)
			require.Empty(t, l.tables.rows)
			l.stop()
		})
	}
}

// What comes right after something that waited for too long comes after it, by way of the table.
func TestParkAfter_whatIsNewComesAfterWhatWasParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		for i := range 3 {
			l.event(fmt.Sprint("e", i))
		}
		l.later(time.Second)
		l.event("e3")
		l.later(20 * time.Millisecond)
		l.requireRow("e3", outbox.Pending, outbox.ReasonSlow)
		for range 4 {
			l.gate.answer <- 200
		}
		l.later(time.Second)
		require.Equal(t, 4, l.gate.sent())
		require.Equal(t, "e3", l.gate.calls[3].Event.ID)
		l.stop()
	})
}

// What waits for too long says whether it waits for the endpoint's rate, or for its answers.
func TestParkAfter_saysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		rate   float64
		answer time.Duration
		want   outbox.Reason
	}{
		{"its rate is used up", 0.2, time.Millisecond, outbox.ReasonRateLimited},
		{"its rate would allow it", 100, time.Minute, outbox.ReasonSlow},
		{"it has no rate", 0, time.Minute, outbox.ReasonSlow},
	} {
		for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingStrict} {
			t.Run(fmt.Sprint(test.name, ", ordering ", ordering), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					l := newLife(t)
					e := l.endpoint()
					e.Config.Rate, e.Config.Ordering = test.rate, ordering
					e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
						pause(ctx, test.answer)
						return answer(r, 200)
					})
					l.change(e)
					for i := range 3 {
						l.event(fmt.Sprint("e", i))
					}
					l.later(time.Second)
					l.event("e3")
					l.later(20 * time.Millisecond)
					l.requireRow("e1", outbox.Pending, test.want)
					if ordering == config.OrderingNone {
						l.requireRow("e3", outbox.Pending, test.want)
					}
					l.stop()
				})
			})
		}
	}
}

// Once a receiver is to be left alone, what waits for it in memory waits in the table, and holds no
// WAL.
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

// pausingPages is a table that is read while the endpoint is paused.
type pausingPages struct {
	dispatch.Ledger

	pause func()
}

func (p *pausingPages) Page(ctx context.Context, q ledger.PageQuery) (ledger.Page, error) {
	page, err := p.Ledger.Page(ctx, q)
	if pause := p.pause; pause != nil && len(page.Deliveries) > 0 {
		p.pause = nil
		pause()
	}
	return page, err
}

// TestPark_whatWasReadWhileTheEndpointWasPausedIsReadAgain: a person may give it up meanwhile, and
// then it is not sent when the endpoint is resumed.
func TestPark_whatWasReadWhileTheEndpointWasPausedIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pausingPages{}
		l := newLife(t, func(l *life, o *dispatch.Options) {
			p.Ledger, o.Ledger, o.Endpoints = l.tables, p, []dispatch.Endpoint{*l.waiting(3)}
			p.pause = func() { l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusPaused}) }
		})
		l.later(time.Minute)
		require.Nil(t, p.pause)
		v, _ := dispatch.View(l.Dispatcher, "ep_1")
		require.Zero(t, v.Queued+v.Loaded)
		l.tables.mu.Lock()
		for pair := range l.tables.rows {
			if pair.EventID != "e1" {
				delete(l.tables.rows, pair)
			}
		}
		l.tables.mu.Unlock()
		l.gate.answer <- 200
		l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusActive})
		l.later(time.Minute)
		require.Equal(t, 1, l.gate.sent(), "what is left")
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// TestPause_endsWhereTheURLLeadsElsewhere: what one receiver asked for, or failed at, says nothing
// of another, while a change of anything else leaves it alone.
func TestPause_endsWhereTheURLLeadsElsewhere(t *testing.T) {
	t.Parallel()
	for url, goes := range map[string]int{"https://a.example/other": 0, "https://b.example/in": 1} {
		synctest.Test(t, func(t *testing.T) {
			hour := true
			sent := 0
			l := newLife(t)
			e := l.endpoint()
			e.Config.URL, e.Config.Circuit = "https://a.example/in", config.Circuit{Failures: 2, Reopen: time.Hour}
			e.Config.Retry.Schedule = []time.Duration{24 * time.Hour}
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				sent++
				if hour {
					res := answer(r, 503)
					res.RetryAfter = time.Hour
					return res
				}
				return answer(r, 200)
			})
			l.change(e)
			for i := range 2 {
				l.event(fmt.Sprint("e", i))
				l.later(2 * time.Second)
			}
			l.event("late")
			l.later(time.Second)
			require.Equal(t, 2, sent)
			l.requireRow("late", outbox.Pending, outbox.ReasonRateLimited)
			hour = false
			changed := *e
			changed.Config.URL = url
			l.change(&changed)
			l.event("next")
			l.later(time.Second)
			require.Equal(t, 2+goes, sent, url)
			l.stop()
		})
	}
}

// TestFormerURL_saysNothingOfTheEndpoint: what a URL answers to requests that are in flight when
// the endpoint gets another one, or is removed and put back with another one, neither disables it,
// nor opens its circuit, nor has it left alone. The event goes to the new URL.
func TestFormerURL_saysNothingOfTheEndpoint(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"gone": 410, "failing": 500, "busy": 503, "well": 200} {
		for url, former := range map[string]bool{"https://a.example/in": false, "https://a.example/other": true, "https://b.example/in": true} {
			for _, removed := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					what := fmt.Sprint(name, url, removed)
					l := newLife(t)
					e := answering(l, status)
					l.Reload([]dispatch.Endpoint{*e})
					for i := range 4 {
						l.event(fmt.Sprint("e", i))
					}
					l.later(time.Millisecond)
					if removed {
						l.Reload(nil)
					}
					e.Config.URL, e.Sender = url, answering(l, 200).Sender
					l.Reload([]dispatch.Endpoint{*e})
					l.later(2 * time.Second)
					l.event("next")
					l.later(2 * time.Second)
					_, waits := l.row("next")
					if former {
						require.False(t, waits, what)
						require.Empty(t, l.tables.changes, what)
						l.later(time.Hour)
						require.Empty(t, l.tables.rows, what)
					} else if status != 503 { // which has to be said more often
						require.Equal(t, status != 200, waits, what)
					}
					l.stop()
				})
			}
		}
	}
}

// answering is an endpoint of the configuration whose receiver answers after a second.
func answering(l *life, status int) *dispatch.Endpoint {
	e := l.endpoint()
	e.Streamed, e.Config.URL = false, "https://a.example/in"
	e.Config.Concurrency, e.Config.Circuit = 4, config.Circuit{Failures: 2, Reopen: time.Hour}
	e.Config.Retry.Schedule = []time.Duration{time.Minute}
	e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
		pause(ctx, time.Second)
		res := answer(r, status)
		if status == 503 {
			res.RetryAfter = 30 * time.Minute
		}
		return res
	})
	return e
}

// TestFormerURL_freesThePlaceOfItsProbe: another one goes to the new URL.
func TestFormerURL_freesThePlaceOfItsProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := answering(l, 500)
		e.Config.Circuit, e.Config.Retry.Schedule = config.Circuit{Failures: 1, Reopen: time.Minute}, []time.Duration{time.Hour}
		l.Reload([]dispatch.Endpoint{*e})
		l.event("fails")
		l.later(2 * time.Minute)
		l.event("probe")
		l.later(time.Millisecond)
		e.Config.URL, e.Sender = "https://a.example/other", answering(l, 200).Sender
		l.Reload([]dispatch.Endpoint{*e})
		l.later(2 * time.Second)
		l.event("next")
		l.later(2 * time.Second)
		_, waits := l.row("next")
		require.False(t, waits)
		l.stop()
	})
}
