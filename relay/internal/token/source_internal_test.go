package token

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/egress"
)

// tokens makes a Source that asks handler, as auth says.
func tokens(t *testing.T, auth config.Auth, handler http.HandlerFunc) *Source {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	dialer, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	auth.Kind, auth.ClientID, auth.TokenURL = config.AuthOAuth2, "me & co", server.URL+"/token"
	s, err := New(auth, dialer, nil)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

const testKey = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----`

// TestAFetchSaysWhoAsksForWhat, as the configuration has it: the secret goes where it is said to,
// and nowhere where an assertion takes its place.
func TestAFetchSaysWhoAsksForWhat(t *testing.T) {
	t.Parallel()
	secret, key := config.NewSecret("s3&cret"), config.NewSecret(testKey)
	const client, grant = "client_credentials", grantType
	for _, test := range []struct {
		auth   config.Auth
		basic  string     // user and password, as RFC 6749 writes them
		form   url.Values // but for the assertion
		in     string     // the field that has that; empty: there is none
		claims jwt.MapClaims
		keyID  any
	}{
		{auth: config.Auth{Secret: secret}, basic: "me+%26+co:s3%26cret", form: url.Values{"grant_type": {client}}},
		{
			auth:  config.Auth{Secret: secret, Style: config.OAuth2Header, Scopes: []string{"a", "b"}, Audience: "them"},
			basic: "me+%26+co:s3%26cret", form: url.Values{"grant_type": {client}, "scope": {"a b"}, "audience": {"them"}},
		},
		{
			auth: config.Auth{Secret: secret, Style: config.OAuth2Body},
			form: url.Values{"grant_type": {client}, "client_id": {"me & co"}, "client_secret": {"s3&cret"}},
		},
		{
			auth: config.Auth{Audience: "them", Scopes: []string{"a"}, Assertion: config.Assertion{Use: config.AssertClient, Key: key, KeyID: "2026", Subject: "nobody"}},
			form: url.Values{"grant_type": {client}, "client_id": {"me & co"}, "audience": {"them"}, "scope": {"a"}, "client_assertion_type": {clientAssertionType}},
			in:   "client_assertion", claims: jwt.MapClaims{"iss": "me & co", "sub": "me & co", "aud": "/token"}, keyID: "2026",
		},
		{
			auth:  config.Auth{Secret: secret, Style: config.OAuth2Header, Scopes: []string{"a", "b"}, Assertion: config.Assertion{Use: config.AssertGrant, Key: key, Issuer: "us", Audience: "aud"}},
			basic: "me+%26+co:s3%26cret", form: url.Values{"grant_type": {grant}, "scope": {"a b"}},
			in: "assertion", claims: jwt.MapClaims{"iss": "us", "sub": "us", "aud": "aud", "scope": "a b"},
		},
		{
			auth: config.Auth{Assertion: config.Assertion{Use: config.AssertGrant, Key: key, Issuer: "us", Subject: "them"}},
			form: url.Values{"grant_type": {grant}, "client_id": {"me & co"}},
			in:   "assertion", claims: jwt.MapClaims{"iss": "us", "sub": "them", "aud": "/token"},
		},
	} {
		asked := make(chan *http.Request, 1)
		s := tokens(t, test.auth, func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm() // what cannot be read is missing below
			asked <- r
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"access_token": "T", "token_type": "bearer", "error": ""}`))
		})
		value, err := s.Token(t.Context())
		require.NoError(t, err)
		require.Equal(t, "T", value)
		r := <-asked
		user, password, _ := r.BasicAuth()
		require.Equal(t, test.basic, strings.Trim(user+":"+password, ":"))
		require.Equal(t, "/token", r.RequestURI, "no proxy is in between")
		if test.in != "" {
			parsed, _, err := jwt.NewParser().ParseUnverified(r.PostForm.Get(test.in), jwt.MapClaims{})
			require.NoError(t, err)
			require.Equal(t, []any{"EdDSA", test.keyID}, []any{parsed.Header["alg"], parsed.Header["kid"]})
			claims, _ := parsed.Claims.(jwt.MapClaims)
			for _, name := range []string{"jti", "iat", "exp"} {
				require.NotEmpty(t, claims[name])
				delete(claims, name)
			}
			if claims["aud"] == "http://"+r.Host+"/token" {
				claims["aud"] = "/token"
			}
			require.Equal(t, test.claims, claims)
			r.PostForm.Del(test.in)
		}
		require.Equal(t, test.form, r.PostForm)
		value, err = s.Token(t.Context())
		require.NoError(t, err)
		require.Equal(t, "T", value, "it is kept, as its life is not said")
		require.Empty(t, asked)
	}
}

