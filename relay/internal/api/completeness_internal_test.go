package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A log that has grown slowly for months may grow fast today: the minutes that are left are those
// of today.
func TestTheRateOfTheLogIsThatOfNow(t *testing.T) {
	t.Parallel()
	const average = 7.0
	var w walRate
	now := time.Now()
	require.InDelta(t, average, w.look(now, 1000, average), 0, "nothing is known yet but the average")
	require.InDelta(t, average, w.look(now.Add(walSample-1), 900_000, average), 0, "looks this close say nothing")
	require.InDelta(t, 200.0, w.look(now.Add(walSample), 2000, average), 0.001)
	require.InDelta(t, 200.0, w.look(now.Add(walSample+1), 900_000, average), 0.001)
	require.InDelta(t, 20.0, w.look(now.Add(3*walSample), 2200, average), 0.001, "since the look before, not since the first")
	require.InDelta(t, average, w.look(now.Add(4*walSample), 10, average), 0, "another server")
	require.InDelta(t, 2.0, w.look(now.Add(5*walSample), 20, average), 0.001)
}
