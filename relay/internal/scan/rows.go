package scan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// ErrSlow says that a statement took longer than it may: so it will the next time, unless somebody
// makes an index.
var ErrSlow = errors.New("it takes longer than a statement may take")

// Cursor is the last row of the outbox table that a replay has looked at.
type Cursor struct {
	Key string // its primary key, as text
	At  string // its time, as text; empty: the replay is not ordered by time
}

// Reading says which rows are read in an order, and how far that is.
type Reading struct {
	Since   time.Time // of rows that are read in the order of their times; zero: from the first one on
	Until   time.Time
	InOrder bool   // of their times, not of their primary keys
	Cursor  Cursor // zero: at the beginning
}

// rowsSQL reads rows of a replay after its cursor: in the order of their primary keys, or of their
// times and then their keys. Where an index has the times, it is of use only if the column may not
// be null.
func (t *Table) rowsSQL(r *Reading) string {
	c := t.columns()
	at, where, order := "''", "", c.id
	after := c.id + " " + t.operator(">") + " @key::text::" + t.idType
	if r.InOrder {
		time := c.createdAt
		if !t.createdNotNull {
			time = "COALESCE(" + time + ", '-infinity')"
		}
		at, order = time+"::text", time+", "+c.id
		where = "WHERE " + time + " >= COALESCE(@since::timestamptz, '-infinity')\n  AND " + time + " < @until\n"
		if r.Cursor.Key != "" {
			// An index of the times, or of both, finds the first of them.
			where += "  AND " + time + " >= @at::text::timestamptz\n  AND (" + time + " > @at::text::timestamptz OR " + after + ")\n"
		}
	} else if r.Cursor.Key != "" {
		where = "WHERE " + after + "\n"
	}
	return `
SELECT o.tableoid::oid, o.ctid::text, ` + c.id + `::text, ` + c.eventType + `::text, ` + c.tenant + `, ` + c.time + `, COALESCE(pg_column_size(` + c.payload + `), 0),
       ` + at + `, ` + c.later + `
FROM ` + c.table + ` AS o
` + where + `ORDER BY ` + order + `
LIMIT @limit`
}

// RowsAfter reads up to limit rows that a replay is to look at next; some may be beyond its range.
// Recorded is not filled in. It tries once and returns ErrSlow where that takes too long: others
// wait for the connection.
func (s *Sweep) RowsAfter(ctx context.Context, r *Reading, limit int) (rows []Row, err error) {
	err = s.link.Once(ctx, "read the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		found, err := conn.Query(ctx, s.rowsSQL(r), pgx.NamedArgs{
			"key": r.Cursor.Key, "at": r.Cursor.At, "since": nullTime(s.begin(r.Since)), "until": r.Until, "limit": limit,
		})
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (r Row, err error) {
			var created *time.Time
			var eventType *string
			err = row.Scan(&r.OID, &r.TID, &r.ID, &eventType, &r.Tenant, &created, &r.Size, &r.At, &r.Later)
			if eventType != nil {
				r.Type = *eventType
			}
			r.CreatedAt = orZero(created)
			return r, err
		})
		return err
	})
	if pglink.TookTooLong(err) {
		err = fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return rows, err
}

// Find reads the event of a row by its id; nil: there is no such row.
func (s *Sweep) Find(ctx context.Context, id string) (*Found, error) {
	if !s.isKey(id) {
		return nil, nil
	}
	found, err := s.Events(ctx, []RowPlace{{ID: id, TID: "(0,0)"}}) // no row is there, so it is looked up
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Delete removes, in n blocks from a block on, the rows created before a time whose events nobody
// has attempted or parked since: what was imported with times of long ago is kept as long as what
// was written when it was delivered. Whoever calls it knows that they are settled.
func (s *Sweep) Delete(ctx context.Context, from, n int64, before time.Time) (deleted int64, err error) {
	c := s.columns()
	// Each row is looked up by itself. A join would read all the attempts since.
	sql := `
DELETE FROM ` + c.table + ` AS o
WHERE o.ctid >= @from::text::tid
  AND o.ctid < @to::text::tid
  AND ` + c.createdAt + ` < @old
  AND (SELECT 1
       FROM tailpost.attempt AS a
       WHERE a.event_id = ` + c.id + `::text
         AND a.attempted_at >= @before
       LIMIT 1) IS NULL
  AND (SELECT 1
       FROM tailpost.delivery AS d
       WHERE d.event_id = ` + c.id + `::text
         AND d.created_at >= @before
       LIMIT 1) IS NULL`
	args := pgx.NamedArgs{"from": fmt.Sprintf("(%d,0)", from), "to": fmt.Sprintf("(%d,0)", from+n), "before": before, "old": s.begin(before)}
	err = s.link.Once(ctx, "delete settled events", func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, sql, args)
		deleted = tag.RowsAffected()
		return err
	})
	return deleted, err
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
