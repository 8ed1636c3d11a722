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
	least     int           // floor of maxCount: what may be in memory however slowly receivers answer
}

func newBudget(least, most int, bytes int64) *budget {
	least = min(least, most)
	return &budget{maxCount: least, maxBytes: bytes, available: most, least: least}
}

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
// of a backlog through the table. Beside the deliveries that are in flight, which no rate tells of
// where receivers take longer than that, there is always room for more.
func (b *budget) resize(perPark float64, inFlight int) {
	b.mu.Lock()
	b.maxCount = min(max(int(perPark/4), inFlight+inFlight/4+b.least/4, b.least), b.available)
	b.wake()
	b.mu.Unlock()
}

// half is how much of the bound may wait for the recorder before it records at once.
func (b *budget) half() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return min(fullBatch, b.maxCount/2)
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
