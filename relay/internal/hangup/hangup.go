package hangup

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// lookEvery is for how long a look is good. A process that was stopped for longer looks again.
const lookEvery = time.Millisecond

// Line watches one connection. Its methods may be called from any goroutine.
type Line struct {
	raw  syscall.RawConn // the socket, under any TLS; nil: nobody can tell
	base time.Time

	looked atomic.Int64 // nanoseconds after base
	gone   atomic.Bool

	mu   sync.Mutex
	down bool             // what the last look saw
	look func(fd uintptr) // made once, so that a look costs no allocation
}

// New watches a connection, TLS or not.
func New(conn net.Conn) *Line {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	l := &Line{base: time.Now()}
	l.looked.Store(-int64(lookEvery))
	l.look = func(fd uintptr) { l.down = hungUp(fd) }
	if s, ok := conn.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil { // an error means that it is closed: the first use says so
			l.raw = raw
		}
	}
	return l
}

// Up says whether the connection stands. Once it is down, it stays down. It costs a system call
// once in a millisecond, and is true where nobody can tell.
func (l *Line) Up() bool {
	if l.raw == nil {
		return true
	}
	if l.gone.Load() || l.fresh() {
		return !l.gone.Load()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// The clock is read again: whoever waits here while the process is stopped has no use for a
	// look from before that.
	if l.gone.Load() || l.fresh() {
		return !l.gone.Load()
	}
	at := time.Since(l.base)
	if err := l.raw.Control(l.look); err != nil || l.down {
		l.gone.Store(true) // an error: we closed it
	}
	l.looked.Store(int64(at))
	return !l.gone.Load()
}

// fresh says whether the last look is good still.
func (l *Line) fresh() bool { return int64(time.Since(l.base))-l.looked.Load() < int64(lookEvery) }

// Gone says whether a look has found the connection down.
func (l *Line) Gone() bool { return l.gone.Load() }
