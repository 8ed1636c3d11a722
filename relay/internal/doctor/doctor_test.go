package doctor_test

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, kit.LeftByNATS()...) }

// testBundle is a database that a test may break.
type testBundle struct {
	conn *pgx.Conn
	cfg  *config.Config
	long time.Duration
	held time.Duration
	free int64
}

// setup makes a database in which a relay could run.
func setup(t *testing.T) *testBundle {
	t.Helper()
	db := pgschema.NewDB(t)
	b := bundle(t, db.URL, db.Slot())
	b.migrate(t)
	return b
}

// setupServer is setup on a server of the test's own.
func setupServer(t *testing.T, settings map[string]string) *testBundle {
	t.Helper()
	all := pgserver.FastSettings()
	maps.Copy(all, settings)
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: all})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := bundle(t, server.URL("postgres"), "tailpost")
	b.migrate(t)
	return b
}

func bundle(t *testing.T, address, slot string) *testBundle {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	cfg := &config.Config{Database: config.Database{URL: config.NewSecret(address), Slot: slot[max(0, len(slot)-54):]}}
	cfg.Outbox.Mapping = outbox.DefaultMapping()
	cfg.Outbox.AuditInterval = time.Hour
	return &testBundle{conn: conn, cfg: cfg}
}

func (b *testBundle) migrate(t *testing.T) {
	t.Helper()
	_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
}

func (b *testBundle) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), strings.ReplaceAll(sql, "SLOT", b.cfg.Database.Slot))
	require.NoError(t, err)
}

// as makes the configuration one of a new role with these options.
func (b *testBundle) as(t *testing.T, options string) {
	t.Helper()
	role := "doctor_" + b.cfg.Database.Slot[max(0, len(b.cfg.Database.Slot)-30):]
	b.exec(t, "CREATE ROLE "+role+" LOGIN "+options)
	// It may create, but owns nothing.
	b.exec(t, "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO "+role+"', current_database()); END $$")
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.WithoutCancel(t.Context()), b.conn.Config().ConnString())
		require.NoError(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		_, err = conn.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	address, err := url.Parse(b.cfg.Database.URL.Reveal())
	require.NoError(t, err)
	address.User = url.User(role)
	b.cfg.Database.URL = config.NewSecret(address.String())
}

// role returns the name of the configuration's role.
func (b *testBundle) role(t *testing.T) string {
	t.Helper()
	address, err := url.Parse(b.cfg.Database.URL.Reveal())
	require.NoError(t, err)
	return address.User.Username()
}

func (b *testBundle) examine(t *testing.T) []doctor.Finding {
	t.Helper()
	return doctor.Database(t.Context(), b.cfg, doctor.Options{Now: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), Long: b.long, Held: b.held, Free: b.free})
}

// find returns the first finding of a check that is of a grade.
func (b *testBundle) find(t *testing.T, check string, grade doctor.Grade) doctor.Finding {
	t.Helper()
	findings := b.examine(t)
	for _, f := range findings {
		if f.Check == check && f.Grade == grade {
			return f
		}
	}
	require.Fail(t, "no such finding", "%s %s in %+v", grade, check, findings)
	return doctor.Finding{}
}

