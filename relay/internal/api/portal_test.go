package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/api"
)

func createLinks(t *testing.T, b *bundle, key string, body map[string]any) *answer {
	t.Helper()
	return b.do(t, call{key: key, method: http.MethodPost, path: "/v1/portal-links", body: body})
}

func TestPortalLinks(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := createLinks(t, b, adminKey, map[string]any{"tenant": "acme", "capabilities": []string{"resend"}}).is(http.StatusCreated)
	require.Equal(t, []any{"view", "resend"}, made.at("capabilities"), "every link has view")
	require.True(t, strings.HasPrefix(made.text("url"), b.http.URL+"/portal/open/"))
	ends, err := time.Parse(time.RFC3339, made.text("expires_at"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), ends, time.Minute)
	list := b.get(t, "/v1/portal-links").is(http.StatusOK)
	require.Equal(t, made.at("id"), list.at("data.0.id"))
	require.NotContains(t, string(list.Body), "/portal/open/", "the link is shown once")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action = 'portal_link.create' AND tenant = 'acme' AND NOT after ? 'url'"))

	for name, body := range map[string]map[string]any{
		"too short": {"tenant": "acme", "expires_in": "59m59s"}, "too long": {"tenant": "acme", "expires_in": "168h1s"}, "no duration": {"tenant": "acme", "expires_in": "a day"},
		"no tenant": {}, "an unknown capability": {"tenant": "acme", "capabilities": []string{"everything"}},
		"a script": {"tenant": "acme", "refresh_url": "javascript:alert(1)"}, "plain http": {"tenant": "acme", "refresh_url": "http://app.example"},
	} {
		require.Equal(t, http.StatusUnprocessableEntity, createLinks(t, b, adminKey, body).Status, name)
	}
	for _, life := range []string{"1h", "168h"} {
		createLinks(t, b, adminKey, map[string]any{"tenant": "acme", "expires_in": life}).is(http.StatusCreated)
	}

	// Where visitors reach the address otherwise, the file says so.
	b.change(func(c *config.Config) { c.Panel.Portal.URL = "https://hooks.example.com/" })
	elsewhere := createLinks(t, b, adminKey, map[string]any{"tenant": "acme"}).is(http.StatusCreated)
	require.True(t, strings.HasPrefix(elsewhere.text("url"), "https://hooks.example.com/portal/open/"))

	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/portal-links/" + made.text("id")}).is(http.StatusOK)
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/portal-links/" + made.text("id")}).is(http.StatusNotFound)
	b.exec(t, "UPDATE tailpost.portal_link SET expires_at = now() - interval '1 second'")
	require.Empty(t, b.get(t, "/v1/portal-links").is(http.StatusOK).list("data"), "those that are over are not listed")
	createLinks(t, b, adminKey, map[string]any{"tenant": "acme"}).is(http.StatusCreated)
	require.Equal(t, 4, b.count(t, "SELECT count(*) FROM tailpost.portal_link"), "but tell for a while where their visitors go")
	b.exec(t, "UPDATE tailpost.portal_link SET expires_at = now() - interval '8 days'")
	createLinks(t, b, adminKey, map[string]any{"tenant": "acme"}).is(http.StatusCreated)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.portal_link"), "and go in the end")
}

