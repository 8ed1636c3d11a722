package panel

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTimesFarAwayAreSaid: Postgres has times that no time.Duration reaches.
func TestTimesFarAwayAreSaid(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for want, at := range map[string]time.Time{
		"never": {}, "now": now.Add(-time.Millisecond), "in 0 s": now.Add(time.Millisecond), "59 s ago": now.Add(-59 * time.Second),
		"2 min ago": now.Add(-2 * time.Minute), "in 47 h": now.Add(47 * time.Hour), "2 d ago": now.AddDate(0, 0, -2), "in 364 d": now.AddDate(0, 0, 364),
		"27 y ago": time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), "in 7973 y": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
		"in 292250 y": time.Date(294276, 12, 31, 0, 0, 0, 0, time.UTC), "6738 y ago": time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		require.Equal(t, want, ago(now, at), at)
	}
	require.Equal(t, "no type", string(breakable("")), "a link has a name")
	require.Contains(t, string(clock(time.Date(1999, 1, 2, 3, 4, 5, 0, time.UTC))), ">2 Jan 1999 03:04:05<")
	require.NotContains(t, string(clock(time.Now())), ">"+time.Now().UTC().Format("2 Jan 2006"))
}
