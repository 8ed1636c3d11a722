package schema_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/schema"
)

// Whoever may create things in public must not have a migration, which often runs as a superuser,
// do what they want.
func TestMigrate_findsNothingInPublic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Hostile(t, b.conn)
	victim := b.Conn(t)
	_, err := victim.Exec(t.Context(), "SELECT now() = now()")
	require.ErrorContains(t, err, "hijacked")
	_, err = schema.Migrate(t.Context(), victim, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	ours, err := pglink.Connect(t.Context(), b.URL, pglink.Session{Name: "check"})
	require.NoError(t, err)
	defer ours.Close(t.Context())
	require.NoError(t, schema.Check(t.Context(), ours))
	_, err = schema.CheckTable(t.Context(), ours, outbox.DefaultMapping())
	require.NoError(t, err)
}

func TestPrint_findsNothingInPublic(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Hostile(t, b.conn)
	var script strings.Builder
	options := schema.PrintOptions{Mapping: outbox.DefaultMapping(), Slot: b.Name, Relay: b.Name + "_r", Application: b.Name + "_a", Reader: b.Name + "_p"}
	require.NoError(t, schema.Print(&script, options))
	victim := b.Conn(t)
	tx, err := victim.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Conn().PgConn().Exec(t.Context(), script.String()).ReadAll()
	require.NoError(t, err)
	var path string
	require.NoError(t, tx.QueryRow(t.Context(), "SHOW search_path", pgx.QueryExecModeSimpleProtocol).Scan(&path))
	require.Equal(t, "public, pg_catalog", path, "what the tool does next in its transaction finds what it found before")
	require.NoError(t, tx.Rollback(t.Context()))
}

// Functions that run with their owner's rights have a path of their own, whoever calls them and
// whatever theirs is.
func TestDefinerFunctionsHaveTheirOwnPath(t *testing.T) {
	t.Parallel()
	b := setupMigrated(t)
	require.Zero(t, b.count(t, `
		SELECT count(*)
		FROM pg_proc
		WHERE pronamespace = 'tailpost'::regnamespace
		  AND NOT ('search_path=pg_catalog, pg_temp' = ANY (COALESCE(proconfig, '{}')))`))
	require.Positive(t, b.count(t, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'tailpost'::regnamespace AND prosecdef"))
	b.Hostile(t, b.conn)
	victim := b.Conn(t)
	for _, call := range []string{
		"SELECT tailpost.ensure_attempt_partitions(date '2026-03-14', 2)",
		"SELECT tailpost.summarize_attempts(1)",
		"SELECT tailpost.drop_attempt_partition(date '2026-03-15')",
	} {
		_, err := victim.Exec(t.Context(), call)
		require.NoError(t, err, call)
	}
}
