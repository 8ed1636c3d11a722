package doctor_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

// A slot that a failover would lose: from Postgres 17 on it need not be.
func TestASlotThatNoStandbyHasIsNamed(t *testing.T) {
	t.Parallel()
	settings := pgserver.FastSettings()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := bundle(t, server.URL("postgres"), "tailpost")
	b.migrate(t)
	require.Contains(t, b.find(t, "failover", doctor.OK).Detail, "none to fail over to")
	standby, err := server.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })
	b.exec(t, "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')")
	if b.version(t) < 170000 {
		require.Contains(t, b.find(t, "failover", doctor.OK).Detail, "before Postgres 17")
		return
	}
	require.Contains(t, b.find(t, "failover", doctor.Warning).Fix, "it makes the slot with failover")
	b.exec(t, "SELECT pg_drop_replication_slot('SLOT')")
	b.exec(t, "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput', false, false, true)")
	require.Contains(t, b.find(t, "failover", doctor.Warning).Fix, "synchronized_standby_slots")
	b.synchronize(t, `"standby"`)
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(b.examine(t), func(f doctor.Finding) bool { return f.Check == "failover" && f.Grade == doctor.OK })
	}, time.Minute, 50*time.Millisecond)
	onStandby := bundle(t, standby.URL("postgres"), "tailpost")
	onStandby.exec(t, "ALTER SYSTEM SET sync_replication_slots = off")
	onStandby.exec(t, "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(b.examine(t), func(f doctor.Finding) bool { return f.Check == "failover" && f.Grade == doctor.Warning })
	}, time.Minute, 50*time.Millisecond)
	require.Contains(t, b.find(t, "failover", doctor.Warning).Detail, "no standby copies slots")
	b.synchronize(t, "'standby, gone'") // what is in quotes is split too
	found := b.find(t, "failover", doctor.Failure)
	require.Contains(t, found.Detail, "names gone, and")
	b.synchronize(t, "standby")
	require.NoError(t, standby.Close())
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(b.examine(t), func(f doctor.Finding) bool { return f.Check == "failover" && f.Grade == doctor.Failure })
	}, time.Minute, 50*time.Millisecond)
}

// synchronize sets the slots that the stream waits for, and waits until the server knows.
func (b *testBundle) synchronize(t *testing.T, slots string) {
	t.Helper()
	b.exec(t, "ALTER SYSTEM SET synchronized_standby_slots = "+slots)
	b.exec(t, "SELECT pg_reload_conf()")
	require.Eventually(t, func() bool {
		var now string
		require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT current_setting('synchronized_standby_slots')").Scan(&now))
		return strings.Trim(now, `"`) == strings.Trim(slots, `'"`)
	}, 30*time.Second, 10*time.Millisecond)
}

// The setting of the minor releases of August 2026: a list in one pair of quotes is one name.
func TestAServerThatDoesNotDecodeWithOurPluginIsNamed(t *testing.T) {
	t.Parallel()
	b := setupServer(t, nil)
	var has bool
	require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'output_plugin_libraries')").Scan(&has))
	require.Contains(t, b.find(t, "output_plugin", doctor.OK).Detail, "decodes with pgoutput")
	if !has {
		t.Skip("this Postgres loads every output plugin")
	}
	b.exec(t, "ALTER ROLE postgres SET output_plugin_libraries = 'wal2json, pgoutput'")
	f := b.find(t, "output_plugin", doctor.Failure)
	require.Contains(t, f.Detail, `output_plugin_libraries is "\"wal2json, pgoutput\""`)
	require.Contains(t, f.Detail, "ALTER SYSTEM SET output_plugin_libraries = 'pgoutput'; as a superuser")
	b.exec(t, "ALTER ROLE postgres SET output_plugin_libraries = 'wal2json', 'test_decoding'")
	require.Contains(t, b.find(t, "output_plugin", doctor.Failure).Detail, "= 'pgoutput', 'wal2json', 'test_decoding'; as a superuser")
	b.exec(t, "ALTER ROLE postgres RESET output_plugin_libraries")
	b.as(t, "REPLICATION")
	require.Contains(t, b.find(t, "output_plugin", doctor.OK).Detail, "may not read output_plugin_libraries")
}

