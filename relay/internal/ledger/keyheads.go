package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// KeyHead is the first pending delivery of a key, in commit order.
type KeyHead struct {
	Key           string
	EventID       string
	NextAttemptAt time.Time // zero: it waits
	Count         int64     // pending deliveries of the key; where they are very many, more than there are
}

// headsSQL reads what is pending, or dead, in the order of an index: key by key, each in the order
// of commits.
const (
	headsSQL = `
SELECT d.key, d.event_id, d.next_attempt_at, d.commit_lsn::text, d.seq
FROM tailpost.delivery AS d
WHERE d.endpoint_id = @endpoint
  AND d.key IS NOT NULL
  AND (@first OR (d.key, d.commit_lsn, d.seq) > (@key, @lsn::text::pg_lsn, @seq))
  AND d.state = `
	headsOrderSQL = `
ORDER BY d.key, d.commit_lsn, d.seq
LIMIT @limit`
	pendingHeadsSQL = headsSQL + `'pending'` + headsOrderSQL
	deadHeadsSQL    = headsSQL + `'dead'` + headsOrderSQL
)

// headsPage is how many rows are read in one statement.
const headsPage = 20_000

// keyRow is a row as far as heads need it.
type keyRow struct {
	head KeyHead
	lsn  outbox.LSN
	seq  int64
}

// KeyHeads returns the head of every key of an endpoint that has pending deliveries. With dead,
// dead ones count too: others wait for them. It reads in pages, between which the connection is
// free.
func (w *Parked) KeyHeads(ctx context.Context, endpointID string, dead bool) ([]KeyHead, error) {
	heads, err := w.heads(ctx, endpointID, pendingHeadsSQL, nil)
	if err == nil && dead {
		heads, err = w.heads(ctx, endpointID, deadHeadsSQL, heads)
	}
	if err != nil {
		return nil, err
	}
	found := make([]KeyHead, len(heads))
	for i := range heads {
		found[i] = heads[i].head
	}
	return found, nil
}

