package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// insertDelivery parks a delivery as the relay would.
func (b *bundle) insertDelivery(tb testing.TB, event, endpoint, state string, lsn int) {
	tb.Helper()
	b.exec(tb, `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, payload,
    event_created_at, commit_lsn, seq, last_status, last_error, created_at, updated_at)
VALUES ($1, $2, $3, CASE $3 WHEN 'dead' THEN 'exhausted' ELSE 'failed' END, 3, CASE $3 WHEN 'dead' THEN NULL ELSE now() + interval '1 hour' END,
    'order.created', '{"id":7}', now() - interval '1 minute', ('0/' || to_hex($4::int))::pg_lsn, 0, 500, 'status 500', now(), now())`,
		event, endpoint, state, lsn)
}

// insertAttempts records attempts and their counters as the relay would.
func (b *bundle) insertAttempts(tb testing.TB, endpoint, outcome string, n int) {
	tb.Helper()
	b.exec(tb, `
INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, status_code, duration_ms, response_body,
    attempted_at, commit_lsn)
SELECT $2 || '-' || i, 'order.created', $1, 1, 'stream', 'https://example.com/in', $2, CASE $2 WHEN 'delivered' THEN 200 ELSE 500 END, 12.5, 'ok',
    now() - i * interval '1 millisecond', '0/10'
FROM generate_series(1, $3) AS i`, endpoint, outcome, n)
	b.exec(tb, `
INSERT INTO tailpost.endpoint_stats AS s (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
VALUES ($1, date_trunc('hour', now()), $3::int, CASE $2 WHEN 'delivered' THEN $3::int ELSE 0 END, CASE $2 WHEN 'delivered' THEN 0 ELSE $3::int END,
    CASE $2 WHEN 'dead' THEN $3::int ELSE 0 END, 12.5 * $3::int, ARRAY[0,0,0,0,$3::int,0,0,0,0,0,0,0,0,0,0]::bigint[])
ON CONFLICT (endpoint_id, hour) DO UPDATE
SET attempts = s.attempts + EXCLUDED.attempts, delivered = s.delivered + EXCLUDED.delivered, failed = s.failed + EXCLUDED.failed,
    dead = s.dead + EXCLUDED.dead, buckets[5] = s.buckets[5] + EXCLUDED.buckets[5]`, endpoint, outcome, n)
}

// TestWalk goes through what the public contracts that inspired the API promise, and calls every
// operation.
func TestWalk(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r := newReceiver(t)

	// Register with a list of events; the secret is shown once.
	made := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL + "/hooks?x=1", "events": []string{"order.created", "order.paid"}}).is(http.StatusCreated)
	id, secret := made.text("id"), made.text("secret")
	path := "/v1/endpoints/" + id

	// An empty list is all; PATCH of the events keeps secret and URL.
	patched := b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: map[string]any{"events": []string{}}}).is(http.StatusOK)
	require.Equal(t, []any{}, patched.at("events"))
	require.Equal(t, made.at("url"), patched.at("url"))
	require.Equal(t, secret[:12], patched.at("secret_prefix"))
	require.Equal(t, `"2"`, patched.Header.Get("ETag"))

	b.testEvents(t, path, secret, r)
	b.rotation(t, path, secret, r)
	b.states(t, path)
	b.catalogue(t)
	b.statsAndLog(t, id)
	b.queue(t, id)
	b.replaysAndEvents(t, id)
	b.keysAndRelay(t)

	// PUT replaces all but secret and status.
	put := b.do(t, call{key: adminKey, method: http.MethodPut, path: path, body: map[string]any{
		"url": "https://example.com/other", "status": "paused", "retry": map[string]any{"schedule": []string{"1s", "1m0s"}},
	}}).is(http.StatusOK)
	require.Equal(t, "paused", put.at("status"))
	require.Equal(t, []any{"1s", "1m0s"}, put.at("retry.schedule"))
	named := putNamed(t, b, adminKey, "name="+url.QueryEscape(put.text("name")), map[string]any{"url": "https://example.com/named"}).is(http.StatusOK)
	require.Equal(t, put.text("id"), named.text("id"))
	b.post(t, path+"/verify", nil).is(http.StatusConflict)

	deleted := b.do(t, call{key: adminKey, method: http.MethodDelete, path: path}).is(http.StatusOK)
	require.Equal(t, true, deleted.at("deleted"))
	b.get(t, path).is(http.StatusNotFound)
	require.Equal(t, 0, b.count(t, "SELECT count(*) FROM tailpost.delivery"))

	for _, methods := range b.paths {
		for _, op := range methods {
			require.True(t, b.called[op.OperationID], "operation %s was never called", op.OperationID)
		}
	}
	require.Equal(t, b.count(t, "SELECT count(DISTINCT action) FROM tailpost.audit WHERE actor = 'config:admin'"),
		b.count(t, "SELECT count(DISTINCT action) FROM tailpost.audit"))
	require.GreaterOrEqual(t, b.count(t, "SELECT count(DISTINCT action) FROM tailpost.audit"), 14)
}

