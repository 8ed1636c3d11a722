package query

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
)

// A count ends soon for the person who waits for it, and shortens nothing that the connection does
// afterwards.
func TestACountShortensItsOwnStatementsOnly(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{URL: config.NewSecret(pgschema.NewDB(t).URL)})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	within := func(run func(context.Context, string, func(context.Context, pgx.Tx) error) error) (timeout string) {
		t.Helper()
		require.NoError(t, run(t.Context(), "ask", func(ctx context.Context, tx pgx.Tx) error {
			return tx.QueryRow(ctx, "SHOW statement_timeout").Scan(&timeout)
		}))
		return timeout
	}
	require.Equal(t, "5s", within(s.counting))
	require.Equal(t, statementTimeout, within(s.read), "on the same connection")
}
