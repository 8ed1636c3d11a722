package webhook_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// TestARetryMeetsNoConnectionOfBefore: where a connection that was idle turns out to be of no use,
// as all are once a receiver's address has moved to another machine, the others are not tried: a
// retry follows at once, and each would cost an attempt.
func TestARetryMeetsNoConnectionOfBefore(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	requireOneFails := func(t *testing.T, e *webhook.Endpoint) {
		t.Helper()
		res := e.Send(t.Context(), newRequest())
		require.True(t, res.Again, res.Attempt.Error)
		require.True(t, res.Reached)
		res = e.Send(t.Context(), newRequest())
		require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
		require.False(t, res.Again)
	}
	concurrent := func(ep *config.Endpoint) { ep.Concurrency = 2 }
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		var both sync.WaitGroup
		both.Add(2)
		s := newScript(t, func(c net.Conn, conn, request int) bool {
			if request == 1 && conn <= 2 {
				both.Done()
				both.Wait()
			}
			if tcp, is := c.(*net.TCPConn); is && request > 1 { // as a machine does that knows nothing of it
				_ = tcp.SetLinger(0)
				return false
			}
			_, err := io.WriteString(c, ok)
			return err == nil
		})
		e := newEndpoint(t, s.url, concurrent)
		var sent sync.WaitGroup
		for range 2 {
			sent.Go(func() { e.Send(t.Context(), newRequest()) })
		}
		sent.Wait()
		require.EqualValues(t, 2, s.conns.Load())
		idle(t)
		requireOneFails(t, e)
		require.EqualValues(t, 3, s.conns.Load())
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		arrived, free := make(chan struct{}), make(chan struct{})
		s := newH2Script(t, func(r *h2Request) {
			switch {
			case r.all == 2:
				close(arrived)
				select {
				case <-free:
				case <-t.Context().Done():
				}
			case r.nth > 1:
				_ = r.conn.Close()
				return
			}
			r.respond("200")
		})
		s.streams.Store(1)
		e := scripted(t, s.url, s.roots, concurrent)
		require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		var second sync.WaitGroup
		second.Go(func() { e.Send(t.Context(), newRequest()) })
		<-arrived
		require.True(t, e.Send(t.Context(), newRequest()).Delivered, "beside it, on a connection of its own")
		close(free)
		second.Wait()
		require.EqualValues(t, 2, s.conns.Load())
		idle(t)
		requireOneFails(t, e)
		require.EqualValues(t, 3, s.conns.Load())
	})
}

// TestATryThatReachedNobodyIsForgotten: a request whose place was on a connection that then ended
// goes out on another one. What is answered there is the receiver's word: the retry of a 503 does
// not come at once.
func TestATryThatReachedNobodyIsForgotten(t *testing.T) {
	t.Parallel()
	var conn atomic.Pointer[tls.Conn]
	s := newH2Script(t, func(r *h2Request) {
		if r.all == 1 {
			c, _ := r.conn.(*tls.Conn)
			conn.Store(c)
			r.respond("200")
			return
		}
		r.respond("503")
	})
	e := scripted(t, s.url, s.roots)
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	idle(t)
	r := newRequest()
	r.Held = func() bool {
		if c := conn.Swap(nil); c != nil { // the request has its place there
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c) // until the client has closed it too
		}
		return true
	}
	res := e.Send(t.Context(), r)
	require.Equal(t, http.StatusServiceUnavailable, res.Attempt.StatusCode, res.Attempt.Error)
	require.EqualValues(t, 2, s.conns.Load())
	require.False(t, res.Again)
}

// TestAnAnswerOfAnotherLength: over HTTP/2 as well, an answer whose body is not as long as it says
// is no whole one. Its head is an answer unless the endpoint asks for more.
func TestAnAnswerOfAnotherLength(t *testing.T) {
	t.Parallel()
	s := newH2Script(t, func(r *h2Request) {
		r.head("200", false, "content-length", "100")
		_ = r.WriteData(r.stream, true, []byte(`{"failed": []}`))
	})
	for answer, delivered := range map[config.Answer]bool{config.AnswerStatus: true, config.AnswerComplete: false} {
		res := scripted(t, s.url, s.roots, func(ep *config.Endpoint) { ep.Answer = answer }).Send(t.Context(), newRequest())
		require.Equal(t, 200, res.Attempt.StatusCode)
		require.Equal(t, "the answer's body is not as long as its Content-Length says", res.Attempt.Error)
		require.Equal(t, delivered, res.Delivered, answer)
	}
}

// TestTheEndOfNoBodyIsNoAnswer: a receiver that ends the chunks of an answer which has none, a
// moment later, has not answered the next request with that.
func TestTheEndOfNoBodyIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := newScript(t, func(c net.Conn, _, request int) bool {
		late := ""
		if request > 1 {
			late = "0\r\n\r\n"
		}
		_, err := io.WriteString(c, late+"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")
		return err == nil
	})
	e := newEndpoint(t, s.url)
	for range 2 {
		res := e.Send(t.Context(), newRequest())
		require.Equal(t, 204, res.Attempt.StatusCode, res.Attempt.Error)
		require.Empty(t, res.Attempt.Error)
	}
	require.EqualValues(t, 2, s.conns.Load())
}
