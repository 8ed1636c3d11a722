package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhyAndWhyNot(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, `INSERT INTO public.outbox (id, type, key, tenant, payload, created_at) VALUES
		($1, 'order.created', '42', 'acme', '{"total": 80, "country": "DE"}', now() + interval '1 minute'),
		($2, 'order.created', '42', 'acme', '{"total": 80}', now() - interval '1 hour')`, rowOfAcme, rowOfNone)
	endpoint := func(body map[string]any) string {
		body["url"] = "https://a.example"
		return b.post(t, "/v1/endpoints", body).is(http.StatusCreated).text("id")
	}
	where := endpoint(map[string]any{"where": `event.data.country == "DE" && event.data.total > 100`})
	missing := endpoint(map[string]any{"where": `event.data.city == "Berlin"`})
	typed := endpoint(map[string]any{"events": []string{"user.*", "order"}})
	short := endpoint(map[string]any{"events": []string{"*"}})
	other := endpoint(map[string]any{"tenant": "other"})
	plain := endpoint(map[string]any{})
	ordered := endpoint(map[string]any{"ordering": "key"})
	paused := endpoint(map[string]any{})
	dead := endpoint(map[string]any{})
	several := endpoint(map[string]any{"subscriptions": []any{map[string]any{"events": []string{"user.*"}}, map[string]any{"events": []string{"order.*"}, "where": "event.data.total < 100"}}})
	b.attempted(t, rowOfAcme, plain, "stream")
	b.insertDelivery(t, "before", ordered, "pending", 16)
	b.insertDelivery(t, rowOfAcme, ordered, "pending", 17)
	b.exec(t, "UPDATE tailpost.delivery SET key = '42', next_attempt_at = CASE event_id WHEN 'before' THEN '2026-03-14 14:05:00+00'::timestamptz END WHERE endpoint_id = $1", ordered)
	b.insertDelivery(t, rowOfAcme, paused, "pending", 16)
	b.exec(t, "UPDATE tailpost.delivery SET reason = 'paused', next_attempt_at = NULL WHERE endpoint_id = $1", paused)
	b.post(t, "/v1/endpoints/"+paused+"/pause", nil).is(http.StatusOK)
	b.insertDelivery(t, rowOfAcme, dead, "dead", 16)

	explain := func(event, at string) *answer {
		a := b.get(t, "/v1/events/"+event+"/explain?endpoint="+at).is(http.StatusOK)
		require.Len(t, a.list("endpoints"), 1)
		return a
	}
	for at, want := range map[string][2]string{
		where:   {"not_wanted", "event.data.total > 100 is false: event.data.total is 80"},
		missing: {"not_wanted", `not true, for want of a value: event.data.city is null`},
		typed:   {"not_wanted", "The type order.created is not among user.*, order."},
		short:   {"not_wanted", `The type order.created is not among *: "*" stands for one segment there, "**" for all that follow.`},
		other:   {"not_wanted", "The event's tenant is acme, the endpoint's other."},
		plain:   {"delivered", "by attempt 1, with status 200."},
		ordered: {"pending", "Queued behind event before of key 42, which waits for attempt 4 at 2026-03-14 14:05:00 UTC."},
		paused:  {"pending", "The endpoint is paused"},
		dead:    {"dead", "Given up after 3 attempts: the last answer was status 500."},
		several: {"expected", "has not come to it yet"},
	} {
		got := explain(rowOfAcme, at)
		require.Equal(t, want[0], got.at("endpoints.0.verdict"), "%s", got.Body)
		require.Contains(t, got.text("endpoints.0.sentence"), want[1])
	}
	require.Equal(t, "before", explain(rowOfAcme, ordered).at("endpoints.0.waits_for.event_id"))
	require.Equal(t, "too_old", explain(rowOfNone, plain).at("endpoints.0.verdict"))
	require.Contains(t, explain(rowOfNone, plain).text("endpoints.0.sentence"), "The endpoint was made at")

	// Delivered counts, whatever the settings say by now.
	b.do(t, call{key: adminKey, method: http.MethodPatch, path: "/v1/endpoints/" + plain, body: map[string]any{"events": []string{"user.*"}}}).is(http.StatusOK)
	require.Equal(t, "delivered", explain(rowOfAcme, plain).at("endpoints.0.verdict"))

	// Without the payload a filter cannot be tried.
	b.attempted(t, "gone", plain, "stream")
	require.Equal(t, "unknown", explain("gone", where).at("endpoints.0.verdict"))

	all := b.get(t, "/v1/events/"+rowOfAcme+"/explain?limit=6").is(http.StatusOK)
	require.Len(t, all.list("endpoints"), 6)
	rest := b.get(t, "/v1/events/"+rowOfAcme+"/explain?limit=6&cursor="+all.text("next_cursor")).is(http.StatusOK)
	require.Len(t, rest.list("endpoints"), 4)
	b.get(t, "/v1/events/nothing/explain").is(http.StatusNotFound)
	b.get(t, "/v1/events/"+rowOfAcme+"/explain?endpoint=ep_none").is(http.StatusNotFound)

	_, key := b.key(t, "other")
	b.do(t, call{key: key, method: http.MethodGet, path: "/v1/events/" + rowOfAcme + "/explain"}).is(http.StatusNotFound)
	_, acme := b.key(t, "acme")
	require.Empty(t, b.do(t, call{key: acme, method: http.MethodGet, path: "/v1/events/" + rowOfAcme + "/explain"}).is(http.StatusOK).list("endpoints"))
	b.do(t, call{key: acme, method: http.MethodGet, path: "/v1/events/" + rowOfAcme + "/explain?endpoint=" + plain}).is(http.StatusNotFound)
}

