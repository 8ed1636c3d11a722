package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listEvents reads all pages of a list of events, and returns them as one.
func listEvents(t *testing.T, b *bundle, key, parameters string) *answer {
	t.Helper()
	var all []any
	for next := parameters; ; {
		page := b.do(t, call{key: key, method: http.MethodGet, path: "/v1/events" + next}).is(http.StatusOK)
		all = append(all, page.list("data")...)
		if next = parameters + "&cursor=" + page.text("next_cursor"); page.text("next_cursor") == "" {
			body, err := json.Marshal(map[string]any{"data": all, "order": page.at("order")})
			require.NoError(t, err)
			return &answer{t: t, Status: page.Status, Body: body}
		}
	}
}

func TestEventsAreListedWithWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first, second := b.endpoint(t, ""), b.endpoint(t, "")
	b.exec(t, "CREATE INDEX ON public.outbox (created_at)")
	event := func(n string) string { return "018f0000-0000-7000-8000-00000000000" + n }
	b.exec(t, `INSERT INTO public.outbox (id, type, key, tenant, payload, created_at)
		SELECT ('018f0000-0000-7000-8000-00000000000' || n)::uuid, 'order.' || n, '42', 'acme', '{}', now() - n * interval '1 minute'
		FROM generate_series(1, 7) AS n`)
	b.exec(t, "UPDATE public.outbox SET created_at = '20231-01-01' WHERE id = $1", event("7"))
	b.attempted(t, event("1"), first, "stream")
	b.attempted(t, event("2"), first, "stream")
	b.insertDelivery(t, event("2"), second, "pending", 16)
	b.attempted(t, event("3"), first, "stream")
	b.insertDelivery(t, event("3"), second, "dead", 16)
	b.insertDelivery(t, event("4"), first, "dead", 16)
	b.post(t, "/v1/deliveries/discard", map[string]any{"event_id": event("4")}).is(http.StatusOK)
	b.exec(t, "UPDATE tailpost.attempt SET event_id = 'gone' WHERE event_id = $1", event("4"))
	b.attempted(t, event("4"), first, "stream")
	b.exec(t, "UPDATE tailpost.attempt SET outcome = 'dead' WHERE event_id = $1", event("4"))
	b.attempted(t, "gone", first, "stream")
	b.attempted(t, event("5"), first, "test") // which is no delivery
	b.exec(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at)
		VALUES ('tailpost', 1, 'o', 's', 1, 1, '0/10', now() - interval '330 seconds', now())`)

	page := listEvents(t, b, adminKey, "?")
	states := map[string]any{}
	for i := range page.list("data") {
		at := "data." + string(rune('0'+i))
		states[page.text(at+".type")] = page.at(at + ".state")
	}
	require.Equal(t, map[string]any{
		"order.1": "delivered", "order.2": "pending", "order.3": "dead", "order.4": "discarded", "order.5": "new", "order.6": "unmatched",
		"order.7": "new", "order.created": "delivered",
	}, states)
	require.Equal(t, "created_at", page.at("order"))
	require.Equal(t, "order.7", page.at("data.0.type"))
	require.Nil(t, page.at("data.0.created_at"), "no time that can be written")
	require.Equal(t, "order.1", page.at("data.1.type"))
	require.Equal(t, 1, page.at("data.2.delivered"))
	require.Equal(t, 1, page.at("data.2.pending"))
	require.Equal(t, "gone", page.at("data.7.id"))
	require.Equal(t, false, page.at("data.7.payload_exists"))

	require.Len(t, b.get(t, "/v1/events?type=order.*&key=42&tenant=acme&limit=2").is(http.StatusOK).list("data"), 2)
	require.Empty(t, b.get(t, "/v1/events?key=41").is(http.StatusOK).list("data"))
	require.Equal(t, "type", b.get(t, "/v1/events?type=order..x").is(http.StatusUnprocessableEntity).at("errors.0.parameter"))
	one := b.get(t, "/v1/events?id="+event("3")).is(http.StatusOK)
	require.Equal(t, "dead", one.at("data.0.state"))
	require.Empty(t, b.get(t, "/v1/events?id=nothing").is(http.StatusOK).list("data"))
	for _, beside := range []string{"key=42", "type=order.3", "since=2026-01-01T00:00:00Z", "until=2036-01-01T00:00:00Z"} {
		b.get(t, "/v1/events?"+beside+"&id="+event("3")).is(http.StatusUnprocessableEntity)
	}
	require.Len(t, b.get(t, "/v1/events?tenant=acme&id="+event("3")).is(http.StatusOK).list("data"), 1)
	require.Empty(t, b.get(t, "/v1/events?tenant=other&id="+event("3")).is(http.StatusOK).list("data"))
	since := time.Now().Add(-150 * time.Second).UTC().Format(time.RFC3339)
	until := time.Now().Add(-90 * time.Second).UTC().Format(time.RFC3339)
	require.Len(t, listEvents(t, b, adminKey, "?since="+since+"&until="+until).list("data"), 1)

	_, other := b.key(t, "other")
	require.Empty(t, b.do(t, call{key: other, method: http.MethodGet, path: "/v1/events"}).is(http.StatusOK).list("data"))
	require.Empty(t, b.do(t, call{key: other, method: http.MethodGet, path: "/v1/events?id=" + event("3")}).is(http.StatusOK).list("data"))
	require.Empty(t, b.do(t, call{key: other, method: http.MethodGet, path: "/v1/events?tenant=acme"}).is(http.StatusOK).list("data"))
	_, acme := b.key(t, "acme")
	mine := listEvents(t, b, acme, "?type=order.*")
	require.Len(t, mine.list("data"), 7)
	require.Equal(t, 0, mine.at("data.1.delivered"), "the endpoints are not this tenant's")
}

func TestAListOfEventsSaysWhichIndexItLacks(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "DROP TABLE public.outbox")
	b.exec(t, "CREATE TABLE public.outbox (id text PRIMARY KEY, type text NOT NULL, key text, tenant text, payload jsonb, created_at timestamptz)")
	page := b.get(t, "/v1/events?key=7").is(http.StatusOK)
	require.Equal(t, "id", page.at("order"))
	require.Contains(t, page.text("advice.0"), `CREATE INDEX CONCURRENTLY ON "public"."outbox" ("created_at", "id")`)
	require.Contains(t, page.text("advice.1"), `("key")`)
	for _, advice := range page.list("advice") {
		text, _ := advice.(string)
		b.exec(t, text[strings.Index(text, "CREATE"):])
	}
	page = b.get(t, "/v1/events?key=7").is(http.StatusOK)
	require.Equal(t, "created_at", page.at("order"))
	require.Empty(t, page.list("advice"))
}

// TestTheStateOfAnEventIsThatOfTheCallersEndpoints: what waits for somebody else's is not shown.
func TestTheStateOfAnEventIsThatOfTheCallersEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	operators, own := b.endpoint(t, ""), b.endpoint(t, "acme")
	_, acme := b.key(t, "acme")
	const event = "018f0000-0000-7000-8000-000000000001"
	b.exec(t, "INSERT INTO public.outbox (id, type, tenant, payload) VALUES ($1, 'order.created', 'acme', '{}')", event)
	b.insertDelivery(t, event, operators, "pending", 16)
	b.attempted(t, event, own, "stream")
	for _, path := range []string{"/v1/events", "/v1/events?id=" + event} {
		state := func(key string) []any {
			got := b.do(t, call{key: key, method: http.MethodGet, path: path}).is(http.StatusOK)
			return []any{got.at("data.0.state"), got.at("data.0.delivered"), got.at("data.0.pending")}
		}
		require.Equal(t, []any{"pending", 1, 1}, state(adminKey), path)
		require.Equal(t, []any{"delivered", 1, 0}, state(acme), path)
	}
}
