package integration_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// ownServer is a bundle on a server of the test's own.
func ownServer(t *testing.T) (*testBundle, *pgserver.Server) {
	t.Helper()
	return ownServerOf(t, "")
}

// ownServerOf is ownServer of these binaries.
func ownServerOf(t *testing.T, binDir string) (*testBundle, *pgserver.Server) {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Options{BinDir: binDir, Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := &testBundle{db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}
	return b, server
}

// identity is the system identifier of the server.
func identity(t *testing.T, b *testBundle) string {
	t.Helper()
	return b.db.Text(t, "SELECT system_identifier::text FROM pg_control_system()")
}

func TestAClusterWithAnotherIdentityIsHealed(t *testing.T) {
	t.Parallel()
	b, server := ownServer(t)
	if !server.CanReset() {
		t.Skip("this Postgres comes without pg_resetwal")
	}
	b.db.Migrate(t, outbox.DefaultMapping())
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("strict", inOrder))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(20)...)
	b.exactlyOnce(t, "erp", ids)
	b.exactlyOnce(t, "strict", ids)
	require.Zero(t, relay.Stop(t))

	// Committed, and gone from the WAL before anybody read it.
	ids = append(ids, b.db.Insert(t, orders(30)...)...)
	before := identity(t, b)
	require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
	require.NoError(t, server.NewIdentity(t.Context()))
	require.NoError(t, server.Restart(t.Context(), pgserver.Fast))
	b.db.Reset() // of the connections to the server that was
	require.NotEqual(t, before, identity(t, b))

	relay = kit.StartDelivering(t, kit.Options{Config: config})
	ids = append(ids, b.db.Insert(t, orders(10)...)...)
	relay.Await(t, logHealed, nil)
	// The stream may have ended, and the slot been made anew, after some of the last ten.
	events := b.db.Count(t, "SELECT events FROM tailpost.gap")
	require.GreaterOrEqual(t, events, 30)
	require.LessOrEqual(t, events, 40)
	b.exactlyOnce(t, "erp", ids)
	b.exactlyOnce(t, "strict", ids)
	require.Equal(t, ids, b.receiver.IDs("/strict"))
	require.Equal(t, 1, b.gaps(t, "the server is another one: system identifier "+identity(t, b)+" instead of "+before))
	require.Zero(t, relay.Stop(t))

	// It is healed once.
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	ids = append(ids, b.db.Insert(t, orders(1)...)...)
	b.exactlyOnce(t, "erp", ids)
	require.Equal(t, 1, b.gaps(t, ""))
	require.Zero(t, relay.Stop(t))
}

func TestADatabaseRestoredFromADumpIsHealed(t *testing.T) {
	t.Parallel()
	b, server := ownServer(t)
	b.db.Migrate(t, outbox.DefaultMapping())
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("keyed", `ordering = "key"`), b.endpoint("strict", inOrder))
	for i := 1; i < len(config.Endpoints); i++ {
		config.Endpoints[i].HCL += "\n" + `retry { schedule = ["1h"] }`
	}
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	insert := func(from, n int) (ids []string) {
		for i := from; i < from+n; i++ {
			ev := kit.Event("order.changed", fmt.Sprintf(`{"n": %d}`, i))
			ev.Key = "k"
			ids = append(ids, b.db.Insert(t, ev)...)
		}
		return ids
	}
	ids := insert(0, 10)
	b.exactlyOnce(t, "strict", ids)
	b.exactlyOnce(t, "keyed", ids)
	// What waits for another try when the dump is made, and what nobody has read by then.
	for _, path := range []string{"/keyed", "/strict"} {
		b.receiver.On(path, kit.Statuses(500))
	}
	// The LSNs of the new cluster are lower.
	for range 8 {
		b.db.Run(t, "SELECT pg_logical_emit_message(true, 'x', 'y'), pg_switch_wal()")
	}
	waiting := insert(10, 5)
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'retry'")
	b.receiver.AwaitIDs(t, "/erp", append(ids, waiting...)...)
	require.Zero(t, relay.Stop(t))
	unread := insert(15, 20)
	before := b.db.LSN(t)

	restored, target := ownServer(t)
	restored.db.Migrate(t, outbox.DefaultMapping())
	require.NoError(t, target.Restore(t.Context(), server, "postgres"))
	b.db = restored.db
	require.Equal(t, 1, b.db.Count(t, "SELECT (pg_current_wal_lsn() < $1::text::pg_lsn)::int", before))
	config.DatabaseURL = b.db.URL

	for _, path := range []string{"/keyed", "/strict"} {
		b.receiver.On(path, kit.Statuses(200))
	}
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	fresh := insert(35, 10)
	relay.Await(t, logHealed, kit.Record{"events": 20, "deliveries": 60})
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	b.db.Run(t, "UPDATE tailpost.delivery SET next_attempt_at = now() WHERE next_attempt_at > now()")
	require.Zero(t, relay.Stop(t))
	relay = kit.StartDelivering(t, kit.Options{Config: config})

	ids = append(append(append(ids, waiting...), unread...), fresh...)
	b.exactlyOnce(t, "erp", ids)
	for _, endpoint := range []string{"keyed", "strict"} {
		b.db.AwaitEmptyQueue(t)
		require.Equal(t, len(ids), b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND outcome = 'delivered'", endpoint))
		got := b.receiver.IDs("/" + endpoint)
		require.Equal(t, ids[10], got[10], "the one that failed comes again")
		require.Equal(t, ids, append(got[:10:10], got[11:]...), "%s gets all in the order of commits", endpoint)
	}
	require.Equal(t, 1, b.gaps(t, "the slot was missing"))
	require.Equal(t, 1, b.gaps(t, "the server is another one"))
	require.Zero(t, relay.Stop(t))
}
