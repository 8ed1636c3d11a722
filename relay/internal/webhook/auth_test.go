package webhook_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// authorizer is an authorization server, of a public library, with a switch for its troubles.
type authorizer struct {
	*httptest.Server

	oauth   *server.Server
	fetches atomic.Int64
	trouble atomic.Pointer[http.HandlerFunc]
}

func newAuthorizer(t *testing.T, life time.Duration) *authorizer {
	t.Helper()
	manager := manage.NewDefaultManager()
	manager.SetClientTokenCfg(&manage.Config{AccessTokenExp: life})
	manager.MapTokenStorage(&memory{tokens: map[string]oauth2.TokenInfo{}})
	manager.MapClientStorage(&memory{})
	a := &authorizer{oauth: server.NewDefaultServer(manager)}
	a.oauth.SetAllowedGrantType(oauth2.ClientCredentials)
	a.oauth.SetClientInfoHandler(server.ClientBasicHandler)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.fetches.Add(1)
		if trouble := a.trouble.Load(); trouble != nil {
			(*trouble)(w, r)
			return
		}
		_ = a.oauth.HandleTokenRequest(w, r) // what is wrong is in the answer
	}))
	t.Cleanup(a.Close)
	return a
}

// memory is what the library keeps: one client, and tokens of it.
type memory struct {
	oauth2.TokenStore // what a grant of client credentials does not need

	mu     sync.Mutex
	tokens map[string]oauth2.TokenInfo
}

func (m *memory) GetByID(context.Context, string) (oauth2.ClientInfo, error) {
	return &models.Client{ID: "tailpost", Secret: "client-secret"}, nil
}

func (m *memory) Create(_ context.Context, info oauth2.TokenInfo) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens[info.GetAccess()] = info
	return nil
}

func (m *memory) RemoveByAccess(_ context.Context, access string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tokens, access)
	return nil
}

func (m *memory) GetByAccess(_ context.Context, access string) (oauth2.TokenInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tokens[access], nil
}

// has answers as handler says, until it is given nil.
func (a *authorizer) has(handler http.HandlerFunc) {
	if handler == nil {
		a.trouble.Store(nil)
		return
	}
	a.trouble.Store(&handler)
}

// guarded is a receiver that takes requests with a token of a only.
func (a *authorizer) guarded(t *testing.T) *receiver {
	t.Helper()
	return newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		if _, err := a.oauth.ValidationBearerToken(r); err != nil {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
}

func (a *authorizer) endpoint(t *testing.T, url string, change ...func(*config.Endpoint)) *webhook.Endpoint {
	t.Helper()
	return newEndpoint(t, url, append([]func(*config.Endpoint){a.client}, change...)...)
}

// client has an endpoint fetch its tokens from a.
func (a *authorizer) client(e *config.Endpoint) {
	e.Auth = config.Auth{
		Kind: config.AuthOAuth2, ClientID: "tailpost", Secret: config.NewSecret("client-secret"), TokenURL: a.URL + "/token",
		Scopes: []string{"events.write"}, Style: config.OAuth2Header,
	}
}

// TestOAuth2: many requests share a token, and one fetch.
func TestOAuth2(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	e := a.endpoint(t, a.guarded(t).URL)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			res := e.Send(t.Context(), newRequest())
			if !res.Delivered {
				t.Errorf("status %d: %s", res.Attempt.StatusCode, res.Attempt.Error)
			}
		})
	}
	group.Wait()
	require.EqualValues(t, 1, a.fetches.Load())
}

// TestOAuth2_tokensEnd: a token is replaced before it ends, however short its life.
func TestOAuth2_tokensEnd(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, 2*time.Second)
	rec := a.guarded(t)
	e := a.endpoint(t, rec.URL)
	seen := map[string]bool{}
	require.Eventually(t, func() bool {
		require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		seen[(<-rec.requests).header.Get("Authorization")] = true
		return len(seen) > 1
	}, time.Minute, 20*time.Millisecond)
}

// A token that ends soon is used for half of its life, and not fetched for each request.
func TestOAuth2_tokensThatEndSoon(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, 25*time.Second)
	rec := a.guarded(t)
	e := a.endpoint(t, rec.URL)
	seen := map[string]bool{}
	for range 3 {
		require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		seen[(<-rec.requests).header.Get("Authorization")] = true
	}
	require.Len(t, seen, 1)
}

