package panel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
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
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

const houseKey = "an-administrator-key-of-the-configuration"

// kept is where a house keeps its sessions.
type kept struct{ *query.Store }

func (k kept) OpenSession(ctx context.Context, s panel.Session) error {
	return k.Store.OpenSession(ctx, query.Login(s))
}

func (k kept) Session(ctx context.Context, hash []byte) (panel.Session, error) {
	s, err := k.Store.Session(ctx, hash)
	if errors.Is(err, query.ErrNotFound) {
		return panel.Session{}, panel.ErrNoSession
	}
	return panel.Session(s), err
}

// house is the API, the panel and the portal over a migrated database, with a key. Nothing is
// delivered.
type house struct {
	t     *testing.T
	url   string
	conn  *pgx.Conn
	panel *panel.Panel
	cfg   *config.Config
	ahead atomic.Int64 // of the clock, in nanoseconds
}

// newHouse makes a house; change, if not nil, changes its configuration, and options what the API
// gets.
func newHouse(t *testing.T, change func(*config.Config), options ...func(*api.Options)) *house {
	t.Helper()
	db := pgschema.NewDB(t)
	h := &house{t: t, conn: db.Conn(t)}
	_, err := schema.Migrate(t.Context(), h.conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	local := config.Network{AllowHTTP: true, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	raw := config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL)},
		API: config.API{
			Listen: "127.0.0.1:0", Network: local, Keys: []config.APIKey{{Name: "admin", Secret: config.NewSecret(houseKey)}},
		},
		Secrets: config.Secrets{Keys: []config.Secret{config.NewSecret(strings.Repeat("0a", 32))}},
	}
	if change != nil {
		change(&raw)
	}
	h.cfg, err = raw.Complete()
	require.NoError(t, err)
	st, err := query.Open(t.Context(), query.Options{URL: h.cfg.Database.URL, Owner: "test/1", Mapping: h.cfg.Outbox.Mapping})
	require.NoError(t, err)
	t.Cleanup(st.Close)
	keyring, err := seal.New(h.cfg.Secrets)
	require.NoError(t, err)
	client, err := webhook.NewClient(webhook.Options{Network: local, UserAgent: "Tailpost/test"})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	current := func() *config.Config { return h.cfg }
	o := api.Options{
		Store: st, Config: current, Keyring: func() *seal.Keyring { return keyring }, Client: func(bool) *webhook.Client { return client },
		Status: func() api.Status { return api.Status{State: "delivering", Slot: h.cfg.Database.Slot} }, Logger: zerolog.New(zerolog.NewTestWriter(t)),
		Now: h.now,
	}
	for _, option := range options {
		option(&o)
	}
	server := api.New(o)
	h.panel = panel.New(panel.Options{API: server, Sessions: kept{st}, Config: current, Logger: zerolog.New(zerolog.NewTestWriter(t)), Now: h.now})
	server.Mount(panel.Root, h.panel)
	server.Mount(panel.PortalRoot, h.panel)
	served := httptest.NewServer(server)
	t.Cleanup(served.Close)
	h.url = served.URL
	return h
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// reply is what a caller got.
type reply struct {
	status int
	header http.Header
	body   string
}

// caller is who asks: with a key, or with the cookies of a session.
type caller struct {
	h      *house
	name   string
	key    string // of the API; empty: cookies
	client *http.Client
	header http.Header // of every request
}

