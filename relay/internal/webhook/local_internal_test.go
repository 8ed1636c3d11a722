package webhook

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/signature"
)

func localRequest() *Request {
	return &Request{Event: &outbox.Event{ID: "evt_1", Type: "t"}, Number: 1, Trigger: outbox.TriggerStream, Now: time.Now()}
}

func localEndpoint(t *testing.T, host string, trouble error) *Endpoint {
	t.Helper()
	c, err := NewClient(Options{Network: config.Network{Allow: loopbackPrefixes()}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	c.dialer.net.Control = func(string, string, syscall.RawConn) error { return trouble }
	e, err := c.Endpoint(config.Endpoint{
		ID: "erp", URL: "https://" + host, Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())}, Timeout: 30 * time.Second,
	})
	require.NoError(t, err)
	return e
}

// TestTheRelaysOwnTroublesAreLocal: what the relay's machine is short of is not held against the receiver, whether it is
// missed for the connection or for the question where to connect to.
func TestTheRelaysOwnTroublesAreLocal(t *testing.T) {
	t.Parallel()
	const files = "too many open files on the relay's machine"
	for errno, want := range map[syscall.Errno]string{
		syscall.EMFILE: files, syscall.ENFILE: files, syscall.EADDRNOTAVAIL: "no local port or address available",
		syscall.ENOBUFS: "the relay's machine is out of memory for connections",
		syscall.ENOMEM:  "the relay's machine is out of memory for connections",
	} {
		res := localEndpoint(t, "127.0.0.1:9", errno).Send(t.Context(), localRequest())
		require.True(t, res.Local, errno)
		require.False(t, res.Reached)
		require.Equal(t, want, res.Attempt.Error)
	}
	res := localEndpoint(t, "receiver.invalid", syscall.EMFILE).Send(t.Context(), localRequest())
	require.True(t, res.Local, res.Attempt.Error)
	require.Equal(t, files, res.Attempt.Error)

	for _, errno := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ECONNRESET, syscall.ETIMEDOUT} {
		res := localEndpoint(t, "127.0.0.1:9", errno).Send(t.Context(), localRequest())
		require.False(t, res.Local, errno)
	}
}

// TestACanceledContextIsLocal: who is stopped says nothing about the receiver.
func TestACanceledContextIsLocal(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	res := localEndpoint(t, "127.0.0.1:9", nil).Send(ctx, localRequest())
	require.True(t, res.Local)
	require.Equal(t, fmt.Sprintf("canceled while %s", phaseConnect), res.Attempt.Error)
}
