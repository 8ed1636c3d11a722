package integration_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// upgradeFrom names the environment variable with the binaries of the Postgres that is upgraded, to
// that of PGBIN. Without it one version takes over its own cluster, by the same steps.
const upgradeFrom = "PGBIN_OLD"

// keepsSlots is the first version that pg_upgrade keeps logical slots from, if they have been read
// to their ends.
const keepsSlots = 170000

// A major upgrade gives the cluster another identity. From before Postgres 17 it takes the slot
// away, and WAL with it: what was committed after the relay's last event is in the table alone.
// From then on the slot is kept, if the relay streams until the server stops, and there is no gap.
func TestAnUpgradedClusterGoesOn(t *testing.T) {
	t.Parallel()
	b, server := ownServerOf(t, os.Getenv(upgradeFrom))
	next, err := pgserver.Find()
	require.NoError(t, err)
	if !server.CanUpgrade(next) {
		t.Skip("this Postgres comes without pg_upgrade")
	}
	b.db.Migrate(t, outbox.DefaultMapping())
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("strict", inOrder))
	b.receiver.On("/later", kit.Statuses(503, 200))
	config.Endpoints = append(config.Endpoints, b.endpoint("later", `retry { schedule = ["1s"] }`))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(20)...)
	for _, endpoint := range []string{"erp", "strict"} {
		b.exactlyOnce(t, endpoint, ids)
	}
	from := b.db.Count(t, "SELECT current_setting('server_version_num')::int")
	before := identity(t, b)
	table := b.db.Count(t, "SELECT 'public.outbox'::regclass::oid::int")
	lost := 0
	if from < keepsSlots {
		lost = 30
		require.Zero(t, relay.Stop(t))
		ids = append(ids, b.db.Insert(t, orders(lost)...)...)
	} else {
		b.db.AwaitConfirmed(t, b.db.LSN(t))
	}
	require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
	require.NoError(t, server.Upgrade(t.Context(), next))
	require.NoError(t, server.Restart(t.Context(), pgserver.Fast))
	b.db.Reset() // of the connections to the server that was
	t.Logf("from %d to %d", from, b.db.Count(t, "SELECT current_setting('server_version_num')::int"))
	require.NotEqual(t, before, identity(t, b))
	require.Equal(t, table, b.db.Count(t, "SELECT 'public.outbox'::regclass::oid::int"), "by which nobody can tell that it is another one")

	if lost > 0 {
		relay = kit.StartDelivering(t, kit.Options{Config: config})
	}
	ids = append(ids, b.db.Insert(t, orders(10)...)...)
	for _, endpoint := range []string{"erp", "strict"} {
		b.exactlyOnce(t, endpoint, ids)
	}
	require.Equal(t, ids, b.receiver.IDs("/strict"))
	b.receiver.AwaitIDs(t, "/later", ids...)
	b.db.AwaitEmptyQueue(t)
	b.db.AwaitCount(t, 1, "SELECT (audited_at IS NOT NULL)::int FROM tailpost.relay") // the table was looked at
	if lost == 0 {
		require.Zero(t, b.gaps(t, ""))
	} else {
		require.Equal(t, 1, b.gaps(t, "the server is another one: system identifier "+identity(t, b)+" instead of "+before))
		require.GreaterOrEqual(t, b.db.Count(t, "SELECT events FROM tailpost.gap"), lost)
	}
	require.Zero(t, relay.Stop(t))
}
