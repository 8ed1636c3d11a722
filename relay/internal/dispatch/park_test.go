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
