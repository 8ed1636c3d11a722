package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// searchable names what events are found by.
func searchable(t *testing.T) func(*config.Config) {
	t.Helper()
	search, diags := config.CompileSearch(`{ order = event.data.order_id, invoice = event.data.invoice }`, "test.hcl", 1)
	require.Empty(t, diags)
	return func(c *config.Config) { c.Outbox.Search = search }
}

// found are the ids of a list.
func found(t *testing.T, b *bundle, key, path, name string) []string {
	t.Helper()
	ids := []string{}
	for next := path; ; {
		page := b.do(t, call{key: key, method: http.MethodGet, path: next}).is(http.StatusOK)
		for _, row := range page.list("data") {
			id, _ := row.(map[string]any)[name].(string)
			ids = append(ids, id)
		}
		if page.text("next_cursor") == "" {
			return ids
		}
		next = path + "&cursor=" + page.text("next_cursor")
	}
}

// "Where is order 42?" finds what was attempted, newest first, whether its outbox row is there or
// not, and before it what has not been attempted at all.
func TestEventsAreFoundByWhatTheConfigurationNames(t *testing.T) {
	t.Parallel()
	b := setup(t, searchable(t))
	first, second := b.endpoint(t, ""), b.endpoint(t, "acme")
	event := func(n string) string { return "018f0000-0000-7000-8000-00000000000" + n }
	b.exec(t, `INSERT INTO public.outbox (id, type, key, tenant, payload, created_at)
		SELECT ('018f0000-0000-7000-8000-00000000000' || n)::uuid, 'order.created', 'k' || n, 'acme', '{}', now() - interval '1 day'
		FROM generate_series(1, 3) AS n`)
	for _, id := range []string{event("1"), event("2"), "gone"} {
		b.attempted(t, id, first, "stream")
		b.attempted(t, id, second, "retry")
	}
	b.attempted(t, event("3"), first, "stream")
	b.exec(t, `UPDATE tailpost.attempt SET search = '{order=42,invoice=R1}' WHERE event_id = $1`, event("1"))
	b.exec(t, `UPDATE tailpost.attempt SET search = '{order=42,invoice=R2}', attempted_at = attempted_at - interval '1 minute' WHERE event_id = 'gone'`)
	b.exec(t, `UPDATE tailpost.attempt SET search = '{order=7,invoice=42}', attempted_at = attempted_at - interval '2 minutes' WHERE event_id = $1`, event("2"))
	// The last attempt of an event was made under a configuration that named nothing.
	b.exec(t, `UPDATE tailpost.attempt SET search = NULL, attempted_at = now() WHERE event_id = 'gone' AND endpoint_id = $1`, first)
	b.insertDelivery(t, "waits", second, "pending", 16)
	b.insertDelivery(t, event("1"), first, "pending", 16)
	b.exec(t, `UPDATE tailpost.delivery SET attempts = 0, search = '{order=42}', tenant = 'acme'`)
	b.exec(t, `UPDATE tailpost.attempt SET tenant = 'acme'`)

	list := func(q string) []string { return found(t, b, adminKey, "/v1/events?"+q, "id") }
	require.Equal(t, []string{"waits", event("1"), "gone"}, list("search=order%3D42"))
	require.Equal(t, []string{"waits", event("1"), "gone"}, list("limit=1&search=order%3D42"))
	require.Equal(t, []string{"waits", event("1"), "gone", event("2")}, list("search=42"), "under every name")
	require.Equal(t, []string{"gone"}, list("search=order%3D42&search=R2"), "all of them")
	require.Equal(t, []string{event("1")}, list("search=42&since="+url.QueryEscape(b.minutesAgo(t))))
	require.Empty(t, list("search=order%3D43"))
	require.Empty(t, list("search=order%3D42&type=invoice.*"))
	page := b.get(t, "/v1/events?search=order%3D42").is(http.StatusOK)
	require.Equal(t, "attempted_at", page.at("order"))
	require.Equal(t, "k1", page.at("data.1.key"), "from its row")
	require.Equal(t, "pending", page.at("data.0.state"))
	require.Equal(t, []any{true, true, false}, []any{page.at("data.0.payload_exists"), page.at("data.1.payload_exists"), page.at("data.2.payload_exists")})

	attempts := b.get(t, "/v1/attempts?search=invoice%3DR1").is(http.StatusOK)
	require.Len(t, attempts.list("data"), 2)
	require.Equal(t, map[string]any{"order": "42", "invoice": "R1"}, attempts.at("data.0.search"))
	require.Len(t, b.get(t, "/v1/endpoints/"+first+"/attempts?search=42").is(http.StatusOK).list("data"), 2)

	_, acme := b.key(t, "acme")
	require.Equal(t, []string{"waits", event("1"), "gone"}, found(t, b, acme, "/v1/events?search=order%3D42", "id"))
	_, other := b.key(t, "other")
	require.Empty(t, found(t, b, other, "/v1/events?search=42", "id"))
	require.Empty(t, found(t, b, other, "/v1/attempts?search=42", "event_id"))

	require.Equal(t, "search", b.get(t, "/v1/events?search=order%3D").is(http.StatusUnprocessableEntity).at("errors.0.parameter"))
	require.Equal(t, "key", b.get(t, "/v1/events?search=42&key=k1").is(http.StatusUnprocessableEntity).at("errors.0.parameter"))
	b.get(t, "/v1/events?search=42&id=gone").is(http.StatusUnprocessableEntity)
}

