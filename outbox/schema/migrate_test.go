package schema_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

func TestMigrate(t *testing.T) {
	t.Parallel()

	t.Run("makes everything once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := schema.MigrateOptions{Mapping: outbox.DefaultMapping(), Now: time.Date(2026, 2, 27, 23, 30, 0, 0, time.FixedZone("", -3600))}
		result, err := schema.Migrate(t.Context(), b.conn, o)
		require.NoError(t, err)
		require.Len(t, result.Applied, result.Version)
		require.Equal(t, "init", result.Applied[0].Name)
		require.True(t, result.OutboxCreated)
		require.Equal(t, 4, result.Partitions)

		again, err := schema.Migrate(t.Context(), b.conn, o)
		require.NoError(t, err)
		require.Equal(t, schema.MigrateResult{Version: result.Version}, again)

		rows, err := b.conn.Query(t.Context(), "SELECT relid::text FROM pg_partition_tree('tailpost.attempt') WHERE isleaf ORDER BY 1")
		require.NoError(t, err)
		partitions, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Equal(t, []string{
			"tailpost.attempt_20260228", "tailpost.attempt_20260301", "tailpost.attempt_20260302", "tailpost.attempt_20260303",
		}, partitions)
	})
	t.Run("gives the default table ids that begin with the time", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
		require.NoError(t, err)
		b.exec(t, "INSERT INTO public.outbox (type, payload) SELECT 'order.created', '{}' FROM generate_series(1, 100)")
		// RFC 9562: milliseconds since 1970 in the first 48 bits, then version 7; variant 10 in the
		// two bits from 64 on.
		require.Equal(t, 100, b.count(t, `
			SELECT count(DISTINCT id)
			FROM public.outbox
			WHERE id::text ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
			  AND abs(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint - extract(epoch FROM created_at) * 1000) < 60000`))
	})
	t.Run("lets replicas that start at once take turns", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, "ALTER DATABASE "+b.Name+" SET default_transaction_isolation = 'repeatable read'")
		const replicas = 6
		results := make(chan schema.MigrateResult, replicas)
		failures := make(chan error, replicas)
		for range replicas {
			conn := b.Conn(t)
			go func() {
				result, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
				results <- result
				failures <- err
			}()
		}
		applied, created, partitions, version := 0, 0, 0, 0
		for range replicas {
			require.NoError(t, <-failures)
			result := <-results
			applied += len(result.Applied)
			partitions += result.Partitions
			version = result.Version
			if result.OutboxCreated {
				created++
			}
		}
		require.Equal(t, version, applied)
		require.Equal(t, 1, created)
		require.Equal(t, 4, partitions)
		require.Equal(t, version, b.count(t, "SELECT count(*) FROM tailpost.migration"))
	})
	t.Run("refuses a newer database and changes nothing", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		version := b.count(t, "SELECT max(version) FROM tailpost.migration")
		b.exec(t, fmt.Sprintf("INSERT INTO tailpost.migration (version, name) VALUES (%d, 'later'); DROP TABLE public.outbox", version+1))
		_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
		require.ErrorIs(t, err, schema.ErrNewer)
		require.ErrorContains(t, err, fmt.Sprintf("is at version %d", version+1))
		require.ErrorContains(t, err, "run the tailpost release that migrated the database, or a later one")
		require.Zero(t, b.count(t, "SELECT count(*) FROM pg_class WHERE relname = 'outbox'"))
	})
	t.Run("leaves an outbox table alone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, "CREATE TABLE public.outbox (mine int)")
		result, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
		require.NoError(t, err)
		require.False(t, result.OutboxCreated)
		require.Equal(t, 1, b.count(t, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.outbox'::regclass AND attnum > 0"))
	})
	t.Run("creates a table of another name and the default columns", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(t, `CREATE SCHEMA "My App"`)
		m := outbox.DefaultMapping()
		m.Table = `My App.Order's "Events"`
		result, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: m})
		require.NoError(t, err)
		require.True(t, result.OutboxCreated)
		warnings, err := schema.CheckTable(t.Context(), b.conn, m)
		require.NoError(t, err)
		require.Empty(t, warnings)
	})
	t.Run("does not guess the table of a mapping", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		m := outbox.DefaultMapping()
		m.Table, m.Key = "app.events", "aggregate_id"
		_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: m})
		require.EqualError(t, err, "prepare outbox table: your outbox table app.events does not exist: create it, or correct outbox.table; "+
			"tailpost creates a table of the default columns only")
	})
	t.Run("needs no table for logical messages", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		result, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{})
		require.NoError(t, err)
		require.False(t, result.OutboxCreated)
		require.NoError(t, schema.Check(t.Context(), b.conn))
	})
	t.Run("refuses a mapping that is incomplete before it changes anything", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.Mapping{Table: "outbox"}})
		require.ErrorContains(t, err, "write it with its schema")
		require.Zero(t, b.count(t, "SELECT count(*) FROM pg_namespace WHERE nspname = 'tailpost'"))
	})
}

