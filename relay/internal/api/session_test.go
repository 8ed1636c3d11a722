package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

// status returns the status of a *api.Problem.
func status(t *testing.T, err error) int {
	t.Helper()
	var p *api.Problem
	require.ErrorAs(t, err, &p)
	return p.Status
}

func (b *bundle) session(t *testing.T, session *api.Session, method, path string) *api.Response {
	t.Helper()
	res, err := b.server.Do(t.Context(), session, api.Request{Method: method, Path: path})
	require.NoError(t, err)
	return res
}

// key makes a key and returns its id and its secret.
func (b *bundle) key(t *testing.T, tenant string, scopes ...string) (id, secret string) {
	t.Helper()
	made := b.post(t, "/v1/keys", map[string]any{"name": "k", "scopes": scopes, "tenant": tenant}).is(http.StatusCreated)
	return made.text("id"), made.text("secret")
}

// advance sets the server's clock ahead.
func (b *bundle) advance(d time.Duration) {
	now := b.clock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = now.Add(d)
}

func TestASessionCanDoWhatItsKeyCan(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	mine := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "tenant": "acme", "name": "a/b"}).is(http.StatusCreated).text("id")
	theirs := b.post(t, "/v1/endpoints", map[string]any{"url": "https://b.example", "tenant": "other"}).is(http.StatusCreated).text("id")
	_, secret := b.key(t, "acme", "endpoints:read")

	session, err := b.server.Login(t.Context(), "192.0.2.1", secret)
	require.NoError(t, err)
	require.Equal(t, "acme", session.Tenant())
	require.True(t, session.May("endpoints:read"))
	require.False(t, session.May("endpoints:write"))

	var page api.Page[api.Endpoint]
	require.NoError(t, b.session(t, session, http.MethodGet, "/v1/endpoints").Decode(&page))
	require.Len(t, page.Data, 1)
	require.Equal(t, mine, page.Data[0].ID)
	require.Equal(t, http.StatusNotFound, b.session(t, session, http.MethodGet, "/v1/endpoints/"+theirs).Status)
	refused := b.session(t, session, http.MethodPost, "/v1/endpoints/"+mine+"/pause")
	require.Equal(t, http.StatusForbidden, status(t, refused.Err()))

	// A header says nothing of who calls.
	res, err := b.server.Do(t.Context(), session, api.Request{
		Method: http.MethodGet, Path: "/v1/deliveries", Header: http.Header{"authorization": {"Bearer " + adminKey}},
		Query: url.Values{"limit": {"1"}},
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, res.Status)
	_, err = b.server.Do(t.Context(), session, api.Request{Method: http.MethodGet, Path: "v1"})
	require.Error(t, err)
}

func TestASessionEndsWithItsKey(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) {
		c.API.Keys = append(c.API.Keys, config.APIKey{Name: "panel", Secret: config.NewSecret("the-key-of-a-person-of-the-configuration")})
	})
	id, secret := b.key(t, "", "endpoints:read")
	session, err := b.server.Login(t.Context(), "192.0.2.1", secret)
	require.NoError(t, err)
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/keys/" + id}).is(http.StatusOK)
	_, err = b.server.Renew(t.Context(), session.KeyID(), session.Fingerprint(), "192.0.2.1")
	require.Equal(t, http.StatusUnauthorized, status(t, err))
	b.advance(3 * time.Second)
	require.Equal(t, http.StatusUnauthorized, b.session(t, session, http.MethodGet, "/v1/endpoints").Status)

	// A key of the configuration that got another secret is another key, and one with other scopes
	// is not.
	person, err := b.server.Login(t.Context(), "192.0.2.1", "the-key-of-a-person-of-the-configuration")
	require.NoError(t, err)
	change := func(f func(*config.APIKey)) {
		b.mu.Lock()
		defer b.mu.Unlock()
		cfg := *b.cfg
		cfg.API.Keys = append([]config.APIKey{}, cfg.API.Keys...)
		f(&cfg.API.Keys[1])
		b.cfg = &cfg
	}
	change(func(k *config.APIKey) { k.Scopes = []string{"deliveries:read"} })
	renewed, err := b.server.Renew(t.Context(), person.KeyID(), person.Fingerprint(), "192.0.2.1")
	require.NoError(t, err)
	require.Equal(t, []string{"deliveries:read"}, renewed.Scopes())
	b.advance(6 * time.Second)
	require.Equal(t, http.StatusOK, b.session(t, person, http.MethodGet, "/v1/attempts").Status, "a session that goes on may what its key may by now")
	require.Equal(t, http.StatusForbidden, b.session(t, person, http.MethodGet, "/v1/endpoints").Status)
	change(func(k *config.APIKey) { k.Secret = config.NewSecret("another-key-of-that-name-of-the-configuration") })
	_, err = b.server.Renew(t.Context(), person.KeyID(), person.Fingerprint(), "192.0.2.1")
	require.Equal(t, http.StatusUnauthorized, status(t, err))
}

func TestLoggingInIsLimitedWithTheCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0) // the clock stands
	for range 10 {
		_, err := b.server.Login(t.Context(), "127.0.0.1", "tp_wrong")
		require.Equal(t, http.StatusUnauthorized, status(t, err))
	}
	_, err := b.server.Login(t.Context(), "127.0.0.1", "tp_wrong")
	require.Equal(t, http.StatusTooManyRequests, status(t, err))
	b.do(t, call{key: "tp_other", method: http.MethodGet, path: "/v1/endpoints"}).is(http.StatusTooManyRequests)
}

func TestWithoutKeysAProgramOfThisMachineHasASession(t *testing.T) {
	t.Parallel()
	request := func(ctx context.Context, host string) *http.Request {
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/panel/", nil)
		r.Host, r.RemoteAddr = host, "127.0.0.1:1"
		return r
	}
	b := setup(t, func(c *config.Config) { c.API.Keys = nil })
	session, err := b.server.LoginLocal(request(t.Context(), "localhost:8080"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, b.session(t, session, http.MethodGet, "/v1/endpoints").Status)
	_, err = b.server.LoginLocal(request(t.Context(), "rebound.example"))
	require.Equal(t, http.StatusForbidden, status(t, err))

	// Whom others reach knows no program of this machine from another, and does not begin without a
	// key.
	b.change(func(c *config.Config) { c.API.Listen = "192.0.2.1:8080" })
	_, err = b.server.LoginLocal(request(t.Context(), "localhost:8080"))
	require.Equal(t, http.StatusUnauthorized, status(t, err))
	b.do(t, call{method: http.MethodGet, path: "/v1/endpoints"}).is(http.StatusUnauthorized)
	_, err = api.Listen(t.Context(), &b.config().API, zerolog.Nop())
	require.ErrorContains(t, err, "add a key block")
	_, err = api.Listen(t.Context(), &config.API{Listen: "192.0.2.1:0", Keys: []config.APIKey{{Name: "admin"}}}, zerolog.Nop())
	require.ErrorContains(t, err, "assign", "an address of another machine, which a key would do for")
	b.change(func(c *config.Config) { c.API.Listen = "127.0.0.1:0" })
	listener, err := api.Listen(t.Context(), &b.config().API, zerolog.Nop())
	require.NoError(t, err)
	require.NoError(t, listener.Close())

	// The first key ends it.
	b.change(func(c *config.Config) {
		c.API.Keys = []config.APIKey{{Name: "admin", Secret: config.NewSecret(adminKey)}}
	})
	_, err = b.server.Renew(t.Context(), session.KeyID(), session.Fingerprint(), "127.0.0.1")
	require.Equal(t, http.StatusUnauthorized, status(t, err))
	_, err = b.server.LoginLocal(request(t.Context(), "localhost:8080"))
	require.Equal(t, http.StatusUnauthorized, status(t, err))
}

// The audit names the address that a session began from, however long ago that was.
func TestADeedOfASessionHasItsAddress(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusCreated).text("id")
	_, secret := b.key(t, "", "endpoints:write")
	session, err := b.server.Login(t.Context(), "192.0.2.7", secret)
	require.NoError(t, err)
	for _, deed := range []string{"pause", "resume"} {
		require.Equal(t, http.StatusOK, b.session(t, session, http.MethodPost, "/v1/endpoints/"+id+"/"+deed).Status)
		var address string
		require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT address FROM tailpost.audit WHERE action = 'endpoint.' || $1", deed).Scan(&address))
		require.Equal(t, "192.0.2.7", address, deed)
		b.advance(time.Minute)
	}
}

// TestAnOperatorMayAllAndIsNamed: who has the database anyway needs no key, and the audit names
// them.
func TestAnOperatorMayAllAndIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/keys", strings.NewReader(`{"name": "k", "scopes": ["endpoints:read"]}`))
	r.Header.Set("Content-Type", "application/json")
	b.server.ServeOperator(w, r, "cli:bob")
	require.Equal(t, http.StatusCreated, w.Code, "%s", w.Body)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action = 'key.create' AND actor = 'cli:bob'"))
}

// TestASessionSendsWhatItIsGiven, and repeats no answer of another caller's.
func TestASessionSendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	session, err := b.server.Login(t.Context(), "192.0.2.1", adminKey)
	require.NoError(t, err)
	body := map[string]any{"url": "https://a.example", "name": "mine"}
	once := http.Header{"Idempotency-Key": {"once"}}
	made := b.do(t, call{key: adminKey, method: http.MethodPost, path: "/v1/endpoints", body: body, headers: once}).is(http.StatusCreated)
	for range 2 {
		res, err := b.server.Do(t.Context(), session, api.Request{Method: http.MethodPost, Path: "/v1/endpoints", Body: body, Header: once})
		require.NoError(t, err)
		var endpoint api.Endpoint
		require.NoError(t, res.Decode(&endpoint))
		require.Equal(t, "mine", endpoint.Name)
		require.NotEqual(t, made.text("id"), endpoint.ID)
	}
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.endpoint"), "one of the session, and one of the key")
}
