package schema_test

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// printed is a database that was made by the printed script, with roles of its own: roles belong to
// the whole cluster.
type printed struct {
	*testBundle
	options schema.PrintOptions
}

func setupPrinted(t *testing.T) *printed {
	t.Helper()
	b := setup(t)
	p := &printed{testBundle: b, options: schema.PrintOptions{
		Mapping: outbox.DefaultMapping(), Slot: b.Slot(), Relay: b.Name + "_relay", Application: b.Name + "_application", Reader: b.Name + " Reader",
	}}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		admin, err := pgx.Connect(ctx, b.URL)
		require.NoError(t, err)
		defer admin.Close(ctx)
		for _, role := range []string{p.options.Relay, p.options.Application, p.options.Reader} {
			role = pgx.Identifier{role}.Sanitize()
			_, err := admin.Exec(ctx, "DROP OWNED BY "+role)
			require.NoError(t, err)
			_, err = admin.Exec(ctx, "DROP ROLE "+role)
			require.NoError(t, err)
		}
	})
	p.run(t, p.options)
	return p
}

// run runs the script as a migration tool does: in one transaction.
func (p *printed) run(t *testing.T, o schema.PrintOptions) {
	t.Helper()
	var script bytes.Buffer
	require.NoError(t, schema.Print(&script, o))
	p.exec(t, "BEGIN; "+script.String()+"\nCOMMIT")
}

// as returns a connection on which the role acts. A role that cannot log in is taken by SET ROLE.
func (p *printed) as(t *testing.T, role string) *pgx.Conn {
	t.Helper()
	conn := p.Conn(t)
	_, err := conn.Exec(t.Context(), "SET ROLE "+pgx.Identifier{role}.Sanitize())
	require.NoError(t, err)
	return conn
}

func requireDenied(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, statement)
		require.Equal(t, "42501", pgErr.Code, "%s: %s", statement, pgErr.Message)
	}
}

