package webhook_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// TestSessionsAreResumed: a receiver that hangs up between requests, as many do, costs no whole
// handshake the next time, however many receivers there are.
func TestSessionsAreResumed(t *testing.T) {
	t.Parallel()
	const receivers = 300
	var resumed, whole atomic.Int64
	rec := newReceiver(t, func(s *httptest.Server) {
		s.Config.SetKeepAlivesEnabled(false)
		count := s.Config.ConnState
		s.Config.ConnState = func(c net.Conn, state http.ConnState) {
			if secure, ok := c.(*tls.Conn); ok && state == http.StateActive {
				if secure.ConnectionState().DidResume {
					resumed.Add(1)
				} else {
					whole.Add(1)
				}
			}
			count(c, state)
		}
		tlsOnly(s)
	}, nil)
	c := newClient(t, webhook.Options{Network: loopback(), Roots: rootsOf(t, rec), Resolver: resolvesTo("127.0.0.1")})
	endpoints := make([]*webhook.Endpoint, receivers)
	for i := range endpoints {
		endpoints[i] = endpointOf(t, c, named(t, rec, fmt.Sprintf("receiver-%d.example.com", i)))
	}
	for range 2 {
		for _, e := range endpoints {
			res := e.Send(t.Context(), newRequest())
			require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
			<-rec.requests
		}
	}
	require.EqualValues(t, receivers, whole.Load())
	require.EqualValues(t, receivers, resumed.Load())
}
