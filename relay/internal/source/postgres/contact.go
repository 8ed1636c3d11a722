package postgres

import (
	"sync/atomic"
	"time"
)

// contactWindow is how long the smallest offset between the server's clock and ours is remembered,
// so that clocks that drift apart do not look like a server that falls behind.
const contactWindow = 5 * time.Minute

// maxAsks bounds the questions that are remembered while nobody reads the answers.
const maxAsks = 64

// contact knows until when the server must believe that it has us as its client. It gives a client
// up that it has not heard of for wal_sender_timeout, so that counts from a status that it is known
// to have read: one that asked for a reply which has come. When a reply was read says nothing, and
// neither does anything else that the server sent: a relay that was stopped for a while finds in
// its socket what the server went on sending until it lost patience.
//
// Replies do not say what they answer. The server stamps them with its own clock: a reply that it
// sent after we had asked has seen the question. The smallest difference seen between its clock and
// ours is the one of the clocks; what a later one is above it is time spent on the way or unread.
type contact struct {
	base    time.Time    // monotonic; all times are counted from it
	last    atomic.Int64 // nanoseconds after base
	fresh   bool         // no observation yet
	current time.Duration
	former  time.Duration // of the window before
	rotated time.Duration // when current began
	asks    []time.Time   // of the questions without a reply so far, the oldest first
}

func newContact(now time.Time) *contact {
	return &contact{base: now, fresh: true}
}

// observe notes that something the server stamped at sent was read from the socket at received, and
// returns the time on our clock at which it was sent.
func (c *contact) observe(received, sent time.Time) time.Time {
	at := received.Sub(c.base)
	offset := at - time.Duration(sent.UnixNano())
	switch {
	case c.fresh:
		c.fresh, c.current, c.former, c.rotated = false, offset, offset, at
	case at-c.rotated > contactWindow:
		c.former, c.current, c.rotated = c.current, offset, at
	default:
		c.current = min(c.current, offset)
	}
	late := offset - min(c.current, c.former)
	return received.Add(-late)
}

// asked notes a status that asks for a reply.
func (c *contact) asked(at time.Time) {
	if len(c.asks) == maxAsks {
		c.asks = append(c.asks[:0], c.asks[1:]...)
	}
	c.asks = append(c.asks, at)
}

// replied notes a reply that was sent at a time on our clock.
func (c *contact) replied(sent time.Time) {
	n := 0
	for n < len(c.asks) && !c.asks[n].After(sent) {
		n++
	}
	if n > 0 {
		c.heard(c.asks[n-1])
		c.asks = append(c.asks[:0], c.asks[n:]...)
	}
}

// heard notes that the server has heard what we said at a time on our own clock.
func (c *contact) heard(t time.Time) {
	if at := int64(t.Sub(c.base)); at > c.last.Load() {
		c.last.Store(at)
	}
}

// at is when we said what the server is last known to have heard. It may be called from any
// goroutine.
func (c *contact) at() time.Time {
	return c.base.Add(time.Duration(c.last.Load()))
}
