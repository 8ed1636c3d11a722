package outbox_test

import (
	"database/sql"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// testBundle is an empty database, and what tests do with it.
type testBundle struct {
	*pgtest.DB
	conn *pgx.Conn
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	db := pgschema.NewDB(t)
	return &testBundle{DB: db, conn: db.Conn(t)}
}

// setupMigrated has schema tailpost and the default outbox table too.
func setupMigrated(t *testing.T) *testBundle {
	t.Helper()
	b := setup(t)
	_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	return b
}

func (b *testBundle) exec(t *testing.T, statements string) {
	t.Helper()
	_, err := b.conn.PgConn().Exec(t.Context(), statements).ReadAll()
	require.NoError(t, err)
}

func (b *testBundle) sql(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", b.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// listen makes a publication of the table and a slot, so that stream can tell what came after.
func (b *testBundle) listen(t *testing.T, table string) {
	t.Helper()
	if table != "" {
		table = " FOR TABLE " + table
	}
	b.exec(t, "CREATE PUBLICATION p"+table+" WITH (publish = 'insert', publish_via_partition_root = true)")
	b.exec(t, "SELECT pg_create_logical_replication_slot('"+b.Slot()+"', 'pgoutput')")
}

// stream decodes all that committed since listen, as a relay would: rows of the mapped table and
// logical messages.
func (b *testBundle) stream(t *testing.T, m outbox.Mapping) []outbox.Event {
	t.Helper()
	b.exec(t, "SET datestyle = 'ISO'; SET timezone = 'UTC'")
	rows, err := b.conn.Query(t.Context(), `
SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL::int, 'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`, b.Slot())
	require.NoError(t, err)
	changes, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	require.NoError(t, err)

	var decoder *outbox.Decoder
	var events []outbox.Event
	for _, change := range changes {
		parsed, err := pglogrepl.Parse(change)
		require.NoError(t, err)
		switch c := parsed.(type) {
		case *pglogrepl.RelationMessage:
			columns := make([]outbox.Column, len(c.Columns))
			for i, column := range c.Columns {
				columns[i] = outbox.Column{Name: column.Name, TypeOID: column.DataType}
			}
			decoder = newDecoder(t, m, columns...)
		case *pglogrepl.InsertMessage:
			row := make([]outbox.Value, len(c.Tuple.Columns))
			for i, column := range c.Tuple.Columns {
				row[i] = outbox.Value{Kind: outbox.ValueKind(column.DataType), Data: column.Data}
			}
			e, err := decoder.Decode(row)
			require.NoError(t, err)
			events = append(events, e)
		case *pglogrepl.LogicalDecodingMessage:
			e, err := outbox.DecodeEmitted(c.Content)
			require.NoError(t, err)
			events = append(events, e)
		}
	}
	return events
}

// count is the answer of a query for one number.
func (b *testBundle) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.conn.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}
