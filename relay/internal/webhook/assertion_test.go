package webhook_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// knows has the authorization server give tokens for assertions of key alone, which another library
// verifies than the one that signs them. It returns the form and the claims of each fetch.
func (a *authorizer) knows(t *testing.T, key crypto.PublicKey, algorithm, keyID string, want jwt.Expected) (<-chan url.Values, <-chan map[string]any) {
	t.Helper()
	forms, said := make(chan url.Values, 10), make(chan map[string]any, 10)
	var mu sync.Mutex
	used := map[string]bool{}
	a.has(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(code string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error": "` + code + `"}`))
		}
		if r.ParseForm() != nil {
			refuse("invalid_request")
			return
		}
		text, code := r.PostForm.Get("client_assertion"), "invalid_client"
		if r.PostForm.Get("grant_type") == jwtBearer {
			text, code = r.PostForm.Get("assertion"), "invalid_grant"
		} else if r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			refuse(code)
			return
		}
		parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
		if err != nil || parsed.Headers[0].KeyID != keyID {
			refuse(code)
			return
		}
		var claims jwt.Claims
		all := map[string]any{}
		if parsed.Claims(key, &claims, &all) != nil || claims.ValidateWithLeeway(want, 0) != nil || claims.Expiry == nil {
			refuse(code)
			return
		}
		mu.Lock()
		again := used[claims.ID] || claims.ID == ""
		used[claims.ID] = true
		mu.Unlock()
		if again {
			refuse(code)
			return
		}
		forms <- r.PostForm
		said <- all
		// The library has no assertions: of what it is to know of the client this was the proof.
		r.Form.Set("grant_type", "client_credentials")
		r.SetBasicAuth("tailpost", "client-secret")
		_ = a.oauth.HandleTokenRequest(w, r) // what is wrong is in the answer
	})
	return forms, said
}

func signingKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return map[string]crypto.Signer{
		config.RS256: rsaKey, config.PS256: rsaKey, config.ES256: p256, config.ES384: p384, config.ES512: p521, config.EdDSA: ed,
	}
}

func signs(t *testing.T, key crypto.Signer, as *config.Assertion) func(*config.Endpoint) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	with := *as
	with.Key = config.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return func(e *config.Endpoint) { e.Auth.Secret, e.Auth.Style, e.Auth.Assertion = config.Secret{}, "", with }
}

// TestAssertions: a client that signs is given its token, whatever its key; a fetch has an
// assertion of its own, and no secret.
func TestAssertions(t *testing.T) {
	t.Parallel()
	for algorithm, key := range signingKeys(t) {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			a := newAuthorizer(t, time.Hour)
			forms, said := a.knows(t, key.Public(), algorithm, "2026", jwt.Expected{
				Issuer: "tailpost", Subject: "tailpost", AnyAudience: jwt.Audience{a.URL + "/token"}, Time: time.Now(),
			})
			rec := a.guarded(t)
			e := a.endpoint(t, rec.URL, signs(t, key, &config.Assertion{Use: config.AssertClient, KeyID: "2026", Algorithm: algorithm}))
			for fetches := range 2 {
				var token string
				for range 3 {
					res := e.Send(t.Context(), newRequest())
					require.True(t, res.Delivered, res.Attempt.Error)
					token = (<-rec.requests).header.Get("Authorization")[len("Bearer "):]
				}
				require.EqualValues(t, fetches+1, a.fetches.Load(), "a token is kept")
				form, claims := <-forms, <-said
				require.ElementsMatch(t, []string{"grant_type", "client_id", "client_assertion_type", "client_assertion", "scope"}, keysOf(form))
				require.Equal(t, "client_credentials", form.Get("grant_type"))
				require.Equal(t, "events.write", form.Get("scope"))
				require.ElementsMatch(t, []string{"iss", "sub", "aud", "exp", "iat", "jti"}, keysOf(claims))
				requireTimely(t, claims)
				require.NoError(t, a.oauth.Manager.RemoveAccessToken(t.Context(), token))
				require.True(t, e.Send(t.Context(), newRequest()).Again, "it is refused, and fetched anew")
				<-rec.requests
			}
		})
	}
}

