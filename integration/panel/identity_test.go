package panel_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestTheFormSaysWhoRequestsAreFrom: what shows a receiver who sends is written in the form, no
// page shows it again, and it stays until another is written.
func TestTheFormSaysWhoRequestsAreFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	id := w.endpoint("ERP", "/erp", nil)
	v := loggedIn(t, w, adminKey)
	edit := "/panel/endpoints/" + id + "/edit"
	sent := 0
	carries := func(want string) {
		t.Helper()
		w.call(http.MethodPost, "/v1/endpoints/"+id+"/test", map[string]any{})
		sent++
		require.Equal(t, want, w.receiver.Await(t, "/erp", sent)[sent-1].Header.Get("Authorization"))
	}
	save := func(pairs ...string) reply {
		return v.post(edit, append([]string{"act", "save", "name", "ERP", "url", w.receiver.URL("/erp")}, pairs...)...)
	}
	require.Equal(t, http.StatusSeeOther, save("auth_type", "bearer", "auth_secret", "hunter2-token").status)
	carries("Bearer hunter2-token")
	require.NotContains(t, v.get(edit).body, "hunter2")
	require.Contains(t, v.get(edit).body, "kept unless you write another")

	// A change of something else keeps it, and so does a wrong one.
	require.Equal(t, http.StatusSeeOther, save("auth_type", "bearer", "description", "renamed").status)
	carries("Bearer hunter2-token")
	wrong := save("auth_type", "basic", "auth_secret", "hunter3-password")
	require.Equal(t, http.StatusUnprocessableEntity, wrong.status)
	require.NotContains(t, wrong.body, "hunter3")
	require.Contains(t, wrong.body, "is not shown again: write it once more")
	require.Regexp(t, `id="auth_user"[^>]*><span class="wrong">`, wrong.body, "what is wrong stands where it is")
	carries("Bearer hunter2-token")

	require.Equal(t, http.StatusSeeOther, save("auth_type", "basic", "auth_user", "tailpost", "auth_secret", "hunter3-password").status)
	carries("Basic dGFpbHBvc3Q6aHVudGVyMy1wYXNzd29yZA==")
	require.Equal(t, http.StatusSeeOther, save("auth_type", "").status)
	carries("")
}

// TestTheFormHasTLSOfAnEndpoint: the key of a certificate is kept over other changes, whatever ends
// of lines the browser sends, and no page shows it.
func TestTheFormHasTLSOfAnEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := loggedIn(t, w, adminKey)
	cert, key := kit.Certificate(t)
	other, _ := kit.Certificate(t)
	made := v.post("/panel/endpoints/new", "act", "save", "name", "Bank", "url", "https://bank.example.com/in", "tls_cert", cert, "tls_key", key)
	require.Equal(t, http.StatusOK, made.status, made.body)
	var id string
	require.NoError(t, w.conn.QueryRow(t.Context(), "SELECT id FROM tailpost.endpoint").Scan(&id))
	edit := "/panel/endpoints/" + id + "/edit"
	save := func(pairs ...string) reply {
		return v.post(edit, append([]string{"act", "save", "name", "Bank", "url", "https://bank.example.com/in"}, pairs...)...)
	}
	has := func() map[string]any {
		tls, _ := w.call(http.MethodGet, "/v1/endpoints/"+id, nil)["tls"].(map[string]any)
		return tls
	}
	secretPart := strings.Split(strings.TrimSpace(key), "\n")[1]
	require.NotContains(t, v.get(edit).body, secretPart)
	browsers := strings.ReplaceAll(cert, "\n", "\r\n")
	require.Equal(t, http.StatusSeeOther, save("tls_cert", browsers).status)
	require.Equal(t, http.StatusSeeOther, save("tls_cert", browsers, "tls_ca", other).status, "the key is kept")
	require.Equal(t, strings.TrimSpace(cert), strings.TrimSpace(fmt.Sprint(has()["cert"])))
	refused := save("tls_cert", other, "tls_ca", other)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status, "another certificate has another key")
	require.Equal(t, http.StatusSeeOther, save().status)
	require.Nil(t, has())
}

