package outbox

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PgxTx is what this package needs of pgx. pgx.Tx has it and is what to pass when writing events;
// so have *pgx.Conn and *pgxpool.Pool, with which an event would be a transaction of its own.
type PgxTx interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// SQLTx is what this package needs of database/sql with a Postgres driver. *sql.Tx has it and is
// what to pass.
type SQLTx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Insert writes events to the table of DefaultMapping inside the caller's transaction, in one round
// trip, and returns their ids in order. See Writer.Insert.
func Insert(ctx context.Context, tx PgxTx, events ...Event) ([]string, error) {
	w, err := NewWriter(DefaultMapping())
	if err != nil {
		return nil, err
	}
	return w.Insert(ctx, tx, events...)
}

// InsertSQL is Insert for database/sql.
func InsertSQL(ctx context.Context, tx SQLTx, events ...Event) ([]string, error) {
	w, err := NewWriter(DefaultMapping())
	if err != nil {
		return nil, err
	}
	return w.InsertSQL(ctx, tx, events...)
}

// Writer writes events to a table of the application's own. It is immutable and safe for concurrent
// use.
type Writer struct {
	mapping      Mapping
	zone         *time.Location // of columns that have none
	insert       string         // the statement up to its rows
	returning    string         // the statement after its rows
	databaseIDs  bool
	byteaPayload bool
}

// WriterOption changes how a Writer writes.
type WriterOption func(*Writer)

// WithDatabaseIDs leaves the id to the column's default, for example an identity column. Events
// must then have no ID, and the writing role needs SELECT on the id column, because the ids are
// read back.
func WithDatabaseIDs() WriterOption {
	return func(w *Writer) { w.databaseIDs = true }
}

// WithByteaPayload says that the payload column is of type bytea.
func WithByteaPayload() WriterOption {
	return func(w *Writer) { w.byteaPayload = true }
}

// NewWriter makes a Writer for the mapped table. It does not look at the database.
func NewWriter(m Mapping, options ...WriterOption) (*Writer, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	w := &Writer{mapping: m, zone: time.UTC}
	if zone, err := m.Location(); err == nil && zone != nil {
		w.zone = zone
	}
	for _, option := range options {
		option(w)
	}
	var columns []string
	for i, f := range m.fields() {
		if f.column != "" && (i != fieldID || !w.databaseIDs) {
			columns = append(columns, pgx.Identifier{f.column}.Sanitize())
		}
	}
	for _, name := range m.extraNames() {
		columns = append(columns, pgx.Identifier{m.Extra[name]}.Sanitize())
	}
	w.insert = "INSERT INTO " + m.QuotedTable() + " (" + strings.Join(columns, ", ") + ")\nVALUES "
	if w.databaseIDs {
		w.returning = "\nRETURNING " + pgx.Identifier{m.ID}.Sanitize() + "::text"
	}
	return w, nil
}

// Insert writes events inside the caller's transaction and returns their ids in order. It is one
// statement for up to about 7,000 events. An event without ID gets a UUIDv7; every other field that
// is empty takes its column's default. A field that is set but has no column is an error, as is all
// else that ErrInvalidEvent stands for: nothing is lost in silence. Calling it without events does
// nothing.
//
// A column of a type without a time zone gets the time of Mapping.TimeZone, or of UTC where that is
// empty: name the zone where the database's is another one, as the relay takes it for that.
//
// Postgres checks the values too: a jsonb payload, for example, may not hold \u0000. Its error
// leaves the transaction aborted, as always. A jsonb column keeps the meaning of a payload but not
// its bytes (spaces, order and duplicates of names); use a json, text or bytea column where
// receivers must get the very bytes.
func (w *Writer) Insert(ctx context.Context, tx PgxTx, events ...Event) ([]string, error) {
	return w.write(events, func(s statement) ([]string, error) {
		if !w.databaseIDs {
			_, err := tx.Exec(ctx, s.sql, s.args...)
			return s.ids, err
		}
		rows, err := tx.Query(ctx, s.sql, s.args...)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[string])
	})
}

// InsertSQL is Insert for database/sql.
func (w *Writer) InsertSQL(ctx context.Context, tx SQLTx, events ...Event) ([]string, error) {
	return w.write(events, func(s statement) ([]string, error) {
		if !w.databaseIDs {
			_, err := tx.ExecContext(ctx, s.sql, s.args...)
			return s.ids, err
		}
		rows, err := tx.QueryContext(ctx, s.sql, s.args...)
		if err != nil {
			return nil, err
		}
		return collectStrings(rows)
	})
}

