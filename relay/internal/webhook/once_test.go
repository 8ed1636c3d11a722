package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

func scripted(t *testing.T, url string, roots *x509.CertPool, change ...func(*config.Endpoint)) *webhook.Endpoint {
	t.Helper()
	return endpointOf(t, newClient(t, webhook.Options{Network: loopback(), Roots: roots}), url, change...)
}

// TestHTTP2FailureIsOneAttempt: a receiver that takes the request and then loses the connection, in
// whatever way and however long the connection had been idle, gets no second one within the
// attempt.
func TestHTTP2FailureIsOneAttempt(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(r *h2Request){
		"closes":            func(r *h2Request) { _ = r.conn.Close() },
		"goes away for all": func(r *h2Request) { _ = r.WriteGoAway(r.stream, http2.ErrCodeInternal, nil); _ = r.conn.Close() },
		"cancels":           func(r *h2Request) { _ = r.WriteRSTStream(r.stream, http2.ErrCodeCancel) },
		"internal error":    func(r *h2Request) { _ = r.WriteRSTStream(r.stream, http2.ErrCodeInternal) },
		"protocol error":    func(r *h2Request) { _ = r.WriteRSTStream(r.stream, http2.ErrCodeProtocol) },
		"leaves its answer": func(r *h2Request) {
			r.head("500", false)
			if c, is := r.conn.(*tls.Conn); is {
				_ = c.CloseWrite()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			s := newH2Script(t, func(r *h2Request) {
				requests.Add(1)
				if r.nth == 1 {
					r.respond("200")
					return
				}
				fail(r)
			})
			e := scripted(t, s.url, s.roots)
			require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode)
			idle(t)
			res := e.Send(t.Context(), newRequest())
			require.Equal(t, map[bool]int{true: 500}[name == "leaves its answer"], res.Attempt.StatusCode)
			require.True(t, res.Reached)
			require.False(t, res.Delivered)
			require.NotEmpty(t, res.Attempt.Error)
			require.Equal(t, strings.HasPrefix(name, "closes") || strings.HasPrefix(name, "goes"), res.Again, "a retry may follow at once")
			require.EqualValues(t, 2, requests.Load(), res.Attempt.Error)
		})
	}
}

// TestRefusedStreamGoesAgain: a request that the receiver says it has not looked at goes out again
// at once.
func TestRefusedStreamGoesAgain(t *testing.T) {
	t.Parallel()
	s := newH2Script(t, func(r *h2Request) {
		if r.all == 1 {
			_ = r.WriteRSTStream(r.stream, http2.ErrCodeRefusedStream)
			return
		}
		r.respond("202")
	})
	res := scripted(t, s.url, s.roots).Send(t.Context(), newRequest())
	require.Equal(t, 202, res.Attempt.StatusCode, res.Attempt.Error)
}

// TestALeftOutRequestReachedNobody: one that a connection left out, and that then finds no other,
// was not sent, whatever was written.
func TestALeftOutRequestReachedNobody(t *testing.T) {
	t.Parallel()
	s := newH2Script(t, func(r *h2Request) { _ = r.WriteGoAway(0, http2.ErrCodeNo, nil) })
	var dials atomic.Int64
	c := newClient(t, webhook.Options{Network: loopback(), Roots: s.roots, Dialer: &net.Dialer{Control: func(string, string, syscall.RawConn) error {
		if dials.Add(1) > 1 {
			return syscall.ECONNREFUSED
		}
		return nil
	}}})
	res := endpointOf(t, c, s.url).Send(t.Context(), newRequest())
	require.Equal(t, "connection refused", res.Attempt.Error)
	require.False(t, res.Reached)
}

// TestHTTP2AnswerThatEndsEarly: its head is the answer, and what became of the rest is noted.
func TestHTTP2AnswerThatEndsEarly(t *testing.T) {
	t.Parallel()
	s := newH2Script(t, func(r *h2Request) {
		r.head("201", false)
		_ = r.WriteRSTStream(r.stream, http2.ErrCodeInternal)
	})
	res := scripted(t, s.url, s.roots).Send(t.Context(), newRequest())
	require.Equal(t, 201, res.Attempt.StatusCode)
	require.Equal(t, "the receiver reset the HTTP/2 response", res.Attempt.Error)
	require.True(t, res.Delivered)
	require.False(t, res.Again)
}

