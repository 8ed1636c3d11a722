package doctor_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/internal/doctor"
)

func TestReceiversAreExaminedWithoutAnEvent(t *testing.T) {
	t.Parallel()
	var bodies atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead || r.ContentLength > 0 {
			bodies.Add(1)
		}
		w.WriteHeader(map[string]int{"/hook": http.StatusMethodNotAllowed, "/login": http.StatusProxyAuthRequired, "/down": http.StatusServiceUnavailable}[r.URL.Path])
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	silent := httptest.NewServer(handler)
	silent.Close()
	cfg := &config.Config{
		Network: config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Endpoints: []config.Endpoint{
			{ID: "plain", URL: plain.URL + "/hook?key=hunter2"},
			{ID: "untrusted", URL: secure.URL},
			{ID: "silent", URL: silent.URL},
			{ID: "nowhere", URL: "https://receiver.invalid/"},
			{ID: "inside", URL: "http://127.0.0.2:9/"},
			{ID: "login", URL: plain.URL + "/login"},
			{ID: "down", URL: plain.URL + "/down"},
		},
	}
	found := doctor.Endpoints(t.Context(), cfg, time.Now())
	require.Len(t, found, len(cfg.Endpoints))
	for i, want := range []struct {
		grade       doctor.Grade
		detail, fix string
	}{
		{doctor.OK, "endpoint plain answers (405 to HEAD)", ""},
		{doctor.Failure, "endpoint untrusted: TLS: ", ""},
		{doctor.Failure, "endpoint silent: ", ""},
		{doctor.Failure, "endpoint nowhere: ", ""},
		{doctor.Failure, "endpoint inside: ", "network.allow"},
		{doctor.OK, "endpoint login answers (407 to HEAD)", ""},
		{doctor.OK, "endpoint down answers (503 to HEAD)", ""}, // to what is no event
	} {
		require.Equal(t, "endpoint", found[i].Check)
		require.Equal(t, want.grade, found[i].Grade, found[i].Detail)
		require.True(t, strings.HasPrefix(found[i].Detail, want.detail), found[i].Detail)
		require.Contains(t, found[i].Fix, want.fix)
		require.NotContains(t, found[i].Detail, "hunter2")
	}
	require.Contains(t, found[2].Detail, "refused")
	require.Zero(t, bodies.Load(), "something but HEAD was sent")
}

// TestReceiversAreExaminedAsTheyAreSentTo: with the authorities, the proxy and the version of HTTP
// of the configuration.
func TestReceiversAreExaminedAsTheyAreSentTo(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	plain, secure, modern := httptest.NewServer(handler), httptest.NewTLSServer(handler), httptest.NewUnstartedServer(handler)
	modern.EnableHTTP2 = true
	modern.StartTLS()
	for _, s := range []*httptest.Server{plain, secure, modern} {
		t.Cleanup(s.Close)
	}
	silent := httptest.NewUnstartedServer(handler)
	silent.Listener = tls.NewListener(silent.Listener, &tls.Config{Certificates: secure.TLS.Certificates}) // of its versions of HTTP
	silent.Start()
	t.Cleanup(silent.Close)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	cfg := &config.Config{
		Network: config.Network{
			AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, CA: authority,
			Proxy: config.NewSecret("http://127.0.0.1:1"), NoProxy: []string{"127.0.0.1"},
		},
		Endpoints: []config.Endpoint{
			{ID: "secure", URL: secure.URL},
			{ID: "modern", URL: modern.URL, HTTP: config.HTTP2},
			{ID: "old", URL: secure.URL, HTTP: config.HTTP2},
			{ID: "silent", URL: "https" + strings.TrimPrefix(silent.URL, "http"), HTTP: config.HTTP2},
			{ID: "proxied", URL: strings.Replace(plain.URL, "127.0.0.1", "localhost", 1)},
		},
	}
	found := doctor.Endpoints(t.Context(), cfg, time.Now())
	for i, want := range []struct {
		grade  doctor.Grade
		detail string
	}{
		{doctor.OK, "endpoint secure answers (200 to HEAD), its certificate is good for "},
		{doctor.OK, "endpoint modern settles on HTTP/2, its certificate is good for "},
		{doctor.Failure, "endpoint old: TLS: "},
		{doctor.Failure, "endpoint silent speaks no HTTP/2, and its http is 2"},
		{doctor.Failure, "endpoint proxied: connecting to the egress proxy"},
	} {
		require.Equal(t, want.grade, found[i].Grade, found[i].Detail)
		require.True(t, strings.HasPrefix(found[i].Detail, want.detail), found[i].Detail)
	}
	cfg.Network.CA = ""
	cfg.Endpoints = []config.Endpoint{{ID: "own", URL: secure.URL, TLS: config.ClientTLS{CA: authority}}, {ID: "none", URL: secure.URL}}
	found = doctor.Endpoints(t.Context(), cfg, time.Now())
	require.Equal(t, doctor.OK, found[0].Grade, "an endpoint's own authorities vouch for its receiver")
	require.Equal(t, doctor.Failure, found[1].Grade)
}

