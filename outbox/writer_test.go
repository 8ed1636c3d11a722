package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
)

// insert writes events with a Writer by one of the ways that an application has.
type insert func(t *testing.T, b *testBundle, w *outbox.Writer, events ...outbox.Event) ([]string, error)

// drivers are the ways: pgx in each of its protocol modes, which encode arguments differently, and
// database/sql.
func drivers() map[string]insert {
	all := map[string]insert{
		"database/sql": func(t *testing.T, b *testBundle, w *outbox.Writer, events ...outbox.Event) ([]string, error) {
			t.Helper()
			tx, err := b.sql(t).BeginTx(t.Context(), nil)
			require.NoError(t, err)
			ids, err := w.InsertSQL(t.Context(), tx, events...)
			require.NoError(t, tx.Commit())
			return ids, err
		},
	}
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec,
		pgx.QueryExecModeSimpleProtocol,
	} {
		all["pgx "+mode.String()] = func(t *testing.T, b *testBundle, w *outbox.Writer, events ...outbox.Event) ([]string, error) {
			t.Helper()
			config, err := pgx.ParseConfig(b.URL)
			require.NoError(t, err)
			config.DefaultQueryExecMode = mode
			conn, err := pgx.ConnectConfig(t.Context(), config)
			require.NoError(t, err)
			defer conn.Close(t.Context())
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			ids, err := w.Insert(t.Context(), tx, events...)
			require.NoError(t, tx.Commit(t.Context()))
			return ids, err
		}
	}
	return all
}

// mappedTable is an application's own outbox table.
type mappedTable struct {
	ddl     string
	mapping outbox.Mapping
	options []outbox.WriterOption
	ids     []string // given by the application; nil: by the database, from 1
}

func mappedTables() map[string]mappedTable {
	byName := func(table string) outbox.Mapping {
		return outbox.Mapping{
			Table: table, ID: "nr", Type: "kind", Key: "aggregate_id", Tenant: "account_id", Payload: "body", Headers: "meta", CreatedAt: "at",
		}
	}
	uuids := []string{"0198a000-0000-7000-8000-000000000001", "0198a000-0000-7000-8000-000000000002"}
	return map[string]mappedTable{
		"uuid id, json payload": {
			ddl: `CREATE TABLE app.events (nr uuid PRIMARY KEY, kind varchar(50) NOT NULL, aggregate_id bigint, account_id uuid,
			      body json, meta json, at timestamptz NOT NULL DEFAULT now())`,
			mapping: byName("app.events"), ids: uuids,
		},
		"text id, text payload, timestamp": {
			ddl: `CREATE TABLE app.events (at timestamp, meta text, nr text PRIMARY KEY, kind char(20) NOT NULL, aggregate_id int,
			      account_id text, body text)`,
			mapping: byName("app.events"), ids: []string{"a.1", "b'2"},
		},
		"identity id, bytea payload, partitioned, quoted names": {
			ddl: `CREATE TABLE app."Out.Box" ("nr" bigint GENERATED ALWAYS AS IDENTITY, kind text NOT NULL, aggregate_id numeric,
			      account_id text, body bytea, meta jsonb, at timestamptz NOT NULL, PRIMARY KEY (nr, at)) PARTITION BY RANGE (at);
			      CREATE TABLE app.older PARTITION OF app."Out.Box" FOR VALUES FROM (MINVALUE) TO ('2026-02-01');
			      CREATE TABLE app.newer PARTITION OF app."Out.Box" FOR VALUES FROM ('2026-02-01') TO (MAXVALUE)`,
			mapping: byName("app.Out.Box"), options: []outbox.WriterOption{outbox.WithDatabaseIDs(), outbox.WithByteaPayload()},
		},
		"int id, date, dropped column": {
			ddl: `CREATE TABLE app.events (gone text, nr serial PRIMARY KEY, kind text NOT NULL, aggregate_id smallint, account_id text,
			      body text, meta json, at date);
			      ALTER TABLE app.events DROP COLUMN gone`,
			mapping: byName("app.events"), options: []outbox.WriterOption{outbox.WithDatabaseIDs()},
		},
	}
}

// TestInsertReachesTheStream writes by every driver to every kind of table and decodes what the WAL
// then holds.
func TestInsertReachesTheStream(t *testing.T) {
	t.Parallel()
	payload := json.RawMessage(`{"n": 1.50, "text": "back\\slash \" ' \n ü", "list":[1 , 2]}`)
	for tableName, table := range mappedTables() {
		for driverName, write := range drivers() {
			t.Run(tableName+"/"+driverName, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.exec(t, "CREATE SCHEMA app; "+table.ddl)
				b.listen(t, pgx.Identifier(strings.SplitN(table.mapping.Table, ".", 2)).Sanitize())

				w, err := outbox.NewWriter(table.mapping, table.options...)
				require.NoError(t, err)
				events := []outbox.Event{
					{
						Type: "order.paid", Key: "7", Tenant: "0198a000-0000-7000-8000-00000000000f", Payload: payload,
						Headers: map[string]string{"TraceParent": "00-'x'\\"}, CreatedAt: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC),
					},
					{Type: "order.shipped", CreatedAt: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)},
				}
				for i, id := range table.ids {
					events[i].ID = id
				}
				ids, err := write(t, b, w, events...)
				require.NoError(t, err)

				want := append([]outbox.Event(nil), events...)
				want[0].Headers = map[string]string{"traceparent": "00-'x'\\"}
				for i := range want {
					if table.ids == nil {
						want[i].ID = fmt.Sprint(i + 1)
					}
					require.Equal(t, want[i].ID, ids[i])
				}
				require.Equal(t, want, b.stream(t, table.mapping))
			})
		}
	}
}