// TestKeysKeepPayloads: a key that could read payloads before they had a scope still can, and no
// other key can by now.
func TestKeysKeepPayloads(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	steps, err := filepath.Glob("migrations/*_payloads_scope.sql")
	require.NoError(t, err)
	require.Len(t, steps, 1)
	step, err := os.ReadFile(steps[0])
	require.NoError(t, err)
	for name, scopes := range map[string][]string{
		"reads": {"deliveries:read"}, "resends": {"endpoints:read", "deliveries:write"}, "tests": {"endpoints:write"}, "has it": {"deliveries:read", "payloads:read"},
		"lists": {"endpoints:read"}, "makes keys": {"keys:write"},
	} {
		_, err := b.conn.Exec(t.Context(), `INSERT INTO tailpost.api_key (id, name, source, hash, scopes, created_by, created_at)
			VALUES ($1, $1, 'api', convert_to($1, 'UTF8'), $2, 'x', now())`, name, scopes)
		require.NoError(t, err)
	}
	b.exec(t, "INSERT INTO tailpost.api_key (id, name, source, scopes, created_by, created_at) VALUES ('config:a', 'a', 'config', '{deliveries:read}', 'config', now())")
	b.exec(t, string(step))
	rows, err := b.conn.Query(t.Context(), "SELECT name FROM tailpost.api_key WHERE 'payloads:read' = ANY (scopes) ORDER BY 1")
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"has it", "reads", "resends", "tests"}, names, "the file says what a key of the configuration may")
	require.Equal(t, 1, b.count(t, "SELECT array_length(array_positions(scopes, 'payloads:read'), 1) FROM tailpost.api_key WHERE name = 'has it'"))
}

func TestEveryTableAndColumnHasAComment(t *testing.T) {
	t.Parallel()
	b := setupMigrated(t)
	rows, err := b.conn.Query(t.Context(), `
SELECT c.oid::regclass || coalesce('.' || a.attname, '')
FROM pg_class AS c
JOIN LATERAL (
    SELECT 0 AS attnum, NULL::name AS attname
    UNION ALL
    SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
) AS a ON true
WHERE (c.relnamespace = 'tailpost'::regnamespace OR c.oid = 'public.outbox'::regclass)
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND coalesce(col_description(c.oid, a.attnum), '') = ''
  AND (a.attnum > 0 OR coalesce(obj_description(c.oid, 'pg_class'), '') = '')
UNION ALL
SELECT p.oid::regprocedure::text
FROM pg_proc AS p
WHERE p.pronamespace = 'tailpost'::regnamespace
  AND obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT 'schema tailpost'
WHERE obj_description('tailpost'::regnamespace, 'pg_namespace') IS NULL`)
	require.NoError(t, err)
	bare, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, bare)
	require.Greater(t, b.count(t, "SELECT count(*) FROM pg_class WHERE relnamespace = 'tailpost'::regnamespace AND relkind IN ('r', 'p', 'v')"), 8)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := setup(t)

	err := schema.Check(t.Context(), b.conn)
	require.ErrorIs(t, err, schema.ErrOlder)
	require.EqualError(t, err, "the database has no schema tailpost, or this role may not see it: run tailpost migrate")

	made, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{})
	require.NoError(t, err)
	require.NoError(t, schema.Check(t.Context(), b.conn))

	b.exec(t, "INSERT INTO tailpost.migration (version, name) VALUES (999, 'later')")
	err = schema.Check(t.Context(), b.conn)
	require.ErrorIs(t, err, schema.ErrNewer)
	require.NotErrorIs(t, err, schema.ErrOlder)
	var problem *schema.VersionError
	require.ErrorAs(t, err, &problem)
	require.Equal(t, 999, problem.Database)
	require.Equal(t, made.Version, problem.Binary)

	b.exec(t, "DELETE FROM tailpost.migration")
	require.ErrorIs(t, schema.Check(t.Context(), b.conn), schema.ErrOlder)
	require.Equal(t, "schema tailpost is at version 1 and this tailpost needs version 2: run tailpost migrate",
		(&schema.VersionError{Database: 1, Binary: 2}).Error())
}

