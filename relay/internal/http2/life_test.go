package http2_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestErrSaysWhyAConnectionEnded before anybody could use it.
func TestErrSaysWhyAConnectionEnded(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	require.NoError(t, c.Err())
	require.NoError(t, p.conn.Close())
	require.Eventually(t, c.Closed, 30*time.Second, time.Millisecond)
	require.False(t, c.Reserve())
	require.ErrorIs(t, c.Err(), io.EOF)
}

// TestRetireWaits: what is in flight when a connection retires is answered, and then it closes.
func TestRetireWaits(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	c.Retire()
	require.False(t, c.Reserve())
	require.NoError(t, p.head(stream, true, ":status", "200"))
	require.Equal(t, 200, (<-out).Status)
	_, err := p.read()
	require.Error(t, err, "closed")
}

// TestIdleConnectionCloses: one that nobody uses is not kept.
func TestIdleConnectionCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t)
		began := time.Now()
		_, err := p.read()
		require.Error(t, err)
		require.Equal(t, time.Minute, time.Since(began))
		require.True(t, c.Closed())
	})
}

// TestIdleIsTold: for how long a connection had nothing to do before a request.
func TestIdleIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t)
		go p.echo()
		for range 2 {
			time.Sleep(7 * time.Second) //nolint:forbidigo // the bubble's clock
			r := <-send(t, c, time.Minute, []byte("x"))
			require.NoError(t, r.err)
			require.Equal(t, 7*time.Second, r.idle)
		}
	})
}
