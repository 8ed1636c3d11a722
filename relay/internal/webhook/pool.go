package webhook

import (
	"sync"
	"time"
)

// pool keeps idle connections to one origin. The latest one used goes first, so that those too many grow old and close.
// One timer serves them all, and only while there are any.
type pool struct {
	max     int
	timeout time.Duration

	mu     sync.Mutex
	closed bool
	idle   []*conn // by idleSince, the oldest first
	timer  *time.Timer
}

// take gives an idle connection that is still good, for a use until the deadline, or nil.
func (p *pool) take(deadline time.Time) *conn {
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
		if c.wake(deadline) {
			return c
		}
		c.close()
	}
}

// put takes a connection back, or closes it when there are enough.
func (p *pool) put(c *conn, now time.Time) {
	c.reused, c.idleSince = true, now
	p.mu.Lock()
	if p.closed || len(p.idle) >= p.max {
		p.mu.Unlock()
		c.close()
		return
	}
	p.idle = append(p.idle, c)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.timeout, p.expire)
	}
	p.mu.Unlock()
}

// expire closes what has been idle for too long and waits for the next.
func (p *pool) expire() {
	p.mu.Lock()
	limit := time.Now().Add(-p.timeout)
	n := 0
	for n < len(p.idle) && !p.idle[n].idleSince.After(limit) {
		n++
	}
	old := append([]*conn(nil), p.idle[:n]...)
	kept := copy(p.idle, p.idle[n:])
	clear(p.idle[kept:])
	p.idle = p.idle[:kept]
	if p.timer != nil {
		if kept > 0 {
			p.timer.Reset(p.idle[0].idleSince.Sub(limit))
		} else {
			p.timer = nil
		}
	}
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// close closes what is idle now and what comes back later.
func (p *pool) close() {
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
		c.close()
	}
}
