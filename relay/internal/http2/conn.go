package http2

import (
	"bufio"
	"net"
	"runtime"
	"sync"
	"time"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Options bound what a connection keeps and for how long. None may be zero.
type Options struct {
	MaxHead  int // of an answer, its header list
	MaxBody  int // how much of an answer's body is kept
	MaxDrain int // how much is read beyond that, so that the answer ends well
	// Fields is how many header lines of an answer are kept; it is asked at each answer. nil: none.
	Fields func() int

	IdleTimeout time.Duration // without a request the connection is closed after this
	PingAfter   time.Duration // silence, while requests are in flight, after which the peer is asked
	PingTimeout time.Duration // for its answer; less than PingAfter
}

const (
	// streamsUnsaid is how many requests may be in flight before the peer has said how many, and
	// streamsUnbound if it says no number.
	streamsUnsaid, streamsUnbound = 100, 1000

	windowUnsaid = 65535
	// tableUnsaid is how large the peer's table of headers is before it has said so.
	tableUnsaid = 4096
	// ownWindow is the flow-control window of this side: of each stream, and of the connection.
	ownWindow = 65535
	maxFrame  = 16 << 10
	maxWindow = 1<<31 - 1
	// lastStream is the highest stream that a client opens here; then the connection is used up.
	lastStream = 1<<31 - 1000
	readBuffer = 4 << 10
	// outEnough is how much may wait for the writer before bodies wait for it too. outMost ends a
	// connection whose peer asks for answers and does not read them.
	outEnough, outMost = 64 << 10, 4 << 20
)

// Conn is one HTTP/2 connection. It is safe for concurrent use.
//
//	open ──GOAWAY, Retire, out of stream ids──▶ leaving ──nothing in flight──▶ closed
//	  └──────────────── an error, Close, idle for too long ───────────────────▶ closed
type Conn struct {
	conn    net.Conn
	options Options
	framer  *h2.Framer // reads from conn; writes to out
	made    time.Time
	unused  sync.Pool // of *stream

	mu         sync.Mutex
	wake       sync.Cond // out is not empty, or the connection is closed
	out, spare []byte
	err        error // why it is closed; nil: it is not
	leaving    bool  // keeps no more places for requests, and closes once nothing is in flight
	gone       bool  // the peer takes no more requests

	streams    map[uint32]*stream
	sending    []*stream // with a body that is not sent
	nextID     uint32
	given      uint32 // the requests below it were given to conn, at least in part
	users      int    // requests in flight, and those that have a place reserved
	most       int    // of these, by the peer
	idleSince  time.Time
	busySince  time.Time
	window     int64  // what the peer takes, of all streams together
	peerWindow int64  // what it takes of a new stream
	table      uint32 // size of the peer's header table that is acknowledged; nothing enters it
	emptied    bool   // the next header block is to say that the table is empty
	unacked    int    // read, and not told the peer

	heard time.Time // when the peer last said something
	asked time.Time // when a ping was sent that is not answered; zero: none
	timer *time.Timer
}

// New begins HTTP/2 on a connection that has settled on it, and owns that from now on.
func New(conn net.Conn, o Options) *Conn {
	now := time.Now()
	c := &Conn{
		conn: conn, options: o, made: now, streams: make(map[uint32]*stream), nextID: 1, most: streamsUnsaid,
		window: windowUnsaid, peerWindow: windowUnsaid, table: tableUnsaid, heard: now, idleSince: now,
	}
	c.wake.L = &c.mu
	c.unused.New = newStream
	c.framer = h2.NewFramer((*outWriter)(c), bufio.NewReaderSize(conn, readBuffer))
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.MaxHeaderListSize = uint32(o.MaxHead) //nolint:gosec // a bound in kilobytes
	c.out = append(c.out, h2.ClientPreface...)
	c.say(c.framer.WriteSettings(
		h2.Setting{ID: h2.SettingEnablePush, Val: 0},
		h2.Setting{ID: h2.SettingMaxHeaderListSize, Val: c.framer.MaxHeaderListSize},
	))
	c.timer = time.AfterFunc(min(o.IdleTimeout, o.PingAfter), c.patrol)
	go c.read()
	go c.write()
	return c
}

// outWriter lets the framer write to out. The caller holds mu.
type outWriter Conn

// Write implements io.Writer.
func (w *outWriter) Write(b []byte) (int, error) {
	w.out = append(w.out, b...)
	return len(b), nil
}

// say checks what the framer returned for a frame that it wrote to out: only what breaks the
// protocol is an error.
func (c *Conn) say(err error) {
	switch {
	case err != nil:
		c.fail(err)
	case len(c.out) > outMost:
		c.fail(errFlood)
	default:
		c.wake.Signal()
	}
}

// Made is when the connection was made.
func (c *Conn) Made() time.Time { return c.made }

// Reserve keeps a place for a request and reports whether there is one. Do or Release hands it
// back.
func (c *Conn) Reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.leaving || c.users >= c.most {
		return false
	}
	c.users++
	return true
}

