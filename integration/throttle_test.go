package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// A receiver that refuses one request because it has too much to do puts off that delivery, by the
// schedule or for as long as it asks, and no other: one refusal says little.
func TestARefusalPutsOffOneDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var endpoints []kit.Endpoint
	hints := map[string]time.Duration{}
	for _, status := range []int{429, 500, 502, 503, 504} {
		for _, hint := range []int{0, 2} {
			name := fmt.Sprintf("status-%d-%d", status, hint)
			hints[name] = time.Duration(hint) * time.Second
			b.receiver.On("/"+name, overloadedOnce(status, hint))
			endpoints = append(endpoints, b.endpoint(name, "concurrency = 1\n"+fast))
		}
	}
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(endpoints...)})
	ids := b.db.Insert(t, orders(10)...)
	for name, hint := range hints {
		b.db.AwaitCount(t, len(ids), "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND outcome = 'delivered'", name)
		requests := b.receiver.Requests("/" + name)
		require.Len(t, requests, len(ids)+1, "one was refused, and then all were taken")
		refused := requests[0]
		require.NotEqual(t, refused.ID, requests[1].ID, "%s: the others do not wait for it", name)
		for _, again := range requests[1:] {
			if again.ID == refused.ID {
				require.GreaterOrEqual(t, again.At.Sub(refused.Answered), hint, "%s is not asked before that", name)
			}
		}
		b.db.CheckStats(t, name)
	}
	b.db.AwaitEmptyQueue(t)
	require.Zero(t, relay.Stop(t))
}

// A receiver that insists on being left alone is left alone, all of it, for as long as it says.
func TestAReceiverThatInsistsIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const pause = 3 * time.Second
	b.receiver.On("/busy", kit.First(kit.Slow(150*time.Millisecond, kit.Respond(429, "", "Retry-After", "3")),
		kit.First(kit.Slow(150*time.Millisecond, kit.Respond(429, "", "Retry-After", "3")), kit.Statuses(200))))
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("busy", "concurrency = 1\n"+fast), b.endpoint("healthy", ""))})
	ids := b.db.Insert(t, orders(5)...)
	b.exactlyOnce(t, "healthy", ids)
	b.db.AwaitCount(t, len(ids), "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'busy' AND outcome = 'delivered'")
	requests := b.receiver.Requests("/busy")
	require.Len(t, requests, len(ids)+2)
	require.Less(t, requests[1].At.Sub(requests[0].Answered), pause, "once is for one delivery")
	require.GreaterOrEqual(t, requests[2].At.Sub(requests[1].Answered), pause, "twice is for all")
	b.db.CheckStats(t, "busy")
	b.db.AwaitEmptyQueue(t)
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