func collectStrings(rows *sql.Rows) (values []string, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		values = append(values, s)
	}
	return values, rows.Err()
}

// statement inserts some rows. Every argument is a string: as text of unknown type it takes the
// type of its column, whatever that is, with every driver and in every protocol mode.
type statement struct {
	sql  string
	args []any
	ids  []string
}

// maxParameters is how many parameters a statement may have in Postgres' protocol.
const maxParameters = 65535

func (w *Writer) write(events []Event, run func(statement) ([]string, error)) ([]string, error) {
	ids, err := w.prepare(events)
	if err != nil {
		return nil, err
	}
	most := maxParameters / (fieldCount + len(w.mapping.Extra))
	written := make([]string, 0, len(events))
	for from := 0; from < len(events); from += most {
		to := min(from+most, len(events))
		s, err := w.statement(events[from:to], ids[from:to])
		if err != nil {
			return nil, err
		}
		got, err := run(s)
		if err != nil {
			return nil, fmt.Errorf("insert into outbox table %s: %w", w.mapping.Table, err)
		}
		if len(got) != len(s.ids) {
			return nil, fmt.Errorf("insert into outbox table %s: it gave back %d ids for %d events; does a trigger keep rows out?", w.mapping.Table, len(got), len(s.ids))
		}
		written = append(written, got...)
	}
	return written, nil
}

func (w *Writer) prepare(events []Event) ([]string, error) {
	fields := w.mapping.fields()
	for i := range events {
		e := &events[i]
		if w.databaseIDs && e.ID != "" {
			return nil, invalid(i, len(events), "it has an id, but this writer leaves ids to the database")
		}
		for f, set := range [...]bool{
			fieldKey: e.Key != "", fieldTenant: e.Tenant != "", fieldHeaders: len(e.Headers) > 0, fieldCreatedAt: !e.CreatedAt.IsZero(),
			fieldDeliverAt: !e.DeliverAt.IsZero(), fieldExpiresAt: !e.ExpiresAt.IsZero(),
		} {
			if set && fields[f].column == "" {
				return nil, invalid(i, len(events), fmt.Sprintf("its %s is set, but table %s has no column for it", fields[f].name, w.mapping.Table))
			}
		}
		if name := w.mapping.unmappedExtra(e); name != "" {
			return nil, invalid(i, len(events), fmt.Sprintf("its extra %q is set, but table %s has no column for it", name, w.mapping.Table))
		}
	}
	return prepare(events)
}

func (w *Writer) statement(events []Event, ids []string) (statement, error) {
	s := statement{args: make([]any, 0, len(events)*fieldCount), ids: ids}
	var b strings.Builder
	b.WriteString(w.insert)
	for i := range events {
		values, err := w.values(&events[i], ids[i])
		if err != nil {
			return statement{}, invalid(i, len(events), err.Error())
		}
		if i > 0 {
			b.WriteString(",\n       ")
		}
		separator := "("
		add := func(value any) {
			b.WriteString(separator)
			separator = ", "
			if value == nil {
				b.WriteString("DEFAULT")
				return
			}
			s.args = append(s.args, value)
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(len(s.args)))
		}
		for f, column := range w.mapping.fields() {
			if column.column != "" && (f != fieldID || !w.databaseIDs) {
				add(values[f])
			}
		}
		for _, name := range w.mapping.extraNames() {
			value, err := events[i].extraText(name)
			if err != nil {
				return statement{}, invalid(i, len(events), err.Error())
			}
			add(value)
		}
		b.WriteByte(')')
	}
	b.WriteString(w.returning)
	s.sql = b.String()
	return s, nil
}

// values returns each field as text, nil where the column's default is wanted.
func (w *Writer) values(e *Event, id string) (values [fieldCount]any, err error) {
	headers, err := e.headersJSON()
	if err != nil {
		return values, err
	}
	for f, text := range [...]string{fieldID: id, fieldType: e.Type, fieldKey: e.Key, fieldTenant: e.Tenant, fieldHeaders: headers} {
		if text != "" {
			values[f] = text
		}
	}
	switch {
	case e.Payload == nil:
	case w.byteaPayload:
		values[fieldPayload] = `\x` + hex.EncodeToString(e.Payload)
	default:
		values[fieldPayload] = string(e.Payload)
	}
	for f, t := range [...]time.Time{fieldCreatedAt: e.CreatedAt, fieldDeliverAt: e.DeliverAt, fieldExpiresAt: e.ExpiresAt} {
		if !t.IsZero() {
			// A column without time zone ignores the offset, so the clock must show its zone.
			values[f] = t.In(w.zone).Format(time.RFC3339Nano)
		}
	}
	return values, nil
}
