package panel_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// belongings are what a tenant has, each with a word in all that it says, and ids without it.
type belongings struct {
	tenant, word                                      string
	endpoint, event, typ, replay, resend, key, linkID string
	cursors                                           []string // of positions among them
}

// ids are what tells of them beside the word.
func (b *belongings) ids() []string {
	return []string{b.endpoint, b.event, b.replay, b.resend, b.key, b.linkID}
}

func (h *house) belongings(tenant string, n int) *belongings {
	h.t.Helper()
	word := "unmistakable" + tenant
	if tenant == "" {
		word += "nobody"
	}
	b := &belongings{tenant: tenant, word: word, event: fmt.Sprintf("018f0000-0000-7000-8000-%012d", n), typ: "type." + word}
	b.endpoint = h.endpoint(tenant, word)
	h.exec(`INSERT INTO public.outbox (id, type, key, tenant, payload, headers)
		VALUES ($1, $2, 'key ' || $3::text, NULLIF($4, ''), jsonb_build_object('word', 'payload ' || $3::text), jsonb_build_object('x-word', $3::text))`, b.event, b.typ, word, tenant)
	h.attempt(b.endpoint, b.event, tenant, word)
	h.exec(`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, tenant, key, payload, event_created_at, commit_lsn, seq, last_error, created_at, updated_at)
VALUES ($1, $2, 'dead', 'exhausted', 1, $3, NULLIF($5, ''), 'key ' || $4::text, convert_to('{"word":"' || $4::text || '"}', 'UTF8'), now(), '0/10', 1, 'error ' || $4::text, now(), now())`,
		b.event, b.endpoint, b.typ, word, tenant)
	h.exec(`INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
		VALUES ($1, date_trunc('hour', now()), 1, 0, 1, 0, 1, array_fill(0::bigint, ARRAY[15]))`, b.endpoint)
	of := func(path string, body map[string]any) string {
		id, _ := h.admin().made(http.MethodPost, path, body)["id"].(string)
		require.NotEmpty(h.t, id)
		return id
	}
	b.replay = of("/v1/replays", map[string]any{"endpoint_id": b.endpoint, "event_types": []string{b.typ}})
	h.exec("INSERT INTO tailpost.replay_missing VALUES ($1, 'gone', $2, $3, now(), 'delivered')", b.replay, b.typ, word)
	b.resend = of("/v1/deliveries/resend", map[string]any{"event_types": []string{b.typ}})
	h.exec("UPDATE tailpost.resend SET tenant = NULLIF($2, ''), error = 'error ' || $3::text WHERE id = $1", b.resend, tenant, word)
	b.key = of("/v1/keys", map[string]any{"name": "key " + word, "tenant": tenant})
	if tenant != "" {
		b.linkID = of("/v1/portal-links", map[string]any{"tenant": tenant, "refresh_url": "https://app.example/" + word})
	}
	return b
}

// route is one way in, with what its path names.
type route struct {
	method, path string
	parameters   []string // of the query, where they are known
	operation    string   // of the API; empty: a page
}

// routes are all that the router has: the operations of the API's document, which is made from it,
// and the pages.
func (h *house) routes() (list []route) {
	h.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
		} `json:"paths"`
	}
	require.NoError(h.t, json.Unmarshal([]byte(h.admin().get("/openapi.json").body), &doc))
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for method, op := range doc.Paths[path] {
			r := route{method: strings.ToUpper(method), path: path, operation: op.OperationID}
			for _, p := range op.Parameters {
				if p.In == "query" {
					r.parameters = append(r.parameters, p.Name)
				}
			}
			list = append(list, r)
		}
	}
	for _, pattern := range h.panel.Routes() {
		method, path, _ := strings.Cut(pattern, " ")
		list = append(list, route{method: method, path: strings.TrimSuffix(path, "{$}"), parameters: []string{
			"endpoint", "event", "id", "key", "type", "types", "tenant", "q", "object", "actor", "status", "state", "cursor", "name", "since",
		}})
	}
	return list
}

