package dispatch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
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