func TestInsertIntoTheDefaultTable(t *testing.T) {
	t.Parallel()

	t.Run("makes ids and leaves the rest to the columns' defaults", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		b.listen(t, "public.outbox")
		tx, err := b.conn.Begin(t.Context())
		require.NoError(t, err)
		ids, err := outbox.Insert(t.Context(), tx, outbox.Event{Type: "a"}, outbox.Event{Type: "b", Payload: json.RawMessage(`null`)})
		require.NoError(t, err)
		var now time.Time
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT now()").Scan(&now))
		require.NoError(t, tx.Commit(t.Context()))

		events := b.stream(t, outbox.DefaultMapping())
		require.Len(t, events, 2)
		require.NotEqual(t, ids[0], ids[1])
		require.Equal(t, outbox.Event{ID: ids[0], Type: "a", CreatedAt: now.UTC()}, events[0])
		require.Equal(t, outbox.Event{ID: ids[1], Type: "b", Payload: json.RawMessage(`null`), CreatedAt: now.UTC()}, events[1])
	})
	t.Run("is part of the caller's transaction", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		db := b.sql(t)
		for _, end := range []string{"rolled back", "committed"} {
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = outbox.InsertSQL(t.Context(), tx, outbox.Event{Type: end})
			require.NoError(t, err)
			if end == "committed" {
				require.NoError(t, tx.Commit())
			} else {
				require.NoError(t, tx.Rollback())
			}
		}
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM public.outbox"))
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM public.outbox WHERE type = 'committed'"))
	})
	t.Run("takes more events than a statement has parameters", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		events := make([]outbox.Event, 20_000)
		for i := range events {
			events[i] = outbox.Event{
				Type: "a", Key: fmt.Sprint(i), Tenant: "t", Payload: json.RawMessage(`1`), Headers: map[string]string{"a": "b"}, CreatedAt: time.Now(),
			}
		}
		ids, err := outbox.Insert(t.Context(), b.conn, events...)
		require.NoError(t, err)
		require.Len(t, ids, len(events))
		require.Equal(t, len(events), b.count(t, "SELECT count(DISTINCT id) FROM public.outbox WHERE id::text = ANY ($1)", ids))
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM public.outbox WHERE id::text = $1 AND key = '12345'", ids[12345]))
	})
	t.Run("does nothing without events", func(t *testing.T) {
		t.Parallel()
		ids, err := outbox.Insert(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, ids)
	})
	t.Run("notices a trigger that keeps rows out", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		b.exec(t, `CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		           CREATE TRIGGER drop_row BEFORE INSERT ON public.outbox FOR EACH ROW EXECUTE FUNCTION drop_row()`)
		w, err := outbox.NewWriter(outbox.DefaultMapping(), outbox.WithDatabaseIDs())
		require.NoError(t, err)
		_, err = w.Insert(t.Context(), b.conn, outbox.Event{Type: "a"})
		require.EqualError(t, err, "insert into outbox table public.outbox: it gave back 0 ids for 1 events; does a trigger keep rows out?")
	})
	t.Run("wraps what Postgres says", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		_, err := outbox.Insert(t.Context(), b.conn, outbox.Event{Type: "a", Payload: json.RawMessage(`"\u0000"`)})
		require.ErrorContains(t, err, "insert into outbox table public.outbox: ERROR: unsupported Unicode escape sequence")
		_, err = outbox.Insert(t.Context(), b.conn, outbox.Event{Type: "a", ID: "7"})
		require.ErrorContains(t, err, "invalid input syntax for type uuid")
	})
}

