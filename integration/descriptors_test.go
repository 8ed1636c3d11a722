package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// A relay that has too few file descriptors for its endpoints is not their fault: it costs no
// attempt, opens no circuit and disables nobody, and is reported once. Connections that have
// nothing to do are closed, and everything is delivered as descriptors come free.
func TestTooFewFileDescriptorsAreNotTheReceiversFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const endpoints, descriptors, events = 60, 40, 1
	var all []kit.Endpoint
	for i := range endpoints {
		e := b.endpoint(fmt.Sprintf("e%d", i), `
  disable_after = "1s"
  circuit { failures = 2 }
  retry { schedule = ["100ms"] }`)
		b.receiver.On("/"+e.ID, kit.Slow(100*time.Millisecond, kit.Statuses(200)))
		all = append(all, e)
	}
	config := b.db.Config(all...)
	address := freeAddress(t)
	config.More = fmt.Sprintf("metrics { listen = %q }", address)
	relay := kit.StartDelivering(t, kit.Options{Config: config, Descriptors: descriptors})
	b.db.Insert(t, orders(events)...)
	b.db.AwaitCount(t, endpoints*events, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	b.db.AwaitEmptyQueue(t)
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE outcome <> 'delivered'"), "attempts that were none")
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint WHERE status <> 'active' OR failing_since IS NOT NULL"))
	require.Positive(t, scrape(t, "http://"+address+"/metrics", "").number("tailpost_local_failures_total"), "the limit was not reached, so that nothing is known of it")
	told := 0
	for _, record := range relay.Log() {
		if record["message"] == "this machine is short of something that requests need, they wait; raise its limits or lower the concurrency" {
			told++
		}
	}
	require.Equal(t, 1, told, "one line a minute, whatever the number of requests")
	require.Zero(t, relay.Stop(t))
}
