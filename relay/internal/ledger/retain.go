package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Aging removes what is old, in statements that are bounded and wait for nobody. Its methods are
// safe for concurrent use.
type Aging struct{ link *Link }

// partitionSQL finds the oldest partition of a day before another one, or what is left of one that
// was being dropped.
const partitionSQL = `
SELECT c.relname, i.inhparent IS NOT NULL, COALESCE(i.inhdetachpending, false), pg_has_role(p.relowner, 'USAGE')
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_class AS p ON p.oid = 'tailpost.attempt'::regclass AND p.relnamespace = c.relnamespace
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid AND i.inhparent = p.oid
WHERE c.relkind = 'r'
  AND c.relname ~ '^attempt_[0-9]{8}$'
  AND c.relname < 'attempt_' || @day
ORDER BY c.relname
LIMIT 1`

const dropPartitionSQL = `SELECT COALESCE(tailpost.drop_attempt_partition(@day::text::date), '')`

// DropPartition drops the oldest partition of tailpost.attempt of a UTC day before that of a time,
// and returns its name; empty: there is none. A role that owns the table detaches it first, which
// waits for those who read it and locks nobody out; any other has the schema's function drop it, if
// a lock that locks everybody out comes at once.
func (a *Aging) DropPartition(ctx context.Context, before time.Time) (name string, err error) {
	day := dayOf(before)
	err = a.link.Once(ctx, "drop an old partition of tailpost.attempt", func(ctx context.Context, conn *pgx.Conn) error {
		var attached, pending, owner bool
		name = ""
		err := conn.QueryRow(ctx, partitionSQL, pgx.NamedArgs{"day": day.Format("20060102")}).Scan(&name, &attached, &pending, &owner)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
			return err
		case !owner:
			return conn.QueryRow(ctx, dropPartitionSQL, pgx.NamedArgs{"day": day.Format(time.DateOnly)}).Scan(&name)
		}
		return dropDetached(ctx, conn.PgConn(), pgx.Identifier{"tailpost", name}.Sanitize(), attached, pending)
	})
	return name, err
}

// dropDetached detaches a partition and drops it. What is interrupted goes on the next time.
func dropDetached(ctx context.Context, conn *pgconn.PgConn, partition string, attached, pending bool) error {
	// Others wait for this connection too.
	if err := conn.Exec(ctx, "SET statement_timeout = '5s'").Close(); err != nil {
		return err
	}
	var err error
	switch {
	case pending:
		err = conn.Exec(ctx, "ALTER TABLE tailpost.attempt DETACH PARTITION "+partition+" FINALIZE").Close()
	case attached:
		err = conn.Exec(ctx, "ALTER TABLE tailpost.attempt DETACH PARTITION "+partition+" CONCURRENTLY").Close()
	}
	if err == nil {
		err = conn.Exec(ctx, "DROP TABLE "+partition).Close()
	}
	if conn.IsClosed() {
		return err
	}
	return errors.Join(err, conn.Exec(ctx, "SET statement_timeout = '30s'").Close())
}

// agedRows bounds a statement that removes what is old.
const agedRows = 1000

// drop runs a statement that removes up to limit rows of before a time; more says that there may be
// more.
func (a *Aging) drop(ctx context.Context, what, sql string, before time.Time, limit int64) (dropped int64, more bool, err error) {
	err = a.link.Once(ctx, what, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, sql, pgx.NamedArgs{"before": before, "limit": limit})
		dropped = tag.RowsAffected()
		return err
	})
	return dropped, dropped == limit, err
}

const deadSQL = `
DELETE FROM tailpost.delivery AS d
USING (
    SELECT event_id, endpoint_id
    FROM tailpost.delivery
    WHERE state = 'dead'
      AND updated_at < @before
    ORDER BY updated_at
    LIMIT @limit
) AS old
WHERE d.event_id = old.event_id
  AND d.endpoint_id = old.endpoint_id
  AND d.state = 'dead'`

// Clock returns the time by the database's clock.
func (a *Aging) Clock(ctx context.Context) (now time.Time, err error) {
	err = a.link.Run(ctx, "read the database's clock", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	})
	return now, err
}

// DropDead removes dead deliveries that nobody has touched since a time; more says that there are
// more.
func (a *Aging) DropDead(ctx context.Context, before time.Time) (dropped int64, more bool, err error) {
	return a.drop(ctx, "drop old dead deliveries", deadSQL, before, agedRows)
}

const discardedSQL = `
DELETE FROM tailpost.discarded AS d
USING (
    SELECT event_id, endpoint_id
    FROM tailpost.discarded
    WHERE at < @before
    ORDER BY at
    LIMIT @limit
) AS old
WHERE d.event_id = old.event_id
  AND d.endpoint_id = old.endpoint_id`

// DropDiscarded forgets deliveries that were discarded before a time; more says that there are
// more.
func (a *Aging) DropDiscarded(ctx context.Context, before time.Time) (dropped int64, more bool, err error) {
	return a.drop(ctx, "forget old discarded deliveries", discardedSQL, before, agedRows)
}

// agedReplays bounds how many replays go at once: each may have MissingListed rows that go with it.
const agedReplays = 5