func TestInsertRefusesInvalidEvents(t *testing.T) {
	t.Parallel()
	bare, err := outbox.NewWriter(outbox.Mapping{Table: "a.b", ID: "id", Type: "type", Payload: "payload"})
	require.NoError(t, err)
	full, err := outbox.NewWriter(outbox.DefaultMapping())
	require.NoError(t, err)
	databaseIDs, err := outbox.NewWriter(outbox.DefaultMapping(), outbox.WithDatabaseIDs())
	require.NoError(t, err)

	for want, tc := range map[string]struct {
		writer *outbox.Writer
		event  outbox.Event
	}{
		"its type is empty": {full, outbox.Event{ID: "1"}},
		"its type holds a NUL character, which Postgres cannot store": {full, outbox.Event{Type: "a\x00"}},
		"its key holds a NUL character, which Postgres cannot store":  {full, outbox.Event{Type: "a", Key: "\x00"}},
		"its tenant is not valid UTF-8":                               {full, outbox.Event{Type: "a", Tenant: "\xff"}},
		"its id is not valid UTF-8":                                   {full, outbox.Event{Type: "a", ID: "\xff"}},
		"its payload is not JSON":                                     {full, outbox.Event{Type: "a", Payload: json.RawMessage(`{`)}},
		`its header "X" holds a NUL character or is not UTF-8`:        {full, outbox.Event{Type: "a", Headers: map[string]string{"X": "\x00"}}},
		`its header "x" is there twice, in different case`:            {full, outbox.Event{Type: "a", Headers: map[string]string{"X": "1", "x": "2"}}},
		"a header has no name":                                        {full, outbox.Event{Type: "a", Headers: map[string]string{"": "1"}}},
		"its key is set, but table a.b has no column for it":          {bare, outbox.Event{Type: "a", Key: "k"}},
		"its tenant is set, but table a.b has no column for it":       {bare, outbox.Event{Type: "a", Tenant: "t"}},
		"its headers is set, but table a.b has no column for it":      {bare, outbox.Event{Type: "a", Headers: map[string]string{"a": "b"}}},
		"its created_at is set, but table a.b has no column for it":   {bare, outbox.Event{Type: "a", CreatedAt: time.Now()}},
		"it has an id, but this writer leaves ids to the database":    {databaseIDs, outbox.Event{ID: "1", Type: "a"}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			// The transaction is nil: nothing may be sent.
			_, err := tc.writer.Insert(t.Context(), nil, outbox.Event{Type: "fine"}, tc.event)
			require.ErrorIs(t, err, outbox.ErrInvalidEvent)
			require.EqualError(t, err, "invalid event: event 2 of 2: "+want)
		})
	}

	_, err = outbox.NewWriter(outbox.Mapping{Table: "b"})
	require.ErrorContains(t, err, "write it with its schema")
	_, err = outbox.Emit(t.Context(), nil, "p", outbox.Event{})
	require.ErrorIs(t, err, outbox.ErrInvalidEvent)
	_, err = outbox.EmitSQL(t.Context(), nil, "", outbox.Event{Type: "a"})
	require.ErrorContains(t, err, "prefix")
}

func TestEmitReachesTheStream(t *testing.T) {
	t.Parallel()
	for name, emit := range map[string]func(context.Context, *testing.T, *testBundle, ...outbox.Event) ([]string, error){
		"pgx": func(ctx context.Context, t *testing.T, b *testBundle, events ...outbox.Event) ([]string, error) {
			t.Helper()
			return outbox.Emit(ctx, b.conn, "myapp", events...)
		},
		"database/sql": func(ctx context.Context, t *testing.T, b *testBundle, events ...outbox.Event) ([]string, error) {
			t.Helper()
			return outbox.EmitSQL(ctx, b.sql(t), "myapp", events...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.listen(t, "")
			events := []outbox.Event{
				{
					ID: "x.1", Type: "order.paid", Key: `k"`, Tenant: "<t>", Payload: json.RawMessage(`{ "n" : 1.50, "s":"\u0000ü" }`),
					Headers: map[string]string{"TraceParent": "00"}, CreatedAt: time.Date(2026, 1, 31, 1, 2, 3, 456789, time.UTC),
					Extra: json.RawMessage(`{"region":"eu", "size":1e20}`),
				},
				{Type: "bare"},
				{Type: "third"},
			}
			ids, err := emit(t.Context(), t, b, events...)
			require.NoError(t, err)
			events[0].Headers = map[string]string{"traceparent": "00"}
			for i := range events {
				events[i].ID = ids[i]
			}
			require.Equal(t, "x.1", ids[0])
			require.NotEmpty(t, ids[1])
			require.Equal(t, events, b.stream(t, outbox.Mapping{}))
		})
	}
	t.Run("in UTF-8, whatever the database's encoding", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, "CREATE DATABASE "+b.Name+"_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
		config, err := pgx.ParseConfig(strings.Replace(b.URL, b.Name, b.Name+"_latin1", 1))
		require.NoError(t, err)
		config.RuntimeParams["client_encoding"] = "UTF8" // else the server takes what Go sends for its own encoding
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx := context.WithoutCancel(t.Context())
			require.NoError(t, conn.Close(ctx))
			admin, err := pgx.Connect(ctx, b.URL)
			require.NoError(t, err)
			defer admin.Close(ctx)
			_, err = admin.Exec(ctx, "DROP DATABASE "+b.Name+"_latin1 WITH (FORCE)")
			require.NoError(t, err)
		})
		latin := &testBundle{DB: b.DB, conn: conn}
		latin.listen(t, "")
		_, err = outbox.Emit(t.Context(), conn, "myapp", outbox.Event{Type: "größe", Payload: json.RawMessage(`"ü"`)})
		require.NoError(t, err)
		events := latin.stream(t, outbox.Mapping{})
		require.Equal(t, "größe", events[0].Type)
		require.Equal(t, `"ü"`, string(events[0].Payload))
		latin.exec(t, "SELECT pg_drop_replication_slot('"+b.Slot()+"')")
	})
}
