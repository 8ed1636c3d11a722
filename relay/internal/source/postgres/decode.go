package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// The first byte of what pgoutput sends (the Postgres manual, "Logical Replication Message
// Formats").
const (
	codeBegin    = 'B'
	codeCommit   = 'C'
	codeOrigin   = 'O'
	codeRelation = 'R'
	codeType     = 'Y'
	codeInsert   = 'I'
	codeUpdate   = 'U'
	codeDelete   = 'D'
	codeTruncate = 'T'
	codeMessage  = 'M'

	codeStreamAbort = 'A'
)

// The byte in front of a tuple says which row it is.
const (
	tupleNew = 'N'
	tupleKey = 'K' // the old row's replica identity, NULL elsewhere
	tupleOld = 'O' // the whole old row (REPLICA IDENTITY FULL)
)

// flagTransactional marks a logical message that belongs to its transaction.
const flagTransactional = 1

var errCutShort = errors.New("cut short")

// decoder turns pgoutput's protocol 1 into calls of a Handler. It trusts no length and no order.
type decoder struct {
	h         Handler
	relations map[uint32]*source.Table
	domains   map[uint32]uint32 // the types beneath, as far as they are Postgres' own
	types     *pgtype.Map       // Postgres' own
	row       []outbox.Value    // used again for every row
	old       []outbox.Value    // used again for every old row
	prefix    string            // of the last logical message: they come in runs
	tx        Tx
	inside    bool // between Begin and Commit
}

func newDecoder(h Handler) *decoder {
	return &decoder{h: h, relations: make(map[uint32]*source.Table), domains: make(map[uint32]uint32), types: pgtype.NewMap()}
}

// decode handles one piece of pgoutput's output. An error of the handler comes back as
// handlerError.
func (d *decoder) decode(data []byte) error {
	in := input{rest: data}
	code := in.byte()
	if in.short {
		return errors.New("decode pgoutput: empty")
	}
	err := d.dispatch(code, &in)
	if err == nil || errors.As(err, new(handlerError)) {
		return err
	}
	return fmt.Errorf("decode pgoutput %q: %w", rune(code), err)
}

func (d *decoder) dispatch(code byte, in *input) error {
	switch code {
	case codeInsert:
		return d.insert(in)
	case codeBegin:
		return d.begin(in)
	case codeCommit:
		return d.commit(in)
	case codeMessage:
		return d.message(in)
	case codeUpdate:
		return d.update(in)
	case codeDelete:
		return d.delete(in)
	case codeTruncate:
		return d.truncate(in)
	case codeRelation:
		return d.relation(in)
	case codeType:
		return d.named(in)
	case codeOrigin:
		// Where a transaction came from: nobody here asks.
		return nil
	case codeStreamAbort:
		// Postgres 18 says so, unasked, of a subtransaction that was rolled back and too large for
		// its memory. Nothing of it was sent.
		return nil
	default:
		return errors.New("unknown code: is another output plugin or protocol version in use")
	}
}

func (d *decoder) begin(in *input) error {
	tx := Tx{CommitLSN: in.lsn(), Time: in.time(), XID: in.uint32()}
	switch {
	case in.short:
		return errCutShort
	case d.inside:
		return errors.New("a transaction is open already")
	}
	d.tx, d.inside = tx, true
	return fromHandler(d.h.Begin(tx))
}

func (d *decoder) commit(in *input) error {
	in.byte() // flags, none in use
	commit, end, at := in.lsn(), in.lsn(), in.time()
	switch {
	case in.short:
		return errCutShort
	case !d.inside:
		return errors.New("no transaction is open")
	case commit != d.tx.CommitLSN:
		return fmt.Errorf("it commits at %s, the open transaction at %s", commit, d.tx.CommitLSN)
	}
	d.tx.EndLSN, d.tx.Time = end, at
	d.inside = false
	return fromHandler(d.h.Commit(d.tx))
}

