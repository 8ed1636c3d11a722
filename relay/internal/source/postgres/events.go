package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// EventsOptions say what in the stream is an event.
type EventsOptions struct {
	Mapping  outbox.Mapping
	Table    uint32         // OID of the table, whose rows are events whatever its name was when they were written; 0: none
	Zone     *time.Location // of times in the table that name none; nil: UTC
	Messages string         // prefix of logical messages that carry events; empty: none
	Encoding string         // of the database, as Info has it; empty: UTF8
	// Settled is the recorded frontier: a transaction whose commit record begins below it is
	// settled.
	Settled source.Position
	// Publication is the name of what publishes the table. Empty: it is not known.
	Publication string
	Lacks       []string // optional columns that the table is known to lack
	Barriers    *source.Barriers
	Logger      zerolog.Logger
}

// Events turns the changes of a slot into what a source brings: rows of the outbox table and
// logical messages into events, and Tailpost's own messages into barriers and notices. It is a
// Handler.
type Events struct {
	opts EventsOptions
	to   source.Handler
	log  zerolog.Logger

	tx      source.Tx
	seq     int64 // of the next event
	rows    int64 // of endpoints so far
	settled bool  // the transaction ended at or before the frontier
	decoder *outbox.Decoder
	table   *source.Table  // what decoder was built for
	broken  error          // why table cannot be decoded
	lacks   []string       // optional columns that its rows come without
	passed  []string       // barriers of the transaction
	warned  bool           // the log has named messages that are not transactional
	gone    string         // id of the row that was deleted right before
	goneKey []outbox.Value // what the stream has of that row: its key
}

// NewEvents returns what hands the events of a slot to a handler.
func NewEvents(o EventsOptions, to source.Handler) *Events {
	return &Events{opts: o, to: to, log: o.Logger, lacks: o.Lacks}
}

// Begin implements Handler.
func (e *Events) Begin(tx Tx) error {
	e.tx = source.Tx{Commit: source.Position(tx.CommitLSN), At: tx.Time}
	e.seq, e.passed = 0, e.passed[:0]
	e.rows, e.gone = 0, ""
	// The frontier is the end of a transaction, so one that begins its commit record below it is
	// settled.
	e.settled = e.tx.Commit < e.opts.Settled
	e.to.Begin(e.tx)
	return nil
}

// Change implements Handler.
func (e *Events) Change(op Op, table *source.Table, row []outbox.Value) error {
	if e.settled {
		return nil
	}
	switch name := table.Schema + "." + table.Name; {
	case name == DefaultEndpointTable:
		if op != Truncate {
			e.to.Endpoint(source.Row{Table: table, Values: row, Deleted: op == Delete, Place: e.rows, Seq: e.seq})
		}
		e.rows++
		return nil
	case name != e.opts.Mapping.Table && (table.OID != e.opts.Table || table.OID == 0):
		return nil
	case op == Delete:
		e.gone = e.idOf(table, row)
		e.goneKey = copyValues(e.goneKey, row)
		return nil
	case op != Insert:
		return nil
	}
	if gone := e.gone; gone != "" {
		e.gone = ""
		if e.idOf(table, row) == gone && !sameKey(e.goneKey, row) {
			return nil // an UPDATE has moved it to another partition: it was an event when it was inserted
		}
	}
	if table != e.table {
		e.prepare(table)
	}
	if e.broken != nil {
		e.bring(outbox.Event{ID: e.idOf(table, row)}, e.broken)
		return nil //nolint:nilerr // the event is brought with its error
	}
	e.bring(e.decoder.Decode(row))
	return nil
}

// copyValues copies a row, which is valid during a call only, into dst.
func copyValues(dst, row []outbox.Value) []outbox.Value {
	dst = dst[:0]
	for _, v := range row {
		v.Data = bytes.Clone(v.Data)
		dst = append(dst, v)
	}
	return dst
}

// sameKey reports whether a row has the key of one that was deleted. A row that moves does not:
// what chooses its partition is part of every key.
func sameKey(key, row []outbox.Value) bool {
	for i, v := range key {
		if v.Kind == outbox.TextValue && (i >= len(row) || row[i].Kind != outbox.TextValue || !bytes.Equal(v.Data, row[i].Data)) {
			return false
		}
	}
	return true
}

// idOf returns the id of a row that does not fit the mapping otherwise, so that it can be read
// again once it does; empty: it has none.
func (e *Events) idOf(table *source.Table, row []outbox.Value) string {
	for i, c := range table.Columns {
		if c.Name != e.opts.Mapping.ID || i >= len(row) || row[i].Kind != outbox.TextValue {
			continue
		}
		if c.TypeOID == pgtype.BPCharOID || c.BaseOID == pgtype.BPCharOID {
			return string(bytes.TrimRight(row[i].Data, " "))
		}
		return string(row[i].Data)
	}
	return ""
}

// prepare builds the decoder of a table's current shape.
func (e *Events) prepare(table *source.Table) {
	e.table = table
	e.decoder, e.broken = outbox.NewDecoder(e.opts.Mapping, table.Columns)
	if e.broken == nil && e.opts.Zone != nil {
		e.decoder.In(e.opts.Zone)
	}
	if e.broken != nil {
		e.broken = e.suspect(table)
		e.log.Error().Err(e.broken).Msg("rows of the outbox table no longer fit its mapping: correct outbox.columns, the table or its publication, as the error says, then resend what is dead")
		return
	}
	e.miss(table)
}

