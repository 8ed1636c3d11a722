package scan

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
)

// Sweep reads the outbox table piece by piece, in the order of its blocks, which needs no index and
// reads every block once. It is for one goroutine.
type Sweep struct {
	Table

	link    Link
	scope   Scope
	decoder *outbox.Decoder
}

// Scope is which rows of the outbox table a sweep covers.
type Scope struct {
	// Since leaves out what was created before it; zero: nothing. A row that does not say when it
	// was is taken in.
	Since time.Time
	// Horizon, where it is known, leaves out what was written before it instead.
	Horizon Horizon
	// Gap, if set, is what ids may have been used again in.
	Gap GapStart
}

// GapStart is when and where the stream last brought everything. What is recorded from before it is
// of an earlier event where a row with the same id says that it was created after it.
type GapStart struct {
	At    time.Time // zero: no gap
	Place outbox.LSN
	Now   time.Time // rows that say they are of later tell nothing
}

// Row is a row of the outbox table as far as routing by type and tenant needs it.
type Row struct {
	RowPlace

	Type      string
	Tenant    string
	CreatedAt time.Time // zero: unknown, or no time of this era
	At        string    // the time as text, where rows are read in the order of times
	Later     bool      // its time is none before the end of a replay, though CreatedAt may be unknown
	Size      int       // of the payload, as it is stored
	Recorded  []string  // endpoints with an attempt, or a delivery that is unfinished or discarded
	// Doubtful says that something is recorded from before the gap, and that nothing tells whether
	// that is of an earlier event with the row's id.
	Doubtful bool
}

// Found is an event of the table with what is recorded of it.
type Found struct {
	RowPlace

	Event    outbox.Event
	Recorded []string
	Err      error // why the row is no event; Event is what could be read
}

// Horizon is a moment by the transactions that had ended by then. It means something on its cluster
// only.
type Horizon struct {
	XID int64     // the oldest transaction that was under way; 0: not known
	At  time.Time // by the server's clock
}

