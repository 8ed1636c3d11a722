package jetstream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// By tells the messages of one hold of the slot from those of others.
type By struct {
	Origin   string // see ledger.Hold
	Timeline int32
	Epoch    int64 // two holds of an origin and a timeline never have the same
}

// before reports whether a hold of the same origin was before another one. A standby that was
// promoted may have epochs that a hold of the former primary had.
func (b By) before(o By) bool {
	return b.Timeline < o.Timeline || b.Timeline == o.Timeline && b.Epoch < o.Epoch
}

// PublisherOptions are one hold of the slot.
type PublisherOptions struct {
	By
	Routing int64 // number of the first routing, see Publisher.Route
	Room    int64 // bytes that may wait over all partitions; 0: 64 MiB
}

const (
	defaultRoom = 64 << 20
	// maxMessage bounds what is put into one message; a server with a lower max_payload bounds it
	// further.
	maxMessage = 512 << 10
	// around is what a message has around its entries: its head, the headers, and what a piece is
	// wrapped in.
	around = 4 << 10
	// worth is how much of a transaction is published before its end.
	worth = 128 << 10
)

// Publisher publishes what one hold of the slot reads. Its methods belong to the goroutine of the
// source but for Run, which belongs to another one, and Stuck and Route, which any may call.
type Publisher struct {
	fanout *Fanout
	opts   PublisherOptions
	codec  codec
	log    zerolog.Logger
	often  zerolog.Logger // for what may come at every try

	routing atomic.Int64

	// Of the source's goroutine.
	tx       source.Tx
	context  *wireCommit // of tx
	begin    []byte      // the entry of tx
	touched  []int       // partitions that got something of tx
	event    []byte      // the entry of the last event, which may go to several partitions
	eventSeq int64       // of event
	table    *source.Table
	item     []byte // of table

	mu      sync.Mutex
	parts   []*part
	bytes   int64
	room    chan struct{} // closed when there is room again; nil: nobody waits
	reached source.Position
}

// part is what waits for one partition.
type part struct {
	partition int
	wake      chan struct{} // gets a value when the queue is to be taken

	// Guarded by Publisher.mu.
	queue    []waiting
	bytes    int64 // of the queue
	open     bool  // the queue, or what was published last, ends within a transaction
	covered  source.Position
	inFlight bool
	tried    time.Time // of the first look at the stream, or when the message in flight was published; zero: done
	failed   bool      // it was refused or not answered
	number   uint64    // of the last message
}

// waiting is an entry that waits to be published.
type waiting struct {
	data   []byte
	within *wireCommit // the transaction that is open before it; nil: none
	stored func()      // nil: nobody is told
}

// NewPublisher returns the publisher of a hold.
func (f *Fanout) NewPublisher(o PublisherOptions) *Publisher {
	if o.Room <= 0 {
		o.Room = defaultRoom
	}
	p := &Publisher{
		fanout: f, opts: o, codec: newCodec(), log: f.log, often: f.log.Sample(&zerolog.BurstSampler{Burst: 1, Period: quiet}),
	}
	p.routing.Store(o.Routing)
	for n := range f.opts.Partitions {
		p.parts = append(p.parts, &part{partition: n, wake: make(chan struct{}, 1)})
	}
	return p
}

// Route sets the number of the routing that what is published from now on was routed by. Senders
// whose routing has a lower number do not take it: they may lack an endpoint that it is for.
func (p *Publisher) Route(number int64) { p.routing.Store(number) }

// Begin begins a transaction. A partition hears of it with the first thing that it gets of it.
func (p *Publisher) Begin(tx source.Tx) {
	p.tx, p.touched, p.event = tx, p.touched[:0], nil
	p.context = &wireCommit{Commit: tx.Commit, At: momentOf(tx.At)}
	p.begin = p.codec.encode(entry{Kind: beginEntry, Commit: p.context})
}

// Event publishes an event of the transaction to a partition. Stored is called once, from another
// goroutine, when the stream has it; not if the publisher ends before that.
func (p *Publisher) Event(partition int, ev *outbox.Event, stored func()) {
	if p.event == nil || p.eventSeq != ev.Seq {
		p.event, p.eventSeq = p.codec.event(ev), ev.Seq
	}
	p.within(partition, p.event, stored)
}

// Row publishes a row of the table of endpoints, whose values are used during the call only.
func (p *Publisher) Row(partition int, row source.Row, stored func()) {
	if p.table != row.Table {
		p.table, p.item = row.Table, p.codec.table(row.Table)
	}
	p.within(partition, p.codec.row(&row, p.item), stored)
}

