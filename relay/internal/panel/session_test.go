package panel_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// isOnePage requires that nothing follows a page that turns somebody away.
func (r *reply) isOnePage(t *testing.T) {
	t.Helper()
	require.True(t, strings.HasSuffix(strings.TrimSpace(r.body), "</html>"), r.body)
	require.Equal(t, 1, strings.Count(r.body, "</html>"))
	require.NotContains(t, r.body, "/panel/logout")
}

// TestASessionOfThePanelEnds: when nobody used it for two hours, after twelve of them whoever uses
// it, with a click, and with its key. A page that brings itself up to date is not use.
func TestASessionOfThePanelEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	in := func(c *caller, says string) {
		t.Helper()
		require.Equal(t, http.StatusOK, c.get("/panel/log").status, says)
	}
	out := func(c *caller, says string) {
		t.Helper()
		got := c.get("/panel/log?outcome=dead")
		require.Equal(t, http.StatusSeeOther, got.status, says)
		require.Equal(t, "/panel/login?next=log%3Foutcome%3Ddead", got.header.Get("Location"), says)
	}
	admin := h.loggedIn("admin", houseKey)
	for range 6 { // eleven hours and a half
		h.advance(115 * time.Minute)
		in(admin, "it was used within two hours")
	}
	h.advance(31 * time.Minute)
	out(admin, "it is older than twelve hours")
	require.Equal(t, "0", h.text("SELECT count(*)::text FROM tailpost.session"), "nothing is left of it")

	idle := h.loggedIn("idle", houseKey)
	h.advance(time.Hour)
	idle.header.Set("X-Refresh", "1")
	in(idle, "a script asks")
	idle.header.Del("X-Refresh")
	h.advance(time.Hour)
	form := url.Values{"csrf": {"any"}}
	require.Equal(t, "/panel/login", idle.send(http.MethodPost, "/panel/theme", form).header.Get("Location"), "a form is no page to come back to")
	out(idle, "nobody used it for two hours")
	idle.header.Set("Accept", "text/event-stream")
	stream := idle.get("/panel/log/stream")
	require.Equal(t, []any{http.StatusUnauthorized, "The session is over.\n"}, []any{stream.status, stream.body}, "a script is not led to a page")

	made := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "mine"})
	secret, _ := made["secret"].(string)
	id, _ := made["id"].(string)
	owner, thief := h.loggedIn("owner", secret), h.caller("thief", "")
	at, err := url.Parse(h.url)
	require.NoError(t, err)
	thief.header.Set("Cookie", "tailpost="+owner.client.Jar.Cookies(at)[0].Value)
	in(thief, "whoever has the cookie is the person")
	left := owner.send(http.MethodPost, "/panel/logout", owner.form("/panel/"))
	require.Equal(t, "/panel/login", left.header.Get("Location"))
	require.Regexp(t, `^tailpost=; .*Max-Age=0`, left.header.Get("Set-Cookie"))
	out(thief, "the person logged out")

	owner = h.loggedIn("owner", secret)
	deletes := owner.send(http.MethodPost, "/panel/keys/"+id+"/delete", owner.form("/panel/", "sure", "yes"))
	require.Equal(t, "/panel/login", deletes.header.Get("Location"), "it was the key of this session")
	out(owner, "its key is gone")
}

// TestALoginIsForKeysThatAreThere: a wrong one is told so and opens nothing, a right one leads to
// where the person was going, and a link on another site needs no second login.
func TestALoginIsForKeysThatAreThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.caller("visitor", "")
	page := c.get("/panel/login?next=log%3Foutcome%3Ddead").body
	form := formOf(page)
	require.Equal(t, "log?outcome=dead", form.Get("next"))
	form.Set("key", "wrong")
	wrong := c.send(http.MethodPost, "/panel/login", form)
	require.Equal(t, http.StatusUnauthorized, wrong.status)
	wrong.isOnePage(t)
	require.Contains(t, wrong.body, `<div class="note bad" role="alert">`)
	require.Equal(t, "log?outcome=dead", formOf(wrong.body).Get("next"), "a second try leads there too")
	require.Equal(t, http.StatusSeeOther, c.get("/panel/").status)
	form.Set("key", " "+houseKey+"\n")
	require.Equal(t, "/panel/log?outcome=dead", c.send(http.MethodPost, "/panel/login", form).header.Get("Location"), "as it was pasted")
	require.Equal(t, http.StatusOK, c.get("/panel/").status)

	foreign := h.caller("from a mail", "")
	foreign.header.Set("Sec-Fetch-Site", "cross-site")
	got := foreign.get("/panel/log?a=1&b=2")
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, `content="0;url=/panel/log?a=1&amp;b=2"`, "the browser asks again, with the cookie that it kept back")
	got.isOnePage(t)
	require.Equal(t, http.StatusSeeOther, foreign.send(http.MethodPost, "/panel/theme", url.Values{}).status, "a form from there is nobody's")
}

// TestADatabaseThatIsAwayEndsNoSession: whoever visits meanwhile is told to come again, and is
// still logged in then.
func TestADatabaseThatIsAwayEndsNoSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	admin, guest, next, at := h.loggedIn("admin", houseKey), h.visitor("acme"), h.caller("next", ""), h.link("acme")
	form := formOf(next.get("/panel/login").body)
	form.Set("key", houseKey)
	away := func(got reply) {
		t.Helper()
		require.Equal(t, http.StatusServiceUnavailable, got.status)
		require.Equal(t, "5", got.header.Get("Retry-After"))
		require.Contains(t, got.body, "The database cannot be used")
		got.isOnePage(t)
		require.Empty(t, got.header.Values("Set-Cookie"), "no cookie is taken away or given")
	}
	h.exec("ALTER TABLE tailpost.session RENAME TO away")
	away(admin.get("/panel/"))
	away(guest.get("/portal/endpoints"))
	away(next.send(http.MethodPost, "/panel/login", form))
	away(guest.get(at))
	h.exec("ALTER TABLE tailpost.away RENAME TO session")
	require.Equal(t, http.StatusOK, admin.get("/panel/").status)
	guest.in()
	require.Equal(t, http.StatusSeeOther, next.send(http.MethodPost, "/panel/login", form).status)
}

// TestWithoutAKeyOnlyThisMachineIsLetIn, by no proxy and under no name of somebody else's.
func TestWithoutAKeyOnlyThisMachineIsLetIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *config.Config) { c.API.Keys = nil })
	c := h.caller("person", "")
	login := c.get("/panel/login")
	require.Equal(t, "/panel/", login.header.Get("Location"), "there is nothing to log in with")
	require.NotContains(t, login.body, "API key")
	page := c.get("/panel/")
	require.Equal(t, http.StatusOK, page.status)
	require.NotContains(t, page.body, "Log out")
	require.Equal(t, http.StatusForbidden, c.send(http.MethodPost, "/panel/theme", url.Values{"theme": {"dark"}}).status, "a form needs its token all the same")
	require.Equal(t, http.StatusSeeOther, c.send(http.MethodPost, "/panel/theme", c.form("/panel/", "theme", "dark")).status)
	c.header.Set("X-Forwarded-For", "203.0.113.9")
	got := c.get("/panel/log")
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "this request came through a proxy")
	got.isOnePage(t)

	h.cfg.API.Listen = "0.0.0.0:0"
	c.header.Del("X-Forwarded-For")
	require.Equal(t, http.StatusSeeOther, c.get("/panel/log").status, "others reach it: a login is needed")
	require.Equal(t, http.StatusOK, c.get("/panel/login").status)
}