// at fills what a path names with what somebody has.
func (r *route) at(b *belongings) string {
	id := b.endpoint
	for part, of := range map[string]string{
		"/events/": b.event, "/replays/": b.replay, "/resends/": b.resend, "/keys/": b.key, "/portal-links/": b.linkID,
	} {
		if strings.Contains(r.path, part) {
			id = of
		}
	}
	return strings.NewReplacer("{id}", id, "{name}", b.typ, "{act}", "pause", "{token}", "AAAA").Replace(r.path)
}

// value is what somebody has of the kind that a parameter is.
func (b *belongings) value(parameter string) []string {
	switch parameter {
	case "endpoint", "endpoint_id":
		return []string{b.endpoint}
	case "event", "event_id", "id":
		return []string{b.event}
	case "q":
		return []string{b.event, b.endpoint, "key " + b.word}
	case "key":
		return []string{"key " + b.word}
	case "type", "types", "event_type", "name":
		return []string{b.typ}
	case "tenant":
		return []string{b.tenant}
	case "object":
		return b.ids()
	case "actor":
		return []string{b.key}
	case "cursor":
		return b.cursors
	}
	return nil
}

// bodies are what is sent to what changes things; other operations get an empty object.
func (b *belongings) bodies(operation string) any {
	one := map[string]any{"event_id": b.event, "endpoint_id": b.endpoint}
	switch operation {
	case "create-endpoint", "put-endpoint", "replace-endpoint":
		return map[string]any{"url": "https://example.com"}
	case "create-key":
		return map[string]any{"name": "k"}
	case "create-replay":
		return map[string]any{"endpoint_id": b.endpoint}
	case "resend-deliveries", "discard-deliveries":
		return one
	case "":
		return nil
	}
	return map[string]any{}
}

// tells returns what an answer says of somebody; the request's own words do not count.
func (b *belongings) tells(asked string, got reply) string {
	text := got.body
	for name, values := range got.header {
		text += "\n" + name + ": " + strings.Join(values, ", ")
	}
	for _, word := range append([]string{b.word}, b.ids()...) {
		if word != "" && strings.Contains(text, word) && !strings.Contains(asked, word) {
			return word
		}
	}
	return ""
}

// TestNoTenantSeesAnother asks every route of the router for what another tenant, or none, has:
// with a key, with the panel and with the portal.
func TestNoTenantSeesAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine, theirs, nobodys := h.belongings("alpha", 1), h.belongings("bravo", 2), h.belongings("", 3)
	theirs.cursors, nobodys.cursors = h.cursors(), nil
	own, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "alpha's", "tenant": "alpha"})["secret"].(string)
	callers := []*caller{h.caller("key", own), h.loggedIn("panel", own), h.visitor("alpha", "view", "resend", "manage_endpoints", "manage_secrets")}
	before := h.rows(theirs, nobodys)
	looked, found := 0, make(map[string]bool)
	for _, r := range h.routes() {
		if strings.HasSuffix(r.path, "/stream") {
			continue // below
		}
		for _, whose := range []*belongings{theirs, nobodys, mine} {
			for _, c := range callers {
				if c.serves(&r) && (whose != mine || r.method == http.MethodGet) {
					looked += c.look(&r, whose, []*belongings{theirs, nobodys})
				}
			}
			if r.method == http.MethodGet && whose == theirs {
				c := h.admin()
				if r.operation == "" {
					c = h.loggedIn("admin", houseKey)
				}
				if got := c.get(r.at(theirs)); theirs.tells("", got) != "" {
					found[r.method+" "+r.path] = true
				}
			}
		}
	}
	require.Equal(t, before, h.rows(theirs, nobodys), "nothing of theirs was changed")
	require.Greater(t, looked, 500)
	require.Greater(t, len(found), 30, "whom nothing is hidden from, is told: %v", found)
}

