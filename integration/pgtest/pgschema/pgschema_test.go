package pgschema_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestACopyIsWhatMigrateMakes: with an outbox table and partitions, as every test's Migrate makes
// them.
func TestACopyIsWhatMigrateMakes(t *testing.T) {
	t.Parallel()
	copied := pgschema.NewDB(t).Conn(t)
	require.Empty(t, relations(t, copied, "public"))
	made := pgtest.NewDB(t).Conn(t)
	options := schema.MigrateOptions{Mapping: outbox.DefaultMapping()}
	first, err := schema.Migrate(t.Context(), made, options)
	require.NoError(t, err)
	second, err := schema.Migrate(t.Context(), copied, options)
	require.NoError(t, err)
	require.NotEmpty(t, first.Applied)
	require.Empty(t, second.Applied)
	require.Equal(t, first.Version, second.Version)
	require.Equal(t, first.Partitions, second.Partitions)
	for _, in := range []string{"public", "tailpost"} {
		require.NotEmpty(t, relations(t, made, in))
		require.Equal(t, relations(t, made, in), relations(t, copied, in))
	}
}

// relations are the tables and indexes of a schema, with their columns.
func relations(t *testing.T, conn *pgx.Conn, in string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT concat_ws(' ', c.relkind, c.relname, string_agg(a.attname, ',' ORDER BY a.attnum))
		FROM pg_class AS c
		JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
		WHERE c.relnamespace = $1::regnamespace
		GROUP BY c.oid
		ORDER BY 1`, in)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}
