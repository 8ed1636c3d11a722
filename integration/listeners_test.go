package integration_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// No webhook goes to what the relay itself listens on: its API, its metrics, its profiles. What the
// configuration allows changes nothing about that.
func TestNoWebhookGoesToTheRelaysOwnListeners(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := map[string]string{"api": freeAddress(t), "metrics": freeAddress(t), "pprof": freeAddress(t)}
	endpoints := []kit.Endpoint{b.endpoint("erp", "")}
	for name, address := range own {
		endpoint := b.endpoint(name, "retry { schedule = [] }")
		endpoint.URL = "http://" + address + "/debug/pprof/"
		endpoints = append(endpoints, endpoint)
	}
	config := b.db.Config(endpoints...)
	config.More = fmt.Sprintf("api { listen = %q }\nmetrics { listen = %q }\n", own["api"], own["metrics"])
	relay := kit.StartDelivering(t, kit.Options{Config: config, Args: []string{"--pprof", own["pprof"]}})
	b.db.Insert(t, orders(1)...)
	b.db.AwaitAttempts(t, "erp", 1)
	for name := range own {
		b.db.AwaitAttempts(t, name, 1)
		require.Contains(t, b.db.Text(t, "SELECT error FROM tailpost.attempt WHERE endpoint_id = $1", name), "this relay listens there", name)
	}
	require.Zero(t, relay.Stop(t))
}
