package pgtest_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewDBIsEmptyAndGoneAfterwards(t *testing.T) {
	t.Parallel()
	var name, slot string
	outer := pgtest.NewDB(t).Conn(t)

	t.Run("use", func(t *testing.T) {
		db := pgtest.NewDB(t)
		conn := db.Conn(t)
		name, slot = db.Name, db.Slot()

		var current, walLevel, encoding string
		require.NoError(t, conn.QueryRow(t.Context(),
			"SELECT current_database(), current_setting('wal_level'), current_setting('server_encoding')").Scan(&current, &walLevel, &encoding))
		require.Equal(t, []string{db.Name, "logical", "UTF8"}, []string{current, walLevel, encoding})

		// A walsender that nobody stops holds the slot when the test ends.
		_, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE PUBLICATION p FOR ALL TABLES")
		require.NoError(t, err)
		startWalsender(t, db)
	})

	require.Zero(t, count(t, outer, "SELECT count(*) FROM pg_database WHERE datname = $1", name))
	require.Zero(t, count(t, outer, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", slot))
}

func TestNewDBNamesAreSafeAndDistinct(t *testing.T) {
	t.Parallel()
	a, b := pgtest.NewDB(t), pgtest.NewDB(t)
	require.NotEqual(t, a.Name, b.Name)
	require.Regexp(t, `^[a-z0-9_]{1,63}$`, a.Slot())
	require.Contains(t, a.Name, "newdbnames")
	require.True(t, strings.HasPrefix(a.URL, "postgres://"))
}

func count(t *testing.T, conn *pgx.Conn, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// startWalsender makes the slot active with a replication connection that stays open until the
// test's cleanup is over.
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
