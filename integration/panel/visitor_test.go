package panel_test

import (
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// visitor is somebody who uses the panel without a browser: a client that keeps cookies and follows
// nothing.
type visitor struct {
	t      *testing.T
	base   string
	client *http.Client
	header http.Header // of every request
}

func newVisitor(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	v := &visitor{t: t, base: base, header: make(http.Header), client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
	t.Cleanup(v.client.CloseIdleConnections)
	return v
}

// reply is what a visitor got.
type reply struct {
	status int
	header http.Header
	body   string
}

func (v *visitor) send(method, path string, form url.Values) reply {
	v.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, body)
	require.NoError(v.t, err)
	maps.Copy(req.Header, v.header)
	if host := v.header.Get("Host"); host != "" {
		req.Host = host
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := v.client.Do(req)
	require.NoError(v.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(v.t, err)
	return reply{res.StatusCode, res.Header, string(text)}
}

func (v *visitor) get(path string) reply {
	v.t.Helper()
	return v.send(http.MethodGet, path, nil)
}

var token = regexp.MustCompile(`<meta name="csrf" content="([^"]+)">`)

// csrf is what the forms of a page carry.
func (r *reply) csrf(t *testing.T) string {
	t.Helper()
	found := token.FindStringSubmatch(r.body)
	require.NotNil(t, found, "%d %s", r.status, r.body)
	return html.UnescapeString(found[1])
}

// post sends a form as a page of the panel would; pairs are names and values in turn.
func (v *visitor) post(path string, pairs ...string) reply {
	v.t.Helper()
	page := v.get("/panel/help")
	form := url.Values{"csrf": {page.csrf(v.t)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return v.send(http.MethodPost, path, form)
}

// asked is the page that asks whether a person means what a form of the undelivered says.
func (v *visitor) asked(pairs ...string) reply {
	v.t.Helper()
	got := v.post("/panel/undelivered/confirm", pairs...)
	require.Equal(v.t, http.StatusSeeOther, got.status, got.body)
	return v.get(got.header.Get("Location"))
}

// login logs in with a key.
func (v *visitor) login(secret string) reply {
	v.t.Helper()
	page := v.get("/panel/login")
	return v.send(http.MethodPost, "/panel/login", url.Values{"csrf": {page.csrf(v.t)}, "key": {secret}})
}

// loggedIn is a visitor with a session.
func loggedIn(t *testing.T, w *world, secret string) *visitor {
	t.Helper()
	v := newVisitor(t, w.url)
	got := v.login(secret)
	require.Equal(t, http.StatusSeeOther, got.status, "%s", got.body)
	return v
}

// cookies are the visitor's by name.
func (v *visitor) cookies() map[string]string {
	v.t.Helper()
	at, err := url.Parse(v.base + "/panel/")
	require.NoError(v.t, err)
	found := make(map[string]string)
	for _, c := range v.client.Jar.Cookies(at) {
		found[c.Name] = c.Value
	}
	return found
}
