package panel_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

const refreshURL = "https://app.example/webhooks"

// looks gives a portal a look, a frame and a way back.
func looks(c *config.Config) {
	c.Panel.Portal = config.Portal{
		Name: "Acme & Sons", Logo: config.Logo{Type: "image/svg+xml", Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)},
		Color: "#0b5d3b", FrameOrigins: []string{"https://app.example", "https://admin.example:8443"}, RefreshURL: refreshURL,
	}
}

// in requires that the visitor sees pages of the portal.
func (c *caller) in() {
	c.h.t.Helper()
	got := c.get("/portal/endpoints")
	require.Equal(c.h.t, http.StatusOK, got.status, got.body)
}

// out requires that the visitor is sent away, to where there is another link.
func (c *caller) out(to string) {
	c.h.t.Helper()
	for _, path := range []string{"/portal/endpoints", "/portal/log"} {
		got := c.get(path)
		if to == "" {
			require.Equal(c.h.t, http.StatusUnauthorized, got.status, got.body)
			require.Contains(c.h.t, got.body, "Your session has ended")
			continue
		}
		require.Equal(c.h.t, http.StatusSeeOther, got.status, got.body)
		require.Equal(c.h.t, to, got.header.Get("Location"))
	}
}

func (h *house) advance(d time.Duration) { h.ahead.Add(int64(d)) }

func TestALinkOpensThePortal(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine := h.endpoint("acme", "mine")
	at := h.link("acme", "view")
	c := h.caller("portal", "")
	c.out("")
	got := c.get(at)
	require.Equal(t, http.StatusSeeOther, got.status)
	require.Equal(t, "no-referrer", got.header.Get("Referrer-Policy"), "the address is the link")
	require.Regexp(t, `^tailpost_portal=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict$`, got.header.Get("Set-Cookie"))
	c.in()
	page := c.get("/portal/endpoints/" + mine)
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.body, "name mine")
	for _, foreign := range []string{"/panel/", "/v1/", "Copy as", "configuration", `"/events`, "undelivered"} {
		require.NotContains(t, page.body, foreign)
	}
	require.Contains(t, page.body, `<meta name="robots" content="noindex">`)

	again := h.caller("again", "")
	require.Equal(t, http.StatusSeeOther, again.get(at).status, "a link opens as often as it is followed")
	again.in()
	require.Equal(t, "2", h.text("SELECT count(*)::text FROM tailpost.session WHERE key_id LIKE 'portal:ptl_%'"))
	token := at[strings.LastIndex(at, "/")+1:]
	raw, err := base64.RawURLEncoding.DecodeString(token)
	require.NoError(t, err)
	require.Equal(t, "0", h.text(`SELECT count(*)::text FROM tailpost.portal_link AS l WHERE l::text LIKE '%' || $1 || '%'`, token), "the database has not the link")
	for i := range raw { // whoever changes it, or makes one up, has none
		raw[i] ^= 1
		require.NotEqual(t, http.StatusSeeOther, h.caller("forger", "").get("/portal/open/"+base64.RawURLEncoding.EncodeToString(raw)).status, "byte %d", i)
		raw[i] ^= 1
	}
	require.Equal(t, "0", h.text("SELECT count(*)::text FROM tailpost.api_key WHERE id LIKE 'portal:%'"))
	require.Equal(t, "1", h.text("SELECT count(*)::text FROM tailpost.portal_link WHERE last_used_at IS NOT NULL"))
}