func (h *house) caller(name, key string) *caller {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(h.t, err)
	c := &caller{h: h, name: name, key: key, client: &http.Client{Jar: jar, CheckRedirect: stay}, header: make(http.Header)}
	h.t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// request makes a request: body is JSON, or a form where it is url.Values.
func (c *caller) request(ctx context.Context, method, path string, body any) *http.Request {
	c.h.t.Helper()
	var from io.Reader
	kind := "application/json"
	switch v := body.(type) {
	case nil:
	case url.Values:
		from, kind = strings.NewReader(v.Encode()), "application/x-www-form-urlencoded"
	default:
		text, err := json.Marshal(v)
		require.NoError(c.h.t, err)
		from = strings.NewReader(string(text))
	}
	req, err := http.NewRequestWithContext(ctx, method, c.h.url+path, from)
	require.NoError(c.h.t, err)
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	maps.Copy(req.Header, c.header)
	return req
}

func (c *caller) send(method, path string, body any) reply {
	c.h.t.Helper()
	res, err := c.client.Do(c.request(c.h.t.Context(), method, path, body))
	require.NoError(c.h.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(c.h.t, err)
	return reply{res.StatusCode, res.Header, string(text)}
}

func (c *caller) get(path string) reply {
	c.h.t.Helper()
	return c.send(http.MethodGet, path, nil)
}

// made is the answer of a call of the API that succeeds.
func (c *caller) made(method, path string, body any) map[string]any {
	c.h.t.Helper()
	got := c.send(method, path, body)
	require.Less(c.h.t, got.status, 300, "%s %s: %s", method, path, got.body)
	var answer map[string]any
	require.NoError(c.h.t, json.Unmarshal([]byte(got.body), &answer))
	return answer
}

var formToken = regexp.MustCompile(`<meta name="csrf" content="([^"]+)">`)

// form is what a form of the site under a root carries, and others, names and values in turn.
func (c *caller) form(root string, pairs ...string) url.Values {
	c.h.t.Helper()
	page := c.get(root + "help")
	found := formToken.FindStringSubmatch(page.body)
	require.NotNil(c.h.t, found, "%d %s", page.status, page.body)
	form := url.Values{"csrf": {found[1]}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return form
}

// admin is a caller with the key of the configuration.
func (h *house) admin() *caller { return h.caller("admin", houseKey) }

// loggedIn is a visitor of the panel with a key.
func (h *house) loggedIn(name, key string) *caller {
	h.t.Helper()
	c := h.caller(name, "")
	found := formToken.FindStringSubmatch(c.get("/panel/login").body)
	got := c.send(http.MethodPost, "/panel/login", url.Values{"csrf": {found[1]}, "key": {key}})
	require.Equal(h.t, http.StatusSeeOther, got.status, got.body)
	return c
}

// link makes a portal link and returns its path.
func (h *house) link(tenant string, capabilities ...string) string {
	h.t.Helper()
	made := h.admin().made(http.MethodPost, "/v1/portal-links", map[string]any{"tenant": tenant, "capabilities": capabilities})
	at, _ := made["url"].(string)
	require.True(h.t, strings.HasPrefix(at, h.url+"/portal/open/"), at)
	return strings.TrimPrefix(at, h.url)
}

// visitor is a visitor of the portal of a tenant.
func (h *house) visitor(tenant string, capabilities ...string) *caller {
	h.t.Helper()
	c := h.caller("portal of "+tenant, "")
	got := c.get(h.link(tenant, capabilities...))
	require.Equal(h.t, http.StatusSeeOther, got.status, got.body)
	require.Equal(h.t, "/portal/?opened=1", got.header.Get("Location"))
	return c
}

func (h *house) exec(sql string, args ...any) {
	h.t.Helper()
	_, err := h.conn.Exec(h.t.Context(), sql, args...)
	require.NoError(h.t, err, sql)
}

func (h *house) text(sql string, args ...any) (text string) {
	h.t.Helper()
	require.NoError(h.t, h.conn.QueryRow(h.t.Context(), sql, args...).Scan(&text), sql)
	return text
}

// endpoint makes an endpoint of a tenant, with a word in all that it says.
func (h *house) endpoint(tenant, word string) string {
	h.t.Helper()
	id, _ := h.admin().made(http.MethodPost, "/v1/endpoints", map[string]any{
		"url": "http://127.0.0.1:1/" + word, "tenant": tenant, "name": "name " + word, "description": "description " + word,
		"where": fmt.Sprintf("event.data.word == %q", word),
	})["id"].(string)
	return id
}

// attempt records an attempt of an event at an endpoint, made now.
func (h *house) attempt(endpoint, event, tenant, word string) {
	h.t.Helper()
	h.exec(`
INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, error, duration_ms, response_body,
    attempted_at, commit_lsn)
VALUES ($1, 'type.' || $4, NULLIF($3, ''), $2, 1, 'stream', 'http://127.0.0.1:1/' || $4, 'retry', 500, 'error ' || $4, 12.5, 'answer ' || $4,
    clock_timestamp(), '0/10')`, event, endpoint, tenant, word)
}
