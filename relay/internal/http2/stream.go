package http2

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	h2 "golang.org/x/net/http2"
)

// Answer is a receiver's answer.
type Answer struct {
	Status     int // 0: nothing yet, or nothing whole
	RetryAfter string
	Date       string // of an answer that is no success
	Location   string
	Word       string // of the header webhook-delivery
	Body       []byte // the beginning of the body
	Truncated  bool   // the body is longer than Body
	Fields     []Field
}

// Field is a header line, its name in lower case.
type Field struct{ Name, Value string }

// stream is a request in flight. Its fields are guarded by the connection's mu, until it is done.
type stream struct {
	id     uint32
	answer Answer
	headed bool
	read   int   // of the body
	sized  bool  // the head says how long the body is
	size   int64 // so long; negative: what it says is no length
	err    *Error
	done   chan struct{} // holds a value once the stream is out of the connection's hands
	timer  *time.Timer

	rest    []byte // of the body, not sent
	window  int64  // what the peer takes of it
	unacked int
	isOpen  bool // its end is not sent
}

func newStream() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &stream{done: make(chan struct{}, 1), timer: t}
}

// Do sends a request on the place that Reserve kept, and returns the answer. Block is its header
// block, see AppendHead; it and the body are the caller's again when Do returns. An error is an
// *[Error], os.ErrDeadlineExceeded, or that of ctx; an answer whose head came whole is returned
// beside it. idle is how long the connection had nothing to do before.
//
// The answer's Body is appended to room.
func (c *Conn) Do(ctx context.Context, deadline time.Time, block, body, room []byte) (a Answer, idle time.Duration, err error) {
	s, _ := c.unused.Get().(*stream)
	defer c.release(s)
	now := time.Now()
	s.timer.Reset(deadline.Sub(now))
	idle, err = c.open(s, now, block, body)
	if err != nil {
		return Answer{Body: room}, idle, err
	}
	select {
	case <-s.done:
	case <-s.timer.C:
		err = os.ErrDeadlineExceeded
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil && !c.abandon(s) {
		<-s.done // it was done a moment before
		err = nil
	}
	a = s.answer
	a.Body = append(room, s.answer.Body...)
	if err == nil && s.err != nil {
		err = s.err
	}
	return a, idle, err
}

// release makes a stream ready for the next request.
func (c *Conn) release(s *stream) {
	s.timer.Stop()
	kept := s.answer.Body[:0]
	if cap(kept) > 4<<10 {
		kept = nil
	}
	*s = stream{done: s.done, timer: s.timer, answer: Answer{Body: kept}}
	c.unused.Put(s)
}

// open sends the head and what may be sent of the body.
func (c *Conn) open(s *stream, now time.Time, block, body []byte) (idle time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams) == 0 {
		idle = now.Sub(c.idleSince)
	}
	switch {
	case c.err != nil:
		c.leave()
		return idle, &Error{Err: c.err, Closed: true, Unread: true}
	case c.gone || c.nextID > lastStream+500:
		c.leave()
		return idle, &Error{Err: errGoneAway, Unread: true}
	}
	if len(c.streams) == 0 {
		c.busySince = now
	}
	s.id, s.window, s.rest, s.isOpen = c.nextID, c.peerWindow, body, len(body) > 0
	c.nextID += 2
	if c.nextID >= lastStream {
		c.leaving = true
	}
	c.streams[s.id] = s
	if c.emptied {
		block, c.emptied = append([]byte{emptyTable}, block...), false
	}
	first := block[:min(len(block), maxFrame)]
	err = c.framer.WriteHeaders(h2.HeadersFrameParam{
		StreamID: s.id, BlockFragment: first, EndStream: len(body) == 0, EndHeaders: len(first) == len(block),
	})
	for rest := block[len(first):]; len(rest) > 0 && err == nil; {
		part := rest[:min(len(rest), maxFrame)]
		rest = rest[len(part):]
		err = c.framer.WriteContinuation(s.id, len(rest) == 0, part)
	}
	c.say(err)
	if s.isOpen {
		c.sending = append(c.sending, s)
		c.pump()
	}
	return idle, nil
}

// pump sends of the bodies what the peer takes and the writer is ready for. The caller holds mu.
func (c *Conn) pump() {
	if len(c.sending) == 0 {
		return
	}
	c.sending = slices.DeleteFunc(c.sending, func(s *stream) bool {
		for s.isOpen && c.err == nil && len(c.out) < outEnough {
			n := min(int64(len(s.rest)), s.window, c.window, maxFrame)
			if n <= 0 {
				break
			}
			part := s.rest[:n]
			s.rest = s.rest[n:]
			s.window -= n
			c.window -= n
			s.isOpen = len(s.rest) > 0
			c.say(c.framer.WriteData(s.id, !s.isOpen, part))
		}
		return !s.isOpen
	})
}

// declare notes what the head of an answer says of the length of its body.
func (s *stream) declare(length string) {
	n, err := strconv.ParseUint(length, 10, 63)
	size := int64(n)
	if err != nil || s.sized && s.size != size {
		size = -1
	}
	s.sized, s.size = true, size
}

// fits reports whether the body of an answer that is whole is as long as its head says (RFC 9113,
// section 8.1.1). One that has none by its status may say what it would have been.
func (s *stream) fits() bool {
	bare := s.answer.Status == http.StatusNoContent || s.answer.Status == http.StatusNotModified
	return !s.sized || s.size == int64(s.read) || bare && s.read == 0
}

// finish takes a stream out of the connection and lets its request return. The caller holds mu.
func (c *Conn) finish(s *stream, err *Error) {
	delete(c.streams, s.id)
	s.err = err
	c.halt(s)
	s.done <- struct{}{}
	c.leave()
}

// halt sends no more of a stream's body.
func (c *Conn) halt(s *stream) {
	if !s.isOpen {
		return
	}
	s.isOpen, s.rest = false, nil
	c.sending = slices.DeleteFunc(c.sending, func(other *stream) bool { return other == s })
}

// abandon resets a stream whose request is over for its caller, and reports false if it was done.
func (c *Conn) abandon(s *stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[s.id] != s {
		return false
	}
	delete(c.streams, s.id)
	c.halt(s)
	c.say(c.framer.WriteRSTStream(s.id, h2.ErrCodeCancel))
	c.leave()
	return true
}