// TestTheFormAsksForWhatTheAuthenticationNeeds looks at what a browser shows.
func TestTheFormAsksForWhatTheAuthenticationNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	b.open("/panel/endpoints/new")
	shown := func() string {
		return eval[string](b, `[...document.querySelectorAll('.identity .pair label')].filter(l => l.offsetParent).map(l => l.innerText.trim()).join(', ')`)
	}
	require.Equal(t, "Authentication", shown())
	for kind, want := range map[string]string{
		"basic": "Authentication, User, Password", "bearer": "Authentication, Token",
		"oauth2": "Authentication, Tokens come from, Client id, Client secret, Scopes, Audience, Id and secret go as, Signed assertion",
	} {
		b.run(chromedp.SetValue(chromedp.CSS("#auth_type"), kind))
		require.Equal(t, want, shown())
	}
	const signs = "Signed assertion, Its private key, Key id, Algorithm, Issuer, Subject, Audience of the assertion"
	b.run(chromedp.SetValue(chromedp.CSS("#auth_type"), "oauth2"), chromedp.SetValue(chromedp.CSS("#assertion_use"), "client"))
	require.Equal(t, "Authentication, Tokens come from, Client id, Scopes, Audience, "+signs, shown())
	b.run(chromedp.SetValue(chromedp.CSS("#assertion_use"), "grant"))
	require.Equal(t, "Authentication, Tokens come from, Client id, Client secret, Scopes, Audience, Id and secret go as, "+signs, shown())
	b.run(chromedp.SetValue(chromedp.CSS("#auth_type"), "bearer"))
	require.Equal(t, "Authentication, Token", shown())
}

// TestTheFormHasAnAssertion: the key that signs is kept over other changes, a wrong one is refused
// at its place, and no page shows it.
func TestTheFormHasAnAssertion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	v := loggedIn(t, w, adminKey)
	cert, key := kit.Certificate(t)
	written := []string{
		"auth_type", "oauth2", "token_url", "https://login.example.com/token", "client_id", "shop", "assertion_use", "client", "assertion_key_id", "2026",
		"assertion_algorithm", "ES256", "assertion_issuer", "our-key", "assertion_audience", "https://login.example.com",
	}
	where := []string{"act", "save", "name", "Bank", "url", "https://bank.example.com/in"}
	form := func(pairs ...string) []string { return slices.Concat(where, written, pairs) }
	refused := v.post("/panel/endpoints/new", form("assertion_key", cert)...)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Regexp(t, `field for-oauth2 for-assertion bad"><label for="assertion_key">.*It is public: write the private key`, refused.body)
	require.Contains(t, refused.body, "is not shown again: write it once more")
	made := v.post("/panel/endpoints/new", form("assertion_key", key, "auth_secret", "hunter2", "auth_style", "body")...)
	require.Equal(t, http.StatusOK, made.status, made.body)
	var id string
	require.NoError(t, w.conn.QueryRow(t.Context(), "SELECT id FROM tailpost.endpoint").Scan(&id))
	edit := "/panel/endpoints/" + id + "/edit"
	has := func() any { return w.call(http.MethodGet, "/v1/endpoints/"+id, nil)["auth"] }
	want := map[string]any{
		"type": "oauth2", "token_url": "https://login.example.com/token", "client_id": "shop",
		"assertion": map[string]any{"use": "client", "key_id": "2026", "algorithm": "ES256", "issuer": "our-key", "audience": "https://login.example.com"},
	}
	require.Equal(t, want, has())
	shown := v.get(edit).body
	require.NotContains(t, shown, strings.Split(strings.TrimSpace(key), "\n")[1])
	for _, text := range []string{`name="assertion_key_id" value="2026"`, `<option selected>ES256`, `name="assertion_issuer" value="our-key"`, `value="client" selected`} {
		require.Contains(t, shown, text)
	}
	require.Contains(t, v.get("/panel/endpoints/"+id).body, "the client signs an assertion</span>, key 2026")
	require.Equal(t, http.StatusSeeOther, v.post(edit, form("description", "renamed")...).status)
	require.Equal(t, want, has())
	other := form("assertion_subject", "shop")
	require.Equal(t, http.StatusSeeOther, v.post(edit, other...).status, "the key is kept")
	refused = v.post(edit, form("assertion_subject", "somebody")...)
	require.Regexp(t, `for-assertion bad"><label for="assertion_subject">.*Leave it out`, refused.body)
	refused = v.post(edit, slices.Concat(where, written[:6])...)
	require.Regexp(t, `bad"><label for="auth_secret">`, refused.body, "without an assertion there has to be a secret")
}