// TestWhyThereIsNoToken is said in our words: of what the server wrote only its error code is in
// them, where that is one.
func TestWhyThereIsNoToken(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", most+1)
	for _, test := range []struct {
		status           int
		kind, body, says string
	}{
		{200, "application/json", " \n", "the token endpoint answered 200 with an empty body"},
		{299, "text/html", "<p>s3cret</p>", "the token endpoint answered 299 with what is no JSON object"},
		{200, "application/json", "null", "the token endpoint answered 200 with what is no JSON object"},
		{200, "application/json", `{"access_token": "", "s3cret": "T"}`, "the token endpoint answered 200 without an access_token"},
		{200, "application/json", `{"access_token": ["T"]}`, "the token endpoint answered 200 without an access_token"},
		{200, "application/x-www-form-urlencoded", "access_token=%s3cret", "the token endpoint answered 200 with what is neither JSON nor a form"},
		{200, "application/x-www-form-urlencoded", "token=s3cret", "the token endpoint answered 200 without an access_token"},
		{200, "application/json", `{"access_token": "` + strings.Repeat("x", mostAnswer) + `"}`, "the token endpoint answered 200 with more than 1 MiB"},
		{200, "application/json", `{"error": "invalid_scope", "error_description": "s3cret"}`, "the token endpoint answered 200 (invalid_scope)"},
		{200, "text/plain", `error=invalid_scope`, "the token endpoint answered 200 (invalid_scope)"},
		{400, "application/json", `{"error": "invalid_client", "error_description": "s3cret"}`, "the token endpoint answered 400 (invalid_client)"},
		{400, "text/plain", `{"error": "invalid_client"}`, "the token endpoint answered 400 (invalid_client)"},
		{401, "application/json", `{"error": "S3cret"}`, "the token endpoint answered 401"},
		{401, "application/json", `{"error": "` + strings.Repeat("a", 41) + `"}`, "the token endpoint answered 401"},
		{401, "application/json", `{"error": "` + strings.Repeat("_", 40) + `"}`, "the token endpoint answered 401 (" + strings.Repeat("_", 40) + ")"},
		{500, "application/json", `{"error": ""}`, "the token endpoint answered 500"},
		{302, "text/html", "s3cret", "the token endpoint answered 302"},
		{407, "text/html", "s3cret", "the token endpoint answered 407"},
		{200, "application/json", `{"access_token": "T", "token_type": "mac"}`, "the token endpoint gave a token that is no bearer token"},
		{200, "application/json", `{"access_token": "` + long + `"}`, "the token endpoint gave a token of more than 16 KiB"},
		{200, "application/json", `{"access_token": "a\nb"}`, "the token endpoint gave a token that no header can carry"},
	} {
		asked := 0
		s := tokens(t, config.Auth{Secret: config.NewSecret("s3cret")}, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Content-Type", test.kind)
			w.Header().Set("Location", "/s3cret")
			w.WriteHeader(test.status)
			_, _ = w.Write([]byte(test.body))
		})
		for range 2 { // the second one hears what the first one did
			value, err := s.Token(t.Context())
			require.EqualError(t, err, "OAuth 2: "+test.says)
			require.ErrorAs(t, err, new(*Error))
			require.Empty(t, value)
		}
		require.Equal(t, 1, asked, test.says)
	}
	s := tokens(t, config.Auth{Secret: config.NewSecret("s3cret")}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := s.Token(t.Context())
	require.EqualError(t, err, "OAuth 2: no connection to the token endpoint")
	strict, err := egress.New(egress.Options{})
	require.NoError(t, err)
	denied, err := New(config.Auth{TokenURL: "http://127.0.0.1:1/s3cret", ClientID: "me"}, strict, nil)
	require.NoError(t, err)
	_, err = denied.Token(t.Context())
	require.EqualError(t, err, "OAuth 2: address 127.0.0.1 is not allowed (loopback); add it to network.allow")
}

