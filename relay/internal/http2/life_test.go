package http2_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"

	"github.com/tailpost/tailpost/relay/internal/http2"
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

// TestAPlaceOnAConnectionThatEnds: a request that had its place before the peer said that it takes
// no more, or went away, is not sent there, and may go elsewhere at once; one that retires for
// reasons of ours takes it.
func TestAPlaceOnAConnectionThatEnds(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(p *peer) error{
		"said so":   func(p *peer) error { return p.WriteGoAway(0, h2.ErrCodeNo, nil) },
		"went away": func(p *peer) error { return p.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p := connect(t)
			p.hello(t)
			require.True(t, c.Reserve())
			require.NoError(t, ends(p))
			require.Eventually(t, c.Closed, 30*time.Second, time.Millisecond)
			var broken *http2.Error
			require.ErrorAs(t, do(t.Context(), c, 5*time.Second, nil).err, &broken)
			require.True(t, broken.Unread)
			_, err := p.read()
			require.Error(t, err, "nothing was sent")
		})
	}
	t.Run("retires", func(t *testing.T) {
		t.Parallel()
		c, p := connect(t)
		p.hello(t)
		require.True(t, c.Reserve())
		c.Retire()
		out := make(chan result, 1)
		go func() { out <- do(t.Context(), c, time.Minute, nil) }()
		require.NoError(t, p.head(p.next(t).stream, true, ":status", "200"))
		require.Equal(t, 200, (<-out).Status)
	})
}
