package panel_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/relay/signature"
)

// nodes are the elements of a page.
func nodes(t *testing.T, page string) (list []*html.Node) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			list = append(list, n)
		}
	}
	return list
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf is the text within the element with an id.
func textOf(t *testing.T, page, id string) string {
	t.Helper()
	for _, n := range nodes(t, page) {
		if attribute(n, "id") == id {
			var b strings.Builder
			for c := range n.Descendants() {
				if c.Type == html.TextNode {
					b.WriteString(c.Data)
				}
			}
			return b.String()
		}
	}
	return ""
}

func TestEveryPage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v := loggedIn(t, s.world, adminKey)
	const most = 200 << 10
	for name, path := range s.pages() {
		got := v.get(path)
		want := http.StatusOK
		if name == "not-found" {
			want = http.StatusNotFound
		}
		require.Equal(t, want, got.status, "%s: %s", name, got.body)
		require.LessOrEqual(t, len(got.body), most, name)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"), name)
		policy := got.header.Get("Content-Security-Policy")
		require.Contains(t, policy, "default-src 'none'", name)
		require.Contains(t, policy, "frame-ancestors 'none'", name)
		require.NotContains(t, policy, "unsafe", name)
		require.NotContains(t, policy, "http", name)
		ids := make(map[string]bool)
		for _, n := range nodes(t, got.body) {
			for _, a := range n.Attr {
				require.False(t, a.Key == "style" || strings.HasPrefix(a.Key, "on"), "%s has an inline %s", name, a.Key)
				require.False(t, (a.Key == "src" || a.Key == "href") && strings.HasPrefix(a.Val, "http"), "%s refers to %s", name, a.Val)
			}
			require.False(t, n.Data == "script" && attribute(n, "src") == "", "%s has an inline script", name)
			require.NotEqual(t, "style", n.Data, name)
			if n.Data == "form" && strings.EqualFold(attribute(n, "method"), "post") {
				require.True(t, slices.ContainsFunc(slices.Collect(n.Descendants()), func(c *html.Node) bool {
					return attribute(c, "name") == "csrf" && attribute(c, "value") != ""
				}), "%s: a form without a token", name)
			}
			if id := attribute(n, "id"); id != "" {
				require.False(t, ids[id], "%s has two elements #%s", name, id)
				ids[id] = true
			}
			if n.Data == "time" {
				require.Regexp(t, `^\d{4}-\d\d-\d\dT[\d:.]+Z$`, attribute(n, "datetime"), name)
				require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC$`, attribute(n, "title"), name)
			}
		}
	}
}

// TestCopiedSQLIsThePage runs the statement that a list offers, and compares what it finds with the
// list.
func TestCopiedSQLIsThePage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	admin, acme := loggedIn(t, s.world, adminKey), loggedIn(t, s.world, s.key("acme's", "acme"))
	s.endpoint("Acme's own", "/acme", map[string]any{"tenant": "acme"})
	for _, path := range []string{
		"/panel/endpoints", "/panel/endpoints?source=config", "/panel/log", "/panel/log?outcome=dead&class=5xx", "/panel/log?since=1h&type=order.paid",
		"/panel/log?tenant=o%27hara%5C", "/panel/undelivered", "/panel/undelivered?state=pending&reason=failed", "/panel/undelivered?endpoint=" + s.dead, "/panel/catalogue",
		"/panel/keys", "/panel/portal-links", "/panel/audit?action=endpoint.create", "/panel/events", "/panel/events?type=order.*", "/panel/events?key=order-42&since=1h", "/panel/replays", "/panel/resends",
	} {
		for who, v := range map[string]*visitor{"the administrator": admin, "acme": acme} {
			got := v.get(path)
			require.Equal(t, http.StatusOK, got.status, "%s", got.body)
			sql := textOf(t, got.body, "copy-sql")
			require.NotEmpty(t, sql, path)
			rows, err := s.conn.Query(t.Context(), sql)
			require.NoError(t, err, "%s\n%s", path, sql)
			found, err := pgx.CollectRows(rows, pgx.RowToMap)
			require.NoError(t, err, "%s\n%s", path, sql)
			require.Len(t, found, listed(t, got.body), "%s of %s:\n%s", path, who, sql)
			require.Contains(t, textOf(t, got.body, "copy-curl"), "curl -sS '"+s.url+"/v1/", path)
		}
	}
}

// listed counts the rows of a page's lists.
func listed(t *testing.T, page string) (n int) {
	t.Helper()
	for _, node := range nodes(t, page) {
		if node.Data == "tr" && node.Parent.Data == "tbody" {
			n++
		}
	}
	return n
}

// TestCopiedCommandIsThePage runs the command that a list offers.
func TestCopiedCommandIsThePage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v := loggedIn(t, s.world, adminKey)
	run := func(page, more string) []string {
		command := textOf(t, page, "copy-command")
		require.True(t, strings.HasPrefix(command, "tailpost "), command)
		p := kit.Run(t, kit.Command{
			Path: "sh", Args: []string{"-c", `exec "$0" ` + strings.TrimPrefix(command, "tailpost ") + more, kit.Binary(t)}, Env: map[string]string{"TAILPOST_API_KEY": adminKey},
		})
		require.Zero(t, p.ExitCode(), "%s\n%s", command, p.Output())
		return kit.Lines(p.Stdout())
	}
	for _, path := range []string{
		"/panel/endpoints", "/panel/endpoints?source=config", "/panel/log", "/panel/log?outcome=dead&class=5xx&since=1h", "/panel/log?tenant=o%27hara",
		"/panel/undelivered", "/panel/undelivered?state=pending&reason=failed", "/panel/undelivered?type=order.paid&endpoint=" + s.dead,
	} {
		page := v.get(path).body
		require.Len(t, run(page, " --json"), listed(t, page), path)
	}
	for _, path := range []string{"/panel/events/" + s.event, s.attempt(s.event, s.crm), "/panel/relay"} {
		require.NotEmpty(t, run(v.get(path).body, ""), path)
	}
	bulk := v.asked("which", "all", "act", "resend", "state", "dead")
	require.Contains(t, strings.Join(run(bulk.body, " --dry-run"), " "), "7")
	bulk = v.asked("which", "all", "act", "resend", "state", "dead", "type", "invoice.sent")
	require.Contains(t, strings.Join(run(bulk.body, " --dry-run"), " "), "1")
}

// TestCopiedRequestSignsAnew runs the command of an attempt's page, and verifies what arrives.
func TestCopiedRequestSignsAnew(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"curl", "openssl", "base64", "od"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("the command needs ", program)
		}
	}
	w := newWorld(t, keyedHCL)
	endpoints := map[string]struct{ id, secret string }{}
	for _, scheme := range []string{"standard", "stripe", "github"} {
		made := w.call(http.MethodPost, "/v1/endpoints", map[string]any{
			"url": w.receiver.URL("/"+scheme) + "?token=s3cr[e]t&list={1,2}", "method": http.MethodPut, "signature": scheme, "http": "1.1",
		})
		id, _ := made["id"].(string)
		secret, _ := made["secret"].(string)
		endpoints[scheme] = struct{ id, secret string }{id, secret}
	}
	event := w.insert("order.created", "", `{"who": "Mc'Donald", "total": 12345678901234567890.10}`)
	visitor := loggedIn(t, w, adminKey)
	for scheme, e := range endpoints {
		w.attempts(e.id, 1)
		page := visitor.get((&shop{world: w}).attempt(event, e.id))
		script := textOf(t, page.body, "copy-request")
		require.NotContains(t, page.body, e.secret)
		require.Contains(t, script, " --http1.1 ")
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Env = []string{"SECRET=" + e.secret, "PATH=/usr/local/bin:/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		requests := w.receiver.Await(t, "/"+scheme, 2)
		require.Equal(t, compact(t, requests[0].Body), compact(t, requests[1].Body), "the same body, to the last digit")
		require.Equal(t, requests[0].Header.Get("Content-Type"), requests[1].Header.Get("Content-Type"))
		verifier, err := signature.NewVerifierFor(signature.Scheme(scheme), e.secret)
		require.NoError(t, err)
		for _, r := range requests {
			require.Equal(t, http.MethodPut, r.Method)
			require.NoError(t, verifier.Verify(r.Header, r.Body), scheme)
		}
		require.Contains(t, page.body, "<strong>PUT</strong>")
		require.NotContains(t, page.body, "not what was sent")
		require.Contains(t, script, "/"+scheme+"?token=s3cr[e]t&list={1,2}'", "the whole URL, which the endpoint's page shows, too")

		// What the attempt was sent to is not on record any more: the command says so, and still
		// runs.
		w.call(http.MethodPatch, "/v1/endpoints/"+e.id, map[string]any{"url": w.receiver.URL("/other") + "?token=another"})
		page = visitor.get((&shop{world: w}).attempt(event, e.id))
		script = textOf(t, page.body, "copy-request")
		require.Contains(t, script, "/"+scheme+"?REDACTED'")
		require.NotContains(t, script, "another")
		require.Contains(t, page.body, "Put what is secret of the URL in the place of REDACTED")
		cmd = exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Env = []string{"SECRET=" + e.secret, "PATH=/usr/local/bin:/usr/bin:/bin"}
		out, err = cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		w.receiver.Await(t, "/"+scheme, 3)
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, text))
	return b.String()
}

// markup is what would show if anything were taken for HTML.
const markup = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>"'</textarea><b>`

func TestWhatOthersWroteStaysText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/a", kit.Respond(http.StatusTeapot, markup))
	w.receiver.On("/j", kit.Respond(http.StatusTeapot, `{"`+strings.ReplaceAll(markup, `"`, `\"`)+`": "`+strings.ReplaceAll(markup, `"`, `\"`)+`"}`))
	a := w.endpoint("A"+markup, "/a", map[string]any{"description": markup, "events": []string{"order.**"}})
	j := w.endpoint("J"+markup, "/j", nil)
	w.endpoint("T", "/t", map[string]any{"tenant": "another"}) // why not says whose the event is
	w.call(http.MethodPut, "/v1/event-types/order.created", map[string]any{"description": markup, "example": map[string]any{markup: markup}})
	var event string
	err := w.conn.QueryRow(t.Context(), `
INSERT INTO public.outbox (type, key, tenant, payload, headers)
VALUES ('order.created', $1, $1, jsonb_build_object($1::text, $1::text), jsonb_build_object('x-note', $1::text))
RETURNING id::text`, markup).Scan(&event)
	require.NoError(t, err)
	w.attempts(a, 1)
	w.attempts(j, 1)
	s := &shop{world: w}
	w.call(http.MethodPost, "/v1/keys", map[string]any{"name": markup})
	v := loggedIn(t, w, adminKey)
	b := newTab(t, w.url, tabOptions{})
	b.login()
	for _, path := range []string{
		"/panel/", "/panel/endpoints", "/panel/endpoints/" + a, "/panel/endpoints/" + a + "/edit", "/panel/endpoints/" + a + "/log", "/panel/endpoints/" + a + "/confirm/delete",
		"/panel/log", "/panel/log?type=" + url.QueryEscape(markup), s.attempt(event, a), s.attempt(event, j), "/panel/events/" + event,
		"/panel/events?key=" + url.QueryEscape(markup), "/panel/undelivered", "/panel/catalogue", "/panel/catalogue/types/order.created", "/panel/keys",
		"/panel/endpoints/new?type=" + url.QueryEscape(markup), "/panel/replays/new?types=" + url.QueryEscape(markup),
	} {
		got := v.get(path)
		require.Equal(t, http.StatusOK, got.status, path)
		require.NotContains(t, got.body, "<img", path)
		require.NotContains(t, got.body, "<script>", path)
		require.NotContains(t, got.body, `onerror="`, path)
		require.Contains(t, got.body, "pwned", "%s shows it", path)
		b.open(path)
		require.True(t, eval[bool](b, "window.pwned === undefined && !document.querySelector('main img')"), path)
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	id := w.endpoint("A", "/a", nil)
	event := w.insert("order.created", "", `{"total": 12345678901234567890.10, "tiny": 1e-7, "zero": 1.00}`)
	w.attempts(id, 1)
	s := &shop{world: w}
	got := loggedIn(t, w, adminKey).get(s.attempt(event, id))
	for _, number := range []string{"12345678901234567890.10", "0.0000001", "1.00"} {
		require.Contains(t, got.body, `<span class="n">`+number+`</span>`)
	}
}

// tenants is two tenants, each with a word that appears in everything of theirs.
type tenants struct {
	*world

	key, endpoint, event map[string]string
}

func newTenants(t *testing.T) *tenants {
	t.Helper()
	w := &tenants{world: newWorld(t, keyedHCL), key: map[string]string{}, endpoint: map[string]string{}, event: map[string]string{}}
	for _, tenant := range []string{"", "alpha", "bravo"} {
		mark := "mark-of-" + tenant
		if tenant == "" {
			mark = "mark-of-nobody"
		}
		w.receiver.On("/"+mark, kit.Respond(http.StatusInternalServerError, mark))
		w.key[tenant] = w.world.key(mark, tenant)
		w.endpoint[tenant] = w.world.endpoint(mark, "/"+mark, map[string]any{"tenant": tenant, "description": mark, "events": []string{mark + ".order"}})
		w.event[tenant] = w.insert(mark+".order", tenant, `{"word": "`+mark+`"}`)
		w.attempts(w.endpoint[tenant], 1)
		w.call(http.MethodPost, "/v1/replays", map[string]any{"endpoint_id": w.endpoint[tenant], "event_types": []string{mark + ".order"}}, w.key[tenant])
		w.call(http.MethodPost, "/v1/deliveries/resend", map[string]any{"event_types": []string{mark + ".none"}}, w.key[tenant])
	}
	return w
}

var idOf = regexp.MustCompile(`/panel/(?:replays|resends|keys)/([a-z]+_[A-Z0-9a-z]+)`)

func TestNoTenantSeesOrTouchesAnother(t *testing.T) {
	t.Parallel()
	w := newTenants(t)
	visitors := map[string]*visitor{"alpha": loggedIn(t, w.world, w.key["alpha"]), "bravo": loggedIn(t, w.world, w.key["bravo"])}
	owned := make(map[string][]string) // ids of replays, resends and keys
	all := loggedIn(t, w.world, adminKey)
	for tenant, v := range visitors {
		for _, list := range []string{"replays", "resends", "keys"} {
			got := v.get("/panel/" + list)
			for _, found := range idOf.FindAllStringSubmatch(got.body, -1) {
				owned[tenant] = append(owned[tenant], "/panel/"+list+"/"+found[1])
			}
		}
		require.GreaterOrEqual(t, len(owned[tenant]), 3)
	}
	s := &shop{world: w.world}
	attempts := map[string]string{}
	for tenant := range w.event {
		attempts[tenant] = s.attempt(w.event[tenant], w.endpoint[tenant])
		require.Equal(t, http.StatusOK, all.get(attempts[tenant]).status)
	}
	rapid.Check(t, func(rt *rapid.T) {
		me := rapid.SampledFrom([]string{"alpha", "bravo"}).Draw(rt, "me")
		whose := rapid.SampledFrom([]string{"", "alpha", "bravo"}).Draw(rt, "whose")
		endpoint, event, v := w.endpoint[whose], w.event[whose], visitors[me]
		paths := append([]string{
			"/panel/", "/panel/endpoints", "/panel/endpoints?tenant=" + whose, "/panel/endpoints/new", "/panel/endpoints/" + endpoint,
			"/panel/endpoints/" + endpoint + "/log", "/panel/endpoints/" + endpoint + "/edit", "/panel/endpoints/" + endpoint + "/test",
			"/panel/endpoints/" + endpoint + "/confirm/delete", "/panel/log", "/panel/log?endpoint=" + endpoint, "/panel/log?tenant=" + whose,
			"/panel/log?event=" + event, attempts[whose], "/panel/events", "/panel/events/" + event, "/panel/events?id=" + event, "/panel/find?q=" + event, "/panel/find?q=" + endpoint,
			"/panel/undelivered", "/panel/undelivered?state=pending", "/panel/undelivered?endpoint=" + endpoint, "/panel/replays", "/panel/replays/new?endpoint=" + endpoint,
			"/panel/resends", "/panel/catalogue", "/panel/keys", "/panel/audit", "/panel/audit?object=" + endpoint, "/panel/relay", "/panel/help",
		}, owned[whose]...)
		path := rapid.SampledFrom(paths).Draw(rt, "path")
		got := v.get(path)
		for other := range w.key {
			if other != me {
				mark := "mark-of-" + other
				if other == "" {
					mark = "mark-of-nobody"
				}
				require.NotContains(rt, got.body, mark, "%s of %s", path, whose)
			}
		}
		if me == whose {
			return
		}
		before := w.count("SELECT count(*) FROM tailpost.audit")
		act := rapid.SampledFrom([][]string{
			{"/panel/endpoints/" + endpoint + "/confirm/pause", "sure", "yes"},
			{"/panel/endpoints/" + endpoint + "/confirm/rotate-secret", "sure", "yes"},
			{"/panel/endpoints/" + endpoint + "/edit", "url", "https://evil.example"},
			{"/panel/endpoints/" + endpoint + "/test"},
			{"/panel/undelivered/act", "act", "discard", "delivery", "dead " + endpoint + " " + event},
			{"/panel/undelivered/act", "act", "resend", "delivery", "- " + endpoint + " " + event},
			{"/panel/undelivered/act", "act", "discard", "which", "all", "endpoint", endpoint, "state", "dead", "as_of", "2999-01-01T00:00:00Z"},
			{"/panel/replays/new", "act", "begin", "endpoint", endpoint},
		}).Draw(rt, "act")
		v.post(act[0], act[1:]...)
		after := w.count("SELECT count(*) FROM tailpost.audit WHERE NOT (action LIKE 'delivery.%' AND after->>'changed' = '0')")
		require.LessOrEqual(rt, after, before, "%v was carried out", act)
	})
	require.Equal(t, 3, w.count("SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
	require.Equal(t, 3, w.count("SELECT count(*) FROM tailpost.endpoint WHERE status = 'active' AND version = 1"))
}

// TestAKeyIsOfferedWhatItMay looks for links and buttons that would be refused.
func TestAKeyIsOfferedWhatItMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/a", kit.Statuses(http.StatusInternalServerError))
	id := w.endpoint("A", "/a", nil)
	event := w.insert("order.created", "", `{}`)
	w.attempts(id, 1)
	reader := loggedIn(t, w, w.key("reader", "", "endpoints:read", "deliveries:read"))
	for _, path := range []string{"/panel/", "/panel/endpoints", "/panel/endpoints/" + id, "/panel/log", "/panel/undelivered", "/panel/events/" + event, "/panel/catalogue", "/panel/replays", "/panel/relay"} {
		got := reader.get(path)
		require.Equal(t, http.StatusOK, got.status, path)
		for _, n := range nodes(t, got.body) {
			if n.Data == "form" && strings.EqualFold(attribute(n, "method"), "post") {
				require.Contains(t, []string{"/panel/logout", "/panel/theme"}, attribute(n, "action"), path)
			}
			require.NotRegexp(t, `/confirm/|/edit|/new|/panel/keys`, attribute(n, "href"), path)
		}
	}
	require.Equal(t, http.StatusForbidden, reader.get("/panel/keys").status)
	require.Equal(t, http.StatusForbidden, reader.post("/panel/endpoints/"+id+"/confirm/pause", "sure", "yes").status)
	writer := loggedIn(t, w, w.key("endpoints alone", "", "endpoints:write"))
	require.Equal(t, http.StatusOK, writer.get("/panel/").status)
	require.Equal(t, http.StatusOK, writer.get("/panel/endpoints/"+id).status)
	require.Equal(t, http.StatusForbidden, writer.get("/panel/log").status)
}

// TestNothingHappensWithoutAConfirmation acts as a form that was not confirmed.
func TestNothingHappensWithoutAConfirmation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	id := w.endpoint("A", "/a", nil)
	v := loggedIn(t, w, adminKey)
	for _, act := range []string{"pause", "rotate-secret", "delete"} {
		got := v.post("/panel/endpoints/"+id+"/confirm/"+act, "name", "A")
		require.Equal(t, http.StatusUnprocessableEntity, got.status, act)
	}
	require.Equal(t, http.StatusUnprocessableEntity, v.post("/panel/endpoints/"+id+"/confirm/delete", "sure", "yes", "name", "B").status, "another name")
	require.Equal(t, 1, w.count("SELECT count(*) FROM tailpost.endpoint WHERE version = 1 AND status = 'active'"))
	got := v.get("/panel/endpoints/" + id + "/confirm/delete")
	require.Contains(t, got.body, "cannot be undone")
	require.Equal(t, http.StatusSeeOther, v.post("/panel/endpoints/"+id+"/confirm/delete", "sure", "yes", "name", "A").status)
}

// TestAnEndpointOfTheConfigurationSaysWhereItIs looks for file and line in place of an edit button.
func TestAnEndpointOfTheConfigurationSaysWhereItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL+configEndpointHCL)
	v := loggedIn(t, w, adminKey)
	got := v.get("/panel/endpoints/warehouse")
	require.Regexp(t, `tailpost\.hcl:\d+`, got.body)
	require.NotContains(t, got.body, "/endpoints/warehouse/edit")
	require.NotContains(t, got.body, "/confirm/delete")
	require.Contains(t, got.body, "/confirm/pause")
	edit := v.get("/panel/endpoints/warehouse/edit")
	require.Equal(t, http.StatusConflict, edit.status)
	require.Regexp(t, `declared at .*tailpost\.hcl:\d+: change it there`, edit.body)
}

// TestBulk resends all that a filter chooses, and counts first.
func TestBulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/a", kit.Statuses(http.StatusInternalServerError, http.StatusOK))
	id := w.endpoint("A", "/a", nil)
	const events = 120
	w.exec(`INSERT INTO public.outbox (type, payload) SELECT 'order.created', '{}' FROM generate_series(1, $1)`, events)
	kit.Eventually(t, kit.Patience, func() error {
		var n int
		if err := w.conn.QueryRow(t.Context(), "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'").Scan(&n); err != nil || n == events {
			return err
		}
		return fmt.Errorf("%d are dead", n)
	})
	v := loggedIn(t, w, adminKey)
	page := v.get("/panel/undelivered?endpoint=" + id)
	require.Contains(t, page.body, "all 120 matching")
	ask := v.asked("which", "all", "act", "resend", "endpoint", id, "state", "dead")
	require.Contains(t, ask.body, "Resend 120 deliveries?")
	require.Contains(t, ask.body, "<dt>State</dt><dd>given up</dd><dt>Endpoint</dt><dd>"+id+"</dd>", "it says which")
	require.Equal(t, events, w.count("SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"), "it was only counted")
	asOf := regexp.MustCompile(`name="as_of" value="([^"]+)"`).FindStringSubmatch(ask.body)
	require.NotNil(t, asOf)
	begun := v.post("/panel/undelivered/act", "which", "all", "act", "resend", "endpoint", id, "state", "dead", "as_of", asOf[1])
	at := begun.header.Get("Location")
	require.Regexp(t, `^/panel/resends/rs_\w+\?done=resending\.`, at)
	w.attempts(id, 2*events)
	kit.Eventually(t, kit.Patience, func() error {
		if got := v.get(at); !strings.Contains(got.body, `<span class="st good">done</span>`) {
			return fmt.Errorf("not done: %d", got.status)
		}
		return nil
	})
	require.Contains(t, v.get(at).body, "120 of 120 queued")
}
