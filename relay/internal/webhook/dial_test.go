package webhook_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// resolver answers with addrs, or with what answer gives for the n-th lookup.
type resolver struct {
	lookups atomic.Int64
	answer  func(n int64, host string) ([]netip.Addr, error)
}

func (r *resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return r.answer(r.lookups.Add(1), host)
}

func resolvesTo(addrs ...string) *resolver {
	var out []netip.Addr
	for _, a := range addrs {
		out = append(out, netip.MustParseAddr(a))
	}
	return &resolver{answer: func(int64, string) ([]netip.Addr, error) { return out, nil }}
}

// named returns rec's URL under a name instead of its address.
func named(t *testing.T, rec *receiver, host string) string {
	t.Helper()
	u, err := url.Parse(rec.URL)
	require.NoError(t, err)
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

func only(prefixes ...string) config.Network {
	n := config.Network{AllowHTTP: true}
	for _, p := range prefixes {
		n.Allow = append(n.Allow, netip.MustParsePrefix(p))
	}
	return n
}

// TestRefusedNotations: a refused address is refused in every way of writing it, before anything is
// dialled.
func TestRefusedNotations(t *testing.T) {
	t.Parallel()
	c := newClient(t, webhook.Options{Network: config.Network{AllowHTTP: true}, Resolver: resolvesTo("8.8.8.8", "10.0.0.1")})
	for host, want := range map[string]string{
		"127.0.0.1":                   "address 127.0.0.1 is not allowed (loopback); add it to network.allow",
		"127.0.0.1.":                  "address 127.0.0.1 is not allowed (loopback); add it to network.allow",
		"[::1]":                       "address ::1 is not allowed (loopback); add it to network.allow",
		"[0000:0:0:0:0:0:0:1]":        "address ::1 is not allowed (loopback); add it to network.allow",
		"[::ffff:7f00:1]":             "address 127.0.0.1 is not allowed (loopback); add it to network.allow",
		"[::127.0.0.1]":               "address ::7f00:1 is not allowed (reserved); add it to network.allow",
		"[64:ff9b::127.0.0.1]":        "address 64:ff9b::7f00:1 is not allowed (stands for 127.0.0.1, loopback); add it to network.allow",
		"[2002:7f00:1::]":             "address 2002:7f00:1:: is not allowed (stands for 127.0.0.1, loopback); add it to network.allow",
		"[fe80::1%25lo]":              "address fe80::1%lo is not allowed (link-local); add it to network.allow",
		"１２７．０．０．１":                   "address 127.0.0.1 is not allowed (loopback); add it to network.allow",
		"169.254.169.254":             "address 169.254.169.254 is not allowed (metadata); add it to network.allow",
		"one-bad-answer.example":      "address 10.0.0.1 is not allowed (private); add it to network.allow",
		"user:pw@one-bad-answer.test": "address 10.0.0.1 is not allowed (private); add it to network.allow",
	} {
		res := endpointOf(t, c, "https://"+host+"/x?token=t0k").Send(t.Context(), newRequest())
		require.Equal(t, want, res.Attempt.Error, host)
		require.Zero(t, res.Attempt.StatusCode)
		require.False(t, res.Permanent, "an operator may allow it later")
		require.NotContains(t, res.Attempt.URL, "pw@")
	}
	for _, host := range []string{"2130706433", "0x7f.1", "0177.0.0.1", "127.1"} {
		_, err := c.Endpoint(config.Endpoint{ID: "x", URL: "https://" + host + "/?token=t0k", Secrets: []config.Secret{config.NewSecret(testSecret)}})
		require.ErrorContains(t, err, "unusual notation", host)
		require.NotContains(t, err.Error(), "t0k")
	}
}

// TestARefusalNamesTheBlockThatAllows: the network block allows nothing to an endpoint of the API.
func TestARefusalNamesTheBlockThatAllows(t *testing.T) {
	t.Parallel()
	var cfg config.Config
	cfg.Network.AllowHTTP = true
	c := newClient(t, webhook.Options{Network: cfg.TenantNetwork()})
	res := endpointOf(t, c, "https://10.0.0.1/").Send(t.Context(), newRequest())
	require.Equal(t, "address 10.0.0.1 is not allowed (private); add it to api.network.allow", res.Attempt.Error)
	_, err := c.Endpoint(config.Endpoint{ID: "x", URL: "http://10.0.0.1/", Secrets: []config.Secret{config.NewSecret(testSecret)}})
	require.ErrorContains(t, err, "the URL is plain http: use https, or set api.network.allow_http")
}

// TestRebinding: a name is looked up once per connection, and what was checked is what is dialled.
func TestRebinding(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	u, err := url.Parse(rec.URL)
	require.NoError(t, err)
	var reached atomic.Int64
	inside, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.2:"+u.Port())
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := inside.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = inside.Close(); wg.Wait() })

	rebinding := &resolver{answer: func(n int64, _ string) ([]netip.Addr, error) {
		if n == 1 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
	}}
	c := newClient(t, webhook.Options{Network: only("127.0.0.1/32"), Resolver: rebinding})
	e := endpointOf(t, c, named(t, rec, "rebind.example"))
	for range 3 {
		require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode)
	}
	require.EqualValues(t, 1, rebinding.lookups.Load(), "the connection is kept")
	rec.CloseClientConnections()
	res := e.Send(t.Context(), newRequest())
	require.Equal(t, "address 127.0.0.2 is not allowed (loopback); add it to network.allow", res.Attempt.Error)
	require.EqualValues(t, 2, rebinding.lookups.Load())
	require.Zero(t, reached.Load())
}