func TestWhatIsBrokenIsNamedWithWhatMendsIt(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]struct {
		sql         string
		role        string // options of the relay's role; empty: a superuser's
		check       string
		grade       doctor.Grade
		detail, fix string
	}{
		"no schema":             {sql: "DROP SCHEMA tailpost CASCADE", check: "schema", grade: doctor.Failure, detail: "no schema tailpost", fix: "tailpost migrate"},
		"a newer schema":        {sql: "INSERT INTO tailpost.migration SELECT max(version) + 1, 'later' FROM tailpost.migration", check: "schema", grade: doctor.Failure, detail: "later one"},
		"no table":              {sql: "DROP TABLE outbox", check: "table", grade: doctor.Failure, detail: "public.outbox does not exist"},
		"an unlogged table":     {sql: "ALTER TABLE outbox SET UNLOGGED", check: "table", grade: doctor.Failure, detail: "SET LOGGED"},
		"an id that is not one": {sql: "ALTER TABLE outbox DROP CONSTRAINT outbox_pkey", check: "table", grade: doctor.Failure, detail: "ADD PRIMARY KEY"},
		"hidden rows": {
			sql: "ALTER TABLE outbox ENABLE ROW LEVEL SECURITY; GRANT SELECT ON outbox TO PUBLIC", role: "REPLICATION",
			check: "table", grade: doctor.Warning, detail: "row-level security",
		},
		"a large table that audits read": {
			sql:   "DROP INDEX outbox_created_at_idx; ALTER TABLE outbox ALTER payload SET STORAGE PLAIN; INSERT INTO outbox (type, payload) SELECT 'a', to_jsonb(repeat('x', 7000)) FROM generate_series(1, 9000)",
			check: "audit", grade: doctor.Warning, detail: "reads all of table public.outbox, 7", fix: `CREATE INDEX CONCURRENTLY ON "public"."outbox" USING brin ("created_at");`,
		},
		"a large table of partitions": {
			sql: `CREATE TABLE parts (LIKE outbox INCLUDING DEFAULTS) PARTITION BY RANGE (created_at); DROP TABLE outbox; ALTER TABLE parts RENAME TO outbox;
				ALTER TABLE outbox ADD PRIMARY KEY (id, created_at); CREATE TABLE part PARTITION OF outbox DEFAULT WITH (fillfactor = 10);
				CREATE TABLE old PARTITION OF outbox FOR VALUES FROM ('2000-01-01') TO ('2001-01-01'); CREATE INDEX ON old (created_at);
				INSERT INTO outbox (type, payload) SELECT 'a', to_jsonb(repeat('x', 700)) FROM generate_series(1, 9000)`,
			check: "audit", grade: doctor.Warning, detail: "reads all of table public.outbox, 7", fix: `CREATE INDEX ON "public"."outbox" USING brin ("created_at");`,
		},
		"a large table with indexes that find not every new row": {
			sql: `DROP INDEX outbox_created_at_idx; CREATE INDEX ON outbox (created_at) WHERE type = 'b'; CREATE INDEX half ON outbox (created_at);
				UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'half'::regclass; ALTER TABLE outbox ALTER payload SET STORAGE PLAIN;
				INSERT INTO outbox (type, payload) SELECT 'a', to_jsonb(repeat('x', 7000)) FROM generate_series(1, 9000)`,
			check: "audit", grade: doctor.Warning, detail: "reads all of table public.outbox, 7", fix: "CREATE INDEX CONCURRENTLY",
		},
		"a large table with an index": {
			sql:   "ALTER TABLE outbox ALTER payload SET STORAGE PLAIN; INSERT INTO outbox (type, payload) SELECT 'a', to_jsonb(repeat('x', 7000)) FROM generate_series(1, 9000)",
			check: "audit", grade: doctor.OK, detail: "after 3 of them at most",
		},
		"times that may be missing": {
			sql:   "ALTER TABLE outbox ALTER created_at DROP NOT NULL, ALTER created_at DROP DEFAULT",
			check: "audit", grade: doctor.Warning, detail: "created_at may be NULL and has no default", fix: `ALTER TABLE "public"."outbox" ALTER COLUMN "created_at" SET DEFAULT now();`,
		},
		"a database that is read-only by default": {
			sql:   "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
			check: "read_only", grade: doctor.Warning, detail: "read-only by default", fix: "RESET default_transaction_read_only",
		},
		"a role that may not replicate": {role: "NOREPLICATION", check: "replication", grade: doctor.Failure, detail: "REPLICATION"},
		"a role without rights":         {role: "REPLICATION", check: "privileges", grade: doctor.Failure, detail: "may not use schema tailpost", fix: "migrate --print"},
		"a role that may not publish":   {role: "REPLICATION", check: "publication", grade: doctor.Failure, detail: "does not exist", fix: `CREATE PUBLICATION "SLOT"`},
		"a publication of everything": {
			sql: `CREATE PUBLICATION "SLOT" FOR ALL TABLES`, check: "publication", grade: doctor.Warning, detail: "FOR ALL TABLES", fix: `CREATE PUBLICATION "SLOT" FOR TABLE`,
		},
		"a physical slot": {
			sql: "SELECT pg_create_physical_replication_slot('SLOT')", check: "slot", grade: doctor.Failure, detail: "pg_drop_replication_slot",
		},
		"a slot that nobody uses": {
			sql: "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')", check: "slot", grade: doctor.Warning, detail: "no relay uses it", fix: "start a relay",
		},
		"a schema for everybody": {
			sql: "GRANT CREATE ON SCHEMA public TO PUBLIC", check: "search_path", grade: doctor.Warning, detail: "every role", fix: "REVOKE CREATE",
		},
		"gaps within the hour": {
			sql: `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at) VALUES ('SLOT', 1, '', '', 1, 0, '0/0', now());
				INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at)
				SELECT 'SLOT', CASE n WHEN 0 THEN 'backfill' ELSE 'slot dropped' END, '0/0', '0/0', 0, 0, now(), now() - n * interval '1 minute' FROM generate_series(0, 3) AS n`,
			check: "gaps", grade: doctor.Warning, detail: "3 of the 3 gaps that a relay heals within an hour, the last because slot dropped", fix: "remove what breaks",
		},
		"gaps that end a relay": {
			sql: `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at) VALUES ('SLOT', 1, '', '', 1, 0, '0/0', now());
				INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at)
				SELECT 'SLOT', CASE n WHEN 1 THEN 'slot dropped' ELSE 'before' END, '0/0', '0/0', 0, 0, now(), now() - n * interval '1 minute' FROM generate_series(1, 4) AS n`,
			check: "gaps", grade: doctor.Failure, detail: "4 gaps within the last hour, the last because slot dropped", fix: "tailpost heal",
		},
		"a version that is gone": {
			sql: `INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
				VALUES ('ep_1', 'a', 'https://a.example', '[]', '{"version": "2025-01-01"}', 'active', 'api', now(), now())`,
			check: "versions", grade: doctor.Failure, detail: `the configuration has no version "2025-01-01" that 1 of them pin`, fix: "declare the version again",
		},
		"gaps that wait to be healed": {
			sql: `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, heal, heal_gaps)
				VALUES ('SLOT', 1, '', '', 1, 0, '0/0', now(), 'slot dropped', ARRAY[now()])`,
			check: "gaps", grade: doctor.Warning, detail: "1 of the 3 gaps that a relay heals within an hour", fix: "remove what breaks",
		},
		"a server that hides what is read of it": {
			sql: "REVOKE SELECT ON pg_catalog.pg_stat_wal FROM PUBLIC", role: "REPLICATION", check: "version", grade: doctor.Failure, detail: "denied for view pg_stat_wal",
		},
		"a name that the API has": {
			sql: `INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
				VALUES ('erp', 'erp', 'https://a.example', '[]', '{}', 'active', 'api', now(), now())`,
			check: "names", grade: doctor.Failure, detail: `endpoint "erp" exists already`, fix: "another name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.cfg.Endpoints = []config.Endpoint{{ID: "erp"}}
			if broken.sql != "" {
				b.exec(t, broken.sql)
			}
			if broken.role != "" {
				b.as(t, broken.role)
			}
			found := b.find(t, broken.check, broken.grade)
			require.Contains(t, found.Detail, broken.detail)
			require.NotRegexp(t, " $", found.Detail, "the end of it is missing")
			require.Contains(t, found.Fix, strings.ReplaceAll(broken.fix, "SLOT", b.cfg.Database.Slot))
		})
	}
}