// serves reports whether a route is one that the caller uses.
func (c *caller) serves(r *route) bool {
	switch {
	case c.key != "":
		return r.operation != ""
	case strings.HasPrefix(c.name, "portal"):
		return strings.HasPrefix(r.path, "/portal/") && !strings.Contains(r.path, "logout") && !strings.Contains(r.path, "/open/")
	}
	return strings.HasPrefix(r.path, "/panel/") && !strings.Contains(r.path, "log"+"out") && !strings.HasSuffix(r.path, "login")
}

// look asks a route for what somebody has, by its path and by every parameter, and returns how
// often it asked.
func (c *caller) look(r *route, whose *belongings, others []*belongings) (asked int) {
	t := c.h.t
	t.Helper()
	root := "/" + strings.Split(r.path, "/")[1] + "/"
	check := func(path string, body any) {
		t.Helper()
		said := path
		if body != nil {
			text, _ := json.Marshal(body) // it was made of strings
			said += string(text)
		}
		if plain, err := url.QueryUnescape(said); err == nil {
			said += plain
		}
		got := c.send(r.method, path, body)
		asked++
		require.Less(t, got.status, 500, "%s: %s %s: %s", c.name, r.method, path, got.body)
		for _, other := range others {
			require.Empty(t, other.tells(said, got), "%s is told by %s %s (%s), asking for what %q has: %d %s", c.name, r.method, path, r.operation, whose.tenant, got.status, got.body)
		}
	}
	path := r.at(whose)
	if r.method != http.MethodGet && r.operation == "" {
		form := c.form(root, "sure", "yes", "endpoint", whose.endpoint, "event", whose.event, "state", "dead", "delivery", "dead "+whose.endpoint+" "+whose.event,
			"which", "some", "act", "resend", "name", "name", "url", "https://example.com/x", "tenant", whose.tenant, "back", "log", "scope", "endpoints:read")
		check(path, form)
		form.Set("act", "try")
		check(path, form)
		return asked
	}
	if r.method != http.MethodGet {
		check(path, whose.bodies(r.operation))
		return asked
	}
	check(path, nil)
	for _, name := range r.parameters {
		for _, value := range whose.value(name) {
			check(path+"?"+url.Values{name: {value}}.Encode(), nil)
		}
	}
	if strings.HasSuffix(r.path, "/attempt") {
		at := c.h.text("SELECT to_char(attempted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM tailpost.attempt WHERE event_id = $1 LIMIT 1", whose.event)
		check(path+"?"+url.Values{"event": {whose.event}, "endpoint": {whose.endpoint}, "at": {at}, "n": {"1"}}.Encode(), nil)
	}
	return asked
}

// cursors are positions that only the administrator was given.
func (h *house) cursors() (list []string) {
	h.t.Helper()
	for _, path := range []string{"endpoints", "attempts", "deliveries", "events", "replays", "resends", "keys", "audit", "portal-links"} {
		var page struct {
			NextCursor string `json:"next_cursor"`
		}
		require.NoError(h.t, json.Unmarshal([]byte(h.admin().get("/v1/"+path+"?limit=1").body), &page))
		if page.NextCursor != "" {
			list = append(list, page.NextCursor)
		}
	}
	require.Greater(h.t, len(list), 5)
	return list
}

