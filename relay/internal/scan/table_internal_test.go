package scan

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tablesSQL makes tables that are neighbours: of one name in two schemas, and of the same columns
// in one schema, whose columns are of other types.
const tablesSQL = `
CREATE SCHEMA ext;
CREATE SCHEMA a;
CREATE SCHEMA b;
CREATE EXTENSION citext SCHEMA ext;
CREATE DOMAIN a.moment AS timestamp;
CREATE TABLE a.events (id ext.citext PRIMARY KEY, type text, payload json, at date NOT NULL, other timestamptz, key text);
CREATE TABLE a.orders (at a.moment, id numeric(10,2) PRIMARY KEY, type text, payload json, tenant text, headers json);
CREATE TABLE b.events (type text, id uuid PRIMARY KEY, payload json, at timestamptz, headers json);
CREATE TABLE b.orders (id bigint PRIMARY KEY, type text, payload json, dropped int, tenant text);
CREATE TABLE b."Orders" (id varchar(9) PRIMARY KEY, type text, payload json, at timestamptz NOT NULL, key text, tenant text, headers json);
ALTER TABLE b.orders DROP COLUMN tenant;`

// What is known of a table is of that table, whatever its neighbours are like.
func TestLookAt_isAboutOneTable(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	conn := db.Conn(t)
	_, err := conn.Exec(t.Context(), tablesSQL)
	require.NoError(t, err)
	for _, test := range []struct {
		table, idType, operators, timeType string
		notNull                            bool
		key, tenant, headers               bool
	}{
		{table: "a.events", idType: "ext.citext", operators: "ext", timeType: "date", notNull: true, key: true},
		{table: "a.orders", idType: "numeric(10,2)", operators: "pg_catalog", timeType: "timestamp without time zone", tenant: true, headers: true},
		{table: "b.events", idType: "uuid", operators: "pg_catalog", timeType: "timestamp with time zone", headers: true},
		{table: "b.orders", idType: "bigint", operators: "pg_catalog"},
		{table: "b.Orders", idType: "character varying(9)", operators: "pg_catalog", timeType: "timestamp with time zone", notNull: true, key: true, tenant: true, headers: true},
		{table: "b.gone", idType: "text", operators: "pg_catalog"},
	} {
		m := outbox.Mapping{Table: test.table, ID: "id", Type: "type", Payload: "payload", CreatedAt: "at", Key: "key", Tenant: "tenant", Headers: "headers"}
		m.Optional = outbox.Optional{Key: true, Tenant: true, Headers: true, CreatedAt: true}
		got, err := LookAt(t.Context(), conn, m)
		require.NoError(t, err, test.table)
		require.Equal(t, test.idType, got.idType, test.table)
		require.Equal(t, test.operators, got.operators, test.table)
		require.Equal(t, test.timeType, got.timeType, test.table)
		require.Equal(t, test.notNull, got.createdNotNull, test.table)
		require.Equal(t, test.key, got.mapping.Key != "", test.table)
		require.Equal(t, test.tenant, got.mapping.Tenant != "", test.table)
		require.Equal(t, test.headers, got.mapping.Headers != "", test.table)
		require.Equal(t, test.timeType != "", got.mapping.CreatedAt != "", test.table)
	}

	// What every table has of the system's is no column of the application's.
	m := outbox.Mapping{Table: "a.events", ID: "id", Type: "type", Payload: "payload", Key: "xmin"}
	m.Optional.Key = true
	got, err := LookAt(t.Context(), conn, m)
	require.NoError(t, err)
	require.Empty(t, got.mapping.Key)
}