// TestAnAnswerIsJSONWhateverItIsCalled: some servers name no type, or that of a text.
func TestAnAnswerIsJSONWhateverItIsCalled(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"application/json", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "text/html", ""} {
		for _, begins := range []string{"", "\ufeff", "\r\n "} {
			s := tokens(t, config.Auth{Secret: config.NewSecret("s")}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{kind}
				_, _ = w.Write([]byte(begins + `{"access_token": "T", "token_type": "bearer", "expires_in": 3600}`))
			})
			value, err := s.Token(t.Context())
			require.NoError(t, err, "%q %q", kind, begins)
			require.Equal(t, "T", value)
		}
	}
}

// TestATokenIsKeptAsLongAsItIsGood, but for half a minute, or for half of a short life.
func TestATokenIsKeptAsLongAsItIsGood(t *testing.T) {
	t.Parallel()
	for life, kept := range map[string]time.Duration{"3600": time.Hour - early, "20": 10 * time.Second} {
		s := tokens(t, config.Auth{Secret: config.NewSecret("s")}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
			_, _ = w.Write([]byte("access_token=T&expires_in=" + life))
		})
		_, err := s.Token(t.Context())
		require.NoError(t, err)
		now := time.Now()
		for at, want := range map[time.Duration]string{kept - 5*time.Second: "T", kept + time.Second: ""} {
			value, err := s.known(now.Add(at))
			require.NoError(t, err)
			require.Equal(t, want, value, at)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		value, err := s.Token(ctx)
		require.NoError(t, err)
		require.Equal(t, "T", value, "it needs no fetch")
		s.Refused("T", true)
		_, err = s.Token(ctx)
		require.ErrorIs(t, err, context.Canceled)
		_, err = s.Token(t.Context())
		require.NoError(t, err, "that a caller had no time says nothing of the token endpoint")
	}
}

// TestATokenEndpointShowsItsCertificate: it is one of the authorities that are named. A source that
// is closed has no connection.
func TestATokenEndpointShowsItsCertificate(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token": "T"}`))
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	dialer, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	auth := config.Auth{Kind: config.AuthOAuth2, ClientID: "me", Secret: config.NewSecret("s"), TokenURL: server.URL}
	s, err := New(auth, dialer, roots)
	require.NoError(t, err)
	_, err = s.Token(t.Context())
	require.NoError(t, err)
	require.Empty(t, closed)
	s.Close()
	<-closed
	s, err = New(auth, dialer, nil)
	require.NoError(t, err)
	_, err = s.Token(t.Context())
	require.EqualError(t, err, "OAuth 2: the token endpoint's certificate is not trusted")
}

// TestAProxyIsAskedForTheWholeURL, with what the proxy wants to know, and its refusal is not the
// token endpoint's.
func TestAProxyIsAskedForTheWholeURL(t *testing.T) {
	t.Parallel()
	answers := make(chan int, 1)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := <-answers
		if status == 0 || r.RequestURI != "http://login.example/token" || r.Header.Get("Proxy-Authorization") != "Basic bWU6cHc=" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"access_token": "T"}`))
	}))
	t.Cleanup(proxy.Close)
	dialer, err := egress.New(egress.Options{Proxy: strings.Replace(proxy.URL, "http://", "http://me:pw@", 1), ProxyResolves: true})
	require.NoError(t, err)
	s, err := New(config.Auth{Kind: config.AuthOAuth2, ClientID: "me", Secret: config.NewSecret("s"), TokenURL: "http://login.example/token"}, dialer, nil)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	for status, says := range map[int]string{0: "no connection to the token endpoint", http.StatusProxyAuthRequired: "proxy", http.StatusForbidden: "the token endpoint answered 403"} {
		answers <- status
		s.retryAt = time.Time{}
		_, err = s.Token(t.Context())
		require.ErrorContains(t, err, says)
	}
	answers <- http.StatusOK
	s.retryAt = time.Time{}
	value, err := s.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, "T", value)
}
