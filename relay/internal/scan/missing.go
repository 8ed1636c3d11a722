package scan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// missingPage is how many attempts the search looks at in one go: some ten milliseconds.
const missingPage = 2000

// MissingEvent is an event that was attempted within a range and has no outbox row any more.
type MissingEvent struct {
	EventID     string
	EventType   string
	Tenant      string
	AttemptedAt time.Time // the first time within the range
	Outcome     outbox.Outcome
	number      int
}

// Missing is how far a search for missing events is. The zero Missing is its beginning.
type Missing struct {
	Found  int64
	Cursor string // where it is, as text; empty: at the beginning
}

// missingPosition is a place among the attempts at an endpoint.
type missingPosition struct {
	At      time.Time `json:"at"`
	EventID string    `json:"event_id"`
	Number  int       `json:"number"`
}

// attemptedSQL finds the first attempts of events within a range, in pages. One that the stream
// brought is the first by itself; any other is looked up by its event. Adding nothing to the
// endpoint keeps that from the index of endpoints, through which it would read all attempts before
// it: a planner without statistics takes them for few.
const attemptedSQL = `
SELECT a.event_id, a.event_type, COALESCE(a.tenant, ''), a.attempted_at, a.outcome, a.number
FROM tailpost.attempt AS a
WHERE a.endpoint_id = @endpoint
  AND a.attempted_at >= @at
  AND a.attempted_at < @until
  AND (a.attempted_at, a.event_id, a.number) > (@at, @event, @number)
  AND a.trigger <> 'test'
  AND (@tenant::text = '' OR a.tenant = @tenant)
  AND (
      a.trigger = 'stream' AND a.number = 1
      OR NOT EXISTS (
          SELECT
          FROM tailpost.attempt AS b
          WHERE b.event_id = a.event_id
            AND b.endpoint_id || '' = a.endpoint_id
            AND b.trigger <> 'test'
            AND b.attempted_at >= @since
            AND b.attempted_at <= a.attempted_at
            AND (b.attempted_at, b.number) < (a.attempted_at, a.number)
      )
  )
ORDER BY a.attempted_at, a.event_id, a.number
LIMIT @limit`

// SearchMissing looks at the next attempts within a range for events whose outbox rows are gone,
// and moves the search on. Over says that it has seen all. It goes through the attempts in the
// order of their index and looks the rows up by their primary key, a page at a time, so that no
// statement is long however much there is. What an attempt calls the event is text, which may be no
// value of the key's type: it was a logical message then, and is gone. TookTooLong tells an error
// that comes of the statement timeout.
func (t *Table) SearchMissing(ctx context.Context, db DB, rg Range, m Missing) (gone []MissingEvent, next Missing, over bool, err error) {
	since := rg.Since
	if since.IsZero() {
		since = time.Unix(0, 0).UTC()
	}
	at := missingPosition{At: since, Number: -1}
	if m.Cursor != "" {
		if err := json.Unmarshal([]byte(m.Cursor), &at); err != nil {
			return nil, m, false, fmt.Errorf("read the place of the search: %w", err)
		}
	}
	rows, err := db.Query(ctx, attemptedSQL, pgx.NamedArgs{
		"endpoint": rg.EndpointID, "tenant": rg.Tenant, "since": since, "until": rg.Until, "at": at.At, "event": at.EventID,
		"number": at.Number, "limit": missingPage,
	})
	if err != nil {
		return nil, m, false, err
	}
	attempted, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e MissingEvent, err error) {
		err = row.Scan(&e.EventID, &e.EventType, &e.Tenant, &e.AttemptedAt, &e.Outcome, &e.number)
		return e, err
	})
	if err != nil {
		return nil, m, false, err
	}
	if gone, err = t.withoutRow(ctx, db, rg, attempted); err != nil {
		return nil, m, false, err
	}
	next = Missing{Found: m.Found + int64(len(gone)), Cursor: m.Cursor}
	if len(attempted) > 0 {
		last := &attempted[len(attempted)-1]
		text, err := json.Marshal(missingPosition{At: last.AttemptedAt.UTC(), EventID: last.EventID, Number: last.number})
		if err != nil {
			return nil, m, false, fmt.Errorf("encode the place of the search: %w", err)
		}
		next.Cursor = string(text)
	}
	return gone, next, len(attempted) < missingPage, nil
}

// withoutRow picks the events of the range's types that have no outbox row.
func (t *Table) withoutRow(ctx context.Context, db DB, rg Range, attempted []MissingEvent) (gone []MissingEvent, err error) {
	ids := make([]string, 0, len(attempted))
	for i := range attempted {
		if e := &attempted[i]; rg.Wants(e.EventType) {
			ids = append(ids, e.EventID)
		}
	}
	there, err := t.WithRows(ctx, db, ids)
	if err != nil {
		return nil, err
	}
	for i := range attempted {
		if _, ok := there[attempted[i].EventID]; !ok && rg.Wants(attempted[i].EventType) {
			gone = append(gone, attempted[i])
		}
	}
	return gone, nil
}

// WithRows returns those of the events that have a row in the outbox table.
func (t *Table) WithRows(ctx context.Context, db DB, events []string) (map[string]struct{}, error) {
	ids := make([]string, 0, len(events))
	for _, id := range events {
		if t.isKey(id) {
			ids = append(ids, id)
		}
	}
	there := make(map[string]struct{}, len(ids))
	return there, t.findKeys(ctx, db, ids, there)
}

// isKey says that an event's id may be the text of a primary key, as far as that is known without
// asking Postgres.
func (t *Table) isKey(id string) bool {
	var bits int
	switch t.idType {
	case "uuid":
		return isUUID(id)
	case "smallint":
		bits = 16
	case "integer":
		bits = 32
	case "bigint":
		bits = 64
	default:
		return true
	}
	_, err := strconv.ParseInt(id, 10, bits)
	return err == nil
}

// isUUID knows the one form in which Postgres writes a uuid.
func isUUID(id string) bool {
	if len(id) != len("00000000-0000-0000-0000-000000000000") {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

// findKeys notes which ids are primary keys of rows. Where one of them is no value of the key's
// type, Postgres refuses them all and does not say which it is; pg_input_is_valid came with 16.
// Halves are tried until it is alone.
func (t *Table) findKeys(ctx context.Context, db DB, ids []string, there map[string]struct{}) error {
	if len(ids) == 0 {
		return nil
	}
	c := t.columns()
	sql := `
SELECT ` + c.id + `::text
FROM ` + c.table + ` AS o
WHERE ` + c.id + ` ` + t.operator("=") + ` ANY (@ids::text[]::` + t.idType + `[])`
	// In a transaction of its own, or a savepoint: the error must not end the caller's.
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, pgx.NamedArgs{"ids": ids})
		if err != nil {
			return err
		}
		var id string
		_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
			there[id] = struct{}{}
			return nil
		})
		return err
	})
	if !pglink.NoValue(err) {
		return err
	}
	if len(ids) == 1 {
		return nil
	}
	half := len(ids) / 2
	return errors.Join(t.findKeys(ctx, db, ids[:half], there), t.findKeys(ctx, db, ids[half:], there))
}
