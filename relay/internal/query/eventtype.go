package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// EventType is a row of tailpost.event_type.
type EventType struct {
	Name        string
	Description string
	Schema      []byte // nil: none
	Example     []byte // nil: none
	Versions    []byte // an object by the names of older versions, nil: none
	Deprecated  bool
	Version     int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

const eventTypeColumns = `
SELECT name, description, schema, example, versions, deprecated, version, created_at, updated_at
FROM tailpost.event_type`

// EventTypes returns a page of the catalogue in the order of names, from after that name on.
func (s eventTypes) EventTypes(ctx context.Context, after string, limit int) (page []EventType, err error) {
	err = s.read(ctx, "list event types", func(ctx context.Context, tx pgx.Tx) (err error) {
		page, err = many(ctx, tx, eventTypeColumns+`
WHERE name > @after
ORDER BY name
LIMIT @limit`, pgx.NamedArgs{"after": after, "limit": limit}, pgx.RowToStructByName[EventType])
		return err
	})
	return page, err
}

// EventType returns one entry.
func (s eventTypes) EventType(ctx context.Context, name string) (row EventType, err error) {
	err = s.read(ctx, "read the event type", func(ctx context.Context, tx pgx.Tx) (err error) {
		row, err = one(ctx, tx, eventTypeColumns+"\nWHERE name = @name", pgx.NamedArgs{"name": name}, pgx.RowToStructByName[EventType])
		return err
	})
	return row, err
}

// EventType returns one entry and keeps others from changing it.
func (c eventTypeChanges) EventType(ctx context.Context, name string) (EventType, error) {
	return one(ctx, c.tx, eventTypeColumns+"\nWHERE name = @name\nFOR UPDATE", pgx.NamedArgs{"name": name}, pgx.RowToStructByName[EventType])
}

// PutEventType writes an entry, new or not, and completes t with what the row has.
func (c eventTypeChanges) PutEventType(ctx context.Context, t *EventType) error {
	var old *EventType
	switch row, err := c.EventType(ctx, t.Name); {
	case err == nil:
		old = &row
	case !errors.Is(err, ErrNotFound):
		return err
	}
	t.Version, t.CreatedAt, t.UpdatedAt = 1, c.now, c.now
	if old != nil {
		t.Version, t.CreatedAt = old.Version+1, old.CreatedAt
	}
	text := func(b []byte) *string {
		if b == nil {
			return nil
		}
		s := string(b)
		return &s
	}
	tag, err := c.tx.Exec(ctx, `
INSERT INTO tailpost.event_type AS t (name, description, schema, example, versions, deprecated, version, created_at, updated_at)
VALUES (@name, @description, @schema::text::json, @example::text::json, @versions::text::json, @deprecated, @version, @created_at, @now)
ON CONFLICT (name) DO UPDATE
SET description = EXCLUDED.description,
    schema = EXCLUDED.schema,
    example = EXCLUDED.example,
    versions = EXCLUDED.versions,
    deprecated = EXCLUDED.deprecated,
    version = EXCLUDED.version,
    updated_at = EXCLUDED.updated_at
WHERE t.version = EXCLUDED.version - 1`, pgx.NamedArgs{
		"name": t.Name, "description": t.Description, "schema": text(t.Schema), "example": text(t.Example), "versions": text(t.Versions),
		"deprecated": t.Deprecated, "version": t.Version, "created_at": t.CreatedAt, "now": c.now,
	})
	if err != nil {
		return fmt.Errorf("write the event type: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrStale
	}
	return nil
}

// DeleteEventType removes an entry.
func (c eventTypeChanges) DeleteEventType(ctx context.Context, name string) error {
	if _, err := c.tx.Exec(ctx, "DELETE FROM tailpost.event_type WHERE name = @name", pgx.NamedArgs{"name": name}); err != nil {
		return fmt.Errorf("delete the event type: %w", err)
	}
	return nil
}
