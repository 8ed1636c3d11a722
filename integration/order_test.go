package integration_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// Whatever fails, and although the relay is killed on the way: of each key, an event arrives only
// after all before it.
func TestEventsOfAKeyArriveInTheOrderOfTheirCommits(t *testing.T) {
	t.Parallel()
	const n, keys = 200, 5
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for ordering, keyOf := range map[string]func(id string, keyByID map[string]string) string{
		"key":    func(id string, keyByID map[string]string) string { return keyByID[id] },
		"strict": func(string, map[string]string) string { return "the endpoint" },
	} {
		t.Run(ordering, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			good := kit.Statuses(200)
			b.receiver.On("/erp", kit.Random(seed, good, good, good, good, good, kit.Slow(5*time.Millisecond, good), kit.Statuses(500), kit.Reset()))
			options := kit.Options{Config: b.db.Config(b.endpoint("erp", fmt.Sprintf(`
  ordering   = %q
  park_after = "50ms"
  retry { schedule = [%s] }`, ordering, strings.Repeat(`"10ms", `, 50))))}
			relay := kit.StartDelivering(t, options)

			random := rand.New(rand.NewPCG(seed, seed))
			var ids []string
			keyByID := make(map[string]string)
			for i := range n {
				key := fmt.Sprintf("key-%d", random.IntN(keys))
				id := b.db.Insert(t, outbox.Event{Type: "order.changed", Key: key, Payload: fmt.Appendf(nil, `{"n": %d}`, i)})[0]
				ids, keyByID[id] = append(ids, id), key
				if i == n/2 {
					b.receiver.Await(t, "/erp", n/4)
					relay.Kill()
					relay = kit.StartRelay(t, options)
				}
			}
			b.receiver.AwaitIDs(t, "/erp", ids...)
			b.db.AwaitCount(t, n, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE outcome = 'delivered'")
			b.db.AwaitEmptyQueue(t)
			require.Zero(t, relay.Stop(t))

			requireArrivals(t, b.receiver.Requests("/erp"), ids, func(id string) string { return keyOf(id, keyByID) })
			b.db.CheckStats(t, "erp")
		})
	}
}

// requireArrivals requires that of each key, in the requests that were answered well, an event
// comes only once all before it have come. What comes again after a kill has come before, so it
// breaks no order.
func requireArrivals(t *testing.T, requests []kit.Request, ids []string, keyOf func(id string) string) {
	t.Helper()
	waiting := make(map[string][]string) // of each key, what has not come yet
	for _, id := range ids {
		waiting[keyOf(id)] = append(waiting[keyOf(id)], id)
	}
	come := make(map[string]bool)
	for _, r := range requests {
		if come[r.ID] {
			continue
		}
		key := keyOf(r.ID)
		require.NotEmpty(t, waiting[key])
		require.Equal(t, waiting[key][0], r.ID, "sent although an earlier event of %s has not been answered", key)
		if r.Status == http.StatusOK {
			come[r.ID] = true
			waiting[key] = waiting[key][1:]
		}
	}
	require.Len(t, come, len(ids))
}
