package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// Rejected is a row that could not be made an event when it was read, and is to be read again: a
// pending delivery to everyone.
type Rejected struct {
	EventID   string
	CommitLSN outbox.LSN
	Seq       int64
	LastError string // why
}

// Rejections are the events that are to be read again. Its methods are safe for concurrent use.
type Rejections struct{ link *Link }

const rejectedSQL = `
SELECT event_id, commit_lsn::text, seq, COALESCE(last_error, '')
FROM tailpost.delivery
WHERE endpoint_id = '*'
  AND state = 'pending'
ORDER BY commit_lsn, seq
LIMIT @limit`

// Rejected returns up to limit of what is to be read again, in commit order.
func (r *Rejections) Rejected(ctx context.Context, limit int) (all []Rejected, err error) {
	err = r.link.Run(ctx, "look for events to read again", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, rejectedSQL, pgx.NamedArgs{"limit": limit})
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (found Rejected, err error) {
			var lsn string
			if err := row.Scan(&found.EventID, &lsn, &found.Seq, &found.LastError); err != nil {
				return found, err
			}
			found.CommitLSN, err = outbox.ParseLSN(lsn)
			return found, err
		})
		return err
	})
	return all, err
}

const rejectedDropSQL = `
DELETE FROM tailpost.delivery
WHERE event_id = @event
  AND endpoint_id = '*'
  AND state = 'pending'`

const rejectedDieSQL = `
UPDATE tailpost.delivery
SET state = 'dead',
    next_attempt_at = NULL,
    last_error = @problem,
    updated_at = @now
WHERE event_id = @event
  AND endpoint_id = '*'
  AND state = 'pending'`

// Reroute puts the deliveries of an event in the place of what stood for everyone's, or, with a
// problem, has that be dead again. ErrOver: it is not pending any more.
func (r *Rejections) Reroute(ctx context.Context, hold Hold, eventID string, ds []outbox.Delivery, problem string, now time.Time) error {
	return r.link.WhileHeld(ctx, hold, "read an event again", func(ctx context.Context, tx pgx.Tx) error {
		sql := rejectedDropSQL
		if problem != "" {
			sql = rejectedDieSQL
		}
		tag, err := tx.Exec(ctx, sql, pgx.NamedArgs{"event": eventID, "problem": problem, "now": now})
		switch {
		case err != nil:
			return err
		case tag.RowsAffected() == 0:
			return ErrOver
		}
		for i := range ds {
			args, err := foundArgs(tx.Conn(), &ds[i], now)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, parkFoundSQL, args); err != nil {
				return fmt.Errorf("queue it for endpoint %q: %w", ds[i].EndpointID, err)
			}
		}
		return nil
	})
}
