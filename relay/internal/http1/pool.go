package http1

import (
	"sync"
	"time"
)

// Pool keeps idle connections to one place. The latest one used goes first, so that those too many
// grow old and close. One timer serves them all, and only while there are any. It is safe for
// concurrent use.
type Pool struct {
	Max     int           // how many connections may be idle
	Timeout time.Duration // for how long one may be idle
	// MaxAge is for how long one may be used at all, so that a name whose address has moved is
	// followed.
	MaxAge time.Duration

	mu     sync.Mutex
	closed bool
	idle   []*Conn // by idleSince, the oldest first
	timer  *time.Timer
}

// Get returns an idle connection that is still good, for a use until the deadline; nil if there is
// none.
func (p *Pool) Get(deadline time.Time) *Conn {
	now := time.Now()
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.idle = now.Sub(c.idleSince); now.Sub(c.made) < p.MaxAge && c.wake(deadline) {
			return c
		}
		c.Close()
	}
}

// Put takes a connection back, or closes it when there are enough.
func (p *Pool) Put(c *Conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	if p.closed || len(p.idle) >= p.Max {
		p.mu.Unlock()
		c.Close()
		return
	}
	p.idle = append(p.idle, c)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.Timeout, p.expire)
	}
	p.mu.Unlock()
}

// Drop closes what is idle now: a connection to the same place has turned out to be dead, and
// nothing says that these live.
func (p *Pool) Drop() {
	p.mu.Lock()
	old := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

// expire closes what has been idle for too long and waits for the next.
func (p *Pool) expire() {
	p.mu.Lock()
	limit := time.Now().Add(-p.Timeout)
	n := 0
	for n < len(p.idle) && !p.idle[n].idleSince.After(limit) {
		n++
	}
	old := append([]*Conn(nil), p.idle[:n]...)
	kept := copy(p.idle, p.idle[n:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
	if kept > 0 { // not after Close
		p.timer.Reset(p.idle[0].idleSince.Sub(limit))
	} else {
		p.timer = nil
	}
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}

// Close closes what is idle now and what comes back later.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	old := p.idle
	p.idle = nil
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}