const replaysOverSQL = `
DELETE FROM tailpost.replay AS r
USING (
    SELECT id
    FROM tailpost.replay
    WHERE state IN ('done', 'cancelled', 'failed')
      AND updated_at < @before
    ORDER BY updated_at
    LIMIT @limit
) AS old
WHERE r.id = old.id
  AND r.state IN ('done', 'cancelled', 'failed')`

// DropReplays removes replays that were over before a time, with what they list as missing; more
// says that there are more.
func (a *Aging) DropReplays(ctx context.Context, before time.Time) (dropped int64, more bool, err error) {
	return a.drop(ctx, "drop old replays", replaysOverSQL, before, agedReplays)
}

const resendsOverSQL = `
DELETE FROM tailpost.resend
WHERE id IN (
    SELECT id
    FROM tailpost.resend
    WHERE state IN ('done', 'cancelled', 'failed')
      AND updated_at < @before
    ORDER BY updated_at
    LIMIT @limit
)`

// DropResends removes resends that were over before a time; more says that there are more.
func (a *Aging) DropResends(ctx context.Context, before time.Time) (dropped int64, more bool, err error) {
	return a.drop(ctx, "drop old resends", resendsOverSQL, before, agedRows)
}

// foldSQL sums old hours up in the one at the epoch, so that sums over all time stay exact.
const foldSQL = `
WITH old AS (
    DELETE FROM tailpost.endpoint_stats AS s
    USING (
        SELECT endpoint_id, hour
        FROM tailpost.endpoint_stats
        WHERE hour < @before
          AND hour > 'epoch'
        LIMIT @limit
    ) AS o
    WHERE s.endpoint_id = o.endpoint_id
      AND s.hour = o.hour
    RETURNING s.*
),
sums AS (
    SELECT endpoint_id, sum(attempts)::bigint AS attempts, sum(delivered)::bigint AS delivered, sum(failed)::bigint AS failed,
           sum(dead)::bigint AS dead, sum(duration_ms_sum) AS duration_ms_sum, count(*) AS hours
    FROM old
    GROUP BY endpoint_id
),
bucket AS (
    SELECT endpoint_id, array_agg(n ORDER BY place) AS buckets
    FROM (
        SELECT o.endpoint_id, u.place, sum(u.n)::bigint AS n
        FROM old AS o
        CROSS JOIN LATERAL unnest(o.buckets) WITH ORDINALITY AS u (n, place)
        GROUP BY o.endpoint_id, u.place
    ) AS b
    GROUP BY endpoint_id
),
folded AS (
    INSERT INTO tailpost.endpoint_stats AS s (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
    SELECT n.endpoint_id, 'epoch', n.attempts, n.delivered, n.failed, n.dead, n.duration_ms_sum, b.buckets
    FROM sums AS n
    JOIN bucket AS b ON b.endpoint_id = n.endpoint_id
    ORDER BY n.endpoint_id
    ON CONFLICT (endpoint_id, hour) DO UPDATE
    SET attempts = s.attempts + EXCLUDED.attempts,
        delivered = s.delivered + EXCLUDED.delivered,
        failed = s.failed + EXCLUDED.failed,
        dead = s.dead + EXCLUDED.dead,
        duration_ms_sum = s.duration_ms_sum + EXCLUDED.duration_ms_sum,
        buckets = (
            SELECT array_agg(COALESCE(u.a, 0) + COALESCE(u.b, 0) ORDER BY u.place)
            FROM unnest(s.buckets, EXCLUDED.buckets) WITH ORDINALITY AS u (a, b, place)
        )
    RETURNING 1
)
SELECT COALESCE(sum(hours), 0)
FROM sums`

// dropTypesSQL removes counters by type: there is no sum over all time of them.
const dropTypesSQL = `
DELETE FROM tailpost.type_stats AS s
USING (
    SELECT endpoint_id, hour, event_type
    FROM tailpost.type_stats
    WHERE hour < @before
    LIMIT @limit
) AS o
WHERE s.endpoint_id = o.endpoint_id
  AND s.hour = o.hour
  AND s.event_type = o.event_type`

// DropTypeStats removes the counters by type of the hours before a time; more says that there are
// more.
func (a *Aging) DropTypeStats(ctx context.Context, before time.Time) (dropped int64, more bool, err error) {
	return a.drop(ctx, "drop old counters by type", dropTypesSQL, before.UTC().Truncate(time.Hour), agedRows)
}

// FoldStats sums the counters of the hours before a time up; more says that there are more.
func (a *Aging) FoldStats(ctx context.Context, before time.Time) (hours int64, more bool, err error) {
	err = a.link.Once(ctx, "sum up old counters", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, foldSQL, pgx.NamedArgs{"before": before.UTC().Truncate(time.Hour), "limit": agedRows}).Scan(&hours)
	})
	return hours, hours == agedRows, err
}

// summarizedDays are today and, for what was answered before midnight, yesterday.
const summarizedDays = 2

// SummarizeAttempts has the searchable summaries of the newest attempts made (BRIN, the Postgres
// manual, "Index Maintenance"). It gives way to a vacuum, which does the same.
func (a *Aging) SummarizeAttempts(ctx context.Context) error {
	return a.link.Once(ctx, "summarise attempts", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT tailpost.summarize_attempts(@days)", pgx.NamedArgs{"days": summarizedDays})
		return err
	})
}