// TestLinksGiveNoMoreThanTheirMakerHas: when it is made, and as long as it lasts.
func TestLinksGiveNoMoreThanTheirMakerHas(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, blind := b.key(t, "", "portal:write", "endpoints:read", "deliveries:read")
	createLinks(t, b, blind, map[string]any{"tenant": "acme"}).is(http.StatusForbidden)
	_, views := b.key(t, "", "portal:write", "endpoints:read", "deliveries:read", "payloads:read")
	createLinks(t, b, views, map[string]any{"tenant": "acme"}).is(http.StatusCreated)
	for _, capability := range []string{"resend", "manage_endpoints", "manage_secrets"} {
		refused := createLinks(t, b, views, map[string]any{"tenant": "acme", "capabilities": []string{capability}}).is(http.StatusForbidden)
		require.Contains(t, refused.text("errors.0.detail"), capability)
	}
	_, keys := b.key(t, "", "keys:write", "endpoints:write", "deliveries:write", "payloads:read")
	createLinks(t, b, keys, map[string]any{"tenant": "acme"}).is(http.StatusForbidden)
	_, acme := b.key(t, "acme")
	createLinks(t, b, acme, map[string]any{"tenant": "other"}).is(http.StatusUnprocessableEntity)
	require.Equal(t, "acme", createLinks(t, b, acme, map[string]any{}).is(http.StatusCreated).at("tenant"))

	// What the maker loses, its links lose.
	made := createLinks(t, b, adminKey, map[string]any{"tenant": "acme", "capabilities": []string{"resend", "manage_endpoints"}}).is(http.StatusCreated)
	token := made.text("url")[strings.LastIndex(made.text("url"), "/")+1:]
	session, err := b.server.OpenLink(t.Context(), "192.0.2.1", token)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"endpoints:read", "deliveries:read", "payloads:read", "deliveries:write", "endpoints:write"}, session.Scopes())
	require.False(t, session.May("secrets:write"), "to manage endpoints is not to manage secrets")
	b.change(func(c *config.Config) {
		c.API.Keys[0].Scopes = []string{"portal:write", "endpoints:read", "deliveries:read"}
	})
	session, err = b.server.OpenLink(t.Context(), "192.0.2.1", token)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"endpoints:read", "deliveries:read"}, session.Scopes())
	b.change(func(c *config.Config) { c.API.Keys[0].Scopes = config.Scopes(); c.API.Keys[0].Tenant = "other" })
	_, err = b.server.OpenLink(t.Context(), "192.0.2.1", token)
	require.Equal(t, http.StatusUnauthorized, status(t, err), "its maker is another tenant's by now")
	b.change(func(c *config.Config) { c.API.Keys[0].Tenant = ""; c.API.Keys[0].Scopes = []string{"endpoints:write"} })
	_, err = b.server.OpenLink(t.Context(), "192.0.2.1", token)
	require.Equal(t, http.StatusUnauthorized, status(t, err), "its maker may make no links by now")
}

// linkToken is what a visitor has of a link that was made.
func linkToken(made *answer) string {
	url := made.text("url")
	return url[strings.LastIndex(url, "/")+1:]
}

// TestALinkIsGoodUntilItIsOver: or until its maker has another secret. Who came by it then goes
// where the link says, or the configuration.
func TestALinkIsGoodUntilItIsOver(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, acme := b.key(t, "acme")
	const fallback, back = "https://app.example/links", "https://app.example/acme"
	b.change(func(c *config.Config) { c.Panel.Portal.RefreshURL = fallback })
	over := func(why string, end func()) {
		made := createLinks(t, b, acme, map[string]any{"refresh_url": back}).is(http.StatusCreated)
		session, err := b.server.OpenLink(t.Context(), "192.0.2.1", linkToken(made))
		require.NoError(t, err, "that of a key with a tenant is its tenant's")
		require.Equal(t, session.KeyID(), b.server.LinkOf(linkToken(made)))
		end()
		_, err = b.server.OpenLink(t.Context(), "192.0.2.1", linkToken(made))
		require.Equal(t, http.StatusUnauthorized, status(t, err), why)
		_, err = b.server.Renew(t.Context(), session.KeyID(), session.Fingerprint(), "192.0.2.1")
		require.Equal(t, http.StatusUnauthorized, status(t, err), "a session of one that is over: %s", why)
		require.Equal(t, back, b.server.RefreshURL(t.Context(), b.server.LinkOf(linkToken(made))), why)
	}
	over("its row says so", func() { b.exec(t, "UPDATE tailpost.portal_link SET expires_at = now() - interval '1 second'") })
	over("its key has another secret", func() { b.exec(t, "UPDATE tailpost.api_key SET hash = 'another' WHERE tenant = 'acme'") })
	_, acme = b.key(t, "acme")
	over("its time has come", func() { b.advance(25 * time.Hour) })

	require.Empty(t, b.server.LinkOf("nothing"))
	require.Equal(t, fallback, b.server.RefreshURL(t.Context(), b.server.LinkOf("nothing")))
	plain := createLinks(t, b, adminKey, map[string]any{"tenant": "acme"}).is(http.StatusCreated)
	require.Equal(t, fallback, b.server.RefreshURL(t.Context(), b.server.LinkOf(linkToken(plain))))
}

// TestALinkHasTheSchemeOfTheCall: a proxy that ends TLS says so.
func TestALinkHasTheSchemeOfTheCall(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for forwarded, want := range map[string]string{"": "http://", "http": "http://", "https": "https://"} {
		made := b.do(t, call{
			key: adminKey, method: http.MethodPost, path: "/v1/portal-links", body: map[string]any{"tenant": "acme"},
			headers: http.Header{"X-Forwarded-Proto": {forwarded}},
		}).is(http.StatusCreated)
		require.True(t, strings.HasPrefix(made.text("url"), want), "%q: %s", forwarded, made.text("url"))
	}
}

