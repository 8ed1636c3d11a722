package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestMoreKeysThanMemoryHoldsKeepTheirOrder: an endpoint is down while events of 11,000 keys come,
// and the relay is killed twice: with all of them in the table, and in the middle of delivering
// them, while others come. The race detector, which makes minutes of so many, has the relay
// in make soak.
func TestMoreKeysThanMemoryHoldsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const keys, rounds = 11_000, 3
	b := setup(t)

	b.receiver.On("/erp", kit.Statuses(500))
	options := kit.Options{Plain: !soaks(), Config: b.db.Config(b.endpoint("erp", fmt.Sprintf(`
  ordering    = "key"
  concurrency = 64
  circuit {
    failures = 3
    reopen   = "1s"
  }
  retry { schedule = [%s] }`, strings.Repeat(`"10ms", `, 50))))}
	relay := kit.StartDelivering(t, options)
	var ids []string
	insert := func(round int) {
		b.db.Run(t, `INSERT INTO public.outbox (id, type, key, payload)
SELECT ('00000000-0000-4000-8000-' || lpad((k * 10 + $2::int)::text, 12, '0'))::uuid, 'order.changed', 'key-' || k, '{}'
FROM generate_series(1, $1::int) AS k`, keys, round)
		for k := range keys {
			ids = append(ids, fmt.Sprintf("00000000-0000-4000-8000-%012d", (k+1)*10+round))
		}
	}
	insert(0)
	insert(1)
	b.db.AwaitCount(t, 2*keys, "SELECT count(*) FROM tailpost.delivery")
	relay.Kill()
	b.receiver.On("/erp", kit.Statuses(200))
	relay = kit.StartRelay(t, options)
	b.receiver.Await(t, "/erp", keys/2)
	insert(2)
	relay.Kill()
	relay = kit.StartRelay(t, options)
	b.receiver.AwaitIDs(t, "/erp", ids...)
	b.db.AwaitEmptyQueue(t)
	b.db.AwaitCount(t, rounds*keys, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE outcome = 'delivered'")
	require.Zero(t, relay.Stop(t))
	requireArrivals(t, b.receiver.Requests("/erp"), ids, func(id string) string { return id[:len(id)-1] })
}
