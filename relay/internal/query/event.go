package query

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// Event is an event with what became of it.
type Event struct {
	// Event is the event; its Payload is set only where HasRow says that it was found.
	Event      outbox.Event
	HasRow     bool // the outbox row, or the payload of an unfinished delivery, is still there
	Deliveries []Delivery
	Attempts   []outbox.Attempt // newest first
	More       *AttemptPosition // there are older attempts
}

// maxEventRows bounds the deliveries and attempts of one event that Event returns.
const maxEventRows = 250

// Event returns an event, with the deliveries and attempts to endpoints that the tenant may see.
// ErrNotFound: there is no trace of it, or it belongs to another tenant.
func (s events) Event(ctx context.Context, tenant, id string) (Event, error) {
	var found Event
	err := s.read(ctx, "read the event", func(ctx context.Context, tx pgx.Tx) error {
		return s.traceEvent(ctx, tx, tenant, id, &found)
	})
	return found, err
}

// traceEvent reads all that there is of an event.
func (s events) traceEvent(ctx context.Context, tx pgx.Tx, tenant, id string, found *Event) (err error) {
	*found = Event{}
	filter := ledger.DeliveryFilter{Tenant: tenant, EventID: id}
	where, args := filter.SQL()
	args["limit"] = maxEventRows
	if found.Deliveries, err = many(ctx, tx, deliveryColumns+where+"\nORDER BY d.endpoint_id\nLIMIT @limit", args, scanDelivery); err != nil {
		return err
	}
	page, err := readAttempts(ctx, tx, AttemptQuery{Tenant: tenant, EventID: id, Limit: maxEventRows})
	if err != nil {
		return err
	}
	found.Attempts, found.More = page.Attempts, page.Next
	return s.readEvent(ctx, tx, tenant, id, found)
}

// readEvent finds the event itself: in the outbox table, or with a delivery, or as far as an
// attempt tells of it.
func (s events) readEvent(ctx context.Context, tx pgx.Tx, tenant, id string, found *Event) (err error) {
	found.Event, found.HasRow, err = outboxRow(ctx, tx, s.mapping, id)
	if _, odd := errors.AsType[*outbox.DecodeError](err); odd {
		err = nil // as much of it as can be read
	}
	if pglink.Is(err, pglink.InsufficientPrivilege, pglink.UndefinedTable) {
		err = nil // no right to read it, or no such table: the rest of the answer stands
	}
	switch {
	case err != nil:
		return err
	case found.HasRow && tenant != "" && found.Event.Tenant != tenant && len(found.Deliveries) == 0 && len(found.Attempts) == 0:
		return ErrNotFound
	case found.HasRow:
		return nil
	case len(found.Deliveries) > 0:
		d := &found.Deliveries[0]
		found.Event = d.Event
		found.HasRow = true
		err := tx.QueryRow(ctx, "SELECT payload, extra FROM tailpost.delivery WHERE event_id = @event AND endpoint_id = @endpoint",
			pgx.NamedArgs{"event": id, "endpoint": d.EndpointID}).Scan((*[]byte)(&found.Event.Payload), (*[]byte)(&found.Event.Extra))
		if err != nil {
			return fmt.Errorf("read the payload: %w", err)
		}
		return nil
	case len(found.Attempts) > 0:
		a := &found.Attempts[len(found.Attempts)-1]
		found.Event = outbox.Event{ID: id, Type: a.EventType, Tenant: a.Tenant, CommitLSN: a.CommitLSN}
		return nil
	}
	return ErrNotFound
}

// outboxRow reads the row of an event as the stream would. With a *outbox.DecodeError, ok says that
// there is a row all the same, and the event is what can be read of it.
func outboxRow(ctx context.Context, tx pgx.Tx, m outbox.Mapping, id string) (ev outbox.Event, ok bool, err error) {
	if m.Table == "" {
		return ev, false, nil
	}
	schema, name := m.SchemaAndName()
	sql := "SELECT * FROM " + pgx.Identifier{schema, name}.Sanitize() + " WHERE " + pgx.Identifier{m.ID}.Sanitize() + " = $1"
	table, err := scan.LookAt(ctx, tx, m)
	if err != nil {
		return ev, false, err
	}
	var odd error
	// A savepoint, because an id that is not of the column's type is an error to Postgres, and not
	// found to people.
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, scan.AnyColumns, pgx.QueryResultFormats{pgx.TextFormatCode}, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return rows.Err()
		}
		decoder, err := rowDecoder(m, rows)
		if err != nil {
			return err
		}
		ok = true
		ev, odd = decoder.In(table.Zone()).Decode(rowValues(rows))
		return nil
	})
	if pglink.NoValue(err) { // the id is not of the column's type
		return outbox.Event{}, false, nil
	}
	if err == nil {
		err = odd
	}
	if err != nil {
		err = fmt.Errorf("read the outbox row: %w", err)
	}
	return ev, ok, err
}

