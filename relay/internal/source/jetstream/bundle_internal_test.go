package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// writer makes messages of entries as a Publisher does, without a stream.
type writer struct {
	codec  codec
	by     By
	number uint64

	within  *wireCommit
	open    *wireCommit // where the message begins
	entries []byte
}

// newWriter returns the writer of a hold on timeline 3.
func newWriter(epoch int64) *writer { return newWriterOf(By{Origin: "sys", Timeline: 3, Epoch: epoch}) }

func newWriterOf(by By) *writer { return &writer{codec: newCodec(), by: by} }

func (w *writer) add(e entry) {
	w.entries = append(w.entries, w.codec.encode(e)...)
	switch e.Kind {
	case beginEntry:
		w.within = e.Commit
	case commitEntry:
		w.within = nil
	case eventEntry, rowEntry, dueEntry, keepaliveEntry, pieceEntry:
	}
}

// cut ends a message.
func (w *writer) cut() []byte {
	w.number++
	m := w.codec.encode(head{
		Version: version, Epoch: w.by.Epoch, Number: w.number, Origin: w.by.Origin, Timeline: w.by.Timeline, Open: w.open,
	})
	m = append(m, w.entries...)
	w.entries, w.open = nil, w.within
	return m
}

// thing is a part of a transaction, or a keepalive.
type thing struct {
	begin  *wireCommit
	event  int64 // -1: none
	row    int64 // -1: none
	commit source.Position
	alive  source.Position
}

func (w *writer) thing(th *thing) {
	switch {
	case th.begin != nil:
		w.add(entry{Kind: beginEntry, Commit: th.begin})
	case th.commit != 0:
		w.add(entry{Kind: commitEntry, Position: th.commit})
	case th.alive != 0:
		w.add(entry{Kind: keepaliveEntry, Position: th.alive})
	case th.row >= 0:
		item := w.codec.table(&source.Table{Name: "endpoint"})
		w.entries = append(w.entries, w.codec.row(&source.Row{Place: th.row}, item)...)
	default:
		ev := outbox.Event{ID: "e", Type: "a", CommitLSN: outbox.LSN(w.within.Commit), Seq: th.event}
		w.entries = append(w.entries, w.codec.event(&ev)...)
	}
}

// calls is a Handler that notes what it gets, and how far it got.
type calls struct {
	all   []string
	alive []source.Position
	in    bool
	wrong error
	seen  func(call string)
}

func (c *calls) note(within bool, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if c.in != within && c.wrong == nil {
		c.wrong = errors.New(s + " at the wrong place")
	}
	c.all = append(c.all, s)
	if c.seen != nil {
		c.seen(s)
	}
}

func (c *calls) Begin(tx source.Tx)    { c.note(false, "begin %d", tx.Commit); c.in = true }
func (c *calls) Event(ev outbox.Event) { c.note(true, "event %d.%d", ev.CommitLSN, ev.Seq) }
func (c *calls) Invalid(ev outbox.Event, _ error) {
	c.note(true, "invalid %d.%d", ev.CommitLSN, ev.Seq)
}
func (c *calls) Endpoint(row source.Row) { c.note(true, "row %d", row.Place) }
func (c *calls) Due(endpoint string)     { c.note(true, "due %s", endpoint) }
func (c *calls) Commit(tx source.Tx)     { c.note(true, "commit %d-%d", tx.Commit, tx.End); c.in = false }
func (*calls) Ready() <-chan struct{}    { return nil }

func (c *calls) Keepalive(p source.Position) {
	if c.in && c.wrong == nil {
		c.wrong = errors.New("a keepalive within a transaction")
	}
	c.alive = append(c.alive, p)
}

// reading is a replay with what it keeps, and the sequences of a stream.
type reading struct {
	*replay
	*calls
	keep *keep
	seq  uint64
}

// newReading returns a replay of what is recorded up to a position on timeline 3.
func newReading(settled source.Position) *reading {
	r := &reading{calls: &calls{}, keep: newKeep(settled)}
	r.replay = newReplay(&SourceOptions{Settled: settled, Origin: "sys", Timeline: 3}, r.keep, r.calls)
	return r
}

func (r *reading) take(message []byte) error {
	r.seq++
	return r.takeAt(r.seq, message)
}

func (r *reading) takeAt(seq uint64, message []byte) error {
	if err := r.message(context.Background(), message); err != nil {
		return err
	}
	r.keep.read(seq, r.open)
	return r.wrong
}

// history is a random beginning of a slot's stream, and the calls that it makes.
func history(t *rapid.T) (txs [][]thing, want []string) {
	position := source.Position(10)
	for range rapid.IntRange(1, 8).Draw(t, "transactions") {
		begin := &wireCommit{Commit: position, At: momentOf(time.Unix(int64(position), 0))}
		tx := []thing{{begin: begin, event: -1, row: -1}}
		want = append(want, fmt.Sprintf("begin %d", position))
		var event, row int64
		for range rapid.IntRange(1, 5).Draw(t, "things") {
			if rapid.Bool().Draw(t, "event") {
				tx = append(tx, thing{event: event, row: -1})
				want = append(want, fmt.Sprintf("event %d.%d", position, event))
				event++
			} else {
				tx = append(tx, thing{event: -1, row: row})
				want = append(want, fmt.Sprintf("row %d", row))
				row++
			}
		}
		end := position + source.Position(rapid.IntRange(1, 5).Draw(t, "length"))
		tx = append(tx, thing{event: -1, row: -1, commit: end})
		want = append(want, fmt.Sprintf("commit %d-%d", position, end))
		txs = append(txs, tx)
		position = end + source.Position(rapid.IntRange(0, 3).Draw(t, "gap"))
	}
	return txs, want
}

// endOf returns the end of a transaction.
func endOf(tx []thing) source.Position { return tx[len(tx)-1].commit }