// rows is all that tenants have, to see whether it changed.
func (h *house) rows(of ...*belongings) string {
	h.t.Helper()
	var all []string
	for _, b := range of {
		for _, sql := range []string{
			"SELECT e::text FROM tailpost.endpoint AS e WHERE id = '" + b.endpoint + "'", "SELECT d::text FROM tailpost.delivery AS d WHERE endpoint_id = '" + b.endpoint + "'",
			"SELECT r::text FROM tailpost.replay AS r WHERE endpoint_id = '" + b.endpoint + "'", "SELECT r::text FROM tailpost.resend AS r WHERE id = '" + b.resend + "'",
			"SELECT k::text FROM tailpost.api_key AS k WHERE id = '" + b.key + "'", "SELECT a::text FROM tailpost.attempt AS a WHERE endpoint_id = '" + b.endpoint + "'",
		} {
			all = append(all, h.text("SELECT COALESCE(string_agg(t.r, E'\\n' ORDER BY t.r), '') FROM ("+sql+") AS t (r)"))
		}
		if b.linkID != "" {
			all = append(all, h.text("SELECT l::text FROM tailpost.portal_link AS l WHERE id = $1", b.linkID))
		}
	}
	return strings.Join(all, "\n")
}

// TestNoStreamTellsOfAnotherTenant follows every stream while another tenant's attempts are
// recorded before one's own.
func TestNoStreamTellsOfAnotherTenant(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	mine, theirs := h.endpoint("alpha", "unmistakablealpha"), h.endpoint("bravo", "unmistakablebravo")
	own, _ := h.admin().made(http.MethodPost, "/v1/keys", map[string]any{"name": "alpha's", "tenant": "alpha"})["secret"].(string)
	streams := 0
	for _, r := range h.routes() {
		if !strings.HasSuffix(r.path, "/stream") {
			continue
		}
		streams++
		c := h.caller("key", own)
		switch {
		case strings.HasPrefix(r.path, "/panel/"):
			c = h.loggedIn("panel", own)
		case strings.HasPrefix(r.path, "/portal/"):
			c = h.visitor("alpha")
		}
		for _, query := range []string{"", "?tenant=bravo", "?endpoint_id=" + theirs, "?endpoint=" + theirs} {
			if (r.operation == "") == strings.Contains(query, "endpoint_id") {
				continue // the other site's word for it
			}
			if r.operation != "" && strings.Contains(query, "endpoint=") {
				continue
			}
			text := c.follow(r.path+query, func() {
				h.attempt(theirs, "event-of-theirs", "bravo", "unmistakablebravo")
				h.attempt(mine, "event-of-mine", "alpha", "unmistakablealpha")
			}, query == "")
			require.NotContains(t, text, "unmistakablebravo", r.path+query)
			require.NotContains(t, strings.ReplaceAll(text, query, ""), theirs, r.path+query)
		}
	}
	require.Equal(t, 3, streams)
}

// streamed returns the lines of a stream of events, which ends with ctx.
func streamed(ctx context.Context, c *caller, path string) *bufio.Scanner {
	t := c.h.t
	t.Helper()
	res, err := c.client.Do(c.request(ctx, http.MethodGet, path, nil))
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	require.Equal(t, http.StatusOK, res.StatusCode, path)
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"), path)
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	return lines
}

// follow reads a stream until it tells of an attempt of one's own, where it should, or for as long
// as others take to be told.
func (c *caller) follow(path string, happen func(), wants bool) string {
	t := c.h.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	lines := streamed(ctx, c, path)
	var b strings.Builder
	require.True(t, lines.Scan(), "it follows")
	happen()
	if !wants {
		// Two more streams see theirs and mine: then this one has had the time.
		go func() {
			defer cancel()
			other := c.h.caller("admin", houseKey)
			other.until(ctx, "/v1/attempts/stream", "event-of-mine", happen)
		}()
	}
	for lines.Scan() {
		b.WriteString(lines.Text() + "\n")
		if wants && strings.Contains(b.String(), "event-of-mine") {
			return b.String()
		}
	}
	require.False(t, wants, "nothing of one's own came: %s", b.String())
	return b.String()
}

// until follows a stream until it tells of something.
func (c *caller) until(ctx context.Context, path, word string, happen func()) {
	res, err := c.client.Do(c.request(ctx, http.MethodGet, path, nil))
	if err != nil {
		return
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if happen != nil {
			happen()
			happen = nil
		}
		if strings.Contains(lines.Text(), word) {
			return
		}
	}
}
