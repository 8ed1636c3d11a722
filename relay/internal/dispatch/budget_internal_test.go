package dispatch

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func open(ready <-chan struct{}) bool {
	if ready == nil {
		return true
	}
	select {
	case <-ready:
		return true
	default:
		return false
	}
}

func TestBudget_stopsTheReaderAtItsBounds(t *testing.T) {
	t.Parallel()
	for name, charge := range map[string]func(*budget){
		"events": func(b *budget) { b.charge(100, 0) },
		"bytes":  func(b *budget) { b.charge(1, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBudget(100, 100, 1000)
			b.charge(99, 999)
			require.True(t, open(b.ready()))
			b.release(99, 999)
			charge(b)
			ready := b.ready()
			require.False(t, open(ready))
			count, bytes := b.charged()
			b.release(count, bytes)
			require.True(t, open(ready))
			require.Nil(t, b.ready())
		})
	}
}

// TestBudget_letsTheReaderGoOnInRuns: event by event it would wake for each.
func TestBudget_letsTheReaderGoOnInRuns(t *testing.T) {
	t.Parallel()
	b := newBudget(100, 100, 1<<20)
	b.charge(100, 100)
	ready := b.ready()
	b.release(24, 24)
	require.False(t, open(ready), "76 of 100 are left")
	b.release(1, 1)
	require.True(t, open(ready), "75 of 100 are left")

	b = newBudget(100, 100, 1000)
	b.charge(10, 1000)
	ready = b.ready()
	b.release(9, 200)
	require.False(t, open(ready), "one event, and 800 bytes of 1000 are left")
	b.release(0, 50)
	require.True(t, open(ready), "750 bytes of 1000 are left")
}

// TestBudget_oneLargeEventPasses: an event larger than all of the budget is read when nothing else
// is there.
func TestBudget_oneLargeEventPasses(t *testing.T) {
	t.Parallel()
	b := newBudget(100, 100, 1000)
	require.True(t, open(b.ready()))
	b.charge(1, 5000)
	ready := b.ready()
	require.False(t, open(ready))
	b.release(1, 5000)
	require.True(t, open(ready))
}

func TestBudget_followsTheRateWithinItsBounds(t *testing.T) {
	t.Parallel()
	b := newBudget(1024, 5000, 1<<20)
	for _, test := range []struct {
		perPark        float64
		inFlight, want int
	}{
		{0, 0, 1024},
		{6000, 0, 1500},
		{6000, 400, 1500},
		{0, 1600, 2256}, // a quarter more than are in flight, and of the least
		{1 << 40, 0, 5000},
		{0, 1 << 20, 5000},
	} {
		b.resize(test.perPark, test.inFlight)
		require.Equal(t, min(512, test.want/2), b.half(), "recorded at once")
		require.Equal(t, test.want, b.maxCount, "%g settled in park_after, %d in flight", test.perPark, test.inFlight)
	}
	b.resize(0, 0)
	b.charge(1024, 0)
	ready := b.ready()
	require.False(t, open(ready))
	b.resize(1<<40, 0)
	require.True(t, open(ready), "a larger bound lets the reader go on")
	small := newBudget(1024, 10, 1<<20)
	small.resize(0, 0)
	require.Equal(t, 10, small.maxCount, "never beyond what was asked for")
	require.Equal(t, 5, small.half(), "it is not used up meanwhile")
}
