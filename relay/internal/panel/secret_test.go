package panel_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/panel"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/seal"
)

// bundle is a panel over a migrated database, whose clock the test sets. Nothing is delivered.
type bundle struct {
	t      *testing.T
	url    string
	client *http.Client
	store  *query.Store

	mu    sync.Mutex
	ahead time.Duration
}

func (b *bundle) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.ahead)
}

func (b *bundle) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead += d
}

func setup(t *testing.T) *bundle {
	t.Helper()
	db := pgschema.NewDB(t)
	_, err := schema.Migrate(t.Context(), db.Conn(t), schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	raw := config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL)}, API: config.API{Listen: "127.0.0.1:0"},
		Secrets: config.Secrets{Keys: []config.Secret{config.NewSecret(strings.Repeat("0a", 32))}},
	}
	cfg, err := raw.Complete()
	require.NoError(t, err)
	st, err := query.Open(t.Context(), query.Options{URL: cfg.Database.URL, Owner: "test/1", Mapping: cfg.Outbox.Mapping})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	keyring, err := seal.New(cfg.Secrets)
	require.NoError(t, err)
	b := &bundle{t: t, store: st}
	current := func() *config.Config { return cfg }
	server := api.New(api.Options{
		Store: st, Config: current, Keyring: func() *seal.Keyring { return keyring }, Logger: zerolog.Nop(), Now: b.now,
		Status: func() api.Status { return api.Status{State: "delivering", Slot: cfg.Database.Slot} },
	})
	server.Mount(panel.Root, panel.New(panel.Options{API: server, Config: current, Logger: zerolog.Nop(), Now: b.now}))
	served := httptest.NewServer(server)
	t.Cleanup(served.Close)
	b.url = served.URL
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	b.client = served.Client()
	b.client.Jar, b.client.CheckRedirect = jar, stay
	return b
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (b *bundle) send(method, path string, form url.Values) (status int, header http.Header, body string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.client.Do(req)
	require.NoError(b.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return res.StatusCode, res.Header, string(text)
}

var (
	hidden = regexp.MustCompile(`name="(csrf|nonce)" (?:content|value)="([^"]+)"`)
	secret = regexp.MustCompile(`<code id="secret-text">([^<]+)</code>`)
)

// form is a page's hidden fields and others, names and values in turn.
func (b *bundle) form(path string, pairs ...string) url.Values {
	b.t.Helper()
	status, _, body := b.send(http.MethodGet, path, nil)
	require.Equal(b.t, http.StatusOK, status)
	form := make(url.Values)
	for _, found := range hidden.FindAllStringSubmatch(body, -1) {
		form.Set(found[1], found[2])
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// TestASecretIsShownOnce sends the form again, as a double click does, and later, as a browser that
// loads the page once more.
func TestASecretIsShownOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sendTwice := func(path string, form url.Values, prefix, again string) {
		_, _, first := b.send(http.MethodPost, path, form)
		shown := secret.FindStringSubmatch(first)
		require.NotNil(t, shown, first)
		require.True(t, strings.HasPrefix(shown[1], prefix), shown[1])
		_, _, second := b.send(http.MethodPost, path, form)
		require.Equal(t, shown, secret.FindStringSubmatch(second), "a double click shows what the first click made")
		b.advance(time.Minute)
		status, header, late := b.send(http.MethodPost, path, form)
		require.Equal(t, http.StatusSeeOther, status)
		require.Regexp(t, again, header.Get("Location"))
		require.NotContains(t, late, shown[1])
	}
	sendTwice("/panel/endpoints/new", b.form("/panel/endpoints/new", "url", "https://example.com/a", "name", "A"), "whsec_", `^/panel/endpoints/ep_\w+\?done=made-before\.`)
	_, _, page := b.send(http.MethodGet, "/panel/endpoints", nil)
	ids := regexp.MustCompile(`/panel/endpoints/(ep_\w+)"`).FindAllStringSubmatch(page, -1)
	require.Len(t, ids, 1, "one endpoint was made")
	rotate := "/panel/endpoints/" + ids[0][1] + "/confirm/rotate-secret"
	sendTwice(rotate, b.form(rotate, "sure", "yes", "grace", "24h"), "whsec_", `\?done=rotated-before\.`)
	sendTwice("/panel/keys", b.form("/panel/keys", "name", "K", "scope", "endpoints:read"), "tp_", `^/panel/keys\?done=nothing-changed\.`)
}

// TestAKeyPairIsShownWithItsPublicPart, which the receiver verifies with, when it is made and when
// another one takes its place.
func TestAKeyPairIsShownWithItsPublicPart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin := h.loggedIn("admin", houseKey)
	shows := func(page reply, title string) string {
		require.Equal(t, http.StatusOK, page.status, page.body)
		require.Contains(t, page.body, "<h1>"+title+"</h1>")
		found := regexp.MustCompile(`(?s)<code id="secret-text">(whsk_[^<]+)</code>.*<code id="public-text">(whpk_[^<]+)</code>`).FindStringSubmatch(page.body)
		require.NotNil(t, found, page.body)
		return found[2]
	}
	at := "/panel/endpoints/"
	first := shows(admin.send(http.MethodPost, at+"new", admin.form("/panel/", "url", "https://example.com/a", "name", "Shop", "secret_type", "whsk")), "Shop is made")
	at += h.text("SELECT id FROM tailpost.endpoint")
	rotated := admin.send(http.MethodPost, at+"/confirm/rotate-secret", admin.form("/panel/", "sure", "yes", "grace", "24h"))
	require.NotEqual(t, first, shows(rotated, "The new secret of Shop"))
	require.Contains(t, rotated.body, "The old one signs too until <time ")
	for path, tab := range map[string]string{at: "Overview", at + "/log": "Log", at + "/test": "Test"} {
		require.Regexp(t, `(?s)<nav class="tabs" aria-label="Of this endpoint">[^\n]* aria-current="page">`+tab+`</a>`, admin.get(path).body)
	}
	dark := admin.send(http.MethodPost, "/panel/theme", admin.form("/panel/", "theme", "dark"))
	require.Regexp(t, `^tailpost_theme=dark; Path=/panel/; Max-Age=31536000; `, dark.header.Get("Set-Cookie"), "it is kept for longer than the browser runs")
	require.Contains(t, admin.get(at).body, ` data-theme="dark"`)
}
