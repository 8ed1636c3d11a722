package schema

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

//go:embed migrations
var migrationFiles embed.FS

// ErrNewer says that the database's schema is newer than this binary.
var ErrNewer = errors.New("schema tailpost is newer than this binary")

// ErrOlder says that the database's schema is missing or older than this binary.
var ErrOlder = errors.New("schema tailpost is missing or older than this binary")

// VersionError says that database and binary do not fit. It is an ErrNewer or an ErrOlder to
// errors.Is.
type VersionError struct {
	Database int // version of the database's schema; 0: none
	Binary   int // version that this binary knows
}

// Error says what to do.
func (e *VersionError) Error() string {
	switch {
	case e.Database > e.Binary:
		return fmt.Sprintf("schema tailpost is at version %d and this tailpost knows version %d only: run the tailpost release that migrated the database, or a later one",
			e.Database, e.Binary)
	case e.Database == 0:
		return "the database has no schema tailpost, or this role may not see it: run tailpost migrate"
	default:
		return fmt.Sprintf("schema tailpost is at version %d and this tailpost needs version %d: run tailpost migrate", e.Database, e.Binary)
	}
}

// Unwrap returns the sentinel.
func (e *VersionError) Unwrap() error {
	if e.Database > e.Binary {
		return ErrNewer
	}
	return ErrOlder
}

// Migration is one numbered step of the schema.
type Migration struct {
	Version int
	Name    string
	sql     string
}

// migrations reads the embedded steps in order. Their file names are NNNN_name.sql, numbered from 1
// without a hole.
func migrations() ([]Migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	steps := make([]Migration, 0, len(names))
	for i, path := range names {
		number, name, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(path, "migrations/"), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 || name == "" {
			return nil, fmt.Errorf("migration %s: want a name like %04d_name.sql", path, i+1)
		}
		text, err := migrationFiles.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read migration %s: %w", path, err)
		}
		steps = append(steps, Migration{Version: version, Name: name, sql: string(text)})
	}
	return steps, nil
}

// MigrateOptions says what Migrate prepares beside schema tailpost.
type MigrateOptions struct {
	// Mapping is the outbox table. It is created if it does not exist and its columns are those of
	// DefaultMapping; the zero Mapping means that no table is used.
	Mapping outbox.Mapping
	// Now decides which partitions are needed first. Zero: the time of the call.
	Now time.Time
	// Large is the size of a table, in bytes, from which on its new indexes are built beside those
	// who write to it, before the step that adds them. Zero: 64 MiB.
	Large int64
}

// MigrateResult says what Migrate did. All zero but Version: there was nothing to do.
type MigrateResult struct {
	Applied       []Migration
	Version       int // of the schema now
	OutboxCreated bool
	Partitions    int // partitions of tailpost.attempt that were made
}

// How long Migrate waits: for another replica that migrates, for a table lock that other sessions
// hold (a lock that waits makes everyone behind it wait too), and for one statement.
const (
	migrateTurnTimeout      = "60s"
	migrateLockTimeout      = "5s"
	migrateStatementTimeout = "10min"
)

// partitionDays is how many days of tailpost.attempt Migrate prepares, today included.
const partitionDays = 4

// migrateLock is the key of the advisory lock that makes migrating replicas take turns ("tailpost"
// in ASCII).
const migrateLock int64 = 0x7461696c706f7374

// Migrate brings schema tailpost to the version of this binary, creates the outbox table where that
// is wanted, and makes the first partitions of tailpost.attempt. It may be run again and by several
// replicas at once: they take turns and all but the first find nothing to do. Each step is a
// transaction of its own: after an error the steps before it stay. A database that is newer than
// the binary is refused with ErrNewer and left alone.
//
// The connection must not be in a transaction. Its role needs CREATE on the database, and on the
// outbox table's schema.
func Migrate(ctx context.Context, conn *pgx.Conn, o MigrateOptions) (MigrateResult, error) {
	var result MigrateResult
	if !o.Mapping.IsZero() {
		if err := o.Mapping.Validate(); err != nil {
			return result, err
		}
	}
	steps, err := migrations()
	if err != nil {
		return result, err
	}
	for more := true; more; {
		if err := prepareNext(ctx, conn, steps, o.Large); err != nil {
			return result, fmt.Errorf("migrate schema tailpost: %w", err)
		}
		err := migrateTurn(ctx, conn, func(tx pgx.Tx) error {
			step, err := nextMigration(ctx, tx, steps)
			if err != nil || step == nil {
				more = false
				return err
			}
			if err := applyMigration(ctx, tx, step); err != nil {
				return err
			}
			result.Applied = append(result.Applied, *step)
			return nil
		})
		if err != nil {
			return result, fmt.Errorf("migrate schema tailpost: %w", err)
		}
	}
	result.Version = len(steps)

	if !o.Mapping.IsZero() {
		err := migrateTurn(ctx, conn, func(tx pgx.Tx) (err error) {
			result.OutboxCreated, err = ensureOutboxTable(ctx, tx, o.Mapping)
			return err
		})
		if err != nil {
			return result, fmt.Errorf("prepare outbox table: %w", err)
		}
	}
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	result.Partitions, err = EnsurePartitions(ctx, conn, now, partitionDays)
	return result, err
}

