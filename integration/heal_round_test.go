package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// The audit of an interval reads what an index on created_at finds, and goes round the rest of the
// table: a row that says it is older than it is comes up there. One that says nothing of its time
// may be an old one, and is told of.
func TestTheAuditOfAnIntervalFindsRowsThatAreBackDated(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE SCHEMA app;"+plainTable+"; CREATE INDEX ON app.events (created_at)")
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = mapped("app.events", "id", "type", "payload", "created_at")
	migrate := kit.Run(t, kit.Command{Args: []string{"migrate", "-c", writeConfig(t, config)}, Env: config.Env()})
	require.Zero(t, migrate.ExitCode(), migrate.Output())
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, at("old", "now() - interval '10 hours'")+at("lost", "now() - interval '10 hours'")+at("timeless", "NULL"))
	b.db.AwaitAttempts(t, "erp", 3)
	require.Zero(t, relay.Stop(t))

	// As if the stream had not brought them, and the relay had run for some days.
	b.db.Run(t, "DELETE FROM tailpost.attempt WHERE event_id IN ('lost', 'timeless')")
	b.db.Run(t, "ALTER TABLE tailpost.endpoint DISABLE TRIGGER USER")
	b.db.Run(t, "UPDATE tailpost.endpoint SET routed_since = now() - interval '2 days'")
	b.db.Run(t, "ALTER TABLE tailpost.endpoint ENABLE TRIGGER USER")
	b.db.Run(t, "UPDATE tailpost.relay SET started_at = now() - interval '2 days', audited_at = now() - interval '2 hours'")
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	relay.Await(t, logHealed, kit.Record{"events": 1, "deliveries": 1})
	relay.Await(t, "rows of the outbox table have neither an attempt nor a delivery, and no created_at: they are new ones that the "+
		"stream did not bring, or old ones that were updated. Replay them if they are new, and give created_at a default and NOT NULL", kit.Record{"level": "warn", "rows": 1})
	b.receiver.AwaitIDs(t, "/erp", "old", "timeless", "lost", "lost")
	b.db.AwaitAttempts(t, "erp", 2)
	require.Equal(t, 1, b.gaps(t, "an audit found events"))
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.relay WHERE round_block = 0 AND round_settled IS NOT NULL"), "a round through a small table is one audit")
	require.Zero(t, relay.Stop(t))
}

// What a transaction wrote that was open for hours is found wherever it commits: in a gap by who
// wrote it, and behind a slot that somebody moved after a crash, where a glance at the newest rows
// passes it by, by the next audit of the interval.
func TestATransactionOfHoursIsHealedWhereverItCommits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		twoPhase, moved bool
	}{
		"in a gap":               {},
		"prepared, in a gap":     {twoPhase: true},
		"where a slot was moved": {moved: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
			b.db.Run(t, "CREATE SCHEMA app;"+plainTable+"; CREATE INDEX ON app.events (created_at)")
			config := withSchema(t, b.db.Config(b.endpoint("erp", `subscription { events = ["order.*"] }`)))
			config.Outbox = mapped("app.events", "id", "type", "payload", "created_at") + "\naudit_interval = \"1s\""
			require.Zero(t, kit.StartDelivering(t, kit.Options{Config: config}).Stop(t))
			// As if the relay had run for some days, and audits at this interval began now.
			b.db.Run(t, "ALTER TABLE tailpost.endpoint DISABLE TRIGGER USER; UPDATE tailpost.endpoint SET routed_since = now() - interval '2 days'")
			b.db.Run(t, "ALTER TABLE tailpost.endpoint ENABLE ALWAYS TRIGGER note_routing")
			b.db.Run(t, "UPDATE tailpost.relay SET started_at = now() - interval '2 days', audited_at = NULL, horizon = NULL, horizon_at = NULL")

			tx, err := b.db.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), at("long", "now() - interval '3 hours'"))
			require.NoError(t, err)
			// So many that the newest rows are in other blocks.
			_, err = tx.Exec(t.Context(), "INSERT INTO app.events SELECT n, 'nobody', '{}', now() - interval '3 hours' FROM generate_series(1, 6000) AS n")
			require.NoError(t, err)
			relay := kit.StartDelivering(t, kit.Options{Config: config})
			b.db.Run(t, at("a", "now()"))
			b.db.AwaitAttempts(t, "erp", 1)
			b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE horizon IS NOT NULL")
			relay.Kill()

			commit := func() { require.NoError(t, tx.Commit(t.Context())) }
			if test.twoPhase {
				id := "'" + b.db.Slot + "'"
				_, err := tx.Exec(t.Context(), "PREPARE TRANSACTION "+id)
				require.NoError(t, err)
				commit()
				commit = func() { b.db.Run(t, "COMMIT PREPARED "+id) }
			}
			if test.moved {
				commit()
				b.db.AwaitCount(t, 0, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active", b.db.Slot)
				b.db.Run(t, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", b.db.Slot)
			} else {
				dropSlot(t, b.db)
				commit()
			}
			relay = kit.StartDelivering(t, kit.Options{Config: config})
			relay.Await(t, logHealed, kit.Record{"events": 1, "deliveries": 1})
			b.receiver.AwaitIDs(t, "/erp", "a", "long")
			b.db.AwaitAttempts(t, "erp", 2)
			why := "the slot was missing"
			if test.moved {
				why = "an audit found events"
			}
			require.Equal(t, 1, b.gaps(t, why))
			require.Zero(t, relay.Stop(t))
			require.Len(t, b.receiver.IDs("/erp"), 2)
		})
	}
}