// An event that could not be read is dead for everyone: so says each endpoint that has nothing of
// it, and a resend to one of them says what to resend.
func TestWhyAnEventThatCouldNotBeReadIsDead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1, 'order.created', '{}', now() + interval '1 minute')", rowOfNone)
	had := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusCreated).text("id")
	has := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusCreated).text("id")
	b.attempted(t, rowOfNone, had, "stream")
	b.insertDelivery(t, rowOfNone, "*", "dead", 16)
	b.exec(t, "UPDATE tailpost.delivery SET reason = 'invalid', attempts = 0, last_status = NULL, last_error = 'headers: not an object'")

	verdict := func(endpoint string) *answer {
		return b.get(t, "/v1/events/"+rowOfNone+"/explain?endpoint="+endpoint).is(http.StatusOK)
	}
	require.Equal(t, "delivered", verdict(had).text("endpoints.0.verdict"))
	require.Equal(t, "dead", verdict(has).text("endpoints.0.verdict"))
	require.Contains(t, verdict(has).text("endpoints.0.sentence"), "headers: not an object")
	refused := b.post(t, "/v1/deliveries/resend", map[string]any{"event_id": rowOfNone, "endpoint_id": has}).is(http.StatusConflict)
	require.Contains(t, refused.text("detail"), "resend its delivery to *")
}

