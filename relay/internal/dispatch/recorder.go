package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// itemKind says what an item has the recorder write.
type itemKind uint8

const (
	itemOutcome  itemKind = iota // an attempt and what it means for the delivery
	itemPark                     // a row of tailpost.delivery
	itemReject                   // a dead row for an event that cannot be decoded
	itemVersion                  // a version of an endpoint
	itemDrop                     // nothing: the delivery's endpoint is gone
	itemProof                    // an attempt that was no delivery's, and what it showed
	itemLapse                    // a dead row for an event whose time is over, without an attempt
	itemPassedOn                 // nothing: others deliver it
)

// item is one thing to record.
type item struct {
	kind    itemKind
	dl      *delivery
	attempt outbox.Attempt // itemOutcome
	reason  outbox.Reason
	next    time.Time
	stays   bool // itemPark: the delivery is in flight and stays in memory
	change  *ledger.EndpointChange
	version *ledger.EndpointVersion // itemVersion
	dropped *ledger.Dropped         // itemVersion: it is gone
	forgets bool                    // itemOutcome: no row is kept
	notices [][]byte                // itemOutcome, itemLapse: operational events to emit
}

// remains reports whether the delivery is now a pending row that is not in memory.
func (it *item) remains() bool {
	switch it.kind {
	case itemPark:
		return !it.stays
	case itemOutcome:
		return it.attempt.Outcome == outbox.Retry
	case itemReject, itemVersion, itemDrop, itemLapse, itemProof, itemPassedOn:
	}
	return false
}

// recorder is the one writer: it takes what the lanes hand it, writes it in one transaction with
// the position, and only then lets the frontier be acknowledged. While a transaction is under way
// the next batch collects itself.
type recorder struct {
	d      *Dispatcher
	signal chan struct{} // capacity 1
	rush   chan struct{} // capacity 1: urgent was set

	mu     sync.Mutex
	inbox  []item
	urgent bool // what is in the inbox is not to wait for company
	full   int  // items that are recorded at once

	// Owned by run.
	spare    []item
	batch    ledger.Batch
	waited   []time.Duration // see Recorded
	acked    source.Position
	recorded source.Position // how far everything is known to be settled by the table
	now      time.Time       // when the last batch was committed
	settled  int
	window   time.Time
	released struct {
		count int
		bytes int64
	}
}

const (
	// maxBatch bounds a recording transaction, so that it stays short.
	maxBatch = 2048
	// defaultRecordPause is how long items wait for company after a recording transaction. Without
	// it a quick disk makes many small ones, each with its commit, its wakes and its rows of relay
	// and counters: measured, a drain then took 2.2 times the relay's CPU and 1.6 times that of
	// Postgres. Nothing but the acknowledgement waits for it.
	defaultRecordPause = 10 * time.Millisecond
	// fullBatch is how many items are recorded at once, or half of the budget if that is less, so
	// that it is not used up while they wait.
	fullBatch = 512
)

func newRecorder(d *Dispatcher) *recorder {
	return &recorder{d: d, full: d.budget.half(), signal: make(chan struct{}, 1), rush: make(chan struct{}, 1)}
}

// add takes an item. It never blocks: what can be in memory is bounded by the budget and the lanes.
func (r *recorder) add(it item) {
	r.mu.Lock()
	r.inbox = append(r.inbox, it)
	n := len(r.inbox)
	full := n >= r.full && !r.urgent
	r.mu.Unlock()
	if n == 1 {
		r.notify()
	}
	if full {
		r.hasten()
	}
}

// hasten has what is in the inbox recorded at once, because somebody will soon wait for that.
func (r *recorder) hasten() {
	r.mu.Lock()
	already := r.urgent
	r.urgent = true
	r.mu.Unlock()
	if already {
		return
	}
	select {
	case r.rush <- struct{}{}:
	default:
	}
}

