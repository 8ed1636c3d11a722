package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// The states of a replay.
const (
	ReplayPending   = "pending"
	ReplayRunning   = "running"
	ReplayDone      = "done"
	ReplayCancelled = "cancelled"
	ReplayFailed    = "failed"
)

// Replay is a row of tailpost.replay.
type Replay struct {
	ID         string
	EndpointID string
	Types      []string
	Since      *time.Time
	Until      time.Time
	State      string
	Total      *int64
	Done       int64
	Queued     int64
	Unreadable int64
	Missing    *int64
	// MissingFound is how many the search for missing events has found so far, MissingError why it was given up.
	MissingFound int64
	MissingError string
	Error        string
	CreatedBy    string
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

const replayColumns = `
SELECT r.id, r.endpoint_id, r.types, r.since, r.until, r.state, r.total, r.done, r.queued, r.unreadable, r.missing,
       r.missing_found, COALESCE(r.missing_error, '') AS missing_error, COALESCE(r.error, '') AS error, COALESCE(r.created_by, '') AS created_by, r.created_at, r.updated_at
FROM tailpost.replay AS r
WHERE (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = r.endpoint_id AND e.tenant = @tenant))`

// ReplayQuery asks for a page of replays, newest first.
type ReplayQuery struct {
	Tenant     string
	EndpointID string
	State      string
	After      Position
	Limit      int
}

// Replays gives a page.
func (s *Store) Replays(ctx context.Context, q ReplayQuery) (page []Replay, err error) {
	err = s.read(ctx, "list replays", func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = many(ctx, tx, replayColumns+`
  AND (@endpoint::text = '' OR r.endpoint_id = @endpoint)
  AND (@state::text = '' OR r.state = @state)
  AND (@at::timestamptz IS NULL OR (r.created_at, r.id) < (@at, @id))
ORDER BY r.created_at DESC, r.id DESC
LIMIT @limit`, pgx.NamedArgs{
			"tenant": q.Tenant, "endpoint": q.EndpointID, "state": q.State, "at": timeOrNull(q.After.At), "id": q.After.ID,
			"limit": q.Limit,
		}, pgx.RowToStructByName[Replay])
		return err
	})
	return page, err
}

// Replay gives one replay.
func (s *Store) Replay(ctx context.Context, tenant, id string) (r Replay, err error) {
	err = s.read(ctx, "read the replay", func(ctx context.Context, tx pgx.Tx) (err error) {
		r, err = one(ctx, tx, replayColumns+"\n  AND r.id = @id", pgx.NamedArgs{"tenant": tenant, "id": id}, pgx.RowToStructByName[Replay])
		return err
	})
	return r, err
}

// Replay gives one replay and keeps others from changing it.
func (c *Change) Replay(ctx context.Context, tenant, id string) (Replay, error) {
	return one(ctx, c.tx, replayColumns+"\n  AND r.id = @id\nFOR UPDATE OF r", pgx.NamedArgs{"tenant": tenant, "id": id}, pgx.RowToStructByName[Replay])
}

// CreateReplay writes a new replay and tells the relay.
func (c *Change) CreateReplay(ctx context.Context, r *Replay) error {
	r.State, r.CreatedBy, r.CreatedAt, r.UpdatedAt = ReplayPending, c.actor.ID, c.now, c.now
	if r.Types == nil {
		r.Types = []string{}
	}
	_, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.replay (id, endpoint_id, types, since, until, state, created_by, created_at, updated_at)
VALUES (@id, @endpoint, @types, @since, @until, 'pending', @created_by, @now, @now)`, pgx.NamedArgs{
		"id": r.ID, "endpoint": r.EndpointID, "types": r.Types, "since": r.Since, "until": r.Until,
		"created_by": r.CreatedBy, "now": c.now,
	})
	if err != nil {
		return fmt.Errorf("write the replay: %w", err)
	}
	return c.due(ctx, []string{r.EndpointID})
}

// CancelReplay stops a replay that is not over; what it queued stays queued.
func (c *Change) CancelReplay(ctx context.Context, r *Replay) error {
	r.State, r.UpdatedAt = ReplayCancelled, c.now
	_, err := c.tx.Exec(ctx, `
UPDATE tailpost.replay
SET state = 'cancelled',
    updated_at = @now
WHERE id = @id
  AND state IN ('pending', 'running')`, pgx.NamedArgs{"id": r.ID, "now": c.now})
	if err != nil {
		return fmt.Errorf("cancel the replay: %w", err)
	}
	return c.due(ctx, []string{r.EndpointID})
}

// How long a dry run may take: a person waits for it.
const (
	countTimeout = `SET LOCAL statement_timeout = '5s'`
	searchBudget = 5 * time.Second
)

// CountReplay counts what a replay of a range would cover, as the relay does when it begins one. What cannot be counted in the
// time that a request has is nil.
func (s *Store) CountReplay(ctx context.Context, rg ledger.Range) (total, missing *int64, err error) {
	if total, err = s.countRange(ctx, rg); err != nil {
		return nil, nil, err
	}
	missing, err = s.countMissing(ctx, rg)
	return total, missing, err
}

// counting runs f in a transaction whose statements end soon. One that took too long is no error.
func (s *Store) counting(ctx context.Context, what string, f func(context.Context, pgx.Tx, *ledger.Table) error) error {
	var slow bool
	err := s.read(ctx, what, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, countTimeout); err != nil {
			return err
		}
		table, err := ledger.LookAt(ctx, tx, s.mapping)
		if err != nil {
			return err
		}
		err = f(ctx, tx, &table)
		slow = ledger.TookTooLong(err)
		return err
	})
	if slow {
		return nil
	}
	return err
}

func (s *Store) countRange(ctx context.Context, rg ledger.Range) (total *int64, err error) {
	err = s.counting(ctx, "count the events of the range", func(ctx context.Context, tx pgx.Tx, t *ledger.Table) error {
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

func (s *Store) countMissing(ctx context.Context, rg ledger.Range) (missing *int64, err error) {
	began := time.Now()
	err = s.counting(ctx, "count the missing events of the range", func(ctx context.Context, tx pgx.Tx, t *ledger.Table) error {
		var m ledger.Missing
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

// Missing gives a page, and the replay as it was then.
func (s *Store) Missing(ctx context.Context, q MissingQuery) (r Replay, page []MissingEvent, err error) {
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