func TestAVisitEnds(t *testing.T) { //nolint:tparallel // they move one clock
	t.Parallel()
	h := newHouse(t, looks)
	admin := h.admin()
	visit := func(body map[string]any, key string) (*caller, map[string]any) {
		made := h.caller("maker", key).made(http.MethodPost, "/v1/portal-links", body)
		c := h.caller("portal", "")
		at, _ := made["url"].(string)
		require.Equal(t, http.StatusSeeOther, c.get(strings.TrimPrefix(at, h.url)).status)
		c.in()
		return c, made
	}
	t.Run("when the link is revoked", func(t *testing.T) { //nolint:paralleltest // see above
		c, made := visit(map[string]any{"tenant": "acme"}, houseKey)
		id, _ := made["id"].(string)
		admin.made(http.MethodDelete, "/v1/portal-links/"+id, nil)
		c.out(refreshURL)
		at, _ := made["url"].(string)
		require.Equal(t, refreshURL, h.caller("late", "").get(strings.TrimPrefix(at, h.url)).header.Get("Location"), "the link opens nothing more")
	})
	t.Run("with the key that made the link", func(_ *testing.T) { //nolint:paralleltest // see above
		key := admin.made(http.MethodPost, "/v1/keys", map[string]any{"name": "app"})
		secret, _ := key["secret"].(string)
		c, _ := visit(map[string]any{"tenant": "acme"}, secret)
		id, _ := key["id"].(string)
		admin.made(http.MethodDelete, "/v1/keys/"+id, nil)
		c.out(refreshURL)
	})
	t.Run("when the key of the configuration has another secret", func(_ *testing.T) { //nolint:paralleltest // see above
		c, _ := visit(map[string]any{"tenant": "acme"}, houseKey)
		h.exec("UPDATE tailpost.portal_link SET fingerprint = 'another'")
		c.out(refreshURL)
	})
	t.Run("with a click", func(t *testing.T) { //nolint:paralleltest // see above
		c, _ := visit(map[string]any{"tenant": "acme"}, houseKey)
		got := c.send(http.MethodPost, "/portal/logout", c.form("/portal/"))
		require.Equal(t, "/portal/over", got.header.Get("Location"))
		require.Contains(t, c.get("/portal/over").body, refreshURL)
		c.out(refreshURL)
	})
	t.Run("when the link ends, and then leads to a link's own address", func(t *testing.T) { //nolint:paralleltest // see above
		c, made := visit(map[string]any{"tenant": "acme", "expires_in": "1h", "refresh_url": "https://app.example/acme?x=1"}, houseKey)
		h.advance(59 * time.Minute)
		c.in()
		form := c.form("/portal/")
		h.advance(time.Minute)
		c.out("https://app.example/acme?x=1")
		got := c.send(http.MethodPost, "/portal/logout", form)
		require.Equal(t, http.StatusUnauthorized, got.status, "a form is not sent elsewhere")
		require.Contains(t, got.body, "https://app.example/acme?x=1")
		at, _ := made["url"].(string)
		require.Equal(t, "https://app.example/acme?x=1", h.caller("late", "").get(strings.TrimPrefix(at, h.url)).header.Get("Location"))
		c.header.Set("X-Refresh", "1")
		require.Equal(t, http.StatusUnauthorized, c.get("/portal/log").status, "a script is not sent elsewhere")
		c.header.Del("X-Refresh")

		// A page leads on what one of ours asks for: a browser follows no such redirect of a form.
		c.header.Set("Sec-Fetch-Site", "same-origin")
		filtered := c.get("/portal/log?outcome=dead")
		require.Equal(t, http.StatusOK, filtered.status)
		require.Contains(t, filtered.body, `<meta http-equiv="refresh" content="0;url=https://app.example/acme?x=1">`)
	})
}

