package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// A message is a sequence of CBOR items (RFC 8742): a head, then its entries.

// version is that of the messages' form. A reader of a stream refuses every other one.
const version = 1

// kind is what an entry is. The numbers are in the messages.
type kind uint8

const (
	beginEntry kind = iota + 1
	eventEntry
	rowEntry
	dueEntry
	commitEntry
	keepaliveEntry
	pieceEntry
)

// head begins each message.
type head struct {
	Version  int         `cbor:"1,keyasint"`
	Epoch    int64       `cbor:"2,keyasint"`
	Number   uint64      `cbor:"3,keyasint"` // among the epoch's messages of this partition, from 1
	Origin   string      `cbor:"4,keyasint"`
	Timeline int32       `cbor:"5,keyasint"`
	Open     *wireCommit `cbor:"6,keyasint,omitempty"` // the transaction that is open where the message begins
	Routing  int64       `cbor:"7,keyasint,omitempty"`
}

func (h *head) by() By { return By{Origin: h.Origin, Timeline: h.Timeline, Epoch: h.Epoch} }

// entry is a call of a Handler, or a piece of an entry that is too large for one message.
type entry struct {
	Kind     kind            `cbor:"1,keyasint"`
	Commit   *wireCommit     `cbor:"2,keyasint,omitempty"` // of beginEntry
	Event    *wireEvent      `cbor:"3,keyasint,omitempty"`
	Row      *wireRow        `cbor:"4,keyasint,omitempty"`
	Endpoint string          `cbor:"5,keyasint,omitempty"` // of dueEntry
	Position source.Position `cbor:"6,keyasint,omitempty"` // of keepaliveEntry; of commitEntry its end
	Piece    *piece          `cbor:"7,keyasint,omitempty"`
	Awaited  bool            `cbor:"8,keyasint,omitempty"` // of keepaliveEntry: somebody waits until that is recorded
}

// wireCommit identifies a transaction.
type wireCommit struct {
	Commit source.Position `cbor:"1,keyasint"`
	At     moment          `cbor:"2,keyasint"`
}

// piece is a part of an encoded entry.
type piece struct {
	Index int    `cbor:"1,keyasint"`
	Last  bool   `cbor:"2,keyasint"`
	Data  []byte `cbor:"3,keyasint"`
}

// moment is a time, to the nanosecond and in UTC.
type moment struct {
	_    struct{} `cbor:",toarray"`
	Sec  int64
	Nano int64
}

func momentOf(t time.Time) moment { return moment{Sec: t.Unix(), Nano: int64(t.Nanosecond())} }

func (m moment) time() time.Time { return time.Unix(m.Sec, m.Nano).UTC() }

// wireEvent is an outbox.Event, and why it is none that can be delivered. What may be nil or empty
// is never left out, so that it comes out as it was.
type wireEvent struct {
	ID        string            `cbor:"1,keyasint"`
	Type      string            `cbor:"2,keyasint"`
	Key       string            `cbor:"3,keyasint,omitempty"`
	Tenant    string            `cbor:"4,keyasint,omitempty"`
	Payload   []byte            `cbor:"5,keyasint"`
	Headers   map[string]string `cbor:"6,keyasint"`
	Extra     []byte            `cbor:"7,keyasint"`
	CreatedAt moment            `cbor:"8,keyasint"`
	DeliverAt *moment           `cbor:"9,keyasint,omitempty"` // nil: the zero time
	ExpiresAt *moment           `cbor:"10,keyasint,omitempty"`
	CommitLSN uint64            `cbor:"11,keyasint"`
	Seq       int64             `cbor:"12,keyasint"`
}

// wireRow is a source.Row. The table is an item of its own, so that two rows can be seen to have
// the same one.
type wireRow struct {
	Table   cbor.RawMessage `cbor:"1,keyasint"`
	Values  []wireValue     `cbor:"2,keyasint"`
	Deleted bool            `cbor:"3,keyasint"`
	Place   int64           `cbor:"4,keyasint"`
	Seq     int64           `cbor:"5,keyasint"`
}

type wireTable struct {
	OID     uint32       `cbor:"1,keyasint"`
	Schema  string       `cbor:"2,keyasint"`
	Name    string       `cbor:"3,keyasint"`
	Columns []wireColumn `cbor:"4,keyasint"`
}

type wireColumn struct {
	_        struct{} `cbor:",toarray"`
	Name     string
	TypeOID  uint32
	BaseOID  uint32
	TypeName string
}

type wireValue struct {
	_    struct{} `cbor:",toarray"`
	Kind outbox.ValueKind
	Data []byte
}

// codec encodes and decodes items. It is safe for concurrent use.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCodec() codec {
	enc, err := cbor.EncOptions{}.EncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	dec, err := cbor.DecOptions{
		// A text column of a database in SQL_ASCII may hold any bytes.
		UTF8:             cbor.UTF8DecodeInvalid,
		MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constant
	}
	return codec{enc: enc, dec: dec}
}

// encode returns an item. What it gets can always be encoded.
func (c codec) encode(item any) []byte {
	b, err := c.enc.Marshal(item)
	if err != nil {
		panic(fmt.Sprintf("jetstream: encode %T: %v", item, err))
	}
	return b
}

