package panel_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestTheFormOfAnEndpointHasItsAuthentication: what a person writes is what the API has, the form
// shows it again but for what is secret, which stays until another one is written, and each part
// can be changed by itself and taken away.
func TestTheFormOfAnEndpointHasItsAuthentication(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	carried := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { carried <- r.Header.Get("Authorization") }))
	t.Cleanup(receiver.Close)
	cert, key := kit.Certificate(t)
	const token, secret = "https://login.example/token", "hunter2-secret"
	for _, test := range []struct {
		form    []string // without what is secret
		field   string   // which is that
		value   string
		part    string // of an endpoint of the API
		want    map[string]any
		carries string   // a request; empty: it needs a server that is not there
		other   []string // changes of single fields, names and values in turn
	}{
		{[]string{"auth_type", "bearer"}, "auth_secret", secret, "auth", map[string]any{"type": "bearer"}, "Bearer hunter2-secret", nil},
		{
			[]string{"auth_type", "basic", "auth_user", "tailpost"},
			"auth_secret", secret, "auth",
			map[string]any{"type": "basic", "user": "tailpost"},
			"Basic dGFpbHBvc3Q6aHVudGVyMi1zZWNyZXQ=",
			[]string{"auth_user", "other"},
		},
		{
			[]string{"auth_type", "oauth2", "token_url", token, "client_id", "shop", "scopes", "a b", "audience", "https://api.example", "auth_style", "body"},
			"auth_secret", secret, "auth",
			map[string]any{"type": "oauth2", "token_url": token, "client_id": "shop", "scopes": []any{"a", "b"}, "audience": "https://api.example", "style": "body"},
			"",
			[]string{"client_id", "other", "audience", "https://other.example", "scopes", "b", "token_url", token + "/other", "auth_style", ""},
		},
		{
			[]string{
				"auth_type", "oauth2", "token_url", token, "client_id", "shop", "assertion_use", "grant", "assertion_key_id", "2026", "assertion_algorithm", "ES256",
				"assertion_issuer", "us", "assertion_subject", "them", "assertion_audience", "https://aud.example",
			},
			"assertion_key", key, "auth",
			map[string]any{"type": "oauth2", "token_url": token, "client_id": "shop", "style": "header", "assertion": map[string]any{
				"use": "grant", "key_id": "2026", "algorithm": "ES256", "issuer": "us", "subject": "them", "audience": "https://aud.example",
			}},
			"",
			[]string{"assertion_key_id", "other", "assertion_issuer", "other", "assertion_subject", "other", "assertion_audience", "https://other.example"},
		},
		{
			[]string{"tls_cert", cert, "tls_ca", cert},
			"tls_key", key, "tls",
			map[string]any{"cert": strings.TrimSpace(cert), "ca": strings.TrimSpace(cert)},
			"",
			[]string{"tls_ca", ""},
		},
	} {
		id := h.endpoint("", "shop")
		f := identityForm{h.loggedIn("admin", houseKey), "/panel/endpoints/" + id + "/edit", "https://shop.example/in"}
		if test.carries != "" {
			f.url = receiver.URL
		}
		has := func() {
			t.Helper()
			require.Equal(t, test.want, h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)[test.part])
			if test.carries != "" {
				h.admin().made(http.MethodPost, "/v1/endpoints/"+id+"/test", map[string]any{})
				require.Equal(t, test.carries, <-carried)
			}
		}
		require.Equal(t, http.StatusUnprocessableEntity, f.send(test.form).status, "without what is secret: %v", test.form)
		refused := f.send(test.form, test.field, test.value, "timeout", "never")
		require.Contains(t, refused.body, "is not shown again: write it once more")
		got := f.send(test.form, test.field, test.value)
		require.Equal(t, http.StatusSeeOther, got.status, got.body)
		has()
		shown := f.get(f.edit).body
		require.NotContains(t, refused.body+shown, strings.TrimSpace(test.value))
		for i := 0; i+1 < len(test.form); i += 2 {
			require.Equal(t, strings.Fields(test.form[i+1]), strings.Fields(inputs(shown)[test.form[i]]), test.form[i])
		}
		crlf := make([]string, len(test.form))
		for i, text := range test.form {
			crlf[i] = strings.ReplaceAll(text, "\n", "\r\n") // as browsers send it
		}
		got = f.send(crlf, "description", "another")
		require.Equal(t, http.StatusSeeOther, got.status, "what is secret is kept: %v %s", test.form, got.body)
		has()
		moved := []string{"url", "https://elsewhere.example/in"}
		got = f.send(test.form, moved...)
		require.Equal(t, http.StatusUnprocessableEntity, got.status, "nothing is lost in silence where the URL leads elsewhere")
		require.Contains(t, got.body, "write it again")
		require.Equal(t, http.StatusSeeOther, f.send(test.form, append(moved, test.field, test.value)...).status)
		require.Equal(t, test.want, h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)[test.part])
		require.Equal(t, http.StatusSeeOther, f.send(test.form, test.field, test.value).status, "and back")
		if test.field == "auth_secret" {
			test.carries = strings.NewReplacer(secret, "new", "aHVudGVyMi1zZWNyZXQ=", "bmV3").Replace(test.carries)
			require.Equal(t, http.StatusSeeOther, f.send(test.form, test.field, "new").status)
			has()
		} else {
			require.Equal(t, http.StatusUnprocessableEntity, f.send(test.form, test.field, "new").status, "another one is not overlooked")
		}
		for i := 0; i+1 < len(test.other); i += 2 {
			require.Equal(t, http.StatusSeeOther, f.send(crlf, test.other[i:i+2]...).status, test.other[i])
			require.Equal(t, test.other[i+1], inputs(f.get(f.edit).body)[test.other[i]])
			require.Equal(t, http.StatusSeeOther, f.send(test.form).status)
		}
		require.Equal(t, http.StatusSeeOther, f.send(nil).status)
		require.Nil(t, h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)[test.part], "it is taken away")
	}
}

// identityForm is the form of an endpoint, in the hands of a person.
type identityForm struct {
	*caller

	edit, url string
}

// send saves the form with fields, and with others in place of those.
func (f identityForm) send(fields []string, others ...string) reply {
	f.h.t.Helper()
	form := f.form("/panel/", "name", "Shop", "url", f.url)
	for _, list := range [][]string{fields, others} {
		for i := 0; i+1 < len(list); i += 2 {
			form.Set(list[i], list[i+1])
		}
	}
	return f.caller.send(http.MethodPost, f.edit, form)
}
