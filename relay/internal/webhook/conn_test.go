package webhook_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// TestManyAtOnce has the race detector watch requests, bodies and answers of all sizes share
// connections and buffers: every answer must be that of its own request.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	verifier, err := signature.NewVerifier(testSecret)
	require.NoError(t, err)
	echo := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Webhook-Id")+strings.Repeat("!", len(r.Header.Get("Webhook-Id"))*100))
	}
	for name, rec := range map[string]*receiver{"http/1.1": newReceiver(t, plainHTTP, echo), "tls": newReceiver(t, tlsOnly, echo), "h2": newReceiver(t, withH2, echo)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, webhook.Options{Network: loopback()})
			if name != "http/1.1" {
				c = clientFor(t, rec)
			}
			e := endpointOf(t, c, rec.URL, func(ep *config.Endpoint) { ep.Concurrency = 16 })
			var wg sync.WaitGroup
			for g := range 16 {
				wg.Go(func() {
					for i := range 15 {
						r := newRequest()
						r.Event.ID = "evt_" + strings.Repeat(string(rune('a'+g)), i+1)
						r.Event.Payload = quoted(i * i * g * 20)
						res := e.Send(t.Context(), r)
						if res.Attempt.StatusCode != http.StatusOK || !strings.HasPrefix(string(res.Attempt.ResponseBody), r.Event.ID+"!") {
							t.Errorf("%s got %d %q %.40q", r.Event.ID, res.Attempt.StatusCode, res.Attempt.Error, res.Attempt.ResponseBody)
						}
						if got := <-rec.requests; verifier.Verify(got.header, got.body) != nil {
							t.Errorf("a signature does not verify")
						}
					}
				})
			}
			wg.Wait()
			require.LessOrEqual(t, rec.conns.Load(), int64(16))
		})
	}
}

// TestContextPerRequest: the end of a context that one request had does nothing to the connection
// it leaves behind.
func TestContextPerRequest(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	e := newEndpoint(t, rec.URL)
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		res := e.Send(ctx, newRequest())
		cancel()
		require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
	}
	require.Equal(t, 200, e.Send(context.WithoutCancel(t.Context()), newRequest()).Attempt.StatusCode)
	require.EqualValues(t, 1, rec.conns.Load())
}

// TestContextDeadline: a context's own deadline counts if it is earlier.
func TestContextDeadline(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	rec := newReceiver(t, plainHTTP, func(http.ResponseWriter, *http.Request) { <-block })
	t.Cleanup(func() { close(block) })
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
	defer cancel()
	start := time.Now()
	e := newEndpoint(t, rec.URL, func(ep *config.Endpoint) { ep.Timeout = time.Minute })
	res := e.Send(ctx, newRequest())
	require.Contains(t, res.Attempt.Error, "timeout")
	require.Less(t, time.Since(start), 30*time.Second)
}

// awaitClosed returns once so many of a receiver's connections have ended since somebody last took
// note.
func awaitClosed(t *testing.T, rec *receiver, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(rec.closed) >= n }, 10*time.Second, time.Millisecond)
}

// TestContextThatHasEnded: what is to be over already is not sent on a connection that is there
// either.
func TestContextThatHasEnded(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	e := newEndpoint(t, rec.URL)
	for want, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"timeout after 5s sending the request": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadline(ctx, time.Unix(1, 0))
		},
		"canceled while sending the request": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		},
	} {
		require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		<-rec.requests
		ctx, cancel := end(t.Context())
		res := e.Send(ctx, newRequest())
		cancel()
		require.Equal(t, want, res.Attempt.Error)
		require.False(t, res.Reached)
		require.True(t, res.Local)
		require.Empty(t, rec.requests)
	}
}

// TestIdleConnectionsAreAsManyAsLanes: as many requests as go out together find a connection the
// next time, and no more are kept.
func TestIdleConnectionsAreAsManyAsLanes(t *testing.T) {
	t.Parallel()
	const lanes, requests = 3, 5
	all, release := make(chan struct{}, requests), make(chan struct{})
	rec := newReceiver(t, plainHTTP, func(http.ResponseWriter, *http.Request) { all <- struct{}{}; <-release })
	e := newEndpoint(t, rec.URL, func(ep *config.Endpoint) { ep.Concurrency = lanes })
	send := func(n int) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() { e.Send(t.Context(), newRequest()) })
		}
		for range n {
			<-all
		}
		for range n {
			release <- struct{}{}
		}
		wg.Wait()
	}
	send(requests)
	require.EqualValues(t, requests, rec.conns.Load())
	awaitClosed(t, rec, requests-lanes)
	send(lanes)
	require.EqualValues(t, requests, rec.conns.Load())
	require.Len(t, rec.closed, requests-lanes)
}

// TestCancelMidway: contexts that end at any moment end their own request, never another's.
func TestCancelMidway(t *testing.T) {
	t.Parallel()
	hang := make(chan bool) // what the receiver is to do with the next request
	rec := newReceiver(t, plainHTTP, func(_ http.ResponseWriter, r *http.Request) {
		if <-hang {
			<-r.Context().Done() // until the client goes away
		}
	})
	e := newEndpoint(t, rec.URL)
	for i := range 60 {
		ctx, cancel := context.WithCancel(t.Context())
		var res webhook.Result
		done := make(chan struct{})
		go func() { defer close(done); res = e.Send(ctx, newRequest()) }()
		<-rec.requests
		hang <- i%3 == 0
		if i%3 == 0 || i%2 == 0 {
			cancel()
		}
		<-done
		cancel()
		if res.Attempt.Error != "" {
			require.Contains(t, res.Attempt.Error, "canceled while", "attempt %d", i)
		} else {
			require.Equal(t, 200, res.Attempt.StatusCode)
		}
	}
}

// TestClose: nothing stays open after Close, whichever of the client and the endpoint is closed,
// and whenever.
func TestClose(t *testing.T) {
	t.Parallel()
	for name, tls := range map[string]bool{"http/1.1": false, "h2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, closeClient := range []bool{true, false} {
				release := make(chan struct{})
				answer := func(http.ResponseWriter, *http.Request) { <-release }
				start := plainHTTP
				if tls {
					start = withH2
				}
				rec := newReceiver(t, start, answer)
				c := newClient(t, webhook.Options{Network: loopback()})
				if tls {
					c = clientFor(t, rec)
				}
				e := endpointOf(t, c, rec.URL)
				done := make(chan webhook.Result)
				go func() { done <- e.Send(t.Context(), newRequest()) }()
				<-rec.requests
				if closeClient {
					c.Close()
				} else {
					e.Close()
				}
				close(release)
				require.Equal(t, 200, (<-done).Attempt.StatusCode, "a request in flight ends as it would")
				<-rec.closed
				require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode, "a late one still works")
				<-rec.closed
				c.Close()
				e.Close()
			}
		})
	}
}