// Times without a zone are in that of the database, as it is set for everybody: not in one of
// another database, nor of a role, nor in what another setting says.
func TestLookAt_knowsTheZoneOfItsDatabase(t *testing.T) {
	t.Parallel()
	db, other := pgtest.NewDB(t), pgtest.NewDB(t)
	conn := db.Conn(t)
	_, err := conn.Exec(t.Context(), "CREATE TABLE public.events (id bigint PRIMARY KEY, type text, payload json, at timestamp)")
	require.NoError(t, err)
	m := outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload", CreatedAt: "at"}
	zone := func() string {
		got, err := LookAt(t.Context(), conn, m)
		require.NoError(t, err)
		return got.location.String()
	}
	before := zone()
	for _, sql := range []string{
		"ALTER DATABASE " + pgx.Identifier{other.Name}.Sanitize() + " SET timezone = 'Asia/Tokyo'",
		"ALTER ROLE CURRENT_USER IN DATABASE " + pgx.Identifier{db.Name}.Sanitize() + " SET timezone = 'Asia/Kolkata'",
		"ALTER DATABASE " + pgx.Identifier{db.Name}.Sanitize() + " SET application_name = 'timezone=America/Lima'",
	} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
		require.Equal(t, before, zone(), sql)
	}
	_, err = conn.Exec(t.Context(), "ALTER DATABASE "+pgx.Identifier{db.Name}.Sanitize()+" SET timezone = 'Europe/Paris'")
	require.NoError(t, err)
	require.Equal(t, "Europe/Paris", zone())
}

// direct runs statements on one connection, once.
type direct struct{ conn *pgx.Conn }

func (d direct) Run(ctx context.Context, _ string, f func(context.Context, *pgx.Conn) error) error {
	return f(ctx, d.conn)
}

func (d direct) Once(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	return d.Run(ctx, what, f)
}

// again is a connection that was lost once, after all was read.
type again struct{ direct }

func (a again) Run(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	if err := a.direct.Run(ctx, what, f); err != nil {
		return err
	}
	return a.direct.Run(ctx, what, f)
}

