package dispatch

import (
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

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
		g, now := newGate(1), time.Now()
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

// Requests of long ago say nothing of how many are young now.
func TestGate_forgetsWhatIsOldThoughNobodyPassedMeanwhile(t *testing.T) {
	t.Parallel()
	g, now := newGate(2), time.Now()
	for range 2 {
		_, ok := g.enter(&lane{}, now)
		require.True(t, ok)
		now = now.Add(gateWindow)
	}
	_, ok := g.enter(&lane{}, now.Add(10*gateWindow))
	require.True(t, ok)
	require.False(t, g.full())
}

// setBack returns a time as it is once somebody has set the clock back by an hour: as late as
// before on the clock that nobody sets.
func setBack(t time.Time) time.Time {
	// The first word of a time with both clocks has the seconds above 30 bits of nanoseconds.
	*(*uint64)(unsafe.Pointer(&t)) -= 3600 << 30
	return t
}

// Requests grow old while the clock is set back too: those that nobody answers keep nobody else
// from starting.
func TestGate_forgetsWhatIsOldWhereTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	g, now := newGate(1), time.Now()
	later := now.Add(3 * gateWindow)
	require.Equal(t, later.Add(-time.Hour).Round(0), setBack(later).Round(0))
	require.Equal(t, 3*gateWindow, setBack(later).Sub(now))
	_, ok := g.enter(&lane{}, now)
	require.True(t, ok)
	_, ok = g.enter(&lane{}, setBack(later))
	require.True(t, ok)
}

// A lane that has no use for its admission gives it back once: later it waits as others do.
func TestGate_anAdmissionThatIsDeclinedIsOver(t *testing.T) {
	t.Parallel()
	g, now := newGate(1), time.Now()
	ticket, _ := g.enter(&lane{}, now)
	g.window, g.timer = ticket, time.NewTimer(time.Hour) // nobody else is admitted meanwhile
	l := &lane{}
	_, ok := g.enter(l, now)
	require.False(t, ok)
	g.leave(ticket)
	require.Same(t, l, g.next())
	l.gated, l.admitted = false, true
	require.True(t, g.full(), "its place is kept")
	g.decline(l)
	g.decline(l)
	require.False(t, g.full())
	_, ok = g.enter(&lane{}, now)
	require.True(t, ok)
	_, ok = g.enter(l, now)
	require.False(t, ok, "the place is another's by now")
	g.timer.Stop()
}

// A lane that was admitted passes in the place that was kept for it, which is one.
func TestGate_anAdmissionIsUsedOnce(t *testing.T) {
	t.Parallel()
	g, l, now := newGate(1), &lane{admitted: true}, time.Now()
	g.reserved, g.timer = 1, time.NewTimer(time.Hour) // nobody is admitted meanwhile
	ticket, ok := g.enter(l, now)
	require.True(t, ok)
	require.True(t, g.full())
	g.leave(ticket)
	require.False(t, g.full())
	_, ok = g.enter(&lane{}, now)
	require.True(t, ok)
	_, ok = g.enter(l, now)
	require.False(t, ok)
	g.timer.Stop()
}

// Who waits is let through when the first window begins in which there is room, and then nothing
// runs by time.
func TestGate_letsThroughWhoWaitsAndSleeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, l := newGate(1), &lane{d: &Dispatcher{}}
		l.d.gate = g
		<-time.After(gateWindow / 5)
		_, _ = g.enter(&lane{}, time.Now()) // nobody answers that
		_, ok := g.enter(l, time.Now())
		require.False(t, ok)
		<-time.After(2*gateWindow - gateWindow/5)
		synctest.Wait()
		require.Nil(t, g.next())
		require.Empty(t, g.waiting)
		<-time.After(gateWindow)
		synctest.Wait()
		require.False(t, g.timer.Stop())
	})
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
