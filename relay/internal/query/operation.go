package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// The states of an Operation.
const (
	StatePending   = "pending"
	StateRunning   = "running"
	StateDone      = "done"
	StateCancelled = "cancelled"
	StateFailed    = "failed"
)

// Operation is what replays and resends have in common: a person asks for them, and the relay
// carries them out in the background.
type Operation struct {
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
func (o *Operation) Position() Position { return Position{At: o.CreatedAt, ID: o.ID} }

const operationColumns = `
SELECT r.id, COALESCE(r.endpoint_id, '') AS endpoint_id, r.state, r.total, r.queued, COALESCE(r.error, '') AS error,
       COALESCE(r.created_by, '') AS created_by, r.created_at, r.updated_at, `

// OperationQuery asks for a page of replays or of resends, newest first.
type OperationQuery struct {
	Tenant     string
	EndpointID string
	State      string
	After      Position
	Limit      int
}

// operationPage returns a page of what sql, which ends in a condition, selects AS r.
func operationPage[T any](ctx context.Context, s *database, what, sql string, q OperationQuery) (page []T, err error) {
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

// operationByID returns one of what sql selects.
func operationByID[T any](ctx context.Context, s *database, what, sql, tenant, id string) (r T, err error) {
	err = s.read(ctx, what, func(ctx context.Context, tx pgx.Tx) (err error) {
		r, err = one(ctx, tx, sql+"\n  AND r.id = @id", pgx.NamedArgs{"tenant": tenant, "id": id}, pgx.RowToStructByName[T])
		return err
	})
	return r, err
}

// lockOperation returns one of what sql selects and keeps others from changing it.
func lockOperation[T any](ctx context.Context, tx pgx.Tx, sql, tenant, id string) (T, error) {
	return one(ctx, tx, sql+"\n  AND r.id = @id\nFOR UPDATE OF r", pgx.NamedArgs{"tenant": tenant, "id": id}, pgx.RowToStructByName[T])
}

// begin writes a new operation with sql and tells the relay that it is due.
func (c *transaction) begin(ctx context.Context, o *Operation, sql string, args pgx.NamedArgs) error {
	o.State, o.CreatedBy, o.CreatedAt, o.UpdatedAt = StatePending, c.actor.ID, c.now, c.now
	args["id"], args["created_by"], args["now"] = o.ID, o.CreatedBy, c.now
	if _, err := c.tx.Exec(ctx, sql, args); err != nil {
		return fmt.Errorf("write the operation: %w", err)
	}
	return c.due(ctx, []string{o.EndpointID})
}

// cancelSQL follows UPDATE and the table.
const cancelSQL = `
SET state = 'cancelled',
    updated_at = @now
WHERE id = @id
  AND state IN ('pending', 'running')`

// cancel stops, with sql, what is not over; what it queued stays queued.
func (c *transaction) cancel(ctx context.Context, o *Operation, sql string) error {
	o.State, o.UpdatedAt = StateCancelled, c.now
	if _, err := c.tx.Exec(ctx, sql, pgx.NamedArgs{"id": o.ID, "now": c.now}); err != nil {
		return fmt.Errorf("cancel the operation: %w", err)
	}
	return c.due(ctx, []string{o.EndpointID})
}

// countTimeout is how long a count may take: a person waits for it.
const countTimeout = `SET LOCAL statement_timeout = '5s'`

// counting runs f in a transaction whose statements end soon. One that took too long is no error.
func (s *database) counting(ctx context.Context, what string, f func(context.Context, pgx.Tx) error) error {
	var slow bool
	err := s.read(ctx, what, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, countTimeout); err != nil {
			return err
		}
		err := f(ctx, tx)
		slow = pglink.TookTooLong(err)
		return err
	})
	if slow {
		return nil
	}
	return err
}
