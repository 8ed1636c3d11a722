package source

import (
	"context"
	"fmt"
	"sync"
)

// Barriers report when everything that was committed before some moment is settled. A barrier is a
// marker that is sent through the source: what was committed before it was sent comes before it.
//
// All methods may be called from any goroutine.
type Barriers struct {
	epoch int64
	send  func(ctx context.Context, name string) error

	mu      sync.Mutex
	sent    int64
	waiting map[string]chan Position // sent, not seen in the source yet
	seen    []barrier                // in the order of their ends
}

type barrier struct {
	end     Position
	settled chan Position
}

// NewBarriers returns the barriers of one hold. The epoch tells them from those of an earlier hold,
// which the source may bring too. Send commits a marker of this name behind everything that is
// committed when it is called.
func NewBarriers(epoch int64, send func(ctx context.Context, name string) error) *Barriers {
	return &Barriers{epoch: epoch, send: send, waiting: make(map[string]chan Position)}
}

// Wait sends a barrier and returns its end once everything that was committed before the call is
// settled, and that is recorded.
func (b *Barriers) Wait(ctx context.Context) (Position, error) {
	b.mu.Lock()
	b.sent++
	name := fmt.Sprintf("%d/%d", b.epoch, b.sent)
	settled := make(chan Position, 1)
	b.waiting[name] = settled
	b.mu.Unlock()
	defer b.forget(name)

	if err := b.send(ctx, name); err != nil {
		return 0, err
	}
	select {
	case end := <-settled:
		return end, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Awaited returns the end of the last barrier that was seen and that somebody waits for; 0: there
// is none.
func (b *Barriers) Awaited() Position {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.seen) == 0 {
		return 0
	}
	return b.seen[len(b.seen)-1].end
}

// forget drops a barrier that nobody waits for any more.
func (b *Barriers) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, name)
}

// Seen notes that the source brought a barrier, in a transaction that ends at end.
func (b *Barriers) Seen(name string, end Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if settled, ok := b.waiting[name]; ok {
		delete(b.waiting, name)
		b.seen = append(b.seen, barrier{end: end, settled: settled})
	}
}

// Settled notes how far everything is settled and recorded.
func (b *Barriers) Settled(frontier Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.seen) > 0 && b.seen[0].end <= frontier {
		b.seen[0].settled <- b.seen[0].end
		b.seen = b.seen[1:]
	}
}
