package jetstream

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/relay/internal/source"
)

// replay turns messages into calls of a Handler: each transaction once and in order, whatever comes
// again or from whom. It belongs to one goroutine.
type replay struct {
	codec   codec
	handler source.Handler
	keep    *keep
	opts    *SourceOptions
	log     zerolog.Logger
	often   zerolog.Logger // for what may come with every message

	// What was read.
	by     By     // the last publisher
	number uint64 // of its last message
	skip   bool   // the transaction that is being read was brought whole
	in     source.Position
	inside bool   // a transaction is being read; in is its commit
	pieces []byte // of an entry that is not whole yet
	piece  int    // index of the next one

	// What was brought.
	done source.Position // what begins below was brought whole
	open bool            // the handler is within half
	half half            // the transaction that the handler is within
	left half            // the last one that was abandoned
	item []byte          // of table
	tab  *source.Table
}

// half is how far a transaction was brought.
type half struct {
	tx    source.Tx
	begun bool  // false: there is none
	seq   int64 // of its last event; -1: none
	place int64 // of its last row; -1: none
}

func newReplay(o *SourceOptions, k *keep, h source.Handler) *replay {
	return &replay{
		codec: newCodec(), handler: h, keep: k, opts: o, by: By{Timeline: -1}, done: o.Settled,
		log: o.Logger, often: o.Logger.Sample(&zerolog.BurstSampler{Burst: 1, Period: quiet}),
	}
}

// message brings what is new in a message. It returns the cause of ctx's end if that comes first.
func (r *replay) message(ctx context.Context, data []byte) error {
	h, entries, err := r.codec.decodeHead(data)
	if err != nil {
		return err
	}
	switch by := h.by(); {
	case by.Origin != r.opts.Origin:
		r.often.Warn().Msg("messages that a relay of another database, or of this one before it was made anew, published are ignored")
		return nil
	case by.before(r.by):
		r.log.Debug().Int64("epoch", h.Epoch).Msg("a message of a reader that was deposed is ignored")
		return r.ignore(&h, entries)
	case r.by.before(by):
		r.succeed(by)
	case h.Number <= r.number:
		return nil
	case h.Number != r.number+1:
		r.log.Warn().Int64("epoch", h.Epoch).Uint64("messages", h.Number-r.number-1).
			Msg("the stream of a partition has lost messages that it had acknowledged: the audit finds what they held")
		r.dropPieces()
	}
	if r.opts.Routing != nil && h.Routing > r.opts.Routing() {
		return ErrRouting
	}
	r.number = h.Number
	r.enter(h.Open)
	for len(entries) > 0 {
		var e entry
		if e, entries, err = r.codec.next(entries); err != nil {
			return err
		}
		if err := r.ready(ctx); err != nil {
			return err
		}
		if err := r.entry(&e); err != nil {
			return err
		}
	}
	return nil
}

// ignore has a deposed reader's message kept until all that it has is settled.
func (r *replay) ignore(h *head, entries []byte) error {
	if h.Timeline != r.by.Timeline {
		return nil // nothing of this timeline comes behind it
	}
	var last source.Position
	if h.Open != nil {
		last = h.Open.Commit + 1
	}
	for len(entries) > 0 {
		e, rest, err := r.codec.next(entries)
		if err != nil {
			return err
		}
		if entries = rest; e.Kind == beginEntry {
			last = e.Commit.Commit + 1
		}
		last = max(last, e.Position)
	}
	r.keep.ignored(last)
	return nil
}

// succeed begins with the messages of another reader. On another timeline positions may go back.
// What was recorded has its place on all earlier ones too: the rows that say so were written behind
// it, before the timelines parted.
func (r *replay) succeed(by By) {
	same := by.Timeline == r.by.Timeline
	r.by, r.inside = by, false
	r.dropPieces()
	if same {
		return
	}
	r.abandon()
	r.left, r.done = half{}, 0
	if by.Timeline <= r.opts.Timeline {
		r.done = r.opts.Settled
	}
}

// enter makes the transaction that a message begins in the one that is read. It is already, unless
// messages were lost.
func (r *replay) enter(c *wireCommit) {
	switch {
	case c == nil:
		r.inside = false
	case !r.inside || r.in != c.Commit:
		r.begin(c)
	}
}

