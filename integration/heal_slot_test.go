package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

const logHealed = "a gap in the stream is healed from the outbox table"

// gaps counts the rows of tailpost.gap with these words in their reason.
func (b *testBundle) gaps(t *testing.T, why string) int {
	t.Helper()
	return b.db.Count(t, "SELECT count(*) FROM tailpost.gap WHERE slot = $1 AND why LIKE '%' || $2 || '%'", b.db.Slot, why)
}

// dropSlot ends whoever streams and drops the slot before it is taken again.
func dropSlot(t *testing.T, db *kit.Database) {
	t.Helper()
	kit.Eventually(t, kit.Patience, func() error {
		db.Run(t, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active", db.Slot)
		_, err := db.Exec(t.Context(), "SELECT pg_drop_replication_slot($1)", db.Slot)
		return err
	})
}

// exactlyOnce fails the test unless an endpoint got each event once, and that is recorded.
func (b *testBundle) exactlyOnce(t *testing.T, endpoint string, ids []string) {
	t.Helper()
	b.receiver.AwaitIDs(t, "/"+endpoint, ids...)
	b.db.AwaitAttempts(t, endpoint, len(ids))
	b.db.AwaitEmptyQueue(t)
	require.ElementsMatch(t, ids, b.receiver.IDs("/"+endpoint), "each event arrived once at %s", endpoint)
	b.db.CheckStats(t, endpoint)
}

func TestASlotLostWhileTheRelayIsDownIsHealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("paid", `subscription { events = ["order.paid"] }`))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(20)...)
	b.db.AwaitAttempts(t, "erp", 20)
	require.Zero(t, relay.Stop(t))

	lost := b.db.Insert(t, orders(30)...)
	paid := b.db.Insert(t, kit.Event("order.paid", `{}`))
	dropSlot(t, b.db)
	lost = append(lost, b.db.Insert(t, orders(5)...)...)
	began := time.Now()
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	relay.Await(t, logHealed, kit.Record{"level": "warn", "events": 36, "deliveries": 37, "why": "the slot was missing"})
	after := b.db.Insert(t, orders(5)...)
	ids = append(append(append(ids, lost...), paid...), after...)
	b.exactlyOnce(t, "erp", ids)
	b.exactlyOnce(t, "paid", paid)
	t.Logf("healed after %s", time.Since(began).Round(time.Millisecond))
	require.Equal(t, 1, b.gaps(t, "the slot was missing"))
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.gap WHERE events = 36 AND deliveries = 37 AND from_lsn < to_lsn AND since < at"))
	require.Zero(t, relay.Stop(t))
}

func TestASlotDroppedUnderARunningRelayIsHealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	ids := b.db.Insert(t, orders(20)...)
	b.db.AwaitAttempts(t, "erp", 20)
	for n := range 3 {
		began := time.Now()
		dropSlot(t, b.db)
		ids = append(ids, b.db.Insert(t, orders(20)...)...)
		relay.AwaitNth(t, n+1, logHealed, nil)
		b.exactlyOnce(t, "erp", ids)
		t.Logf("healed after %s", time.Since(began).Round(time.Millisecond))
	}
	require.Equal(t, 3, b.gaps(t, "the slot was missing"))

	// The fourth within an hour has a cause that somebody must remove.
	dropSlot(t, b.db)
	ids = append(ids, b.db.Insert(t, orders(20)...)...)
	config := b.db.Config(b.endpoint("erp", ""))
	refuses := func(relay *kit.Relay) {
		t.Helper()
		require.Equal(t, 1, relay.Wait(t, kit.Patience))
		require.Contains(t, relay.Stderr(), "too many gaps in the stream: 4 within an hour, the last because the slot was missing")
	}
	refuses(relay)
	// Neither does a supervisor that starts it again, nor another replica, get further.
	for range 2 {
		refuses(kit.StartRelay(t, kit.Options{Config: config}))
	}
	require.Equal(t, 3, b.gaps(t, ""))
	require.Len(t, b.receiver.IDs("/erp"), 80, "nothing of the fourth gap was delivered")

	// Once a person has removed the cause, the fourth gap is healed too, and three more may come.
	path := writeConfig(t, config)
	healed := kit.Run(t, kit.Command{Args: []string{"heal", "-c", path}, Env: config.Env(), Secrets: config.Secrets()})
	require.Zero(t, healed.ExitCode(), healed.Output())
	require.Contains(t, healed.Stdout(), "heals this one: the slot was missing")
	kit.StartDelivering(t, kit.Options{Config: config})
	b.exactlyOnce(t, "erp", ids)
	kit.Eventually(t, kit.Patience, func() error {
		if n := b.gaps(t, ""); n != 4 {
			return fmt.Errorf("%d gaps", n)
		}
		return nil
	})
	dropSlot(t, b.db)
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(20)...)...))
}

func TestGapsAreCountedOverRestarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(3)...)
	b.db.AwaitAttempts(t, "erp", len(ids))
	loses := func() {
		t.Helper()
		relay.Kill()
		dropSlot(t, b.db)
		ids = append(ids, b.db.Insert(t, orders(3)...)...)
		relay = kit.StartRelay(t, kit.Options{Config: config})
	}
	for range 3 {
		loses()
		relay.Await(t, logHealed, nil)
		b.db.AwaitAttempts(t, "erp", len(ids))
	}
	for range 2 {
		loses()
		require.Equal(t, 1, relay.Wait(t, kit.Patience))
		require.Contains(t, relay.Stderr(), "too many gaps in the stream")
	}
	require.Equal(t, 3, b.gaps(t, ""))

	// An hour later a start heals by itself: five gaps were found, of which the last two are one
	// heal.
	b.db.Run(t, "UPDATE tailpost.gap SET at = at - interval '1 hour', detected_at = detected_at - interval '1 hour'")
	relay = kit.StartRelay(t, kit.Options{Config: config})
	relay.Await(t, logHealed, kit.Record{"events": 6})
	b.exactlyOnce(t, "erp", ids)
	require.Zero(t, relay.Stop(t))
}

func TestAnOrderedEndpointGetsAGapBeforeWhatFollows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("keyed", `ordering = "key"`), b.endpoint("strict", `ordering = "strict"`))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	insert := func(from, n int) (ids []string) {
		for i := from; i < from+n; i++ {
			ev := kit.Event("order.changed", fmt.Sprintf(`{"n": %d}`, i))
			ev.Key = fmt.Sprintf("k%d", i%3)
			ids = append(ids, b.db.Insert(t, ev)...)
		}
		return ids
	}
	ids := insert(0, 10)
	b.db.AwaitAttempts(t, "strict", 10)
	require.Zero(t, relay.Stop(t))
	ids = append(ids, insert(10, 40)...)
	dropSlot(t, b.db)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	ids = append(ids, insert(50, 20)...)
	b.exactlyOnce(t, "strict", ids)
	b.exactlyOnce(t, "keyed", ids)
	require.Equal(t, ids, b.receiver.IDs("/strict"), "the whole endpoint in the order of commits")
	place := make(map[string]int, len(ids))
	for i, id := range ids {
		place[id] = i
	}
	last := map[int]int{}
	for _, id := range b.receiver.IDs("/keyed") {
		key := place[id] % 3
		require.GreaterOrEqual(t, place[id], last[key], "key %d in the order of commits", key)
		last[key] = place[id]
	}
	require.Zero(t, relay.Stop(t))
}
