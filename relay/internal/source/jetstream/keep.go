package jetstream

import (
	"sync"

	"github.com/tailpost/tailpost/relay/internal/source"
)

// keep knows which messages of a stream may be purged. Each waits for a position, its need: it may
// go once that is acknowledged. Needs never go down from message to message, so that what may go
// is always a beginning of the stream.
//
// All methods may be called from any goroutine.
type keep struct {
	mu      sync.Mutex
	acked   source.Position
	high    source.Position // highest end that was brought
	need    source.Position // of what was brought last
	waiting []kept          // by sequence
	pending uint64          // last message that waits for the end of the open transaction; 0: none
	last    uint64          // last message that was read; it stays
	purged  uint64          // what the stream was told to purge up to, without it
}

// kept are messages up to a sequence, of one need.
type kept struct {
	last uint64
	need source.Position
}

// newKeep begins at a position below which everything is settled.
func newKeep(settled source.Position) *keep {
	return &keep{high: settled, need: settled, acked: settled}
}

// ended notes that a transaction was brought to its end, or that nothing below end is to come. What
// waits for it gets its need.
func (k *keep) ended(end source.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if end > k.high {
		k.high, k.need = end, max(k.need, end)
	} else {
		// Positions went back. That high is acknowledged, or was, says nothing of this transaction:
		// only what comes behind it can.
		k.need = max(k.need, k.high+1)
	}
	k.settlePending()
}

// ignored notes that a message was ignored which has what ends at p. Whoever reads the stream next
// may find it first, without those that told to ignore it, and must not begin behind what is
// neither settled nor left in the stream.
func (k *keep) ignored(p source.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.need = max(k.need, p)
}

// passed notes that nothing below p is to come, which nothing waits for.
func (k *keep) passed(p source.Position) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.high = max(k.high, p)
}

// read notes that a message was read whole, and whether a transaction is open behind it.
func (k *keep) read(sequence uint64, open bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = sequence
	if open {
		k.pending = sequence
		return
	}
	k.settlePending()
	k.add(sequence)
}

// anew forgets the messages, because the stream is another one or lacks some. What was brought of
// them still waits to be settled.
func (k *keep) anew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting, k.pending, k.last, k.purged = nil, 0, 0, 0
}

// ack notes what is settled and recorded, and reports whether that lets messages go.
func (k *keep) ack(p source.Position) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.acked = max(k.acked, p)
	return len(k.waiting) > 0 && k.waiting[0].need <= k.acked
}

// lastRead returns the sequence of the last message that was read; 0: none.
func (k *keep) lastRead() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

// boundary returns the sequence below which the stream may be purged, and whether there is anything
// to purge.
func (k *keep) boundary() (uint64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for n < len(k.waiting) && k.waiting[n].need <= k.acked {
		n++
	}
	if n == 0 {
		return 0, false
	}
	to := min(k.waiting[n-1].last+1, k.last)
	return to, to > k.purged
}

// purgedTo notes that the stream was purged below a sequence that boundary returned.
func (k *keep) purgedTo(sequence uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.purged = sequence
	n := 0
	for n < len(k.waiting) && k.waiting[n].last < sequence {
		n++
	}
	k.waiting = append(k.waiting[:0], k.waiting[n:]...)
}

func (k *keep) settlePending() {
	if k.pending != 0 {
		k.add(k.pending)
		k.pending = 0
	}
}

func (k *keep) add(sequence uint64) {
	if n := len(k.waiting); n > 0 && k.waiting[n-1].need == k.need {
		k.waiting[n-1].last = sequence
		return
	}
	k.waiting = append(k.waiting, kept{last: sequence, need: k.need})
}
