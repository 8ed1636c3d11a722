package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
)

// TestAFleetHasMetricsOfItsOwn: what this process does in it, and how far each partition is. A
// process alone shows none of them.
func TestAFleetHasMetricsOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name := range b.scrape(t) {
		require.False(t, strings.HasPrefix(name, "tailpost_fanout_"), name)
	}
	b.now = b.now.Add(time.Minute)
	b.status.Fanout = &telemetry.Fanout{Owned: 3}
	b.database.answer.Partitions = []query.Partition{{Number: 0, Behind: 512}, {Number: 12}}
	is := func(unpublished float64) {
		t.Helper()
		got := b.scrape(t)
		for name, want := range map[string]float64{
			"tailpost_fanout_partitions_owned": 3, "tailpost_fanout_unpublished_seconds": unpublished,
			"tailpost_fanout_partition_lag_bytes 0": 512, "tailpost_fanout_partition_lag_bytes 12": 0,
		} {
			require.Contains(t, got, name)
			require.InDelta(t, want, got[name].GetGauge().GetValue(), 0, name)
		}
	}
	is(0)
	b.status.Fanout.Unpublished = b.now.Add(-40 * time.Second)
	is(40)
	b.status.Fanout.Unpublished = b.now.Add(time.Second) // the clock was set back
	is(0)
}