func (d *decoder) insert(in *input) error {
	rel, err := d.related(in)
	if err != nil {
		return err
	}
	if kind := in.byte(); kind != tupleNew && !in.short {
		return fmt.Errorf("unknown tuple %q", rune(kind))
	}
	row, err := d.tuple(in, rel)
	if err != nil {
		return err
	}
	return fromHandler(d.h.Change(Insert, rel, row))
}

func (d *decoder) update(in *input) error {
	rel, err := d.related(in)
	if err != nil {
		return err
	}
	kind := in.byte()
	var old []outbox.Value
	if kind == tupleKey || kind == tupleOld {
		row, err := d.tuple(in, rel)
		if err != nil {
			return err
		}
		if kind == tupleOld {
			old = append(d.old[:0], row...)
			d.old = old
		}
		kind = in.byte()
	}
	if kind != tupleNew && !in.short {
		return fmt.Errorf("unknown tuple %q", rune(kind))
	}
	row, err := d.tuple(in, rel)
	if err != nil {
		return err
	}
	// What is stored out of line and did not change is sent with the old row only.
	for i := range old {
		if row[i].Kind == outbox.UnchangedTOAST {
			row[i] = old[i]
		}
	}
	return fromHandler(d.h.Change(Update, rel, row))
}

func (d *decoder) delete(in *input) error {
	rel, err := d.related(in)
	if err != nil {
		return err
	}
	if kind := in.byte(); kind != tupleKey && kind != tupleOld && !in.short {
		return fmt.Errorf("unknown tuple %q", rune(kind))
	}
	row, err := d.tuple(in, rel)
	if err != nil {
		return err
	}
	return fromHandler(d.h.Change(Delete, rel, row))
}

func (d *decoder) truncate(in *input) error {
	n := in.uint32()
	in.byte() // CASCADE, RESTART IDENTITY
	// Each needs its bytes, so a count that lies ends with the input.
	for range n {
		rel, err := d.related(in)
		if err != nil {
			return err
		}
		if err := d.h.Change(Truncate, rel, nil); err != nil {
			return fromHandler(err)
		}
	}
	if in.short {
		return errCutShort
	}
	return nil
}

func (d *decoder) message(in *input) error {
	flags := in.byte()
	in.lsn() // of the message itself; its transaction's counts
	prefix := in.string()
	content := in.bytes(in.uint32())
	if in.short {
		return errCutShort
	}
	if flags&flagTransactional == 0 {
		d.h.NonTransactional(string(prefix))
		return nil
	}
	if !d.inside {
		return errors.New("no transaction is open")
	}
	if string(prefix) != d.prefix { // compares without allocating
		d.prefix = string(prefix)
	}
	return fromHandler(d.h.Message(d.prefix, content))
}

// relation remembers a table's definition. Postgres repeats it after every invalidation; a
// *source.Table stays the same until something in it changes, so that a Handler may remember what
// it worked out for it.
func (d *decoder) relation(in *input) error {
	rel := &source.Table{OID: in.uint32(), Schema: string(in.string()), Name: string(in.string())}
	if rel.Schema == "" {
		rel.Schema = "pg_catalog" // pgoutput leaves this one out
	}
	in.byte() // replica identity
	n := in.uint16()
	if in.short || int(n) > len(in.rest) {
		return errCutShort
	}
	rel.Columns = make([]outbox.Column, 0, n)
	for range n {
		in.byte() // flags: part of the key
		name := string(in.string())
		typeOID := in.uint32()
		in.uint32() // type modifier
		rel.Columns = append(rel.Columns, outbox.Column{Name: name, TypeOID: typeOID, BaseOID: d.domains[typeOID]})
	}
	if in.short {
		return errCutShort
	}
	if old := d.relations[rel.OID]; old == nil || !same(old, rel) {
		d.relations[rel.OID] = rel
	}
	return nil
}