// The role that `tailpost migrate --print` makes may not look into other roles' sessions.
func TestWhatARoleMayNotSeeIsSaid(t *testing.T) {
	t.Parallel()
	b := setupServer(t, map[string]string{"max_wal_senders": "3"})
	b.long = 50 * time.Millisecond
	held := b.replicate(t)
	defer held.Close(context.WithoutCancel(t.Context()))
	b.exec(t, "BEGIN")
	b.exec(t, "SELECT pg_sleep(0.1)")
	require.Contains(t, b.find(t, "transactions", doctor.Warning).Detail, "has had a transaction open")
	b.exec(t, "COMMIT")
	b.as(t, "REPLICATION")
	b.exec(t, "BEGIN")
	b.exec(t, "SELECT pg_sleep(0.1)")
	require.Contains(t, b.find(t, "transactions", doctor.OK).Detail, "GRANT pg_read_all_stats TO")
	b.exec(t, "COMMIT")
	for _, f := range b.examine(t) {
		if strings.Contains(f.Detail, "walsenders") {
			require.Equal(t, "1 of 3 walsenders are in use", f.Detail)
		}
	}
}

// A role that had its grants from an earlier release lacks those for the tables of later ones.
func TestWhatARoleLacksIsNamedByWhatItStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var script bytes.Buffer
	b.as(t, "REPLICATION")
	role := b.role(t)
	require.NoError(t, schema.Print(&script, schema.PrintOptions{
		Mapping: b.cfg.Outbox.Mapping, Slot: b.cfg.Database.Slot, Relay: role, Application: role, Reader: role,
	}))
	b.exec(t, script.String())
	require.Contains(t, b.find(t, "privileges", doctor.OK).Detail, "may do what a relay does")
	b.cfg.Outbox.Retention = time.Hour
	require.Equal(t, `GRANT DELETE ON "public"."outbox" TO "`+role+`";`, b.find(t, "privileges", doctor.Warning).Fix)
	b.cfg.Outbox.Retention = 0
	b.exec(t, "REVOKE INSERT ON tailpost.gap FROM "+role)
	require.Contains(t, b.find(t, "privileges", doctor.Warning).Detail, "delivers, but lacks tailpost.gap INSERT:")
	b.cfg.Outbox.Retention = time.Hour
	b.exec(t, "REVOKE EXECUTE ON FUNCTION tailpost.summarize_attempts(integer) FROM "+role+", PUBLIC")
	found := b.find(t, "privileges", doctor.Warning)
	require.Contains(t, found.Detail, `delivers, but lacks tailpost.gap INSERT, tailpost.summarize_attempts(integer) EXECUTE, "public"."outbox" DELETE:`)
	require.Contains(t, found.Fix, "migrate --print --relay-role "+role)
	b.exec(t, "REVOKE UPDATE ON tailpost.relay FROM "+role)
	require.Contains(t, b.find(t, "privileges", doctor.Failure).Detail, "lacks tailpost.relay UPDATE, tailpost.gap INSERT")
	b.exec(t, "REVOKE USAGE ON SCHEMA tailpost FROM "+role)
	require.Contains(t, b.find(t, "schema", doctor.Failure).Fix, "migrate --print")
}

// TestAColumnListIsNamed: the stream leaves out what the publication does not list, although the
// table has it.
func TestAColumnListIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var version int
	require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version))
	if version < 150000 {
		return // Postgres 14 has no column lists
	}
	b.exec(t, `CREATE PUBLICATION "SLOT" FOR TABLE outbox (id, type) WITH (publish = 'insert')`)
	found := b.find(t, "publication", doctor.Warning)
	require.Contains(t, found.Detail, "it has a column list (id, type), and the stream leaves out all other columns")
	require.Contains(t, found.Fix, `SET TABLE "public"."outbox"`)
}