// A visitor whose link is over comes back, by another one, to the page that they were on: never to
// one of another tenant, and to nowhere else.
func TestAnotherLinkLeadsBackToWhereTheLastOneEnded(t *testing.T) {
	t.Parallel()
	h := newHouse(t, looks)
	mine := h.endpoint("acme", "mine")
	opened := func(c *caller, tenant string) string {
		got := c.get(h.link(tenant, "view", "manage_endpoints"))
		require.Equal(t, "/portal/?opened=1", got.header.Get("Location"))
		return c.get("/portal/?opened=1").header.Get("Location")
	}
	ended := func(c *caller, path string) {
		h.exec("DELETE FROM tailpost.session")
		require.Equal(t, refreshURL, c.get(path).header.Get("Location"))
	}
	for path, back := range map[string]string{
		"/portal/log?outcome=dead&type=a%26b":       "/portal/log?outcome=dead&type=a%26b",
		"/portal/endpoints/" + mine + "/edit":       "/portal/endpoints/" + mine + "/edit",
		"/portal/endpoints/" + mine + "?done=saved": "/portal/endpoints/" + mine,
		"/portal/":          "/portal/endpoints",
		"/portal/open/none": "/portal/endpoints",
		"/portal/log?search=" + strings.Repeat("x", 2000):        "/portal/endpoints",
		"/portal/catalogue/types/https:%2F%2Fevil.example%2F%5C": "/portal/catalogue/types/https:%2F%2Fevil.example%2F%5C",
	} {
		c := h.caller("portal", "")
		require.Equal(t, "/portal/endpoints", opened(c, "acme"))
		ended(c, path)
		require.Equal(t, back, opened(c, "acme"), path)
		require.Equal(t, "/portal/endpoints", opened(c, "acme"), "once")

		ended(c, path)
		require.Equal(t, "/portal/endpoints", opened(c, "other"), "it was another tenant's")
		require.Equal(t, "/portal/endpoints", opened(c, "acme"))
	}

	// A form that is sent too late was on a page.
	c := h.caller("portal", "")
	opened(c, "acme")
	form := c.form("/portal/")
	h.exec("DELETE FROM tailpost.session")
	c.header.Set("Referer", h.url+"/portal/endpoints/"+mine+"/test")
	require.Equal(t, http.StatusUnauthorized, c.send(http.MethodPost, "/portal/endpoints/"+mine+"/test", form).status)
	c.header.Del("Referer")
	require.Equal(t, "/portal/endpoints/"+mine+"/test", opened(c, "acme"))
	h.exec("DELETE FROM tailpost.session")
	c.header.Set("Referer", "https://evil.example/portal/endpoints/x")
	require.Equal(t, http.StatusUnauthorized, c.send(http.MethodPost, "/portal/logout", form).status)
	c.header.Del("Referer")
	require.Equal(t, "/portal/endpoints", opened(c, "acme"))

	// Whoever writes the cookie stays within the portal all the same.
	at, err := url.Parse(h.url)
	require.NoError(t, err)
	for _, place := range []string{"//evil.example/", "/panel/", "https://evil.example", "..%5c\\\\evil.example", "javascript://x"} {
		opened(c, "acme")
		owner := ""
		for _, cookie := range c.client.Jar.Cookies(at) {
			if cookie.Name == "tailpost_portal_place" {
				owner, _, _ = strings.Cut(cookie.Value, ".")
			}
		}
		require.NotEmpty(t, owner)
		c.client.Jar.SetCookies(at, []*http.Cookie{{Name: "tailpost_portal_place", Value: owner + "." + base64.RawURLEncoding.EncodeToString([]byte(place)), Path: "/"}})
		require.Equal(t, "/portal/endpoints", opened(c, "acme"), place)
	}
}

// TestCookiesThatAreOffEndNoWhere: where the browser keeps no cookie, the visitor is told, and not
// sent back and forth.
func TestCookiesThatAreOffEndNoWhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, looks)
	c := h.caller("portal", "")
	c.client.Jar = nil
	got := c.get(h.link("acme"))
	require.Equal(t, http.StatusSeeOther, got.status)
	next := c.get(got.header.Get("Location"))
	require.Equal(t, http.StatusUnauthorized, next.status)
	require.Contains(t, next.body, "Cookies are needed")
}