func (a again) Once(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error {
	return a.Run(ctx, what, f)
}

// What is read once more on another connection is there once.
func TestSweep_hasWhatItReadsAgainOnce(t *testing.T) {
	t.Parallel()
	conn := migrated(t, 3)
	_, err := conn.Exec(t.Context(), "ALTER TABLE public.events ADD at timestamptz DEFAULT now(); CREATE INDEX ON public.events (at)")
	require.NoError(t, err)
	m := events
	m.CreatedAt = "at"
	s, err := New(t.Context(), again{direct{conn}}, m, Scope{})
	require.NoError(t, err)
	spans, ok, err := s.Recent(t.Context(), time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []Span{{To: spanBlocks}}, spans)
	rows, err := s.Rows(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, rows, 3)
	found, err := s.Events(t.Context(), []RowPlace{rows[0].RowPlace, rows[2].RowPlace})
	require.NoError(t, err)
	require.Len(t, found, 2)
	rows, err = s.RowsAfter(t.Context(), &Reading{Until: time.Now(), Cursor: Cursor{Key: "1"}}, 10)
	require.NoError(t, err)
	require.Len(t, rows, 2)
}

// An event is found by its id; what is no value of the key's type is the id of none.
func TestFind_readsTheEventOfAnID(t *testing.T) {
	t.Parallel()
	conn := migrated(t, 3)
	s, err := New(t.Context(), direct{conn}, events, Scope{})
	require.NoError(t, err)
	found, err := s.Find(t.Context(), "2")
	require.NoError(t, err)
	require.Equal(t, "2", found.Event.ID)
	require.JSONEq(t, "{}", string(found.Event.Payload))
	for _, id := range []string{"4", "-1", "2.0", "message", "", "9223372036854775808"} {
		found, err = s.Find(t.Context(), id)
		require.NoError(t, err, id)
		require.Nil(t, found, id)
	}
}

// A text is taken for a uuid only where Postgres writes one so.
func TestIsUUID_knowsTheFormOfPostgres(t *testing.T) {
	t.Parallel()
	const id = "0189abcd-ef00-7000-8000-00000000000a"
	require.True(t, isUUID(id))
	require.False(t, isUUID(""))
	require.False(t, isUUID(id+"0"))
	for i := range id {
		for _, c := range "/:`g-AF" {
			text := id[:i] + string(c) + id[i+1:]
			require.Equal(t, text == id, isUUID(text), text)
		}
	}
}

// blocksOf returns how many blocks a sweep of a table goes through.
func blocksOf(t *testing.T, conn *pgx.Conn, table string) (n, all int64) {
	t.Helper()
	s, err := New(t.Context(), direct{conn}, outbox.Mapping{Table: table, ID: "id", Type: "type", Payload: "payload"}, Scope{})
	require.NoError(t, err)
	n, all, err = s.Blocks(t.Context())
	require.NoError(t, err)
	return n, all
}

// A sweep is as long as its own table, with its partitions.
func TestBlocks_areThoseOfTheTable(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	exec := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec("CREATE SCHEMA a; CREATE SCHEMA b")
	for table, rows := range map[string]string{"a.events": "1", "a.other": "3000", "b.events": "6000"} {
		exec("CREATE TABLE " + table + " AS SELECT i AS id, 'x' AS type, repeat('y', 500) AS payload FROM generate_series(1, " + rows + ") AS i")
	}
	n, all := blocksOf(t, conn, "a.events")
	require.Equal(t, []int64{1, 1}, []int64{n, all})
	n, all = blocksOf(t, conn, "a.gone")
	require.Equal(t, []int64{0, 0}, []int64{n, all})

	exec("CREATE TABLE a.parts (id int, type text, payload text) PARTITION BY RANGE (id)")
	exec("CREATE TABLE a.p1 PARTITION OF a.parts FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id)")
	exec("CREATE TABLE a.p1a PARTITION OF a.p1 DEFAULT")
	exec("CREATE TABLE a.p2 PARTITION OF a.parts DEFAULT")
	exec("INSERT INTO a.parts SELECT i, 'x', repeat('y', 5000) FROM generate_series(9, 12) AS i")
	n, all = blocksOf(t, conn, "a.parts")
	require.Positive(t, n)
	require.Greater(t, all, n, "those of the parts together")
}

// An index finds new rows where every part of the table has one that is fit for it: a neighbour's
// tables and indexes do not count.
func TestRecent_isOfIndexesOfTheTable(t *testing.T) {
	t.Parallel()
	conn := pgtest.NewDB(t).Conn(t)
	exec := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`
CREATE SCHEMA a;
CREATE SCHEMA b;
CREATE TABLE a.before (id bigint PRIMARY KEY, type text, payload text, at timestamptz);
CREATE TABLE a.events (id bigint PRIMARY KEY, type text, payload text, at timestamptz);
CREATE TABLE b.events (id bigint PRIMARY KEY, type text, payload text, at timestamptz);
CREATE INDEX ON a.events (at);
CREATE TABLE a.hashed (id bigint PRIMARY KEY, type text, payload text, at timestamptz);
CREATE INDEX ON a.hashed USING hash (at);
CREATE TABLE a.broken (id bigint PRIMARY KEY, type text, payload text, at timestamptz);
CREATE INDEX broken_at ON a.broken (at);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'a.broken_at'::regclass;
CREATE TABLE a.parts (id bigint PRIMARY KEY, type text, payload text, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE a.p1 PARTITION OF a.parts FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
CREATE TABLE a.p1a PARTITION OF a.p1 DEFAULT;
CREATE TABLE a.p2 PARTITION OF a.parts DEFAULT;
CREATE INDEX ON a.p1a (at);
CREATE INDEX ON a.p2 (at);`)
	for table, want := range map[string]bool{
		"a.events": true, "a.before": false, "b.events": false, "a.hashed": false, "a.broken": false, "a.parts": true, "a.p1": true,
	} {
		m := outbox.Mapping{Table: table, ID: "id", Type: "type", Payload: "payload", CreatedAt: "at"}
		s, err := New(t.Context(), direct{conn}, m, Scope{})
		require.NoError(t, err)
		_, ok, err := s.Recent(t.Context(), time.Now())
		require.NoError(t, err)
		require.Equal(t, want, ok, table)
	}
}

