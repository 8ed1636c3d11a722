package heal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The places of events are in the order of their times, to the microsecond that Postgres has, and
// those of one time in the order in which they come.
func TestPlacesAreInTheOrderOfTimes(t *testing.T) {
	t.Parallel()
	day := func(year int) time.Time { return time.Date(year, time.January, 1, 0, 0, 0, 0, time.UTC) }
	var s sweep
	last := s.place(day(-4000))
	for year := 1930; year <= 2070; year++ {
		for _, at := range []time.Time{
			day(year), day(year).Add(time.Microsecond), day(year).Add(999_999 * time.Microsecond), day(year).Add(time.Second), day(year).Add(time.Second),
			day(year).Add(time.Second), day(year).Add(time.Second + time.Microsecond),
		} {
			place := s.place(at)
			require.Greater(t, place, last, at)
			last = place
		}
	}
	require.Greater(t, s.place(day(294000)), last, "too far away: last")
	require.Positive(t, last)

	s = sweep{}
	first := s.place(time.Time{})
	require.Equal(t, first+1, s.place(time.Time{}))
	require.Less(t, s.place(time.Time{}), s.place(day(2026)), "what has no time comes before what is new")
	// However many have one time, none comes behind what is later.
	at := day(2026)
	last = s.place(at)
	for n := range 1 << 13 {
		place := s.place(at)
		require.True(t, place > last || n > 4000 && place == last)
		last = place
	}
	later := s.place(at.Add(time.Microsecond))
	require.Greater(t, later, last)
	require.Greater(t, s.place(at.Add(time.Microsecond)), later, "nor do they take the places of what is later")
}
