package egress_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log" //nolint:depguard // of the library's server
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/egress"
)

// nobody returns an address of this machine that refuses connections.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// saying returns the address of a server that answers whatever comes with a text, and then ends its
// side of the connection.
func saying(t *testing.T, answer string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, answer)
		if tcp, is := c.(*net.TCPConn); is {
			_ = tcp.CloseWrite()
		}
		_, _ = io.Copy(io.Discard, c) // until the other end closes
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}

// What a server of names says of one.
const (
	serverFailed = 2
	noSuchName   = 3
)

// knowsNobody returns a resolver whose server says one thing of every name. That there is no .onion
// the resolver knows itself.
func knowsNobody(t *testing.T, said byte) *net.Resolver {
	t.Helper()
	l, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 512); ; {
			n, from, err := l.ReadFrom(b)
			if err != nil {
				return
			}
			b[2], b[3] = b[2]|0x80, b[3]&0xf0|said // an answer
			_, _ = l.WriteTo(b[:n], from)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", l.LocalAddr().String())
	}}
}

// secureProxy returns the address of a proxy with a certificate that only the returned authorities
// sign.
func secureProxy(t *testing.T, wants tls.ClientAuthType) (string, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{ClientAuth: wants, MinVersion: tls.VersionTLS13}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.Listener.Addr().String(), roots
}

// TestWhatFailsBeforeTheProxyIsTheProxys: whatever keeps the relay from talking to its egress proxy
// is said of the proxy, and is no word about the receiver; what the proxy says of the receiver is.
func TestWhatFailsBeforeTheProxyIsTheProxys(t *testing.T) {
	t.Parallel()
	const no = "no connection to the egress proxy: "
	secure, roots := secureProxy(t, tls.NoClientCert)
	choosy, known := secureProxy(t, tls.RequireAnyClientCert)
	named, unnamed := &net.Dialer{Resolver: knowsNobody(t, noSuchName)}, &net.Dialer{Resolver: knowsNobody(t, serverFailed)}
	fails := func(err error) *net.Dialer {
		return &net.Dialer{Control: func(string, string, syscall.RawConn) error { return err }}
	}
	port := secure[strings.LastIndexByte(secure, ':'):]
	for name, test := range map[string]struct {
		proxy string
		roots *x509.CertPool
		want  string      // empty: it is not about the way to the proxy
		by    *net.Dialer // nil: named
	}{
		"refused":                     {proxy: "http://" + nobody(t), want: no + "connection refused"},
		"refused, SOCKS":              {proxy: "socks5://" + nobody(t), want: no + "connection refused"},
		"no address":                  {proxy: "http://proxy.onion:3128", want: no + "its name does not resolve: no address"},
		"no such name":                {proxy: "http://proxy.example:3128", want: no + "its name does not resolve: no such host"},
		"no such name, SOCKS":         {proxy: "socks5://proxy.example:3128", want: no + "its name does not resolve: no such host"},
		"unknown authority":           {proxy: "https://" + secure, roots: x509.NewCertPool(), want: no + "its certificate is signed by an unknown authority, which network.ca or the relay's machine must trust"},
		"another name":                {proxy: "https://localhost" + port, roots: roots, want: no + "its certificate is for another host name"},
		"plain http for TLS":          {proxy: "https://" + saying(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), want: no + "it does not speak TLS on this port: check the scheme of network.proxy"},
		"no HTTP":                     {proxy: "http://" + saying(t, "SSH-2.0-OpenSSH_9.2\r\n"), want: no + "it does not speak the protocol of network.proxy"},
		"no SOCKS":                    {proxy: "socks5://" + saying(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), want: no + "it does not speak the protocol of network.proxy"},
		"closed without an answer":    {proxy: "http://" + saying(t, ""), want: no + "it closed the connection"},
		"closed amid an answer":       {proxy: "http://" + saying(t, "HTTP/1.1 200 OK\r\nVia: x"), want: no + "it closed the connection"},
		"closed, SOCKS":               {proxy: "socks5://" + saying(t, ""), want: no + "it closed the connection"},
		"closed in the TLS handshake": {proxy: "https://" + saying(t, ""), want: no + "it closed the connection"},
		"wants a certificate":         {proxy: "https://" + choosy, roots: known, want: no + "it refused TLS"},
		"nobody knows the name":       {proxy: "http://proxy.example:3128", by: unnamed, want: no + "the lookup of its name failed"},
		"no route":                    {proxy: "http://127.0.0.1:9", by: fails(syscall.EHOSTUNREACH), want: no + "no route to host"},
		"no network":                  {proxy: "http://127.0.0.1:9", by: fails(syscall.ENETUNREACH), want: no + "network unreachable"},
		"no answer":                   {proxy: "socks5://127.0.0.1:9", by: fails(syscall.ETIMEDOUT), want: no + "it does not answer in time"},
		"broken off":                  {proxy: "socks5://127.0.0.1:9", by: fails(syscall.ECONNRESET), want: no + "it broke the connection off"},
		"whatever else":               {proxy: "http://127.0.0.1:9", by: fails(errors.New("secret")), want: no + "the connection failed"},
		"does not reach the receiver": {proxy: "http://" + saying(t, "HTTP/1.1 502 Bad Gateway\r\n\r\n")},
		"forbids the receiver":        {proxy: "https://" + secure, roots: roots},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := egress.New(egress.Options{
				Proxy: test.proxy, Roots: test.roots, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
				Dialer: cmp.Or(test.by, named),
			})
			require.NoError(t, err)
			_, place, err := receiver.Parse("https://127.0.0.1:9")
			require.NoError(t, err)
			_, err = d.Open(t.Context(), place)
			require.Error(t, err)
			require.Equal(t, test.want, egress.Unreached(err), err)
			require.Equal(t, test.want != "", egress.IsBarred(err))
		})
	}
}

// TestASilentProxyMayWaitForTheReceiver: one that took the request and says nothing is not known to
// be at fault.
func TestASilentProxyMayWaitForTheReceiver(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "socks5"} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		d, err := egress.New(egress.Options{Proxy: scheme + "://" + l.Addr().String(), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		require.NoError(t, err)
		_, place, err := receiver.Parse("https://127.0.0.1:9")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = d.Open(ctx, place)
		cancel()
		require.Error(t, err)
		require.Empty(t, egress.Unreached(err))
		require.False(t, egress.IsBarred(err))
	}
}