// TestLinksNeedASealingKey: without one nothing could be signed.
func TestLinksNeedASealingKey(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Secrets.Keys = nil })
	refused := createLinks(t, b, adminKey, map[string]any{"tenant": "acme"}).is(http.StatusConflict)
	require.Contains(t, refused.text("detail"), "sealing key")
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.portal_link"))
}

// TestRotatingHasAScope: for keys it is part of writing endpoints.
func TestRotatingHasAScope(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	for want, scopes := range map[int][]string{
		http.StatusOK: {"secrets:write"}, http.StatusForbidden: {"endpoints:read", "deliveries:write"},
	} {
		_, key := b.key(t, "", scopes...)
		b.do(t, call{key: key, method: http.MethodPost, path: "/v1/endpoints/" + id + "/rotate-secret"}).is(want)
	}
	_, writer := b.key(t, "", "endpoints:write")
	b.do(t, call{key: writer, method: http.MethodPost, path: "/v1/endpoints/" + id + "/rotate-secret"}).is(http.StatusOK)
	_, rotator := b.key(t, "", "secrets:write")
	b.do(t, call{key: rotator, method: http.MethodPost, path: "/v1/endpoints/" + id + "/pause"}).is(http.StatusForbidden)
}

// TestWhatVisitorsMakeHasToShowThatItWantsEvents: as the portal's configuration says, also where
// they move an endpoint to another host, and they do not take back what is asked of one.
func TestWhatVisitorsMakeHasToShowThatItWantsEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := createLinks(t, b, adminKey, map[string]any{"tenant": "acme", "capabilities": []string{"manage_endpoints"}}).is(http.StatusCreated)
	session, err := b.server.OpenLink(t.Context(), "192.0.2.1", made.text("url")[strings.LastIndex(made.text("url"), "/")+1:])
	require.NoError(t, err)
	try := func(method, path string, body map[string]any) (status int, shown map[string]any) {
		t.Helper()
		text, err := json.Marshal(body)
		require.NoError(t, err)
		res, err := b.server.Do(t.Context(), session, api.Request{Method: method, Path: path, Body: text})
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(res.Body, &shown))
		return res.Status, shown
	}
	visit := func(method, path string, body map[string]any) map[string]any {
		t.Helper()
		status, shown := try(method, path, body)
		require.Less(t, status, 300, "%s", shown)
		return shown
	}
	mine := visit(http.MethodPost, "/v1/endpoints", map[string]any{"url": "https://a.example/in"})
	require.Equal(t, "echo", mine["verify"])
	require.Equal(t, true, mine["unverified"])
	id, _ := mine["id"].(string)
	path := "/v1/endpoints/" + id
	require.Equal(t, "echo", visit(http.MethodPatch, path, map[string]any{"verify": nil})["verify"], "not by whom it is asked")
	require.Equal(t, "cloudevents", visit(http.MethodPatch, path, map[string]any{"verify": "cloudevents"})["verify"])

	theirs := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{"url": "https://b.example/in", "tenant": "acme"}).is(http.StatusCreated).text("id")
	require.Nil(t, b.get(t, theirs).at("verify"), "who has a key answers for their endpoints")
	require.Nil(t, visit(http.MethodPatch, theirs, map[string]any{"url": "https://b.example/other"})["verify"])
	require.Equal(t, "echo", visit(http.MethodPatch, theirs, map[string]any{"url": "https://c.example/in"})["verify"])

	chat := visit(http.MethodPost, "/v1/endpoints", map[string]any{"url": "https://chat.example/in", "format": "slack", "events": []string{"webhook.*"}})
	require.Nil(t, chat["verify"], "a chat has no answer to a challenge")
	b.post(t, "/v1/endpoints", map[string]any{"url": "https://chat.example/in", "format": "teams", "verify": "echo", "events": []string{"webhook.*"}}).is(http.StatusUnprocessableEntity)

	// Where a visitor writes what no challenge can go to, they are told so at what they wrote.
	for pointer, written := range map[string]map[string]any{
		"#/url": {"url": "https://e.example/in/${event.key}"}, "#/query/of": {"url": "https://e.example/in", "query": map[string]any{"of": "${event.key}"}},
		"#/headers/X-Of": {"url": "https://e.example/in", "headers": map[string]any{"X-Of": "${event.key}"}},
	} {
		for path, method := range map[string]string{"/v1/endpoints": http.MethodPost, path: http.MethodPatch} {
			status, problem := try(method, path, written)
			require.Equal(t, http.StatusUnprocessableEntity, status)
			require.Len(t, problem["errors"], 1)
			require.Contains(t, fmt.Sprint(problem["errors"]), "pointer:"+pointer)
			require.Contains(t, fmt.Sprint(problem["errors"]), "Write it without ${…}: your receiver is first asked")
		}
	}
	b.change(func(c *config.Config) { c.Panel.Portal.Verify = config.VerifyNone })
	require.NotNil(t, visit(http.MethodPost, "/v1/endpoints", map[string]any{"url": "https://e.example/in/${event.key}"}))
	require.Nil(t, visit(http.MethodPost, "/v1/endpoints", map[string]any{"url": "https://d.example/in"})["verify"])
}

