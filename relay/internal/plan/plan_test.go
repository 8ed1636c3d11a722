package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/plan"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// madeSQL fills a database with more endpoints than are read at once, and with a few events. The
// endpoints of the configuration come behind those of the API.
const madeSQL = `
INSERT INTO tailpost.endpoint (id, name, url, description, subscriptions, policy, status, source, created_at, updated_at)
SELECT 'ep-' || lpad(n::text, 3, '0'), 'of a customer', 'https://c.example/', '', '[]', jsonb_build_object('version', '2020-01-0' || n % 2 + 1), 'active', 'api', now(), now()
FROM generate_series(1, 603) AS n;
INSERT INTO outbox (type, tenant, payload)
VALUES ('order.paid', 'acme', '{"total": 7}'), ('order.paid', NULL, '{"total": 700}'), ('order.created', 'acme', '{}'), ('user.created', NULL, '{}');
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, commit_lsn, seq, event_created_at, created_at, updated_at)
SELECT 'event-' || n, endpoint, state, 'retry', 1, 'order.paid', '0/10', n, now(), now(), now()
FROM (VALUES (1, 'changed', 'pending'), (2, 'changed', 'pending'), (3, 'changed', 'dead'), (4, 'back', 'pending'), (5, 'same', 'pending'), (6, 'gone', 'dead')) AS v (n, endpoint, state)`

func subscribe(id, url string, events ...string) config.Endpoint {
	return config.Endpoint{ID: id, Name: id, URL: url, Secrets: []config.Secret{config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}, Subscriptions: []config.Subscription{{Events: events}}}
}

func complete(t *testing.T, endpoints ...config.Endpoint) *config.Config {
	t.Helper()
	cfg := &config.Config{Database: config.Database{URL: config.NewSecret("postgres://db/app"), Slot: "shop"}, Endpoints: endpoints}
	cfg, err := cfg.Complete()
	require.NoError(t, err)
	return cfg
}

func TestMake(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), madeSQL, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	was := complete(t, subscribe("changed", "https://a.example/", "order.*"), subscribe("gone", "https://a.example/", "**"), subscribe("back", "https://a.example/", "**"),
		subscribe("old", "https://a.example/", "**"), subscribe("same", "https://a.example/", "**"))
	for i := range was.Endpoints {
		e := &was.Endpoints[i]
		if e.ID == "old" {
			e.Version = "2020-01-01" // what it pins keeps nobody waiting
		}
		subscriptions, policy, err := ledger.EncodeEndpoint(*e)
		require.NoError(t, err)
		status, reason := ledger.StatusActive, ""
		if e.ID == "back" || e.ID == "old" {
			status, reason = ledger.StatusDisabled, ledger.ReasonRemoved
		}
		_, err = conn.Exec(t.Context(), `INSERT INTO tailpost.endpoint (id, name, url, description, subscriptions, policy, status, disabled_reason, source, created_at, updated_at)
			VALUES ($1, $1, $2, '', $3, $4, $5, NULLIF($6, ''), 'config', '2026-01-01', '2026-01-01')`, e.ID, e.ShownURL(), subscriptions, policy, status, reason)
		require.NoError(t, err)
	}
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(store.Close)

	next := []config.Endpoint{
		subscribe("same", "https://a.example/", "**"), subscribe("new", "https://a.example/", "user.*"),
		subscribe("changed", "https://b.example/", "order.paid", "user.*"), subscribe("back", "https://a.example/", "order.created"),
	}
	p, err := plan.Make(t.Context(), store, complete(t, next...))
	require.NoError(t, err)
	require.True(t, p.Changes())
	made, err := json.MarshalIndent(p, "", " ")
	require.NoError(t, err)
	require.JSONEq(t, `{
		"endpoints": [
			{"id": "back", "action": "return",
				"settings": [{"name": "subscriptions", "before": "[{\"events\":[\"**\"]}]", "after": "[{\"events\":[\"order.created\"]}]"}],
				"matched_before": 0, "matched": 1, "newly_matched": 1, "no_longer_matched": 0, "pending": 1, "dead": 0, "notes": ["1 queued: they go out"]},
			{"id": "changed", "action": "change", "settings": [
					{"name": "subscriptions", "before": "[{\"events\":[\"order.*\"]}]", "after": "[{\"events\":[\"order.paid\",\"user.*\"]}]"},
					{"name": "url", "before": "https://a.example/", "after": "https://b.example/"}],
				"matched_before": 3, "matched": 3, "newly_matched": 1, "no_longer_matched": 1, "pending": 2, "dead": 1, "notes": ["2 queued: they go to the new URL"]},
			{"id": "gone", "action": "remove", "settings": [],
				"matched_before": 4, "matched": 0, "newly_matched": 0, "no_longer_matched": 4, "pending": 0, "dead": 1, "notes": []},
			{"id": "new", "action": "add", "settings": [],
				"matched_before": 0, "matched": 1, "newly_matched": 1, "no_longer_matched": 0, "pending": 0, "dead": 0, "notes": []}],
		"drift": [],
		"pins": [
			{"version": "2020-01-02", "endpoints": 302, "examples": ["ep-001", "ep-003", "ep-005", "ep-007", "ep-009"]},
			{"version": "2020-01-01", "endpoints": 301, "examples": ["ep-002", "ep-004", "ep-006", "ep-008", "ep-010"]}],
		"versions": [], "blocks": [], "looked_at": 4, "whole": true, "uncompared": "no relay has had slot \"shop\" yet"
	}`, string(made))

	// There is nothing to look at where events come as messages only, and no need where nothing
	// changes.
	untold := complete(t, next...)
	untold.Outbox.Mapping.Table = ""
	p, err = plan.Make(t.Context(), store, untold)
	require.NoError(t, err)
	require.False(t, p.Whole)
	require.Contains(t, p.Note, "events come as logical messages only")
	p, err = plan.Make(t.Context(), store, complete(t, subscribe("changed", "https://a.example/", "order.*"), subscribe("gone", "https://a.example/", "**"), subscribe("same", "https://a.example/", "**")))
	require.NoError(t, err)
	require.Empty(t, p.Endpoints)
	require.True(t, p.Whole)
	require.Zero(t, p.LookedAt)
	_, err = plan.Make(t.Context(), store, complete(t, subscribe("ep-001", "https://a.example/", "**")))
	require.ErrorContains(t, err, `"ep-001" exists already, made through the API`)
	_, err = conn.Exec(t.Context(), "ALTER TABLE outbox DROP CONSTRAINT outbox_pkey")
	require.NoError(t, err)
	p, err = plan.Make(t.Context(), store, complete(t, next...))
	require.NoError(t, err)
	require.False(t, p.Whole)
	require.Contains(t, p.Note, "cannot be listed")
}