func requireAllowed(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := conn.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	p := setupPrinted(t)

	t.Run("is what Migrate does", func(t *testing.T) {
		t.Parallel()
		conn := p.Conn(t)
		require.NoError(t, schema.Check(t.Context(), conn))
		now := time.Now()
		result, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping(), Now: now})
		require.NoError(t, err)
		require.Empty(t, result.Applied)
		require.False(t, result.OutboxCreated)
	})
	t.Run("lets the relay do what it must and nothing else", func(t *testing.T) {
		t.Parallel()
		relay := p.relay(t, "")
		require.NoError(t, schema.Check(t.Context(), relay))
		warnings, err := schema.CheckTable(t.Context(), relay, outbox.DefaultMapping())
		require.NoError(t, err)
		require.Empty(t, warnings)
		made, err := schema.EnsurePartitions(t.Context(), relay, time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), 2)
		require.NoError(t, err)
		require.Equal(t, 2, made)
		_, err = relay.Exec(t.Context(), insertAttempt, "2040-01-01 12:00:00+00")
		require.NoError(t, err)

		requireAllowed(t, relay,
			"SELECT * FROM public.outbox",
			"SELECT * FROM tailpost.attempt",
			"SELECT * FROM tailpost.undelivered",
			`INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, event_created_at, commit_lsn, seq, created_at, updated_at)
			 VALUES ('e', 'p', 'pending', 'failed', 1, 't', now(), '0/1', 0, now(), now())`,
			"UPDATE tailpost.delivery SET state = 'dead'",
			"DELETE FROM tailpost.delivery",
			`INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
			 VALUES ('p', 'p', 'https://a.example', '[]', '{}', 'active', 'config', now(), now())`,
			"UPDATE tailpost.endpoint SET status = 'disabled'",
			"DELETE FROM tailpost.endpoint",
			"INSERT INTO tailpost.endpoint_stats VALUES ('p', now(), 1, 1, 0, 0, 1, '{}') ON CONFLICT (endpoint_id, hour) DO UPDATE SET attempts = 2",
			"INSERT INTO tailpost.relay VALUES ('s', 1, 'me', '1', 1, 0, '0/0', NULL, now()) ON CONFLICT (slot) DO UPDATE SET epoch = 2",
			"DELETE FROM tailpost.endpoint_stats",
			"INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at) VALUES ('s', 'w', '0/0', '0/0', 0, 0, now(), now())",
			"SELECT tailpost.drop_attempt_partition('2000-01-01')",
			"INSERT INTO tailpost.replay (id, endpoint_id, types, until, state, created_at, updated_at) VALUES ('r', 'p', '{}', now(), 'pending', now(), now())",
			"INSERT INTO tailpost.replay_missing VALUES ('r', 'e', 't', NULL, now(), 'delivered') ON CONFLICT (replay_id, event_id) DO NOTHING",
			"DELETE FROM tailpost.replay",
			"INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at) VALUES ('r', '{}', 'pending', now(), now())",
			"UPDATE tailpost.resend SET queued = 1",
			"DELETE FROM tailpost.resend",
			"SELECT pg_logical_emit_message(true, 'tailpost', '{}')",
		)
		requireDenied(t, relay,
			"INSERT INTO public.outbox (type) VALUES ('forged')",
			"UPDATE public.outbox SET type = 'forged'",
			"DELETE FROM public.outbox",
			"TRUNCATE public.outbox",
			"UPDATE tailpost.attempt SET outcome = 'delivered'",
			"DELETE FROM tailpost.attempt",
			"DELETE FROM tailpost.relay",
			"DELETE FROM tailpost.gap",
			"DROP TABLE tailpost.attempt_20400101",
			"INSERT INTO tailpost.migration VALUES (7, 'forged')",
			"DELETE FROM tailpost.migration",
			"SELECT * FROM tailpost.attempt_20400101",
			"DROP TABLE tailpost.attempt_20400101",
			"CREATE TABLE tailpost.mine (x int)",
			"ALTER TABLE tailpost.attempt ADD COLUMN mine int",
			"CREATE SCHEMA mine",
			"CREATE PUBLICATION mine",
			"ALTER PUBLICATION "+p.options.Slot+" SET (publish = 'delete')",
			"CREATE ROLE mine",
		)
	})
	t.Run("lets the relay stream", func(t *testing.T) {
		t.Parallel()
		p := setupPrinted(t) // of its own, where nobody else writes
		stream := p.relay(t, "database").PgConn()
		slot := p.options.Slot
		_, err := stream.Exec(t.Context(), "CREATE_REPLICATION_SLOT "+slot+" LOGICAL pgoutput").ReadAll()
		require.NoError(t, err)
		conn := p.Conn(t)
		requireAllowed(t, conn, "INSERT INTO public.outbox (type) VALUES ('a')",
			`INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
			 VALUES ('streamed', 'p', 'https://a.example', '[]', '{}', 'active', 'config', now(), now())`)
		rows, err := p.relay(t, "").Query(t.Context(), `
SELECT get_byte(data, 0)
FROM pg_logical_slot_get_binary_changes($1, NULL, NULL::int, 'proto_version', '1', 'publication_names', $2)`,
			slot, slot+","+outbox.EndpointPublication(slot))
		require.NoError(t, err)
		kinds, err := pgx.CollectRows(rows, pgx.RowTo[rune])
		require.NoError(t, err)
		require.Equal(t, "BRICBRIC", string(kinds), "begin, relation, insert, commit of both tables")
	})
	t.Run("has the check warn a role that may not read the table, or not all of it", func(t *testing.T) {
		t.Parallel()
		p := setupPrinted(t)
		warnings, err := schema.CheckTable(t.Context(), p.as(t, p.options.Application), outbox.DefaultMapping())
		require.NoError(t, err)
		require.Equal(t, []string{`outbox table public.outbox: this role may not read it, so rows that the stream lost cannot be found again: GRANT SELECT ON "public"."outbox" TO ` + p.options.Application[:min(63, len(p.options.Application))] + `;`}, warnings)

		p.exec(t, "ALTER TABLE public.outbox ENABLE ROW LEVEL SECURITY")
		warnings, err = schema.CheckTable(t.Context(), p.relay(t, ""), outbox.DefaultMapping())
		require.NoError(t, err)
		require.Equal(t, []string{"outbox table public.outbox: row-level security would hide rows from this role, so it may not read the table, and rows that the stream lost are not found again: ALTER ROLE " + p.options.Relay[:min(63, len(p.options.Relay))] + " BYPASSRLS; or let a role without it own the table"}, warnings)
	})
	t.Run("lets the application write events and see nothing", func(t *testing.T) {
		t.Parallel()
		application := p.as(t, p.options.Application)
		_, err := outbox.Insert(t.Context(), application, outbox.Event{Type: "a"}, outbox.Event{Type: "b", Key: "k"})
		require.NoError(t, err)
		requireDenied(t, application,
			"SELECT * FROM public.outbox",
			"UPDATE public.outbox SET type = 'x'",
			"DELETE FROM public.outbox",
			"SELECT * FROM tailpost.attempt",
			"SELECT tailpost.ensure_attempt_partitions(current_date, 1)",
		)
	})
	t.Run("lets people read, but no payload and no secret", func(t *testing.T) {
		t.Parallel()
		reader := p.as(t, p.options.Reader)
		requireAllowed(t, reader,
			"SELECT * FROM tailpost.undelivered",
			"SELECT * FROM tailpost.attempt",
			"SELECT * FROM tailpost.relay",
			"SELECT * FROM tailpost.replay_missing",
			"SELECT * FROM tailpost.resend",
			"SELECT id, name, url, status FROM tailpost.endpoint",
		)
		requireDenied(t, reader,
			"SELECT payload FROM tailpost.delivery",
			"SELECT secrets FROM tailpost.endpoint",
			"SELECT * FROM public.outbox",
			"DELETE FROM tailpost.attempt",
			"UPDATE tailpost.endpoint SET status = 'paused'",
			"SELECT tailpost.ensure_attempt_partitions(current_date, 1)",
		)
	})
}

