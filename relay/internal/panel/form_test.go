package panel_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// TestTheFormOfAnEndpointHasEverySettingBothWays: what a person writes is what the API has, the
// form shows that again, and what is emptied is the default again.
func TestTheFormOfAnEndpointHasEverySettingBothWays(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.loggedIn("admin", houseKey)
	written := map[string]string{
		"name": "Shop", "description": "orders", "url": "https://shop.example/in", "query": "limit=5\ntenant=a$b", "events": "order.* stock.low",
		"where": "event.data.total > 100", "body": "{ total = event.data.total }", "signature": "stripe", "format": "form", "method": "PUT", "http": "1.1", "gzip": "true",
		"timeout": "7s", "rate": "5/s", "concurrency": "9", "ordering": "key", "on_dead": "hold", "retry": "2s 3s", "success": "2xx 409", "permanent": "422",
		"answer": "complete", "verify": "cloudevents",
	}
	pairs := make([]string, 0, 2*len(written))
	for name, text := range written {
		pairs = append(pairs, name, text)
	}
	got := c.send(http.MethodPost, "/panel/endpoints/new", c.form("/panel/", pairs...))
	require.Contains(t, []int{http.StatusOK, http.StatusCreated, http.StatusSeeOther}, got.status, got.body)
	id := h.text("SELECT id FROM tailpost.endpoint WHERE name = 'Shop'")
	e := h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)
	require.Equal(t, []any{map[string]any{
		"events": []any{"order.*", "stock.low"}, "where": written["where"], "body": written["body"],
	}}, e["subscriptions"])
	require.Equal(t, map[string]any{"schedule": []any{"2s", "3s"}}, e["retry"])
	require.InDelta(t, 9, e["concurrency"], 0)
	require.Equal(t, true, e["gzip"])
	require.Equal(t, []any{"2xx", "409"}, e["success"])
	require.Equal(t, []any{"422"}, e["permanent"])
	require.Equal(t, map[string]any{"limit": "5", "tenant": "a$b"}, e["query"])
	for _, name := range []string{
		"name", "description", "url", "signature", "format", "method", "http", "timeout", "rate", "ordering", "on_dead", "answer", "verify",
	} {
		require.Equal(t, written[name], e[name], name)
	}

	about := c.get("/panel/endpoints/" + id).body
	for _, part := range []string{"<dd>PUT</dd>", "<dd>1.1 only</dd>", "<dd>gzip, of bodies of 1 KiB and more</dd>", "2xx, 409", "<dd>once it is complete</dd>", "<dd>cloudevents, not passed</dd>", "Ask now", `<dt>Parameter tenant</dt><dd class="mono">a$b</dd>`} {
		require.Contains(t, about, part, "what the endpoint is set to")
	}

	form := c.get("/panel/endpoints/" + id + "/edit").body
	shown := inputs(form)
	for name, text := range written {
		require.Equal(t, strings.Fields(text), strings.Fields(shown[name]), name)
	}
	emptied := url.Values{"version": {shown["version"]}, "csrf": c.form("/panel/")["csrf"]}
	for name := range written {
		emptied.Set(name, "")
	}
	emptied.Set("url", written["url"])
	got = c.send(http.MethodPost, "/panel/endpoints/"+id+"/edit", emptied)
	require.Equal(t, http.StatusSeeOther, got.status, got.body)
	e = h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)
	for name, want := range map[string]any{
		"signature": "standard", "format": "standard", "method": "POST", "http": nil, "gzip": false, "timeout": "15s", "rate": nil,
		"ordering": "none", "on_dead": "skip", "answer": "status", "verify": nil, "success": nil, "permanent": nil, "query": nil,
	} {
		require.Equal(t, want, e[name], name)
	}
	require.InDelta(t, 32, e["concurrency"], 0)
	require.Equal(t, []any{map[string]any{}}, e["subscriptions"])
}