// TestNoCookieOpensTheOtherSite: a session of the portal is none of the panel, whatever its cookie
// is called, and the other way round.
func TestNoCookieOpensTheOtherSite(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	visitor, admin := h.visitor("acme", "view", "resend", "manage_endpoints", "manage_secrets"), h.loggedIn("admin", houseKey)
	at, err := url.Parse(h.url)
	require.NoError(t, err)
	portal, panel := visitor.client.Jar.Cookies(at)[0], admin.client.Jar.Cookies(at)[0]
	require.Equal(t, []string{"tailpost_portal", "tailpost"}, []string{portal.Name, panel.Name})
	for _, path := range []string{"/panel/", "/panel/log", "/panel/endpoints", "/panel/events"} {
		thief := h.caller("thief", "")
		thief.header.Set("Cookie", "tailpost="+portal.Value+"; tailpost_portal="+portal.Value)
		got := thief.get(path)
		require.Equal(t, http.StatusSeeOther, got.status, got.body)
		require.Contains(t, got.header.Get("Location"), "/panel/login")
	}
	thief := h.caller("thief", "")
	thief.header.Set("Cookie", "tailpost="+panel.Value+"; tailpost_portal="+panel.Value)
	thief.out("")
	require.Equal(t, http.StatusUnauthorized, visitor.get("/v1/endpoints").status, "the API knows no cookie")
	thief.header.Set("Authorization", "Bearer "+portal.Value)
	require.Equal(t, http.StatusUnauthorized, thief.get("/v1/endpoints").status)
	for _, path := range []string{"/portal/events", "/portal/undelivered", "/portal/keys", "/portal/audit", "/portal/relay", "/portal/replays", "/portal/portal-links", "/portal/find?q=x"} {
		require.Equal(t, http.StatusNotFound, visitor.get(path).status, path)
	}
}

// TestCapabilities tries every act of the portal with every capability.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.exec(`INSERT INTO public.outbox (id, type, tenant, payload) VALUES ('018f0000-0000-7000-8000-000000000001', 'order.created', 'acme', '{}')`)
	type act struct {
		path string // %s stands for an endpoint
		form []string
	}
	acts := map[string]act{
		"make an endpoint": {"endpoints/new", []string{"url", "https://example.com/a"}},
		"change one":       {"endpoints/%s/edit", []string{"url", "https://example.com/b", "act", "save"}},
		"test one":         {"endpoints/%s/test", nil},
		"pause one":        {"endpoints/%s/confirm/pause", []string{"sure", "yes"}},
		"delete one":       {"endpoints/%s/confirm/delete", []string{"sure", "yes", "name", "name mine"}},
		"rotate a secret":  {"endpoints/%s/confirm/rotate-secret", []string{"sure", "yes", "grace", "1h"}},
		"resend":           {"attempt/resend", []string{"event", "018f0000-0000-7000-8000-000000000001", "endpoint", "%s", "back", "log"}},
	}
	manage := []string{"make an endpoint", "change one", "test one", "pause one", "delete one"}
	for capability, allowed := range map[string][]string{
		"view": nil, "resend": {"resend"}, "manage_endpoints": manage, "manage_secrets": {"rotate a secret"},
	} {
		c := h.visitor("acme", capability)
		for name, a := range acts {
			id := h.endpoint("acme", "mine")
			h.attempt(id, "018f0000-0000-7000-8000-000000000001", "acme", "mine")
			form := c.form("/portal/")
			for i := 0; i+1 < len(a.form); i += 2 {
				form.Set(a.form[i], strings.ReplaceAll(a.form[i+1], "%s", id))
			}
			got := c.send(http.MethodPost, "/portal/"+strings.ReplaceAll(a.path, "%s", id), form)
			want := false
			for _, one := range allowed {
				want = want || one == name
			}
			if want {
				require.Less(t, got.status, 400, "%s: %s: %s", capability, name, got.body)
			} else {
				require.Equal(t, http.StatusForbidden, got.status, "%s: %s: %s", capability, name, got.body)
			}
		}
		id := h.endpoint("acme", "mine")
		page := c.get("/portal/endpoints/" + id).body
		require.Equal(t, capability == "manage_secrets", strings.Contains(page, "Rotate secret"), "%s is offered what it may", capability)
		require.Equal(t, capability == "manage_endpoints", strings.Contains(page, ">Edit</a>"), capability)
		require.Equal(t, capability == "manage_endpoints", strings.Contains(c.get("/portal/endpoints").body, "New endpoint"), capability)
	}
	require.Equal(t, "0", h.text("SELECT count(*)::text FROM tailpost.audit WHERE actor LIKE 'portal:%' AND tenant IS DISTINCT FROM 'acme'"))
	require.NotEqual(t, "0", h.text("SELECT count(*)::text FROM tailpost.audit WHERE actor LIKE 'portal:%'"), "what visitors change is on record")
}