func TestFallbackOverAnswers(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	for name, addrs := range map[string][]string{
		"the first refuses":           {"127.0.0.9", "127.0.0.1"},
		"only the last answers":       {"::1", "127.0.0.9", "127.0.0.8", "127.0.0.7", "127.0.0.1"},
		"the same one many times":     {"127.0.0.1", "127.0.0.1", "127.0.0.1"},
		"as an IPv4-mapped address":   {"::ffff:127.0.0.1"},
		"the first one is the answer": {"127.0.0.1", "127.0.0.9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, webhook.Options{Network: loopback(), Resolver: resolvesTo(addrs...)})
			res := endpointOf(t, c, named(t, rec, "many.example")).Send(t.Context(), newRequest())
			require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
		})
	}
	c := newClient(t, webhook.Options{Network: loopback(), Resolver: resolvesTo("127.0.0.9", "127.0.0.8")})
	res := endpointOf(t, c, named(t, rec, "none.example")).Send(t.Context(), newRequest())
	require.Equal(t, "connection refused", res.Attempt.Error)
}

func TestDNSErrors(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"DNS: no such host":  &net.DNSError{Err: "no such host", Name: "secret.example", IsNotFound: true},
		"DNS: timeout":       &net.DNSError{Err: "i/o timeout", IsTimeout: true},
		"DNS: lookup failed": &net.DNSError{Err: "server misbehaving", IsTemporary: true},
	} {
		c := newClient(t, webhook.Options{Resolver: &resolver{answer: func(int64, string) ([]netip.Addr, error) { return nil, err }}})
		require.Equal(t, want, endpointOf(t, c, "https://secret.example").Send(t.Context(), newRequest()).Attempt.Error)
	}
	c := newClient(t, webhook.Options{Resolver: resolvesTo()})
	require.Equal(t, "DNS: no such host", endpointOf(t, c, "https://secret.example").Send(t.Context(), newRequest()).Attempt.Error)
}

func TestOwnListenersAreRefused(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	c := newClient(t, webhook.Options{Network: loopback(), Deny: []netip.AddrPort{netip.MustParseAddrPort(rec.Listener.Addr().String())}})
	res := endpointOf(t, c, rec.URL).Send(t.Context(), newRequest())
	require.Equal(t, "address 127.0.0.1 is not allowed (this relay listens there)", res.Attempt.Error)
}

// testProxy is an egress proxy that serves CONNECT and plain requests and keeps their request
// lines.
type testProxy struct {
	*receiver

	mu    sync.Mutex
	lines []string
}

func newTestProxy(t *testing.T, serve func(*httptest.Server), status int) *testProxy {
	t.Helper()
	p := &testProxy{}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	p.receiver = newReceiver(t, serve, nil)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.lines = append(p.lines, r.Method+" "+r.RequestURI+" "+r.Header.Get("Proxy-Authorization"))
		p.mu.Unlock()
		switch {
		case status != 0:
			w.WriteHeader(status)
		case r.Method == http.MethodConnect:
			tunnel(t, w, r.Host)
		default:
			forward(t, transport, w, r)
		}
	})
	return p
}

func tunnel(t *testing.T, w http.ResponseWriter, addr string) {
	t.Helper()
	out, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Errorf("hijack: %v", err)
		return
	}
	_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
	_, _ = io.Copy(in, out)
	_ = in.Close()
}