// TestOAuth2_noToken: while there is no token nothing is sent, the attempt says why without a word
// of what is secret, and the authorization server is not stormed.
func TestOAuth2_noToken(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	for want, trouble := range map[string]http.HandlerFunc{
		"OAuth 2: the token endpoint answered 401 (invalid_client)": answer(401, `{"error": "invalid_client", "error_description": "client-secret is wrong"}`),
		"OAuth 2: the token endpoint answered 500":                  answer(500, `client-secret`),
		"OAuth 2: the token endpoint answered 400":                  answer(400, `{"error": "client-secret!"}`),
		"OAuth 2: the token endpoint answered 302": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
		"OAuth 2: the token endpoint answered 200 without an access_token":     answer(200, `{"id_token": "client-secret", "access_token": ""}`),
		"OAuth 2: the token endpoint answered 200 (invalid_client)":            answer(200, `{"error": "invalid_client"}`),
		"OAuth 2: the token endpoint answered 200 with what is no JSON object": answer(200, `<html>client-secret</html>`),
		"OAuth 2: the token endpoint answered 200 with an empty body":          answer(200, ``),
		"OAuth 2: the token endpoint answered 201 with more than 1 MiB":        answer(201, `{"access_token": "`+strings.Repeat("x", 2<<20)+`", "token_type": "Bearer"}`),
		"OAuth 2: the token endpoint gave a token that is no bearer token":     answer(200, `{"access_token": "x", "token_type": "mac"}`),
		"OAuth 2: the token endpoint gave a token that no header can carry":    answer(200, `{"access_token": "x\r\nX: y", "token_type": "Bearer"}`),
		"OAuth 2: the token endpoint gave a token of more than 16 KiB":         answer(200, `{"access_token": "`+strings.Repeat("x", 16<<10+1)+`", "token_type": "Bearer"}`),
		"OAuth 2: no connection to the token endpoint": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
			_, _ = w.Write([]byte(`{"access_token": "x", "token_type": "Bearer"}`))
		},
		"OAuth 2: no token after 2s": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client has left
			<-r.Context().Done()
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			a := newAuthorizer(t, time.Hour)
			a.has(trouble)
			rec := a.guarded(t)
			e := a.endpoint(t, rec.URL, func(e *config.Endpoint) { e.Timeout = 2 * time.Second })
			res := e.Send(t.Context(), newRequest())
			require.Equal(t, want, res.Attempt.Error)
			require.True(t, res.Barred)
			require.False(t, res.Reached)
			require.Empty(t, rec.requests)
			before := a.fetches.Load()
			require.True(t, e.Send(t.Context(), newRequest()).Barred)
			if want != "OAuth 2: no token after 2s" { // the caller's time was up: the next one tries
				require.Equal(t, before, a.fetches.Load(), "it was asked a moment ago")
			}
			a.has(nil)
			require.Eventually(t, func() bool { return e.Send(t.Context(), newRequest()).Delivered }, time.Minute, 10*time.Millisecond)
		})
	}
}

// TestOAuth2_aLifeThatIsWrittenOtherwise: a token is used, and kept, however its life is written.
func TestOAuth2_aLifeThatIsWrittenOtherwise(t *testing.T) {
	t.Parallel()
	for _, life := range []string{`3600.0`, `"3600.0"`, `" 3600"`, `""`, `true`} {
		a := newAuthorizer(t, time.Hour)
		a.has(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token": "T", "token_type": "Bearer", "expires_in": `+life+`}`)
		})
		rec := newReceiver(t, plainHTTP, nil)
		e := a.endpoint(t, rec.URL)
		for range 2 {
			res := e.Send(t.Context(), newRequest())
			require.True(t, res.Delivered, res.Attempt.Error)
			require.Equal(t, "Bearer T", (<-rec.requests).header.Get("Authorization"))
		}
		require.EqualValues(t, 1, a.fetches.Load(), life)
	}
}

// TestOAuth2_redirects: a token is for the receiver that the endpoint names, not for where that one
// sends it.
func TestOAuth2_redirects(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	elsewhere := newReceiver(t, plainHTTP, nil)
	for name, next := range map[string]string{"to the same receiver": "/next", "to another": elsewhere.URL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/next" {
					redirecting(307, constant(next))(w, r)
				}
			})
			require.True(t, a.endpoint(t, rec.URL+"/start", follows(1)).Send(t.Context(), newRequest()).Delivered)
			require.NotEmpty(t, (<-rec.requests).header.Get("Authorization"))
			if next == "/next" {
				require.NotEmpty(t, (<-rec.requests).header.Get("Authorization"))
				return
			}
			require.Empty(t, (<-elsewhere.requests).header.Values("Authorization"))
		})
	}
}

