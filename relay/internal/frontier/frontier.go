package frontier

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// Tracker holds the transactions that are not passed yet, in commit order.
//
// Begin, Tx.Add, Commit and Keepalive belong to one goroutine, the one that reads the stream. Settle, Frontier and
// Oldest may be called from any goroutine at any time.
type Tracker struct {
	mu       sync.Mutex
	first    *Tx // oldest transaction not passed; nil: none
	last     *Tx
	free     *Tx // passed ones, to be used again
	frontier outbox.LSN
	at       time.Time
}

// Tx is one transaction of the stream. It belongs to its Tracker again once it is committed and all of it is settled, and
// must not be used after that.
type Tx struct {
	// unsettled counts the deliveries that wait for Settle, and 1 more until Commit, so that a transaction whose first
	// deliveries settle while its rows still arrive does not look finished.
	unsettled atomic.Int64
	end       outbox.LSN // guarded by Tracker.mu
	at        time.Time  // guarded by Tracker.mu
	next      *Tx        // guarded by Tracker.mu
}

// New makes a Tracker whose frontier is start.
func New(start outbox.LSN) *Tracker {
	return &Tracker{frontier: start}
}

// Begin opens a transaction behind all others. The one before it must be committed.
func (t *Tracker) Begin() *Tx {
	t.mu.Lock()
	defer t.mu.Unlock()

	tx := t.free
	if tx == nil {
		tx = &Tx{}
	} else {
		t.free = tx.next
		tx.next, tx.end, tx.at = nil, 0, time.Time{}
	}
	tx.unsettled.Store(1)

	if t.last == nil {
		t.first = tx
	} else {
		t.last.next = tx
	}
	t.last = tx
	return tx
}

// Add says that n more deliveries of the open transaction are to be settled.
func (tx *Tx) Add(n int) {
	tx.unsettled.Add(int64(n))
}

// Commit ends the transaction that Begin opened. Its end is the LSN after its commit record, at the time it committed.
func (t *Tracker) Commit(tx *Tx, end outbox.LSN, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()

	tx.end, tx.at = end, at
	if tx.settle(1) {
		t.pass()
	}
}

// Keepalive says, outside a transaction, that nothing below lsn is still to come.
func (t *Tracker) Keepalive(lsn outbox.LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()

	if t.last != nil {
		t.last.end = max(t.last.end, lsn)
		return
	}
	t.frontier = max(t.frontier, lsn)
}

// Settle says that n deliveries of tx are settled. It panics if more are settled than were added.
func (t *Tracker) Settle(tx *Tx, n int) {
	if !tx.settle(n) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass()
}

// Frontier returns the LSN below which everything is settled, and the commit time of the last transaction below it (zero:
// none yet). Neither ever goes back, but for the commit times as Postgres gives them.
func (t *Tracker) Frontier() (outbox.LSN, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frontier, t.at
}

// Oldest returns the commit time of the first transaction that was read whole and is not settled; zero: there is none.
func (t *Tracker) Oldest() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		return time.Time{}
	}
	return t.first.at
}

// settle takes n off and reports whether nothing is left.
func (tx *Tx) settle(n int) bool {
	left := tx.unsettled.Add(-int64(n))
	if left < 0 {
		panic("frontier: more deliveries settled than were added")
	}
	return left == 0
}

// pass moves the frontier over every settled transaction at the front. The caller holds mu.
func (t *Tracker) pass() {
	for t.first != nil && t.first.unsettled.Load() == 0 {
		tx := t.first
		t.frontier = max(t.frontier, tx.end)
		t.at = tx.at
		t.first = tx.next
		tx.next, t.free = t.free, tx
	}
	if t.first == nil {
		t.last = nil
	}
}