// rowDecoder makes the decoder of rows that were read as text.
func rowDecoder(m outbox.Mapping, rows pgx.Rows) (*outbox.Decoder, error) {
	columns := make([]outbox.Column, 0, len(rows.FieldDescriptions()))
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, outbox.Column{Name: f.Name, TypeOID: f.DataTypeOID})
	}
	return outbox.NewDecoder(m, columns)
}

// rowValues are the values of the row that rows is at, as the stream has them.
func rowValues(rows pgx.Rows) []outbox.Value {
	values := make([]outbox.Value, len(rows.RawValues()))
	for i, raw := range rows.RawValues() {
		values[i] = outbox.Value{Kind: outbox.TextValue, Data: raw}
		if raw == nil {
			values[i].Kind = outbox.NullValue
		}
	}
	return values
}

// outboxRows reads the rows of events that were listed, as the stream would. Those that are no
// events, or are gone by now, are missing.
func outboxRows(ctx context.Context, tx pgx.Tx, t *eventTable, ids []string) ([]outbox.Event, error) {
	sql := "SELECT o.* FROM " + t.mapping.QuotedTable() + " AS o WHERE " + t.column(t.mapping.ID) + " = ANY ($1::text[]::" + t.idType + "[])"
	table, err := scan.LookAt(ctx, tx, t.mapping)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, sql, scan.AnyColumns, pgx.QueryResultFormats{pgx.TextFormatCode}, ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var decoder *outbox.Decoder
	events := make([]outbox.Event, 0, len(ids))
	for rows.Next() {
		if decoder == nil {
			if decoder, err = rowDecoder(t.mapping, rows); err != nil {
				return nil, err
			}
			decoder = decoder.In(table.Zone())
		}
		if ev, err := decoder.Decode(rowValues(rows)); err == nil {
			events = append(events, ev)
		}
	}
	return events, rows.Err()
}

const recordedUnderSQL = `
SELECT EXISTS (SELECT FROM tailpost.delivery WHERE event_id = @event)
    OR EXISTS (SELECT FROM tailpost.attempt WHERE event_id = @event)`

// EventID returns the id of an event as it is on record: as the type of the outbox table's column
// writes it, which may have several spellings of one value. An id that is on record as it is, and
// one that is no value of that type, stay as they are.
func (s events) EventID(ctx context.Context, id string) (string, error) {
	if s.mapping.Table == "" {
		return id, nil
	}
	var own string
	err := s.read(ctx, "read the event's id", func(ctx context.Context, tx pgx.Tx) (err error) {
		if own, err = spelledOut(ctx, tx, s.mapping.ID, s.mapping.QuotedTable(), id); err != nil || own == id {
			return err
		}
		var recorded bool // a message may have such an id
		if err = tx.QueryRow(ctx, recordedUnderSQL, pgx.NamedArgs{"event": id}).Scan(&recorded); recorded {
			own = id
		}
		return err
	})
	return own, err
}

// spelledOut returns the id as its row has it, or, where that is gone, as the column's type does.
func spelledOut(ctx context.Context, tx pgx.Tx, column, table, id string) (own string, err error) {
	column = pgx.Identifier{column}.Sanitize()
	sql := "SELECT COALESCE((SELECT o." + column + " FROM " + table + " AS o WHERE o." + column + " = $1 LIMIT 1), $1)"
	own = id
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, scan.AnyColumns, pgx.QueryResultFormats{pgx.TextFormatCode}, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		if rows.Next() && rows.RawValues()[0] != nil {
			own = string(rows.RawValues()[0])
			if rows.FieldDescriptions()[0].DataTypeOID == pgtype.BPCharOID {
				own = strings.TrimRight(own, " ") // as events do
			}
		}
		rows.Close()
		return rows.Err()
	})
	if pglink.NoValue(err) || pglink.Is(err, pglink.InsufficientPrivilege, pglink.UndefinedTable) {
		return id, nil // the id is that of a message, or what there is has to be found without the table
	}
	if err != nil {
		err = fmt.Errorf("read the id: %w", err)
	}
	return own, err
}
