package schema

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
)

const (
	eventuallyTimeout = 30 * time.Second
	eventuallyTick    = 10 * time.Millisecond
)

// upTo is a database whose schema is of an earlier version, with n attempts and n deliveries.
func upTo(t *testing.T, version, n int) *pgx.Conn {
	t.Helper()
	conn := pgtest.NewDB(t).Conn(t)
	steps, err := migrations()
	require.NoError(t, err)
	for i := range steps[:version] {
		require.NoError(t, migrateTurn(t.Context(), conn, func(tx pgx.Tx) error { return applyMigration(t.Context(), tx, &steps[i]) }))
	}
	_, err = conn.Exec(t.Context(), "SELECT tailpost.ensure_attempt_partitions('2026-03-14', 2)")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
		INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT i::text, 'a', 'erp', 1, 'stream', 'https://example.com', 'retry', 1, '2026-03-14 12:00+00', '0/10' FROM generate_series(1, $1::int) AS i`, n)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
		INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, event_created_at, commit_lsn, seq, created_at, updated_at)
		SELECT i::text, 'erp', 'dead', 'exhausted', 1, 'a', now(), '0/10', 0, now(), now() FROM generate_series(1, $1::int) AS i`, n)
	require.NoError(t, err)
	return conn
}

func text(t *testing.T, conn *pgx.Conn, sql string) (text string) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&text))
	return text
}

// An index of a large table takes longer than a statement may take, and nobody could write
// meanwhile: the migration would never succeed. Built before, and without a lock, they are found by
// the step.
func TestMigrate_buildsTheIndexesOfLargeTablesBeside(t *testing.T) {
	t.Parallel()
	conn := upTo(t, 7, 1000)
	// What an earlier try left behind is of no use.
	_, err := conn.Exec(t.Context(), "CREATE INDEX attempt_20260314_attempt_event_idx ON tailpost.attempt_20260314 (event_id)")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tailpost.attempt_20260314_attempt_event_idx'::regclass")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SET lock_timeout = '7s'; SET search_path = public")
	require.NoError(t, err)

	_, err = Migrate(t.Context(), conn, MigrateOptions{Large: 1})
	require.NoError(t, err)
	const children = `
		SELECT string_agg(c.relname || ' ' || x.indisvalid, ', ' ORDER BY c.relname)
		FROM pg_inherits AS i
		JOIN pg_class AS c ON c.oid = i.inhrelid
		JOIN pg_index AS x ON x.indexrelid = c.oid
		WHERE i.inhparent = '`
	require.Equal(t, "attempt_20260314_attempt_event_idx true, attempt_20260315_event_id_idx true", text(t, conn, children+"tailpost.attempt_event_idx'::regclass AND c.relname < 'attempt_202604'"),
		"that of the partition with rows was built before and became a part")
	require.Equal(t, "attempt_20260314_attempt_answer_class_idx true, attempt_20260315_expr_attempted_at_idx1 true", text(t, conn, children+"tailpost.attempt_answer_class_idx'::regclass AND c.relname < 'attempt_202604'"))
	require.Equal(t, "7s public", text(t, conn, "SELECT current_setting('lock_timeout') || ' ' || current_setting('search_path')"), "the session has what it had")
	require.Equal(t, "0", text(t, conn, "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"))
	require.NoError(t, Check(t.Context(), conn))
}

