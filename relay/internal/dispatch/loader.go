package dispatch

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// lookEvery bounds how long the loader sleeps while something is planned. Its timers use the
// monotonic clock, which stops while the machine sleeps; what is due depends on the wall clock.
const lookEvery = time.Minute

// loader brings parked deliveries back when they are due. It sleeps until the earliest of them and
// asks the table only about endpoints that have one, so that a relay without parked deliveries runs
// no query.
type loader struct {
	d      *Dispatcher
	signal chan struct{} // capacity 1

	mu    sync.Mutex
	heap  dueHeap[*wakeup]
	index map[*lane]*wakeup
}

// wakeup is when a lane is to be looked at.
type wakeup struct {
	lane *lane
	at   time.Time
	pos  int
}

func newLoader(d *Dispatcher) *loader {
	return &loader{d: d, signal: make(chan struct{}, 1), index: map[*lane]*wakeup{}}
}

// schedule asks for the lane to be looked at, at the latest at t.
func (ld *loader) schedule(l *lane, t time.Time) {
	ld.mu.Lock()
	a := ld.index[l]
	switch {
	case a == nil:
		a = &wakeup{lane: l, at: t}
		ld.index[l] = a
		heap.Push(&ld.heap, a)
	case t.Before(a.at):
		a.at = t
		heap.Fix(&ld.heap, a.pos)
	}
	first := a.pos == 0
	ld.mu.Unlock()
	if first {
		select {
		case ld.signal <- struct{}{}:
		default:
		}
	}
}

// next takes the first due lane off the due heap, or says for how long to sleep until there may be
// one; negative: nothing is planned.
func (ld *loader) next(now time.Time) (*lane, time.Duration) {
	ld.mu.Lock()
	defer ld.mu.Unlock()
	if len(ld.heap) == 0 {
		return nil, -1
	}
	a := ld.heap[0]
	if wait := a.at.Sub(now); wait > 0 {
		return nil, min(wait, lookEvery)
	}
	heap.Pop(&ld.heap)
	delete(ld.index, a.lane)
	return a.lane, 0
}

func (ld *loader) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		l, wait := ld.next(time.Now())
		if l != nil {
			ld.load(ctx, l)
			if ctx.Err() != nil {
				return
			}
			continue
		}
		var due <-chan time.Time
		if wait >= 0 {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-ld.signal:
		case <-due:
		}
	}
}

// load brings back what is due for one lane. A query that fails is harmless: the rows stay where
// they are, and the lane is looked at again after a pause that grows.
func (ld *loader) load(ctx context.Context, l *lane) {
	if p, ok := l.planReread(); ok {
		heads, more, err := p.query(ctx, ld.d.ledger, l.id)
		many := errors.Is(err, ledger.ErrManyKeys)
		switch {
		case more:
			l.cancelReread(false)
			return
		case err != nil && !many:
			ld.failed(ctx, l, err, "first parked deliveries of ordered keys not loaded, trying again")
			l.cancelReread(true)
			return
		}
		l.finishReread(p, heads, many, time.Now())
	}
	ld.unblock(ctx, l)
	p, ok := l.planLoad(time.Now())
	if !ok {
		return
	}
	f, err := l.query(ctx, &p)
	if err != nil {
		ld.failed(ctx, l, err, "parked deliveries not loaded, trying again")
		l.cancelLoad(&p)
		return
	}
	l.finishLoad(&p, f)
}

// unblock makes due the deliveries that nothing blocks, which a sweep would never find.
func (ld *loader) unblock(ctx context.Context, l *lane) {
	now := time.Now()
	from, generation, ok := l.planUnblock(now)
	if !ok {
		return
	}
	at, more, err := ld.d.ledger.Unblock(ctx, l.id, from, now)
	if err != nil {
		ld.failed(ctx, l, err, "keys of parked deliveries not searched for stuck ones, trying again")
	}
	l.finishUnblock(generation, at, more, err != nil, now)
}

func (ld *loader) failed(ctx context.Context, l *lane, err error, message string) {
	if ctx.Err() == nil {
		ld.d.log.Warn().Err(err).Str("endpoint", l.id).Msg(message)
	}
}

func (a *wakeup) due() time.Time { return a.at }
func (a *wakeup) moved(to int)   { a.pos = to }
