package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// gathered is a connection that sends at once what was written since it gathers.
type gathered struct {
	net.Conn

	gathers bool
	b       bytes.Buffer
}

func (g *gathered) Write(b []byte) (int, error) {
	if g.gathers {
		return g.b.Write(b)
	}
	return g.Conn.Write(b)
}

// securePair returns the two ends of a connection with TLS, and what is under the receiver's.
func securePair(t *testing.T) (near, far *tls.Conn, under *gathered) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	plain, other := pair(t)
	under = &gathered{Conn: other}
	near = tls.Client(plain.Conn, &tls.Config{RootCAs: roots, ServerName: "example.com", MinVersion: tls.VersionTLS13})
	far = tls.Server(under, &tls.Config{
		Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true,
	})
	var shaking sync.WaitGroup
	shaking.Go(func() { _ = far.HandshakeContext(t.Context()) })
	require.NoError(t, near.HandshakeContext(t.Context()))
	shaking.Wait()
	return near, far, under
}

// TestPool_looksBehindTLS: what came with an answer and is not of it, be it bytes or the end, may
// wait in the layer of TLS, where the socket is silent. It is not taken for the next answer.
func TestPool_looksBehindTLS(t *testing.T) {
	t.Parallel()
	const head, tail = "HTTP/1.1 204 No Content\r\nX: ", "\r\n\r\n"
	fills := head + strings.Repeat("y", readBuffer-len(head+tail)) + tail // what is read at once
	for name, test := range map[string]struct {
		said       string
		ends, good bool
	}{
		"nothing more":   {fills, false, true},
		"another answer": {fills + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, false},
		"the end":        {head + tail, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far, under := securePair(t)
			under.gathers = true
			_, err := far.Write([]byte(test.said))
			require.NoError(t, err)
			if test.ends {
				require.NoError(t, far.CloseWrite())
				require.NoError(t, under.SetWriteDeadline(time.Time{})) // TLS lets nobody write after the end
			}
			_, err = under.b.WriteTo(under.Conn)
			require.NoError(t, err)
			p := &Pool{Max: 1, Timeout: time.Hour, MaxAge: time.Hour}
			t.Cleanup(p.Close)
			c := New(near)
			keep, err := NewExchange().Do(c, []byte("head"), nil)
			require.NoError(t, err)
			require.True(t, keep)
			p.Put(c)
			require.Equal(t, test.good, p.Get(later()) == c)
		})
	}
}

// watched is a context that counts who waits for its end.
type watched struct {
	context.Context

	done  chan struct{}
	waits int
}

func (w *watched) Done() <-chan struct{} { return w.done }

// AfterFunc is what [context.AfterFunc] asks for first.
func (w *watched) AfterFunc(func()) (stop func() bool) {
	w.waits++
	return func() bool { w.waits--; return true }
}

// TestConn_watchesOneContext: however many contexts it is used under, it waits for the end of the
// last alone, and of none once it is closed: what lives as long as the relay does not grow.
func TestConn_watchesOneContext(t *testing.T) {
	t.Parallel()
	near, _ := net.Pipe()
	c := New(near)
	first, second := &watched{Context: t.Context(), done: make(chan struct{})}, &watched{Context: t.Context(), done: make(chan struct{})}
	for range 2 {
		require.NoError(t, c.Begin(first))
		c.End()
	}
	require.Equal(t, 1, first.waits)
	require.NoError(t, c.Begin(second))
	require.Zero(t, first.waits)
	require.Equal(t, 1, second.waits)
	c.Close()
	require.Zero(t, second.waits)
}

// TestConn_endsWithItsContext: one in use as soon as the context ends, also the second that it is
// used under.
func TestConn_endsWithItsContext(t *testing.T) {
	t.Parallel()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	c := New(near)
	t.Cleanup(c.Close)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, c.SetDeadline(time.Time{}))
		require.NoError(t, c.Begin(ctx))
		time.AfterFunc(time.Millisecond, cancel)
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		c.End()
	}
}

// slow is a connection that answers before it has read the request, and whose write ends a while
// after it was told to.
type slow struct {
	replay

	told  chan struct{}
	ended bool
}

func (s *slow) SetWriteDeadline(time.Time) error { close(s.told); return nil }

func (s *slow) Write([]byte) (int, error) {
	<-s.told
	<-time.After(time.Second)
	s.ended = true
	return 0, os.ErrDeadlineExceeded
}

// TestExchange_handsTheRequestBack: when it returns nobody reads head and body any more, whose room
// is the next request's.
func TestExchange_handsTheRequestBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &slow{replay: replay{r: strings.NewReader("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")}, told: make(chan struct{})}
		x := NewExchange()
		keep, err := x.Do(New(c), []byte("head"), []byte("body"))
		require.NoError(t, err)
		require.False(t, keep)
		require.Equal(t, 413, x.Answer.Status)
		require.True(t, c.ended)
	})
}

// TestExchange_saysWhatItWasAt: a request that the receiver does not take is still being sent,
// however long the answer was waited for.
func TestExchange_saysWhatItWasAt(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{"with the head": nil, "behind the head": []byte("body")} {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		past := near.SetReadDeadline
		if body == nil {
			past = near.SetWriteDeadline
		}
		require.NoError(t, past(time.Unix(1, 0)))
		keep, err := NewExchange().Do(New(near), []byte("head"), body)
		require.False(t, keep)
		var failed *Error
		require.ErrorAs(t, err, &failed, name)
		require.Equal(t, Sending, failed.During, name)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
		require.False(t, failed.Closed)
		require.NoError(t, near.Close())
	}
	for answer, want := range map[string]Error{
		"":                      {During: Waiting, Closed: true},
		"HTTP/1.1 200 OK\r\nX:": {During: Waiting},
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok": {During: Reading},
	} {
		for _, body := range [][]byte{nil, []byte("body")} {
			x := NewExchange()
			_, err := x.Do(New(replay{r: strings.NewReader(answer)}), []byte("head"), body)
			var failed *Error
			require.ErrorAs(t, err, &failed)
			failed.Err = nil
			require.Equal(t, want, *failed, answer)
		}
	}
}