// TestColumnsThatLookLikeTimesOfEventsAreMentioned: whoever meant them as such would wait for ever.
func TestColumnsThatLookLikeTimesOfEventsAreMentioned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.conn.Exec(t.Context(), "ALTER TABLE outbox ADD COLUMN deliver_at timestamptz, ADD COLUMN expires_at timestamptz")
	require.NoError(t, err)
	b.cfg.Outbox.Mapping.ExpiresAt = "expires_at"
	var said []string
	for _, f := range b.examine(t) {
		if f.Check == "table" {
			require.Equal(t, doctor.OK, f.Grade)
			said = append(said, f.Detail)
		}
	}
	require.Equal(t, []string{
		"events can come from table public.outbox",
		`column deliver_at of table public.outbox means nothing to the relay; if events are not to be delivered before it, write deliver_at = "deliver_at" in outbox.columns`,
	}, said)
}

func TestAServerThatIsNotSetUpIsNamedWithWhatMendsIt(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]struct {
		settings    map[string]string
		sql         string
		database    string // where the SQL is run; empty: the configuration's
		check       string
		grade       doctor.Grade
		detail, fix string
	}{
		"a log that is not decoded": {
			settings: map[string]string{"wal_level": "replica"}, check: "wal_level", grade: doctor.Failure, detail: "wal_level is replica", fix: "ALTER SYSTEM SET wal_level",
		},
		"no slot left": {
			settings: map[string]string{"max_replication_slots": "1"}, sql: "SELECT pg_create_physical_replication_slot('other')",
			check: "headroom", grade: doctor.Failure, detail: "1 of 1 replication slots", fix: "max_replication_slots",
		},
		"a slot that is lost": {
			settings: map[string]string{"max_slot_wal_keep_size": "1MB"},
			sql: "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput'); CREATE TABLE much AS SELECT repeat('x', 500) FROM generate_series(1, 200000); " +
				"SELECT pg_switch_wal(); CHECKPOINT",
			check: "slot", grade: doctor.Warning, detail: "is lost", fix: "max_slot_wal_keep_size",
		},
		"a slot of another database": {
			sql: "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')", database: "template1", check: "slot", grade: doctor.Failure, detail: "pg_drop_replication_slot",
		},
		"a log without a limit": {check: "wal_kept", grade: doctor.Warning, detail: "fill the disk", fix: "max_slot_wal_keep_size"},
		"a log that is short": {
			settings: map[string]string{"max_slot_wal_keep_size": "1MB"}, sql: "CREATE TABLE much AS SELECT repeat('x', 500) FROM generate_series(1, 200000)",
			check: "wal_kept", grade: doctor.Warning, detail: "minutes at the rate so far", fix: "raise max_slot_wal_keep_size",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupServer(t, broken.settings)
			if broken.sql != "" {
				at := b
				if broken.database != "" {
					at = bundle(t, strings.Replace(b.cfg.Database.URL.Reveal(), "/postgres?", "/"+broken.database+"?", 1), b.cfg.Database.Slot)
				}
				for sql := range strings.SplitSeq(broken.sql, "; ") { // CHECKPOINT and slots want a transaction of their own
					at.exec(t, sql)
				}
			}
			found := b.find(t, broken.check, broken.grade)
			require.Contains(t, found.Detail, broken.detail)
			require.Contains(t, found.Fix, broken.fix)
		})
	}
}