// Where the configuration names nothing, a value without a name cannot be looked for; one with a
// name can, for it may be on record.
func TestASearchWithoutNamesSaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	refused := b.get(t, "/v1/events?search=42").is(http.StatusUnprocessableEntity)
	require.Contains(t, refused.text("errors.0.detail"), "outbox { search =")
	b.get(t, "/v1/attempts?search=42").is(http.StatusUnprocessableEntity)
	require.Empty(t, found(t, b, adminKey, "/v1/events?search=order%3D42", "id"))
}

// A key that is bound to a tenant finds nothing that waits for, or went to, an endpoint of somebody
// else, its own events included.
func TestASearchIsATenantsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, searchable(t))
	operators, own := b.endpoint(t, ""), b.endpoint(t, "acme")
	b.insertDelivery(t, "waits there", operators, "pending", 16)
	b.insertDelivery(t, "waits here", own, "pending", 17)
	b.attempted(t, "went there", operators, "stream")
	b.attempted(t, "went here", own, "stream")
	b.exec(t, `UPDATE tailpost.delivery SET attempts = 0, search = '{order=42}', tenant = 'acme'`)
	b.exec(t, `UPDATE tailpost.attempt SET search = '{order=42}', tenant = 'acme'`)
	_, acme := b.key(t, "acme")
	require.Len(t, found(t, b, adminKey, "/v1/events?search=42", "id"), 4)
	require.Equal(t, []string{"waits here", "went here"}, found(t, b, acme, "/v1/events?search=42", "id"))
}

func TestStreamShowsWhatIsSearchedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, searchable(t))
	id := b.endpoint(t, "")
	f := follow(t, b, adminKey, "?search=order%3D42&search=R1", "")
	insertSearched(t, b, id, "other", "{order=43,invoice=R1}")
	insertSearched(t, b, id, "none", "{}")
	insertSearched(t, b, id, "this", "{invoice=R1,order=42}")
	name, data := f.next()
	require.Equal(t, "attempt", name)
	require.Contains(t, data, `"event_id":"this"`)
}

func insertSearched(tb testing.TB, b *bundle, endpoint, event, terms string) {
	tb.Helper()
	b.exec(tb, `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, duration_ms, attempted_at, commit_lsn, search)
VALUES ($1, 'order.created', $2, 1, 'stream', 'https://example.com/in', 'delivered', 200, 1, now(), '0/10', $3)`, event, endpoint, terms)
}