// ready waits until the handler takes the next entry.
func (r *replay) ready(ctx context.Context) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		room := r.handler.Ready()
		if room == nil {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *replay) entry(e *entry) error {
	switch e.Kind {
	case beginEntry:
		r.begin(e.Commit)
	case eventEntry:
		r.event(e.Event)
	case rowEntry:
		return r.row(e.Row)
	case dueEntry:
		if r.brings() {
			r.handler.Due(e.Endpoint)
		}
	case commitEntry:
		r.commit(e.Position)
	case keepaliveEntry:
		r.keepalive(e.Position)
		if e.Awaited && r.opts.Awaited != nil {
			r.opts.Awaited(e.Position)
		}
	case pieceEntry:
		return r.join(e.Piece)
	}
	return nil
}

// brings reports whether what is read within a transaction is for the handler.
func (r *replay) brings() bool { return r.inside && !r.skip }

func (r *replay) begin(c *wireCommit) {
	r.inside, r.in = true, c.Commit
	// What is done is the end of a transaction, so that one which begins its commit below it is
	// done too.
	if r.skip = c.Commit < r.done; r.skip {
		return
	}
	if r.open && r.half.tx.Commit == c.Commit {
		return
	}
	r.abandon()
	r.half = half{tx: source.Tx{Commit: c.Commit, At: c.At.time()}, begun: true, seq: -1, place: -1}
	if r.left.begun && r.left.tx.Commit == c.Commit {
		r.half, r.left = r.left, half{}
	}
	r.open = true
	r.handler.Begin(r.half.tx)
}

func (r *replay) event(w *wireEvent) {
	if !r.brings() || w.Seq <= r.half.seq {
		return
	}
	r.half.seq = w.Seq
	r.handler.Event(w.outbox())
}

func (r *replay) row(w *wireRow) error {
	if !r.brings() || w.Place <= r.half.place {
		return nil
	}
	if r.tab == nil || string(r.item) != string(w.Table) {
		t, err := r.codec.decodeTable(w.Table)
		if err != nil {
			return err
		}
		r.tab, r.item = t, append(r.item[:0], w.Table...)
	}
	r.half.place = w.Place
	r.handler.Endpoint(w.source(r.tab))
	return nil
}

func (r *replay) commit(end source.Position) {
	if r.brings() {
		tx := r.half.tx
		tx.End = end
		r.handler.Commit(tx)
		r.open, r.done = false, max(r.done, end)
		r.keep.ended(end)
	}
	r.inside = false
}

// keepalive takes that nothing below p is still to come. A new reader says so of what it begins
// with, which may be before the transaction that its predecessor left open: that is left then, for
// the case that the new one goes on with it, so that whoever waits for p does not wait for its end.
func (r *replay) keepalive(p source.Position) {
	if p <= r.done || r.inside {
		return
	}
	if r.open && p <= r.half.tx.Commit {
		r.leave()
	} else {
		r.abandon()
	}
	r.handler.Keepalive(p)
	r.done = p
	r.keep.passed(p)
}

// abandon ends a transaction whose end was lost, or comes later than another one that its reader
// did not have. Its end is what was settled without it.
func (r *replay) abandon() {
	if !r.open {
		return
	}
	r.log.Warn().Stringer("lsn", r.half.tx.Commit).Time("committed", r.half.tx.At.Truncate(time.Second)).
		Msg("the rest of a transaction has not come: the audit finds what is missing")
	r.leave()
}

// leave ends the open transaction for the handler, with what has come of it.
func (r *replay) leave() {
	tx := r.half.tx
	tx.End = r.done
	r.open, r.left = false, r.half
	r.handler.Commit(tx)
	r.keep.ended(r.done)
}

// join takes a piece of an entry, and the entry with the last one.
func (r *replay) join(p *piece) error {
	if p.Index != r.piece {
		// The ones before it were lost, or belong to another reader.
		r.dropPieces()
		return nil
	}
	r.pieces = append(r.pieces, p.Data...)
	r.piece++
	if !p.Last {
		return nil
	}
	e, rest, err := r.codec.next(r.pieces)
	r.pieces, r.piece = nil, 0
	switch {
	case err != nil:
		return err
	case len(rest) > 0 || e.Kind == pieceEntry:
		return fmt.Errorf("%w: an entry in pieces has more than an entry", errForm)
	}
	return r.entry(&e)
}

func (r *replay) dropPieces() { r.pieces, r.piece = nil, 0 }
