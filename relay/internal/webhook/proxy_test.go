package webhook_test

import (
	"context"
	"errors"
	"io"
	"log" //nolint:depguard // of the library's server
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/armon/go-socks5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// socksServer is a SOCKS 5 server that somebody else wrote. It keeps what it was asked for.
type socksServer struct {
	address string
	allows  bool
	names   map[string]string // that it resolves

	mu     sync.Mutex
	wanted []string
}

// Allow implements socks5.RuleSet.
func (s *socksServer) Allow(ctx context.Context, r *socks5.Request) (context.Context, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host := r.DestAddr.FQDN
	if host == "" {
		host = r.DestAddr.IP.String()
	}
	s.wanted = append(s.wanted, net.JoinHostPort(host, strconv.Itoa(r.DestAddr.Port)))
	return ctx, s.allows
}

// Resolve implements socks5.NameResolver.
func (s *socksServer) Resolve(ctx context.Context, name string) (context.Context, net.IP, error) {
	if at := s.names[name]; at != "" {
		return ctx, net.ParseIP(at), nil
	}
	return ctx, nil, errors.New("no such name")
}

func (s *socksServer) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted
}

func newSOCKSServer(t *testing.T, allows bool) *socksServer {
	t.Helper()
	s := &socksServer{allows: allows, names: map[string]string{"example.com": "127.0.0.1"}}
	server, err := socks5.New(&socks5.Config{
		Credentials: socks5.StaticCredentials{"me": "pw"}, Rules: s, Resolver: s, Logger: log.New(io.Discard, "", 0),
	})
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.address = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) }) // it ends when the listener is closed
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return s
}

func TestSOCKS(t *testing.T) {
	t.Parallel()
	nowhere := func() webhook.Options {
		return webhook.Options{Network: only("127.0.0.1/32"), Resolver: &resolver{answer: func(int64, string) ([]netip.Addr, error) {
			return nil, errors.New("must not be asked")
		}}}
	}
	for name, test := range map[string]struct {
		secure, resolves, refuses bool
		user, want                string
	}{
		"checked address": {secure: true, user: "me:pw"},
		"plain http":      {user: "me:pw"},
		"name":            {secure: true, resolves: true, user: "me:pw"},
		"refused":         {secure: true, user: "me:pw", refuses: true, want: "the egress proxy refused the connection: connection not allowed by ruleset"},
		"wrong password":  {secure: true, user: "me:pq", want: "the egress proxy refused the connection: username/password authentication failed: check the user and password in network.proxy"},
		"no password":     {secure: true, want: "the egress proxy refused the connection: no acceptable authentication methods: check the user and password in network.proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := newSOCKSServer(t, !test.refuses)
			o := nowhere()
			if !test.resolves {
				o.Resolver = resolvesTo("127.0.0.1")
			}
			o.Network.ProxyResolves = test.resolves
			o.Network.Proxy = config.NewSecret("socks5://" + strings.TrimPrefix(test.user+"@", "@") + proxy.address)
			rec := newReceiver(t, map[bool]func(*httptest.Server){false: plainHTTP, true: tlsOnly}[test.secure], nil)
			if test.secure {
				o.Roots = rootsOf(t, rec)
			}
			res := endpointOf(t, newClient(t, o), named(t, rec, "example.com")+"/in").Send(t.Context(), newRequest())
			require.Equal(t, test.want, res.Attempt.Error)
			require.Equal(t, strings.HasSuffix(name, "password"), res.Barred)
			if test.want == "" {
				require.Equal(t, "/in", (<-rec.requests).uri, "a tunnel takes the path alone")
			}
			at := rec.Listener.Addr().String()
			switch {
			case test.resolves:
				at = "example.com:" + at[strings.LastIndexByte(at, ':')+1:]
			case res.Barred:
				require.Empty(t, proxy.asked())
				return
			}
			require.Equal(t, []string{at}, proxy.asked())
		})
	}
}

