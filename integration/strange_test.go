package integration_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// textTable is an outbox with ids and payloads that can be anything.
const textTable = `CREATE TABLE app.events (id text PRIMARY KEY, type text NOT NULL, payload bytea)`

func textBundle(t *testing.T) (*testBundle, kit.Config) {
	t.Helper()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, "CREATE SCHEMA app")
	b.db.Run(t, textTable)
	b.db.Migrate(t, outbox.Mapping{Table: "app.events", ID: "id", Type: "type", Payload: "payload"})
	config := b.db.Config(b.endpoint("raw", `format = "raw"`), b.endpoint("standard", ""))
	config.Outbox = mapped("app.events", "id", "type", "payload", "")
	return b, config
}

func TestAnyBytesAreDeliveredOrDeadWithAReason(t *testing.T) {
	t.Parallel()
	b, config := textBundle(t)
	kit.StartDelivering(t, kit.Options{Config: config})
	for id, row := range map[string]struct {
		payload  any // nil: NULL
		standard bool
	}{
		"nul":                {payload: []byte("\x00"), standard: false},
		"not.UTF-8":          {payload: []byte("{\"x\": \"\xff\xfe\"}"), standard: false},
		"empty":              {payload: []byte{}, standard: false},
		"null":               {payload: nil, standard: true},
		"json":               {payload: []byte(`{"n": 1}`), standard: true},
		"scalar":             {payload: []byte(`7`), standard: true},
		"dots.in..an.id.":    {payload: []byte(`{}`), standard: true},
		"escaped nul":        {payload: []byte("{\"n\": \"\\u0000\"}"), standard: true},
		"lone surrogate":     {payload: []byte("{\"n\": \"\\ud800\"}"), standard: true},
		"deep":               {payload: []byte(strings.Repeat("[", 9000) + strings.Repeat("]", 9000)), standard: true},
		"cut":                {payload: []byte(`{"n": `), standard: false},
		"a space, ünïcode 🦔": {payload: []byte(`{}`), standard: true},
	} {
		b.db.Run(t, "INSERT INTO app.events VALUES ($1, 'file.stored', $2)", id, row.payload)
		// One way or the other both endpoints are done with it.
		b.db.AwaitCount(t, 2, `
			SELECT (SELECT count(*) FROM tailpost.attempt WHERE event_id = $1 AND outcome IN ('delivered', 'dead'))`, id)
		for endpoint, want := range map[string]bool{"raw": true, "standard": row.standard} {
			got := b.db.Text(t, "SELECT outcome || coalesce(': ' || error, '') FROM tailpost.attempt WHERE event_id = $1 AND endpoint_id = $2", id, endpoint)
			if want && !strings.Contains(id, " ") {
				require.Equal(t, "delivered", got, "%s to %s", id, endpoint)
			}
			if got != "delivered" {
				require.Greater(t, len(got), len("dead: "), "%s to %s is %s: it needs a reason", id, endpoint, got)
				require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE event_id = $1 AND endpoint_id = $2 AND state = 'dead'", id, endpoint))
			}
		}
	}
	for _, r := range b.receiver.Requests("/raw") {
		if r.ID == "nul" {
			require.Equal(t, []byte{0}, r.Body)
		}
	}
}

func TestALargePayloadIsDelivered(t *testing.T) {
	t.Parallel()
	b, config := textBundle(t)
	relay := kit.StartDelivering(t, kit.Options{Config: config, Plain: !soaks()})
	const size = 50 << 20
	b.db.Run(t, `INSERT INTO app.events VALUES ('large', 'file.stored', convert_to('"' || repeat('x', $1) || '"', 'UTF8'))`, size)
	b.db.Run(t, `INSERT INTO app.events VALUES ('small', 'file.stored', '{}')`)
	b.receiver.AwaitIDs(t, "/raw", "large", "small")
	b.receiver.AwaitIDs(t, "/standard", "large", "small")
	for _, r := range b.receiver.Requests("/raw") {
		if r.ID == "large" {
			require.Len(t, r.Body, size+2)
			require.Equal(t, size, bytes.Count(r.Body, []byte("x")))
		}
	}
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	requireOneHold(t, relay)

	// And one that has to be parked, which copies it into the queue and back.
	const parked = 10 << 20
	b.receiver.On("/raw", kit.Statuses(500, 200))
	reload := config
	reload.Endpoints[0].HCL += fast
	relay.Reload(t, reload.HCL())
	relay.Await(t, kit.LogReloaded, nil)
	b.db.Run(t, `INSERT INTO app.events VALUES ('parked', 'file.stored', convert_to('"' || repeat('y', $1) || '"', 'UTF8'))`, parked)
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE event_id = 'parked' AND endpoint_id = 'raw'")
	b.db.AwaitEmptyQueue(t)
}

