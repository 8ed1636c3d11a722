package heal

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/scan"
)

// Whenever audits come, few of their horizons are kept, and everything is settled before the last
// of them that is an hour old.
func TestHorizonsAreFewAndTheRightOnes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		usual := []time.Duration{time.Second, 20 * time.Second, time.Minute, 17 * time.Minute, time.Hour, 3 * time.Hour}[seed%6]
		var hs horizons
		var noted []scan.Horizon
		at := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
		for n := range 300 {
			at = at.Add(time.Duration(rnd.Int64N(int64(2 * usual))))
			h := scan.Horizon{XID: int64(n + 1), At: at}
			hs = hs.with(h)
			noted = append(noted, h)
			require.Equal(t, hs, hs.with(scan.Horizon{}), "one that is not known changes nothing")
			require.LessOrEqual(t, len(hs), 62)
			for i := 2; i < len(hs); i++ {
				require.GreaterOrEqual(t, hs[i].At.Sub(hs[i-1].At), time.Minute)
			}
			require.False(t, len(hs) > 1 && at.Sub(hs[1].At) >= time.Hour, "a later one is an hour old as well")
			if at.Sub(noted[0].At) < time.Hour {
				require.Equal(t, noted[0], hs.settled(), "of the first hour the first")
				continue
			}
			require.GreaterOrEqual(t, at.Sub(hs.settled().At), time.Hour)
			require.LessOrEqual(t, at.Sub(hs.settled().At), time.Hour+time.Minute+4*usual, "what is older is not looked at again")
		}
	}
	require.Zero(t, horizons{}.settled())
}
