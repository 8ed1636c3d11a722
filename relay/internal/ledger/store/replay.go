package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
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
	Missing    *int64
	Error      string
	CreatedBy  string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

const replayColumns = `
SELECT r.id, r.endpoint_id, r.types, r.since, r.until, r.state, r.total, r.done, r.queued, r.missing,
       COALESCE(r.error, '') AS error, COALESCE(r.created_by, '') AS created_by, r.created_at, r.updated_at
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

// CountReplay completes r with how many events its range has and how many of them match its types. What was attempted
// within the range and has no outbox row any more is missing.
func (s *Store) CountReplay(ctx context.Context, r *Replay, tenant string, wants func(eventType string) bool) error {
	m := s.mapping
	column := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	schema, name := m.SchemaAndName()
	table := pgx.Identifier{schema, name}.Sanitize()
	if m.CreatedAt == "" {
		return fmt.Errorf("%w: the outbox table has no column for created_at, so no range of time can be found in it", ErrConflict)
	}
	within := " WHERE o." + column(m.CreatedAt) + " < @until AND (@since::timestamptz IS NULL OR o." + column(m.CreatedAt) + " >= @since)"
	if m.Tenant != "" {
		within += " AND (@tenant::text = '' OR o." + column(m.Tenant) + "::text = @tenant)"
	}
	args := pgx.NamedArgs{"since": r.Since, "until": r.Until, "tenant": tenant, "endpoint": r.EndpointID}
	count := "SELECT o." + column(m.Type) + "::text, count(*) FROM " + table + " AS o" + within + " GROUP BY 1"
	gone := `
SELECT a.event_type, count(DISTINCT a.event_id)
FROM tailpost.attempt AS a
WHERE a.endpoint_id = @endpoint
  AND a.trigger <> 'test'
  AND a.attempted_at < @until
  AND (@since::timestamptz IS NULL OR a.attempted_at >= @since)
  AND NOT EXISTS (SELECT FROM ` + table + ` AS o WHERE o.` + column(m.ID) + `::text = a.event_id)
GROUP BY 1`
	return s.read(ctx, "count the events of the range", func(ctx context.Context, tx pgx.Tx) (err error) {
		if r.Total, err = countTypes(ctx, tx, count, args, wants); err != nil {
			return err
		}
		r.Missing, err = countTypes(ctx, tx, gone, args, wants)
		return err
	})
}

func countTypes(ctx context.Context, tx pgx.Tx, sql string, args pgx.NamedArgs, wants func(string) bool) (*int64, error) {
	rows, err := tx.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	var total, n int64
	var eventType string
	_, err = pgx.ForEachRow(rows, []any{&eventType, &n}, func() error {
		if wants(eventType) {
			total += n
		}
		return nil
	})
	return &total, err
}