// TestProxyResolves: what the proxy looks up, the relay does not; an address is judged all the
// same.
func TestProxyResolves(t *testing.T) {
	t.Parallel()
	proxy := newTestProxy(t, plainHTTP, 0)
	rec := newReceiver(t, tlsOnly, nil)
	o := webhook.Options{Network: only("127.0.0.1/32"), Roots: rootsOf(t, rec), Resolver: &resolver{answer: func(int64, string) ([]netip.Addr, error) {
		return nil, errors.New("must not be asked")
	}}}
	o.Network.Proxy, o.Network.ProxyResolves = config.NewSecret(proxy.URL), true
	c := newClient(t, o)
	port := rec.URL[strings.LastIndexByte(rec.URL, ':'):]
	res := endpointOf(t, c, "https://does-not-exist.example"+port).Send(t.Context(), newRequest())
	require.Equal(t, "the egress proxy refused the connection with status 502", res.Attempt.Error)
	proxy.mu.Lock()
	require.Equal(t, []string{"CONNECT does-not-exist.example" + port + " "}, proxy.lines)
	proxy.mu.Unlock()
	res = endpointOf(t, c, "https://10.0.0.1").Send(t.Context(), newRequest())
	require.Equal(t, "address 10.0.0.1 is not allowed (private); add it to network.allow", res.Attempt.Error)
}

// TestNoProxy: receivers that are named are reached without the proxy, and judged as without one.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	proxy := newTestProxy(t, plainHTTP, 502)
	for name, start := range map[string]func(*httptest.Server){"https": tlsOnly, "http": plainHTTP} {
		rec := newReceiver(t, start, nil)
		o := webhook.Options{Network: only("127.0.0.1/32"), Resolver: resolvesTo("127.0.0.1")}
		if name == "https" {
			o.Roots = rootsOf(t, rec)
		}
		o.Network.Proxy, o.Network.NoProxy = config.NewSecret(proxy.URL), []string{"example.com"}
		res := endpointOf(t, newClient(t, o), named(t, rec, "example.com")+"/in").Send(t.Context(), newRequest())
		require.Empty(t, res.Attempt.Error)
		require.Equal(t, "/in", (<-rec.requests).uri)
	}
	require.Zero(t, proxy.conns.Load())
	o := webhook.Options{Network: only("127.0.0.1/32"), Resolver: resolvesTo("10.0.0.1")}
	o.Network.Proxy, o.Network.NoProxy = config.NewSecret(proxy.URL), []string{"inside.example"}
	res := endpointOf(t, newClient(t, o), "https://inside.example").Send(t.Context(), newRequest())
	require.Equal(t, "address 10.0.0.1 is not allowed (private); add it to network.allow", res.Attempt.Error)
	_, err := webhook.NewClient(webhook.Options{Network: config.Network{NoProxy: []string{"a..b"}}})
	require.ErrorContains(t, err, "network.no_proxy: write a name")
}

// TestHTTPVersion: an endpoint that insists on a version is sent by no other.
func TestHTTPVersion(t *testing.T) {
	t.Parallel()
	const none = "the receiver speaks no HTTP/2, and the endpoint's http is 2"
	for name, test := range map[string]struct {
		speaks      func(*httptest.Server)
		version     string
		proto, want string
	}{
		"settled":        {withH2, "", "HTTP/2.0", ""},
		"1.1 of both":    {withH2, config.HTTP1, "HTTP/1.1", ""},
		"1.1":            {tlsOnly, config.HTTP1, "HTTP/1.1", ""},
		"1.1, plain":     {plainHTTP, config.HTTP1, "HTTP/1.1", ""},
		"2":              {withH2, config.HTTP2, "HTTP/2.0", ""},
		"2 of 1.1":       {tlsOnly, config.HTTP2, "", "TLS: refused by the receiver: no application protocol"},
		"2 of who knows": {withoutALPN, config.HTTP2, "", none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, test.speaks, nil)
			o := webhook.Options{Network: loopback()}
			if strings.HasPrefix(rec.URL, "https") {
				o.Roots = rootsOf(t, rec)
			}
			e := endpointOf(t, newClient(t, o), rec.URL, func(ep *config.Endpoint) { ep.HTTP = test.version })
			res := e.Send(t.Context(), newRequest())
			require.Equal(t, test.want, res.Attempt.Error)
			if test.want == "" {
				require.Equal(t, test.proto, (<-rec.requests).proto)
				return
			}
			require.Empty(t, rec.requests)
			require.False(t, res.Reached)
		})
	}
}

