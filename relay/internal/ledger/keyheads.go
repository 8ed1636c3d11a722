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
}

// ErrManyKeys is the error of KeyHeads where there are more than wanted. DueKeys finds them as they
// come due, and Unblock what DueKeys would never find.
var ErrManyKeys = errors.New("more keys wait than there is room for")

// headsSQL goes from key to key along the index, however many rows each key has.
const headsSQL = `
WITH RECURSIVE heads AS (
    (SELECT key, event_id, next_attempt_at, commit_lsn, seq
     FROM tailpost.delivery
     WHERE endpoint_id = @endpoint
       AND key IS NOT NULL
       AND state = @state
     ORDER BY key, commit_lsn, seq
     LIMIT 1)
    UNION ALL
    SELECT following.*
    FROM heads AS h
    CROSS JOIN LATERAL (
        SELECT key, event_id, next_attempt_at, commit_lsn, seq
        FROM tailpost.delivery
        WHERE endpoint_id = @endpoint
          AND key > h.key
          AND state = @state
        ORDER BY key, commit_lsn, seq
        LIMIT 1
    ) AS following
)
SELECT key, event_id, next_attempt_at, commit_lsn::text, seq
FROM heads
LIMIT @limit`

// keyRow is a row as far as heads need it.
type keyRow struct {
	head KeyHead
	lsn  outbox.LSN
	seq  int64
}

// KeyHeads returns the head of every key of an endpoint that has pending deliveries. With dead,
// dead ones count too: others wait for them. If there are more than most the error is ErrManyKeys.
func (w *Parked) KeyHeads(ctx context.Context, endpointID string, dead bool, most int) ([]KeyHead, error) {
	states := []outbox.State{outbox.Pending}
	if dead {
		states = append(states, outbox.StateDead)
	}
	var heads []keyRow
	at := make(map[string]int)
	for _, state := range states {
		var rows []keyRow
		err := w.link.Once(ctx, "load the heads of keys", func(ctx context.Context, conn *pgx.Conn) error {
			found, err := conn.Query(ctx, headsSQL, pgx.NamedArgs{"endpoint": endpointID, "state": state, "limit": most + 1})
			if err != nil {
				return err
			}
			rows, err = pgx.CollectRows(found, scanKeyRow)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if state == outbox.StateDead {
				rows[i].head.NextAttemptAt = time.Time{} // whatever it says, it is not due
			}
			k, known := at[rows[i].head.Key]
			switch {
			case !known:
				at[rows[i].head.Key] = len(heads)
				heads = append(heads, rows[i])
			case rows[i].before(&heads[k]):
				heads[k] = rows[i]
			}
		}
		if len(heads) > most {
			return nil, ErrManyKeys
		}
	}
	found := make([]KeyHead, len(heads))
	for i := range heads {
		found[i] = heads[i].head
	}
	return found, nil
}

// before reports whether a row comes first in the order of commits.
func (r *keyRow) before(o *keyRow) bool { return r.lsn < o.lsn || r.lsn == o.lsn && r.seq < o.seq }

func scanKeyRow(row pgx.CollectableRow) (r keyRow, err error) {
	var (
		next *time.Time
		lsn  string
	)
	if err := row.Scan(&r.head.Key, &r.head.EventID, &next, &lsn, &r.seq); err != nil {
		return r, err
	}
	r.head.NextAttemptAt = orZero(next)
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

// notBeforeSQL is outbox.Event.NotBefore of the event of a delivery d.
const notBeforeSQL = `CASE WHEN d.deliver_at < COALESCE(d.expires_at, 'infinity') THEN d.deliver_at END`

const loosenSQL = `
UPDATE tailpost.delivery AS d
SET next_attempt_at = GREATEST(@now, ` + notBeforeSQL + `)
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
SELECT event_id, next_attempt_at
FROM (
    (SELECT event_id, next_attempt_at, commit_lsn, seq
     FROM tailpost.delivery
     WHERE endpoint_id = @endpoint
       AND state = 'pending'
     ORDER BY commit_lsn, seq
     LIMIT 1)
    UNION ALL
    (SELECT event_id, NULL::timestamptz, commit_lsn, seq
     FROM tailpost.delivery
     WHERE endpoint_id = @endpoint
       AND state = 'dead'
       AND @dead
     ORDER BY commit_lsn, seq
     LIMIT 1)
) AS head
ORDER BY head.commit_lsn, head.seq
LIMIT 1`

// First returns the head of an endpoint whose deliveries are all in one order, under an empty key;
// none: nothing is pending.
func (w *Parked) First(ctx context.Context, endpointID string, dead bool) (heads []KeyHead, err error) {
	err = w.link.Once(ctx, "load the head of the queue", func(ctx context.Context, conn *pgx.Conn) error {
		var (
			h    KeyHead
			next *time.Time
		)
		heads = nil
		err := conn.QueryRow(ctx, firstSQL, pgx.NamedArgs{"endpoint": endpointID, "dead": dead}).Scan(&h.EventID, &next)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		h.NextAttemptAt = orZero(next)
		heads = []KeyHead{h}
		return err
	})
	return heads, err
}