// relay connects as the relay's role itself.
func (p *printed) relay(t *testing.T, replication string) *pgx.Conn {
	t.Helper()
	u, err := url.Parse(p.URL)
	require.NoError(t, err)
	u.User = url.User(p.options.Relay)
	config, err := pgx.ParseConfig(u.String())
	require.NoError(t, err)
	if replication != "" {
		config.RuntimeParams["replication"] = replication
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func TestPrintAfterAVersion(t *testing.T) {
	t.Parallel()
	p := setupPrinted(t)
	o := p.options
	o.AfterVersion = p.count(t, "SELECT max(version) FROM tailpost.migration")
	p.run(t, o) // roles, grants and publications may be run again
	require.NoError(t, schema.Check(t.Context(), p.conn))
}

func TestPrintOfAnExistingTable(t *testing.T) {
	t.Parallel()
	var script bytes.Buffer
	m := outbox.Mapping{Table: `App.o"ut'`, ID: "id", Type: "type", Payload: "payload"}
	require.NoError(t, schema.Print(&script, schema.PrintOptions{Mapping: m, Slot: "tailpost"}))
	require.NotContains(t, script.String(), "CREATE TABLE \"App\"")
	require.Contains(t, script.String(), `GRANT SELECT ON "App"."o""ut'" TO "tailpost_relay";`)
	require.Contains(t, script.String(), `CREATE PUBLICATION "tailpost" FOR TABLE "App"."o""ut'" WITH (publish = 'insert', publish_via_partition_root = true);`)
	require.Contains(t, script.String(), `CREATE PUBLICATION "tailpost_endpoint" FOR TABLE tailpost.endpoint WITH (publish = 'insert, update, delete');`)
}

// A row that moves between partitions is told from an event by its delete.
func TestPrintPublishesDeletesOfAPartitionedTable(t *testing.T) {
	t.Parallel()
	p := setupPrinted(t)
	p.exec(t, "CREATE TABLE public.parted (id int PRIMARY KEY, type text NOT NULL, payload jsonb) PARTITION BY RANGE (id)")
	o := p.options
	o.Mapping = outbox.Mapping{Table: "public.parted", ID: "id", Type: "type", Payload: "payload"}
	o.Slot = p.options.Slot[:len(p.options.Slot)-2] + "_p"
	o.AfterVersion = p.count(t, "SELECT max(version) FROM tailpost.migration")
	p.run(t, o)
	require.Equal(t, 1, p.count(t, "SELECT count(*) FROM pg_publication WHERE pubname = '"+o.Slot+"' AND pubinsert AND pubdelete AND NOT pubupdate"))
	require.Equal(t, 1, p.count(t, "SELECT count(*) FROM pg_publication WHERE pubname = '"+p.options.Slot+"' AND pubinsert AND NOT pubdelete"))

	// With a partition whose deletes say nothing of the row, deletes would fail. One whose deletes
	// say all of it is as good as one whose deletes have the key.
	p.exec(t, "CREATE TABLE public.first PARTITION OF public.parted FOR VALUES FROM (1) TO (2)")
	for identity, want := range map[string]int{"FULL": 1, "DEFAULT": 1, "NOTHING": 0} {
		p.exec(t, "ALTER TABLE public.first REPLICA IDENTITY "+identity+"; DROP PUBLICATION "+o.Slot)
		p.run(t, o)
		require.Equal(t, want, p.count(t, "SELECT count(*) FROM pg_publication WHERE pubname = '"+o.Slot+"' AND pubdelete"), identity)
	}
}

// A tool that goes on after an error, with a transaction for each statement, may run the script
// twice: what the first run made, and what was recorded since, stays.
func TestAScriptThatIsRunAgainChangesNothing(t *testing.T) {
	t.Parallel()
	p := setupPrinted(t)
	p.exec(t, `
		INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, started_at)
		VALUES ('s', 1, 'o', '1', 1, 1, '0/1', now(), '2026-01-01');
		INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
		VALUES ('erp', 'erp', 'https://erp.example.com/', '[]', '{}', 'active', 'config', '2026-01-01', now())`)
	rows := func() (all string) {
		require.NoError(t, p.Conn(t).QueryRow(t.Context(), `
			SELECT concat((SELECT string_agg(m::text, ' ' ORDER BY m.version) FROM tailpost.migration AS m),
				(SELECT r::text FROM tailpost.relay AS r), (SELECT e::text FROM tailpost.endpoint AS e))`).Scan(&all))
		return all
	}
	before := rows()
	var script bytes.Buffer
	require.NoError(t, schema.Print(&script, p.options))
	migrations, _, found := strings.Cut(script.String(), "-- Partitions for the first days")
	require.True(t, found)
	p.exec(t, migrations)
	require.Equal(t, before, rows())
}

func TestPrintRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		options schema.PrintOptions
		want    string
	}{
		"no slot":             {schema.PrintOptions{}, `slot "": a slot's name consists of lower-case letters, digits and underscores`},
		"a slot's bad name":   {schema.PrintOptions{Slot: "My-Slot"}, `slot "My-Slot": a slot's name consists of`},
		"a bad mapping":       {schema.PrintOptions{Slot: "s", Mapping: outbox.Mapping{Table: "x"}}, "write it with its schema"},
		"an unknown version":  {schema.PrintOptions{Slot: "s", AfterVersion: 999}, "print migrations after version 999: this tailpost knows versions up to"},
		"a negative version":  {schema.PrintOptions{Slot: "s", AfterVersion: -1}, "print migrations after version -1"},
		"a role's NUL letter": {schema.PrintOptions{Slot: "s", Relay: "a\x00"}, "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			require.ErrorContains(t, schema.Print(&b, tc.options), tc.want)
			require.Empty(t, b.String())
		})
	}
	t.Run("a writer that fails", func(t *testing.T) {
		t.Parallel()
		require.ErrorIs(t, schema.Print(brokenWriter{}, schema.PrintOptions{Slot: "s"}), errBroken)
	})
}

var errBroken = errors.New("broken")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