// prepareNext builds what the next step adds to large tables.
func prepareNext(ctx context.Context, conn *pgx.Conn, steps []Migration, large int64) error {
	if large == 0 {
		large = defaultLarge
	}
	return gaveUp(ctx, conn, withOwnSettings(ctx, conn, func() error {
		step, err := nextMigration(ctx, conn, steps)
		if err != nil || step == nil || len(step.indexes()) == 0 {
			return err
		}
		return inTurn(ctx, conn, func() error { return prepare(ctx, conn, step, large) })
	}))
}

// migrateTurn runs f in a transaction that no other migrating session runs at the same time. The
// lock belongs to the transaction, so that it works behind a pooler and cannot outlive a crash.
func migrateTurn(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	// Whatever the role's defaults: what another replica committed while this one waited must be
	// seen.
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	err := pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
		// First, and by its full name: whatever somebody else defined in a schema of the path is
		// not found any more.
		if _, err := tx.Exec(ctx, "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)"); err != nil {
			return fmt.Errorf("set search_path: %w", err)
		}
		if err := setLocal(ctx, tx, "statement_timeout", migrateStatementTimeout); err != nil {
			return err
		}
		if err := setLocal(ctx, tx, "lock_timeout", migrateTurnTimeout); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrateLock); err != nil {
			return fmt.Errorf("wait for another migration: %w", err)
		}
		if err := setLocal(ctx, tx, "lock_timeout", migrateLockTimeout); err != nil {
			return err
		}
		return f(tx)
	})
	return gaveUp(ctx, conn, err)
}

// holdersSQL names the sessions whose transactions hold locks on our tables and had begun before
// the wait for a lock did (migrateLockTimeout), the oldest first. A role without pg_read_all_stats
// sees no times of others.
const holdersSQL = `
SELECT 'process ' || l.pid || COALESCE(' of role ' || a.usename, '') || COALESCE(' (' || NULLIF(left(a.application_name, 40), '') || ')', '')
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
  AND l.granted
  AND l.pid <> pg_catalog.pg_backend_pid()
  AND n.nspname = 'tailpost'
  AND COALESCE(a.xact_start < pg_catalog.now() - interval '4 seconds', true)
GROUP BY l.pid, a.usename, a.application_name, a.xact_start
ORDER BY a.xact_start, l.pid
LIMIT 3`

// gaveUp says what to do after the wait for a lock was given up.
func gaveUp(ctx context.Context, conn *pgx.Conn, err error) error {
	if !pglink.Is(err, pglink.LockNotAvailable) {
		return err
	}
	who := "another session"
	rows, queryErr := conn.Query(ctx, holdersSQL)
	if queryErr == nil {
		// What failed is told all the same, if without a name.
		if found, _ := pgx.CollectRows(rows, pgx.RowTo[string]); len(found) > 0 {
			who += ", such as " + strings.Join(found, ", ") + ","
		}
	}
	return fmt.Errorf("%s holds a lock on what is to be changed, nothing was changed by this step, run it again when that has ended "+
		"(or end it: SELECT pg_terminate_backend(PROCESS)): %w", who, err)
}

