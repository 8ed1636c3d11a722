package http1

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pair returns a connection as the pool holds it, and the receiver's side of it.
func pair(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	near, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return New(near), far
}

func later() time.Time { return time.Now().Add(time.Minute) }

// awaitClosed returns once the other side has closed far.
func awaitClosed(t *testing.T, far net.Conn) {
	t.Helper()
	require.NoError(t, far.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err := far.Read(make([]byte, 1))
	require.Error(t, err) // the end, or a reset where bytes had not been read
	require.False(t, isTimeout(err), "still open")
}

func TestPoolIsLIFO(t *testing.T) {
	t.Parallel()
	p := &Pool{Max: 2, Timeout: time.Hour, MaxAge: time.Hour}
	t.Cleanup(p.Close)
	a, _ := pair(t)
	b, _ := pair(t)
	c, farC := pair(t)
	p.Put(a)
	p.Put(b)
	p.Put(c)
	awaitClosed(t, farC) // one more than it keeps
	require.Same(t, b, p.Get(later()))
	require.Same(t, a, p.Get(later()))
	require.Nil(t, p.Get(later()))
}

// TestPoolOutlivesDeadlines: an idle connection may be older than the deadline of its last use.
func TestPoolOutlivesDeadlines(t *testing.T) {
	t.Parallel()
	p := &Pool{Max: 2, Timeout: time.Hour, MaxAge: time.Hour}
	t.Cleanup(p.Close)
	c, far := pair(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(-time.Second)))
	p.Put(c)
	require.Same(t, c, p.Get(later()))
	_, err := far.Write([]byte("x"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.NoError(t, err)
}

// TestPoolExpires: idle connections close by their age, one timer serves them, and none is left
// running.
func TestPoolExpires(t *testing.T) {
	t.Parallel()
	p := &Pool{Max: 8, Timeout: 300 * time.Millisecond, MaxAge: time.Hour}
	a, farA := pair(t)
	b, farB := pair(t)
	p.Put(a)
	a.idleSince = time.Now().Add(-time.Hour)
	p.Put(b)
	p.timer.Stop()
	p.expire() // as the timer would when a is old and b is not
	awaitClosed(t, farA)
	awaitClosed(t, farB)
	require.Nil(t, p.Get(later()))
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.timer == nil
	}, 30*time.Second, time.Millisecond)
	c, farC := pair(t)
	p.Put(c) // and again
	awaitClosed(t, farC)
}

// TestPoolDropsWhatIsNotQuiet: a connection on which something happened while it was idle is not
// used again.
func TestPoolDropsWhatIsNotQuiet(t *testing.T) {
	t.Parallel()
	p := &Pool{Max: 8, Timeout: time.Hour, MaxAge: time.Hour}
	t.Cleanup(p.Close)
	good, _ := pair(t)
	closed, farClosed := pair(t)
	loud, farLoud := pair(t)
	for _, c := range []*Conn{good, closed, loud} {
		p.Put(c)
	}
	require.NoError(t, farClosed.Close())
	_, err := farLoud.Write([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !closed.wake(later()) && !loud.wake(later()) }, 10*time.Second, time.Millisecond)
	require.Same(t, good, p.Get(later()))
	require.Nil(t, p.Get(later()))
	awaitClosed(t, farLoud)
}

func TestPoolClosed(t *testing.T) {
	t.Parallel()
	p := &Pool{Max: 8, Timeout: time.Hour, MaxAge: time.Hour}
	a, farA := pair(t)
	p.Put(a)
	p.Close()
	awaitClosed(t, farA)
	b, farB := pair(t)
	p.Put(b)
	awaitClosed(t, farB)
	require.Nil(t, p.Get(later()))
}

// Each idle connection goes when its own time is over, whenever the others went.
func TestPoolExpiresEachInItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &Pool{Max: 8, Timeout: time.Minute, MaxAge: time.Hour}
		t.Cleanup(p.Close)
		var idle []net.Conn
		for range 3 {
			near, far := net.Pipe()
			p.Put(New(near))
			idle = append(idle, far)
			<-time.After(20 * time.Second)
		}
		for n := range idle {
			synctest.Wait()
			for i, far := range idle {
				require.Equal(t, i > n, far.SetDeadline(time.Time{}) == nil, "connection %d after %d expired", i, n+1)
			}
			<-time.After(20 * time.Second)
		}
	})
}
