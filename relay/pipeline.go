package relay

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

// upkeeper is told what the stream brings for what runs beside delivery; *upkeep.Upkeep is one.
type upkeeper interface {
	Moved(p source.Position)
	Asked()
}

// pipeline turns the stream's changes into events and hands them to the dispatcher. It belongs to the stream's goroutine.
type pipeline struct {
	mapping    outbox.Mapping
	messages   string // prefix of logical messages that carry events; empty: none
	settled    outbox.LSN
	dispatcher *dispatch.Dispatcher
	frontier   *source.Frontier
	barriers   *source.Barriers
	upkeep     upkeeper
	rows       *rows
	log        zerolog.Logger
	stopping   <-chan struct{} // closed: read no more

	tx      *source.Unsettled
	current postgres.Tx
	seq     int64    // of the next event
	changes int64    // of endpoints so far
	due     []string // endpoints to look at once the transaction is over
	skip    bool     // the transaction is settled already: it ended at or before the frontier
	decoder *outbox.Decoder
	rel     *postgres.Relation // what decoder was built for
	broken  error              // why rel cannot be decoded
	passed  []string           // barriers of the transaction
}

// Begin implements postgres.Handler.
func (p *pipeline) Begin(tx postgres.Tx) error {
	p.current, p.seq, p.passed = tx, 0, p.passed[:0]
	p.changes, p.due = 0, p.due[:0]
	// The frontier is the end of a transaction, so one that begins its commit record below it is settled.
	p.skip = tx.CommitLSN < p.settled
	p.tx = p.frontier.Begin()
	return nil
}

// Change implements postgres.Handler.
func (p *pipeline) Change(op postgres.Op, rel *postgres.Relation, row []outbox.Value) error {
	if p.skip {
		return nil
	}
	switch name := rel.Schema + "." + rel.Name; {
	case name == endpointTable:
		p.rows.change(op, rel, row, p.current, p.changes, p.seq, p.tx)
		p.changes++
		return nil
	case op != postgres.Insert || name != p.mapping.Table:
		return nil
	}
	if rel != p.rel {
		p.prepare(rel)
	}
	ev, err := outbox.Event{}, p.broken
	if err == nil {
		ev, err = p.decoder.Decode(row)
	}
	p.takeOrReject(ev, err)
	return nil
}

// prepare builds the decoder of a table's current shape.
func (p *pipeline) prepare(rel *postgres.Relation) {
	p.rel = rel
	p.decoder, p.broken = outbox.NewDecoder(p.mapping, rel.Columns)
	if p.broken != nil {
		p.log.Error().Err(p.broken).Msg("the outbox table changed and no longer fits its mapping: correct outbox.columns, then resend what is dead")
	}
}

// Message implements postgres.Handler.
func (p *pipeline) Message(prefix string, content []byte) error {
	if prefix == ownPrefix {
		return p.own(content)
	}
	if p.messages == "" || prefix != p.messages || p.skip {
		return nil
	}
	ev, err := outbox.DecodeEmitted(content)
	if ev.ID == "" {
		ev.ID = p.position()
	}
	p.takeOrReject(ev, err)
	return nil
}

// takeOrReject hands over an event that was decoded, or records that it cannot be delivered, which is all that can be
// done about one that cannot.
func (p *pipeline) takeOrReject(ev outbox.Event, err error) {
	if err == nil {
		err = unrecordable(&ev)
	}
	if err != nil {
		p.reject(ev, err)
		return
	}
	p.take(ev)
}

// maxName bounds what is indexed of an event: Postgres refuses index entries of more than a third of a page.
const maxName = 1024

// unrecordable says why an event cannot be told from others in Tailpost's own tables.
func unrecordable(ev *outbox.Event) error {
	for _, f := range []struct{ name, value string }{{"id", ev.ID}, {"key", ev.Key}, {"type", ev.Type}, {"tenant", ev.Tenant}} {
		switch {
		case len(f.value) > maxName:
			return fmt.Errorf("%s of the event is longer than %d bytes", f.name, maxName)
		case strings.ContainsRune(f.value, 0) || !utf8.ValidString(f.value):
			return fmt.Errorf("%s of the event is not text: it has a NUL or bytes that are not UTF-8", f.name)
		}
	}
	return nil
}

