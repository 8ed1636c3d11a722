package dispatch

import (
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// A request that is answered makes room for another one, in the window in which it started and in
// the one after that; then it had stopped counting anyway.
func TestGate_anAnswerMakesRoomOnce(t *testing.T) {
	t.Parallel()
	for windows, full := range []bool{false, false, false} {
		g, now := newGate(1), time.Unix(1000, 0)
		ticket, ok := g.enter(&lane{}, now)
		require.True(t, ok)
		require.True(t, g.full())
		g.roll(now.Add(time.Duration(windows) * gateWindow))
		require.Equal(t, windows < 2, g.full(), "after %d windows", windows)
		g.leave(ticket)
		require.Equal(t, full, g.full(), "after %d windows", windows)
		require.Zero(t, g.current+g.previous, "after %d windows", windows)
	}
}

// An event may have been routed just before its endpoint was removed: it waits in the table.
func TestLane_thatIsClosedTakesNothingIntoMemory(t *testing.T) {
	t.Parallel()
	d := New(t.Context(), Options{Logger: zerolog.Nop(), Endpoints: []Endpoint{{Config: config.Endpoint{ID: "ep_1", Concurrency: 1, ParkAfter: time.Hour}}}})
	l := d.lane("ep_1")
	l.close()
	now := time.Now()
	l.accept(&delivery{ev: &event{Event: outbox.Event{ID: "e1"}}, lane: l, since: now})
	require.Zero(t, l.memory.size())
	require.Len(t, d.recorder.inbox, 1)
	it := d.recorder.inbox[0]
	require.Equal(t, itemPark, it.kind)
	require.Equal(t, outbox.ReasonDisabled, it.reason)
	require.Equal(t, now, it.next, "it is due once there is an endpoint again")
	l.retire()
}