func TestOldTransactionsAreNamed(t *testing.T) {
	t.Parallel()
	b := setupServer(t, nil) // what is open there is the test's
	b.long = 50 * time.Millisecond
	b.exec(t, "SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')")
	b.exec(t, "BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'it''s old'")
	other := bundle(t, b.cfg.Database.URL.Reveal()+"&application_name=importer", "tailpost")
	other.exec(t, "BEGIN")
	younger := bundle(t, b.cfg.Database.URL.Reveal()+"&application_name=younger", "tailpost")
	younger.exec(t, "BEGIN")
	require.Eventually(t, func() bool {
		grades := make(map[string]doctor.Grade)
		for _, f := range b.examine(t) {
			grades[f.Check] = f.Grade
		}
		return grades["transactions"] == doctor.Warning && grades["prepared"] == doctor.Warning
	}, 30*time.Second, 10*time.Millisecond)
	require.NotContains(t, b.find(t, "transactions", doctor.Warning).Detail, "the first start waits", "there is a slot")
	b.exec(t, "SELECT pg_drop_replication_slot('SLOT')")
	found := b.find(t, "transactions", doctor.Warning)
	require.Contains(t, found.Detail, `(application "importer")`)
	require.Contains(t, found.Detail, "the first start waits")
	require.Contains(t, found.Fix, "pg_terminate_backend(")
	require.Contains(t, b.find(t, "prepared", doctor.Warning).Fix, "ROLLBACK PREPARED 'it''s old'")
	other.exec(t, "COMMIT")
	require.Contains(t, b.find(t, "transactions", doctor.Warning).Detail, `(application "younger")`, "it was not the oldest")
	younger.exec(t, "COMMIT")
	b.exec(t, "ROLLBACK PREPARED 'it''s old'")
}