// named notes what a domain is made of: in front of a table that has one, Postgres sends the
// domain's OID with the name of the type beneath, whether or not the domain is there by now. Of any
// other type that somebody made it sends that type's own name.
func (d *decoder) named(in *input) error {
	oid, schema, name := in.uint32(), in.string(), in.string()
	if in.short {
		return errCutShort
	}
	if len(schema) > 0 { // pgoutput leaves out pg_catalog
		return nil
	}
	if beneath, ok := d.types.TypeForName(string(name)); ok {
		d.domains[oid] = beneath.OID
	}
	return nil
}

// related reads the OID of the table that a change belongs to.
func (d *decoder) related(in *input) (*source.Table, error) {
	oid := in.uint32()
	if in.short {
		return nil, errCutShort
	}
	if !d.inside {
		return nil, errors.New("no transaction is open")
	}
	rel := d.relations[oid]
	if rel == nil {
		return nil, fmt.Errorf("table with OID %d was not described", oid)
	}
	return rel, nil
}

// tuple reads a row of rel into the shared slice.
func (d *decoder) tuple(in *input, rel *source.Table) ([]outbox.Value, error) {
	n := int(in.uint16())
	if in.short {
		return nil, errCutShort
	}
	if n != len(rel.Columns) {
		return nil, fmt.Errorf("row of %d columns, %s.%s was described with %d", n, rel.Schema, rel.Name, len(rel.Columns))
	}
	row := d.row[:0]
	for range n {
		value := outbox.Value{Kind: outbox.ValueKind(in.byte())}
		switch value.Kind {
		case outbox.TextValue:
			value.Data = in.bytes(in.uint32())
		case outbox.NullValue, outbox.UnchangedTOAST:
		default:
			if !in.short {
				return nil, fmt.Errorf("value of unknown kind %q", rune(value.Kind))
			}
		}
		row = append(row, value)
	}
	d.row = row
	if in.short {
		return nil, errCutShort
	}
	return row, nil
}

// same reports whether a table, by its OID, is described as before.
func same(r, o *source.Table) bool {
	if r.Schema != o.Schema || r.Name != o.Name || len(r.Columns) != len(o.Columns) {
		return false
	}
	for i, c := range r.Columns {
		if c != o.Columns[i] {
			return false
		}
	}
	return true
}

// input reads big-endian values off the front of rest. Past the end it returns zeros and sets
// short, so that a sequence of reads needs one check.
type input struct {
	rest  []byte
	short bool
}

func (in *input) next(n int) []byte {
	if n > len(in.rest) {
		in.rest, in.short = nil, true
		return nil
	}
	b := in.rest[:n:n]
	in.rest = in.rest[n:]
	return b
}

func (in *input) byte() byte {
	if b := in.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (in *input) uint16() uint16 {
	if b := in.next(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (in *input) uint32() uint32 {
	if b := in.next(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (in *input) uint64() uint64 {
	if b := in.next(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (in *input) lsn() outbox.LSN { return outbox.LSN(in.uint64()) }

func (in *input) time() time.Time { return fromPostgres(in.uint64()) }

func (in *input) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(in.rest)) {
		in.rest, in.short = nil, true
		return nil
	}
	return in.next(int(n))
}

// string reads up to a NUL.
func (in *input) string() []byte {
	end := bytes.IndexByte(in.rest, 0)
	if end < 0 {
		in.rest, in.short = nil, true
		return nil
	}
	s := in.next(end)
	in.next(1)
	return s
}

// postgresEpoch is 2000-01-01 in microseconds since 1970.
const postgresEpoch = 946_684_800_000_000

// fromPostgres reads a timestamp: microseconds since 2000, as a signed number.
func fromPostgres(us uint64) time.Time {
	return time.UnixMicro(int64(us) + postgresEpoch).UTC() //nolint:gosec // the bits of a signed number
}

// toPostgres is fromPostgres the other way.
func toPostgres(t time.Time) uint64 {
	return uint64(t.UnixMicro() - postgresEpoch) //nolint:gosec // the bits of a signed number
}
