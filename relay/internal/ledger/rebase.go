package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const movedSQL = `
SELECT EXISTS (
    SELECT
    FROM tailpost.relay
    WHERE slot = @slot
      AND system_id <> @system_id
) AND EXISTS (
    SELECT
    FROM tailpost.delivery
    WHERE commit_lsn > '0/0'
)`

// rebaseTimeout allows for a long queue. Whoever takes the slot may lose its stream meanwhile, and has nothing left to do
// here the next time.
const rebaseTimeout = `SET LOCAL statement_timeout = '10min'`

const rebaseSQL = `
UPDATE tailpost.delivery AS d
SET commit_lsn = '0/0',
    seq = n.seq
FROM (
    SELECT event_id, endpoint_id, row_number() OVER (ORDER BY commit_lsn, seq) - count(*) OVER () - 1 AS seq
    FROM tailpost.delivery
) AS n
WHERE d.event_id = n.event_id
  AND d.endpoint_id = n.endpoint_id`

const rebaseReplaysSQL = `
UPDATE tailpost.replay
SET place = '0/0'
WHERE place IS NOT NULL`

// rebaseResendsSQL has resends begin again: their places mean nothing any more. What they have changed they leave alone.
const rebaseResendsSQL = `
UPDATE tailpost.resend
SET cursor = NULL
WHERE state = 'running'`

// Rebase puts the deliveries that wait before everything that the stream brings, in the order that they had, where they come
// from another cluster: its positions may be higher than all that is committed here, and what waits longest would come last.
// It belongs before Take, so that a relay that dies in between does it again.
func (l *Ledger) Rebase(ctx context.Context, slot, systemID string) error {
	return l.link.Run(ctx, "order what waits from another cluster", func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			var moved bool
			if err := tx.QueryRow(ctx, movedSQL, pgx.NamedArgs{"slot": slot, "system_id": systemID}).Scan(&moved); err != nil || !moved {
				return err
			}
			for _, sql := range []string{rebaseTimeout, rebaseSQL, rebaseReplaysSQL, rebaseResendsSQL} {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