func TestStrangeTransactionsAreReadAsTheyCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})

	type step struct {
		name string
		sql  string
		want int // events of type name that must arrive
	}
	for _, s := range []step{
		{"subtransactions", `DO $$
			BEGIN
				FOR i IN 1..10000 LOOP
					BEGIN
						INSERT INTO outbox (type, payload) VALUES ('subtransactions', '{}');
						IF i % 10 <> 0 THEN RAISE EXCEPTION 'no'; END IF;
					EXCEPTION WHEN raise_exception THEN NULL;
					END;
				END LOOP;
			END $$`, 1000},
		{"prepared", `BEGIN; INSERT INTO outbox (type, payload) VALUES ('prepared', '{}'); PREPARE TRANSACTION 'one';
			BEGIN; INSERT INTO outbox (type, payload) VALUES ('prepared', '{}'); PREPARE TRANSACTION 'two';
			ROLLBACK PREPARED 'two'; COMMIT PREPARED 'one'`, 1},
		{"deleted", `BEGIN; INSERT INTO outbox (type, payload) VALUES ('deleted', '{}'); DELETE FROM outbox WHERE type = 'deleted'; COMMIT`, 1},
		{"conflict", `
			INSERT INTO outbox (id, type, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'conflict', '{}');
			INSERT INTO outbox (id, type, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'conflict', '{}') ON CONFLICT DO NOTHING;
			INSERT INTO outbox (id, type, payload) VALUES ('00000000-0000-0000-0000-000000000001', 'conflict', '{}')
				ON CONFLICT (id) DO UPDATE SET payload = '{"changed": true}';
			UPDATE outbox SET payload = '{}' WHERE type = 'conflict'`, 1},
		{"truncated", `BEGIN; INSERT INTO outbox (type, payload) VALUES ('truncated', '{}'); TRUNCATE outbox;
			INSERT INTO outbox (type, payload) VALUES ('truncated', '{}'); COMMIT; TRUNCATE outbox`, 2},
		{"added", `ALTER TABLE outbox ADD COLUMN note text DEFAULT 'x'; INSERT INTO outbox (type, payload) VALUES ('added', '{}');
			ALTER TABLE outbox DROP COLUMN note; INSERT INTO outbox (type, payload) VALUES ('added', '{}')`, 2},
		{"altered within", `BEGIN; INSERT INTO outbox (type, payload) VALUES ('altered within', '{}'); ALTER TABLE outbox ADD COLUMN note int;
			INSERT INTO outbox (type, payload, note) VALUES ('altered within', '{}', 7); ALTER TABLE outbox DROP COLUMN note; COMMIT`, 2},
		{"retyped", `ALTER TABLE outbox ALTER COLUMN payload TYPE text; INSERT INTO outbox (type, payload) VALUES ('retyped', '{ }');
			ALTER TABLE outbox ALTER COLUMN payload TYPE jsonb USING payload::jsonb; INSERT INTO outbox (type, payload) VALUES ('retyped', '{}')`, 2},
		{"rewritten", `INSERT INTO outbox (type, payload) VALUES ('rewritten', '{}'); VACUUM FULL outbox; CLUSTER outbox USING outbox_pkey;
			INSERT INTO outbox (type, payload) VALUES ('rewritten', '{}')`, 2},
	} {
		// Statements one by one, as psql would send them: some may not share a transaction.
		for statement := range statements(s.sql) {
			_, err := b.db.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err, statement)
		}
		if s.want > 0 {
			b.db.AwaitCount(t, s.want, "SELECT count(*) FROM tailpost.attempt WHERE event_type = $1", s.name)
		}
		b.db.AwaitConfirmed(t, b.db.LSN(t))
		require.Equal(t, s.want, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE event_type = $1", s.name), s.name)
	}
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery"))

	// COPY, in the binary form that drivers use.
	_, err := b.db.CopyFrom(t.Context(), pgx.Identifier{"outbox"}, []string{"type", "payload"},
		pgx.CopyFromSlice(500, func(i int) ([]any, error) { return []any{"copied", fmt.Sprintf(`{"n": %d}`, i)}, nil }))
	require.NoError(t, err)
	b.db.AwaitCount(t, 500, "SELECT count(*) FROM tailpost.attempt WHERE event_type = 'copied'")
	requireOneHold(t, relay)
}

