package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Operations are replays and resends, which people ask for. Its methods are safe for concurrent
// use.
type Operations struct{ link *Link }

// ErrOver says that a replay or a resend was cancelled, or is over.
var ErrOver = errors.New("it is over")

// endSQL follows UPDATE and a table of what people asked for.
const endSQL = `
SET state = @state,
    error = NULLIF(@problem, ''),
    updated_at = @now
WHERE id = @id
  AND state IN ('pending', 'running')`

// end runs a statement that ends what a person asked for: as done, or, with a problem, as failed.
func (o *Operations) end(ctx context.Context, hold Hold, what, sql, id, problem string, now time.Time) error {
	state := "done"
	if problem != "" {
		state = "failed"
	}
	return o.link.WhileHeld(ctx, hold, what, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql, pgx.NamedArgs{"id": id, "state": state, "problem": problem, "now": now})
		return err
	})
}