// notify makes run look at the inbox and at the frontier.
func (r *recorder) notify() {
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// run records until drained is closed and nothing is left, or hard is done, or the ledger refuses.
func (r *recorder) run(hard context.Context, drained <-chan struct{}) error {
	for {
		select {
		case <-r.signal:
		case <-drained:
			if err := r.recordAll(hard, drained); err != nil {
				return err
			}
			return r.conclude(hard)
		case <-hard.Done():
			return context.Cause(hard)
		}
		if err := r.recordAll(hard, drained); err != nil {
			return err
		}
	}
}

// collect waits for company for what is in the inbox: until the pause after the last transaction,
// until there is enough, or until hurry is closed.
func (r *recorder) collect(ctx context.Context, hurry <-chan struct{}) {
	select {
	case <-r.rush: // urgent says more
	default:
	}
	r.mu.Lock()
	ready := len(r.inbox) == 0 || r.urgent
	r.mu.Unlock()
	wait := r.d.recordPause - time.Since(r.now)
	if ready || wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.rush:
	case <-hurry:
	case <-ctx.Done():
	}
}

// recordAll records until the inbox is empty, then acknowledges what settled without a record. It
// takes its time for that unless hurry is closed.
func (r *recorder) recordAll(ctx context.Context, hurry <-chan struct{}) error {
	for {
		r.collect(ctx, hurry)
		r.mu.Lock()
		items := r.inbox
		r.inbox, r.urgent = r.spare[:0], false
		r.mu.Unlock()
		if len(items) == 0 {
			r.spare = items
			// Only this goroutine settles, so nothing in the frontier is uncommitted here.
			return r.pass(ctx)
		}
		for rest := items; len(rest) > 0; {
			n := min(len(rest), maxBatch)
			if err := r.record(ctx, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		clear(items)
		r.spare = items
		if cap(items) > 4*maxBatch {
			r.spare = nil
		}
	}
}

// pass acknowledges a frontier that has moved without a record.
func (r *recorder) pass(ctx context.Context) error {
	b := &ledger.Batch{}
	settled := r.frontier(b)
	b.Passing = r.recorded >= min(source.Position(r.d.awaited.Load()), settled)
	if b.Passing && settled <= r.acked {
		return nil
	}
	if err := r.d.ledger.Record(ctx, r.d.hold, b); err != nil {
		return err
	}
	if !b.Passing {
		r.recorded = settled
	}
	r.ack(settled)
	return nil
}

// concludeTime bounds the writing of the last position, which only spares the next relay an audit.
const concludeTime = 2 * time.Second

// conclude writes how far everything is settled, so that the next relay knows if somebody else
// moves the slot.
func (r *recorder) conclude(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, concludeTime)
	defer cancel()
	b := &ledger.Batch{}
	settled := r.frontier(b)
	switch err := r.d.ledger.Record(ctx, r.d.hold, b); {
	case err == nil:
		r.ack(settled)
	case ctx.Err() == nil:
		return err
	}
	// A slot that is not told is where it was: the next relay passes that by again.
	return nil
}

// record writes one batch and tells everybody concerned.
func (r *recorder) record(ctx context.Context, items []item) error {
	b := &r.batch
	*b = ledger.Batch{
		Attempts: b.Attempts[:0], Park: b.Park[:0], Update: b.Update[:0], Remove: b.Remove[:0], Endpoints: b.Endpoints[:0],
		Versions: b.Versions[:0], Dropped: b.Dropped[:0], Emit: b.Emit[:0],
	}
	r.waited = r.waited[:0]
	for i := range items {
		r.write(&items[i])
	}
	settled := r.frontier(b)
	began := time.Now()
	if err := r.d.ledger.Record(ctx, r.d.hold, b); err != nil {
		return err
	}
	r.recorded = settled
	r.ack(settled)
	r.now = time.Now()
	if r.d.commits != nil {
		r.d.commits(Recorded{Batch: b, Took: r.now.Sub(began), Waited: r.waited})
	}
	for i := range items {
		items[i].dl.lane.recorded(&items[i])
	}
	r.d.budget.release(r.released.count, r.released.bytes)
	r.measure(r.released.count)
	r.released.count, r.released.bytes = 0, 0
	return nil
}

// write adds an item to the batch.
func (r *recorder) write(it *item) {
	dl, b := it.dl, &r.batch
	if it.change != nil {
		b.Endpoints = append(b.Endpoints, *it.change)
	}
	b.Emit = append(b.Emit, it.notices...)
	switch it.kind {
	case itemPark:
		if !dl.row {
			r.keep(it, outbox.Pending)
		}
	case itemReject, itemLapse:
		r.keep(it, outbox.StateDead)
	case itemVersion:
		b.Versions = append(b.Versions, *it.version)
		if it.dropped != nil {
			b.Dropped = append(b.Dropped, *it.dropped)
		}
	case itemDrop, itemPassedOn:
	case itemProof:
		b.Attempts = append(b.Attempts, it.attempt)
	case itemOutcome:
		b.Attempts = append(b.Attempts, it.attempt)
		if it.forgets {
			break
		}
		switch it.attempt.Outcome {
		case outbox.Delivered:
			r.wait(it)
			if dl.row {
				b.Remove = append(b.Remove, ledger.QueueRow{
					Pair: outbox.Pair{EventID: dl.ev.ID, EndpointID: dl.lane.id}, CommitLSN: dl.ev.CommitLSN, Seq: dl.ev.Seq,
				})
			}
		case outbox.Retry:
			r.keep(it, outbox.Pending)
		case outbox.Dead:
			r.keep(it, outbox.StateDead)
		}
	}
	r.settle(dl)
}

// wait notes how long a delivery took from the commit of its event, or from when it might be made.
func (r *recorder) wait(it *item) {
	a := &it.attempt
	if asked := a.Trigger != outbox.TriggerStream && a.Trigger != outbox.TriggerRetry; !asked && !it.dl.ev.committed.IsZero() {
		since := pace.Later(it.dl.ev.committed, it.dl.ev.NotBefore())
		r.waited = append(r.waited, a.AttemptedAt.Add(a.Duration).Sub(since))
	}
}

// keep writes an undelivered delivery's row, new or changed.
func (r *recorder) keep(it *item, state outbox.State) {
	if it.dl.row {
		r.batch.Update = append(r.batch.Update, it.delivery(state))
		return
	}
	it.dl.row = true
	row := it.delivery(state)
	if row.Attempts == 0 {
		row.Search = r.d.search.Load().Terms(&it.dl.ev.Event) // once it was attempted, the attempt has them
	}
	r.batch.Park = append(r.batch.Park, row)
}

// delivery is the item's row of tailpost.delivery.
func (it *item) delivery(state outbox.State) outbox.Delivery {
	row := outbox.Delivery{
		Event: it.dl.ev.Event, EndpointID: it.dl.lane.id, State: state, Reason: it.reason,
		Attempts: it.attempt.Number, NextAttemptAt: it.next,
		LastStatus: it.attempt.StatusCode, LastError: it.attempt.Error,
	}
	return row
}

// settle tells the frontier that a delivery no longer holds its transaction; it takes effect when
// the batch commits.
func (r *recorder) settle(dl *delivery) {
	if dl.settled {
		return
	}
	dl.settled = true
	r.d.frontier.Settle(dl.ev.tx, 1)
	r.released.count++
	r.released.bytes += dl.ev.cost
}

func (r *recorder) ack(p source.Position) {
	if p > r.acked {
		r.acked = p
		r.d.ack(p)
	}
}

// frontier notes in a batch how far everything is settled once it is recorded.
func (r *recorder) frontier(b *ledger.Batch) source.Position {
	settled, at := r.d.frontier.Position()
	b.Settled, b.SettledAt = outbox.LSN(settled), at
	return settled
}

// measure sizes the budget by the rate at which deliveries are settled.
func (r *recorder) measure(n int) {
	r.settled += n
	elapsed := r.now.Sub(r.window)
	if elapsed < 50*time.Millisecond {
		return
	}
	r.d.budget.resize(float64(r.settled)*float64(r.d.patience)/float64(elapsed), int(r.d.inFlight.Load()))
	r.mu.Lock()
	r.full = r.d.budget.half()
	r.mu.Unlock()
	r.settled, r.window = 0, r.now
}