// requireTimely requires times that servers take whose clocks are a little behind, and that bound
// the life of an assertion: some to three minutes.
func requireTimely(t *testing.T, claims map[string]any) {
	t.Helper()
	signed, is := claims["iat"].(float64)
	require.True(t, is)
	ends, is := claims["exp"].(float64)
	require.True(t, is)
	require.LessOrEqual(t, signed, float64(time.Now().Add(-5*time.Second).Unix()), "a server's clock may be behind")
	require.Greater(t, ends, float64(time.Now().Unix()))
	require.LessOrEqual(t, ends-signed, (3 * time.Minute).Seconds())
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// TestAssertionsThatAreTheGrant: a token may be given for the assertion itself, with a secret of
// the client beside it or without one.
func TestAssertionsThatAreTheGrant(t *testing.T) {
	t.Parallel()
	key := signingKeys(t)[config.ES256]
	a := newAuthorizer(t, time.Hour)
	forms, said := a.knows(t, key.Public(), config.ES256, "", jwt.Expected{
		Issuer: "our-key", Subject: "somebody", AnyAudience: jwt.Audience{"https://login.example.com"}, Time: time.Now(),
	})
	grant := &config.Assertion{Use: config.AssertGrant, Issuer: "our-key", Subject: "somebody", Audience: "https://login.example.com"}
	rec := a.guarded(t)
	for name, change := range map[string]func(*config.Endpoint){
		"a client without a secret": func(*config.Endpoint) {},
		"no client":                 func(e *config.Endpoint) { e.Auth.ClientID = "" },
		"a client with a secret": func(e *config.Endpoint) {
			e.Auth.Secret, e.Auth.Style = config.NewSecret("client-secret"), config.OAuth2Body
		},
	} {
		res := a.endpoint(t, rec.URL, signs(t, key, grant), change).Send(t.Context(), newRequest())
		require.True(t, res.Delivered, "%s: %s", name, res.Attempt.Error)
		form, claims := <-forms, <-said
		require.Equal(t, jwtBearer, form.Get("grant_type"), name)
		require.Equal(t, "events.write", claims["scope"])
		require.Equal(t, "events.write", form.Get("scope"))
		require.Equal(t, name != "no client", form.Has("client_id"), name)
		require.Equal(t, name == "a client with a secret", form.Has("client_secret"), name)
	}
}

// TestAssertionsThatAreRefused: a server that does not know the key gives no token, and the attempt
// says so without a word of the assertion.
func TestAssertionsThatAreRefused(t *testing.T) {
	t.Parallel()
	keys := signingKeys(t)
	a := newAuthorizer(t, time.Hour)
	a.knows(t, keys[config.RS256].Public(), config.RS256, "", jwt.Expected{Time: time.Now()})
	rec := a.guarded(t)
	res := a.endpoint(t, rec.URL, signs(t, keys[config.ES256], &config.Assertion{Use: config.AssertClient})).Send(t.Context(), newRequest())
	require.Equal(t, "OAuth 2: the token endpoint answered 400 (invalid_client)", res.Attempt.Error)
	require.True(t, res.Barred)
	require.Empty(t, rec.requests)

	_, err := newClient(t, webhook.Options{Network: loopback()}).Endpoint(config.Endpoint{
		ID: "ep_1", URL: rec.URL, Secrets: []config.Secret{config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")},
		Auth: config.Auth{Kind: config.AuthOAuth2, TokenURL: a.URL, Assertion: config.Assertion{Use: config.AssertClient, Key: config.NewSecret("hunter2")}},
	})
	require.ErrorContains(t, err, "no PEM")
	require.NotContains(t, err.Error(), "hunter2")
}
