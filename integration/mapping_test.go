package integration_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// mapped is an outbox block for a table without key, tenant and headers, and perhaps without a
// time.
func mapped(table, id, eventType, payload, createdAt string) string {
	at := "null"
	if createdAt != "" {
		at = strconv.Quote(createdAt)
	}
	return fmt.Sprintf("table = %q\ncolumns = { id = %q, type = %q, payload = %q, created_at = %s, key = null, tenant = null, headers = null }",
		table, id, eventType, payload, at)
}

func TestExistingTablesAreMapped(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]struct {
		ddl, outbox, insert string
		wantID, wantBody    string
	}{
		"bigint ids, text payload, nothing else": {
			ddl: `CREATE TABLE app.events (
				seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind varchar(50) NOT NULL, unrelated int, body text)`,
			outbox:   mapped("app.events", "seq", "kind", "body", ""),
			insert:   `INSERT INTO app.events (kind, unrelated, body) VALUES ('order.created', 7, '{ "b":1,"a" : [ ]}')`,
			wantID:   "1",
			wantBody: `{ "b":1,"a" : [ ]}`,
		},
		"bytea payload": {
			ddl:      `CREATE TABLE app.events (id text PRIMARY KEY, type text NOT NULL, payload bytea)`,
			outbox:   mapped("app.events", "id", "type", "payload", ""),
			insert:   `INSERT INTO app.events VALUES ('evt-1.2', 'file.stored', '\x00ff41')`,
			wantID:   "evt-1.2",
			wantBody: "\x00\xffA",
		},
		"json payload keeps its bytes": {
			ddl:      `CREATE TABLE app.events (id uuid PRIMARY KEY, type text NOT NULL, payload json)`,
			outbox:   mapped("app.events", "id", "type", "payload", ""),
			insert:   `INSERT INTO app.events VALUES ('0198c7a2-7f3e-7c1e-9f6e-8f0d5a4b3c21', 'a', E'{ "x" :1.0,\n"x": 2}')`,
			wantID:   "0198c7a2-7f3e-7c1e-9f6e-8f0d5a4b3c21",
			wantBody: "{ \"x\" :1.0,\n\"x\": 2}",
		},
		"partitioned table": {
			ddl: `CREATE TABLE app.events (id bigint, type text NOT NULL, payload jsonb, created_at timestamptz NOT NULL, PRIMARY KEY (id, created_at))
					PARTITION BY RANGE (created_at);
				CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
				CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`,
			outbox:   mapped("app.events", "id", "type", "payload", "created_at"),
			insert:   `INSERT INTO app.events VALUES (9007199254740993, 'a', '{"n": 1}', '2026-06-01')`,
			wantID:   "9007199254740993",
			wantBody: `{"n": 1}`,
		},
		"names that need quotes": {
			ddl:      `CREATE TABLE app."Outbox Events" ("ID" int PRIMARY KEY, "Type" text NOT NULL, "select" text)`,
			outbox:   mapped("app.Outbox Events", "ID", "Type", "select", ""),
			insert:   `INSERT INTO app."Outbox Events" VALUES (-5, 'a', '{"n": 1}')`,
			wantID:   "-5",
			wantBody: `{"n": 1}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
			b.db.Run(t, "CREATE SCHEMA app")
			b.db.Run(t, table.ddl)
			config := b.db.Config(b.endpoint("erp", `format = "raw"`))
			config.Outbox = table.outbox
			migrate := kit.Run(t, kit.Command{Args: []string{"migrate", "-c", writeConfig(t, config)}, Env: config.Env()})
			require.Zero(t, migrate.ExitCode(), migrate.Output())
			require.NotContains(t, migrate.Stdout(), "created table", "the application's table is left alone")

			kit.StartDelivering(t, kit.Options{Config: config})
			b.db.Run(t, table.insert)
			r := b.receiver.Await(t, "/erp", 1)[0]
			require.Equal(t, table.wantID, r.ID)
			require.Equal(t, table.wantBody, string(r.Body))
			b.db.AwaitAttempts(t, "erp", 1)
			b.db.AwaitConfirmed(t, b.db.LSN(t))
		})
	}
}

func TestAPayloadThatIsNotJSONIsDeadWithAReasonAndStopsNothing(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE TABLE events (id int PRIMARY KEY, type text NOT NULL, payload text)")
	config := b.db.Config(b.endpoint("standard", inOrder), b.endpoint("raw", inOrder+`format = "raw"`))
	config.Outbox = mapped("public.events", "id", "type", "payload", "")
	b.db.Migrate(t, outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload"})
	kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, `INSERT INTO events VALUES (1, 'a', 'not json'), (2, 'a', NULL), (3, 'a', '{}')`)

	require.Equal(t, "not json", string(b.receiver.Await(t, "/raw", 3)[0].Body))
	b.receiver.AwaitIDs(t, "/standard", "2", "3")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.undelivered WHERE endpoint_id = 'standard' AND event_id = '1' AND state = 'dead' AND reason = 'invalid' AND last_error LIKE '%JSON%'")
	require.NotContains(t, b.receiver.IDs("/standard"), "1")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
}

func TestAMappingThatDoesNotFitIsAClearErrorAtStart(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]struct {
		ddl, outbox string
		want        []string
	}{
		"no such table": {
			ddl: `CREATE TABLE app.outbox_events (id int PRIMARY KEY, type text, payload jsonb)`, outbox: `table = "app.outbox_event"`,
			want: []string{"app.outbox_event", "does not exist", "did you mean", "app.outbox_events"},
		},
		"no such column": {
			ddl:    `CREATE TABLE app.events (id int PRIMARY KEY, event_type text NOT NULL, payload jsonb)`,
			outbox: mapped("app.events", "id", "event_typ", "payload", ""),
			want:   []string{"app.events", "event_typ", "event_type"},
		},
		"wrong types, all at once": {
			ddl:    `CREATE TABLE app.events (id point, type integer[], payload point, k int)`,
			outbox: mapped("app.events", "id", "type", "payload", ""),
			want:   []string{`"id"`, `"type"`, `"payload"`, "point"},
		},
		"no key": {
			ddl:    `CREATE TABLE app.events (id int NOT NULL, type text NOT NULL, payload jsonb)`,
			outbox: mapped("app.events", "id", "type", "payload", ""),
			want:   []string{"unique", "ADD PRIMARY KEY"},
		},
		"view": {
			ddl:    `CREATE VIEW app.events AS SELECT 1 AS id, 'a' AS type, '{}'::jsonb AS payload`,
			outbox: mapped("app.events", "id", "type", "payload", ""),
			want:   []string{"app.events", "view"},
		},
		"unlogged": {
			ddl:    `CREATE UNLOGGED TABLE app.events (id int PRIMARY KEY, type text NOT NULL, payload jsonb)`,
			outbox: mapped("app.events", "id", "type", "payload", ""),
			want:   []string{"UNLOGGED", "SET LOGGED"},
		},
		"not migrated": {
			ddl:    `DROP SCHEMA tailpost CASCADE; CREATE TABLE app.events (id int PRIMARY KEY, type text NOT NULL, payload jsonb)`,
			outbox: mapped("app.events", "id", "type", "payload", ""),
			want:   []string{"tailpost migrate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.db.Run(t, "CREATE SCHEMA app")
			b.db.Run(t, table.ddl)
			config := b.db.Config(b.endpoint("erp", ""))
			config.Outbox = table.outbox
			relay := kit.StartRelay(t, kit.Options{Config: config})
			require.Equal(t, 1, relay.Wait(t, kit.Patience))
			for _, want := range table.want {
				require.Contains(t, relay.Stderr(), want)
			}
			require.Zero(t, b.db.Count(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", b.db.Slot),
				"a relay that cannot work leaves no slot that holds WAL")
		})
	}
}

func TestLogicalMessagesAreEventsWithoutATable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.Run(t, "DROP TABLE outbox")
	config := b.db.Config(b.endpoint("erp", inOrder))
	config.Outbox = `messages = "myapp"`
	relay := kit.StartDelivering(t, kit.Options{Config: config})

	var ids []string
	b.db.Tx(t, func(tx pgx.Tx) (err error) {
		ids, err = outbox.Emit(t.Context(), tx, "myapp",
			outbox.Event{Type: "order.created", Key: "7", Tenant: "acme", Payload: []byte(`{ "id":7 }`)}, kit.Event("order.paid", `null`))
		return err
	})
	aborted, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = outbox.Emit(t.Context(), aborted, "myapp", kit.Event("order.cancelled", `1`))
	require.NoError(t, err)
	require.NoError(t, aborted.Rollback(t.Context()))
	// Anything may emit: without an id of its own, an event is known by its place in the WAL.
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'myapp', '{"type": "order.shipped", "data": {"by": "rail"}}')`)
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'other', '{"type": "not.ours"}')`)
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'myapp', 'not even JSON')`)
	b.db.Run(t, `SELECT pg_logical_emit_message(false, 'other', 'whatever'), pg_logical_emit_message(false, 'myapp', '{"type": "order.lost"}'),
		pg_logical_emit_message(false, 'myapp', '{"type": "order.lost"}')`)
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'myapp', '{"id": "last", "type": "the.end"}')`)

	requests := b.receiver.Await(t, "/erp", 4)
	for i, id := range ids {
		require.Equal(t, id, requests[i].ID)
	}
	require.Equal(t, "last", requests[3].ID)
	require.NotEmpty(t, requests[2].ID)
	require.Equal(t, `{ "id":7 }`, string(dataOf(t, requests[0].Body)))
	require.JSONEq(t, `{"by": "rail"}`, string(dataOf(t, requests[2].Body)))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND reason = 'invalid'")
	b.db.AwaitAttempts(t, "erp", 4)

	// What was recorded is known by its id, also by one that the relay made.
	require.Zero(t, relay.Stop(t))
	require.Equal(t, 1, strings.Count(relay.Stderr(), "logical messages outside of transactions are not events"), "once, and of our prefix alone")
	kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'myapp', '{"id": "later", "type": "the.end"}')`)
	b.receiver.AwaitIDs(t, "/erp", "later")
	require.Len(t, b.receiver.Requests("/erp"), 5)
}

