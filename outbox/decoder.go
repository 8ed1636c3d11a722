package outbox

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// DecodeError says that a row or a logical message is not an event, and why. It holds no part of
// the content.
type DecodeError struct {
	Table   string // empty: a logical message
	Column  string // the column, or the field of a logical message; empty: the whole of it
	Problem string
}

// Error names the place and the problem.
func (e *DecodeError) Error() string {
	place := "logical message"
	if e.Table != "" {
		place = "row of " + e.Table
	}
	if e.Column == "" {
		return fmt.Sprintf("decode %s: it %s", place, e.Problem)
	}
	return fmt.Sprintf("decode %s: %q %s", place, e.Column, e.Problem)
}

// maxInterned bounds what interning may keep; an application has tens of event types, not
// thousands.
const (
	maxInterned    = 4096
	maxInternedLen = 256
)

// Decoder turns streamed rows of one table into events. It is not safe for concurrent use.
type Decoder struct {
	table  string
	zone   *time.Location // of times that name none
	at     [fieldCount]source
	extras []extraSource
	types  map[string]string
}

// source is where a field is found in a row.
type source struct {
	index  int // -1: nowhere
	column string
	oid    uint32
}

// NewDecoder makes a Decoder for rows with these columns, which are those of the stream: text form,
// encoding UTF8, DateStyle ISO. A mapping that does not fit them is an error that names every
// problem at once, as CheckColumns does.
func NewDecoder(m Mapping, columns []Column) (*Decoder, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	if err := m.CheckColumns(columns); err != nil {
		return nil, err
	}
	d := &Decoder{table: m.Table, zone: time.UTC, extras: m.extraSources(columns), types: make(map[string]string)}
	for i, f := range m.Fit(names(columns)).fields() {
		d.at[i] = source{index: -1, column: f.column}
		for at, c := range columns {
			if c.Name == f.column {
				d.at[i].index, d.at[i].oid = at, c.base()
			}
		}
	}
	return d, nil
}

// In has the Decoder take times that name no zone for those of a location, instead of UTC. It
// returns the Decoder.
func (d *Decoder) In(zone *time.Location) *Decoder {
	d.zone = zone
	return d
}

// Decode turns a row into an event. It copies everything it keeps.
//
//	id          any type, as its text form; NULL or empty is an error
//	type        text; NULL or empty is an error
//	key, tenant text, number or any type, as its text form
//	payload     json, jsonb, text: the bytes as they are, even where text is not JSON; bytea: the
//	            bytes it stands for; NULL: nil
//	headers     a JSON object; names in lower case, of equal names the last wins. Strings are
//	            taken as they are, numbers and booleans as they are written; null, objects and
//	            arrays are dropped, since they have no header form
//	created_at  timestamptz, timestamp or date (taken as UTC, see In); NULL, infinite, outside
//	            the years 2 to 9998 or no such column: Event.CreatedAt is zero and the caller
//	            takes the transaction's commit time
//	deliver_at  a time as above; NULL, -infinity or before the year 2: at once. Infinity or after
//	            the year 9998 is an error: the event would never be delivered
//	expires_at  a time as above; NULL, infinity or after the year 9998: never. -infinity or before
//	            the year 2: it is over already
//	extra       a JSON object with a member of each column: numbers and bools as such, NULL as
//	            null, json and jsonb as they are, timestamptz in RFC 3339 and UTC, all others as
//	            texts; so are NaN and the infinities
//
// What does not fit is a *DecodeError; the Event is returned as far as it could be read, so that it
// can be recorded. CommitLSN and Seq are the caller's.
func (d *Decoder) Decode(row []Value) (Event, error) {
	var e Event
	var texts [fieldTenant + 1][]byte
	size := 0
	for f := range texts {
		data, _, err := d.value(row, f)
		if err != nil {
			return e, err
		}
		texts[f] = data
		if f != fieldType {
			size += len(data)
		}
	}

	// One string for id, key and tenant: they live as long as the event.
	var b strings.Builder
	b.Grow(size)
	for _, f := range [...]int{fieldID, fieldKey, fieldTenant} {
		b.Write(texts[f])
	}
	all := b.String()
	id, key := len(texts[fieldID]), len(texts[fieldKey])
	e.ID, e.Key, e.Tenant = all[:id], all[id:id+key], all[id+key:]
	e.Type = d.intern(texts[fieldType])

	if e.ID == "" {
		return e, d.problem(fieldID, "is NULL or empty, but it identifies the event")
	}
	if e.Type == "" {
		return e, d.problem(fieldType, "is NULL or empty, but subscriptions match on it")
	}
	err := d.decodeRest(row, &e)
	return e, err
}