// TestTheFormOfAnEndpointHasItsHeaders: they are written, their values shown to nobody and kept,
// refused at their place, and taken back.
func TestTheFormOfAnEndpointHasItsHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.loggedIn("admin", houseKey)
	const first = "X-Api-Key: s3cret-value\nX-Tenant: ${event.tenant}"
	const at = "https://shop.example/in"
	made := c.send(http.MethodPost, "/panel/endpoints/new", c.form("/panel/", "name", "Shop", "url", at, "headers", first))
	require.Contains(t, []int{http.StatusOK, http.StatusCreated, http.StatusSeeOther}, made.status, made.body)
	id := h.text("SELECT id FROM tailpost.endpoint WHERE name = 'Shop'")
	has := func() any { return h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)["header_names"] }
	require.Equal(t, []any{"X-Api-Key", "X-Tenant"}, has())
	page := c.get("/panel/endpoints/" + id + "/edit").body
	require.Equal(t, "X-Api-Key: [redacted]\nX-Tenant: [redacted]", strings.TrimSpace(inputs(page)["headers"]))

	save := func(pairs ...string) reply {
		return c.send(http.MethodPost, "/panel/endpoints/"+id+"/edit", c.form("/panel/", append(pairs, "name", "Shop")...))
	}
	place := func(r reply) string {
		_, rest, found := strings.Cut(r.body, `field bad"><label for="headers">`)
		require.True(t, found, r.body)
		field, _, _ := strings.Cut(rest, "</div>")
		return entities.Replace(field)
	}
	sealed := h.text("SELECT encode(secrets, 'hex') FROM tailpost.endpoint WHERE id = $1", id)
	require.Equal(t, http.StatusSeeOther, save("url", at, "headers", "X-Api-Key: [redacted]\r\nX-Shop: 7").status)
	require.Equal(t, []any{"X-Api-Key", "X-Shop"}, has())
	require.NotEqual(t, sealed, h.text("SELECT encode(secrets, 'hex') FROM tailpost.endpoint WHERE id = $1", id))

	for written, want := range map[string]string{
		"X-Api-Key: s3cret-value\nX-Api-Key: b": "X-Api-Key is there twice: remove one of the two",
		"Content-Length: 7":                     "Tailpost and HTTP itself set this header",
		"X Y: s3cret-value":                     "Write letters, digits and hyphens",
		"X-Api-Key=s3cret-value":                "Line 1 has no colon",
		"X-Shop: 7\n\nX-Api-Key s3cret-value":   "Line 3 has no colon",
		"X-New: [redacted]":                     "it has none: write one",
		"X-Shop: ${event.tenat}":                "Did you mean",
	} {
		refused := save("url", at, "headers", written)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, written)
		require.Contains(t, place(refused), want)
		require.NotContains(t, refused.body, "s3cret-value", "what is secret is shown to nobody")
		require.Equal(t, !strings.Contains(written, "[redacted]"), strings.Contains(refused.body, "write it once more"), written)
	}
	elsewhere := save("url", "https://other.example/in", "headers", "X-Api-Key: [redacted]")
	require.Contains(t, place(elsewhere), "write the value again")
	require.Equal(t, http.StatusUnprocessableEntity, save("url", at, "query", "a=1\na=2").status)
	require.Equal(t, http.StatusSeeOther, save("url", at).status)
	require.Empty(t, has())
}

// TestTheFormOfAnEndpointHasItsBatches: how many events share a request is written, shown, refused
// at its place, and taken back.
func TestTheFormOfAnEndpointHasItsBatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.loggedIn("admin", houseKey)
	written := []string{"batch_events", "40", "batch_wait", "100ms", "batch_bytes", "500KB", "batch_partial", "true"}
	got := c.send(http.MethodPost, "/panel/endpoints/new", c.form("/panel/", append(written, "name", "Shop", "url", "https://shop.example/in")...))
	require.Contains(t, []int{http.StatusOK, http.StatusCreated, http.StatusSeeOther}, got.status, got.body)
	id := h.text("SELECT id FROM tailpost.endpoint WHERE name = 'Shop'")
	api := func() any { return h.admin().made(http.MethodGet, "/v1/endpoints/"+id, nil)["batch"] }
	require.Equal(t, map[string]any{"events": 40.0, "wait": "100ms", "bytes": "500KB", "partial": true}, api())
	require.Contains(t, c.get("/panel/endpoints/"+id).body, "<dd>up to 40, 500KB; an event waits 100ms for others<br>the answer names those that failed</dd>")

	got = c.send(http.MethodPost, "/panel/endpoints/new", c.form("/panel/", "name", "Few", "url", "https://few.example/in", "batch_events", "2"))
	require.Contains(t, []int{http.StatusOK, http.StatusCreated, http.StatusSeeOther}, got.status, got.body)
	shown := inputs(c.get("/panel/endpoints/" + id + "/edit").body)
	for i := 0; i < len(written); i += 2 {
		require.Equal(t, written[i+1], shown[written[i]], written[i])
	}
	save := func(pairs ...string) reply {
		form := c.form("/panel/", append(pairs, "name", "Shop", "url", "https://shop.example/in")...)
		return c.send(http.MethodPost, "/panel/endpoints/"+id+"/edit", form)
	}
	refused := save("batch_events", "40", "batch_wait", "3s", "format", "standard")
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Regexp(t, `field bad"><label for="batch_wait">.*Write a shorter wait`, refused.body)
	refused = save("batch_events", "40", "format", "raw")
	require.Regexp(t, `field bad"><label for="batch_events">.*no place for several events`, refused.body)
	require.Equal(t, http.StatusSeeOther, save("batch_events", "50").status) // what is emptied has its default
	require.Equal(t, map[string]any{"events": 50.0, "wait": "200ms", "bytes": "1MB", "partial": false}, api())
	require.Equal(t, http.StatusSeeOther, save().status)
	require.Nil(t, api())
}