func TestAStandbyIsNotOneToRunOn(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	bundle(t, server.URL("postgres"), "tailpost").migrate(t)
	standby, err := server.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })
	b := bundle(t, standby.URL("postgres"), "tailpost")
	require.Contains(t, b.find(t, "recovery", doctor.Failure).Fix, "primary's address")
}

func TestAPoolerInTheWayIsNamed(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	b := bundle(t, db.URL, "tailpost")
	b.cfg.Database.URL = config.NewSecret(pgtest.StartPgBouncer(t, db, "transaction", "search_path, row_security, default_transaction_read_only, "+
		"default_transaction_isolation, statement_timeout, lock_timeout, idle_in_transaction_session_timeout, idle_session_timeout, jit, "+
		"extra_float_digits, bytea_output, intervalstyle, quote_all_identifiers"))
	found := b.find(t, "connection", doctor.Failure)
	require.Contains(t, found.Detail, "pooler")
	require.Equal(t, "put the server's own address into database.url", found.Fix, "a pooler is of no use in any mode")
}

func TestADatabaseOutOfReachIsOneFinding(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{Database: config.Database{URL: config.NewSecret("postgres://user:hunter2@127.0.0.1:1/shop"), Slot: "tailpost"}}
	found := doctor.Database(t.Context(), cfg, doctor.Options{})
	require.Len(t, found, 1)
	require.Equal(t, doctor.Failure, found[0].Grade)
	require.Equal(t, "connection", found[0].Check)
	require.Contains(t, found[0].Detail, "connect")
	require.Contains(t, found[0].Fix, "database.url, and that the server takes connections from here")
	require.NotContains(t, found[0].Detail, "hunter2")
}

func TestACheckThatCannotBeMadeIsAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "ALTER TABLE tailpost.migration RENAME COLUMN version TO number")
	require.Contains(t, b.find(t, "schema", doctor.Failure).Detail, "version")
	b.exec(t, "DROP SCHEMA tailpost CASCADE; CREATE SCHEMA tailpost; CREATE VIEW tailpost.migration AS SELECT 1/0 AS version")
	require.Contains(t, b.find(t, "schema", doctor.Failure).Detail, "division by zero")
}

func TestARelayWithAnotherSlotIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.cfg.Database.Slot + "_2"
	b.exec(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at) VALUES ('`+other+`', 1, '', '', 1, 0, '0/0', now())`)
	require.NotEmpty(t, b.find(t, "other_slots", doctor.OK).Detail, "that slot is gone")
	b.exec(t, "SELECT pg_create_logical_replication_slot('"+other+"', 'pgoutput')")
	require.Contains(t, b.find(t, "other_slots", doctor.Warning).Fix, "pg_drop_replication_slot('"+other+"')")
	b.exec(t, "CREATE PUBLICATION p")
	stream := b.replicate(t)
	defer stream.Close(context.WithoutCancel(t.Context()))
	start := "START_REPLICATION SLOT " + other + " LOGICAL 0/0 (proto_version '1', publication_names 'p')"
	stream.Frontend().SendQuery(&pgproto3.Query{String: start})
	require.NoError(t, stream.Frontend().Flush())
	_, err := stream.ReceiveMessage(t.Context())
	require.NoError(t, err)
	earlier := b.cfg.Database.Slot + "_1" // that nobody uses any more
	b.exec(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at) VALUES ('`+earlier+`', 1, '', '', 1, 0, '0/0', now())`)
	b.exec(t, "SELECT pg_create_logical_replication_slot('"+earlier+"', 'pgoutput')")
	found := b.find(t, "other_slots", doctor.Failure)
	require.Contains(t, found.Detail, other)
	require.Contains(t, found.Fix, "the same database.slot")
}