// Release returns a place that Reserve kept.
func (c *Conn) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave()
}

// leave notes that a place is free. The caller holds mu.
func (c *Conn) leave() {
	c.users--
	if c.users == 0 {
		c.idleSince = time.Now()
		if c.leaving {
			c.fail(errClosed)
		}
	}
}

// Closed reports whether the connection is of no more use: it is closed, or takes no requests.
func (c *Conn) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil || c.leaving
}

// Err returns why the connection ended; nil: it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Retire closes the connection as soon as nothing is in flight on it.
func (c *Conn) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	if c.users == 0 {
		c.fail(errClosed)
	}
}

// CloseIdle closes the connection if nobody uses it. What it takes of the machine is free then.
func (c *Conn) CloseIdle() {
	c.mu.Lock()
	idle := c.users == 0
	if idle {
		c.fail(errClosed)
	}
	c.mu.Unlock()
	if idle {
		_ = c.conn.Close() // the reader does so too, in its own time
	}
}

// Silent reports whether the peer has said nothing after t.
func (c *Conn) Silent(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard.Before(t)
}

// fail closes the connection and ends what is in flight. The caller holds mu.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.timer.Stop()
	for _, s := range c.streams {
		c.finish(s, &Error{Err: err, Closed: true, Headed: s.headed, Unread: s.id >= c.given})
	}
	c.wake.Signal()
	// The reader closes it: that says so to the peer, which may not read, and nobody waits for it.
	_ = c.conn.SetDeadline(time.Unix(1, 0)) // an error means that it is closed
}

// write writes what has gathered, until the connection is closed.
func (c *Conn) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		for len(c.out) == 0 && c.err == nil {
			c.wake.Wait()
		}
		if c.err != nil {
			return
		}
		c.mu.Unlock()
		runtime.Gosched() // who is about to send too goes into the same write
		c.mu.Lock()
		out := c.out
		c.out, c.given = c.spare[:0], c.nextID
		c.mu.Unlock()
		_, err := c.conn.Write(out)
		c.mu.Lock()
		if err != nil {
			c.fail(err)
			return
		}
		if c.spare = out; cap(c.spare) > 2*outEnough {
			c.spare = nil
		}
		c.pump()
	}
}

// patrol closes a connection that has been idle for too long, and asks a silent peer for a sign of
// life.
func (c *Conn) patrol() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	now := time.Now()
	if c.users == 0 {
		c.asked = time.Time{} // whatever it was asked about is over
		if wait := c.options.IdleTimeout - now.Sub(c.idleSince); wait > 0 {
			c.timer.Reset(min(wait, c.options.PingAfter))
		} else {
			c.fail(errClosed)
		}
		return
	}
	quiet := now.Sub(c.heard)
	if c.busySince.After(c.heard) {
		quiet = now.Sub(c.busySince)
	}
	wait := c.options.PingAfter - quiet
	switch {
	case wait > 0: // it has answered, if it was asked
		c.asked = time.Time{}
	case c.asked.IsZero():
		c.asked, wait = now, c.options.PingTimeout
		c.say(c.framer.WritePing(false, [8]byte{'t', 'a', 'i', 'l'}))
	default:
		if wait = c.options.PingTimeout - now.Sub(c.asked); wait <= 0 {
			c.fail(errSilent)
			return
		}
	}
	c.timer.Reset(wait)
}
