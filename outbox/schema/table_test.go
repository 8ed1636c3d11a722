package schema_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

func TestCheckTable(t *testing.T) {
	t.Parallel()
	mapping := outbox.Mapping{Table: "app.events", ID: "id", Type: "type", Key: "key", Payload: "payload", Headers: "headers", CreatedAt: "at"}
	const columns = "type text NOT NULL, key text, payload jsonb, headers jsonb, at timestamptz"
	for name, tc := range map[string]struct {
		ddl      string
		extra    map[string]string
		warnings []string
		problems []string // parts of the error, all expected
	}{
		"an ordinary table": {ddl: "CREATE TABLE app.events (id bigint PRIMARY KEY, " + columns + ")"},
		"a unique id": {
			ddl: "CREATE TABLE app.events (id text NOT NULL UNIQUE, " + columns + ")",
		},
		"a unique id whose index holds more": {
			ddl: "CREATE TABLE app.events (id bigint NOT NULL, " + columns + ", UNIQUE (id) INCLUDE (type, at))",
		},
		"domains, enums and citext-like types": {
			ddl: `CREATE TYPE app.kind AS ENUM ('a');
			      CREATE DOMAIN app.nr AS bigint NOT NULL;
			      CREATE DOMAIN app.small_nr AS app.nr CHECK (value < 1000);
			      CREATE DOMAIN app.doc AS jsonb;
			      CREATE DOMAIN app.moment AS timestamptz;
			      CREATE TABLE app.events (id app.small_nr UNIQUE, type app.kind, key app.small_nr, payload app.doc, headers app.doc, at app.moment)`,
		},
		"a payload of bytes": {
			ddl: "CREATE TABLE app.events (id bigint PRIMARY KEY, type text, key text, payload bytea, headers jsonb, at timestamptz)",
		},
		"a partitioned table": {
			ddl: "CREATE TABLE app.events (id bigint, " + columns + ", PRIMARY KEY (at, id)) PARTITION BY RANGE (at);" +
				"CREATE TABLE app.events_1 PARTITION OF app.events DEFAULT",
			warnings: []string{`outbox table app.events: its id "id" is unique only together with the other columns of (at, id); two rows of the same id would be taken for one event`},
		},
		"a key that begins with the id": {
			ddl:      "CREATE TABLE app.events (id bigint, " + columns + ", PRIMARY KEY (id, type))",
			warnings: []string{`outbox table app.events: its id "id" is unique only together with the other columns of (id, type); two rows of the same id would be taken for one event`},
		},
		"an unlogged partition": {
			ddl: "CREATE TABLE app.events (id bigint PRIMARY KEY, " + columns + ") PARTITION BY RANGE (id);" +
				"CREATE UNLOGGED TABLE app.events_1 PARTITION OF app.events DEFAULT",
			problems: []string{"outbox table app.events has partitions that are UNLOGGED or foreign, so their rows would never be delivered: app.events_1"},
		},
		"a foreign partition": {
			ddl: "CREATE TABLE app.events (id bigint, " + columns + ") PARTITION BY RANGE (id);" +
				"CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;" +
				"CREATE FOREIGN TABLE app.events_1 PARTITION OF app.events DEFAULT SERVER elsewhere",
			problems: []string{"outbox table app.events has partitions that are UNLOGGED or foreign, so their rows would never be delivered: app.events_1", "may be NULL", "nothing keeps its id"},
		},
		"an unlogged table": {
			ddl:      "CREATE UNLOGGED TABLE app.events (id bigint PRIMARY KEY, " + columns + ")",
			problems: []string{`outbox table app.events is UNLOGGED, so its rows never reach the WAL and none would be delivered: ALTER TABLE "app"."events" SET LOGGED`},
		},
		"a view": {
			ddl:      "CREATE VIEW app.events AS SELECT 1 AS id",
			problems: []string{"outbox table app.events is a view: name the table that holds the rows"},
		},
		"nothing": {
			problems: []string{"outbox table app.events does not exist: create it (tailpost migrate creates one of the default columns), or correct outbox.table"},
		},
		"the table in another schema": {
			ddl:      "CREATE TABLE public.events (id int); CREATE TABLE app.event (id int)",
			problems: []string{`outbox table app.events does not exist; did you mean "public.events"?`},
		},
		"the table in another schema, and one whose name ends so": {
			ddl:      "CREATE TABLE app.old_events (id int); CREATE TABLE public.events (id int)",
			problems: []string{`outbox table app.events does not exist; did you mean "public.events"?`},
		},
		"a table of nearly that name": {
			ddl:      "CREATE TABLE app.event (id int)",
			problems: []string{`outbox table app.events does not exist; did you mean "app.event"?`},
		},
		"columns that are not there, all at once": {
			ddl: "CREATE TABLE app.events (id bigint PRIMARY KEY, type text, Kei text, payload_v2 jsonb, headers jsonb, at timestamptz)",
			problems: []string{
				`outbox table app.events has no column "key" (mapped to key): its columns are id, type, kei, payload_v2, headers, at; did you mean "kei"?`,
				`outbox table app.events has no column "payload" (mapped to payload): its columns are`,
			},
		},
		"columns of other types": {
			ddl: `CREATE DOMAIN app.blob AS bytea;
			      CREATE TYPE app.pair AS (a int, b int);
			      CREATE TABLE app.events (id bigint PRIMARY KEY, type int, key jsonb, payload app.blob, headers app.pair, at text)`,
			problems: []string{
				`column "type" cannot be the type of events: it is integer, want text, varchar, char, name or an enum`,
				`column "key" cannot be the key of events: it is jsonb, want text, a number or a uuid`,
				`column "payload" cannot be the payload of events: it is a domain over bytea, which the stream does not tell from text: use bytea itself`,
				`column "headers" cannot be the headers of events: it is app.pair, want json, jsonb or text with a JSON object`,
				`column "at" cannot be the created_at of events: it is text, want timestamptz, timestamp or date`,
			},
		},
		"an id that identifies nothing": {
			ddl: "CREATE TABLE app.events (id bigint, " + columns + "); CREATE UNIQUE INDEX ON app.events (id) WHERE key IS NULL",
			problems: []string{
				`column "id" cannot be the id of events: it may be NULL: ALTER TABLE "app"."events" ALTER COLUMN "id" SET NOT NULL`,
				`outbox table app.events: nothing keeps its id "id" unique, and it identifies events: ALTER TABLE "app"."events" ADD PRIMARY KEY ("id")`,
			},
		},
		"a generated column, and one that is not there, as extra columns": {
			ddl:   "CREATE TABLE app.events (id bigint PRIMARY KEY, " + columns + ", region text GENERATED ALWAYS AS (type) STORED)",
			extra: map[string]string{"region": "region", "shop": "shpo"},
			problems: []string{
				`column "region" cannot be the extra.region of events: it is a generated column, which the stream leaves out`,
				`outbox table app.events has no column "shpo" (mapped to extra.shop)`,
			},
		},
		"a generated column": {
			ddl: "CREATE TABLE app.events (id bigint PRIMARY KEY, type text NOT NULL, key text GENERATED ALWAYS AS (type) STORED, payload jsonb, headers jsonb, at timestamptz)",
			problems: []string{
				`column "key" cannot be the key of events: it is a generated column, which the stream leaves out`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, "CREATE SCHEMA app; "+tc.ddl)
			m := mapping
			m.Extra = tc.extra
			warnings, err := schema.CheckTable(t.Context(), b.conn, m)
			require.Equal(t, tc.warnings, warnings)
			if tc.problems == nil {
				require.NoError(t, err)
			}
			for _, want := range tc.problems {
				require.ErrorContains(t, err, want)
			}
			if err != nil {
				require.Len(t, strings.Split(err.Error(), "\n"), len(tc.problems), err)
			}
		})
	}

	t.Run("a temporary table", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, "CREATE TEMPORARY TABLE events (id bigint PRIMARY KEY, type text, payload jsonb)")
		var temporary string
		require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT pg_my_temp_schema()::regnamespace::text").Scan(&temporary))
		_, err := schema.CheckTable(t.Context(), b.conn, outbox.Mapping{Table: temporary + ".events", ID: "id", Type: "type", Payload: "payload"})
		require.ErrorContains(t, err, "is temporary, so its rows never reach the WAL and none would be delivered")
	})
	t.Run("an incomplete mapping", func(t *testing.T) {
		t.Parallel()
		_, err := schema.CheckTable(t.Context(), nil, outbox.Mapping{Table: "app.events"})
		require.ErrorContains(t, err, `no column is named for "id"`)
	})
	t.Run("rows that are updated", func(t *testing.T) {
		t.Parallel()
		for name, ddl := range map[string]string{
			"plain":       "CREATE TABLE app.events (id bigint PRIMARY KEY, " + columns + ")",
			"partitioned": "CREATE TABLE app.events (id bigint PRIMARY KEY, " + columns + ") PARTITION BY RANGE (id); CREATE TABLE app.events_all PARTITION OF app.events DEFAULT",
		} {
			b := setup(t)
			b.exec(t, "CREATE SCHEMA app; "+ddl)
			// The server counts what a session did by its end.
			writer, err := pgx.ConnectConfig(t.Context(), b.conn.Config())
			require.NoError(t, err)
			_, err = writer.Exec(t.Context(), "BEGIN; INSERT INTO app.events (id, type) VALUES (1, 'a'); UPDATE app.events SET type = 'b'; COMMIT")
			require.NoError(t, err)
			require.NoError(t, writer.Close(t.Context()))
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				warnings, err := schema.CheckTable(t.Context(), b.conn, mapping)
				require.NoError(c, err)
				require.Len(c, warnings, 1, name)
				require.Contains(c, warnings[0], "1 rows were updated")
			}, time.Minute, 50*time.Millisecond)
		}
	})
	t.Run("the default table", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		warnings, err := schema.CheckTable(t.Context(), b.conn, outbox.DefaultMapping())
		require.NoError(t, err)
		require.Empty(t, warnings)
	})
}
