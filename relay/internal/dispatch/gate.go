package dispatch

import (
	"runtime"
	"sync"
	"time"
)

// gate paces the start of requests over all lanes: only so many may be both young and unanswered. A
// backlog for a hundred fast receivers would otherwise open every connection that their
// concurrencies allow, thousands, while a few each keep the machine busy: measured with 100
// endpoints on two cores, that cost 2.6 times the CPU and twice the memory.
//
// A request stops counting when it is answered or one to two windows old, whichever comes first. So
// receivers that hang or are slow keep nobody else from starting, and as many requests can wait for
// them as their concurrencies allow; only how fast that many are started is bounded. Lanes that
// found the gate full pass in turns.
type gate struct {
	limit int
	began time.Time // when the first window did

	mu       sync.Mutex
	window   int64 // number of the current window
	current  int   // unanswered requests that started in it
	previous int   // and in the one before
	reserved int   // lanes that were admitted and have not passed yet
	waiting  []*lane
	timer    *time.Timer // set off while lanes wait
}

const (
	gateWindow = 5 * time.Millisecond
	// gatePerCPU keeps a CPU busy: one starts and finishes some 30 requests in a millisecond.
	gatePerCPU = 64
)

func newGate(limit int) *gate {
	if limit == 0 {
		limit = gatePerCPU * runtime.GOMAXPROCS(0)
	}
	return &gate{limit: limit, began: time.Now()}
}

// roll forgets requests that are old by now. Windows are numbered from the first one, by the
// monotonic clock: with a wall clock that is set back, none would be old until it has caught up.
func (g *gate) roll(now time.Time) {
	window := int64(now.Sub(g.began) / gateWindow)
	switch {
	case window <= g.window:
		return
	case window == g.window+1:
		g.previous = g.current
	default:
		g.previous = 0
	}
	g.window, g.current = window, 0
}

// full reports whether nobody may pass who was not admitted.
func (g *gate) full() bool { return g.current+g.previous+g.reserved >= g.limit }

// enter lets a request of the lane start; leave gets the ticket. Otherwise the lane waits until it
// is admitted. The caller holds lane.mu.
func (g *gate) enter(l *lane, now time.Time) (ticket int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roll(now)
	switch {
	case l.admitted:
		l.admitted = false
		g.reserved--
	case l.gated:
		return 0, false
	case len(g.waiting) > 0 || g.full():
		l.gated = true
		g.waiting = append(g.waiting, l)
		if len(g.waiting) == 1 {
			g.arm(now)
		}
		return 0, false
	}
	g.current++
	return g.window, true
}

// leave notes that a request is answered, or never started.
func (g *gate) leave(ticket int64) {
	g.mu.Lock()
	switch ticket {
	case g.window:
		g.current--
	case g.window - 1:
		g.previous--
	}
	g.mu.Unlock()
}

// decline takes the admission back from a lane that has no use for it. The caller holds lane.mu.
func (g *gate) decline(l *lane) {
	if !l.admitted {
		return
	}
	l.admitted = false
	g.mu.Lock()
	g.reserved--
	g.mu.Unlock()
}

// next takes the first waiting lane off the list if there is room for it, or returns nil.
func (g *gate) next() *lane {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 || g.full() {
		return nil
	}
	l := g.waiting[0]
	g.waiting[0] = nil
	g.waiting = g.waiting[1:]
	if len(g.waiting) == 0 {
		g.waiting = nil
	}
	g.reserved++
	return l
}

// admit admits lanes while there is room. The caller holds no lane's lock.
func (g *gate) admit() {
	for l := g.next(); l != nil; l = g.next() {
		l.pass()
	}
}

// arm admits what still waits when the next window begins.
func (g *gate) arm(now time.Time) {
	wait := gateWindow - now.Sub(g.began)%gateWindow
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, g.tick)
		return
	}
	g.timer.Reset(wait)
}

func (g *gate) tick() {
	now := time.Now()
	g.mu.Lock()
	g.roll(now)
	g.mu.Unlock()
	g.admit()
	g.mu.Lock()
	if len(g.waiting) > 0 {
		g.arm(now)
	}
	g.mu.Unlock()
}