// While somebody writes for long, an index waits for them, and nobody waits for the index.
func TestMigrate_keepsNobodyFromWriting(t *testing.T) {
	t.Parallel()
	conn := upTo(t, 13, 1000)
	connect := func() *pgx.Conn {
		other, err := pgx.ConnectConfig(t.Context(), conn.Config())
		require.NoError(t, err)
		t.Cleanup(func() { _ = other.Close(context.WithoutCancel(t.Context())) })
		return other
	}
	writer, watcher := connect(), connect()
	tx, err := writer.Begin(t.Context())
	require.NoError(t, err)
	const write = "UPDATE tailpost.delivery SET updated_at = now() WHERE event_id = '1'"
	_, err = tx.Exec(t.Context(), write)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := Migrate(t.Context(), conn, MigrateOptions{Large: 1})
		done <- err
	}()
	require.Eventually(t, func() bool {
		return text(t, watcher, "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX CONCURRENTLY%'") == "1"
	}, eventuallyTimeout, eventuallyTick)
	_, err = watcher.Exec(t.Context(), "SET lock_timeout = '1s'")
	require.NoError(t, err)
	_, err = watcher.Exec(t.Context(), "UPDATE tailpost.delivery SET updated_at = now() WHERE event_id = '2'")
	require.NoError(t, err, "it waits, and others write")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	require.Equal(t, "true", text(t, conn, "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'tailpost.delivery_dead_key_idx'::regclass"))
}

// A lock that waits makes everybody behind it wait too, so a migration soon gives up one that
// others hold, at whatever it waits, says so, and can be run again.
func TestMigrate_givesUpALockThatOthersHold(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]string{
		"at the look at the version": "tailpost.migration IN ACCESS EXCLUSIVE MODE",
		"within a step":              "tailpost.delivery IN ROW EXCLUSIVE MODE", // a writer's, that keeps only an index waiting
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := upTo(t, 13, 1)
			other, err := pgx.ConnectConfig(t.Context(), conn.Config())
			require.NoError(t, err)
			t.Cleanup(func() { _ = other.Close(context.WithoutCancel(t.Context())) })
			tx, err := other.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "LOCK TABLE "+held)
			require.NoError(t, err)
			waiting, ended := alsoWaiting(t, conn, strings.Fields(held)[0])

			ctx, cancel := context.WithTimeout(t.Context(), eventuallyTimeout)
			defer cancel()
			_, err = Migrate(ctx, conn, MigrateOptions{})
			require.ErrorContains(t, err, "holds a lock on what is to be changed")
			require.ErrorContains(t, err, fmt.Sprintf("another session, such as process %d of role ", other.PgConn().PID()), "and it is named")
			require.NotContains(t, err.Error(), fmt.Sprintf("process %d ", waiting), "to end one that waits itself would help nobody")
			require.NoError(t, tx.Rollback(t.Context()))
			require.NoError(t, <-ended)
			_, err = Migrate(t.Context(), conn, MigrateOptions{})
			require.NoError(t, err)
			require.NoError(t, Check(t.Context(), conn))
		})
	}
}

// alsoWaiting has another session wait for a table. It returns its process, and what becomes of it.
func alsoWaiting(t *testing.T, conn *pgx.Conn, table string) (pid uint32, ended <-chan error) {
	t.Helper()
	waiting, err := pgx.ConnectConfig(t.Context(), conn.Config())
	require.NoError(t, err)
	t.Cleanup(func() { _ = waiting.Close(context.WithoutCancel(t.Context())) })
	done := make(chan error, 1)
	go func() {
		_, err := waiting.PgConn().Exec(t.Context(), "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE; ROLLBACK").ReadAll()
		done <- err
	}()
	pid = waiting.PgConn().PID()
	require.Eventually(t, func() bool {
		return text(t, conn, fmt.Sprintf("SELECT count(*)::text FROM pg_locks WHERE pid = %d AND NOT granted", pid)) == "1"
	}, eventuallyTimeout, eventuallyTick)
	return pid, done
}

// TestMigrate_waitsForNoTableOfTheApplication: whatever its sessions do with their own tables, an
// ALTER TABLE that takes hours for example.
func TestMigrate_waitsForNoTableOfTheApplication(t *testing.T) {
	t.Parallel()
	conn := upTo(t, 13, 1)
	_, err := conn.Exec(t.Context(), "CREATE TABLE public.orders (id int)")
	require.NoError(t, err)
	other, err := pgx.ConnectConfig(t.Context(), conn.Config())
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close(context.WithoutCancel(t.Context())) })
	tx, err := other.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	_, err = Migrate(t.Context(), conn, MigrateOptions{})
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
}
