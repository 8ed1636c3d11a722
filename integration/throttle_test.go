package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// An endpoint that says that it has too much to do is left alone as a whole, for as long as it asks
// or for a second; a failure of another kind puts off one delivery only.
func TestAnOverloadedEndpointIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pauses := make(map[string]time.Duration)
	var endpoints []kit.Endpoint
	for _, status := range []int{429, 502, 503, 504} {
		for _, hint := range []int{0, 2} {
			name := fmt.Sprintf("status-%d-%d", status, hint)
			pauses[name] = max(time.Duration(hint)*time.Second, time.Second)
			b.receiver.On("/"+name, overloadedOnce(status, hint))
			endpoints = append(endpoints, b.endpoint(name, "concurrency = 1\n"+fast))
		}
	}
	b.receiver.On("/failing", overloadedOnce(500, 2))
	endpoints = append(endpoints, b.endpoint("failing", "concurrency = 1\n"+fast), b.endpoint("healthy", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(endpoints...)})
	ids := b.db.Insert(t, orders(10)...)
	b.exactlyOnce(t, "healthy", ids)
	for name, pause := range pauses {
		b.db.AwaitCount(t, len(ids), "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND outcome = 'delivered'", name)
		requests := b.receiver.Requests("/" + name)
		require.Len(t, requests, len(ids)+1, "one was refused, and then all were taken")
		require.GreaterOrEqual(t, requests[1].At.Sub(requests[0].Answered), pause, "%s is sent nothing before that", name)
		b.db.CheckStats(t, name)
	}
	b.db.AwaitEmptyQueue(t)
	failing := b.receiver.Requests("/failing")
	require.Len(t, failing, len(ids)+1)
	require.NotEqual(t, failing[0].ID, failing[1].ID, "the others do not wait for the one that failed")
	require.Zero(t, relay.Stop(t))
}

// overloadedOnce refuses the first request of all, maybe with a time to wait in seconds, and takes
// all others.
func overloadedOnce(status, hint int) kit.Behaviour {
	refuse := kit.Respond(status, "")
	if hint > 0 {
		refuse = kit.Respond(status, "", "Retry-After", fmt.Sprint(hint))
	}
	return kit.First(refuse, kit.Statuses(200))
}
