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
			require.Error(t, broken.Err)
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

// TestWhatComesLateIsNoOffence: of a request that is over the peer may have something under way,
// which ends nothing and is not answered.
func TestWhatComesLateIsNoOffence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t)
		require.NoError(t, p.WriteSettingsAck())
		out := send(t, c, time.Minute, nil)
		stream := p.next(t).stream
		require.NoError(t, p.head(stream, true, ":status", "200"))
		require.Equal(t, 200, (<-out).Status)
		p.hasNoMore(t)
		require.NoError(t, p.head(stream, false, ":status", "500"))
		require.NoError(t, p.WriteData(stream, true, []byte("late")))
		require.NoError(t, p.WriteRSTStream(stream, h2.ErrCodeInternal))
		require.NoError(t, p.WriteWindowUpdate(stream, 1))
		p.hasNoMore(t)
		next := send(t, c, time.Minute, nil)
		require.NoError(t, p.head(p.next(t).stream, true, ":status", "202"))
		require.Equal(t, 202, (<-next).Status)
		require.False(t, c.Closed())
	})
}

// TestAnAnswerIsItsCallers: its body stays as it is whatever is answered next, behind what was in
// the room for it, and of its header lines the first are kept.
func TestAnAnswerIsItsCallers(t *testing.T) {
	t.Parallel()
	o, most := options(), 0
	o.Fields = func() int { return most }
	c, p := connectAs(t, o)
	p.hello(t)
	var answers []http2.Answer
	for i, text := range []string{"first", "later", "third"} {
		most = i
		require.True(t, c.Reserve())
		got := make(chan http2.Answer, 1)
		go func() {
			a, _, _ := c.Do(t.Context(), time.Now().Add(time.Minute), http2.AppendHead(nil, []byte("POST / HTTP/1.1\r\n\r\n"), "example.com"), nil, []byte("-"))
			got <- a
		}()
		stream := p.next(t).stream
		require.NoError(t, p.head(stream, false, ":status", "200", "x-a", "b"))
		require.NoError(t, p.WriteData(stream, true, []byte(text)))
		answers = append(answers, <-got)
	}
	kept := []http2.Field{{Name: "x-a", Value: "b"}}
	require.Equal(t, []http2.Answer{
		{Status: 200, Body: []byte("-first")}, {Status: 200, Body: []byte("-later"), Fields: kept}, {Status: 200, Body: []byte("-third"), Fields: kept},
	}, answers)
}

// TestASilentPeerIsAskedHoweverMuchIsSent: requests that keep coming are no sign of life.
func TestASilentPeerIsAskedHoweverMuchIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t)
		began := time.Now()
		var all []<-chan result
		for range 5 {
			all = append(all, send(t, c, time.Hour, nil))
			require.Equal(t, h2.FrameHeaders, p.next(t).kind)
			<-time.After(6 * time.Second)
		}
		require.Equal(t, h2.FramePing, p.next(t).kind)
		require.Equal(t, 30*time.Second, time.Since(began))
		for _, out := range all {
			var broken *http2.Error
			require.ErrorAs(t, (<-out).err, &broken)
			require.True(t, broken.Closed)
		}
		require.Equal(t, 45*time.Second, time.Since(began))
	})
}

// TestAPingOfBeforeIsOver: a peer that was asked for a sign of life, and whose request then ended,
// is asked anew about the next one, and does not lose it for an answer that it gave.
func TestAPingOfBeforeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t)
		first := send(t, c, time.Hour, nil)
		stream := p.next(t).stream
		require.Equal(t, h2.FramePing, p.next(t).kind)
		require.NoError(t, p.WritePing(true, [8]byte{'t', 'a', 'i', 'l'}))
		require.NoError(t, p.head(stream, true, ":status", "200"))
		require.Equal(t, 200, (<-first).Status)
		<-time.After(options().PingTimeout) // somebody looks then, and next after PingAfter
		synctest.Wait()
		second := send(t, c, time.Hour, nil)
		stream = p.next(t).stream
		f, err := p.read()
		require.NoError(t, err)
		require.Equal(t, h2.FramePing, f.kind)
		require.NoError(t, p.head(stream, true, ":status", "202"))
		require.Equal(t, 202, (<-second).Status)
	})
}
