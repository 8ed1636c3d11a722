package source

import (
	"sync"
	"sync/atomic"
	"time"
)

// Frontier holds the transactions that are not settled yet, in commit order, and how far all of
// them are.
//
// Begin, Unsettled.Add, Commit and Keepalive belong to one goroutine, the one that reads the
// stream. Settle, Position and Oldest may be called from any goroutine at any time.
type Frontier struct {
	mu       sync.Mutex
	first    *Unsettled // oldest transaction not passed; nil: none
	last     *Unsettled
	free     *Unsettled // passed ones, to be used again
	frontier Position
	at       time.Time
}

// Unsettled is one transaction of the stream. It belongs to its Frontier again once it is committed
// and all of it is settled, and must not be used after that.
type Unsettled struct {
	// unsettled counts the deliveries that wait for Settle, and 1 more until Commit, so that a
	// transaction whose first deliveries settle while its rows still arrive does not look finished.
	unsettled atomic.Int64
	at        time.Time  // when it committed; set by Begin alone
	end       Position   // guarded by Frontier.mu; 0: it was not read whole yet
	next      *Unsettled // guarded by Frontier.mu
}

// NewFrontier returns a Frontier whose frontier is start.
func NewFrontier(start Position) *Frontier {
	return &Frontier{frontier: start}
}

// Begin opens a transaction, which committed at a time, behind all others. The one before it must
// have been ended by Commit.
func (f *Frontier) Begin(at time.Time) *Unsettled {
	f.mu.Lock()
	defer f.mu.Unlock()

	tx := f.free
	if tx == nil {
		tx = &Unsettled{}
	} else {
		f.free = tx.next
		tx.next, tx.end = nil, 0
	}
	tx.at = at
	tx.unsettled.Store(1)

	if f.last == nil {
		f.first = tx
	} else {
		f.last.next = tx
	}
	f.last = tx
	return tx
}

// Add says that n more deliveries of the open transaction are to be settled.
func (tx *Unsettled) Add(n int) {
	tx.unsettled.Add(int64(n))
}

// At is when the transaction committed. It may be called while something of it is unsettled.
func (tx *Unsettled) At() time.Time { return tx.at }

// Commit ends the transaction that Begin opened. Its end is the position after its commit.
func (f *Frontier) Commit(tx *Unsettled, end Position) {
	f.mu.Lock()
	defer f.mu.Unlock()

	tx.end = end
	if tx.settle(1) {
		f.pass()
	}
}

// Keepalive says, outside a transaction, that nothing below p is still to come.
func (f *Frontier) Keepalive(p Position) {
	f.mu.Lock()
	defer f.mu.Unlock()

	if f.last != nil {
		f.last.end = max(f.last.end, p)
		return
	}
	f.frontier = max(f.frontier, p)
}

// Settle says that n deliveries of tx are settled. It panics if more are settled than were added.
func (f *Frontier) Settle(tx *Unsettled, n int) {
	if !tx.settle(n) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pass()
}

// Position returns the position below which everything is settled, and the commit time of the last
// transaction below it (zero: none yet). Neither ever goes back, but for the commit times as
// Postgres sends them.
func (f *Frontier) Position() (Position, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.frontier, f.at
}

// Oldest returns the commit time of the first transaction that was read whole and is not settled;
// zero: there is none.
func (f *Frontier) Oldest() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == nil || f.first.end == 0 {
		return time.Time{}
	}
	return f.first.at
}

// settle takes n off and reports whether nothing is left.
func (tx *Unsettled) settle(n int) bool {
	left := tx.unsettled.Add(-int64(n))
	if left < 0 {
		panic("source: more deliveries settled than were added")
	}
	return left == 0
}

// pass moves the frontier over every settled transaction at the front. The caller holds mu.
func (f *Frontier) pass() {
	for f.first != nil && f.first.unsettled.Load() == 0 {
		tx := f.first
		f.frontier = max(f.frontier, tx.end)
		f.at = tx.at
		f.first = tx.next
		tx.next, f.free = f.free, tx
	}
	if f.first == nil {
		f.last = nil
	}
}
