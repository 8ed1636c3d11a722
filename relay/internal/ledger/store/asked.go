package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// The states of what a person asked for.
const (
	StatePending   = "pending"
	StateRunning   = "running"
	StateDone      = "done"
	StateCancelled = "cancelled"
	StateFailed    = "failed"
)

// Asked is what replays and resends have in common: a person asked for them, and the relay carries them out in the background.
type Asked struct {
	ID         string
	EndpointID string // empty: none in particular
	State      string
	Total      *int64 // nil: not known
	Queued     int64
	Error      string
	CreatedBy  string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Position is where it stands among those of its kind.
func (a *Asked) Position() Position { return Position{At: a.CreatedAt, ID: a.ID} }

const askedColumns = `
SELECT r.id, COALESCE(r.endpoint_id, '') AS endpoint_id, r.state, r.total, r.queued, COALESCE(r.error, '') AS error,
       COALESCE(r.created_by, '') AS created_by, r.created_at, r.updated_at, `

// AskedQuery asks for a page of replays or of resends, newest first.
type AskedQuery struct {
	Tenant     string
	EndpointID string
	State      string
	After      Position
	Limit      int
}

// askedPage gives a page of what sql, which ends in a condition, selects AS r.
func askedPage[T any](ctx context.Context, s *Store, what, sql string, q AskedQuery) (page []T, err error) {
	err = s.read(ctx, what, func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = many(ctx, tx, sql+`
  AND (@endpoint::text = '' OR r.endpoint_id = @endpoint)
  AND (@state::text = '' OR r.state = @state)
  AND (@at::timestamptz IS NULL OR (r.created_at, r.id) < (@at, @id))
ORDER BY r.created_at DESC, r.id DESC
LIMIT @limit`, pgx.NamedArgs{
			"tenant": q.Tenant, "endpoint": q.EndpointID, "state": q.State, "at": timeOrNull(q.After.At), "id": q.After.ID,
			"limit": q.Limit,
		}, pgx.RowToStructByName[T])
		return err
	})
	return page, err
}

// askedOne gives one of what sql selects.
func askedOne[T any](ctx context.Context, s *Store, what, sql, tenant, id string) (r T, err error) {
	err = s.read(ctx, what, func(ctx context.Context, tx pgx.Tx) (err error) {
		r, err = one(ctx, tx, sql+"\n  AND r.id = @id", pgx.NamedArgs{"tenant": tenant, "id": id}, pgx.RowToStructByName[T])
		return err
	})
	return r, err
}

// askedLocked gives one of what sql selects and keeps others from changing it.
func askedLocked[T any](ctx context.Context, tx pgx.Tx, sql, tenant, id string) (T, error) {
	return one(ctx, tx, sql+"\n  AND r.id = @id\nFOR UPDATE OF r", pgx.NamedArgs{"tenant": tenant, "id": id}, pgx.RowToStructByName[T])
}

// asks has the relay look for what is new: for sql, which writes it.
func (c *Change) asks(ctx context.Context, a *Asked, sql string, args pgx.NamedArgs) error {
	a.State, a.CreatedBy, a.CreatedAt, a.UpdatedAt = StatePending, c.actor.ID, c.now, c.now
	args["id"], args["created_by"], args["now"] = a.ID, a.CreatedBy, c.now
	if _, err := c.tx.Exec(ctx, sql, args); err != nil {
		return fmt.Errorf("write what was asked for: %w", err)
	}
	return c.due(ctx, []string{a.EndpointID})
}

// cancelSQL follows UPDATE and the table.
const cancelSQL = `
SET state = 'cancelled',
    updated_at = @now
WHERE id = @id
  AND state IN ('pending', 'running')`

// cancel stops, with sql, what is not over; what it queued stays queued.
func (c *Change) cancel(ctx context.Context, a *Asked, sql string) error {
	a.State, a.UpdatedAt = StateCancelled, c.now
	if _, err := c.tx.Exec(ctx, sql, pgx.NamedArgs{"id": a.ID, "now": c.now}); err != nil {
		return fmt.Errorf("cancel what was asked for: %w", err)
	}
	return c.due(ctx, []string{a.EndpointID})
}

// countTimeout is how long a count may take: a person waits for it.
const countTimeout = `SET LOCAL statement_timeout = '5s'`

// counting runs f in a transaction whose statements end soon. One that took too long is no error.
func (s *Store) counting(ctx context.Context, what string, f func(context.Context, pgx.Tx) error) error {
	var slow bool
	err := s.read(ctx, what, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, countTimeout); err != nil {
			return err
		}
		err := f(ctx, tx)
		slow = ledger.TookTooLong(err)
		return err
	})
	if slow {
		return nil
	}
	return err
}
