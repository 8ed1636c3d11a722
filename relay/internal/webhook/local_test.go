package webhook_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// troubled sends one request to host from a machine whose sockets fail with trouble.
func troubled(ctx context.Context, t *testing.T, host string, trouble error) webhook.Result {
	t.Helper()
	c := newClient(t, webhook.Options{
		Network: loopback(),
		Dialer:  &net.Dialer{Control: func(string, string, syscall.RawConn) error { return trouble }},
	})
	e := endpointOf(t, c, "https://"+host, func(ep *config.Endpoint) { ep.Timeout = 30 * time.Second })
	return e.Send(ctx, newRequest())
}

// TestTheRelaysOwnTroublesAreLocal: what the relay's machine is short of is not held against the
// receiver, whether it is missed for the connection or for the question where to connect to.
func TestTheRelaysOwnTroublesAreLocal(t *testing.T) {
	t.Parallel()
	const files = "too many open files on the relay's machine"
	for errno, want := range map[error]string{
		syscall.EMFILE: files, syscall.ENFILE: files, syscall.EADDRNOTAVAIL: "no local port or address available",
		syscall.ENOBUFS: "the relay's machine is out of memory for connections",
		syscall.ENOMEM:  "the relay's machine is out of memory for connections",
	} {
		res := troubled(t.Context(), t, "127.0.0.1:9", errno)
		require.True(t, res.Local, errno)
		require.False(t, res.Reached)
		require.Equal(t, want, res.Attempt.Error)
	}
	res := troubled(t.Context(), t, "receiver.invalid", syscall.EMFILE)
	require.True(t, res.Local, res.Attempt.Error)
	require.Equal(t, files, res.Attempt.Error)

	const reset = "connection reset while connecting"
	for errno, want := range map[error]string{
		syscall.ECONNREFUSED: "connection refused", syscall.EHOSTUNREACH: "no route to host", syscall.ENETUNREACH: "network unreachable",
		syscall.ECONNRESET: reset, syscall.EPIPE: reset, syscall.ECONNABORTED: reset, syscall.ETIMEDOUT: "timeout after 30s connecting",
	} {
		res := troubled(t.Context(), t, "127.0.0.1:9", errno)
		require.False(t, res.Local, errno)
		require.Equal(t, want, res.Attempt.Error)
	}
}

// TestACanceledContextIsLocal: who is stopped says nothing about the receiver.
func TestACanceledContextIsLocal(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res := troubled(ctx, t, "127.0.0.1:9", nil)
	require.True(t, res.Local)
	require.Equal(t, "canceled while connecting", res.Attempt.Error)
}

// TestATimeoutIsSaidAsPeopleWriteIt: that of the endpoint, or what is taken where it names none.
func TestATimeoutIsSaidAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	for timeout, want := range map[time.Duration]string{
		0: "15s", 10 * time.Second: "10s", time.Minute: "1m", 90 * time.Second: "1m30s", 20 * time.Minute: "20m", time.Hour: "1h",
		time.Hour + 30*time.Second: "1h0m30s", 2*time.Hour + 10*time.Minute: "2h10m", 10 * time.Hour: "10h",
		1500*time.Millisecond + 400*time.Microsecond: "1.5s", 300*time.Millisecond + 400*time.Microsecond: "300.4ms",
	} {
		res := newEndpoint(t, "http://127.0.0.1:9", func(ep *config.Endpoint) { ep.Timeout = timeout }).Send(ctx, newRequest())
		require.Equal(t, "timeout after "+want+" connecting", res.Attempt.Error)
	}
}

// TestIdleConnectionsMakeRoom: where the machine has no descriptor left, those of connections that
// have nothing to do are given back first, also the ones to where a receiver led, and the attempt
// goes on.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	elsewhere, idle := newReceiver(t, plainHTTP, nil), newReceiver(t, plainHTTP, nil)
	leads := newReceiver(t, plainHTTP, redirecting(http.StatusTemporaryRedirect, constant(elsewhere.URL)))
	rec := newReceiver(t, plainHTTP, nil)
	const full, failed = 1, 2
	var state atomic.Int64
	c := newClient(t, webhook.Options{Network: loopback(), Dialer: &net.Dialer{Control: func(string, string, syscall.RawConn) error {
		if state.CompareAndSwap(full, failed) {
			return syscall.EMFILE
		}
		if state.CompareAndSwap(failed, 0) {
			awaitClosed(t, idle, 1)
		}
		return nil
	}}})
	for _, url := range []string{idle.URL, leads.URL} {
		require.True(t, endpointOf(t, c, url, follows(1)).Send(t.Context(), newRequest()).Delivered)
	}
	state.Store(full)
	res := endpointOf(t, c, rec.URL).Send(t.Context(), newRequest())
	require.True(t, res.Delivered, res.Attempt.Error)
	for _, r := range []*receiver{idle, leads, elsewhere} {
		awaitClosed(t, r, 1)
	}
	require.Empty(t, rec.closed)
}