// New rows may be anywhere: of what lies between them nothing is looked at, and nothing of them is
// left out.
func TestRecent_hasTheBlocksOfNewRows(t *testing.T) {
	t.Parallel()
	for _, timeType := range []string{"timestamptz", "timestamp", "date"} {
		t.Run(timeType, func(t *testing.T) {
			t.Parallel()
			conn := migrated(t, 0)
			for _, sql := range []string{
				"SET timezone = 'UTC'", "ALTER TABLE public.events ADD at " + timeType, "CREATE INDEX ON public.events (at)",
				// Eight a block: those of blocks 0 to 24, and 80 to 99, are new.
				`INSERT INTO public.events
				 SELECT i, 'a', to_json(repeat('x', 930)), CASE WHEN i < 200 OR i >= 640 THEN now() ELSE '2026-01-01' END
				 FROM generate_series(0, 799) AS i`,
			} {
				_, err := conn.Exec(t.Context(), sql)
				require.NoError(t, err)
			}
			m := events
			m.CreatedAt = "at"
			s, err := New(t.Context(), direct{conn}, m, Scope{})
			require.NoError(t, err)
			spans, ok, err := s.Recent(t.Context(), time.Now().Add(-time.Minute))
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, []Span{{From: 0, To: 2 * spanBlocks}, {From: 5 * spanBlocks, To: 7 * spanBlocks}}, spans)
		})
	}
}

// migrated returns a connection to a database with an outbox table of n rows and the relay's own
// tables.
func migrated(t *testing.T, n int) *pgx.Conn {
	t.Helper()
	conn := pgschema.NewDB(t).Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE public.events (id bigint PRIMARY KEY, type text, payload json)")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "INSERT INTO public.events SELECT i, 'a', '{}' FROM generate_series(1, $1::int) AS i", n)
	require.NoError(t, err)
	return conn
}

var events = outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload"}

// What was written before a horizon is left out, and what has changed since is not.
func TestRows_areThoseWrittenSinceAHorizon(t *testing.T) {
	t.Parallel()
	conn := migrated(t, 3)
	exec := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	var h Horizon
	// Whoever writes somewhere on the server holds the present horizon back.
	const sql = `
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, now(),
       (SELECT bool_and(age(o.xmin) > age(pg_snapshot_xmin(pg_current_snapshot())::xid)) FROM public.events AS o)`
	require.Eventually(t, func() (passed bool) {
		require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&h.XID, &h.At, &passed))
		return passed
	}, time.Minute, 10*time.Millisecond)
	exec("INSERT INTO public.events VALUES (4, 'a', '{}')")
	exec("UPDATE public.events SET type = 'b' WHERE id = 2")
	rows := func(h Horizon) (ids []string) {
		s, err := New(t.Context(), direct{conn}, events, Scope{Horizon: h})
		require.NoError(t, err)
		found, err := s.Rows(t.Context(), 0, 10)
		require.NoError(t, err)
		for i := range found {
			ids = append(ids, found[i].ID)
		}
		return ids
	}
	require.ElementsMatch(t, []string{"2", "4"}, rows(h))
	require.ElementsMatch(t, []string{"1", "2", "3", "4"}, rows(Horizon{}), "nothing is known")
	h.XID -= 2_100_000_000
	require.ElementsMatch(t, []string{"1", "2", "3", "4"}, rows(h), "too long ago to tell")
}

