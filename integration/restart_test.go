package integration_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// orders are n events.
func orders(n int) []outbox.Event {
	events := make([]outbox.Event, n)
	for i := range events {
		events[i] = kit.Event("order.created", fmt.Sprintf(`{"n": %d}`, i))
	}
	return events
}

func TestARestartLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n, concurrency = 40, 4
	gate, open := kit.Gate()
	b.receiver.On("/gated", gate)
	config := b.db.Config(
		b.endpoint("gated", fmt.Sprintf("concurrency = %d\n timeout = \"60s\"\n", concurrency)+fast),
		b.endpoint("healthy", ""),
	)
	options := kit.Options{Config: config, Args: []string{"--grace", "200ms"}}
	relay := kit.StartDelivering(t, options)
	ids := b.db.Insert(t, orders(n)...)
	b.db.AwaitAttempts(t, "healthy", n)
	b.receiver.Await(t, "/gated", concurrency)

	// Some are in flight, the others wait in memory.
	require.Zero(t, relay.Stop(t), "a stop with deliveries waiting is a clean one")
	require.Equal(t, n, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'gated' AND state = 'pending'"))
	b.db.AwaitConfirmed(t, b.db.Text(t, "SELECT max(commit_lsn)::text FROM tailpost.delivery"))
	down := b.db.Insert(t, orders(5)...)
	ids = append(ids, down...)

	open()
	relay = kit.StartDelivering(t, options)
	b.receiver.AwaitIDs(t, "/gated", ids...)
	b.receiver.AwaitIDs(t, "/healthy", ids...)
	b.db.AwaitAttempts(t, "healthy", len(ids))
	b.db.AwaitEmptyQueue(t)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Zero(t, relay.Stop(t))

	require.Len(t, b.receiver.Requests("/healthy"), len(ids), "what was recorded was not sent again")
	for _, endpoint := range []string{"gated", "healthy"} {
		require.Equal(t, len(ids), b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND outcome = 'delivered'", endpoint))
		require.Equal(t, len(ids), b.db.Count(t, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE endpoint_id = $1 AND outcome = 'delivered'", endpoint))
		b.db.CheckStats(t, endpoint)
	}
}

func TestAStopLetsRequestsInFlightEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate, open := kit.Gate()
	b.receiver.On("/erp", gate)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `timeout = "60s"`))})
	b.db.Insert(t, kit.Event("order.created", `{}`))
	b.receiver.Await(t, "/erp", 1)

	relay.Signal(t, syscall.SIGTERM)
	// The slot's last owner still holds it while its request is in flight.
	second := kit.StartRelay(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `timeout = "60s"`))})
	second.Await(t, kit.LogStandby, nil)
	open()
	require.Zero(t, relay.Wait(t, kit.Patience))
	attempts := b.db.AwaitAttempts(t, "erp", 1)
	require.Equal(t, "delivered", attempts[0].Outcome)
	second.Await(t, kit.LogDelivering, nil)
	b.db.AwaitEmptyQueue(t)
	require.Len(t, b.receiver.Requests("/erp"), 1)
}

// A request that does not end within the grace is broken off, and its delivery waits for the next
// relay.
func TestAStopWaitsNoLongerThanItsGrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate, open := kit.Gate()
	t.Cleanup(open)
	b.receiver.On("/erp", gate)
	options := kit.Options{Config: b.db.Config(b.endpoint("erp", `timeout = "60s"`)), Args: []string{"--grace", "300ms"}}
	relay := kit.StartDelivering(t, options)
	b.db.Insert(t, kit.Event("order.created", `{}`))
	b.receiver.Await(t, "/erp", 1)
	began := time.Now()
	require.Zero(t, relay.Stop(t))
	require.Less(t, time.Since(began), 8*time.Second, "by default it is ten seconds")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending' AND reason = 'shutdown'")
}

func TestASecondRelayStandsByAndTakesOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", fast))
	first := kit.StartDelivering(t, kit.Options{Config: config})
	second := kit.StartRelay(t, kit.Options{Config: config})
	second.Await(t, kit.LogStandby, nil)

	ids := b.db.Insert(t, orders(20)...)
	b.db.AwaitAttempts(t, "erp", 20)
	first.Kill()
	killed := time.Now()
	ids = append(ids, b.db.Insert(t, orders(20)...)...)
	second.Await(t, kit.LogDelivering, nil)
	takeover := time.Since(killed)
	b.receiver.AwaitIDs(t, "/erp", ids...)
	require.Less(t, takeover, 30*time.Second, "not when Postgres gives a silent relay up")
	t.Logf("takeover after SIGKILL: %s", takeover.Round(time.Millisecond))

	b.db.AwaitAttempts(t, "erp", len(ids))
	b.db.AwaitEmptyQueue(t)
	require.Len(t, b.receiver.Requests("/erp"), len(ids), "all that had been recorded was not sent again")
	require.Equal(t, 2, b.db.Count(t, "SELECT epoch FROM tailpost.relay WHERE slot = $1", b.db.Slot))
	b.db.CheckStats(t, "erp")
	require.Zero(t, second.Stop(t))
}

func TestARelayWithAnotherSlotIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	other := config
	other.Slot = config.Slot + "_2"
	other.Endpoints = []kit.Endpoint{b.endpoint("other", "")}
	refused := kit.StartRelay(t, kit.Options{Config: other})
	require.Equal(t, 1, refused.Wait(t, kit.Patience))
	require.Contains(t, refused.Stderr(), "belong to one slot. Give all relays of the database the same database.slot")
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", other.Slot), "nothing is left that keeps WAL")
	b.exactlyOnce(t, "erp", b.db.Insert(t, orders(1)...))
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'erp' AND status = 'active'"))

	// A slot that was renamed is told, because it keeps WAL.
	require.Zero(t, relay.Stop(t))
	renamed := kit.StartDelivering(t, kit.Options{Config: other})
	renamed.Await(t, "a slot of an earlier configuration keeps WAL: drop it with pg_drop_replication_slot if no relay will use it", kit.Record{"slot": config.Slot})
	require.Zero(t, renamed.Stop(t))
	b.db.Run(t, "SELECT pg_drop_replication_slot($1)", other.Slot)
}

func TestAPostgresThatStopsIsNotHeldUpAndIsFoundAgain(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]pgserver.StopMode{"fast": pgserver.Fast, "crash": pgserver.Immediate} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, server.Close()) })
			b := &testBundle{db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}
			b.db.Migrate(t, outbox.DefaultMapping())
			b.receiver.On("/hanging", kit.Hang())
			kit.StartDelivering(t, kit.Options{Config: b.db.Config(
				b.endpoint("hanging", `
  concurrency = 2
  timeout     = "60s"
  park_after  = "100ms"`),
				b.endpoint("healthy", ""),
			)})
			before := b.db.Insert(t, orders(20)...)
			b.db.AwaitCount(t, 20, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'hanging'")
			b.db.AwaitAttempts(t, "healthy", 20)

			ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
			defer cancel()
			began := time.Now()
			require.NoError(t, server.Stop(ctx, mode))
			stopped := time.Since(began)
			require.Less(t, stopped, 30*time.Second, "not when Postgres gives a silent relay up")

			require.NoError(t, server.Restart(ctx, mode))
			b.db.Reset()
			began = time.Now()
			after := b.db.Insert(t, orders(5)...)
			b.receiver.AwaitIDs(t, "/healthy", append(before, after...)...)
			back := time.Since(began)
			require.Less(t, back, 30*time.Second)
			t.Logf("stopped, with an endpoint hanging, in %s; delivering again in %s", stopped.Round(time.Millisecond), back.Round(time.Millisecond))

			b.db.AwaitAttempts(t, "healthy", 25)
			require.Len(t, b.receiver.Requests("/healthy"), 25)
			b.db.AwaitCount(t, 25, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'hanging'")
		})
	}
}

// TestAPostgresThatStopsDoesNotWaitForARelayThatBegins: it waits for the stream, and so the stream
// must not wait for it.
func TestAPostgresThatStopsDoesNotWaitForARelayThatBegins(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := &testBundle{db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}
	b.db.Migrate(t, outbox.DefaultMapping())
	config := b.db.Config(b.endpoint("erp", ""))
	require.Zero(t, kit.StartDelivering(t, kit.Options{Config: config}).Stop(t))
	missed := b.db.Insert(t, orders(5)...)

	// It has the stream, and cannot take the epoch.
	locked, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = locked.Rollback(context.Background()) }) // which gives its connection back
	_, err = locked.Exec(t.Context(), "SELECT FROM tailpost.relay FOR UPDATE")
	require.NoError(t, err)
	relay := kit.StartRelay(t, kit.Options{Config: config})
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM pg_stat_replication WHERE state IN ('streaming', 'catchup')")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")

	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	require.NoError(t, server.Stop(ctx, pgserver.Fast))
	require.NoError(t, server.Restart(t.Context(), pgserver.Fast))
	b.db.Reset()
	b.receiver.AwaitIDs(t, "/erp", missed...)
	require.Zero(t, relay.Stop(t))
}

// A relay that stands by asks whether the slot is free, and makes no connection for that: the
// host's database has a new process for each.
func TestARelayThatStandsByMakesNoConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", fast))
	first := kit.StartDelivering(t, kit.Options{Config: config})
	proxy, through := kit.NewProxy(t, b.db.URL, 1)
	config.DatabaseURL = through
	second := kit.StartRelay(t, kit.Options{Config: config})
	second.Await(t, kit.LogStandby, nil)

	awaitAsks := func(n int) {
		asks := make(map[string]struct{})
		require.Eventually(t, func() bool {
			asks[b.db.Text(t, `
SELECT COALESCE(max(query_start)::text, '')
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%FROM pg_catalog.pg_replication_slots AS s%AND s.active%'`)] = struct{}{}
			delete(asks, "")
			return len(asks) >= n
		}, kit.Patience, 20*time.Millisecond)
	}
	awaitAsks(1)
	clients := proxy.Clients()
	awaitAsks(6)
	require.Equal(t, clients, proxy.Clients())

	first.Kill()
	second.Await(t, kit.LogDelivering, nil)
	b.receiver.AwaitIDs(t, "/erp", b.db.Insert(t, orders(1)...)...)
}
