package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
)

// Sweep reads the outbox table piece by piece, in the order of its blocks, which needs no index and reads every block
// once. It is for one goroutine.
type Sweep struct {
	Table

	link    *Link
	since   time.Time
	decoder *outbox.Decoder
}

// Row is a row of the outbox table as far as routing by type and tenant needs it.
type Row struct {
	TID       string // where it is
	ID        string
	Type      string
	Tenant    string
	CreatedAt time.Time // zero: unknown
	At        string    // the time as text, where a replay goes by it
	Size      int       // of the payload, as it is stored
	Recorded  []string  // endpoints with an attempt, or a delivery that is unfinished or discarded
}

// Found is an event of the table with what is recorded of it.
type Found struct {
	Event    outbox.Event
	Recorded []string
	Err      error // why the row is no event; Event is what could be read
}

// NewSweep makes a sweep over the rows created at or after since; zero: over all.
func (l *Ledger) NewSweep(ctx context.Context, m outbox.Mapping, since time.Time) (*Sweep, error) {
	s := &Sweep{link: l.link, since: since}
	err := l.link.Run(ctx, "look at the outbox table", func(ctx context.Context, conn *pgx.Conn) (err error) {
		s.Table, err = LookAt(ctx, conn, m)
		return err
	})
	return s, err
}

// blocksSQL counts the blocks of the largest of a table's parts. Ctids of all parts are swept side by side.
const blocksSQL = `
WITH RECURSIVE parts AS (
    SELECT c.oid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = @schema
      AND c.relname = @name
    UNION ALL
    SELECT i.inhrelid
    FROM parts AS p
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid
)
SELECT COALESCE(max(pg_relation_size(oid)), 0) / current_setting('block_size')::bigint
FROM parts`

// Blocks is how many blocks there are to sweep.
func (s *Sweep) Blocks(ctx context.Context) (n int64, err error) {
	schema, name := s.mapping.SchemaAndName()
	err = s.link.Run(ctx, "measure the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, blocksSQL, pgx.NamedArgs{"schema": schema, "name": name}).Scan(&n)
	})
	return n, err
}

// attemptMargin is how much earlier than the event's own time, by another clock, its attempt may be.
const attemptMargin = 24 * time.Hour

// Rows reads the rows in n blocks from a block on.
func (s *Sweep) Rows(ctx context.Context, from, n int64) (rows []Row, err error) {
	c := s.columns()
	bounded := ""
	if !s.since.IsZero() {
		bounded = "\n  AND " + c.createdAt + " >= @since"
	}
	// Names of the application's table and columns are the only parts that are put in, quoted.
	sql := `
SELECT o.ctid::text, ` + c.id + `::text, ` + c.eventType + `::text, ` + c.tenant + `, ` + c.createdAt + `,
       COALESCE(pg_column_size(` + c.payload + `), 0), ` + c.recorded + `
FROM ` + c.table + ` AS o
WHERE o.ctid >= @from::text::tid
  AND o.ctid < @to::text::tid` + bounded
	args := pgx.NamedArgs{
		"from": fmt.Sprintf("(%d,0)", from), "to": fmt.Sprintf("(%d,0)", from+n), "since": s.since, "margin": attemptMargin,
	}
	err = s.link.Run(ctx, "read the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		result, err := conn.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(result, func(row pgx.CollectableRow) (r Row, err error) {
			var at pgtype.Timestamptz
			err = row.Scan(&r.TID, &r.ID, &r.Type, &r.Tenant, &at, &r.Size, &r.Recorded)
			if at.Valid && at.InfinityModifier == pgtype.Finite {
				r.CreatedAt = at.Time.UTC()
			}
			return r, err
		})
		return err
	})
	return rows, err
}

// RowPlace is where a row of the outbox table was seen.
type RowPlace struct{ ID, TID string }

// Events reads events once more, with what is recorded of them by now, in no order. They are where they were seen or, if
// somebody has updated their rows since, where they are now; a row that is gone is left out.
func (s *Sweep) Events(ctx context.Context, places []RowPlace) (found []Found, err error) {
	for len(places) > 0 {
		part, err := s.eventsAt(ctx, places)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
		there := make(map[string]struct{}, len(part))
		for i := range part {
			there[part[i].Event.ID] = struct{}{}
		}
		places = slices.DeleteFunc(slices.Clone(places), func(p RowPlace) bool {
			_, ok := there[p.ID]
			return ok
		})
		if places, err = s.moved(ctx, places); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// moved gives the present places of rows that are not where they were.
func (s *Sweep) moved(ctx context.Context, places []RowPlace) (now []RowPlace, err error) {
	if len(places) == 0 {
		return nil, nil
	}
	c := s.columns()
	ids, tids := make([]string, len(places)), make([]string, len(places))
	for i, p := range places {
		ids[i], tids[i] = p.ID, p.TID
	}
	sql := `
SELECT ` + c.id + `::text, o.ctid::text
FROM unnest(@ids::text[], @tids::text[]) AS was (id, tid)
JOIN ` + c.table + ` AS o ON ` + c.id + ` ` + s.operator("=") + ` was.id::` + s.idType + `
WHERE o.ctid <> was.tid::tid`
	err = s.link.Run(ctx, "look for rows of the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, pgx.NamedArgs{"ids": ids, "tids": tids})
		if err != nil {
			return err
		}
		now, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RowPlace])
		return err
	})
	return now, err
}