func TestWhoMayFrameThePortal(t *testing.T) {
	t.Parallel()
	h, plain := newHouse(t, looks), newHouse(t, nil)
	c := h.visitor("acme")
	got := c.get("/portal/endpoints")
	require.Contains(t, got.header.Get("Content-Security-Policy"), "frame-ancestors https://app.example https://admin.example:8443")
	require.NotContains(t, got.header.Get("Content-Security-Policy"), "unsafe")
	require.Empty(t, got.header.Get("X-Frame-Options"), "it knows no list")
	for _, other := range []reply{plain.visitor("acme").get("/portal/endpoints"), h.loggedIn("admin", houseKey).get("/panel/")} {
		require.Contains(t, other.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.Equal(t, "DENY", other.header.Get("X-Frame-Options"))
	}
	// Within a frame of another site only such a cookie is sent.
	under := h.caller("portal", "")
	under.header.Set("X-Forwarded-Proto", "https")
	require.Regexp(t, `^__Host-tailpost_portal=[\w-]{43}; Path=/; HttpOnly; Secure; SameSite=None; Partitioned$`, under.get(h.link("acme")).header.Get("Set-Cookie"))
	under = plain.caller("portal", "")
	under.header.Set("X-Forwarded-Proto", "https")
	require.Regexp(t, `; HttpOnly; Secure; SameSite=Strict$`, under.get(plain.link("acme")).header.Get("Set-Cookie"), "where nobody may frame it, no other site sends it")
	login := h.caller("login", "")
	login.header.Set("X-Forwarded-Proto", "https")
	require.Regexp(t, `; Secure; SameSite=Strict$`, login.get("/panel/login").header.Get("Set-Cookie"))
}

// TestALinkIsOfTheSchemeThatThePanelIsReachedBy, also behind a proxy that speaks TLS.
func TestALinkIsOfTheSchemeThatThePanelIsReachedBy(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	require.Contains(t, h.loggedIn("admin", houseKey).portalLink("acme"), h.url+"/portal/open/")
	behind := h.caller("admin behind a proxy", "")
	behind.header.Set("X-Forwarded-Proto", "https")
	behind.client.Jar = nil // it keeps what is for https alone from a server without
	page := behind.get("/panel/login")
	behind.keepCookie(page)
	behind.keepCookie(behind.send(http.MethodPost, "/panel/login", url.Values{"csrf": {formToken.FindStringSubmatch(page.body)[1]}, "key": {houseKey}}))
	require.Contains(t, behind.portalLink("acme"), "https://"+strings.TrimPrefix(h.url, "http://")+"/portal/open/")
}

// keepCookie sends the last cookie of an answer with every request from now on.
func (c *caller) keepCookie(answer reply) {
	c.h.t.Helper()
	cookies := answer.header.Values("Set-Cookie")
	require.NotEmpty(c.h.t, cookies, answer.body)
	cookie, _, _ := strings.Cut(cookies[len(cookies)-1], ";")
	c.header.Set("Cookie", cookie)
}

// portalLink is what the panel shows of a link that it makes.
func (c *caller) portalLink(tenant string) string {
	c.h.t.Helper()
	nonce := regexp.MustCompile(`name="nonce" value="([^"]+)"`).FindStringSubmatch(c.get("/panel/portal-links").body)
	require.NotNil(c.h.t, nonce)
	got := c.send(http.MethodPost, "/panel/portal-links", c.form("/panel/", "nonce", nonce[1], "tenant", tenant, "life", "1h"))
	require.Equal(c.h.t, http.StatusOK, got.status, got.body)
	_, link, _ := strings.Cut(got.body, `id="link-text">`)
	link, _, _ = strings.Cut(link, "<")
	return link
}

func TestThePortalLooksLikeItsOwner(t *testing.T) {
	t.Parallel()
	h := newHouse(t, looks)
	c := h.visitor("acme")
	page := c.get("/portal/endpoints").body
	require.Contains(t, page, "Acme &amp; Sons")
	require.NotContains(t, page, "Tailpost")
	require.Regexp(t, `<link rel="stylesheet" href="/portal/theme.css\?\w+">`, page)
	require.Regexp(t, `<img src="/portal/logo\?\w+" alt="" class="logo">`, page)
	theme := c.get("/portal/theme.css")
	require.Equal(t, "text/css; charset=utf-8", theme.header.Get("Content-Type"))
	require.Contains(t, theme.body, "--accent: #0b5d3b;")
	require.Contains(t, theme.body, `:root[data-theme="dark"] { --accent: `+config.Lighter("#0b5d3b"))
	logo := c.get("/portal/logo")
	require.Equal(t, "image/svg+xml", logo.header.Get("Content-Type"))
	require.Contains(t, logo.header.Get("Content-Security-Policy"), "sandbox", "a drawing runs nothing")
	require.NotContains(t, h.loggedIn("admin", houseKey).get("/panel/").body, "theme.css")
}

// TestFormsOfThePortalNeedTheirToken: the cookie of a portal that is framed is sent from anywhere.
func TestFormsOfThePortalNeedTheirToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, looks)
	c, other := h.visitor("acme", "manage_endpoints"), h.visitor("acme", "manage_endpoints")
	id := h.endpoint("acme", "mine")
	pause := "/portal/endpoints/" + id + "/confirm/pause"
	for name, form := range map[string]url.Values{
		"without a token": {"sure": {"yes"}}, "with that of another visit": other.form("/portal/", "sure", "yes"),
	} {
		require.Equal(t, http.StatusForbidden, c.send(http.MethodPost, pause, form).status, name)
	}
	good := c.form("/portal/", "sure", "yes")
	c.header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, c.send(http.MethodPost, pause, good).status)
	c.header.Set("Sec-Fetch-Site", "same-origin")
	require.Equal(t, "active", h.text("SELECT status FROM tailpost.endpoint WHERE id = $1", id))
	require.Equal(t, http.StatusSeeOther, c.send(http.MethodPost, pause, good).status)
	require.Equal(t, "paused", h.text("SELECT status FROM tailpost.endpoint WHERE id = $1", id))
}

