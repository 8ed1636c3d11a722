package dispatch

import "sync"

// budget bounds what the stream may have in memory, in events and in bytes. The reader charges it
// without ever blocking and asks ready before it reads on; one event larger than the whole budget
// passes when nothing else is there.
type budget struct {
	mu        sync.Mutex
	count     int
	bytes     int64
	maxCount  int
	maxBytes  int64
	waiter    chan struct{} // non-nil while the reader waits
	available int           // ceiling of maxCount
}

func newBudget(count int, bytes int64) *budget {
	return &budget{maxCount: min(count, minBudget), maxBytes: bytes, available: count}
}

// minBudget is how much the stream may have in memory however slowly receivers answer.
const minBudget = 1024

func (b *budget) charge(n int, bytes int64) {
	b.mu.Lock()
	b.count += n
	b.bytes += bytes
	b.mu.Unlock()
}

func (b *budget) release(n int, bytes int64) {
	b.mu.Lock()
	b.count -= n
	b.bytes -= bytes
	b.wake()
	b.mu.Unlock()
}

// charged returns how much is in memory now.
func (b *budget) charged() (count int, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count, b.bytes
}

// resize sets the bound from the rate at which deliveries are settled, so that what waits in memory
// is settled before park_after: a bound that is too high for slow receivers would send every event
// of a backlog through the table.
func (b *budget) resize(perPark float64) {
	b.mu.Lock()
	b.maxCount = min(max(int(perPark/2), minBudget), b.available)
	b.wake()
	b.mu.Unlock()
}

// wake lets the reader go on once a quarter of the bound is free, so that it reads in runs and not
// event by event.
func (b *budget) wake() {
	if b.waiter != nil && b.count <= b.maxCount*3/4 && b.bytes <= b.maxBytes*3/4 {
		close(b.waiter)
		b.waiter = nil
	}
}

// ready returns nil while there is room, else a channel that is closed once there is.
func (b *budget) ready() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count < b.maxCount && b.bytes < b.maxBytes {
		return nil
	}
	if b.waiter == nil {
		b.waiter = make(chan struct{})
	}
	return b.waiter
}