// Link runs statements on a connection that others use too, and reports what fails.
type Link interface {
	// Run tries for as long as that may help. What says in words what f does.
	Run(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error
	// Once tries once.
	Once(ctx context.Context, what string, f func(context.Context, *pgx.Conn) error) error
}

// New returns a sweep over the rows of a scope.
func New(ctx context.Context, link Link, m outbox.Mapping, scope Scope) (*Sweep, error) {
	s := &Sweep{link: link, scope: scope}
	err := link.Run(ctx, "look at the outbox table", func(ctx context.Context, conn *pgx.Conn) (err error) {
		s.Table, err = LookAt(ctx, conn, m)
		return err
	})
	return s, err
}

// blocksSQL counts the blocks of the largest of a table's parts, and of all of them. Ctids of all
// parts are swept side by side.
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
SELECT COALESCE(max(pg_relation_size(oid)), 0) / current_setting('block_size')::bigint,
       COALESCE(sum(pg_relation_size(oid)), 0)::bigint / current_setting('block_size')::bigint
FROM parts`

// Blocks is how many blocks there are to sweep, in the largest part of the table and in all of
// them.
func (s *Sweep) Blocks(ctx context.Context) (n, all int64, err error) {
	schema, name := s.mapping.SchemaAndName()
	err = s.link.Run(ctx, "measure the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, blocksSQL, pgx.NamedArgs{"schema": schema, "name": name}).Scan(&n, &all)
	})
	return n, all, err
}

// attemptMargin is how much earlier than the horizon, or than the event's own time, an attempt may
// be by another clock.
const attemptMargin = 24 * time.Hour

// youngerSQL leaves out rows that were written before a horizon. A transaction's number is told
// from those of 2³² transactions before only if it is not too far away, and a row that is that old
// is frozen and long settled.
const youngerSQL = `
  AND ((SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - @horizon::bigint > 2000000000)
       OR pg_catalog.age(o.xmin) BETWEEN 0 AND (SELECT pg_catalog.age(@horizon::text::xid8::xid)))`

// bounded returns the condition that leaves out rows beyond the scope.
func (s *Sweep) bounded(c *columns) string {
	switch {
	case s.scope.Horizon.XID != 0:
		return youngerSQL
	case !s.scope.Since.IsZero():
		return "\n  AND COALESCE(" + c.time + ", 'infinity') >= @since"
	}
	return ""
}

// args returns the arguments of a statement about a scope.
func (s *Sweep) args(more pgx.NamedArgs) pgx.NamedArgs {
	more["since"], more["margin"] = s.scope.Since, attemptMargin
	more["horizon"], more["bound"] = s.scope.Horizon.XID, nullTime(s.scope.Horizon.At)
	more["gap_at"], more["gap_place"], more["now"] = s.scope.Gap.At, s.scope.Gap.Place.String(), s.scope.Gap.Now
	return more
}

// inGap is columns for a sweep that may be about a gap.
func (s *Sweep) inGap() columns {
	c := s.columns()
	if !s.scope.Gap.At.IsZero() {
		s.tellLives(&c, s.scope.Horizon.XID != 0)
	}
	return c
}

// Rows reads the rows in n blocks from a block on.
func (s *Sweep) Rows(ctx context.Context, from, n int64) (rows []Row, err error) {
	c := s.inGap()
	// Names of the application's table and columns are the only parts that are put in, quoted.
	sql := `
SELECT COALESCE(` + c.id + `::text, ''), o.tableoid::oid, o.ctid::text, COALESCE(` + c.eventType + `::text, ''), ` + c.tenant + `,
       ` + c.time + `, COALESCE(pg_column_size(` + c.payload + `), 0), ` + c.recorded + `, ` + c.doubtful + `
FROM ` + c.table + ` AS o` + c.lives + `
WHERE o.ctid >= @from::text::tid
  AND o.ctid < @to::text::tid` + s.bounded(&c)
	args := s.args(pgx.NamedArgs{"from": fmt.Sprintf("(%d,0)", from), "to": fmt.Sprintf("(%d,0)", from+n)})
	err = s.link.Run(ctx, "read the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		result, err := conn.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(result, func(row pgx.CollectableRow) (r Row, err error) {
			var at *time.Time
			err = row.Scan(&r.ID, &r.OID, &r.TID, &r.Type, &r.Tenant, &at, &r.Size, &r.Recorded, &r.Doubtful)
			r.CreatedAt = orZero(at)
			return r, err
		})
		return err
	})
	return rows, err
}

// RowPlace is a row of the outbox table, and where it was seen. Rows of several partitions may have
// the same TID.
type RowPlace struct {
	ID  string
	OID uint32
	TID string
}

// Events reads events once more, with what is recorded of them by now, in no order. They are where
// they were seen or, if somebody has updated their rows since, where they are now; a row that is
// gone is left out.
func (s *Sweep) Events(ctx context.Context, places []RowPlace) (found []Found, err error) {
	for len(places) > 0 {
		part, err := s.eventsAt(ctx, places)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
		there := make(map[RowPlace]struct{}, len(part))
		for i := range part {
			there[part[i].RowPlace] = struct{}{}
		}
		places = slices.DeleteFunc(slices.Clone(places), func(p RowPlace) bool {
			_, ok := there[p]
			return ok
		})
		if places, err = s.moved(ctx, places); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// split returns the columns of places.
func split(places []RowPlace) (args pgx.NamedArgs) {
	ids, oids, tids := make([]string, len(places)), make([]uint32, len(places)), make([]string, len(places))
	for i, p := range places {
		ids[i], oids[i], tids[i] = p.ID, p.OID, p.TID
	}
	return pgx.NamedArgs{"ids": ids, "oids": oids, "tids": tids}
}

// moved returns the present places of rows that are not where they were.
func (s *Sweep) moved(ctx context.Context, places []RowPlace) (now []RowPlace, err error) {
	if len(places) == 0 {
		return nil, nil
	}
	c := s.columns()
	sql := `
SELECT ` + c.id + `::text, o.tableoid::oid, o.ctid::text
FROM unnest(@ids::text[], @oids::oid[], @tids::text[]) AS was (id, oid, tid)
JOIN ` + c.table + ` AS o ON ` + c.id + ` ` + s.operator("=") + ` was.id::` + s.idType + `
WHERE (o.tableoid, o.ctid) <> (was.oid, was.tid::tid)`
	err = s.link.Run(ctx, "look for rows of the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, split(places))
		if err != nil {
			return err
		}
		now, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RowPlace])
		return err
	})
	return now, err
}

// eventsAt reads the events at these places. What has taken the place of a row is another row.
func (s *Sweep) eventsAt(ctx context.Context, places []RowPlace) (found []Found, err error) {
	c := s.inGap()
	var names []string
	for _, column := range s.mapping.Columns() {
		names = append(names, "o."+pgx.Identifier{column}.Sanitize())
	}
	sql := `
SELECT ` + strings.Join(names, ", ") + `,
       to_json(ARRAY[` + c.id + `::text, o.tableoid::oid::text, o.ctid::text]), to_json(` + c.recorded + `)
FROM ` + c.table + ` AS o` + c.lives + `
WHERE o.ctid = ANY (@tids::text[]::tid[])
  AND o.tableoid = ANY (@oids::oid[])
  AND ` + c.id + `::text = ANY (@ids)`
	wanted := make(map[RowPlace]struct{}, len(places))
	for _, p := range places {
		wanted[p] = struct{}{}
	}
	err = s.link.Run(ctx, "read events of the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		found = found[:0]
		// In text form, as the stream has them.
		rows, err := conn.Query(ctx, sql, AnyColumns, pgx.QueryResultFormats{pgtype.TextFormatCode}, s.args(split(places)))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			f, err := s.decode(rows)
			if err != nil {
				return err
			}
			if _, ok := wanted[f.RowPlace]; ok {
				found = append(found, f)
			}
		}
		return rows.Err()
	})
	return found, err
}

// decode reads a row of Events.
func (s *Sweep) decode(rows pgx.Rows) (Found, error) {
	raw, fields := rows.RawValues(), rows.FieldDescriptions()
	last := len(raw) - 2
	var f Found
	var place [3]string
	types := rows.Conn().TypeMap()
	if err := types.Scan(pgtype.JSONOID, pgtype.TextFormatCode, raw[last], &place); err != nil {
		return f, fmt.Errorf("read where an event is: %w", err)
	}
	oid, err := strconv.ParseUint(place[1], 10, 32)
	if err != nil {
		return f, fmt.Errorf("read where an event is: %w", err)
	}
	f.RowPlace = RowPlace{ID: place[0], OID: uint32(oid), TID: place[2]}
	if err := types.Scan(pgtype.JSONOID, pgtype.TextFormatCode, raw[last+1], &f.Recorded); err != nil {
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
		s.decoder = decoder.In(s.location)
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