func TestLogicalMessagesBesideATable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", inOrder))
	config.Outbox = `table = "public.outbox"` + "\n" + `messages = "myapp"`
	kit.StartDelivering(t, kit.Options{Config: config})
	var ids []string
	b.db.Tx(t, func(tx pgx.Tx) error {
		for _, write := range []func() ([]string, error){
			func() ([]string, error) { return outbox.Insert(t.Context(), tx, kit.Event("row", `1`)) },
			func() ([]string, error) { return outbox.Emit(t.Context(), tx, "myapp", kit.Event("emitted", `2`)) },
			func() ([]string, error) { return outbox.Insert(t.Context(), tx, kit.Event("row", `3`)) },
		} {
			got, err := write()
			if err != nil {
				return err
			}
			ids = append(ids, got...)
		}
		return nil
	})
	b.receiver.Await(t, "/erp", 3)
	require.Equal(t, ids, b.receiver.IDs("/erp"), "rows and logical messages of a transaction in the order in which they were written")
}

// A table that was given another name, or moved to another schema, is the same one: what was
// written to it before and not read yet is delivered from the stream, in its order and at once.
func TestARenamedTableLosesNothing(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"another name":   "ALTER TABLE outbox RENAME TO events; CREATE SCHEMA app",
		"another schema": "CREATE SCHEMA app; ALTER TABLE outbox RENAME TO events; ALTER TABLE events SET SCHEMA app",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			config := b.db.Config(b.endpoint("erp", `ordering = "strict"`))
			relay := kit.StartDelivering(t, kit.Options{Config: config})
			ids := b.db.Insert(t, orders(2)...)
			b.receiver.AwaitIDs(t, "/erp", ids...)
			require.Zero(t, relay.Stop(t))
			ids = append(ids, b.db.Insert(t, orders(3)...)...)
			b.db.Run(t, sql)
			table := "public.events"
			if name == "another schema" {
				table = "app.events"
			}
			ids = append(ids, b.db.Text(t, "INSERT INTO "+table+" (id, type, payload) VALUES (gen_random_uuid(), 'order.created', '{}') RETURNING id::text"))

			config.Outbox = fmt.Sprintf("table = %q", table)
			relay = kit.StartDelivering(t, kit.Options{Config: config})
			b.receiver.AwaitIDs(t, "/erp", ids...)
			require.Equal(t, ids, b.receiver.IDs("/erp"))
			b.db.AwaitAttempts(t, "erp", len(ids))
			require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.gap"))
			require.Zero(t, relay.Stop(t))
		})
	}
}
