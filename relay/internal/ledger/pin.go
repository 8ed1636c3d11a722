package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const pinOldestSQL = `
UPDATE tailpost.endpoint
SET policy = policy || jsonb_build_object('version', @version::text),
    version = version + 1,
    updated_at = @now
WHERE source = 'api'
  AND NOT policy ? 'version'`

// PinOldest pins the endpoints of the API that pin no version, because they are of before there
// were any, to the oldest one, so that they stay with it when it is no longer the oldest. It
// returns how many there were.
func (e *Endpoints) PinOldest(ctx context.Context, oldest string, now time.Time) (pinned int64, err error) {
	err = e.link.Run(ctx, "pin endpoints to a version", func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, pinOldestSQL, pgx.NamedArgs{"version": oldest, "now": now})
		if err != nil {
			return fmt.Errorf("pin endpoints to version %q: %w", oldest, err)
		}
		pinned = tag.RowsAffected()
		return nil
	})
	return pinned, err
}