// eventsAt reads the events at these places.
func (s *Sweep) eventsAt(ctx context.Context, places []RowPlace) (found []Found, err error) {
	tids := make([]string, len(places))
	for i, p := range places {
		tids[i] = p.TID
	}
	c := s.columns()
	var names []string
	for _, column := range s.mapping.Columns() {
		names = append(names, "o."+pgx.Identifier{column}.Sanitize())
	}
	sql := `
SELECT ` + strings.Join(names, ", ") + `, to_json(` + c.recorded + `)
FROM ` + c.table + ` AS o
WHERE o.ctid = ANY (@tids::text[]::tid[])`
	err = s.link.Run(ctx, "read events of the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		found = found[:0]
		// In text form, as the stream has them.
		rows, err := conn.Query(ctx, sql, pgx.QueryResultFormats{pgtype.TextFormatCode}, pgx.NamedArgs{"tids": tids, "margin": attemptMargin})
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			f, err := s.decode(rows)
			if err != nil {
				return err
			}
			found = append(found, f)
		}
		return rows.Err()
	})
	return found, err
}

// decode reads a row of Events.
func (s *Sweep) decode(rows pgx.Rows) (Found, error) {
	raw, fields := rows.RawValues(), rows.FieldDescriptions()
	last := len(raw) - 1
	var f Found
	if err := rows.Conn().TypeMap().Scan(pgtype.JSONOID, pgtype.TextFormatCode, raw[last], &f.Recorded); err != nil {
		return f, fmt.Errorf("read who has an event: %w", err)
	}
	if s.decoder == nil {
		columns := make([]outbox.Column, last)
		for i := range columns {
			columns[i] = outbox.Column{Name: fields[i].Name, TypeOID: fields[i].DataTypeOID}
		}
		decoder, err := outbox.NewDecoder(s.mapping, columns)
		if err != nil {
			return f, err
		}
		s.decoder = decoder
	}
	values := make([]outbox.Value, last)
	for i := range values {
		values[i] = outbox.Value{Kind: outbox.TextValue, Data: raw[i]}
		if raw[i] == nil {
			values[i].Kind = outbox.NullValue
		}
	}
	f.Event, f.Err = s.decoder.Decode(values)
	return f, nil
}

const parkFoundSQL = `
INSERT INTO tailpost.delivery (
    event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, tenant, key, payload, headers,
    event_created_at, commit_lsn, seq, last_error, created_at, updated_at
)
VALUES (
    @event, @endpoint, @state, @reason, 0, @next, @type, NULLIF(@tenant, ''), NULLIF(@key, ''), @payload, @headers,
    @event_created, @lsn::text::pg_lsn, @seq, NULLIF(@error, ''), @now, @now
)
ON CONFLICT (event_id, endpoint_id) DO NOTHING`

// Queue writes deliveries that an audit found. One that is there already is left alone. It returns how many were new.
func (l *Ledger) Queue(ctx context.Context, hold Hold, ds []outbox.Delivery, now time.Time) (queued int64, err error) {
	err = l.link.WhileHeld(ctx, hold, "queue what an audit found", func(ctx context.Context, tx pgx.Tx) error {
		queued = 0
		var batch pgx.Batch
		for i := range ds {
			args, err := foundArgs(&ds[i], now)
			if err != nil {
				return err
			}
			batch.Queue(parkFoundSQL, args)
		}
		results := tx.SendBatch(ctx, &batch)
		for range ds {
			tag, err := results.Exec()
			if err != nil {
				_ = results.Close() // the first error says it
				return err
			}
			queued += tag.RowsAffected()
		}
		return results.Close()
	})
	return queued, err
}

// foundArgs are the arguments of parkFoundSQL.
func foundArgs(d *outbox.Delivery, now time.Time) (pgx.NamedArgs, error) {
	e := &d.Event
	var headers *string
	if len(e.Headers) > 0 {
		text, err := json.Marshal(e.Headers)
		if err != nil {
			return nil, fmt.Errorf("encode the headers of event %s: %w", e.ID, err)
		}
		s := string(text)
		headers = &s
	}
	return pgx.NamedArgs{
		"event": e.ID, "endpoint": d.EndpointID, "state": string(d.State), "reason": string(d.Reason), "next": nullTime(d.NextAttemptAt),
		"type": e.Type, "tenant": e.Tenant, "key": e.Key, "payload": []byte(e.Payload), "headers": headers,
		"event_created": e.CreatedAt, "lsn": e.CommitLSN.String(), "seq": e.Seq, "error": d.LastError, "now": now,
	}, nil
}
