package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// DuePlace is a place among the pending deliveries of an endpoint, in the order of when they are
// due, then of commits. The zero one is before all of them.
type DuePlace struct {
	DueAt     time.Time // zero: of those that have no time
	CommitLSN outbox.LSN
	Seq       int64
	EventID   string
}

func (p *DuePlace) args(endpointID string, limit int) pgx.NamedArgs {
	return pgx.NamedArgs{
		"endpoint": endpointID, "at": p.DueAt, "lsn": p.CommitLSN.String(), "seq": p.Seq, "event": p.EventID, "limit": limit,
	}
}

// DueKey is the key of a pending delivery; empty: it has none.
type DueKey struct {
	Key string
	DuePlace
}

const dueKeysSQL = `
SELECT COALESCE(d.key, ''), d.next_attempt_at, d.commit_lsn::text, d.seq, d.event_id
FROM tailpost.delivery AS d
WHERE d.endpoint_id = @endpoint
  AND d.state = 'pending'
  AND (d.next_attempt_at, d.commit_lsn, d.seq, d.event_id) > (@at, @lsn::text::pg_lsn, @seq, @event)
ORDER BY d.next_attempt_at, d.commit_lsn, d.seq, d.event_id
LIMIT @limit`

// duePage is how many rows DueKeys looks at.
const duePage = 256

// DueKeys returns the keys of pending deliveries that have a time, due or not, which come after a
// place in the order of those times, and reports whether there are more.
func (w *Parked) DueKeys(ctx context.Context, endpointID string, after DuePlace) (keys []DueKey, more bool, err error) {
	err = w.link.Once(ctx, "look for keys that are due", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, dueKeysSQL, after.args(endpointID, duePage))
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k DueKey, err error) {
			var lsn string
			if err := row.Scan(&k.Key, &k.DueAt, &lsn, &k.Seq, &k.EventID); err != nil {
				return k, err
			}
			k.DueAt = k.DueAt.UTC()
			k.CommitLSN, err = outbox.ParseLSN(lsn)
			return k, err
		})
		return err
	})
	return keys, len(keys) == duePage, err
}

// unblockSQL reads along the index of what is due, where that which has no time has a part of its
// own. It waits for nobody: a row that is locked belongs to a key that somebody is busy with.
const unblockSQL = `
WITH waiting AS (
    SELECT event_id, key, commit_lsn, seq
    FROM tailpost.delivery
    WHERE endpoint_id = @endpoint
      AND state = 'pending'
      AND next_attempt_at IS NULL
      AND (commit_lsn, seq, event_id) > (@lsn::text::pg_lsn, @seq, @event)
    ORDER BY next_attempt_at, commit_lsn, seq, event_id
    LIMIT @limit
), heads AS (
    SELECT d.event_id
    FROM waiting AS w
    JOIN tailpost.delivery AS d ON d.event_id = w.event_id AND d.endpoint_id = @endpoint
    WHERE d.state = 'pending'
      AND d.next_attempt_at IS NULL
      AND w.event_id = (SELECT o.event_id
                        FROM tailpost.delivery AS o
                        WHERE o.endpoint_id = @endpoint
                          AND o.state = 'pending'
                          AND o.key = w.key
                        ORDER BY o.commit_lsn, o.seq
                        LIMIT 1)
    FOR UPDATE OF d SKIP LOCKED
), unblocked AS (
    UPDATE tailpost.delivery AS d
    SET next_attempt_at = GREATEST(@now, ` + notBeforeSQL + `)
    FROM heads AS h
    WHERE d.event_id = h.event_id
      AND d.endpoint_id = @endpoint
)
SELECT w.commit_lsn::text, w.seq, w.event_id, count(*) OVER ()
FROM waiting AS w
ORDER BY w.commit_lsn DESC, w.seq DESC, w.event_id DESC
LIMIT 1`

// Unblock makes due the first pending delivery of each key that waits although nothing of its key
// is before it any more. It looks through one page of what waits after a place, and returns where
// that ended and whether there is more.
func (w *Parked) Unblock(ctx context.Context, endpointID string, after DuePlace, now time.Time) (at DuePlace, more bool, err error) {
	err = w.link.Once(ctx, "let deliveries go that waited", func(ctx context.Context, conn *pgx.Conn) error {
		at, more = after, false
		args := after.args(endpointID, loosenPage)
		args["now"] = now
		var (
			lsn string
			n   int64
		)
		switch err := conn.QueryRow(ctx, unblockSQL, args).Scan(&lsn, &at.Seq, &at.EventID, &n); {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		more = n == loosenPage
		var err error
		at.CommitLSN, err = outbox.ParseLSN(lsn)
		return err
	})
	return at, more, err
}
