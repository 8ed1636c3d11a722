package webhook

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"
)

// conn is one HTTP/1.1 connection. One attempt at a time uses it, and reads and writes on its own goroutine: an idle
// connection costs none.
//
//	dialled ──▶ busy ──answer complete──▶ idle ──taken again──▶ busy
//	             └──▶ closed ◀── idle too long, bytes nobody asked for, peer closed
type conn struct {
	net.Conn

	raw       syscall.RawConn       // the socket, under any TLS
	peek      func(fd uintptr) bool // made once, so that a look costs no allocation
	silent    bool                  // what peek saw
	secure    bool
	reused    bool
	idleSince time.Time

	mu   sync.Mutex
	busy bool
	done <-chan struct{} // of the context whose end aborts the connection while it is busy
	stop func() bool     // ends that watch
}

func newConn(c net.Conn) *conn {
	out := &conn{Conn: c}
	socket := c
	for { // an https proxy gives TLS within TLS
		t, ok := socket.(*tls.Conn)
		if !ok {
			break
		}
		socket, out.secure = t.NetConn(), true
	}
	if s, ok := socket.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil { // an error means that it is closed: the first use says so
			out.raw, out.peek = raw, out.look
		}
	}
	return out
}

// begin starts a use of the connection that ends with ctx. The watch over ctx is kept between uses: the relay sends
// everything under one context, so that a request usually costs no registration. The deadline is set before: an abort
// moves it, and must be the last to do so.
func (c *conn) begin(ctx context.Context) error {
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
	return ctx.Err() // the watch may have ended before begin
}

// abort makes every read and write fail if the connection is busy under the context that ended.
func (c *conn) abort(done <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy && c.done == done {
		_ = c.SetDeadline(time.Unix(1, 0)) // an error means that the connection is closed already
	}
}

// end is the end of a use.
func (c *conn) end() {
	c.mu.Lock()
	c.busy = false
	c.mu.Unlock()
}

// close ends the connection and its watch.
func (c *conn) close() {
	c.mu.Lock()
	if c.stop != nil {
		c.stop()
	}
	c.busy, c.done, c.stop = false, nil, nil
	c.mu.Unlock()
	_ = c.Close() // nothing is in flight: there is nobody to tell
}

// wake sets the deadline of the next use, and reports whether the idle connection is still open and silent. Bytes that
// nobody asked for (a 408 before a close, say) would be read as the answer to the next request.
func (c *conn) wake(deadline time.Time) bool {
	if c.secure && !c.tlsQuiet() || c.SetDeadline(deadline) != nil {
		return false
	}
	return c.raw != nil && c.raw.Read(c.peek) == nil && c.silent
}

// look sees whether a byte, or the end, waits in the socket.
func (c *conn) look(fd uintptr) bool {
	c.silent = silent(fd)
	return true
}

// tlsQuiet looks for data that the TLS layer has read from the socket already. With its deadline passed, a read returns
// what is there and does not wait.
func (c *conn) tlsQuiet() bool {
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var b [1]byte
	n, err := c.Read(b[:])
	return n == 0 && isTimeout(err)
}
