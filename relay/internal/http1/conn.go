package http1

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"
)

// Conn is one HTTP/1.1 connection. One request at a time uses it, on its caller's goroutine: an
// idle connection costs none.
//
//	dialled ──▶ busy ──answer complete──▶ idle ──taken again──▶ busy
//	             └──▶ closed ◀── idle too long, bytes nobody asked for, peer closed
type Conn struct {
	net.Conn

	raw       syscall.RawConn       // the socket, under any TLS
	peek      func(fd uintptr) bool // made once, so that a look costs no allocation
	silent    bool                  // what peek saw
	secure    bool
	made      time.Time
	idleSince time.Time
	idle      time.Duration // before this use

	mu   sync.Mutex
	busy bool
	done <-chan struct{} // of the context whose end aborts the connection while it is busy
	stop func() bool     // ends that watch
}

// New makes a Conn of a connection that was just made.
func New(c net.Conn) *Conn {
	out := &Conn{Conn: c, made: time.Now()}
	socket := c
	for { // an https proxy makes TLS within TLS
		layer, ok := socket.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		if _, ok := socket.(*tls.Conn); ok {
			out.secure = true
		}
		socket = layer.NetConn()
	}
	if s, ok := socket.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil { // an error means that it is closed: the first use says so
			out.raw, out.peek = raw, out.look
		}
	}
	return out
}

// Begin starts a use of the connection that ends with ctx. The watch over ctx is kept between uses:
// the relay sends everything under one context, so that a request usually costs no registration.
// The deadline is set before: an abort moves it, and must be the last to do so.
func (c *Conn) Begin(ctx context.Context) error {
	c.mu.Lock()
	c.busy = true
	if done := ctx.Done(); done != c.done {
		if c.stop != nil {
			c.stop()
		}
		c.done, c.stop = done, nil
		if done != nil {
			c.stop = context.AfterFunc(ctx, func() { c.abort(done) })
		}
	}
	c.mu.Unlock()
	return ctx.Err() // the watch may have ended before
}

// abort makes every read and write fail if the connection is busy under the context that ended.
func (c *Conn) abort(done <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy && c.done == done {
		_ = c.SetDeadline(time.Unix(1, 0)) // an error means that the connection is closed already
	}
}

// End is the end of a use.
func (c *Conn) End() {
	c.mu.Lock()
	c.busy = false
	c.mu.Unlock()
}

// Close ends the connection and its watch.
func (c *Conn) Close() {
	c.mu.Lock()
	if c.stop != nil {
		c.stop()
	}
	c.busy, c.done, c.stop = false, nil, nil
	c.mu.Unlock()
	_ = c.Conn.Close() // nothing is in flight: there is nobody to tell
}

// Idle is for how long the connection had nothing to do before it was taken; 0 for one that is new.
func (c *Conn) Idle() time.Duration { return c.idle }

// wake sets the deadline of the next use, and reports whether the idle connection is still open and
// silent. Bytes that nobody asked for (a 408 before a close, say) would be read as the answer to
// the next request.
func (c *Conn) wake(deadline time.Time) bool {
	if c.secure && !c.tlsQuiet() || c.SetDeadline(deadline) != nil {
		return false
	}
	return c.raw != nil && c.raw.Read(c.peek) == nil && c.silent
}

// look sees whether a byte, or the end, waits in the socket.
func (c *Conn) look(fd uintptr) bool {
	c.silent = silent(fd)
	return true
}

// tlsQuiet looks for data that the TLS layer has read from the socket already. With its deadline
// passed, a read returns what is there and does not wait.
func (c *Conn) tlsQuiet() bool {
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var b [1]byte
	n, err := c.Read(b[:])
	return n == 0 && isTimeout(err)
}
