package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// tenantWorld is two tenants and what belongs to none, each marked by a word that appears in
// everything of theirs.
type tenantWorld struct {
	*bundle

	keys      map[string]string   // by tenant
	endpoints map[string][]string // ids by tenant; "" is for none
	events    map[string][]string
	replays   map[string][]string
	resends   map[string][]string
	keyIDs    map[string][]string
	links     map[string][]string // of the portal; there are none of none
}

func newTenantWorld(t *testing.T) *tenantWorld {
	t.Helper()
	w := &tenantWorld{
		bundle: setup(t, nil), keys: map[string]string{}, endpoints: map[string][]string{}, events: map[string][]string{},
		replays: map[string][]string{}, resends: map[string][]string{}, keyIDs: map[string][]string{}, links: map[string][]string{},
	}
	for _, tenant := range []string{"", "alpha", "bravo"} {
		mark := "mark-" + tenant
		if tenant == "" {
			mark = "mark-none"
		}
		key := w.post(t, "/v1/keys", map[string]any{"name": mark, "tenant": tenant}).is(http.StatusCreated)
		w.keys[tenant] = key.text("secret")
		w.keyIDs[tenant] = []string{key.text("id")}
		for i := range 3 {
			made := w.post(t, "/v1/endpoints", map[string]any{
				"url": fmt.Sprintf("https://example.com/%s/%d", mark, i), "tenant": tenant, "name": mark,
			}).is(http.StatusCreated)
			id := made.text("id")
			w.endpoints[tenant] = append(w.endpoints[tenant], id)
			event := fmt.Sprintf("%s-event-%d", mark, i)
			w.events[tenant] = append(w.events[tenant], event)
			w.insertDelivery(t, event, id, []string{"dead", "pending"}[i%2], 100+i)
			w.insertAttempts(t, id, "retry", 2)
			w.exec(t, `UPDATE tailpost.attempt SET event_id = $1, url = $2 WHERE endpoint_id = $3`, event, "https://example.com/"+mark, id)
		}
		replay := w.post(t, "/v1/replays", map[string]any{"endpoint_id": w.endpoints[tenant][0]}).is(http.StatusCreated)
		w.replays[tenant] = []string{replay.text("id")}
		w.exec(t, `INSERT INTO tailpost.replay_missing VALUES ($1, $2, 'order.created', $3, now(), 'delivered')`, replay.text("id"), mark+"-gone", mark)
		resend := w.do(t, call{
			key: w.keys[tenant], method: http.MethodPost, path: resendPath, body: map[string]any{"event_types": []string{mark}, "reason": mark},
		}).is(http.StatusAccepted)
		w.resends[tenant] = []string{resend.text("id")}
		if tenant != "" {
			link := w.post(t, "/v1/portal-links", map[string]any{"tenant": tenant}).is(http.StatusCreated)
			w.links[tenant] = []string{link.text("id")}
		}
	}
	return w
}

// foreign says whether an answer tells anything of another tenant, or of what belongs to none.
func (w *tenantWorld) foreign(tenant string, body []byte) string {
	for other := range w.keys {
		if other == tenant {
			continue
		}
		mark := "mark-" + other
		if other == "" {
			mark = "mark-none"
		}
		words := slices.Concat([]string{mark}, w.endpoints[other], w.replays[other], w.resends[other], w.keyIDs[other], w.links[other])
		for _, word := range words {
			if strings.Contains(string(body), word) {
				return word
			}
		}
	}
	return ""
}

