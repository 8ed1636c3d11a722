package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/api"
	"github.com/tailpost/tailpost/relay/internal/query"
)

func TestCompletenessTellsTheMissingFromTheUnwanted(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "CREATE INDEX ON public.outbox (created_at)")
	id := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "events": []string{"order.*"}, "where": "event.data.total > 10"}).is(http.StatusCreated).text("id")
	// One that the configuration has no more wants nothing.
	b.exec(t, `INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, disabled_reason, source, created_at, updated_at)
		VALUES ('gone', 'gone', 'https://b.example', '[{"events":[]}]', '{}', 'disabled', 'removed from the configuration', 'config', now(), now())`)
	b.exec(t, "UPDATE tailpost.endpoint SET created_at = now() - interval '1 day'")
	b.exec(t, "ALTER TABLE tailpost.endpoint DISABLE TRIGGER note_routing")
	b.exec(t, "UPDATE tailpost.endpoint SET routed_since = now() - interval '50 minutes'")
	// Every ten minutes one: delivered, dead, lost, below the filter, of another type, too early
	// for the endpoint, not settled yet.
	b.exec(t, `INSERT INTO public.outbox (id, type, payload, created_at)
		SELECT ('018f0000-0000-7000-8000-00000000000' || n)::uuid, CASE n WHEN 5 THEN 'user.gone' ELSE 'order.paid' END,
			(CASE n WHEN 4 THEN '{"total": 9}' ELSE '{"total": 11}' END)::jsonb, now() - CASE n WHEN 7 THEN interval '1 second' ELSE n * interval '10 minutes' END
		FROM generate_series(1, 7) AS n`)
	event := func(n string) string { return "018f0000-0000-7000-8000-00000000000" + n }
	b.attempted(t, event("1"), id, "stream")
	b.insertDelivery(t, event("2"), id, "dead", 16)
	b.exec(t, `INSERT INTO tailpost.relay (slot, epoch, owner, system_id, timeline, batch, settled_lsn, settled_at, updated_at, started_at, audited_at)
		VALUES ('tailpost', 1, 'o', 's', 1, 1, '0/10', now() - interval '1 minute', now(), now() - interval '1 day', now() - interval '1 hour')`)
	b.exec(t, `INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, note, detected_at, at)
		VALUES ('tailpost', 'slot lost', '0/1', '0/2', 3, 4, 'one could not be read', now(), now())`)

	got := b.get(t, "/v1/relay/completeness").is(http.StatusOK)
	for name, want := range map[string]any{
		"seen": 7, "whole": true, "delivered": 1, "dead": 1, "unaccounted": 1, "filtered_out": 3, "new": 1, "pending": 0, "discarded": 0,
	} {
		require.Equal(t, want, got.at("events."+name), name)
	}
	require.Equal(t, []any{event("3")}, got.at("unaccounted"))
	n, err := countUnaccounted(t, b)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NotNil(t, got.at("audit.audited_at"))
	require.Equal(t, 1, got.at("gaps_found"))
	require.Equal(t, "one could not be read", got.at("gaps.0.note"))
	some := b.get(t, "/v1/relay/completeness?events=2").is(http.StatusOK)
	require.Equal(t, 2, some.at("events.seen"))
	require.Equal(t, false, some.at("events.whole"))

	// From before the first slot: nobody's.
	b.exec(t, "UPDATE tailpost.relay SET started_at = now() - interval '5 minutes'")
	require.Equal(t, 0, b.get(t, "/v1/relay/completeness").is(http.StatusOK).at("events.unaccounted"))
	_, tenant := b.key(t, "acme")
	b.do(t, call{key: tenant, method: http.MethodGet, path: "/v1/relay/completeness"}).is(http.StatusNotFound)
}

func TestCompletenessTellsHowFastTheLogGrows(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0)
	b.get(t, "/v1/relay/completeness").is(http.StatusOK)
	b.exec(t, "SELECT pg_logical_emit_message(true, 'nobody', repeat('x', 3000000))")
	b.advance(10 * time.Second)
	var got api.Completeness
	require.NoError(t, json.Unmarshal(b.get(t, "/v1/relay/completeness").is(http.StatusOK).Body, &got))
	require.Greater(t, got.WAL.BytesPerSecond, 250_000.0)
}

func TestCompletenessWithoutATableSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Outbox = config.Outbox{Messages: "app", Mapping: outbox.Mapping{}} })
	got := b.get(t, "/v1/relay/completeness").is(http.StatusOK)
	require.Equal(t, 0, got.at("events.seen"))
	require.Equal(t, false, got.at("events.whole"))
	require.Contains(t, got.text("events.note"), "logical messages")
	_, err := countUnaccounted(t, b)
	require.ErrorContains(t, err, "no outbox table")
}

// countUnaccounted is what the metrics ask.
func countUnaccounted(t *testing.T, b *bundle) (int, error) {
	t.Helper()
	store, err := query.Open(t.Context(), query.Options{URL: b.cfg.Database.URL, Mapping: b.cfg.Outbox.Mapping})
	require.NoError(t, err)
	defer store.Close()
	return api.Unaccounted(t.Context(), store, "tailpost", nil)
}