// What was given up, waits for its time or for another, and why a list of types does not have it.
func TestWhyOfWhatIsNotDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1, 'order.created', '{}', now() + interval '1 minute')", rowOfNone)
	explain := func(change string, body map[string]any, prepare func(id string)) *answer {
		t.Helper()
		body["url"] = "https://a.example"
		id := b.post(t, "/v1/endpoints", body).is(http.StatusCreated).text("id")
		if prepare != nil {
			prepare(id)
		}
		if change != "" {
			b.exec(t, change+" WHERE endpoint_id = $1", id)
		}
		return b.get(t, "/v1/events/"+rowOfNone+"/explain?endpoint="+id).is(http.StatusOK)
	}
	sentence := func(verdict, text string, a *answer) {
		t.Helper()
		require.Equal(t, verdict, a.at("endpoints.0.verdict"), "%s", a.Body)
		require.Contains(t, a.text("endpoints.0.sentence"), text)
	}
	plain, waits := map[string]any{}, func(id string) { b.insertDelivery(t, rowOfNone, id, "pending", 16) }
	behind := func(id string) {
		b.insertDelivery(t, "before", id, "pending", 15)
		waits(id)
	}
	const due = "UPDATE tailpost.delivery SET next_attempt_at = '2026-03-14 14:05:00+00'"
	sentence("discarded", "A person discarded it at 2", explain("", plain, func(id string) {
		b.insertDelivery(t, rowOfNone, id, "dead", 16)
		b.exec(t, "UPDATE tailpost.delivery SET attempts = 0 WHERE endpoint_id = $1", id)
		b.post(t, "/v1/deliveries/discard", map[string]any{"event_id": rowOfNone, "endpoint_id": id}).is(http.StatusOK)
	}))
	sentence("discarded", "It was attempted, the last time at 2", explain("UPDATE tailpost.attempt SET outcome = 'dead'", plain,
		func(id string) { b.attempted(t, rowOfNone, id, "stream") }))
	sentence("pending", "Waits for attempt 4 at 2026-03-14 14:05:00 UTC: the last answer was status 500.", explain(due, plain, waits))
	sentence("pending", "rate. Due at 2026-03-14 14:05:00 UTC.", explain(due+", reason = 'rate_limited'", plain, waits))
	for _, reason := range []string{"paused", "disabled", "unusable"} {
		got := explain(due+", reason = '"+reason+"'", plain, waits)
		require.NotContains(t, got.text("endpoints.0.sentence"), "Due at", "its time is not what it waits for")
	}
	ordered := map[string]any{"ordering": "strict"}
	sentence("pending", "Queued behind event before, which was given up and holds", explain("UPDATE tailpost.delivery SET state = CASE event_id WHEN 'before' THEN 'dead' ELSE state END, next_attempt_at = NULL",
		map[string]any{"ordering": "strict", "on_dead": "hold"}, behind))
	sentence("pending", "Queued behind event before, which waits: The endpoint is paused", explain("UPDATE tailpost.delivery SET next_attempt_at = NULL, reason = 'paused'", ordered, behind))
	sentence("not_wanted", "among a1, a2, a3, a4, a5 and 2 more.", explain("", map[string]any{"events": []string{"a1", "a2", "a3", "a4", "a5", "a6", "a7"}}, nil))
	twice := map[string]any{"events": []string{"user.*"}}
	got := explain("", map[string]any{"subscriptions": []any{twice, twice}}, func(id string) {
		b.patch(t, "/v1/endpoints/"+id, map[string]any{"status": "disabled"}).is(http.StatusOK)
	})
	require.Equal(t, "The type order.created is not among user.*.", got.at("endpoints.0.sentence"), "the same is said once")
	require.Contains(t, string(got.Body), "disabled: disabled through the API")
}

// What the relay has not come to yet is on its way; what it has passed without a trace is for the
// next audit.
func TestWhatTheRelayHasPassedIsToldFromWhatIsYetToCome(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1, 'order.created', '{}', now() + interval '1 minute')", rowOfNone)
	id := b.endpoint(t, "")
	b.exec(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, updated_at, started_at)
		VALUES ('tailpost', 1, 'o', 's', 1, 1, '0/10', now(), now() - interval '1 day')`)
	for settled, want := range map[string]string{"30 seconds": "has not come to it yet", "2 minutes": "the next audit looks for it"} {
		b.exec(t, "UPDATE tailpost.relay SET settled_at = now() + $1::text::interval", settled)
		got := b.get(t, "/v1/events/"+rowOfNone+"/explain?endpoint="+id).is(http.StatusOK)
		require.Equal(t, "expected", got.at("endpoints.0.verdict"))
		require.Contains(t, got.text("endpoints.0.sentence"), want, settled)
	}
}

// Where the data of the pinned version cannot be made the event goes out all the same, and its
// attempt says what is wrong: that is no reason not to expect it.
func TestWhatCannotBeMadeIntoItsVersionIsExpected(t *testing.T) {
	t.Parallel()
	b := setup(t, withVersions(t, moneyVersions()))
	b.exec(t, "INSERT INTO public.outbox (id, type, payload, created_at) VALUES ($1, 'order.created', '{}', now() + interval '1 minute')", rowOfNone)
	id := b.post(t, "/v1/endpoints", map[string]any{
		"url": "https://a.example", "where": "event.data.total < 100", "payload_version": "2025-01-01",
	}).is(http.StatusCreated).text("id")
	reversion(t, b, map[string]string{"2026-09-20": ""})
	got := b.get(t, "/v1/events/"+rowOfNone+"/explain?endpoint="+id).is(http.StatusOK)
	require.Equal(t, "expected", got.at("endpoints.0.verdict"), "%s", got.Body)
	require.Contains(t, string(got.Body), "cannot be made, so that the filter is not tried")
}
