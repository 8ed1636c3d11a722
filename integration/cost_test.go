package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/signature"
)

// What delivering an event may cost the host database: one row, a share of the two rows that every
// recording transaction changes, and the WAL of that. The limits are counts that do not depend on
// the machine, except for how many transactions there are, which is taken as measured. If a change
// raises them, find out why (pg_walinspect, or pg_waldump on the server's folder), and raise a
// limit only together with the reason.
const (
	walOfEvent       = 350    // bytes; measured: 320, of which three index entries are half
	walOfTransaction = 1_500  // bytes; measured: some 700 for position, counters and commit
	walOfStart       = 60_000 // bytes; epoch, endpoints, marks
	rowsOfStart      = 20
)

func TestDeliveringCostsTheDatabaseOneRow(t *testing.T) {
	t.Parallel()
	const events = 5_000
	// A server of its own: its WAL and its counters are the relay's alone.
	settings := pgserver.FastSettings()
	settings["autovacuum"] = "off"
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	db := kit.OpenDatabase(t, server.URL("postgres"), "cost")
	db.Migrate(t, outbox.DefaultMapping())
	receiver := kit.NewReceiver(t)
	config := db.Config(kit.Endpoint{ID: "erp", URL: receiver.URL("/erp"), Secret: []string{signature.GenerateSecret()}, HCL: `park_after = "1m"`})
	require.Zero(t, kit.StartDelivering(t, kit.Options{Config: config}).Stop(t))

	db.Run(t, `
INSERT INTO outbox (type, payload)
SELECT 'order.created', jsonb_build_object('filler', repeat('x', 480))
FROM generate_series(1, $1)`, events)
	db.Run(t, "CHECKPOINT")
	awaitStatistics(t, db)
	rows := func(column string) int {
		return db.Count(t, "SELECT sum("+column+")::int FROM pg_stat_all_tables WHERE schemaname = 'tailpost'")
	}
	before := map[string]int{"n_tup_ins": rows("n_tup_ins"), "n_tup_upd": rows("n_tup_upd"), "n_tup_del": rows("n_tup_del")}
	start := db.LSN(t)

	relay := kit.StartDelivering(t, kit.Options{Config: config})
	db.AwaitCount(t, events, "SELECT count(*) FROM tailpost.attempt")
	db.AwaitConfirmed(t, db.LSN(t))
	require.Zero(t, relay.Stop(t))

	transactions := db.Count(t, "SELECT count(DISTINCT xmin::text) FROM tailpost.attempt")
	wal := db.Count(t, "SELECT (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::bigint", start)
	t.Logf("%d events, %d recording transactions, %d bytes of WAL", events, transactions, wal)
	require.LessOrEqual(t, wal, walOfStart+events*walOfEvent+transactions*walOfTransaction, "bytes of WAL")

	awaitStatistics(t, db)
	require.GreaterOrEqual(t, rows("n_tup_ins")-before["n_tup_ins"], events, "rows inserted")
	require.Zero(t, db.Count(t, "SELECT count(*) FROM tailpost.delivery"))
	require.LessOrEqual(t, rows("n_tup_ins")-before["n_tup_ins"], events+rowsOfStart, "rows inserted")
	require.LessOrEqual(t, rows("n_tup_upd")-before["n_tup_upd"], 4*transactions+rowsOfStart, "rows updated: position and counters, of the endpoint and of its types, of a transaction")
	require.LessOrEqual(t, rows("n_tup_del")-before["n_tup_del"], rowsOfStart, "rows deleted")
}

// awaitStatistics waits until the server has published what every connection before this one did.
// It does so when a connection ends, and until then as it likes: the rows of the migrations were
// once counted as the relay's.
func awaitStatistics(t *testing.T, db *kit.Database) {
	t.Helper()
	db.Reset()
	require.Eventually(t, func() bool {
		return db.Count(t, "SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()") == 0
	}, time.Minute, 10*time.Millisecond)
}