// own takes a logical message of our own. One that it does not understand is of a later release, or somebody's joke.
func (p *pipeline) own(content []byte) error {
	var e envelope
	if err := json.Unmarshal(content, &e); err != nil {
		p.log.Warn().Stringer("lsn", p.current.CommitLSN).Msg("a logical message with prefix tailpost is not one of ours, ignored")
		return nil //nolint:nilerr // it stops nothing
	}
	if e.Mark != "" {
		p.passed = append(p.passed, e.Mark)
	}
	if e.Due != nil {
		p.due = append(p.due, e.Due.Endpoint)
	}
	if e.Event == nil || p.skip {
		return nil
	}
	ev, err := outbox.DecodeEmitted(e.Event)
	if err != nil || !ev.Operational() {
		p.log.Warn().Stringer("lsn", p.current.CommitLSN).Msg("a logical message with prefix tailpost is no operational event, ignored")
		return nil //nolint:nilerr // it stops nothing
	}
	p.takeOrReject(ev, nil)
	return nil
}

// position identifies an event without an id of its own: its transaction's commit LSN and its place there, which stay
// the same however often the stream is read.
func (p *pipeline) position() string {
	return "msg_" + strconv.FormatUint(uint64(p.current.CommitLSN), 16) + "_" + strconv.FormatInt(p.seq, 10)
}

func (p *pipeline) take(ev outbox.Event) {
	ev.CommitLSN, ev.Seq = p.current.CommitLSN, p.seq
	if ev.CreatedAt.IsZero() {
		ev.CreatedAt = p.current.Time
	}
	p.seq++
	p.rows.flush(p.tx)
	p.dispatcher.Take(ev, p.tx)
}

// reject records an event that cannot be decoded as a dead delivery, so that it neither stops the stream nor vanishes.
func (p *pipeline) reject(ev outbox.Event, err error) {
	ev.CommitLSN, ev.Seq = p.current.CommitLSN, p.seq
	if ev.ID == "" || unrecordable(&ev) != nil {
		ev = outbox.Event{ID: p.position(), Payload: ev.Payload, CreatedAt: ev.CreatedAt, CommitLSN: ev.CommitLSN, Seq: ev.Seq}
	}
	if ev.CreatedAt.IsZero() {
		ev.CreatedAt = p.current.Time
	}
	p.seq++
	p.log.Error().Err(err).Str("event_id", ev.ID).Stringer("lsn", ev.CommitLSN).Msg("event cannot be delivered, recorded as dead")
	p.dispatcher.Reject(ev, err.Error(), p.tx)
}

// Commit implements postgres.Handler.
func (p *pipeline) Commit(tx postgres.Tx) error {
	for _, name := range p.passed {
		p.barriers.Seen(name, source.Position(tx.EndLSN))
	}
	p.upkeep.Moved(source.Position(tx.EndLSN))
	p.rows.flush(p.tx)
	for _, id := range p.due {
		p.dispatcher.Due(id)
	}
	if len(p.due) > 0 {
		p.upkeep.Asked()
	}
	p.frontier.Commit(p.tx, source.Position(tx.EndLSN), tx.Time)
	p.tx = nil
	p.dispatcher.Advanced()
	return nil
}

// Keepalive implements postgres.Handler.
func (p *pipeline) Keepalive(lsn outbox.LSN) error {
	p.upkeep.Moved(source.Position(lsn))
	p.frontier.Keepalive(source.Position(lsn))
	p.dispatcher.Advanced()
	return nil
}

// Ready implements postgres.Handler.
func (p *pipeline) Ready() <-chan struct{} {
	select {
	case <-p.stopping:
		// Draining: nothing more is read, while the connection stays up for the last acknowledgement.
		return make(chan struct{})
	default:
		return p.dispatcher.Ready()
	}
}

var _ postgres.Handler = (*pipeline)(nil)
