package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// Operations are what people asked for: replays and resends. Its methods are safe for concurrent
// use.
type Operations struct{ link *Link }

// ErrOver says that a replay or a resend was cancelled, or is over.
var ErrOver = errors.New("it is over")

// ErrSlow says that a statement took longer than it may: so it will the next time, unless somebody
// makes an index.
var ErrSlow = errors.New("it takes longer than a statement may take")

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
