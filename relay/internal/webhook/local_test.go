package webhook_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// troubled sends one request to host from a machine whose sockets fail with trouble.
func troubled(ctx context.Context, t *testing.T, host string, trouble error, change ...func(*config.Endpoint)) webhook.Result {
	t.Helper()
	c := newClient(t, webhook.Options{
		Network: loopback(),
		Dialer:  &net.Dialer{Control: func(string, string, syscall.RawConn) error { return trouble }},
	})
	e := endpointOf(t, c, "https://"+host, append(change, func(ep *config.Endpoint) { ep.Timeout = 30 * time.Second })...)
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

// TestTroubleOnTheWayToATokenIsLocal: it says as little about the receiver, and about who gives the
// tokens.
func TestTroubleOnTheWayToATokenIsLocal(t *testing.T) {
	t.Parallel()
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for ctx, want := range map[context.Context]string{
		t.Context(): "OAuth 2: no connection to the token endpoint: the relay's machine is short of what that takes", stopped: context.Canceled.Error(),
	} {
		res := troubled(ctx, t, "127.0.0.1:9", syscall.EMFILE, func(ep *config.Endpoint) {
			ep.Auth = config.Auth{Kind: config.AuthOAuth2, ClientID: "tailpost", Secret: config.NewSecret("hunter2"), TokenURL: "https://127.0.0.1:9/token"}
		})
		require.Equal(t, []bool{true, false, false}, []bool{res.Local, res.Barred, res.Reached}, res.Attempt.Error)
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
// have nothing to do are given back first, whatever they speak, also the ones to where a receiver
// led, those over which one was asked whether it wants events, those to who gives tokens and those
// of the client beside this one, and the attempt goes on.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	elsewhere, idle := newReceiver(t, plainHTTP, nil), newReceiver(t, plainHTTP, nil)
	leads := newReceiver(t, plainHTTP, redirecting(http.StatusTemporaryRedirect, constant(elsewhere.URL)))
	rec, asked, multiplexes := newReceiver(t, plainHTTP, nil), newReceiver(t, plainHTTP, nil), newReceiver(t, withH2, nil)
	gives := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"access_token": "t", "token_type": "bearer"}`)
	})
	const full, failed = 1, 2
	var state atomic.Int64
	c := newClient(t, webhook.Options{Network: loopback(), Roots: rootsOf(t, multiplexes), Dialer: &net.Dialer{Control: func(string, string, syscall.RawConn) error {
		if state.CompareAndSwap(full, failed) {
			return syscall.EMFILE
		}
		if state.CompareAndSwap(failed, 0) {
			awaitClosed(t, idle, 1)
		}
		return nil
	}}})
	for _, url := range []string{idle.URL, leads.URL, multiplexes.URL} {
		require.True(t, endpointOf(t, c, url, follows(1)).Send(t.Context(), newRequest()).Delivered)
	}
	other, others := newClient(t, webhook.Options{Network: loopback()}), newReceiver(t, plainHTTP, nil)
	c.Beside(other)
	require.True(t, endpointOf(t, other, others.URL).Send(t.Context(), newRequest()).Delivered)
	wants := newReceiver(t, plainHTTP, nil)
	require.True(t, endpointOf(t, c, wants.URL, func(ep *config.Endpoint) {
		ep.Auth = config.Auth{Kind: config.AuthOAuth2, ClientID: "tailpost", Secret: config.NewSecret("hunter2"), TokenURL: gives.URL}
	}).Send(t.Context(), newRequest()).Delivered)
	endpointOf(t, c, asked.URL, func(ep *config.Endpoint) { ep.Verify = config.VerifyCloudEvents }).Verify(t.Context(), nil)
	state.Store(full)
	res := endpointOf(t, c, rec.URL).Send(t.Context(), newRequest())
	require.True(t, res.Delivered, res.Attempt.Error)
	for _, r := range []*receiver{idle, leads, elsewhere, asked, multiplexes, wants, gives, others} {
		awaitClosed(t, r, 1)
	}
	require.Empty(t, rec.closed)
}

// TestWhatReachedSomebodyWasReached: a request that a receiver has led on did reach somebody, so
// that its attempt is recorded, even if the next one refuses it and the relay's machine then has no
// connection for it.
func TestWhatReachedSomebodyWasReached(t *testing.T) {
	t.Parallel()
	refuses := newH2Script(t, func(r *h2Request) { _ = r.WriteRSTStream(r.stream, http2.ErrCodeHTTP11Required) })
	leads := newReceiver(t, plainHTTP, redirecting(http.StatusTemporaryRedirect, constant(refuses.url)))
	for url, reached := range map[string]bool{leads.URL: true, refuses.url: false} {
		left := int64(1) // connections, beside the one to who leads
		if reached {
			left++
		}
		var dials atomic.Int64
		c := newClient(t, webhook.Options{Network: loopback(), Roots: refuses.roots, Dialer: &net.Dialer{Control: func(string, string, syscall.RawConn) error {
			if dials.Add(1) > left {
				return syscall.EMFILE
			}
			return nil
		}}})
		res := endpointOf(t, c, url, follows(1)).Send(t.Context(), newRequest())
		require.True(t, res.Local, res.Attempt.Error)
		require.Equal(t, reached, res.Reached)
	}
}
