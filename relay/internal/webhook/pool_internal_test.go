package webhook

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pair gives a connection as the pool holds it, and the receiver's side of it.
func pair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	near, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return newConn(near), far
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
	p := &pool{max: 2, timeout: time.Hour}
	t.Cleanup(p.close)
	a, _ := pair(t)
	b, _ := pair(t)
	c, farC := pair(t)
	now := time.Now()
	p.put(a, now)
	p.put(b, now)
	p.put(c, now)
	awaitClosed(t, farC) // one more than it keeps
	require.Same(t, b, p.take(later()))
	require.Same(t, a, p.take(later()))
	require.Nil(t, p.take(later()))
}

// TestPoolOutlivesDeadlines: an idle connection may be older than the deadline of its last use.
func TestPoolOutlivesDeadlines(t *testing.T) {
	t.Parallel()
	p := &pool{max: 2, timeout: time.Hour}
	t.Cleanup(p.close)
	c, far := pair(t)
	require.NoError(t, c.SetDeadline(time.Now().Add(-time.Second)))
	p.put(c, time.Now())
	require.Same(t, c, p.take(later()))
	_, err := far.Write([]byte("x"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.NoError(t, err)
}

// TestPoolExpires: idle connections close by their age, one timer serves them, and none is left running.
func TestPoolExpires(t *testing.T) {
	t.Parallel()
	p := &pool{max: 8, timeout: 300 * time.Millisecond}
	a, farA := pair(t)
	b, farB := pair(t)
	p.put(a, time.Now().Add(-time.Hour))
	p.put(b, time.Now())
	p.timer.Stop()
	p.expire() // as the timer would when a is old and b is not
	awaitClosed(t, farA)
	awaitClosed(t, farB)
	require.Nil(t, p.take(later()))
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.timer == nil
	}, 30*time.Second, time.Millisecond)
	c, farC := pair(t)
	p.put(c, time.Now()) // and again
	awaitClosed(t, farC)
}

// TestPoolDropsWhatIsNotQuiet: a connection on which something happened while it was idle is not used again.
func TestPoolDropsWhatIsNotQuiet(t *testing.T) {
	t.Parallel()
	p := &pool{max: 8, timeout: time.Hour}
	t.Cleanup(p.close)
	good, _ := pair(t)
	closed, farClosed := pair(t)
	loud, farLoud := pair(t)
	for _, c := range []*conn{good, closed, loud} {
		p.put(c, time.Now())
	}
	require.NoError(t, farClosed.Close())
	_, err := farLoud.Write([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !closed.wake(later()) && !loud.wake(later()) }, 10*time.Second, time.Millisecond)
	require.Same(t, good, p.take(later()))
	require.Nil(t, p.take(later()))
	awaitClosed(t, farLoud)
}

func TestPoolClosed(t *testing.T) {
	t.Parallel()
	p := &pool{max: 8, timeout: time.Hour}
	a, farA := pair(t)
	p.put(a, time.Now())
	p.close()
	awaitClosed(t, farA)
	b, farB := pair(t)
	p.put(b, time.Now())
	awaitClosed(t, farB)
	require.Nil(t, p.take(later()))
}