var (
	inputTag    = regexp.MustCompile(`<input [^>]*>`)
	attribute   = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
	selectTag   = regexp.MustCompile(`(?s)<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>`)
	chosen      = regexp.MustCompile(`<option(?: value="([^"]*)")? selected>([^<]*)`)
	textareaTag = regexp.MustCompile(`(?s)<textarea [^>]*name="([^"]*)"[^>]*>(.*?)</textarea>`)
	entities    = strings.NewReplacer("&gt;", ">", "&lt;", "<", "&#34;", `"`, "&#43;", "+", "&amp;", "&")
)

// inputs returns what the fields of a page's forms hold, by their names.
func inputs(page string) map[string]string {
	all := make(map[string]string)
	for _, tag := range inputTag.FindAllString(page, -1) {
		attributes := make(map[string]string)
		for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
			attributes[a[1]] = a[2]
		}
		all[attributes["name"]] = entities.Replace(attributes["value"])
	}
	for _, s := range selectTag.FindAllStringSubmatch(page, -1) {
		if c := chosen.FindStringSubmatch(s[2]); c != nil {
			if all[s[1]] = c[1]; c[1] == "" {
				all[s[1]] = c[2]
			}
		}
	}
	for _, a := range textareaTag.FindAllStringSubmatch(page, -1) {
		all[a[1]] = entities.Replace(a[2])
	}
	return all
}

// TestTheAttemptOfABatchShowsTheOthers: the page of an attempt lists all events of its request, and
// says how to list them where there are more.
func TestTheAttemptOfABatchShowsTheOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.loggedIn("admin", houseKey)
	ep := h.endpoint("", "batched")
	for i := range 60 {
		h.attempt(ep, "evt_"+strconv.Itoa(i), "", "batched")
	}
	const at = "2026-11-20T10:00:00.123456Z"
	request := ledger.NewRequestID(time.Date(2026, 11, 20, 10, 0, 0, 123456000, time.UTC))
	h.exec("SELECT tailpost.ensure_attempt_partitions('2026-11-20', 1)")
	h.exec("UPDATE tailpost.attempt SET request_id = $1, attempted_at = $2 WHERE event_id IN ('evt_1', 'evt_2')", request, at)
	h.exec("UPDATE tailpost.attempt SET attempted_at = $1, request_id = $2 WHERE event_id = 'evt_4'", at, ledger.NewRequestID(time.Unix(1, 0)))
	page := func() string {
		return c.get("/panel/attempt?event=evt_1&endpoint=" + ep + "&at=" + url.QueryEscape(at) + "&n=1").body
	}
	h.exec("UPDATE tailpost.attempt SET outcome = 'retry', status_code = 200, error = 'the answer names it as failed' WHERE event_id = 'evt_2'")
	body := page()
	require.Contains(t, body, "All events of this request")
	require.Contains(t, body, "answer 200: the answer names it as failed")
	require.Contains(t, body, "event=evt_2")
	require.NotContains(t, body, "event=evt_3")
	require.NotContains(t, body, "event=evt_4", "of the same time, and of another request")
	require.Contains(t, body, "<dt>webhook-id</dt><dd>"+request+"</dd>")
	require.NotContains(t, body, "--request")
	h.exec("UPDATE tailpost.attempt SET request_id = $1, attempted_at = $2", request, at)
	require.Contains(t, page(), "tailpost attempts --request "+request)
}