func TestNoTenantSeesOrTouchesAnother(t *testing.T) {
	t.Parallel()
	w := newTenantWorld(t)
	tenants := []string{"", "alpha", "bravo"}
	rapid.Check(t, func(rt *rapid.T) {
		me := rapid.SampledFrom([]string{"alpha", "bravo"}).Draw(rt, "me")
		whose := rapid.SampledFrom(tenants).Draw(rt, "whose")
		endpoint := rapid.SampledFrom(w.endpoints[whose]).Draw(rt, "endpoint")
		event := rapid.SampledFrom(w.events[whose]).Draw(rt, "event")
		replay, resend, key := w.replays[whose][0], w.resends[whose][0], w.keyIDs[whose][0]
		mine := me == whose
		reads := map[string]bool{ // path: whether it names what is somebody's
			"/v1/endpoints": false, "/v1/endpoints?tenant=" + whose: false, "/v1/endpoints/" + endpoint: true,
			"/v1/endpoints/" + endpoint + "/stats": true, "/v1/endpoints/" + endpoint + "/attempts": true,
			"/v1/attempts": false, "/v1/attempts?endpoint_id=" + endpoint: false, "/v1/attempts?event_id=" + event: false,
			"/v1/attempts?outcome=retry&tenant=" + whose: false, "/v1/deliveries": false,
			"/v1/deliveries?endpoint_id=" + endpoint: false, "/v1/deliveries?state=dead": false, "/v1/events/" + event: true,
			"/v1/replays": false, "/v1/replays/" + replay: true,
			"/v1/replays/" + replay + "/missing": true, "/v1/keys": false, "/v1/audit": false, "/v1/audit?object=" + endpoint: false,
			"/v1/resends": false, "/v1/resends/" + resend: true,
		}
		path := rapid.SampledFrom(slices.Sorted(keysOf(reads))).Draw(rt, "path")
		got := w.do(t, call{key: w.keys[me], method: http.MethodGet, path: path})
		require.Empty(rt, w.foreign(me, got.Body), "%s of %s tells %s", path, whose, me)
		if reads[path] && !mine {
			require.Equal(rt, http.StatusNotFound, got.Status, "%s: %s", path, got.Body)
		}
		if mine {
			return
		}
		writes := []call{
			{method: http.MethodPatch, path: "/v1/endpoints/" + endpoint, body: map[string]any{"name": "stolen"}},
			{method: http.MethodPut, path: "/v1/endpoints/" + endpoint, body: map[string]any{"url": "https://evil.example"}},
			{method: http.MethodDelete, path: "/v1/endpoints/" + endpoint},
			{method: http.MethodPost, path: "/v1/endpoints/" + endpoint + "/pause"},
			{method: http.MethodPost, path: "/v1/endpoints/" + endpoint + "/rotate-secret"},
			{method: http.MethodPost, path: "/v1/endpoints/" + endpoint + "/test"},
			{method: http.MethodPost, path: "/v1/deliveries/resend", body: map[string]any{"event_id": event, "endpoint_id": endpoint}},
			{method: http.MethodPost, path: "/v1/deliveries/discard", body: map[string]any{"event_id": event, "endpoint_id": endpoint, "state": "pending"}},
			{method: http.MethodPost, path: "/v1/replays", body: map[string]any{"endpoint_id": endpoint}},
			{method: http.MethodPost, path: "/v1/replays/" + replay + "/cancel"},
			{method: http.MethodPost, path: "/v1/resends/" + resend + "/cancel"},
			{method: http.MethodDelete, path: "/v1/keys/" + key},
			{method: http.MethodGet, path: "/v1/relay"},
		}
		c := rapid.SampledFrom(writes).Draw(rt, "write")
		c.key = w.keys[me]
		refused := w.do(t, c)
		require.Equal(rt, http.StatusNotFound, refused.Status, "%s %s: %s", c.method, c.path, refused.Body)
	})
	require.Equal(t, 9, w.count(t, "SELECT count(*) FROM tailpost.endpoint WHERE version = 1"))
	require.Equal(t, 9, w.count(t, "SELECT count(*) FROM tailpost.delivery WHERE trigger IS NULL"))
	require.Equal(t, 3, w.count(t, "SELECT count(*) FROM tailpost.resend WHERE state = 'pending'"))
	require.Equal(t, 2, w.count(t, "SELECT count(*) FROM tailpost.resend WHERE selection -> 'event_types' ->> 0 = 'mark-' || tenant"))
	w.do(t, call{key: w.keys["alpha"], method: http.MethodPost, path: "/v1/resends/" + w.resends["alpha"][0] + "/cancel"}).is(http.StatusOK)
	require.Equal(t, 1, w.count(t, "SELECT count(*) FROM tailpost.audit WHERE action = 'resend.cancel' AND tenant = 'alpha'"))
	w.do(t, call{key: w.keys["alpha"], method: http.MethodPost, path: "/v1/replays/" + w.replays["alpha"][0] + "/cancel"}).is(http.StatusOK)
	seen := w.do(t, call{key: w.keys["alpha"], method: http.MethodGet, path: "/v1/audit"}).is(http.StatusOK)
	require.Equal(t, "replay.cancel", seen.at("data.0.action"), "what a tenant does, it finds")
	w.do(t, call{key: w.keys["alpha"], method: http.MethodPost, path: "/v1/deliveries/discard", body: map[string]any{"all": true}}).is(http.StatusOK)
	require.Equal(t, 4, w.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"), "only its own two are gone")
}

// TestEveryOperationKeepsToTheTenant calls all that the document lists, so that a new operation is
// looked at too: what has an id is found by its own tenant only, and what lists tells nothing of
// others.
func TestEveryOperationKeepsToTheTenant(t *testing.T) {
	t.Parallel()
	w := newTenantWorld(t)
	ids := map[string]map[string][]string{
		"endpoints": w.endpoints, "events": w.events, "replays": w.replays, "resends": w.resends, "keys": w.keyIDs, "portal-links": w.links,
	}
	bodies := map[string]any{
		"put-endpoint": map[string]any{"url": "https://a.example"}, "replace-endpoint": map[string]any{"url": "https://a.example"},
		"update-endpoint": map[string]any{"name": "stolen"}, "backtest-endpoint": map[string]any{"events": []string{"order.*"}},
	}
	looked := 0
	for template, methods := range w.paths {
		kind, _, _ := strings.Cut(strings.TrimPrefix(template, "/v1/"), "/")
		for method, op := range methods {
			c := call{key: w.keys["alpha"], method: strings.ToUpper(method), path: template, body: bodies[op.OperationID]}
			if !strings.Contains(template, "{id}") {
				if c.method == http.MethodGet && op.OperationID != "stream-attempts" && !strings.Contains(template, "{") {
					require.Empty(t, w.foreign("alpha", w.do(t, c).Body), template)
					looked++
				}
				continue
			}
			for _, other := range []string{"", "bravo"} {
				for _, id := range ids[kind][other] {
					c.path = strings.ReplaceAll(template, "{id}", id)
					got := w.do(t, c)
					require.Equal(t, http.StatusNotFound, got.Status, "%s: %s", op.OperationID, got.Body)
					looked++
				}
			}
			if c.method == http.MethodGet {
				c.path = strings.ReplaceAll(template, "{id}", ids[kind]["alpha"][0])
				require.Empty(t, w.foreign("alpha", w.do(t, c).is(http.StatusOK).Body), op.OperationID)
			}
		}
	}
	require.Greater(t, looked, 90)
	for table, want := range map[string]int{"endpoint": 9, "api_key": 4, "portal_link": 2} {
		require.Equal(t, want, w.count(t, "SELECT count(*) FROM tailpost."+table), table)
	}
	require.Equal(t, 9, w.count(t, "SELECT count(*) FROM tailpost.endpoint WHERE version = 1"))
}

func keysOf(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestTenantsReadNoAddressOfTheNetwork: which addresses a name has inside the operator's network,
// and that something is refused there, is not for tenants to find out by making endpoints.
func TestTenantsReadNoAddressOfTheNetwork(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, tenant := b.key(t, "acme")
	id := b.endpoint(t, "acme")
	const refused = "address 10.1.2.3 is not allowed (private); add it to network.allow"
	b.exec(t, `INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, error, duration_ms, attempted_at, commit_lsn)
		VALUES ('evt_1', 'order.created', 'acme', $1, 1, 'stream', 'https://inside.example', 'dead', $2, 1, now(), '0/10')`, id, refused)
	b.exec(t, `INSERT INTO tailpost.delivery (event_id, event_type, tenant, endpoint_id, state, reason, attempts, last_error, commit_lsn, seq, event_created_at, created_at, updated_at)
		VALUES ('evt_1', 'order.created', 'acme', $1, 'dead', 'exhausted', 1, $2, '0/10', 1, now(), now(), now())`, id, refused)
	for _, path := range []string{"/v1/attempts", "/v1/endpoints/" + id + "/attempts", "/v1/deliveries", "/v1/events/evt_1", "/v1/events/evt_1/explain"} {
		got := string(b.do(t, call{key: tenant, method: http.MethodGet, path: path}).is(http.StatusOK).Body)
		require.NotContains(t, got, "10.1.2.3", path)
		require.Contains(t, got, "receiver's address is not allowed", path)
		require.Contains(t, string(b.get(t, path).is(http.StatusOK).Body), "10.1.2.3", "the operator reads it: %s", path)
	}
}