// heads adds the heads of what sql reads to others, of which each key has one.
func (w *Parked) heads(ctx context.Context, endpointID, sql string, found []keyRow) ([]keyRow, error) {
	at := make(map[string]int, len(found))
	for i := range found {
		at[found[i].head.Key] = i
	}
	args := pgx.NamedArgs{"endpoint": endpointID, "first": true, "key": "", "lsn": "0/0", "seq": int64(0), "limit": headsPage}
	for full := true; full; {
		var page []keyRow
		err := w.link.Once(ctx, "load the heads of keys", func(ctx context.Context, conn *pgx.Conn) error {
			rows, err := conn.Query(ctx, sql, args)
			if err != nil {
				return err
			}
			page, err = pgx.CollectRows(rows, scanKeyRow)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range page {
			row := &page[i]
			k, known := at[row.head.Key]
			if !known {
				at[row.head.Key] = len(found)
				found = append(found, *row)
				continue
			}
			found[k].add(row)
		}
		if full = len(page) == headsPage; full {
			last := &page[headsPage-1]
			args["first"], args["key"], args["lsn"], args["seq"] = false, last.head.Key, last.lsn.String(), last.seq
		}
	}
	return found, nil
}

// add adds another row of the same key.
func (r *keyRow) add(o *keyRow) {
	count := r.head.Count + o.head.Count
	if o.lsn < r.lsn || o.lsn == r.lsn && o.seq < r.seq {
		*r = *o
	}
	r.head.Count = count
}

func scanKeyRow(row pgx.CollectableRow) (r keyRow, err error) {
	var (
		next *time.Time
		lsn  string
	)
	if err := row.Scan(&r.head.Key, &r.head.EventID, &next, &lsn, &r.seq); err != nil {
		return r, err
	}
	r.head.NextAttemptAt, r.head.Count = orZero(next), 1
	r.lsn, err = outbox.ParseLSN(lsn)
	return r, err
}

// Queue says when an endpoint's pending deliveries are due.
type Queue struct {
	Next        time.Time // the earliest next_attempt_at; zero: none has one
	Unscheduled bool      // some have none: they wait behind an earlier one
}

// nextDueSQL goes from endpoint to endpoint along the index, instead of through all that waits.
const nextDueSQL = `
WITH RECURSIVE waiting AS (
    (SELECT endpoint_id
     FROM tailpost.delivery
     WHERE state = 'pending'
     ORDER BY endpoint_id
     LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint_id
            FROM tailpost.delivery AS d
            WHERE d.state = 'pending'
              AND d.endpoint_id > w.endpoint_id
            ORDER BY d.endpoint_id
            LIMIT 1)
    FROM waiting AS w
    WHERE w.endpoint_id IS NOT NULL
)
SELECT w.endpoint_id,
       (SELECT d.next_attempt_at
        FROM tailpost.delivery AS d
        WHERE d.endpoint_id = w.endpoint_id
          AND d.state = 'pending'
          AND d.next_attempt_at IS NOT NULL
        ORDER BY d.next_attempt_at
        LIMIT 1),
       EXISTS (SELECT
               FROM tailpost.delivery AS d
               WHERE d.endpoint_id = w.endpoint_id
                 AND d.state = 'pending'
                 AND d.next_attempt_at IS NULL)
FROM waiting AS w
WHERE w.endpoint_id IS NOT NULL`

// NextDue returns the queue of every endpoint that has pending deliveries.
func (w *Parked) NextDue(ctx context.Context) (map[string]Queue, error) {
	var queues map[string]Queue
	err := w.link.Run(ctx, "load the queues", func(ctx context.Context, conn *pgx.Conn) error {
		queues = make(map[string]Queue)
		rows, err := conn.Query(ctx, nextDueSQL)
		if err != nil {
			return err
		}
		var (
			endpoint string
			next     *time.Time
			q        Queue
		)
		_, err = pgx.ForEachRow(rows, []any{&endpoint, &next, &q.Unscheduled}, func() error {
			q.Next = orZero(next)
			queues[endpoint] = q
			return nil
		})
		return err
	})
	return queues, err
}

const loosenSQL = `
UPDATE tailpost.delivery AS d
SET next_attempt_at = @now
FROM (
    SELECT event_id, endpoint_id
    FROM tailpost.delivery
    WHERE endpoint_id = @endpoint
      AND state = 'pending'
      AND next_attempt_at IS NULL
      AND (@keyed OR key IS NULL)
    LIMIT @limit
) AS waiting
WHERE d.event_id = waiting.event_id
  AND d.endpoint_id = waiting.endpoint_id`

const (
	loosenPage = 2000                   // rows of one statement
	loosenTime = 200 * time.Millisecond // of one call
)

// Loosen makes due the pending deliveries of an endpoint that wait behind an earlier one, because
// its ordering has changed: all of them, or only those without a key. It makes due as many as a
// moment allows and reports whether there are more, so that whoever has other endpoints to load can
// do that in between; each page stays, whatever becomes of the next one.
func (w *Parked) Loosen(ctx context.Context, endpointID string, keyed bool, now time.Time) (more bool, err error) {
	for began := time.Now(); time.Since(began) < loosenTime; {
		var loosened int64
		err := w.link.Once(ctx, "let deliveries go out of order", func(ctx context.Context, conn *pgx.Conn) error {
			tag, err := conn.Exec(ctx, loosenSQL, pgx.NamedArgs{"endpoint": endpointID, "keyed": keyed, "now": now, "limit": loosenPage})
			loosened = tag.RowsAffected()
			return err
		})
		if err != nil || loosened < loosenPage {
			return false, err
		}
	}
	return true, nil
}

const firstSQL = `
SELECT event_id, next_attempt_at, (
    SELECT count(*)
    FROM (
        SELECT
        FROM tailpost.delivery
        WHERE endpoint_id = @endpoint
          AND state = 'pending'
        UNION ALL
        SELECT
        FROM tailpost.delivery
        WHERE endpoint_id = @endpoint
          AND state = 'dead'
          AND @dead
        LIMIT @most
    ) AS counted
)
FROM (
    (SELECT event_id, next_attempt_at, commit_lsn, seq
     FROM tailpost.delivery
     WHERE endpoint_id = @endpoint
       AND state = 'pending'
     ORDER BY commit_lsn, seq
     LIMIT 1)
    UNION ALL
    (SELECT event_id, next_attempt_at, commit_lsn, seq
     FROM tailpost.delivery
     WHERE endpoint_id = @endpoint
       AND state = 'dead'
       AND @dead
     ORDER BY commit_lsn, seq
     LIMIT 1)
) AS head
ORDER BY head.commit_lsn, head.seq
LIMIT 1`

const (
	mostCounted = 10_000  // a count that would take long ends there
	uncounted   = 1 << 31 // what is said instead: more than there can be
)

// First returns the head of an endpoint whose deliveries are all in one order, under an empty key;
// none: nothing is pending.
func (w *Parked) First(ctx context.Context, endpointID string, dead bool) (heads []KeyHead, err error) {
	err = w.link.Once(ctx, "load the head of the queue", func(ctx context.Context, conn *pgx.Conn) error {
		var (
			h    KeyHead
			next *time.Time
		)
		heads = nil
		args := pgx.NamedArgs{"endpoint": endpointID, "dead": dead, "most": mostCounted}
		err := conn.QueryRow(ctx, firstSQL, args).Scan(&h.EventID, &next, &h.Count)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		h.NextAttemptAt = orZero(next)
		if h.Count == mostCounted {
			h.Count = uncounted
		}
		heads = []KeyHead{h}
		return err
	})
	return heads, err
}