func (b *bundle) testEvents(t *testing.T, path, secret string, r *receiver) {
	t.Helper()
	b.do(t, call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/order.created", body: map[string]any{
		"description": "An order was placed.", "schema": map[string]any{"type": "object"}, "example": map[string]any{"id": 12},
	}}).is(http.StatusOK)
	b.get(t, "/v1/versions").is(http.StatusOK)
	attempt := b.post(t, path+"/test", map[string]any{"type": "order.created"}).is(http.StatusOK)
	require.Equal(t, "delivered", attempt.at("outcome"))
	require.Equal(t, "test", attempt.at("trigger"))
	require.Equal(t, "thanks", attempt.at("response_body"))
	got := r.last()
	wh, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	require.NoError(t, wh.Verify(got.body, got.header))
	var body struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	require.NoError(t, json.Unmarshal(got.body, &body))
	require.Equal(t, "order.created", body.Type)
	require.JSONEq(t, `{"id":12}`, string(body.Data))

	r.mu.Lock()
	r.code = http.StatusBadGateway
	r.mu.Unlock()
	failed := b.post(t, path+"/test", nil).is(http.StatusOK)
	require.Equal(t, "dead", failed.at("outcome"))
	require.Equal(t, 502, failed.at("status_code"))
	log := b.get(t, path+"/attempts?status_class=5xx&limit=10").is(http.StatusOK)
	require.Len(t, log.list("data"), 1)
	require.Equal(t, failed.at("event_id"), log.at("data.0.event_id"))
}

func (b *bundle) rotation(t *testing.T, path, old string, r *receiver) {
	t.Helper()
	r.mu.Lock()
	r.code = http.StatusOK
	r.mu.Unlock()
	rotated := b.post(t, path+"/rotate-secret", nil).is(http.StatusOK)
	next := rotated.text("secret")
	require.NotEqual(t, old, next)
	expires, err := time.Parse(time.RFC3339, rotated.text("previous_expires_at"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), expires, time.Minute)
	b.post(t, path+"/test", nil).is(http.StatusOK)
	got := r.last()
	for _, secret := range []string{old, next} {
		wh, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		require.NoError(t, wh.Verify(got.body, got.header))
	}
	own := "whsec_" + strings.Repeat("QUFB", 11)
	brought := b.post(t, path+"/rotate-secret", map[string]any{"secret": own, "grace": "0s"}).is(http.StatusOK)
	require.Nil(t, brought.at("previous_expires_at"))
	b.post(t, path+"/test", nil).is(http.StatusOK)
	got = r.last()
	wh, err := standardwebhooks.NewWebhook(next)
	require.NoError(t, err)
	require.Error(t, wh.Verify(got.body, got.header), "the old secret signs no more")
	b.post(t, path+"/rotate-secret", map[string]any{"grace": "169h"}).is(http.StatusUnprocessableEntity)

	pair := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "secret_type": "whsk"}).is(http.StatusCreated)
	require.True(t, strings.HasPrefix(pair.text("secret"), "whsk_"))
	jwks := b.do(t, call{method: http.MethodGet, path: "/.well-known/jwks.json"}).is(http.StatusOK)
	require.Len(t, jwks.list("keys"), 1)
	require.Equal(t, "Ed25519", jwks.at("keys.0.crv"))
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/endpoints/" + pair.text("id")}).is(http.StatusOK)
}

