package egress_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/egress"
)

// answering is an egress proxy that answers one request with a text, and then is an echo. It
// returns its URL. It takes no second connection.
func answering(t *testing.T, answer string) string {
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
		_ = l.Close() // one connection has to do
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		_, _ = io.WriteString(c, answer)
		_, _ = io.Copy(c, r) // until the other end closes
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return "http://me:pw@" + l.Addr().String()
}

// TestTunnel: any 2xx is a tunnel that begins behind the head, and anything else is a refusal,
// whose body nobody waits for.
func TestTunnel(t *testing.T) {
	t.Parallel()
	const refused, login = "the egress proxy refused the connection with status ", ": check the user and password in network.proxy"
	for name, test := range map[string]struct {
		answer, want string
		barred       bool
	}{
		"200":                     {answer: "HTTP/1.1 200 OK\r\n\r\n"},
		"200 of HTTP/1.0":         {answer: "HTTP/1.0 200 Connection established\r\nProxy-Agent: x\r\n\r\n"},
		"201":                     {answer: "HTTP/1.1 201 Created\r\n\r\n"},
		"204":                     {answer: "HTTP/1.1 204 No Content\r\n\r\n"},
		"299":                     {answer: "HTTP/1.1 299 Fine\r\n\r\n"},
		"200 with a length":       {answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
		"200 with chunks":         {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
		"200 after interim ones":  {answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"},
		"101":                     {answer: "HTTP/1.1 101 Switching Protocols\r\n\r\n", want: refused + "101"},
		"300":                     {answer: "HTTP/1.1 300 Multiple Choices\r\n\r\n", want: refused + "300"},
		"403":                     {answer: "HTTP/1.1 403 Forbidden\r\n\r\n", want: refused + "403"},
		"a page that never comes": {answer: "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3000\r\n\r\n<html>", want: refused + "503"},
		"407":                     {answer: "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", want: refused + "407" + login, barred: true},
		"407 of a rule":           {answer: "HTTP/1.1 407 Request rejected by proxy\r\n\r\n", want: refused + "407"},
		"data before the tunnel":  {answer: "HTTP/1.1 200 OK\r\n\r\nhello", want: "the egress proxy sent data before the connection was made"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := egress.New(egress.Options{Proxy: answering(t, test.answer), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			require.NoError(t, err)
			_, place, err := receiver.Parse("https://127.0.0.1:9")
			require.NoError(t, err)
			conn, err := d.Open(t.Context(), place)
			require.Equal(t, test.barred, egress.IsBarred(err))
			if test.want != "" {
				var refusal *egress.RefusalError
				require.ErrorAs(t, err, &refusal)
				require.Equal(t, test.want, refusal.Error())
				return
			}
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "hello")
			require.NoError(t, err)
			got := make([]byte, len("hello"))
			_, err = io.ReadFull(conn, got)
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
		})
	}
}

// names is a resolver that knows all names by one list of addresses.
type names []netip.Addr

func (n names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return n, nil }

// A proxy that does not let the relay through is not asked once more for each address of a
// receiver: what it says of the first stands, and no login is tried again and again.
func TestTunnel_whoIsBarredAsksOnce(t *testing.T) {
	t.Parallel()
	d, err := egress.New(egress.Options{
		Proxy:    answering(t, "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n"),
		Allow:    []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Resolver: names{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")},
	})
	require.NoError(t, err)
	_, place, err := receiver.Parse("https://receiver.example")
	require.NoError(t, err)
	_, err = d.Open(t.Context(), place)
	require.True(t, egress.IsBarred(err), "%v", err)
	require.ErrorContains(t, err, "check the user and password", "a second connection is refused")
}

// A SOCKS proxy that refuses the user and password, or wants other ones, is no receiver's fault.
func TestTunnel_whoIsBarredBySOCKSSaysSo(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"refused": "\x05\x02\x01\x01", "of another method": "\x05\xff"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := egress.New(egress.Options{
				Proxy: "socks5://me:wrong@" + saying(t, answer), Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			})
			require.NoError(t, err)
			_, place, err := receiver.Parse("https://127.0.0.1:9")
			require.NoError(t, err)
			_, err = d.Open(t.Context(), place)
			require.True(t, egress.IsBarred(err), "%v", err)
			require.ErrorContains(t, err, "check the user and password in network.proxy")
		})
	}
}

// TestTunnel_goesToTheFirstThatIsReached: the addresses of a name are asked for one after the
// other, the families in turn, as the same user, and none after the one that is reached.
func TestTunnel_goesToTheFirstThatIsReached(t *testing.T) {
	t.Parallel()
	const reached = "127.0.0.9"
	for known, want := range map[string][]string{
		"127.0.0.2 ::ffff:127.0.0.3 127.0.0.4 ::1 " + reached + " 127.0.0.5": {"127.0.0.2", "[::1]", "127.0.0.3", "127.0.0.4", reached},
		"fd00::1 127.0.0.2 127.0.0.3 " + reached + " 127.0.0.4":              {"[fd00::1]", "127.0.0.2", "127.0.0.3", reached},
	} {
		asked := make(chan string, 10)
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization")
			if r.RequestURI != reached+":443" {
				w.WriteHeader(http.StatusBadGateway)
			}
		}))
		t.Cleanup(proxy.Close)
		var addrs names
		for a := range strings.FieldsSeq(known) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		d, err := egress.New(egress.Options{
			Proxy: strings.Replace(proxy.URL, "://", "://me:pw@", 1), Resolver: addrs,
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fd00::/8")},
		})
		require.NoError(t, err)
		_, place, err := receiver.Parse("https://receiver.example")
		require.NoError(t, err)
		conn, err := d.Open(t.Context(), place)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		close(asked)
		for _, at := range want {
			require.Equal(t, "CONNECT "+at+":443 Basic bWU6cHc=", <-asked)
		}
		require.Empty(t, asked)
	}
}