// statements returns a script's statements, where no semicolon is within one but in DO blocks,
// which are alone. A transaction is one simple query, so that it keeps its connection.
func statements(script string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if strings.HasPrefix(script, "DO ") {
			yield(script)
			return
		}
		var tx []string
		for part := range strings.SplitSeq(script, ";") {
			part = strings.TrimSpace(part)
			switch {
			case part == "":
				continue
			case part == "BEGIN" || len(tx) > 0:
				tx = append(tx, part)
				if part != "COMMIT" && !strings.HasPrefix(part, "PREPARE TRANSACTION") {
					continue
				}
				part, tx = strings.Join(tx, "; "), nil
			}
			if !yield(part) {
				return
			}
		}
	}
}

// requireOneHold: the relay never lost the slot, for whatever reason.
func requireOneHold(t *testing.T, relay *kit.Relay) {
	t.Helper()
	holds := 0
	for _, record := range relay.Log() {
		if record["message"] == kit.LogDelivering {
			holds++
		}
	}
	require.Equal(t, 1, holds, "times that the slot was taken")
}

// While the table does not fit its mapping, events cannot be decoded: each is dead with the reason,
// and resent by a person once that is mended. The stream goes on.
func TestATableThatStopsFittingItsMappingStopsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	b.db.Insert(t, kit.Event("before", `{}`))
	b.db.Run(t, "ALTER TABLE outbox RENAME COLUMN payload TO body")
	b.db.Run(t, "INSERT INTO outbox (type, body) VALUES ('renamed', '{}'), ('renamed', '{}')")
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = '*' AND state = 'dead' AND last_error LIKE '%payload%'")
	b.db.Run(t, "ALTER TABLE outbox RENAME COLUMN body TO payload")
	b.db.Run(t, "ALTER TABLE outbox ALTER COLUMN payload TYPE int USING 7")
	b.db.Run(t, "INSERT INTO outbox (type, payload) VALUES ('retyped', 7)")
	b.db.AwaitCount(t, 3, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = '*' AND state = 'dead'")
	b.db.Run(t, "ALTER TABLE outbox ALTER COLUMN payload TYPE jsonb USING '{}'")
	b.db.Insert(t, kit.Event("after", `{}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE event_type = 'after'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	requireOneHold(t, relay)
	require.Equal(t, 2, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"))
}

func TestPartitionsComeAndGo(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, `CREATE SCHEMA app;
		CREATE TABLE app.events (id bigint, type text NOT NULL, payload jsonb, created_at timestamptz NOT NULL, PRIMARY KEY (id, created_at))
			PARTITION BY RANGE (created_at);
		CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')`)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = mapped("app.events", "id", "type", "payload", "created_at")
	b.db.Migrate(t, outbox.Mapping{Table: "app.events", ID: "id", Type: "type", Payload: "payload", CreatedAt: "created_at"})
	kit.StartDelivering(t, kit.Options{Config: config})
	for _, statement := range []string{
		"INSERT INTO app.events VALUES (1, 'a', '{}', '2025-06-01')",
		"CREATE TABLE app.events_2 (payload jsonb, created_at timestamptz NOT NULL, type text NOT NULL, id bigint NOT NULL)",
		"ALTER TABLE app.events ATTACH PARTITION app.events_2 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
		"INSERT INTO app.events VALUES (2, 'a', '{}', '2026-06-01')",
		"INSERT INTO app.events_2 (id, type, payload, created_at) VALUES (3, 'a', '{}', '2026-06-01')",
		"ALTER TABLE app.events DETACH PARTITION app.events_1",
		"DROP TABLE app.events_1",
		"INSERT INTO app.events VALUES (4, 'a', '{}', '2026-07-01')",
		"CREATE TABLE app.events_3 PARTITION OF app.events DEFAULT",
		"INSERT INTO app.events VALUES (5, 'a', '{}', '2030-07-01')",
	} {
		b.db.Run(t, statement)
	}
	b.receiver.AwaitIDs(t, "/erp", "1", "2", "3", "4", "5")
	b.db.AwaitAttempts(t, "erp", 5)
	b.db.AwaitEmptyQueue(t)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
}
