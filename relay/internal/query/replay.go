package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// Replay is a row of tailpost.replay.
type Replay struct {
	Operation

	Tenant     string // of the endpoint
	Types      []string
	Since      *time.Time
	Until      time.Time
	Done       int64
	Unreadable int64
	Missing    *int64
	// MissingFound is how many the search for missing events has found so far, MissingError why it
	// was given up.
	MissingFound int64
	MissingError string
}

const replayColumns = operationColumns + `r.types, r.since, r.until, r.done, r.unreadable, r.missing,
       COALESCE((SELECT e.tenant FROM tailpost.endpoint AS e WHERE e.id = r.endpoint_id), '') AS tenant,
       r.missing_found, COALESCE(r.missing_error, '') AS missing_error
FROM tailpost.replay AS r
WHERE (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = r.endpoint_id AND e.tenant = @tenant))`

// Replays returns a page.
func (s operations) Replays(ctx context.Context, q OperationQuery) ([]Replay, error) {
	return operationPage[Replay](ctx, s.database, "list replays", replayColumns, q)
}

// Replay returns one replay.
func (s operations) Replay(ctx context.Context, tenant, id string) (Replay, error) {
	return operationByID[Replay](ctx, s.database, "read the replay", replayColumns, tenant, id)
}

// LockReplay returns one replay and keeps others from changing it.
func (c operationChanges) LockReplay(ctx context.Context, tenant, id string) (Replay, error) {
	return lockOperation[Replay](ctx, c.tx, replayColumns, tenant, id)
}

// CreateReplay writes a new replay and tells the relay.
func (c operationChanges) CreateReplay(ctx context.Context, r *Replay) error {
	if r.Types == nil {
		r.Types = []string{}
	}
	return c.begin(ctx, &r.Operation, `
INSERT INTO tailpost.replay (id, endpoint_id, types, since, until, state, created_by, created_at, updated_at)
VALUES (@id, @endpoint, @types, @since, @until, 'pending', @created_by, @now, @now)`, pgx.NamedArgs{
		"endpoint": r.EndpointID, "types": r.Types, "since": r.Since, "until": r.Until,
	})
}

// CancelReplay stops a replay that is not over; what it queued stays queued.
func (c operationChanges) CancelReplay(ctx context.Context, r *Replay) error {
	return c.cancel(ctx, &r.Operation, "UPDATE tailpost.replay"+cancelSQL)
}

// searchBudget is how long a dry run may search for what is missing.
const searchBudget = 5 * time.Second

// CountReplay counts what a replay of a range would cover, as the relay does when it begins one.
// What cannot be counted in the time that a request has is nil.
func (s operations) CountReplay(ctx context.Context, rg scan.Range) (total, missing *int64, err error) {
	if total, err = s.countRange(ctx, rg); err != nil {
		return nil, nil, err
	}
	missing, err = s.countMissing(ctx, rg)
	return total, missing, err
}

// inTable is counting in the outbox table.
func (s operations) inTable(ctx context.Context, what string, f func(context.Context, pgx.Tx, *scan.Table) error) error {
	return s.counting(ctx, what, func(ctx context.Context, tx pgx.Tx) error {
		table, err := scan.LookAt(ctx, tx, s.mapping)
		if err != nil {
			return err
		}
		return f(ctx, tx, &table)
	})
}

func (s operations) countRange(ctx context.Context, rg scan.Range) (total *int64, err error) {
	err = s.inTable(ctx, "count the events of the range", func(ctx context.Context, tx pgx.Tx, t *scan.Table) error {
		if !rg.Since.IsZero() && !t.Timed() {
			return fmt.Errorf("%w: the outbox table has no column for created_at, so no range of time can be found in it", ErrConflict)
		}
		n, err := t.Count(ctx, tx, rg)
		if err == nil {
			total = &n
		}
		return err
	})
	return total, err
}

func (s operations) countMissing(ctx context.Context, rg scan.Range) (missing *int64, err error) {
	began := time.Now()
	err = s.inTable(ctx, "count the missing events of the range", func(ctx context.Context, tx pgx.Tx, t *scan.Table) error {
		var m scan.Missing
		for over := false; !over; {
			if time.Since(began) > searchBudget {
				return nil
			}
			var err error
			if _, m, over, err = t.SearchMissing(ctx, tx, rg, m); err != nil {
				return err
			}
		}
		missing = &m.Found
		return nil
	})
	return missing, err
}

// MissingEvent is a row of tailpost.replay_missing.
type MissingEvent struct {
	EventID     string
	EventType   string
	Tenant      string
	AttemptedAt time.Time
	Outcome     outbox.Outcome
}

// MissingPosition is a place among the missing events of a replay. The zero one is the start.
type MissingPosition struct {
	At      time.Time
	EventID string
}

// MissingQuery asks for a page of a replay's missing events, those attempted first first.
type MissingQuery struct {
	Tenant   string
	ReplayID string
	After    MissingPosition
	Limit    int
}

const missingSQL = `
SELECT event_id, event_type, COALESCE(tenant, '') AS tenant, attempted_at, outcome
FROM tailpost.replay_missing
WHERE replay_id = @id
  AND (@at::timestamptz IS NULL OR (attempted_at, event_id) > (@at, @event))
ORDER BY attempted_at, event_id
LIMIT @limit`

// Missing returns a page, and the replay as it was then.
func (s operations) Missing(ctx context.Context, q MissingQuery) (r Replay, page []MissingEvent, err error) {
	err = s.read(ctx, "list missing events", func(ctx context.Context, tx pgx.Tx) (err error) {
		r, err = one(ctx, tx, replayColumns+"\n  AND r.id = @id", pgx.NamedArgs{"tenant": q.Tenant, "id": q.ReplayID}, pgx.RowToStructByName[Replay])
		if err != nil {
			return err
		}
		page, err = many(ctx, tx, missingSQL, pgx.NamedArgs{
			"id": q.ReplayID, "at": timeOrNull(q.After.At), "event": q.After.EventID, "limit": q.Limit,
		}, pgx.RowToStructByName[MissingEvent])
		return err
	})
	return r, page, err
}