// TestOpen_dialsNobodyThatIsDenied: one address that is denied denies the name, whichever way it
// would be reached, and whoever looks names up.
func TestOpen_dialsNobodyThatIsDenied(t *testing.T) {
	t.Parallel()
	const private = "address 10.0.0.%d is not allowed (private); add it to there.allow"
	for _, way := range []struct {
		proxy    string
		resolves bool
		except   []string
	}{
		{},
		{resolves: true},
		{proxy: "http://127.0.0.1:9"},
		{proxy: "socks5://127.0.0.1:9"},
		{proxy: "http://127.0.0.1:9", resolves: true},
		{proxy: "socks5://127.0.0.1:9", resolves: true},
		{proxy: "http://127.0.0.1:9", resolves: true, except: []string{"name.example"}},
	} {
		dialled := 0
		d, err := egress.New(egress.Options{
			Proxy: way.proxy, ProxyResolves: way.resolves, NoProxy: way.except, AllowedBy: "there",
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Deny: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080")},
			Resolver: names{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1")},
			Dialer:   &net.Dialer{Control: func(string, string, syscall.RawConn) error { dialled++; return syscall.ECONNREFUSED }},
		})
		require.NoError(t, err)
		for url, want := range map[string]string{
			"https://10.0.0.2": fmt.Sprintf(private, 2), "http://10.0.0.2": fmt.Sprintf(private, 2),
			"https://127.0.0.1:8080": "address 127.0.0.1 is not allowed (this relay listens there)",
			"https://name.example":   fmt.Sprintf(private, 1), "http://name.example": fmt.Sprintf(private, 1),
		} {
			_, place, err := receiver.Parse(url)
			require.NoError(t, err)
			_, err = d.Open(t.Context(), place)
			if way.resolves && way.proxy != "" && way.except == nil && !place.Addr.IsValid() {
				require.True(t, egress.IsBarred(err), "the name is the proxy's business: %v", err)
				dialled = 0
				continue
			}
			var denied *receiver.DenialError
			require.ErrorAs(t, err, &denied, "%s: %+v", url, way)
			require.Equal(t, want, denied.Error())
			require.Zero(t, dialled)
		}
	}
}

// TestOwnTLS: what an endpoint has of its own is in place of what all have, and theirs stays as it
// is.
func TestOwnTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(nil)
	t.Cleanup(s.Close)
	all := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	own, err := egress.OwnTLS(all, "", "", authority)
	require.NoError(t, err)
	want := x509.NewCertPool()
	want.AddCert(s.Certificate())
	require.True(t, want.Equal(own.RootCAs))
	require.True(t, x509.NewCertPool().Equal(all.RootCAs))
	require.Empty(t, own.Certificates)
	for _, bad := range []string{"x", strings.ToLower(authority)} {
		_, err = egress.OwnTLS(all, "", "", bad)
		require.ErrorContains(t, err, "the authorities are not PEM of a certificate")
		_, err = egress.OwnTLS(all, bad, "", "")
		require.ErrorContains(t, err, "the client certificate is not PEM of a certificate with its key")
	}
}
