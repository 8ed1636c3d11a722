package panel_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.conn.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.conn.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

// out requires that the visitor is led to the login.
func (v *visitor) out() {
	v.t.Helper()
	got := v.get("/panel/log?outcome=dead")
	require.Equal(v.t, http.StatusSeeOther, got.status)
	require.Equal(v.t, "/panel/login?next="+url.QueryEscape("log?outcome=dead"), got.header.Get("Location"))
}

// in requires that the visitor sees pages.
func (v *visitor) in() {
	v.t.Helper()
	require.Equal(v.t, http.StatusOK, v.get("/panel/log").status)
}

func TestTheRootLeadsToThePanel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := newVisitor(t, w.url)
	require.Equal(t, "/panel/", v.get("/").header.Get("Location"))
	require.Equal(t, "/panel/login", v.get("/panel/").header.Get("Location"))
	require.Equal(t, http.StatusNotFound, v.get("/elsewhere").status)
	v.login(adminKey)
	require.Equal(t, http.StatusNotFound, v.get("/panel/elsewhere").status)
}

func TestLoginOpensASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := newVisitor(t, w.url)
	v.out()
	wrong := v.login("tp_wrong")
	require.Equal(t, http.StatusUnauthorized, wrong.status)
	require.Contains(t, wrong.body, "This key is not known.")
	require.Zero(t, w.count("SELECT count(*) FROM tailpost.session"))

	got := v.login(adminKey)
	require.Equal(t, http.StatusSeeOther, got.status)
	cookie := strings.Join(got.header.Values("Set-Cookie"), "\n")
	require.Regexp(t, `(?m)^tailpost=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict$`, cookie)
	v.in()
	require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.session WHERE key_id = 'config:admin'"))
	require.Zero(t, w.count("SELECT count(*) FROM tailpost.session WHERE encode(hash, 'escape') LIKE '%' || $1 || '%'", v.cookies()["tailpost"]), "the database has the hash alone")

	// Where the connection is encrypted, the cookie stays there.
	under := newVisitor(t, w.url)
	under.header.Set("X-Forwarded-Proto", "https")
	page := under.get("/panel/login")
	require.Contains(t, page.header.Get("Set-Cookie"), "; HttpOnly; Secure; SameSite=Strict")
	login, _, _ := strings.Cut(page.header.Get("Set-Cookie"), ";")
	under.header.Set("Cookie", login)
	got = under.send(http.MethodPost, "/panel/login", url.Values{"csrf": {page.csrf(t)}, "key": {adminKey}})
	require.Regexp(t, `(?m)^__Host-tailpost=[\w-]{43}; Path=/; HttpOnly; Secure; SameSite=Strict$`, strings.Join(got.header.Values("Set-Cookie"), "\n"))
}

func TestLoginLeadsBackAndNowhereElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	for next, want := range map[string]string{
		"log?outcome=dead": "/panel/log?outcome=dead", "": "/panel/", "//evil.example": "/panel/", "https://evil.example": "/panel/", `\\evil.example`: "/panel/",
	} {
		v := newVisitor(t, w.url)
		page := v.get("/panel/login")
		got := v.send(http.MethodPost, "/panel/login", url.Values{"csrf": {page.csrf(t)}, "key": {adminKey}, "next": {next}})
		require.Equal(t, want, got.header.Get("Location"), next)
	}
}

func TestGuessingKeysIsLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := newVisitor(t, w.url)
	var last int
	for range 12 {
		last = v.login("tp_wrong").status
	}
	require.Equal(t, http.StatusTooManyRequests, last)
}

func TestASessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	t.Run("when its person logs out, whoever has the cookie", func(t *testing.T) {
		v := loggedIn(t, w, adminKey)
		kept := v.cookies()["tailpost"]
		require.Equal(t, "/panel/login", v.post("/panel/logout").header.Get("Location"))
		v.out()
		thief := newVisitor(t, w.url)
		thief.header.Set("Cookie", "tailpost="+kept)
		thief.out()
	})
	t.Run("after two hours without use", func(t *testing.T) {
		v := loggedIn(t, w, adminKey)
		w.exec("UPDATE tailpost.session SET seen_at = now() - interval '119 minutes'")
		v.in()
		require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.session WHERE seen_at > now() - interval '1 minute'"), "use is noted")
		w.exec("UPDATE tailpost.session SET seen_at = now() - interval '121 minutes'")
		v.out()
	})
	t.Run("after twelve hours in any case", func(t *testing.T) {
		v := loggedIn(t, w, adminKey)
		w.exec("UPDATE tailpost.session SET created_at = now() - interval '719 minutes'")
		v.in()
		w.exec("UPDATE tailpost.session SET created_at = now() - interval '721 minutes'")
		v.out()
	})
	t.Run("when its row is deleted", func(t *testing.T) {
		v := loggedIn(t, w, adminKey)
		w.exec("DELETE FROM tailpost.session")
		v.out()
	})
	t.Run("with its key", func(t *testing.T) {
		made := w.call(http.MethodPost, "/v1/keys", map[string]any{"name": "short-lived"})
		secret, _ := made["secret"].(string)
		id, _ := made["id"].(string)
		v := loggedIn(t, w, secret)
		v.in()
		w.call(http.MethodDelete, "/v1/keys/"+id, nil)
		v.out()
	})
	t.Run("and its row goes when the next person logs in", func(t *testing.T) {
		loggedIn(t, w, adminKey)
		w.exec("UPDATE tailpost.session SET created_at = now() - interval '13 hours'")
		loggedIn(t, w, adminKey)
		require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.session"))
	})
}

func TestALoginGetsACookieOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	planted := strings.Repeat("A", 43)
	v := newVisitor(t, w.url)
	at, err := url.Parse(w.url)
	require.NoError(t, err)
	v.client.Jar.SetCookies(at, []*http.Cookie{
		{Name: "tailpost", Value: planted, Path: "/"}, {Name: "tailpost_login", Value: planted, Path: "/"},
	})
	v.login(adminKey)
	v.in()
	require.NotEqual(t, planted, v.cookies()["tailpost"])
	attacker := newVisitor(t, w.url)
	attacker.header.Set("Cookie", "tailpost="+planted)
	attacker.out()
}

func TestALinkFromAnotherSiteNeedsNoSecondLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := newVisitor(t, w.url)
	v.header.Set("Sec-Fetch-Site", "cross-site") // and the browser keeps the cookie back
	got := v.get("/panel/log?outcome=dead")
	require.Equal(t, http.StatusOK, got.status)
	require.Contains(t, got.body, `<meta http-equiv="refresh" content="0;url=/panel/log?outcome=dead">`)
	require.Empty(t, got.header.Values("Set-Cookie"))
	v.header.Set("Sec-Fetch-Site", "same-origin")
	v.out()
}

func TestNoFormWorksFromElsewhere(t *testing.T) {
	t.Parallel()
	for name, hcl := range map[string]string{"with a key": keyedHCL, "without one": keylessHCL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hcl)
			v := newVisitor(t, w.url)
			other := newVisitor(t, w.url)
			if hcl == keyedHCL {
				v.login(adminKey)
				other.login(adminKey)
			}
			id := w.endpoint("A", "/a", nil)
			pause := "/panel/endpoints/" + id + "/confirm/pause"
			page, others := v.get("/panel/help"), other.get("/panel/help")
			theirs := others.csrf(t)
			for name, form := range map[string]url.Values{
				"without a token": {"sure": {"yes"}}, "with an empty one": {"sure": {"yes"}, "csrf": {""}}, "with that of another session": {"sure": {"yes"}, "csrf": {theirs}},
			} {
				got := v.send(http.MethodPost, pause, form)
				require.Equal(t, http.StatusForbidden, got.status, name)
				require.Contains(t, got.body, "Nothing was changed", name)
			}
			good := url.Values{"sure": {"yes"}, "csrf": {page.csrf(t)}}
			for name, header := range map[string]http.Header{
				"from another site":   {"Sec-Fetch-Site": {"cross-site"}},
				"from a sister":       {"Sec-Fetch-Site": {"same-site"}},
				"from another origin": {"Origin": {"http://evil.example"}},
			} {
				v.header = header
				require.Equal(t, http.StatusForbidden, v.send(http.MethodPost, pause, good).status, name)
			}
			v.header = make(http.Header)
			require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.endpoint WHERE status = 'active'"))
			require.Equal(t, http.StatusSeeOther, v.send(http.MethodPost, pause, good).status)
			require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.endpoint WHERE status = 'paused'"))
		})
	}
}

func TestWithoutAKeyThisMachineNeedsNoLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keylessHCL)
	v := newVisitor(t, w.url)
	require.Equal(t, http.StatusOK, v.get("/panel/").status)
	require.Equal(t, "/panel/", v.get("/panel/login").header.Get("Location"))
	// A page of another name that leads here is not this machine's.
	rebound := newVisitor(t, w.url)
	rebound.header.Set("Host", "rebound.example")
	require.Equal(t, http.StatusForbidden, rebound.get("/panel/").status)
	require.Equal(t, http.StatusForbidden, rebound.get("/panel/log").status)
}