// TestOAuth2_ofOneEndpoint: requests of others, made with the same buffers, carry no token of it.
func TestOAuth2_ofOneEndpoint(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	rec, open := a.guarded(t), newReceiver(t, plainHTTP, nil)
	c := newClient(t, webhook.Options{Network: loopback()})
	with := endpointOf(t, c, rec.URL, func(e *config.Endpoint) {
		e.Auth = config.Auth{Kind: config.AuthOAuth2, ClientID: "tailpost", Secret: config.NewSecret("client-secret"), TokenURL: a.URL + "/token"}
	})
	without := endpointOf(t, c, open.URL)
	for range 50 {
		require.True(t, with.Send(t.Context(), newRequest()).Delivered)
		require.True(t, without.Send(t.Context(), newRequest()).Delivered)
		require.Empty(t, (<-open.requests).header.Values("Authorization"))
	}
}

// TestOAuth2_impatience: that an attempt was given up while it waited for a token says nothing of
// the token endpoint, and the next attempt fetches one at once.
func TestOAuth2_impatience(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	asked := make(chan struct{})
	a.has(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client has left
		close(asked)
		<-r.Context().Done()
	})
	e := a.endpoint(t, a.guarded(t).URL)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan webhook.Result, 1)
	go func() { gone <- e.Send(ctx, newRequest()) }()
	<-asked
	cancel()
	require.False(t, (<-gone).Delivered)
	a.has(nil)
	res := e.Send(t.Context(), newRequest())
	require.True(t, res.Delivered, res.Attempt.Error)
}

// TestOAuth2_guard: the authorization server is reached through the guard.
func TestOAuth2_guard(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	public := endpointOf(t, newClient(t, webhook.Options{Network: config.Network{AllowHTTP: true}}), "https://example.com/in", func(e *config.Endpoint) {
		e.Auth = config.Auth{Kind: config.AuthOAuth2, ClientID: "tailpost", Secret: config.NewSecret("client-secret"), TokenURL: a.URL}
	})
	res := public.Send(t.Context(), newRequest())
	require.Contains(t, res.Attempt.Error, "is not allowed (loopback)")
	require.True(t, res.Barred)
	require.Zero(t, a.fetches.Load())
}

func TestStaticAuthorization(t *testing.T) {
	t.Parallel()
	other := newReceiver(t, plainHTTP, nil)
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			w.Header().Set("Location", other.URL+"/there")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	for want, auth := range map[string]config.Auth{
		"Basic dGFpbHBvc3Q6cGFzczp3b3Jk": {Kind: config.AuthBasic, User: "tailpost", Secret: config.NewSecret("pass:word")},
		"Bearer a-token":                 {Kind: config.AuthBearer, Secret: config.NewSecret("a-token")},
	} {
		with := func(e *config.Endpoint) { e.Auth, e.Redirects = auth, 1 }
		require.True(t, newEndpoint(t, rec.URL, with).Send(t.Context(), newRequest()).Delivered)
		require.Equal(t, want, (<-rec.requests).header.Get("Authorization"))
		require.True(t, newEndpoint(t, rec.URL+"/away", with).Send(t.Context(), newRequest()).Delivered)
		require.Equal(t, want, (<-rec.requests).header.Get("Authorization"))
		require.Empty(t, (<-other.requests).header.Get("Authorization"), "another receiver is not told")
	}
}

// issued is a certificate that an authority signed, as PEM.
func issued(t *testing.T, parent *x509.Certificate, by *ecdsa.PrivateKey, template *x509.Certificate) (cert, key string, _ *x509.Certificate, _ *ecdsa.PrivateKey) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	if parent == nil {
		parent, by = template, own
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &own.PublicKey, by)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(t, err)
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", text), parsed, own
}