// suspect adds to why a table cannot be decoded that it may have the columns which its rows come
// without: the stream does not tell whether the table or the publication leaves them out.
func (e *Events) suspect(table *source.Table) error {
	m, names := e.opts.Mapping, table.Names()
	missing := slices.DeleteFunc(m.Fit(names).Columns(), func(c string) bool { return slices.Contains(names, c) })
	if len(missing) == 0 || e.opts.Publication == "" {
		return e.broken
	}
	return fmt.Errorf("%w. If the table has it, then the column list of publication %s leaves it out: ALTER PUBLICATION %s SET TABLE %s",
		e.broken, e.opts.Publication, quoteIdentifier(e.opts.Publication), m.QuotedTable())
}

// miss tells of optional columns that rows of the table come without from now on. Such a row is an
// event all the same, but maybe nobody's.
func (e *Events) miss(table *source.Table) {
	lacks := e.opts.Mapping.Lacks(table.Names())
	for _, column := range lacks {
		if !slices.Contains(e.lacks, column) {
			e.log.Error().Str("table", e.opts.Mapping.Table).Str("column", column).
				Msg("the outbox table has lost a column, and events come without what it held: those without a tenant go to no endpoint that has one, " +
					"those without a key are in no order of keys. Name the column that has it now in outbox.columns, or rename it back")
		}
	}
	e.lacks = lacks
}

// Message implements Handler.
func (e *Events) Message(prefix string, content []byte) error {
	if prefix == ownPrefix {
		e.own(content)
		return nil
	}
	if e.opts.Messages == "" || prefix != e.opts.Messages || e.settled {
		return nil
	}
	ev, err := outbox.DecodeEmitted(content)
	// What a row says the database can write down; a message may spell anything.
	if why := source.Encode(&ev, e.opts.Encoding); err == nil {
		err = why
	}
	e.bring(ev, err)
	return nil
}

// NonTransactional implements Handler. Such a message is not an event: what it reports may have
// been rolled back. The log says so once, for whoever meant it as one.
func (e *Events) NonTransactional(prefix string) {
	if e.opts.Messages == "" || prefix != e.opts.Messages || e.warned {
		return
	}
	e.warned = true
	e.log.Warn().Msg("logical messages outside of transactions are not events and are ignored: emit them with pg_logical_emit_message(true, …)")
}

// own takes a logical message of our own. One that it does not understand is of a later release, or
// somebody's joke: it stops nothing.
func (e *Events) own(content []byte) {
	var m envelope
	if err := json.Unmarshal(content, &m); err != nil {
		e.log.Warn().Stringer("lsn", e.tx.Commit).Msg("a logical message with prefix tailpost is not JSON and is ignored: applications need another prefix")
		return
	}
	if m.Mark != "" {
		e.passed = append(e.passed, m.Mark)
	}
	if m.Due != nil {
		e.to.Due(m.Due.Endpoint)
	}
	if m.Event == nil || e.settled {
		return
	}
	ev, err := outbox.DecodeEmitted(m.Event)
	if err != nil || !ev.Operational() {
		e.log.Warn().Stringer("lsn", e.tx.Commit).Msg("a logical message with prefix tailpost is not an operational event and is ignored: a later release wrote it, or an application, which needs another prefix")
		return
	}
	e.bring(ev, nil)
}

// id identifies an event without an id of its own: its transaction's commit LSN and its place
// there, which stay the same however often the stream is read.
func (e *Events) id() string {
	return "msg_" + strconv.FormatUint(uint64(e.tx.Commit), 16) + "_" + strconv.FormatInt(e.seq, 10)
}

// bring hands over an event that was decoded, or what is known of one that cannot be delivered, so
// that it neither stops the stream nor vanishes.
func (e *Events) bring(ev outbox.Event, err error) {
	if why := source.Fit(&ev); err == nil {
		err = why
	}
	if ev.ID == "" {
		ev.ID = e.id()
	}
	ev.CommitLSN, ev.Seq = outbox.LSN(e.tx.Commit), e.seq
	if ev.CreatedAt.IsZero() {
		ev.CreatedAt = e.tx.At
	}
	e.seq++
	if err != nil {
		e.to.Invalid(ev, err)
		return
	}
	e.to.Event(ev)
}

// Commit implements Handler.
func (e *Events) Commit(tx Tx) error {
	e.tx.End = source.Position(tx.EndLSN)
	// Before the frontier can pass them.
	for _, name := range e.passed {
		e.opts.Barriers.Seen(name, e.tx.End)
	}
	e.to.Commit(e.tx)
	return nil
}

// Keepalive implements Handler.
func (e *Events) Keepalive(lsn outbox.LSN) error {
	e.to.Keepalive(source.Position(lsn))
	return nil
}

// Ready implements Handler.
func (e *Events) Ready() <-chan struct{} { return e.to.Ready() }

var _ Handler = (*Events)(nil)
