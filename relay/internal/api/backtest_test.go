package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSubscriptionsAreTriedOnRecentEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, `INSERT INTO public.outbox (id, type, tenant, payload, created_at)
		SELECT ('018f0000-0000-7000-8000-0000000000' || to_char(n, 'FM00'))::uuid, CASE WHEN n % 2 = 0 THEN 'order.paid' ELSE 'order.created' END,
			CASE WHEN n > 20 THEN 'acme' END, ('{"total": ' || n || '}')::jsonb, now() - n * interval '1 minute'
		FROM generate_series(1, 30) AS n`)
	id := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "events": []string{"order.paid"}}).is(http.StatusCreated).text("id")
	before := b.count(t, "SELECT count(*) FROM tailpost.audit")

	got := b.post(t, "/v1/endpoints/"+id+"/backtest", map[string]any{
		"events": []string{"order.*"}, "where": "event.data.total > 9 && event.data.nothing == null", "body": "{ n = event.data.total }",
	}).is(http.StatusOK)
	require.Equal(t, 30, got.at("looked_at"))
	require.Equal(t, true, got.at("whole"))
	require.Equal(t, 15, got.at("matched_before"))
	require.Equal(t, 21, got.at("matched"))
	require.Equal(t, 10, got.at("newly_matched.count"), "order.created from 11 on")
	require.Equal(t, 4, got.at("no_longer_matched.count"), "order.paid until 8")
	require.Equal(t, "order.created", got.at("newly_matched.events.0.type"))
	require.Len(t, got.list("bodies"), 10)
	found := false
	for i := range got.list("bodies") {
		at := "bodies." + string(rune('0'+i))
		if got.at(at+".before.total") == 30 {
			found = got.at(at+".after.n") == 30
		}
	}
	require.True(t, found, "%s", got.Body)

	// Alone, the settings keep what is left out.
	kept := b.post(t, "/v1/endpoints/"+id+"/backtest", map[string]any{"where": "event.data.total > 20"}).is(http.StatusOK)
	require.Equal(t, 5, kept.at("matched"))
	anew := b.post(t, "/v1/endpoints/backtest", map[string]any{"most": 5}).is(http.StatusOK)
	require.Equal(t, 5, anew.at("looked_at"))
	require.Equal(t, true, anew.at("whole"), "as many as were asked for")
	require.Equal(t, 5, anew.at("newly_matched.count"))
	require.Equal(t, 0, anew.at("matched_before"))
	require.Equal(t, 10, b.post(t, "/v1/endpoints/backtest", map[string]any{"tenant": "acme"}).is(http.StatusOK).at("looked_at"))

	for pointer, body := range map[string]map[string]any{
		"#/where":                    {"where": "event.dta == 1"},
		"#/events/0":                 {"events": []string{"a..b"}},
		"#/subscriptions/0/events/0": {"subscriptions": []any{map[string]any{"events": []string{"a.**.b"}}}},
	} {
		require.Equal(t, pointer, b.post(t, "/v1/endpoints/backtest", body).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	}
	require.Equal(t, before, b.count(t, "SELECT count(*) FROM tailpost.audit"), "nothing is stored")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.endpoint WHERE version = 1"))

	_, acme := b.key(t, "acme")
	mine := b.do(t, call{key: acme, method: http.MethodPost, path: "/v1/endpoints/backtest", body: map[string]any{}}).is(http.StatusOK)
	require.Equal(t, 10, mine.at("looked_at"), "of its own events only")
	b.do(t, call{key: acme, method: http.MethodPost, path: "/v1/endpoints/backtest", body: map[string]any{"tenant": "other"}}).is(http.StatusUnprocessableEntity)
	b.do(t, call{key: acme, method: http.MethodPost, path: "/v1/endpoints/" + id + "/backtest", body: map[string]any{}}).is(http.StatusNotFound)

	// What is in payloads is told only to keys that may know.
	_, reads := b.key(t, "", "endpoints:read", "deliveries:read")
	for status, tries := range map[int][]map[string]any{
		http.StatusOK:        {{"events": []string{"a"}}, {"where": "", "body": ""}, {"subscriptions": []any{map[string]any{"events": []string{"a"}}}}},
		http.StatusForbidden: {{"where": "event.data.total > 1"}, {"body": "{ a = event.data.total }"}, {"subscriptions": []any{map[string]any{"where": "event.data.total > 1"}}}, {"subscriptions": []any{map[string]any{"body": "{ a = event.data.total }"}}}},
	} {
		for _, try := range tries {
			b.do(t, call{key: reads, method: http.MethodPost, path: "/v1/endpoints/backtest", body: try}).is(status)
		}
	}

	b.exec(t, "ALTER TABLE public.outbox DROP CONSTRAINT outbox_pkey")
	unlisted := b.post(t, "/v1/endpoints/backtest", map[string]any{}).is(http.StatusOK)
	require.Equal(t, []any{0, false}, []any{unlisted.at("looked_at"), unlisted.at("whole")}, "no index has an order for it")
	require.Contains(t, unlisted.text("note"), "cannot be listed")
}
