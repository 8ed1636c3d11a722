package dispatch_test

import (
	"context"
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

func TestDeliverAt_isNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var waited []time.Duration
		l := newLife(t, func(_ *life, o *dispatch.Options) {
			o.Committed = func(r dispatch.Recorded) {
				looked.Lock()
				defer looked.Unlock()
				waited = append(waited, r.Waited...)
			}
		})
		l.change(l.endpoint())
		began := time.Now()
		l.timed("later", "", time.Hour, 0)
		l.timed("over", "", -time.Hour, 0)
		l.later(10 * time.Millisecond)
		require.Equal(t, 1, l.gate.sent(), "a time that is over means at once")
		row := l.requireRow("later", outbox.Pending, outbox.ReasonScheduled)
		require.Equal(t, began.Add(time.Hour), row.NextAttemptAt)
		l.gate.answer <- 200
		l.later(10 * time.Millisecond)
		require.Equal(t, l.at+5, l.tables.position(), "it holds no WAL")
		l.later(time.Hour - time.Since(began) - time.Millisecond)
		require.Equal(t, 1, l.gate.sent())
		l.gate.answer <- 200
		l.later(100 * time.Millisecond)
		require.Equal(t, 2, l.gate.sent())
		require.Empty(t, l.tables.rows)
		require.Len(t, waited, 2)
		require.Less(t, waited[1], time.Second, "it counts from when it might be delivered")
		l.stop()
	})
}

// TestDeliverAt_hasItsPlaceInTheOrder: what comes later of its key waits behind it, and others do
// not. Its time counts as well where it is found behind another.
func TestDeliverAt_hasItsPlaceInTheOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Ordering = config.OrderingKey
		l.change(e)
		began := time.Now()
		l.keyed("first", "k")
		l.timed("scheduled", "k", time.Hour, 0)
		l.keyed("behind", "k")
		l.keyed("other", "other")
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(time.Minute)
		require.Equal(t, 2, l.gate.sent(), "first, other")
		require.Equal(t, outbox.ReasonScheduled, l.requireRow("scheduled", outbox.Pending, outbox.ReasonScheduled).Reason)
		l.requireRow("behind", outbox.Pending, outbox.ReasonOrder)
		l.later(time.Hour - time.Since(began) - time.Millisecond)
		require.Equal(t, 2, l.gate.sent())
		l.gate.answer <- 200
		l.later(100 * time.Millisecond)
		l.gate.answer <- 200
		l.later(100 * time.Millisecond)
		require.Equal(t, 4, l.gate.sent())
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

func TestExpiresAt_isDeadWithoutARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Circuit = config.Circuit{Failures: 1, Reopen: time.Hour}
		l.change(e)
		l.timed("over", "", 0, -time.Second)
		l.timed("never", "", 2*time.Hour, time.Hour)
		l.later(100 * time.Millisecond)
		require.Zero(t, l.gate.sent())
		row := l.requireRow("over", outbox.StateDead, outbox.ReasonExpired)
		require.Zero(t, row.Attempts)
		require.Contains(t, row.LastError, "the event expired at "+row.Event.ExpiresAt.UTC().Format(time.RFC3339))
		l.requireRow("never", outbox.StateDead, outbox.ReasonExpired)
		require.Empty(t, l.tables.attempts)
		require.Empty(t, l.tables.changes, "it says nothing about the endpoint")
		require.Equal(t, l.at+5, l.tables.position())

		l.event("goes")
		l.gate.answer <- 200
		l.later(100 * time.Millisecond)
		require.Equal(t, 1, l.gate.sent(), "its circuit is closed")
		l.stop()
	})
}