func (b *bundle) states(t *testing.T, path string) {
	t.Helper()
	require.Equal(t, "paused", b.post(t, path+"/pause", nil).is(http.StatusOK).at("status"))
	b.post(t, path+"/pause", nil).is(http.StatusOK)
	b.post(t, path+"/enable", nil).is(http.StatusConflict)
	require.Equal(t, "active", b.post(t, path+"/resume", nil).is(http.StatusOK).at("status"))
	disabled := b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: map[string]any{"status": "disabled"}}).is(http.StatusOK)
	require.Equal(t, "disabled through the API", disabled.at("disabled_reason"))
	b.post(t, path+"/resume", nil).is(http.StatusConflict)
	require.Equal(t, "active", b.post(t, path+"/enable", nil).is(http.StatusOK).at("status"))
	require.Len(t, b.get(t, "/v1/endpoints?status=active").is(http.StatusOK).list("data"), 1)
	require.Empty(t, b.get(t, "/v1/endpoints?status=paused").is(http.StatusOK).list("data"))
}

func (b *bundle) catalogue(t *testing.T) {
	t.Helper()
	got := b.get(t, "/v1/event-types/order.created").is(http.StatusOK)
	require.Equal(t, "An order was placed.", got.at("description"))
	require.Equal(t, "object", got.at("schema.type"))
	again := b.do(t, call{
		key: adminKey, method: http.MethodPut, path: "/v1/event-types/order.created", body: `{"deprecated":true,"example":12345678901234567890.10}`,
		headers: http.Header{"If-Match": {got.Header.Get("Etag")}},
	}).is(http.StatusOK)
	require.Contains(t, string(again.Body), "12345678901234567890.10", "numbers keep their digits")
	b.do(t, call{
		key: adminKey, method: http.MethodDelete, path: "/v1/event-types/order.created", headers: http.Header{"If-Match": {got.Header.Get("Etag")}},
	}).is(http.StatusPreconditionFailed)
	require.Len(t, b.get(t, "/v1/event-types").is(http.StatusOK).list("data"), 1)
	b.do(t, call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/order.*", body: map[string]any{}}).is(http.StatusUnprocessableEntity)
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/event-types/order.created"}).is(http.StatusOK)
	b.get(t, "/v1/event-types/order.created").is(http.StatusNotFound)
}

func (b *bundle) statsAndLog(t *testing.T, id string) {
	t.Helper()
	b.exec(t, "DELETE FROM tailpost.endpoint_stats")
	b.insertAttempts(t, id, "delivered", 41)
	b.insertAttempts(t, id, "dead", 1)
	got := b.get(t, "/v1/endpoints/"+id).is(http.StatusOK)
	require.Equal(t, 42, got.at("stats.total_deliveries"))
	require.Equal(t, 41, got.at("stats.successful"))
	require.Equal(t, 1, got.at("stats.failed"))
	require.Equal(t, 97, got.at("stats.success_rate"), "41 of 42, rounded down")
	stats := b.get(t, "/v1/endpoints/"+id+"/stats").is(http.StatusOK)
	require.Equal(t, 42, stats.at("last_24h.attempts"))
	require.Equal(t, 97, stats.at("last_30d.success_rate"))
	require.InDelta(t, 15.0, stats.at("all_time.latency_ms.p50"), 0.01, "half way from 10 to 20 ms")

	log := b.get(t, "/v1/attempts?endpoint_id="+id+"&outcome=delivered&limit=20").is(http.StatusOK)
	require.Len(t, log.list("data"), 20)
	for _, name := range []string{"url", "duration_ms", "status_code", "event_type", "outcome", "attempted_at"} {
		require.NotNil(t, log.at("data.0."+name), name)
	}
	seen := map[any]bool{}
	for next := "/v1/attempts?endpoint_id=" + id + "&outcome=delivered&trigger_is=x"; next != ""; {
		page := b.get(t, strings.ReplaceAll(next, "&trigger_is=x", "")).is(http.StatusOK)
		for _, a := range page.list("data") {
			row, _ := a.(map[string]any)
			require.False(t, seen[row["event_id"]], "%v comes twice", row["event_id"])
			seen[row["event_id"]] = true
		}
		next = ""
		if c := page.text("next_cursor"); c != "" {
			next = "/v1/attempts?limit=15&endpoint_id=" + id + "&outcome=delivered&cursor=" + c
		}
	}
	require.GreaterOrEqual(t, len(seen), 41)
	require.Len(t, b.get(t, "/v1/attempts?event_id=dead-1").is(http.StatusOK).list("data"), 1)
	require.Equal(t, 42, b.get(t, "/v1/stats").is(http.StatusOK).at("series.0.total"))
	b.do(t, call{key: adminKey, method: http.MethodGet, path: streamPath}).is(http.StatusOK)
}

func (b *bundle) queue(t *testing.T, id string) {
	t.Helper()
	for i, event := range []string{"e1", "e2", "e3"} {
		b.insertDelivery(t, event, id, "dead", 16+i)
	}
	b.insertDelivery(t, "e4", id, "pending", 32)
	page := b.get(t, "/v1/deliveries?state=dead&limit=2").is(http.StatusOK)
	require.Equal(t, "e3", page.at("data.0.event_id"))
	require.Contains(t, page.text("data.0.explanation"), "schedule failed")
	rest := b.get(t, "/v1/deliveries?state=dead&limit=2&cursor="+page.text("next_cursor")).is(http.StatusOK)
	require.Len(t, rest.list("data"), 1)
	require.Equal(t, "e1", rest.at("data.0.event_id"))

	dry := b.post(t, "/v1/deliveries/resend", map[string]any{"endpoint_id": id, "dry_run": true}).is(http.StatusOK)
	require.Equal(t, 3, dry.at("matched"))
	require.Equal(t, 0, dry.at("changed"))
	one := b.post(t, "/v1/deliveries/resend", map[string]any{"event_id": "e1", "endpoint_id": id}).is(http.StatusOK)
	require.Equal(t, 1, one.at("changed"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE event_id = 'e1' AND state = 'pending' AND trigger = 'resend' AND next_attempt_at <= now()"))
	b.post(t, "/v1/deliveries/resend", map[string]any{"event_id": "nope", "endpoint_id": id}).is(http.StatusNotFound)
	b.post(t, "/v1/deliveries/resend", map[string]any{}).is(http.StatusUnprocessableEntity)
	b.resends(t)
	require.Equal(t, 1, b.post(t, "/v1/deliveries/discard", map[string]any{"event_id": "e4", "state": "pending"}).is(http.StatusOK).at("changed"))
	require.Equal(t, 3, b.count(t, "SELECT count(*) FROM tailpost.delivery"))
	b.discards(t, id)
}

// discards gives up more than one call does.
func (b *bundle) discards(t *testing.T, id string) {
	t.Helper()
	const most, dead = 10_000, 10_001
	b.exec(t, `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
SELECT 'many-' || i, $1, 'dead', 'exhausted', i % 2, 'order.many', '{}', now(), '0/10', i, now(), now()
FROM generate_series(1, $2::int) AS i`, id, dead)
	many := map[string]any{"event_types": []string{"order.many"}}
	some := b.post(t, "/v1/deliveries/discard", many).is(http.StatusOK)
	require.Equal(t, most, some.at("changed"))
	require.Equal(t, true, some.at("more"))
	rest := b.post(t, "/v1/deliveries/discard", many).is(http.StatusOK)
	require.Equal(t, dead-most, rest.at("changed"))
	require.Equal(t, false, rest.at("more"))
	require.Equal(t, 3, b.count(t, "SELECT count(*) FROM tailpost.delivery"))
	require.Equal(t, dead/2, b.count(t, "SELECT count(*) FROM tailpost.discarded WHERE event_id LIKE 'many-%'"), "those never attempted")
}

// resends asks for what only a relay carries out.
func (b *bundle) resends(t *testing.T) {
	t.Helper()
	made := b.post(t, "/v1/deliveries/resend", map[string]any{"all": true}).is(http.StatusAccepted)
	require.Equal(t, "pending", made.at("state"))
	require.Equal(t, 2, made.at("total"))
	require.Equal(t, map[string]any{"all": true, "state": "dead"}, made.at("selection"))
	path := "/v1/resends/" + made.text("id")
	require.Equal(t, made.at("selection"), b.get(t, path).is(http.StatusOK).at("selection"))
	require.Len(t, b.get(t, "/v1/resends?state=pending").is(http.StatusOK).list("data"), 1)
	require.Empty(t, b.get(t, "/v1/resends?state=done").is(http.StatusOK).list("data"))
	require.Equal(t, "cancelled", b.post(t, path+"/cancel", nil).is(http.StatusOK).at("state"))
	b.post(t, path+"/cancel", nil).is(http.StatusOK)
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action = 'delivery.resend' AND object = '"+made.text("id")+"'"))
}

func (b *bundle) replaysAndEvents(t *testing.T, id string) {
	t.Helper()
	b.exec(t, `INSERT INTO public.outbox (id, type, tenant, payload, created_at) VALUES
		('018f0000-0000-7000-8000-000000000001', 'order.created', 'acme', '{"n": 1}', now() - interval '1 hour'),
		('018f0000-0000-7000-8000-000000000002', 'order.paid', NULL, '{"n": 2}', now() - interval '1 minute')`)
	ev := b.get(t, "/v1/events/018f0000-0000-7000-8000-000000000001").is(http.StatusOK)
	require.Equal(t, 1, ev.at("payload.n"))
	require.Equal(t, true, ev.at("payload_exists"))
	require.Equal(t, "acme", ev.at("tenant"))
	parked := b.get(t, "/v1/events/e1").is(http.StatusOK)
	require.Len(t, parked.list("deliveries"), 1)
	require.Equal(t, 7, parked.at("payload.id"))
	logged := b.get(t, "/v1/events/delivered-1").is(http.StatusOK)
	require.Len(t, logged.list("attempts"), 1)
	require.Equal(t, false, logged.at("payload_exists"))
	b.get(t, "/v1/events/not-a-uuid").is(http.StatusNotFound)
	require.Len(t, listEvents(t, b, adminKey, "?type=order.paid").list("data"), 1)
	require.Equal(t, 1, b.post(t, "/v1/endpoints/backtest", map[string]any{"events": []string{"order.paid"}}).is(http.StatusOK).at("newly_matched.count"))
	require.Equal(t, 1, b.post(t, "/v1/endpoints/"+id+"/backtest", map[string]any{"events": []string{"order.paid"}}).is(http.StatusOK).at("no_longer_matched.count"))
	require.Len(t, b.get(t, "/v1/events/e1/explain").is(http.StatusOK).list("endpoints"), 1)

	since := time.Now().Add(-2 * time.Hour).UTC().Format(time.RFC3339)
	dry := b.post(t, "/v1/replays", map[string]any{"endpoint_id": id, "since": since, "event_types": []string{"order.*"}, "dry_run": true}).is(http.StatusOK)
	require.Equal(t, 2, dry.at("total"))
	require.Equal(t, 42, dry.at("missing"), "those that were attempted have no rows")
	require.Nil(t, dry.at("note"))
	require.Equal(t, 0, b.count(t, "SELECT count(*) FROM tailpost.replay"))
	replay := b.post(t, "/v1/replays", map[string]any{"endpoint_id": id, "since": since}).is(http.StatusCreated)
	require.Equal(t, "pending", replay.at("state"))
	got := b.get(t, "/v1/replays/"+replay.text("id")).is(http.StatusOK)
	require.Equal(t, replay.at("id"), got.at("id"))
	require.Contains(t, got.text("note"), "not begun")
	missing := b.get(t, "/v1/replays/"+replay.text("id")+"/missing").is(http.StatusOK)
	require.Empty(t, missing.list("data"))
	require.Equal(t, false, missing.at("complete"))
	require.Len(t, b.get(t, "/v1/replays?endpoint_id="+id).is(http.StatusOK).list("data"), 1)
	cancel := "/v1/replays/" + replay.text("id") + "/cancel"
	require.Equal(t, "cancelled", b.post(t, cancel, nil).is(http.StatusOK).at("state"))
	b.post(t, cancel, nil).is(http.StatusOK)
	b.post(t, "/v1/replays", map[string]any{"endpoint_id": "ep_none"}).is(http.StatusNotFound)
}

func (b *bundle) keysAndRelay(t *testing.T) {
	t.Helper()
	made := b.post(t, "/v1/keys", map[string]any{"name": "reader", "scopes": []string{"endpoints:read"}}).is(http.StatusCreated)
	key := made.text("secret")
	require.True(t, strings.HasPrefix(key, "tp_"))
	b.do(t, call{key: key, method: http.MethodGet, path: "/v1/endpoints"}).is(http.StatusOK)
	b.do(t, call{key: key, method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://example.com"}}).is(http.StatusForbidden)
	b.do(t, call{key: key, method: http.MethodGet, path: "/v1/keys"}).is(http.StatusForbidden)
	b.do(t, call{key: key, method: http.MethodGet, path: "/v1/audit"}).is(http.StatusForbidden)
	record := b.get(t, "/v1/audit?limit=1&object="+made.text("id")).is(http.StatusOK)
	require.Equal(t, "key.create", record.at("data.0.action"))
	require.Equal(t, "config:admin", record.at("data.0.actor"))
	require.Nil(t, record.at("data.0.before"))
	require.Equal(t, "reader", record.at("data.0.after.name"))
	require.NotContains(t, string(record.Body), key, "no secret is on record")
	newest := b.get(t, "/v1/audit?limit=1").is(http.StatusOK)
	older := b.get(t, "/v1/audit?limit=1&cursor="+newest.text("next_cursor")).is(http.StatusOK)
	require.NotEqual(t, newest.at("data.0.id"), older.at("data.0.id"))
	keys := b.get(t, "/v1/keys").is(http.StatusOK)
	require.Len(t, keys.list("data"), 2, "the one made, and that of the configuration")
	require.NotNil(t, keys.at("data.0.last_used_at"))
	b.change(func(c *config.Config) {
		c.API.Keys = append(c.API.Keys, config.APIKey{Name: "unused", Secret: config.NewSecret("nobody has it"), Scopes: []string{"endpoints:read"}})
	})
	keys = b.get(t, "/v1/keys?limit=1").is(http.StatusOK)
	require.Equal(t, "unused", keys.at("data.0.name"))
	require.Nil(t, keys.at("data.0.last_used_at"))
	b.change(func(c *config.Config) { c.API.Keys[len(c.API.Keys)-1].Scopes = []string{"deliveries:read"} })
	require.Equal(t, "deliveries:read", b.get(t, "/v1/keys?limit=1").is(http.StatusOK).at("data.0.scopes.0"))
	b.change(func(c *config.Config) { c.API.Keys = c.API.Keys[:len(c.API.Keys)-1] })
	require.Len(t, b.get(t, "/v1/keys").is(http.StatusOK).list("data"), 2, "one that is not in the configuration any more opens nothing")
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/keys/" + made.text("id")}).is(http.StatusOK)
	b.do(t, call{key: key, method: http.MethodGet, path: "/v1/endpoints"}).is(http.StatusUnauthorized)
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/keys/config:admin"}).is(http.StatusConflict)

	link := b.post(t, "/v1/portal-links", map[string]any{"tenant": "acme"}).is(http.StatusCreated)
	require.Len(t, b.get(t, "/v1/portal-links").is(http.StatusOK).list("data"), 1)
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/portal-links/" + link.text("id")}).is(http.StatusOK)

	relay := b.get(t, "/v1/relay").is(http.StatusOK)
	require.Equal(t, false, relay.at("slot_state.exists"))
	require.Equal(t, 1, relay.at("queue.pending"))
	replicas, _ := relay.at("replicas").([]any)
	require.True(t, slices.Contains(replicas, any("test/1")), "%v", replicas)
	require.Equal(t, 0, relay.at("publishing.partitions"))
	require.Equal(t, []any{}, relay.at("partitions"))
	require.Equal(t, 2, b.get(t, "/v1/relay/completeness").is(http.StatusOK).at("events.seen"))
	text := b.get(t, "/metrics").is(http.StatusOK)
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", text.Header.Get("Content-Type"))
	require.Equal(t, metricsText, string(text.Body))
	b.do(t, call{method: http.MethodGet, path: "/healthz"}).is(http.StatusOK)
	b.do(t, call{method: http.MethodGet, path: "/readyz"}).is(http.StatusOK)
}

// TestDiscardingOneDeliveryLeavesTheOthers of the same event.
func TestDiscardingOneDeliveryLeavesTheOthers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first, second := b.endpoint(t, ""), b.endpoint(t, "")
	b.insertDelivery(t, "e1", first, "dead", 16)
	b.insertDelivery(t, "e1", second, "dead", 16)
	got := b.post(t, "/v1/deliveries/discard", map[string]any{"event_id": "e1", "endpoint_id": first}).is(http.StatusOK)
	require.EqualValues(t, 1, got.at("changed"))
	left := b.get(t, "/v1/deliveries").is(http.StatusOK)
	require.Len(t, left.list("data"), 1)
	require.Equal(t, second, left.at("data.0.endpoint_id"))
}