func forward(t *testing.T, transport *http.Transport, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	r.Header.Del("Proxy-Authorization")
	resp, err := transport.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func TestProxy(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]struct {
		secure bool
		status int
		want   string
	}{
		"https":   {secure: true},
		"tls":     {secure: true},
		"http":    {},
		"refused": {secure: true, status: 407, want: "the egress proxy refused the connection with status 407"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serve := plainHTTP
			if name == "tls" {
				serve = tlsOnly
			}
			proxy := newTestProxy(t, serve, start.status)
			o := webhook.Options{Network: only("127.0.0.1/32"), Resolver: resolvesTo("127.0.0.1")}
			o.Network.Proxy = config.NewSecret(strings.Replace(proxy.URL, "://", "://me:pw@", 1))
			rec := newReceiver(t, plainHTTP, nil)
			host := "localhost"
			if start.secure {
				rec = newReceiver(t, tlsOnly, nil)
				o.Roots = rootsOf(t, rec)
				host = "example.com" // in the test server's certificate
			}
			e := endpointOf(t, newClient(t, o), named(t, rec, host)+"/in")
			for range 2 {
				res := e.Send(t.Context(), newRequest())
				require.Equal(t, start.want, res.Attempt.Error)
				if start.want == "" {
					got := <-rec.requests
					require.Equal(t, "/in", got.uri)
					require.True(t, strings.HasPrefix(got.host, host), got.host)
					require.Empty(t, got.header.Get("Proxy-Authorization"))
				}
			}
			proxy.mu.Lock()
			defer proxy.mu.Unlock()
			auth := " Basic bWU6cHc="
			switch name {
			case "https", "tls":
				require.Equal(t, []string{"CONNECT " + rec.Listener.Addr().String() + auth}, proxy.lines, "the checked address, once")
			case "http":
				line := "POST " + named(t, rec, host) + "/in" + auth
				require.Equal(t, []string{line, line}, proxy.lines)
			}
		})
	}
}

// TestProxyIsNoWayAround: a place that may not be reached directly may not be reached through the
// proxy.
func TestProxyIsNoWayAround(t *testing.T) {
	t.Parallel()
	proxy := newTestProxy(t, plainHTTP, 0)
	o := webhook.Options{Network: config.Network{AllowHTTP: true, Proxy: config.NewSecret(proxy.URL)}, Resolver: resolvesTo("10.0.0.1")}
	c := newClient(t, o)
	for _, u := range []string{"https://inside.example", "http://inside.example", "https://10.0.0.1", "http://10.0.0.1"} {
		res := endpointOf(t, c, u).Send(t.Context(), newRequest())
		require.Equal(t, "address 10.0.0.1 is not allowed (private); add it to network.allow", res.Attempt.Error)
	}
	require.Zero(t, proxy.conns.Load())
	for _, bad := range []string{"socks4://127.0.0.1:1080", "127.0.0.1:3128", "http://%zz:pw@x", "socks5://user@127.0.0.1", "http://me:pw@x/path"} {
		_, err := webhook.NewClient(webhook.Options{Network: config.Network{Proxy: config.NewSecret(bad)}})
		require.ErrorContains(t, err, "network.proxy")
		require.NotContains(t, err.Error(), "pw")
	}
}

// TestProxyDown names the proxy, not the receiver, as what does not answer, and holds nothing
// against the receiver.
func TestProxyDown(t *testing.T) {
	t.Parallel()
	c := newClient(t, webhook.Options{Network: config.Network{Proxy: config.NewSecret("http://" + freePort(t))}, Resolver: resolvesTo("8.8.8.8")})
	res := endpointOf(t, c, "https://receiver.example").Send(t.Context(), newRequest())
	require.Equal(t, "no connection to the egress proxy: connection refused", res.Attempt.Error)
	require.True(t, res.Barred)
	require.False(t, res.Local)
	require.False(t, res.Reached)
}

// TestDialTimeout: an address that never answers costs the endpoint's timeout and no more.
func TestDialTimeout(t *testing.T) {
	t.Parallel()
	hung := &resolver{answer: func(int64, string) ([]netip.Addr, error) { return nil, errors.New("must not be asked") }}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	c := newClient(t, webhook.Options{Network: loopback(), Resolver: hung})
	// The listener's kernel accepts, but nobody speaks TLS.
	e := endpointOf(t, c, "https://"+l.Addr().String(), func(ep *config.Endpoint) { ep.Timeout = time.Second })
	res := e.Send(t.Context(), newRequest())
	require.Equal(t, "timeout after 1s in the TLS handshake", res.Attempt.Error)
}
