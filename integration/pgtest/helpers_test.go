package pgtest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
)

type assertCollector = assert.CollectT

func serve() {
	server, err := pgtest.Start(context.Background(), pgtest.Options{Dir: os.Getenv(serveVariable), Settings: pgtest.FastSettings()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.URL("postgres"))
	select {}
}

// openDir is a temporary directory that the account of a server can reach, also where the tests run as root.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

func start(t *testing.T, o pgtest.Options) *pgtest.Server {
	t.Helper()
	server, err := pgtest.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func count(t *testing.T, conn *pgx.Conn, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// startWalsender makes the slot active with a replication connection that is open until the test's cleanup is over.
func startWalsender(t *testing.T, db *pgtest.DB) {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), db.URL+"&replication=database")
	require.NoError(t, err)
	reader := conn.Exec(t.Context(), "START_REPLICATION SLOT "+db.Slot()+" LOGICAL 0/0 (proto_version '1', publication_names 'p')")
	_ = reader // closing it would end the copy; the server ends it when the database goes
	require.Equal(t, 1, active(t, db))
}

func active(t *testing.T, db *pgtest.DB) int {
	t.Helper()
	conn := db.Conn(t)
	n := 0
	for n == 0 && t.Context().Err() == nil {
		n = count(t, conn, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active", db.Slot())
	}
	return n
}