// TestHTTP2OutlivesWhoGivesUp: a request that is not wanted any more says nothing of its
// connection.
func TestHTTP2OutlivesWhoGivesUp(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	s := newH2Script(t, func(r *h2Request) {
		if r.nth == 1 {
			r.respond("200")
			return
		}
		if r.nth == 2 {
			arrived <- struct{}{}
			return
		}
		r.respond("202")
	})
	e := scripted(t, s.url, s.roots)
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	require.Equal(t, "canceled while waiting for headers", e.Send(ctx, newRequest()).Attempt.Error)
	require.Equal(t, 202, e.Send(t.Context(), newRequest()).Attempt.StatusCode)
	require.EqualValues(t, 1, s.conns.Load())
}

// TestRefusedStreamsEnd: a receiver that refuses everything fails the attempt.
func TestRefusedStreamsEnd(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := newH2Script(t, func(r *h2Request) {
		requests.Add(1)
		_ = r.WriteRSTStream(r.stream, http2.ErrCodeRefusedStream)
	})
	res := scripted(t, s.url, s.roots).Send(t.Context(), newRequest())
	require.Equal(t, "the receiver reset the HTTP/2 request", res.Attempt.Error)
	require.LessOrEqual(t, requests.Load(), int64(4))
	require.EqualValues(t, 1, s.conns.Load(), "to one that has too much to do no further connection is made")
}

// TestGoAwaysEnd: a receiver that leaves every request out fails the attempt too.
func TestGoAwaysEnd(t *testing.T) {
	t.Parallel()
	s := newH2Script(t, func(r *h2Request) { _ = r.WriteGoAway(0, http2.ErrCodeNo, nil) })
	res := scripted(t, s.url, s.roots).Send(t.Context(), newRequest())
	require.Equal(t, "the receiver closed the HTTP/2 connection", res.Attempt.Error)
	require.EqualValues(t, 4, s.conns.Load())
}

// TestGoAwayLeavesOut: of two requests on a connection that goes away, the one that the receiver
// has taken is answered there, and the one that it has not goes out again on a new connection.
func TestGoAwayLeavesOut(t *testing.T) {
	t.Parallel()
	var first uint32
	arrived, elsewhere := make(chan struct{}, 2), make(chan struct{})
	s := newH2Script(t, func(r *h2Request) {
		switch r.all {
		case 1:
			first = r.stream
			arrived <- struct{}{}
		case 2:
			_ = r.WriteGoAway(first, http2.ErrCodeNo, nil)
			arrived <- struct{}{}
			select {
			case <-elsewhere:
			case <-t.Context().Done():
			}
			r.stream = first
			r.respond("201")
		default:
			r.respond("202")
		}
	})
	e := scripted(t, s.url, s.roots)
	answers := make(chan webhook.Result, 2)
	send := func() { answers <- e.Send(t.Context(), newRequest()) }
	go send()
	<-arrived
	go send() // reaches the connection that is there: the first one's request was whole
	<-arrived
	second := <-answers
	require.Equal(t, 202, second.Attempt.StatusCode, second.Attempt.Error)
	close(elsewhere)
	require.Equal(t, 201, (<-answers).Attempt.StatusCode)
	require.EqualValues(t, 2, s.conns.Load())
}

// TestAFewRequestsOfAConnection: of a receiver that takes one request of each connection, as
// nginx's keepalive_requests has it, and leaves out all others, every request is answered in its
// first attempt.
func TestAFewRequestsOfAConnection(t *testing.T) {
	t.Parallel()
	const lanes, each = 16, 10
	s := newH2Script(t, func(r *h2Request) {
		if r.stream == 1 {
			r.respond("200")
			return
		}
		_ = r.WriteGoAway(1, http2.ErrCodeNo, nil)
	})
	e := scripted(t, s.url, s.roots)
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			for range each {
				res := e.Send(t.Context(), newRequest())
				assert.True(t, res.Delivered, res.Attempt.Error)
			}
		})
	}
	wg.Wait()
}

// TestHTTP11Required: a receiver that asks for HTTP/1.1 gets the request, and all later ones, over
// HTTP/1.1.
func TestHTTP11Required(t *testing.T) {
	t.Parallel()
	s := newH2Script(t, func(r *h2Request) { _ = r.WriteRSTStream(r.stream, http2.ErrCodeHTTP11Required) })
	e := scripted(t, s.url, s.roots)
	res := e.Send(t.Context(), newRequest())
	require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
	require.EqualValues(t, 1, s.http1.Load())
}