// TestTheOperatorMakesLinks makes one in the panel, follows it, and revokes it there.
func TestTheOperatorMakesLinks(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin := h.loggedIn("admin", houseKey)
	form := admin.form("/panel/", "tenant", "acme", "capability", "resend", "life", "1h", "nonce", "n")
	made := admin.send(http.MethodPost, "/panel/portal-links", form)
	require.Equal(t, http.StatusOK, made.status, made.body)
	_, rest, found := strings.Cut(made.body, `<code id="link-text">`+h.url)
	require.True(t, found, made.body)
	at, _, _ := strings.Cut(rest, "<")
	c := h.caller("portal", "")
	require.Equal(t, http.StatusSeeOther, c.get(at).status)
	c.in()
	h.advance(time.Minute)
	late := admin.send(http.MethodPost, "/panel/portal-links", form)
	require.Equal(t, http.StatusSeeOther, late.status, "the page that is loaded again does not show it")
	page := admin.get("/panel/portal-links")
	require.NotContains(t, page.body, at)
	require.Contains(t, page.body, "resend")
	id := h.text("SELECT id FROM tailpost.portal_link")
	require.Equal(t, http.StatusSeeOther, admin.send(http.MethodPost, "/panel/portal-links/"+id+"/delete", admin.form("/panel/")).status)
	c.out("")
}

// TestAVisitorIsToldWhereAnExpressionIsInTheWay: what the portal asks for is no field that a
// visitor could leave out.
func TestAVisitorIsToldWhereAnExpressionIsInTheWay(t *testing.T) {
	t.Parallel()
	c := newHouse(t, nil).visitor("acme", "view", "manage_endpoints")
	got := c.send(http.MethodPost, "/portal/endpoints/new", c.form("/portal/", "name", "Shop", "url", "https://shop.example/in/${event.key}"))
	require.Equal(t, http.StatusUnprocessableEntity, got.status)
	require.Regexp(t, `field bad"><label for="url">.*<span class="wrong" id="url-wrong">Write it without \$\{…\}: your receiver is first asked`, got.body)
}
