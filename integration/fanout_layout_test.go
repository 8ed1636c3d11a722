package integration_test

import (
	"context"
	"fmt"
	"strings"
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

// TestAFleetWhoseFilesDiffer: the processes of a fleet hear of a new configuration at different
// times. An endpoint gets its events from when the slot's holder has it, and none but those.
func TestAFleetWhoseFilesDiffer(t *testing.T) {
	t.Parallel()
	const differs = "the process that has the slot routes by other endpoints, subscriptions or versions than this configuration has: " +
		"this one sends for no partition until they are the same"
	f := newFleet(t, 1, 8)
	env := f.config("", 4).Env() // has the secrets of them all
	env["SEALING"], _ = documentEnvironment("SEALING_KEY")
	f.endpoints = 3
	reader := kit.StartRelay(t, kit.Options{Config: f.config("a", 4), Env: env})
	reader.Await(t, logPartition, nil)
	other := kit.StartRelay(t, kit.Options{Config: f.config("b", 4), Env: env})
	other.Await(t, logPartition, nil)
	reload := func(relay *kit.Relay, name string, endpoints int) {
		f.endpoints = endpoints
		relay.Reload(t, f.config(name, 4).HCL())
	}

	// More endpoints, which the reader has first.
	reload(reader, "a", 8)
	reader.Await(t, "configuration reloaded", nil)
	first := f.db.Insert(t, orders(50)...)
	f.delivered(t, len(first))
	other.Await(t, differs, nil)
	for _, r := range f.receiver.Requests("/e7") {
		require.Equal(t, "a", r.Header.Get(relayHeader))
	}
	reload(other, "b", 8)
	other.AwaitNth(t, 3, logPartition, nil)
	made := f.senders()["b"]
	second := f.db.Insert(t, orders(50)...)
	f.db.AwaitCount(t, 8*(len(first)+len(second)), "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	require.Greater(t, f.senders()["b"], made, "it takes part again")

	// Fewer, which another one has first.
	reload(other, "b", 2)
	other.AwaitNth(t, 2, differs, nil)
	third := f.db.Insert(t, orders(50)...)
	f.db.AwaitCount(t, 8*(len(first)+len(second)+len(third)), "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	reload(reader, "a", 2)
	reader.AwaitNth(t, 2, "configuration reloaded", nil)
	fourth := f.db.Insert(t, orders(50)...)
	f.db.AwaitCount(t, 8*(len(first)+len(second)+len(third))+2*len(fourth), "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	f.db.AwaitEmptyQueue(t)
	require.Zero(t, f.db.Count(t, "SELECT count(*) FROM tailpost.gap"))
	require.Zero(t, other.Stop(t))
	require.Zero(t, reader.Stop(t))
}

// TestAReaderThatAloneIsCutOffFromNATS leaves the slot to a process that reaches it. The events are
// messages without a table, so that it could never go on alone.
func TestAReaderThatAloneIsCutOffFromNATS(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 6)
	f.db.Run(t, "DROP TABLE outbox")
	f.outbox = `messages = "app"`
	proxy, through := kit.NewProxy(t, f.nats.URL(), 1)
	c := f.config("a", 4)
	c.More = strings.Replace(c.More, f.nats.URL(), through, 1)
	sealing, _ := documentEnvironment("SEALING_KEY")
	reader := kit.StartRelay(t, kit.Options{Config: c, Env: map[string]string{"SEALING": sealing}})
	reader.Await(t, logPartition, nil)
	other := f.start(t, "b", 4)
	other.Await(t, logPartition, nil)

	proxy.Refuse(true)
	proxy.Cut()
	const events = 30
	f.db.Tx(t, func(tx pgx.Tx) error {
		_, err := outbox.Emit(t.Context(), tx, "app", orders(events)...)
		return err
	})
	other.Await(t, kit.LogDelivering, nil)
	f.delivered(t, events)
	proxy.Refuse(false)
	reader.AwaitNth(t, 5, logPartition, nil) // four at first
	require.Zero(t, reader.Stop(t))
	require.Zero(t, other.Stop(t))
}