// TestSilentTimeoutRetiresTheConnection: a connection on which the time was up without a byte may
// be dead; the next request does not wait for that.
func TestSilentTimeoutRetiresTheConnection(t *testing.T) {
	t.Parallel()
	short := func(ep *config.Endpoint) { ep.Timeout = 2 * time.Second }
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		s := newH2Script(t, func(r *h2Request) {
			if r.nth == 1 {
				r.respond("200")
				return
			}
			_, _ = io.Copy(io.Discard, r.conn) // not a word any more, not even to a ping
		})
		e := scripted(t, s.url, s.roots, short)
		require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode)
		require.Equal(t, "timeout after 2s waiting for headers", e.Send(t.Context(), newRequest()).Attempt.Error)
		require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode, "on a new connection")
		require.EqualValues(t, 2, s.conns.Load())
	})
	t.Run("HTTP/1.1, with those that were idle beside it", func(t *testing.T) {
		t.Parallel()
		const conns = 4
		var dead atomic.Bool
		together := make(chan struct{}, conns)
		var barrier sync.WaitGroup
		barrier.Add(conns)
		s := newScript(t, func(c net.Conn, conn, request int) bool {
			if dead.Load() && conn <= conns {
				return true // reads on, and says nothing
			}
			if request == 1 && conn <= conns {
				barrier.Done()
				barrier.Wait()
			}
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			return err == nil
		})
		e := newEndpoint(t, s.url, func(ep *config.Endpoint) { ep.Concurrency = conns; ep.Timeout = 2 * time.Second })
		for range conns {
			go func() { e.Send(t.Context(), newRequest()); together <- struct{}{} }()
		}
		for range conns {
			<-together
		}
		require.EqualValues(t, conns, s.conns.Load())
		dead.Store(true)
		require.Contains(t, e.Send(t.Context(), newRequest()).Attempt.Error, "timeout after 2s")
		require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode, "none of the other three is tried")
	})
}

// TestMovedNameIsFollowed: traffic that never pauses keeps no connection for ever.
func TestMovedNameIsFollowed(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"HTTP/1.1": plainHTTP, "HTTP/2": withH2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := newReceiver(t, start, nil)
			u, err := url.Parse(before.URL)
			require.NoError(t, err)
			var reached atomic.Bool
			after := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }), TLSConfig: before.TLS, ReadHeaderTimeout: time.Minute}
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:"+u.Port())
			require.NoError(t, err)
			var wg sync.WaitGroup
			wg.Go(func() {
				if before.TLS != nil {
					_ = after.ServeTLS(l, "", "")
					return
				}
				_ = after.Serve(l)
			})
			t.Cleanup(func() { _ = after.Close(); wg.Wait() })
			var moved atomic.Bool
			names := &resolver{answer: func(int64, string) ([]netip.Addr, error) {
				if moved.Load() {
					return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
				}
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}}
			o := webhook.Options{Network: loopback(), Resolver: names, MaxAge: 50 * time.Millisecond}
			if before.TLS != nil {
				o.Roots = rootsOf(t, before)
			}
			e := endpointOf(t, newClient(t, o), named(t, before, "example.com"))
			require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode)
			moved.Store(true)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for !reached.Load() {
				select {
				case <-before.requests:
				default:
				}
				res := e.Send(ctx, newRequest())
				require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
			}
		})
	}
}

// TestAnswerBeforeTheRequestIsRead: a receiver may refuse a large body as soon as it knows, and
// never read it.
func TestAnswerBeforeTheRequestIsRead(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"410 Gone", "413 Content Too Large"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			require.NoError(t, err)
			hold := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				_, _ = c.Read(make([]byte, 16))
				_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 2\r\n\r\nno")
				<-hold // reads nothing, and keeps the connection
			})
			t.Cleanup(func() { _ = l.Close(); close(hold); wg.Wait() })
			r := newRequest()
			r.Event.Payload = quoted(30 << 20)
			start := time.Now()
			res := newEndpoint(t, "http://"+l.Addr().String(), func(ep *config.Endpoint) { ep.Timeout = 2 * time.Minute }).Send(t.Context(), r)
			require.Equal(t, status[:3], strconv.Itoa(res.Attempt.StatusCode), res.Attempt.Error)
			require.Equal(t, "no", string(res.Attempt.ResponseBody))
			require.Empty(t, res.Attempt.Error)
			require.Less(t, time.Since(start), 100*time.Second, "not at the end of the timeout")
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		rec := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}))
		rec.EnableHTTP2 = true
		rec.StartTLS()
		t.Cleanup(rec.Close)
		r := newRequest()
		r.Event.Payload = quoted(30 << 20)
		transport, ok := rec.Client().Transport.(*http.Transport)
		require.True(t, ok)
		patient := func(ep *config.Endpoint) { ep.Timeout = time.Minute }
		res := scripted(t, rec.URL, transport.TLSClientConfig.RootCAs, patient).Send(t.Context(), r)
		require.Equal(t, 413, res.Attempt.StatusCode, res.Attempt.Error)
	})
}