// replicate opens a replication connection.
func (b *testBundle) replicate(t *testing.T) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), b.cfg.Database.URL.Reveal()+"&replication=database")
	require.NoError(t, err)
	return conn
}

func TestWalsendersThatAreAllInUseAreNamed(t *testing.T) {
	t.Parallel()
	b := setupServer(t, map[string]string{"max_wal_senders": "1"})
	held := b.replicate(t)
	defer held.Close(context.WithoutCancel(t.Context()))
	require.Contains(t, b.find(t, "headroom", doctor.Warning).Fix, "raise max_wal_senders")
	require.Contains(t, b.find(t, "replication", doctor.Failure).Detail, "no walsender is free")
}

func TestADatabaseWithoutAnEncodingIsNamed(t *testing.T) {
	t.Parallel()
	b := setupServer(t, nil)
	b.exec(t, "CREATE DATABASE bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	b = bundle(t, strings.Replace(b.cfg.Database.URL.Reveal(), "/postgres?", "/bytes?", 1), "tailpost")
	b.migrate(t)
	require.Contains(t, b.find(t, "encoding", doctor.Warning).Detail, "SQL_ASCII")
}

// Postgres has the setting since 18, where it takes minutes for it to act.
func TestASlotThatIsGivenUpWhenIdleIsNamed(t *testing.T) {
	t.Parallel()
	if b := setup(t); b.version(t) < 180000 {
		t.Skip("Postgres 18 has idle_replication_slot_timeout")
	}
	b := setupServer(t, map[string]string{"idle_replication_slot_timeout": "1h"})
	require.Contains(t, b.find(t, "slot_timeout", doctor.Warning).Detail, "idle_replication_slot_timeout is 1h")
}

func (b *testBundle) version(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&n))
	return n
}

func TestSizesSayHowLongTheDiskLasts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sizes, err := schema.MeasureSizes(t.Context(), b.conn, b.cfg.Outbox.Mapping, 0, time.Now())
	require.NoError(t, err)
	require.Contains(t, b.find(t, "size", doctor.OK).Detail, fmt.Sprintf("the tables of schema tailpost take %.0f MB, the outbox table %d kB; by how much attempts grow is known after a whole day",
		float64(sizes.Total()-sizes.Outbox)/(1<<20), sizes.Outbox/1024))
	b.exec(t, "SELECT tailpost.ensure_attempt_partitions('2026-05-31', 1)") // the day before the test's
	b.exec(t, `INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT n::text, 'a', 'erp', 1, 'stream', repeat('u', 1000), 'delivered', 1, '2026-05-31 12:00+00', '0/0' FROM generate_series(1, 8000) AS n`)
	require.Contains(t, b.find(t, "size", doctor.OK).Detail, "more each day, for ever")
	b.cfg.Retention.Attempts = 30 * 24 * time.Hour
	require.Contains(t, b.find(t, "size", doctor.OK).Detail, "until they are kept for 30 days")
	b.free = 10 << 30
	require.Regexp(t, `room for 1\d\d\d days`, b.find(t, "size", doctor.OK).Detail)
	b.free = 50 << 20
	found := b.find(t, "size", doctor.Warning)
	require.Regexp(t, `attempts take \d+ MB more each day, for which the disk has room for [4-6]\.\d days`, found.Detail)
	require.Contains(t, found.Fix, "retention")
}

func TestTheCostOfTheAuditIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `ALTER TABLE outbox ALTER payload SET STORAGE PLAIN;
		INSERT INTO outbox (type, payload, created_at) SELECT 'a', to_jsonb(repeat('x', 7000)), now() - n * interval '36 seconds' FROM generate_series(1, 9000) AS n`)
	b.exec(t, "ANALYZE outbox")
	require.Regexp(t, `Postgres expects (1[5-9]|2[0-4])\d rows of the last 2h0m0s, at a cost of \d+`, b.find(t, "audit", doctor.OK).Detail)
	b.exec(t, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_bitmapscan = off', current_database()); END $$")
	found := b.find(t, "audit", doctor.Warning)
	require.Contains(t, found.Detail, "would read all of table public.outbox although an index finds new rows")
	require.Contains(t, found.Fix, `ANALYZE "public"."outbox";`)
}