// A time without a zone is one of the mapping's, and a date lasts until its end there. What nobody
// can write is no time, and later than any where it is ahead.
func TestRows_haveTimesOfTheirZone(t *testing.T) {
	t.Parallel()
	conn := migrated(t, 1)
	_, err := conn.Exec(t.Context(), "CREATE DOMAIN moment AS timestamp; CREATE DOMAIN instant AS moment; ALTER TABLE public.events ADD tenant text, ADD at text")
	require.NoError(t, err)
	m := events
	m.CreatedAt, m.Tenant, m.TimeZone = "at", "tenant", "Asia/Kolkata"
	for _, test := range []struct {
		of, at, want string // empty: none
		later        bool   // than the first of April
	}{
		{"date", "2026-03-14", "2026-03-14T18:29:59Z", false},
		{"date", "2026-04-01", "2026-04-01T18:29:59Z", false},
		{"date", "2026-04-02", "2026-04-02T18:29:59Z", true},
		{"timestamp", "2026-03-14 12:00", "2026-03-14T06:30:00Z", false},
		{"timestamp", "2026-04-01 05:30", "2026-04-01T00:00:00Z", true},
		{"instant", "2026-04-01 05:29", "2026-03-31T23:59:00Z", false},
		{"timestamptz", "2026-03-14 12:00Z", "2026-03-14T12:00:00Z", false},
		{"timestamptz", "2026-04-01 00:00Z", "2026-04-01T00:00:00Z", true},
		{"date", "infinity", "", true},
		{"timestamp", "infinity", "", true},
		{"timestamptz", "20000-01-01", "", true},
		{"date", "5000000-01-01", "", true},
		{"date", "0044-03-15 BC", "", false},
		{"timestamp", "-infinity", "", false},
		{"timestamptz", "", "", false},
	} {
		for _, sql := range []string{
			"ALTER TABLE public.events DROP at", "ALTER TABLE public.events ADD at " + test.of, "UPDATE public.events SET tenant = 'acme', at = NULLIF('" + test.at + "', '')::" + test.of,
		} {
			_, err := conn.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
		s, err := New(t.Context(), direct{conn}, m, Scope{})
		require.NoError(t, err)
		rows, err := s.Rows(t.Context(), 0, 10)
		require.NoError(t, err)
		until := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
		read, err := s.RowsAfter(t.Context(), &Reading{Until: until}, 10)
		require.NoError(t, err)
		require.Equal(t, test.later, read[0].Later, "%s %s", test.of, test.at)
		// Whether they are read in the order of their times, or counted only, says the same.
		ordered, err := s.RowsAfter(t.Context(), &Reading{Until: until, InOrder: true}, 10)
		require.NoError(t, err)
		require.Equal(t, test.later, len(ordered) == 0, "%s %s", test.of, test.at)
		counted, err := s.Count(t.Context(), conn, Range{Until: until, Wants: func(string) bool { return true }})
		require.NoError(t, err)
		require.Equal(t, test.later, counted == 0, "%s %s", test.of, test.at)
		for _, row := range []Row{rows[0], read[0]} {
			require.Equal(t, "acme", row.Tenant)
			got := ""
			if !row.CreatedAt.IsZero() {
				got = row.CreatedAt.UTC().Format(time.RFC3339)
			}
			require.Equal(t, test.want, got, "%s %s", test.of, test.at)
		}
	}
}

// Events are read where they are, without a look at the rest of the table.
func TestEvents_readNoOtherRows(t *testing.T) {
	t.Parallel()
	conn := migrated(t, 3000)
	_, err := conn.Exec(t.Context(), "ANALYZE public.events")
	require.NoError(t, err)
	s, err := New(t.Context(), direct{conn}, events, Scope{})
	require.NoError(t, err)
	rows, err := s.Rows(t.Context(), 1, 1)
	require.NoError(t, err)
	places := []RowPlace{rows[0].RowPlace, rows[7].RowPlace}
	tx, err := conn.Begin(t.Context()) // what it has read so far stays as it is
	require.NoError(t, err)
	read := func() (n int) {
		const sql = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = 'public.events'::regclass"
		require.NoError(t, tx.QueryRow(t.Context(), sql).Scan(&n))
		return n
	}
	before := read()
	found, err := s.Events(t.Context(), places)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, before, read())
	require.NoError(t, tx.Rollback(t.Context()))
}
