package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// oneByOne starts a server with HTTP/2 that takes one request of a connection at a time.
func oneByOne(s *httptest.Server) {
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	withH2(s)
}

// TestHeld: whoever loses the right to send while a connection is made, or while one that was kept
// is taken, sends nothing, and it was no attempt.
func TestHeld(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"plain": plainHTTP, "TLS": tlsOnly, "HTTP/2": oneByOne} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, start, nil)
			client := newClient(t, webhook.Options{Network: loopback()})
			if rec.TLS != nil {
				client = clientFor(t, rec)
			}
			e := endpointOf(t, client, rec.URL)
			var held atomic.Bool
			request := newRequest()
			request.Held = held.Load
			for range 2 {
				res := e.Send(t.Context(), request)
				require.True(t, res.Unsent)
				require.Zero(t, res.Attempt.StatusCode)
				require.Empty(t, rec.requests)
				// A plain connection is made before the receiver has accepted it.
				require.Eventually(t, func() bool { return rec.conns.Load() > 0 }, 30*time.Second, time.Millisecond,
					"it is asked when there is a connection")

				held.Store(true)
				res = e.Send(t.Context(), request)
				require.False(t, res.Unsent)
				require.Equal(t, http.StatusOK, res.Attempt.StatusCode, res.Attempt.Error)
				<-rec.requests
				held.Store(false)
			}
			if name == "HTTP/2" {
				require.EqualValues(t, 1, rec.conns.Load(), "the place of what was not sent is the next one's")
			}
		})
	}
}
