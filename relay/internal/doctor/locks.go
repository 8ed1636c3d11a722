package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// defaultHeld is from which age on a transaction is told of that keeps others from our tables: a
// shorter lock is part of every migration.
const defaultHeld = 5 * time.Second

// locksSQL finds the oldest transaction that has, or waits for, a lock with which no relay can
// write to a table of ours, or read the outbox table; what waits keeps everybody behind it waiting.
// A role without pg_read_all_stats sees no times of others. A relay's own maintenance takes none of
// these for long.
const locksSQL = `
SELECT l.pid, COALESCE(a.usename::text, ''), left(COALESCE(a.application_name, ''), 60), n.nspname || '.' || c.relname,
       clock_timestamp() - a.xact_start, n.nspname = 'tailpost' AS ours
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
  AND l.pid IS NOT NULL
  AND (n.nspname = 'tailpost' AND c.relkind IN ('r', 'p') AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
       OR n.nspname = @schema AND c.relname = @table AND l.mode = 'AccessExclusiveLock')
  AND COALESCE(clock_timestamp() - a.xact_start > @held::interval, true)
ORDER BY ours DESC, a.xact_start, l.pid
LIMIT 1`

func examineLocks(ctx context.Context, p *patient) (Finding, error) {
	schema, table := p.cfg.Outbox.Mapping.SchemaAndName()
	var pid int
	var role, application, relation string
	var age *time.Duration
	var ours bool
	err := p.conn.QueryRow(ctx, locksSQL, pgx.NamedArgs{"schema": schema, "table": table, "held": p.Held}).
		Scan(&pid, &role, &application, &relation, &age, &ours)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ok("no session keeps others from the tables")
	case err != nil:
		return Finding{}, err
	}
	found := Finding{
		Grade:  Warning,
		Detail: fmt.Sprintf("process %d (role %q, application %q) has a lock on %s, or waits for one, ", pid, role, application, relation),
		Fix:    fmt.Sprintf("let it end, or SELECT pg_terminate_backend(%d);", pid),
	}
	if age != nil {
		found.Detail += fmt.Sprintf("in a transaction of %s, ", age.Round(time.Second))
		if ours {
			found.Grade = Failure
		}
	}
	if ours {
		found.Detail += "so that a relay cannot record: it sends nothing meanwhile"
	} else {
		found.Detail += "so that nobody reads or writes events"
	}
	return found, nil
}