// event returns the entry of an event.
func (c codec) event(ev *outbox.Event) []byte {
	w := &wireEvent{
		ID: ev.ID, Type: ev.Type, Key: ev.Key, Tenant: ev.Tenant, Payload: ev.Payload, Headers: ev.Headers, Extra: ev.Extra,
		CreatedAt: momentOf(ev.CreatedAt), CommitLSN: uint64(ev.CommitLSN), Seq: ev.Seq,
	}
	if !ev.DeliverAt.IsZero() {
		m := momentOf(ev.DeliverAt)
		w.DeliverAt = &m
	}
	if !ev.ExpiresAt.IsZero() {
		m := momentOf(ev.ExpiresAt)
		w.ExpiresAt = &m
	}
	return c.encode(entry{Kind: eventEntry, Event: w})
}

// outbox returns the event. Nothing of it is shared with the message.
func (w *wireEvent) outbox() outbox.Event {
	ev := outbox.Event{
		ID: w.ID, Type: w.Type, Key: w.Key, Tenant: w.Tenant, Payload: json.RawMessage(w.Payload), Headers: w.Headers,
		Extra: json.RawMessage(w.Extra), CreatedAt: w.CreatedAt.time(), CommitLSN: outbox.LSN(w.CommitLSN), Seq: w.Seq,
	}
	if w.DeliverAt != nil {
		ev.DeliverAt = w.DeliverAt.time()
	}
	if w.ExpiresAt != nil {
		ev.ExpiresAt = w.ExpiresAt.time()
	}
	return ev
}

// row returns the entry of a row, with its table as the item that table returns.
func (c codec) row(r *source.Row, table []byte) []byte {
	w := &wireRow{Table: table, Deleted: r.Deleted, Place: r.Place, Seq: r.Seq}
	if r.Values != nil {
		w.Values = make([]wireValue, len(r.Values))
	}
	for i, v := range r.Values {
		w.Values[i] = wireValue{Kind: v.Kind, Data: v.Data}
	}
	return c.encode(entry{Kind: rowEntry, Row: w})
}

func (c codec) table(t *source.Table) []byte {
	w := wireTable{OID: t.OID, Schema: t.Schema, Name: t.Name}
	if t.Columns != nil {
		w.Columns = make([]wireColumn, len(t.Columns))
	}
	for i, col := range t.Columns {
		w.Columns[i] = wireColumn{Name: col.Name, TypeOID: col.TypeOID, BaseOID: col.BaseOID, TypeName: col.TypeName}
	}
	return c.encode(w)
}

// source returns the row of a table.
func (w *wireRow) source(t *source.Table) source.Row {
	r := source.Row{Table: t, Deleted: w.Deleted, Place: w.Place, Seq: w.Seq}
	if w.Values != nil {
		r.Values = make([]outbox.Value, len(w.Values))
	}
	for i, v := range w.Values {
		r.Values[i] = outbox.Value{Kind: v.Kind, Data: v.Data}
	}
	return r
}

func (c codec) decodeTable(item []byte) (*source.Table, error) {
	var w wireTable
	if err := c.dec.Unmarshal(item, &w); err != nil {
		return nil, fmt.Errorf("read the table of a row: %w", err)
	}
	t := &source.Table{OID: w.OID, Schema: w.Schema, Name: w.Name}
	if w.Columns != nil {
		t.Columns = make([]outbox.Column, len(w.Columns))
	}
	for i, col := range w.Columns {
		t.Columns[i] = outbox.Column{Name: col.Name, TypeOID: col.TypeOID, BaseOID: col.BaseOID, TypeName: col.TypeName}
	}
	return t, nil
}

// errForm says that bytes are no message of ours.
var errForm = errors.New("it is not a message of Tailpost's")

// decodeHead reads the head of a message and returns its entries, which are not read yet.
func (c codec) decodeHead(data []byte) (h head, entries []byte, err error) {
	var v struct {
		Version int `cbor:"1,keyasint"`
	}
	if _, err := c.dec.UnmarshalFirst(data, &v); err != nil || v.Version == 0 {
		return h, nil, errForm
	}
	if v.Version != version {
		return h, nil, fmt.Errorf("its form is version %d and this release knows version %d: run the release that wrote it", v.Version, version)
	}
	if entries, err = c.dec.UnmarshalFirst(data, &h); err != nil {
		return h, nil, fmt.Errorf("%w: %w", errForm, err)
	}
	if h.Number == 0 {
		return h, nil, fmt.Errorf("%w: it has no number", errForm)
	}
	return h, entries, nil
}

// next reads the first entry and returns the rest.
func (c codec) next(entries []byte) (e entry, rest []byte, err error) {
	if rest, err = c.dec.UnmarshalFirst(entries, &e); err != nil {
		return e, nil, fmt.Errorf("%w: %w", errForm, err)
	}
	complete := true
	switch e.Kind {
	case beginEntry:
		complete = e.Commit != nil
	case eventEntry:
		complete = e.Event != nil
	case rowEntry:
		complete = e.Row != nil
	case pieceEntry:
		complete = e.Piece != nil
	case dueEntry, commitEntry, keepaliveEntry:
	default:
		return e, nil, fmt.Errorf("%w: it has an entry of kind %d", errForm, e.Kind)
	}
	if !complete {
		return e, nil, fmt.Errorf("%w: an entry of kind %d lacks its content", errForm, e.Kind)
	}
	return e, rest, nil
}
