package telemetry_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
)

func TestOnlyThisMachineIsAnswered(t *testing.T) {
	t.Parallel()
	handler := setup(t).Handler()
	for host, want := range map[string]int{
		"127.0.0.1:9090": http.StatusOK, "localhost": http.StatusOK, "[::1]:9090": http.StatusOK, "[::ffff:127.0.0.1]": http.StatusOK,
		"rebound.example:9090": http.StatusForbidden, "10.0.0.1": http.StatusForbidden,
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
		req.Host = host
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, req)
		require.Equal(t, want, answer.Code, host)
		require.Equal(t, want == http.StatusOK, bytes.Contains(answer.Body.Bytes(), []byte("tailpost_state")), host)
		require.Equal(t, want == http.StatusOK, answer.Header().Get("Content-Type") == telemetry.ContentType, host)
		require.Equal(t, "no-store", answer.Header().Get("Cache-Control"), "measures are of now")
		require.Equal(t, "nosniff", answer.Header().Get("X-Content-Type-Options"))
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	t.Parallel()
	listener, err := telemetry.Listen(t.Context(), &config.Metrics{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.ErrorContains(t, setup(t).Serve(t.Context(), listener), "serve the metrics", "it ended although nobody had stopped it")
	_, err = telemetry.Listen(t.Context(), &config.Metrics{Listen: "0.0.0.0:0"})
	require.ErrorContains(t, err, "127.0.0.1")
}

// pipes is a listener whose connections are in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error { close(p); return nil }
func (pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestServe_givesUpWhoIsSlow: a connection that brings nothing, or takes nothing, costs something
// for a while only.
func TestServe_givesUpWhoIsSlow(t *testing.T) {
	t.Parallel()
	const asks = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
	for name, test := range map[string]struct {
		sends  string
		stops  bool // reading, once it has asked
		answer string
		after  time.Duration
	}{
		"says nothing":           {after: 5 * time.Second},
		"sends half a header":    {sends: asks, after: 5 * time.Second},
		"keeps back its body":    {sends: asks + "Content-Length: 9\r\n\r\n", answer: "200 OK", after: 5 * time.Second},
		"sends a long header":    {sends: asks + "X: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", answer: "431 Request Header Fields Too Large"},
		"asks no more":           {sends: asks + "\r\n", answer: "200 OK", after: 5 * time.Minute},
		"does not read the rest": {sends: asks + "\r\n", stops: true, after: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				listener, ended := make(pipes), make(chan error)
				go func() { ended <- setup(t).Serve(ctx, listener) }()
				near, far := net.Pipe()
				listener <- far
				began := time.Now()
				go func() { _, _ = io.WriteString(near, test.sends) }()
				synctest.Wait()
				if test.stops {
					_, _ = near.Write([]byte("until it is closed"))
				} else {
					answer, err := io.ReadAll(near)
					require.NoError(t, err)
					require.Contains(t, string(answer), test.answer)
				}
				require.Equal(t, test.after, time.Since(began).Truncate(time.Second))
				stop()
				require.NoError(t, <-ended, "who stops it knows")
			})
		})
	}
}