// TestPortalLinksAreListedByTenantAndPage, have the scheme that visitors come by, and say where
// those go whose link is over.
func TestPortalLinksAreListedByTenantAndPage(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := map[string]bool{}
	for _, tenant := range []string{"acme", "acme", "other"} {
		made[createLinks(t, b, adminKey, map[string]any{"tenant": tenant, "refresh_url": "https://app.example/again"}).is(http.StatusCreated).text("id")] = true
	}
	seen := map[string]bool{}
	next := ""
	for range made {
		page := b.get(t, "/v1/portal-links?limit=1&cursor="+next).is(http.StatusOK)
		require.Equal(t, "https://app.example/again", page.at("data.0.refresh_url"))
		seen[page.text("data.0.id")] = true
		next = page.text("next_cursor")
	}
	require.Empty(t, next)
	require.Equal(t, made, seen, "each once")
	require.Len(t, b.get(t, "/v1/portal-links?tenant=acme").is(http.StatusOK).list("data"), 2)
	_, acme := b.key(t, "acme")
	own := b.do(t, call{key: acme, method: http.MethodGet, path: "/v1/portal-links?tenant=other"}).is(http.StatusOK)
	require.Equal(t, []any{}, own.at("data"))
	secure := b.do(t, call{
		key: adminKey, method: http.MethodPost, path: "/v1/portal-links", body: map[string]any{"tenant": "acme"}, headers: http.Header{"X-Forwarded-Proto": {"https"}},
	}).is(http.StatusCreated)
	require.True(t, strings.HasPrefix(secure.text("url"), "https://"))
	for _, token := range []string{"", "?", "AAAA"} {
		_, err := b.server.OpenLink(t.Context(), "192.0.2.1", token)
		require.Equal(t, http.StatusUnauthorized, status(t, err))
		require.Empty(t, b.server.LinkOf(token))
	}
}

// TestAChatThatIsOneNoMoreHasToShowThatItWantsEvents: a visitor does not get round that by way of a
// format that holds no challenge.
func TestAChatThatIsOneNoMoreHasToShowThatItWantsEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	link := createLinks(t, b, adminKey, map[string]any{"tenant": "acme", "capabilities": []string{"manage_endpoints"}}).is(http.StatusCreated)
	session, err := b.server.OpenLink(t.Context(), "192.0.2.1", linkToken(link))
	require.NoError(t, err)
	visit := func(method, path string, body map[string]any) (shown map[string]any) {
		t.Helper()
		res, err := b.server.Do(t.Context(), session, api.Request{Method: method, Path: path, Body: body})
		require.NoError(t, err)
		require.NoError(t, res.Decode(&shown))
		return shown
	}
	const url = "https://chat.example/in"
	for method, receiver := range map[string]map[string]any{
		http.MethodPatch: {"format": "standard", "events": []string{"**"}}, http.MethodPut: {"url": url},
	} {
		chat := visit(http.MethodPost, "/v1/endpoints", map[string]any{"url": url, "format": "slack", "events": []string{"webhook.*"}})
		path := fmt.Sprint("/v1/endpoints/", chat["id"])
		require.Nil(t, visit(http.MethodPatch, path, map[string]any{"format": "teams"})["verify"], "it is a chat still")
		shown := visit(method, path, receiver)
		require.Equal(t, "echo", shown["verify"], method)
		require.Equal(t, true, shown["unverified"], method)
	}
	b.change(func(c *config.Config) { c.Panel.Portal.Verify = config.VerifyNone })
	chat := visit(http.MethodPost, "/v1/endpoints", map[string]any{"url": url, "format": "slack", "events": []string{"webhook.*"}})
	b.change(func(c *config.Config) { c.Panel.Portal.Verify = config.VerifyCloudEvents })
	shown := visit(http.MethodPatch, fmt.Sprint("/v1/endpoints/", chat["id"]), map[string]any{"description": "ours"})
	require.Nil(t, shown["verify"], "it is where it was, and what it was")
}