// TestProxyBars: that the egress proxy refuses the relay is held against no receiver, and 407 is
// the answer of none.
func TestProxyBars(t *testing.T) {
	t.Parallel()
	const login = " with status 407: check the user and password in network.proxy"
	for name, test := range map[string]struct {
		scheme, challenge, want string
		barred                  bool
	}{
		"https":         {"https", "Basic", "the egress proxy refused the connection" + login, true},
		"http":          {"http", "Basic", "the egress proxy refused the request" + login, true},
		"https, a rule": {"https", "", "the egress proxy refused the connection with status 407", false},
		"http, a rule":  {"http", "", "407 is no receiver's answer: the egress proxy refused the request, or the receiver took itself for a proxy", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/first" {
					http.Redirect(w, r, "/second", http.StatusTemporaryRedirect)
					return
				}
				if test.challenge != "" {
					w.Header().Set("Proxy-Authenticate", test.challenge)
				}
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusProxyAuthRequired)
				_, _ = io.WriteString(w, "the proxy's page")
			})
			o := webhook.Options{Network: only("127.0.0.1/32")}
			o.Network.Proxy = config.NewSecret(proxy.URL)
			c := newClient(t, o)
			send := func(path string) webhook.Result {
				return endpointOf(t, c, test.scheme+"://127.0.0.1:9"+path, func(ep *config.Endpoint) {
					ep.Redirects, ep.Retry.Permanent = 1, []string{"4xx"}
				}).Send(t.Context(), newRequest())
			}
			res := send("/in")
			require.Equal(t, test.want, res.Attempt.Error)
			require.Equal(t, test.barred, res.Barred)
			require.Zero(t, res.Attempt.StatusCode)
			require.Zero(t, res.RetryAfter)
			require.Empty(t, res.Attempt.ResponseBody)
			require.Equal(t, test.scheme == "http" && !test.barred, res.Reached, "the receiver may have answered so")
			if test.scheme == "http" {
				res = send("/first")
				require.Equal(t, test.want, res.Attempt.Error)
				require.True(t, res.Reached, "the first hop did")
			}
		})
	}
}

// TestProxyTakesTokenRequests: a plain http token endpoint is reached through the proxy as
// receivers are.
func TestProxyTakesTokenRequests(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	proxy := newTestProxy(t, plainHTTP, 0)
	rec := a.guarded(t)
	o := webhook.Options{Network: only("127.0.0.1/32")}
	o.Network.Proxy = config.NewSecret(strings.Replace(proxy.URL, "://", "://me:pw@", 1))
	res := endpointOf(t, newClient(t, o), rec.URL+"/in", a.client).Send(t.Context(), newRequest())
	require.True(t, res.Delivered, res.Attempt.Error)
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	const auth = " Basic bWU6cHc="
	require.Equal(t, []string{"POST " + a.URL + "/token" + auth, "POST " + rec.URL + "/in" + auth}, proxy.lines)
}

// TestWhatIsTheProxysIsNotSaidOfTheReceiver: an error about the egress proxy, of a request or of
// one for a token, names the proxy and advises nothing of the receiver.
func TestWhatIsTheProxysIsNotSaidOfTheReceiver(t *testing.T) {
	t.Parallel()
	const no = "no connection to the egress proxy: "
	untrusted, plain := newTestProxy(t, tlsOnly, 0), newTestProxy(t, plainHTTP, 0)
	for name, test := range map[string]struct{ proxy, want string }{
		"unknown authority": {untrusted.URL, no + "its certificate is signed by an unknown authority, which network.ca or the relay's machine must trust"},
		"plain http":        {strings.Replace(plain.URL, "http://", "https://", 1), no + "it does not speak TLS on this port: check the scheme of network.proxy"},
		"refused":           {"socks5://" + freePort(t), no + "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := webhook.Options{Network: only("127.0.0.1/32")}
			o.Network.Proxy = config.NewSecret(test.proxy)
			c := newClient(t, o)
			for _, scheme := range []string{"http", "https"} {
				res := endpointOf(t, c, scheme+"://127.0.0.1:9/in").Send(t.Context(), newRequest())
				require.Equal(t, test.want, res.Attempt.Error)
				require.True(t, res.Barred)
			}
			a := newAuthorizer(t, time.Hour)
			res := endpointOf(t, c, "http://127.0.0.1:9/in", a.client).Send(t.Context(), newRequest())
			require.Equal(t, "OAuth 2: "+test.want, res.Attempt.Error)
			require.True(t, res.Barred)
		})
	}
}