func TestEnsurePartitions(t *testing.T) {
	t.Parallel()
	day := time.Date(2031, 12, 30, 12, 0, 0, 0, time.UTC)

	t.Run("makes what is missing, whatever the session's settings", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		b.exec(t, "SET timezone = 'Pacific/Auckland'; SET datestyle = 'German'; SET search_path = pg_temp")
		made, err := schema.EnsurePartitions(t.Context(), b.conn, day, 3)
		require.NoError(t, err)
		require.Equal(t, 3, made)
		made, err = schema.EnsurePartitions(t.Context(), b.conn, day.AddDate(0, 0, 1), 3)
		require.NoError(t, err)
		require.Equal(t, 1, made)
	})
	t.Run("by days of UTC", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		_, err := schema.EnsurePartitions(t.Context(), b.conn, day, 2)
		require.NoError(t, err)
		for _, at := range []string{"2031-12-30 00:00:00+00", "2031-12-30 23:59:59.999999+00"} {
			var partition string
			require.NoError(t, b.conn.QueryRow(t.Context(), insertAttempt+" RETURNING tableoid::regclass::text", at).Scan(&partition))
			require.Equal(t, "tailpost.attempt_20311230", partition)
		}
	})
	t.Run("without locking out those who record", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		_, err := schema.EnsurePartitions(t.Context(), b.conn, day, 2)
		require.NoError(t, err)
		recorder := b.Conn(t)
		tx, err := recorder.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), insertAttempt, "2031-12-31 12:00:00+00")
		require.NoError(t, err)
		made, err := schema.EnsurePartitions(t.Context(), b.conn, day.AddDate(0, 1, 0), 2)
		require.NoError(t, err, "an open transaction that wrote to the parent must not be in the way")
		require.Equal(t, 2, made)
		require.NoError(t, tx.Commit(t.Context()))
	})
	t.Run("refuses nonsense", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		_, err := schema.EnsurePartitions(t.Context(), b.conn, day, 0)
		require.ErrorContains(t, err, "want a first day and 1 to 366 days")
	})
	t.Run("from several relays at once", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		const relays, days = 6, 20
		made := make(chan int, relays)
		failures := make(chan error, relays)
		for range relays {
			conn := b.Conn(t)
			go func() {
				n, err := schema.EnsurePartitions(t.Context(), conn, day, days)
				made <- n
				failures <- err
			}()
		}
		total := 0
		for range relays {
			require.NoError(t, <-failures)
			total += <-made
		}
		require.Equal(t, days, total)
	})
	t.Run("gives up on a lock before it makes others wait", func(t *testing.T) {
		t.Parallel()
		b := setupMigrated(t)
		tx, err := b.Conn(t).Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "LOCK TABLE tailpost.attempt IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err = schema.EnsurePartitions(ctx, b.conn, day.AddDate(1, 0, 0), 1)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
		require.Equal(t, "55P03", pgErr.Code)
		require.NoError(t, tx.Rollback(t.Context()))
	})
}

const insertAttempt = `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
VALUES ('e', 't', 'p', 1, 'stream', 'https://a.example', 'delivered', 1, $1::text::timestamptz, '0/1')`

// Without partitions no attempt is recorded: a migration that could not make them has failed.
func TestMigrate_saysThatThereAreNoPartitions(t *testing.T) {
	t.Parallel()
	b := setupMigrated(t)
	b.exec(t, "ALTER FUNCTION tailpost.ensure_attempt_partitions(date, int) RENAME TO gone")
	_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.ErrorContains(t, err, "make partitions of tailpost.attempt")
}
