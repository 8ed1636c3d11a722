package webhook_test

import (
	"context"
	"net"
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

	for _, errno := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ECONNRESET, syscall.ETIMEDOUT} {
		res := troubled(t.Context(), t, "127.0.0.1:9", errno)
		require.False(t, res.Local, errno)
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
