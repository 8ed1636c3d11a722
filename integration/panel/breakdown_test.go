package panel_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// The overview and an endpoint's page say what the attempts were of, by type and by answer, as the
// relay has counted them.
func TestPagesBreakAttemptsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	w.receiver.On("/bad", kit.Respond(http.StatusServiceUnavailable, ""))
	good := w.endpoint("Good", "/good", map[string]any{"events": []string{"order.*"}})
	bad := w.endpoint("Bad", "/bad", map[string]any{"events": []string{"invoice.*"}})
	for _, name := range []string{"order.created", "order.created", "order.paid"} {
		w.insert(name, "", `{}`)
	}
	given := w.insert("invoice.sent", "", `{}`)
	w.attempts(good, 3)
	w.attempts(bad, 1)
	v := loggedIn(t, w, adminKey)
	for path, want := range map[string][]string{
		"/panel/": {
			`<a href="/panel/log?since=48h&amp;type=order.created">order.created</a></td><td class="num">2</td><td class="num p2">0</td>`,
			`<a href="/panel/log?since=48h&amp;type=invoice.sent">invoice.sent</a></td><td class="num">1</td><td class="num p2">1</td>`,
			`<a href="/panel/log?class=2xx&amp;since=48h">2xx</a></td><td class="num">3</td><td class="p3">`,
			`<a href="/panel/log?class=5xx&amp;since=48h">5xx</a></td><td class="num">1</td><td class="p3">`,
		},
		"/panel/endpoints/" + good: {
			`<a href="/panel/log?endpoint=` + good + `&amp;since=48h&amp;type=order.paid">order.paid</a></td><td class="num">1</td>`,
			`<a href="/panel/log?class=2xx&amp;endpoint=` + good + `&amp;since=48h">2xx</a></td><td class="num">3</td>`,
		},
	} {
		page := v.get(path).body
		for _, text := range want {
			require.Contains(t, page, text, path)
		}
	}
	require.NotContains(t, v.get("/panel/endpoints/"+good).body, "invoice.sent")
	require.Contains(t, v.get("/panel/events/"+given).body, "exhausted, 1 attempt so far")
}

// The overview names an endpoint in trouble however many others are newer, and reads no counters of
// endpoints for that.
func TestTheOverviewFindsTroubleAmongMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	id := w.endpoint("The oldest", "/a", nil)
	w.exec(`
INSERT INTO tailpost.endpoint (id, tenant, name, url, description, subscriptions, policy, status, source, version, created_at, updated_at)
SELECT 'ep_' || i, tenant, 'Endpoint number ' || i, url || '/' || i, description, subscriptions, policy, 'active', 'api', 1, now() + interval '1 minute', updated_at
FROM tailpost.endpoint, generate_series(1, 300) AS i
WHERE id = $1`, id)
	w.call(http.MethodPost, "/v1/endpoints/"+id+"/pause", nil)
	page := loggedIn(t, w, adminKey).get("/panel/").body
	require.Contains(t, page, `<a class="main-link" href="/panel/endpoints/`+id+`">The oldest</a>`)
	require.Contains(t, page, `<span class="v">250+</span>`)
	require.NotContains(t, page, "Endpoint number")
}

// The list of endpoints says of each how it does: status and why, success, latency, and what the
// last day was like.
func TestTheListOfEndpointsSaysHowTheyDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	good, idle, off := w.endpoint("Good", "/good", nil), w.endpoint("Idle", "/idle", nil), w.endpoint("Off", "/off", nil)
	w.exec(`
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
VALUES ($1, date_trunc('hour', now()) - interval '1 hour', 1500, 1200, 300, 300, 22500, '{0,0,0,0,1500,0,0,0,0,0,0,0,0,0,0}'),
       ($1, date_trunc('hour', now()) - interval '25 hours', 1000, 1000, 0, 0, 1000, '{1000,0,0,0,0,0,0,0,0,0,0,0,0,0,0}')`, good)
	w.exec("UPDATE tailpost.endpoint SET status = 'disabled', disabled_reason = 'It answered 410.' WHERE id = $1", off)
	page := loggedIn(t, w, adminKey).get("/panel/endpoints").body
	row := func(id string) string {
		_, after, found := strings.Cut(page, `href="/panel/endpoints/`+id+`"`)
		require.True(t, found, id)
		row, _, _ := strings.Cut(after, "</tr>")
		return row
	}
	require.Contains(t, row(good), `<span class="st good">active</span>`)
	require.Contains(t, row(good), `<td class="num p2">88.0 %<span class="sub">300 given up</span></td><td class="num p3">2,200</td>`)
	require.Contains(t, row(good), `p50 15 ms<span class="sub">p95 20 ms</span>`, "of the last day alone")
	require.Contains(t, row(good), `<svg class="spark"`)
	require.Contains(t, row(good), `<span class="sub">1,500</span>`)
	require.NotContains(t, row(idle), "p50")
	require.NotContains(t, row(idle), "<svg")
	require.Contains(t, row(off), `<span class="st bad">disabled</span>`)
	require.Contains(t, row(off), "It answered 410.")
}