// TestClientCertificates: a receiver that wants a certificate of a private authority gets that of
// the endpoint, and no other endpoint's session.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, _, authority, by := issued(t, nil, nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "private authority"}})
	named := func(name string) (cert, key string) {
		cert, key, _, _ = issued(t, authority, by, &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		})
		return cert, key
	}
	serverCert, serverKey := named("receiver")
	pair, err := tls.X509KeyPair([]byte(serverCert), []byte(serverKey))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	names := make(chan string, 10)
	for protocol, start := range map[string]func(*httptest.Server){"http/1.1": tlsOnly, "h2": withH2} {
		rec := newReceiver(t, func(s *httptest.Server) {
			s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
			start(s)
		}, func(_ http.ResponseWriter, r *http.Request) { names <- r.TLS.PeerCertificates[0].Subject.CommonName })
		url := "https://localhost:" + rec.URL[len("https://127.0.0.1:"):]
		client := newClient(t, webhook.Options{Network: loopback()})
		for _, name := range []string{"shop", "erp", "shop"} {
			cert, key := named(name)
			e := endpointOf(t, client, url, func(e *config.Endpoint) {
				e.TLS = config.ClientTLS{Cert: cert, Key: config.NewSecret(key), CA: ca}
			})
			res := e.Send(t.Context(), newRequest())
			require.True(t, res.Delivered, "%s: %s", protocol, res.Attempt.Error)
			require.Equal(t, name, <-names)
			e.Close()
		}
		// In TLS 1.3 the receiver refuses after the handshake, and what it says of that may be lost
		// to the reset that follows.
		nobody := endpointOf(t, client, url, func(e *config.Endpoint) { e.TLS.CA = ca })
		require.Eventually(t, func() bool {
			res := nobody.Send(t.Context(), newRequest())
			require.False(t, res.Delivered, protocol)
			return strings.Contains(res.Attempt.Error, "TLS: refused by the receiver")
		}, 30*time.Second, time.Millisecond, protocol)
		res := endpointOf(t, client, url).Send(t.Context(), newRequest())
		require.Contains(t, res.Attempt.Error, "signed by an unknown authority", protocol)
	}
}

// TestClientCertificatesStayWithTheirHost: a host that the receiver redirects to is shown no
// certificate of the endpoint, and the endpoint's authority does not vouch for it.
func TestClientCertificatesStayWithTheirHost(t *testing.T) {
	t.Parallel()
	ca, _, authority, by := issued(t, nil, nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "private authority"}})
	cert, key, _, _ := issued(t, authority, by, &x509.Certificate{
		DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	for protocol, start := range map[string]func(*httptest.Server){"http/1.1": tlsOnly, "h2": withH2} {
		shown := make(chan int, 10)
		asking := func(next func() string) *receiver {
			return newReceiver(t, func(s *httptest.Server) {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
				start(s)
			}, func(w http.ResponseWriter, r *http.Request) {
				shown <- len(r.TLS.PeerCertificates)
				if r.URL.Path == "/start" {
					redirecting(http.StatusTemporaryRedirect, next)(w, r)
				}
			})
		}
		at := func(rec *receiver, path string) string {
			return "https://localhost:" + rec.URL[len("https://127.0.0.1:"):] + path
		}
		elsewhere := asking(nil)
		first := asking(constant(at(elsewhere, "/other")))
		owns := func(e *config.Endpoint) {
			e.Redirects, e.TLS = 1, config.ClientTLS{Cert: cert, Key: config.NewSecret(key), CA: ca}
		}
		vouched := endpointOf(t, newClient(t, webhook.Options{Network: loopback(), Roots: pool}), at(first, "/start"), owns)
		res := vouched.Send(t.Context(), newRequest())
		require.True(t, res.Delivered, "%s: %s", protocol, res.Attempt.Error)
		require.Equal(t, 1, <-shown, protocol)
		require.Zero(t, <-shown, protocol)
		res = endpointOf(t, newClient(t, webhook.Options{Network: loopback()}), at(first, "/start"), owns).Send(t.Context(), newRequest())
		require.Contains(t, res.Attempt.Error, "signed by an unknown authority", protocol)
		require.Equal(t, 1, <-shown, protocol)
		require.Empty(t, shown, protocol)
	}
}

// TestOneAuthorization: what the endpoint sets itself is sent, and not what stands in its URL
// beside it.
func TestOneAuthorization(t *testing.T) {
	t.Parallel()
	for own, want := range map[string][]string{"": {"Basic bWU6cHc="}, "Bearer t0k": {"Bearer t0k"}} {
		rec := newReceiver(t, plainHTTP, nil)
		e := newEndpoint(t, strings.Replace(rec.URL, "://", "://me:pw@", 1), func(ep *config.Endpoint) {
			if own != "" {
				ep.Headers = map[string]string{"authorization": own}
			}
		})
		require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		require.Equal(t, want, (<-rec.requests).header["Authorization"])
	}
}
