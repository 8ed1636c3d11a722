package schema_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
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
	db := pgtest.NewDB(t)
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

// count is the answer of a query for one number.
func (b *testBundle) count(t *testing.T, query string) int {
	t.Helper()
	var n int
	require.NoError(t, b.conn.QueryRow(t.Context(), query).Scan(&n))
	return n
}