// TestReceiversOfPlainHTTPAreExaminedThroughTheProxy: it gets the whole URL and the relay's user,
// and what it answers itself is not taken for a receiver that is well.
func TestReceiversOfPlainHTTPAreExaminedThroughTheProxy(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !r.URL.IsAbs():
			w.WriteHeader(http.StatusBadRequest)
		case r.Header.Get("Proxy-Authorization") != "Basic bWU6cHc=":
			w.Header().Set("Proxy-Authenticate", "Basic")
			w.WriteHeader(http.StatusProxyAuthRequired)
		case r.URL.String() == "http://127.0.0.1:9/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.String() == "http://127.0.0.1:9/denied":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.String() == "http://127.0.0.1:9/hook?key=1":
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.URL.String() == "http://receiver.invalid/hook":
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	proxy, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(proxy.Close)
	t.Cleanup(secure.Close)
	network := config.Network{
		AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, ProxyResolves: true,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})),
	}
	through := func(proxy *httptest.Server, user, address string) doctor.Finding {
		network.Proxy = config.NewSecret(strings.Replace(proxy.URL, "://", "://"+user+"@", 1))
		found := doctor.Endpoints(t.Context(), &config.Config{Network: network, Endpoints: []config.Endpoint{{ID: "e", URL: address}}}, time.Now())
		require.Len(t, found, 1)
		return found[0]
	}
	for _, proxy := range []*httptest.Server{proxy, secure} {
		require.Equal(t, doctor.Finding{Check: "endpoint", Grade: doctor.OK, Detail: "endpoint e answers (405 to HEAD)"},
			through(proxy, "me:pw", "http://127.0.0.1:9/hook?key=1"))
	}
	for address, status := range map[string]string{
		"http://127.0.0.1:9/down": "503", "http://127.0.0.1:9/denied": "403", "http://receiver.invalid/hook": "500",
	} {
		found := through(proxy, "me:pw", address)
		require.Equal(t, doctor.Warning, found.Grade)
		require.Equal(t, "endpoint e, or the egress proxy for it, answers "+status+" to HEAD", found.Detail)
		require.Contains(t, found.Fix, "the proxy's log")
	}
	found := through(proxy, "me:other", "http://127.0.0.1:9/hook?key=1")
	require.Equal(t, doctor.Failure, found.Grade)
	require.Contains(t, found.Detail, "status 407: check the user and password in network.proxy")
	network.CA = "none"
	found = through(proxy, "me:pw", "http://127.0.0.1:9/hook?key=1")
	require.Equal(t, "endpoint", found.Check)
	require.Equal(t, doctor.Failure, found.Grade)
	require.Contains(t, found.Detail, "the network block is not usable: ")
}

// TestAReceiverThatNeverAnswersIsAFailure: it does not keep the others from being told of.
func TestAReceiverThatNeverAnswersIsAFailure(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	found := doctor.Endpoints(ctx, &config.Config{
		Network:   config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		Endpoints: []config.Endpoint{{ID: "e", URL: "http://" + l.Addr().String()}},
	}, time.Now())
	require.Equal(t, []doctor.Finding{{Check: "endpoint", Grade: doctor.Failure, Detail: "endpoint e: enough"}}, found)
}

// A certificate that ends within two weeks is worth a word, while there is time to renew it.
func TestCertificatesThatEndSoonAreNamed(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(secure.Close)
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	cfg := &config.Config{
		Network:   config.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, CA: authority},
		Endpoints: []config.Endpoint{{ID: "shop", URL: secure.URL}},
	}
	for days, grade := range map[int]doctor.Grade{15: doctor.OK, 14: doctor.OK, 13: doctor.Warning, 1: doctor.Warning} {
		found := doctor.Endpoints(t.Context(), cfg, secure.Certificate().NotAfter.AddDate(0, 0, -days))
		require.Equal(t, grade, found[0].Grade, found[0].Detail)
		require.Contains(t, found[0].Detail, fmt.Sprintf("its certificate is good for %d days", days))
		require.Equal(t, grade == doctor.Warning, found[0].Fix == "renew it")
	}

	// With an intermediate one ends the trust in the receiver's own.
	cert, _ := kit.Certificate(t)
	intermediate, _ := pem.Decode([]byte(cert)) // good for an hour
	chain := secure.TLS.Certificates[0]
	chain.Certificate = append(slices.Clone(chain.Certificate), intermediate.Bytes)
	chained := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	chained.TLS = &tls.Config{Certificates: []tls.Certificate{chain}}
	chained.StartTLS()
	t.Cleanup(chained.Close)
	cfg.Endpoints[0].URL = chained.URL
	found := doctor.Endpoints(t.Context(), cfg, time.Now())
	require.Equal(t, doctor.Warning, found[0].Grade, found[0].Detail)
	require.Contains(t, found[0].Detail, "its certificate is good for 0 days")
}
