package schema

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

const (
	// defaultLarge is from which size on the indexes of a table are built before the step that adds
	// them.
	defaultLarge = 64 << 20
	// prepareLock is the key of the advisory lock that makes replicas take turns in building
	// ("tailpos+1").
	prepareLock  = migrateLock + 1
	preparePause = 200 * time.Millisecond
)

// newIndex is an index that a step adds.
type newIndex struct {
	name, table string
	rest        string // what follows the table's name
	optional    bool   // IF NOT EXISTS: it may be there already under its own name
}

// indexes returns the indexes that a step adds to tables of schema tailpost.
func (m *Migration) indexes() (added []newIndex) {
	create := regexp.MustCompile(`(?s)\bCREATE INDEX (IF NOT EXISTS )?(\w+) ON tailpost\.(\w+)(.*?);`)
	for _, found := range create.FindAllStringSubmatch(m.sql, -1) {
		added = append(added, newIndex{optional: found[1] != "", name: found[2], table: found[3], rest: found[4]})
	}
	return added
}

// partsSQL names the parts of a table, its partitions where it has some, and says whether the index
// is there and usable. The size of each part is asked for alone (sizeSQL): a size takes a lock on
// its table, and in a condition beside the join it would be asked of every table of the database,
// so that one which somebody holds locked would keep us waiting.
const partsSQL = `
SELECT p.relname::text, x.indexrelid IS NOT NULL, COALESCE(x.indisvalid, false)
FROM (
    SELECT t.relid::oid AS oid, t.level
    FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass('tailpost.' || @table::text)) AS t
    WHERE t.isleaf
    UNION ALL
    SELECT pg_catalog.to_regclass('tailpost.' || @table::text)::oid, 0
    WHERE @optional
) AS t
JOIN pg_catalog.pg_class AS p ON p.oid = t.oid
LEFT JOIN pg_catalog.pg_class AS i
    ON i.relnamespace = p.relnamespace
   AND i.relname = left(CASE WHEN t.level > 0 THEN p.relname || '_' ELSE '' END || @index, 63)
LEFT JOIN pg_catalog.pg_index AS x ON x.indexrelid = i.oid
WHERE p.relkind = 'r'
ORDER BY p.relname`

const sizeSQL = "SELECT pg_catalog.pg_relation_size(pg_catalog.to_regclass('tailpost.' || pg_catalog.quote_ident($1)))"

// part is a table, or a partition of one.
type part struct {
	Name         string
	There, Valid bool // the index
}

// prepare builds what a step adds to large tables, without keeping anybody from writing to them:
// CREATE INDEX within the step would do that for as long as it takes, and never end where it takes
// longer than a statement may. The step then finds the indexes: those of partitions become parts of
// the partitioned one. What was interrupted goes on the next time.
func prepare(ctx context.Context, conn *pgx.Conn, step *Migration, large int64) error {
	for _, index := range step.indexes() {
		rows, err := conn.Query(ctx, partsSQL, pgx.NamedArgs{
			"table": index.table, "index": index.name, "optional": index.optional,
		})
		if err != nil {
			return fmt.Errorf("look at tailpost.%s: %w", index.table, err)
		}
		parts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[part])
		if err != nil {
			return fmt.Errorf("look at tailpost.%s: %w", index.table, err)
		}
		for _, p := range parts {
			var size *int64 // nothing where the partition has been dropped meanwhile
			if err := conn.QueryRow(ctx, sizeSQL, p.Name).Scan(&size); err != nil {
				return fmt.Errorf("look at the size of tailpost.%s: %w", p.Name, err)
			}
			if size == nil || *size < large {
				continue
			}
			if err := index.build(ctx, conn, p); err != nil {
				return fmt.Errorf("build index %s of tailpost.%s: %w", index.name, p.Name, err)
			}
		}
	}
	return nil
}

// build makes the index on one table, again where it was left unusable by a build that did not end.
func (x *newIndex) build(ctx context.Context, conn *pgx.Conn, p part) error {
	const longestName = 63
	name := x.name
	if p.Name != x.table {
		name = p.Name + "_" + x.name
	}
	name = name[:min(len(name), longestName)]
	if p.Valid {
		return nil
	}
	if p.There {
		if err := alone(ctx, conn, "DROP INDEX CONCURRENTLY "+pgx.Identifier{"tailpost", name}.Sanitize()); err != nil {
			return err
		}
	}
	err := alone(ctx, conn, "CREATE INDEX CONCURRENTLY "+pgx.Identifier{name}.Sanitize()+" ON "+pgx.Identifier{"tailpost", p.Name}.Sanitize()+x.rest)
	if pglink.Is(err, pglink.UndefinedColumn, pglink.UndefinedObject) {
		return nil // the step itself makes what the index is of
	}
	return err
}

// alone runs a statement that must not be in a transaction. It waits for other transactions as long
// as it takes: it keeps nobody from writing meanwhile.
func alone(ctx context.Context, conn *pgx.Conn, sql string) (err error) {
	if err := setLockTimeout(ctx, conn, "0"); err != nil {
		return err
	}
	defer func() {
		if !conn.IsClosed() {
			err = errors.Join(err, setLockTimeout(ctx, conn, migrateLockTimeout))
		}
	}()
	_, err = conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

func setLockTimeout(ctx context.Context, conn *pgx.Conn, timeout string) error {
	if _, err := conn.Exec(ctx, "SELECT pg_catalog.set_config('lock_timeout', $1, false)", timeout); err != nil {
		return fmt.Errorf("set lock_timeout: %w", err)
	}
	return nil
}

// withOwnSettings runs f under a path of our own, without a limit to how long a statement takes and
// with one to how long it waits for a lock, and restores what the session had.
func withOwnSettings(ctx context.Context, conn *pgx.Conn, f func() error) (err error) {
	var path, statement, lock string
	err = conn.QueryRow(ctx, `
SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('statement_timeout'),
       pg_catalog.current_setting('lock_timeout')`).Scan(&path, &statement, &lock)
	if err != nil {
		return fmt.Errorf("read the session's settings: %w", err)
	}
	set := func(path, statement, lock string) error {
		_, err := conn.Exec(ctx, `
SELECT pg_catalog.set_config('search_path', $1, false), pg_catalog.set_config('statement_timeout', $2, false),
       pg_catalog.set_config('lock_timeout', $3, false)`, path, statement, lock)
		if err != nil {
			return fmt.Errorf("set the session's settings: %w", err)
		}
		return nil
	}
	if err := set("pg_catalog, pg_temp", "0", migrateLockTimeout); err != nil {
		return err
	}
	defer func() {
		if !conn.IsClosed() {
			err = errors.Join(err, set(path, statement, lock))
		}
	}()
	return f()
}

// inTurn runs f while no other session prepares. It does not wait for its turn within a statement:
// whoever builds an index waits for all statements that began before.
func inTurn(ctx context.Context, conn *pgx.Conn, f func() error) (err error) {
	for got := false; !got; {
		if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock($1)", prepareLock).Scan(&got); err != nil {
			return fmt.Errorf("wait for another migration: %w", err)
		}
		if !got {
			timer := time.NewTimer(preparePause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return context.Cause(ctx)
			}
		}
	}
	defer func() {
		if !conn.IsClosed() {
			_, unlockErr := conn.Exec(ctx, "SELECT pg_catalog.pg_advisory_unlock($1)", prepareLock)
			err = errors.Join(err, unlockErr)
		}
	}()
	return f()
}