func setLocal(ctx context.Context, tx pgx.Tx, name, value string) error {
	if _, err := tx.Exec(ctx, "SELECT set_config($1, $2, true)", name, value); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// nextMigration returns the first step that the database lacks, nil where it lacks none.
func nextMigration(ctx context.Context, tx outbox.PgxTx, steps []Migration) (*Migration, error) {
	version, err := schemaVersion(ctx, tx)
	if err != nil {
		return nil, err
	}
	switch {
	case version > len(steps):
		return nil, &VersionError{Database: version, Binary: len(steps)}
	case version == len(steps):
		return nil, nil //nolint:nilnil // documented: there is no next one
	}
	return &steps[version], nil
}

func applyMigration(ctx context.Context, tx pgx.Tx, step *Migration) error {
	// The simple protocol takes many statements at once.
	if _, err := tx.Conn().PgConn().Exec(ctx, step.sql).ReadAll(); err != nil {
		return fmt.Errorf("apply migration %d (%s): %w", step.Version, step.Name, err)
	}
	_, err := tx.Exec(ctx, "INSERT INTO tailpost.migration (version, name) VALUES ($1, $2)", step.Version, step.Name)
	if err != nil {
		return fmt.Errorf("note migration %d: %w", step.Version, err)
	}
	return nil
}

// schemaVersion is the version of the database's schema, 0 where there is none.
func schemaVersion(ctx context.Context, db outbox.PgxTx) (int, error) {
	exists, err := tableExists(ctx, db, outbox.Mapping{Table: "tailpost.migration"})
	if err != nil || !exists {
		return 0, err
	}
	rows, err := db.Query(ctx, "SELECT coalesce(max(version), 0) FROM tailpost.migration")
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	version, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return version, nil
}

// Check says whether this binary can work with the database's schema: nil, or a *VersionError that
// says what to do. It changes nothing.
func Check(ctx context.Context, db outbox.PgxTx) error {
	steps, err := migrations()
	if err != nil {
		return err
	}
	version, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	if version != len(steps) {
		return &VersionError{Database: version, Binary: len(steps)}
	}
	return nil
}

// tableExists looks into the catalogue, which everybody may read, so that a missing privilege is
// not an error here.
func tableExists(ctx context.Context, db outbox.PgxTx, m outbox.Mapping) (bool, error) {
	schema, name := m.SchemaAndName()
	rows, err := db.Query(ctx, `
SELECT count(*) > 0
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1
  AND c.relname = $2`, schema, name)
	if err != nil {
		return false, fmt.Errorf("look for table %s: %w", m.Table, err)
	}
	exists, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err != nil {
		return false, fmt.Errorf("look for table %s: %w", m.Table, err)
	}
	return exists, nil
}

func ensureOutboxTable(ctx context.Context, tx pgx.Tx, m outbox.Mapping) (created bool, err error) {
	exists, err := tableExists(ctx, tx, m)
	if err != nil || exists {
		return false, err
	}
	if !isDefault(m) {
		return false, fmt.Errorf("your outbox table %s does not exist: create it, or correct outbox.table; tailpost creates a table of the default columns only", m.Table)
	}
	ddl, err := render("outbox.sql.tmpl", printData{QuotedTable: m.QuotedTable()})
	if err != nil {
		return false, err
	}
	if _, err := tx.Conn().PgConn().Exec(ctx, ddl).ReadAll(); err != nil {
		return false, fmt.Errorf("create outbox table %s: %w", m.Table, err)
	}
	return true, nil
}

// EnsurePartitions makes the partitions of tailpost.attempt for that many UTC days from the day of
// from, where they are missing, and returns how many it made. The caller needs EXECUTE on
// tailpost.ensure_attempt_partitions only. Safe to call at any time and from several relays at
// once; it locks out neither readers nor writers.
func EnsurePartitions(ctx context.Context, db outbox.PgxTx, from time.Time, days int) (int, error) {
	rows, err := db.Query(ctx, "SELECT tailpost.ensure_attempt_partitions($1::text::date, $2::int)", from.UTC().Format(time.DateOnly), days)
	if err != nil {
		return 0, fmt.Errorf("make partitions of tailpost.attempt: %w", err)
	}
	made, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
	if err != nil {
		return 0, fmt.Errorf("make partitions of tailpost.attempt: %w", err)
	}
	return made, nil
}

// isDefault reports whether Migrate may create the table: its columns are those of
// outbox.DefaultMapping.
func isDefault(m outbox.Mapping) bool {
	shape := outbox.DefaultMapping()
	shape.Table, shape.Optional = m.Table, m.Optional
	return m.Equal(shape)
}
