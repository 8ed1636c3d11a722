package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// TestAFleetGetsAnotherNumberOfPartitions: under load, and process by process, as a deploy does it.
// The events are messages without a table, so that no audit finds what would be left behind.
func TestAFleetGetsAnotherNumberOfPartitions(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 6)
	f.db.Run(t, "DROP TABLE outbox")
	f.outbox = `messages = "app"`
	for i := range f.endpoints {
		f.receiver.On(fmt.Sprintf("/e%d", i), kit.Slow(3*time.Millisecond, kit.Statuses(200)))
	}
	first, second := f.start(t, "a", 4), f.start(t, "b", 4)
	first.Await(t, logPartition, nil)
	second.Await(t, logPartition, nil)

	writing, stop := context.WithCancel(t.Context())
	defer stop()
	var all []string // until writer has ended
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for writing.Err() == nil {
			<-tick.C
			f.db.Tx(t, func(tx pgx.Tx) error {
				ids, err := outbox.Emit(t.Context(), tx, "app", orders(3)...)
				all = append(all, ids...)
				return err
			})
		}
	})
	former := []*kit.Relay{first, second}
	for _, partitions := range []int{6, 3} {
		var next []*kit.Relay
		for i, relay := range former {
			next = append(next, f.start(t, fmt.Sprintf("%d of %d", i, partitions), partitions))
			require.Zero(t, relay.Stop(t))
		}
		f.db.AwaitCount(t, partitions, "SELECT count(*) FROM tailpost.relay WHERE partition_of = $1 AND partitions = $2 AND epoch > 0", f.db.Slot, partitions)
		for _, relay := range next {
			relay.Await(t, logPartition, nil)
		}
		former = next
	}
	stop()
	writer.Wait()
	f.delivered(t, len(all))
	require.Zero(t, f.db.Count(t, "SELECT count(*) FROM tailpost.gap"), "something was left behind")
	require.Zero(t, f.db.Count(t, "SELECT count(*) FROM tailpost.relay WHERE heal IS NOT NULL"), "something is looked for")
	for i := range f.endpoints {
		f.receiver.AwaitIDs(t, fmt.Sprintf("/e%d", i), all...)
	}
	for _, relay := range former {
		require.Zero(t, relay.Stop(t))
	}
}