// Due tells a partition that what waits for an endpoint changed. Stored may be nil.
func (p *Publisher) Due(partition int, endpoint string, stored func()) {
	p.within(partition, p.codec.encode(entry{Kind: dueEntry, Endpoint: endpoint}), stored)
}

// Commit ends the transaction in each partition that got something of it, and reports whether any
// did. Stored is called once then, like Event's, when all of them have the end and so everything
// before it; it may be nil. The other partitions learn of the end as of a keepalive.
func (p *Publisher) Commit(tx source.Tx, stored func()) (will bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = max(p.reached, tx.End)
	if len(p.touched) == 0 {
		return false
	}
	var all func()
	if stored != nil {
		var left atomic.Int64
		left.Store(int64(len(p.touched)))
		all = func() {
			if left.Add(-1) == 0 {
				stored()
			}
		}
	}
	end := p.codec.encode(entry{Kind: commitEntry, Position: tx.End})
	for _, n := range p.touched {
		t := p.parts[n]
		p.add(t, waiting{data: end, within: p.context, stored: all})
		t.open, t.covered = false, max(t.covered, tx.End)
		t.rouse()
	}
	return true
}

// Keepalive tells the partitions, outside a transaction, that nothing below at is still to come:
// each that hears nothing else that says so, soon.
func (p *Publisher) Keepalive(at source.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = max(p.reached, at)
}

// KeepaliveNow tells all partitions at once, outside a transaction, that nothing below at is still
// to come, and that somebody waits until they have recorded that.
func (p *Publisher) KeepaliveNow(at source.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached = max(p.reached, at)
	for _, t := range p.parts {
		p.keepalive(t, true)
	}
}

// Full returns nil if there is room, else a channel that is closed when there is room again.
func (p *Publisher) Full() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes < p.opts.Room {
		return nil
	}
	if p.room == nil {
		p.room = make(chan struct{})
	}
	// Otherwise a transaction that fills the room over many partitions would wait for its own end.
	p.rouse()
	return p.room
}

// Flush has all partitions publish what they have of an open transaction: whoever waits for some of
// it to be stored must not wait for its end.
func (p *Publisher) Flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rouse()
}

func (p *Publisher) rouse() {
	for _, t := range p.parts {
		t.rouse()
	}
}

// Stuck returns since when something waits that could not be stored at once; zero: nothing does.
func (p *Publisher) Stuck() (since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.parts {
		if t.tried.IsZero() || !t.failed && time.Since(t.tried) < slow {
			continue
		}
		if since.IsZero() || t.tried.Before(since) {
			since = t.tried
		}
	}
	return since
}

// slow is how long a message may wait for its first answer until that is told.
const slow = time.Second

// within queues an entry of the transaction for a partition, in pieces where one message does not
// hold it.
func (p *Publisher) within(partition int, data []byte, stored func()) {
	t, limit := p.parts[partition], p.limit()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !t.open {
		t.open = true
		p.touched = append(p.touched, partition)
		p.add(t, waiting{data: p.begin})
	}
	if len(data) <= limit {
		p.add(t, waiting{data: data, within: p.context, stored: stored})
	} else {
		for i := 0; len(data) > 0; i++ {
			n := min(limit, len(data))
			cut := waiting{within: p.context, data: p.codec.encode(entry{
				Kind: pieceEntry, Piece: &piece{Index: i, Last: n == len(data), Data: data[:n]},
			})}
			if data = data[n:]; len(data) == 0 {
				cut.stored = stored
			}
			p.add(t, cut)
		}
	}
	if t.bytes >= worth {
		t.rouse()
	}
}

// limit returns how many bytes of entries a message may have.
func (p *Publisher) limit() int {
	return max(min(maxMessage, int(p.fanout.nc.MaxPayload())-around), around)
}

// add queues an entry. The caller holds mu.
func (p *Publisher) add(t *part, w waiting) {
	t.queue = append(t.queue, w)
	t.bytes += int64(len(w.data))
	p.bytes += int64(len(w.data))
}

// keepalive queues how far everything is for a partition. The caller holds mu.
func (p *Publisher) keepalive(t *part, awaited bool) {
	p.add(t, waiting{data: p.codec.encode(entry{Kind: keepaliveEntry, Position: p.reached, Awaited: awaited})})
	t.covered = max(t.covered, p.reached)
	t.rouse()
}

// rouse has the queue taken.
func (t *part) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
