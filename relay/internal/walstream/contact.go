package walstream

import (
	"sync/atomic"
	"time"
)

// contactWindow is how long the smallest offset between the server's clock and ours is remembered, so that clocks that
// drift apart do not look like a server that falls behind.
const contactWindow = 5 * time.Minute

// contact knows when the server last spoke to us. That is when it sent, not when we read: a relay that was stopped for an
// hour finds an hour-old reply in its socket, and must not take it for a sign that it still holds the slot.
//
// The server stamps what it sends with its own clock. The smallest difference seen between that and our clock is the one
// of the clocks; what a later one is above it is time spent on the way or unread.
type contact struct {
	base    time.Time    // monotonic; all times are counted from it
	last    atomic.Int64 // nanoseconds after base
	fresh   bool         // no observation yet
	current time.Duration
	former  time.Duration // of the window before
	rotated time.Duration // when current began
}

func newContact(now time.Time) *contact {
	return &contact{base: now, fresh: true}
}

// observe takes in that something the server stamped at sent was read from the socket at received.
func (c *contact) observe(received, sent time.Time) {
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
	c.heard(received.Add(-late))
}

// heard notes a contact at a time on our own clock.
func (c *contact) heard(t time.Time) {
	if at := int64(t.Sub(c.base)); at > c.last.Load() {
		c.last.Store(at)
	}
}

// at is the time of the last contact. It may be called from any goroutine.
func (c *contact) at() time.Time {
	return c.base.Add(time.Duration(c.last.Load()))
}