func (d *Decoder) decodeRest(row []Value, e *Event) error {
	if err := d.decodeTimes(row, e); err != nil {
		return err
	}
	headers, ok, err := d.value(row, fieldHeaders)
	if err != nil {
		return err
	}
	if ok {
		if e.Headers, ok = decodeHeaders(headers); !ok {
			return d.problem(fieldHeaders, "is not a JSON object")
		}
	}

	if e.Extra, err = d.extra(row); err != nil {
		return err
	}

	payload, ok, err := d.value(row, fieldPayload)
	if err != nil {
		return err
	}
	if !ok {
		return nil
	}
	if d.at[fieldPayload].oid != pgtype.ByteaOID {
		e.Payload = append(make([]byte, 0, len(payload)), payload...)
		return nil
	}
	if e.Payload, ok = decodeBytea(payload); !ok {
		return d.problem(fieldPayload, "is not a bytea in hex or escape form")
	}
	return nil
}

// decodeTimes reads the times of an event.
func (d *Decoder) decodeTimes(row []Value, e *Event) error {
	for _, f := range [...]int{fieldCreatedAt, fieldDeliverAt, fieldExpiresAt} {
		text, ok, err := d.value(row, f)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		at, ok := parseMoment(text)
		if !ok {
			return d.problem(f, "is not a timestamp in ISO form")
		}
		if at.era == 0 {
			at.Time = d.time(at.Time, d.at[f].oid)
		}
		if problem := e.setTime(f, at); problem != "" {
			return d.problem(f, problem)
		}
	}
	return nil
}

// time places a time in the Decoder's zone where its type has none.
func (d *Decoder) time(t time.Time, oid uint32) time.Time {
	if oid == pgtype.TimestampOID || oid == pgtype.DateOID {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), d.zone).UTC()
	}
	return t
}

// value is the text form of a field; ok is false where it is NULL or has no column.
func (d *Decoder) value(row []Value, f int) (data []byte, ok bool, err error) {
	return d.read(row, &d.at[f])
}

func (d *Decoder) read(row []Value, at *source) (data []byte, ok bool, err error) {
	if at.index < 0 {
		return nil, false, nil
	}
	if at.index >= len(row) {
		return nil, false, d.odd(at, fmt.Sprintf("is column %d of a row of %d", at.index+1, len(row)))
	}
	v := row[at.index]
	switch v.Kind {
	case NullValue:
		return nil, false, nil
	case TextValue:
		if at.oid == pgtype.BPCharOID {
			// char(n) is padded; the padding has no meaning.
			return bytes.TrimRight(v.Data, " "), true, nil
		}
		return v.Data, true, nil
	case UnchangedTOAST:
		return nil, false, d.odd(at, "was left alone by an UPDATE and is not in the stream")
	default:
		return nil, false, d.odd(at, "is not in text form")
	}
}

func (d *Decoder) problem(f int, problem string) error { return d.odd(&d.at[f], problem) }

func (d *Decoder) odd(at *source, problem string) error {
	return &DecodeError{Table: d.table, Column: at.column, Problem: problem}
}

// intern returns the one copy of a type that all its events share.
func (d *Decoder) intern(data []byte) string {
	if s, ok := d.types[string(data)]; ok {
		return s
	}
	s := string(data)
	if len(s) <= maxInternedLen && len(d.types) < maxInterned {
		d.types[s] = s
	}
	return s
}