// TestDeliverAt_isNotWaitedForByAPerson: what somebody sends again goes out now, with an order and
// without one, although its own time is yet to come.
func TestDeliverAt_isNotWaitedForByAPerson(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		t.Run(string(ordering), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				e := l.endpoint()
				e.Config.Ordering = ordering
				l.change(e)
				l.timed("e", "k", 2*time.Hour, 0)
				l.later(time.Minute)
				row := l.requireRow("e", outbox.Pending, outbox.ReasonScheduled)
				row.NextAttemptAt, row.Trigger = time.Now(), outbox.TriggerResend
				l.tables.rows[outbox.Pair{EventID: "e", EndpointID: "ep_1"}] = row
				l.Due("ep_1")
				l.gate.answer <- 200
				l.later(time.Second)
				require.Equal(t, 1, l.gate.sent())
				require.Empty(t, l.tables.rows)
				l.stop()
			})
		})
	}
}

// TestExpiresAt_isToldOf: whoever hears of deliveries that are given up hears of this one.
func TestExpiresAt_isToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Subscriptions = []config.Subscription{{}, {Events: []string{"webhook.failed"}}}
		l.change(e)
		l.timed("over", "", 0, -time.Second)
		l.later(time.Second)
		require.Len(t, l.tables.emitted, 1)
		require.Contains(t, string(l.tables.emitted[0]), `"webhook.failed"`)
		require.Contains(t, string(l.tables.emitted[0]), `"reason":"expired"`)
		l.stop()
	})
}

// TestExpiresAt_comesBeforeARetry: what would be tried again later is dead when it expires.
func TestExpiresAt_comesBeforeARetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.timed("e", "", 0, 30*time.Second)
		l.gate.answer <- 500
		l.later(29 * time.Second)
		l.requireRow("e", outbox.Pending, outbox.ReasonFailed)
		l.later(2 * time.Second)
		require.Equal(t, 1, l.requireRow("e", outbox.StateDead, outbox.ReasonExpired).Attempts, "a minute was the schedule's")
		require.Equal(t, 1, l.gate.sent())
		l.stop()
	})
}

// TestExpiresAt_holdsWhereTheEndpointIsLeftAlone: paused, and with an order in which the dead hold
// what follows.
func TestExpiresAt_holdsWhereTheEndpointIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Ordering, e.Config.OnDead = config.OrderingKey, config.OnDeadHold
		l.change(e)
		l.SetState("ep_1", ledger.EndpointState{Status: "paused"})
		l.timed("expires", "k", 0, time.Minute)
		l.timed("follows", "k", 0, 0)
		l.later(time.Hour)
		l.requireRow("expires", outbox.Pending, outbox.ReasonPaused)
		l.SetState("ep_1", ledger.EndpointState{Status: "active"})
		l.later(time.Second)
		l.requireRow("expires", outbox.StateDead, outbox.ReasonExpired)
		l.requireRow("follows", outbox.Pending, outbox.ReasonPaused)
		require.Zero(t, l.gate.sent(), "it holds its key")
		l.tables.revisit("ep_1", func(outbox.Pair) bool { return true })
		l.Due("ep_1")
		l.gate.answer <- 500
		l.later(time.Second)
		require.Equal(t, 1, l.gate.sent(), "a person wants it now")
		l.gate.answer <- 200
		l.gate.answer <- 200
		l.later(2 * time.Minute)
		require.Equal(t, 3, l.gate.sent(), "and again, after it failed")
		require.Empty(t, l.tables.rows)
		l.stop()
	})
}

// TestExpiresAt_isLookedAtBeforeTheRequestIsWritten: a connection takes time. What is on its way is
// not broken off.
func TestExpiresAt_isLookedAtBeforeTheRequestIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		connects, again := time.Minute, 2*time.Second
		e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
			pause(ctx, connects)
			if !r.Held() {
				return webhook.Result{Unsent: true}
			}
			pause(ctx, again)
			require.True(t, r.Held(), "a redirect is a part of it")
			return answer(r, 200)
		})
		l.change(e)
		l.timed("late", "", 0, 30*time.Second)
		l.later(2 * time.Minute)
		require.Zero(t, l.requireRow("late", outbox.StateDead, outbox.ReasonExpired).Attempts)
		l.timed("in time", "", 0, time.Minute+time.Second)
		l.later(2 * time.Minute)
		_, parked := l.row("in time")
		require.False(t, parked)
		require.Len(t, l.tables.attempts, 1)
		l.stop()
	})
}
