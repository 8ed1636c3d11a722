package panel_test

import (
	"flag"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// shop is a world with something of everything, as a shop would have it.
type shop struct {
	*world

	erp, crm, slow, dead string // endpoints
	event, failed        string
}

const orderPayload = `{"id": 42, "total": 12345678901234567890.10, "currency": "EUR", "customer": {"id": "c_981", "name": "Ada Lovelace", "vip": true, "notes": null},
 "items": [{"sku": "TP-1", "quantity": 2, "price": 49.90}, {"sku": "TP-9", "quantity": 1, "price": 0.10}], "tags": [], "note": "<b>bold</b> & more"}`

const configEndpointHCL = `
endpoint "warehouse" {
  url         = "${env("RECEIVER")}/warehouse"
  description = "Stock levels, for the warehouse in Graz"
  secret      = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
  subscription { events = ["inventory.*"] }
}
`

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{world: newWorld(t, keyedHCL+configEndpointHCL)}
	s.receiver.On("/crm", kit.Respond(http.StatusOK, `{"ok":true,"received":"ev_1","took_ms":3.10}`, "Content-Type", "application/json"))
	s.receiver.On("/slow", kit.Respond(http.StatusServiceUnavailable, "<html><body><h1>503 Service Unavailable</h1></body></html>"))
	s.receiver.On("/dead", kit.Respond(http.StatusInternalServerError, `{"error":"no route for order","trace":"a1b2"}`))
	s.erp = s.endpoint("ERP sync", "/erp", map[string]any{"events": []string{"order.*"}, "description": "Orders into the ERP"})
	s.crm = s.endpoint("CRM", "/crm", map[string]any{"events": []string{"order.*", "customer.created", "customer.updated"}, "where": "event.data.total > 100"})
	s.slow = s.endpoint("Analytics", "/slow", map[string]any{"events": []string{}, "retry": map[string]any{"schedule": []string{"10m", "1h"}}})
	s.dead = s.endpoint("Legacy billing", "/dead", map[string]any{"events": []string{"invoice.*", "order.paid"}})
	for name, description := range map[string]string{
		"order.created": "A customer placed an order.", "order.paid": "The money for an order arrived.", "invoice.sent": "An invoice was sent.",
		"customer.created": "Somebody signed up.", "inventory.low_stock": "Fewer than ten are left.",
	} {
		s.call(http.MethodPut, "/v1/event-types/"+name, map[string]any{
			"description": description, "example": map[string]any{"id": 42, "total": 99.5}, "schema": map[string]any{"type": "object", "required": []string{"id"}},
		})
	}
	for range 6 {
		s.event = s.insert("order.created", "acme", orderPayload)
		s.failed = s.insert("order.paid", "acme", orderPayload)
		s.insert("inventory.low_stock", "", `{"sku": "TP-1", "left": 4}`)
	}
	s.insert("invoice.sent", "globex", `{"invoice": "2026-118"}`)
	s.key("Grafana", "", "deliveries:read", "endpoints:read")
	s.key("Acme's portal", "acme")
	s.link("acme", everything()...)
	s.link("globex")
	s.attempts(s.erp, 12)
	s.attempts(s.crm, 12)
	s.attempts(s.dead, 7)
	s.attempts(s.slow, 19)
	s.attempts("warehouse", 6)
	kit.Eventually(t, kit.Patience, func() error {
		var n int
		return s.conn.QueryRow(t.Context(), "SELECT 1 FROM tailpost.delivery WHERE endpoint_id = $1 AND state = 'dead' HAVING count(*) >= 7", s.dead).Scan(&n)
	})
	s.history()
	s.call(http.MethodPost, "/v1/endpoints/"+s.erp+"/pause", nil)
	s.call(http.MethodPost, "/v1/endpoints/"+s.erp+"/resume", nil)
	return s
}

// history makes the last two days those of a shop: busy by day, calm by night, with an hour of
// trouble.
func (s *shop) history() {
	s.exec(`
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets, classes)
SELECT e.id, h.hour, n.delivered + n.failed, n.delivered, n.failed, 0, (n.delivered + n.failed) * 41.0,
       (SELECT buckets FROM tailpost.endpoint_stats LIMIT 1), ARRAY[0, 0, n.delivered, 0, 0, n.failed]
FROM (VALUES ($1, 300, 0), ($2, 180, 2), ($3, 60, 1), ('warehouse', 90, 0)) AS e (id, busy, bad)
CROSS JOIN generate_series(date_trunc('hour', now()) - interval '47 hours', date_trunc('hour', now()) - interval '1 hour', interval '1 hour') AS h (hour)
CROSS JOIN LATERAL (SELECT (e.busy * (1.15 + sin((extract(hour FROM h.hour) - 8) / 24 * 2 * pi())) * (0.9 + hashtext(e.id || h.hour)::bigint % 10 / 50.0))::bigint AS delivered,
                           CASE WHEN h.hour = date_trunc('hour', now()) - interval '9 hours' THEN e.busy / 3 ELSE e.bad * abs(hashtext(h.hour::text) % 6) END AS failed) AS n
ON CONFLICT DO NOTHING`, s.erp, s.crm, s.dead)
	s.exec(`
INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes)
SELECT e.id, h.hour, t.name, h.attempts / t.part, h.delivered / t.part, h.failed / t.part, 0,
       CASE WHEN e.id = '' THEN (SELECT array_agg(c.n / t.part ORDER BY c.place) FROM unnest(h.classes) WITH ORDINALITY AS c (n, place)) END
FROM (
    SELECT s.endpoint_id, s.hour, s.attempts, s.delivered, s.failed, s.classes
    FROM tailpost.endpoint_stats AS s
    UNION ALL
    SELECT '', s.hour, sum(s.attempts)::bigint, sum(s.delivered)::bigint, sum(s.failed)::bigint, ARRAY[0, 0, sum(s.delivered)::bigint, 0, 0, sum(s.failed)::bigint]
    FROM tailpost.endpoint_stats AS s
    GROUP BY s.hour
) AS h
JOIN (SELECT '' AS id UNION ALL SELECT id FROM tailpost.endpoint) AS e ON e.id = h.endpoint_id
CROSS JOIN (VALUES ('order.created', 2), ('order.paid', 4), ('customer.created', 4)) AS t (name, part)
ON CONFLICT DO NOTHING`)
	// What was sent to loopback looks as if it had gone out.
	s.exec(`UPDATE tailpost.endpoint SET url = 'https://' || lower(split_part(name, ' ', 1)) || '.example.com/webhooks'`)
	s.exec(`UPDATE tailpost.attempt AS a SET url = e.url FROM tailpost.endpoint AS e WHERE e.id = a.endpoint_id`)
	s.exec(`UPDATE tailpost.attempt SET duration_ms = 38 + abs(hashtext(event_id || endpoint_id)) % 900 / 7.0`)
}

// attempt is the path of an attempt's page.
func (s *shop) attempt(event, endpoint string) string {
	s.t.Helper()
	list, _ := s.call(http.MethodGet, "/v1/attempts?event_id="+event+"&endpoint_id="+endpoint, nil)["data"].([]any)
	first, _ := list[0].(map[string]any)
	at, _ := first["attempted_at"].(string)
	return "/panel/attempt?" + url.Values{"event": {event}, "endpoint": {endpoint}, "at": {at}, "n": {"1"}}.Encode()
}

// pages are all pages of a shop by name.
func (s *shop) pages() map[string]string {
	s.t.Helper()
	return map[string]string{
		"overview": "/panel/", "endpoints": "/panel/endpoints", "endpoint": "/panel/endpoints/" + s.crm, "endpoint-failing": "/panel/endpoints/" + s.dead,
		"endpoint-log": "/panel/endpoints/" + s.crm + "/log", "endpoint-edit": "/panel/endpoints/" + s.crm + "/edit", "endpoint-new": "/panel/endpoints/new",
		"endpoint-test": "/panel/endpoints/" + s.crm + "/test", "endpoint-delete": "/panel/endpoints/" + s.dead + "/confirm/delete",
		"endpoint-rotate": "/panel/endpoints/" + s.crm + "/confirm/rotate-secret", "endpoint-config": "/panel/endpoints/warehouse",
		"log": "/panel/log", "log-empty": "/panel/log?type=nothing.like.it", "attempt": s.attempt(s.event, s.crm), "attempt-dead": s.attempt(s.failed, s.dead),
		"event": "/panel/events/" + s.failed, "events": "/panel/events", "events-none": "/panel/events?id=nobody", "undelivered": "/panel/undelivered", "waiting": "/panel/undelivered?state=pending",
		"replays": "/panel/replays", "replay-new": "/panel/replays/new", "resends": "/panel/resends", "catalogue": "/panel/catalogue",
		"type": "/panel/catalogue/types/order.created", "type-edit": "/panel/catalogue/edit?name=order.created", "keys": "/panel/keys", "portal-links": "/panel/portal-links", "audit": "/panel/audit", "relay": "/panel/relay",
		"help": "/panel/help", "not-found": "/panel/nowhere",
	}
}

// folder is where pictures go; git ignores it.
const folder = "screenshots"

// shoot keeps a picture of the page.
func (b *tab) shoot(name string, full bool) {
	b.t.Helper()
	action := chromedp.CaptureScreenshot()
	if full {
		action = chromedp.FullScreenshot(100)
	}
	picture := get(b, action)
	require.NoError(b.t, os.MkdirAll(folder, 0o750))
	require.NoError(b.t, os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600))
}

// update rewrites the pictures of the documents: go test ./integration/panel -run Screenshots
// -update.
var update = flag.Bool("update", false, "write docs/images")

// illustrated are the pages that documents show, by the name of the picture without its look.
var illustrated = []string{"overview-light", "overview-dark", "endpoint-light", "attempt-light", "event-light", "undelivered-light", "endpoint-new-light", "overview-small", "log-dark", "portal-endpoints-light"}

// look is how a person looks at pages.
type look struct {
	name string
	tabOptions
}

func looksOf() []look {
	return []look{
		{"light", tabOptions{}},
		{"dark", tabOptions{dark: true}},
		{"small", tabOptions{width: 360, height: 740, scale: 2}},
		{"small-dark", tabOptions{width: 360, height: 740, scale: 2, dark: true}},
		{"large", tabOptions{width: 3840, height: 2160}},
		{"large-dark", tabOptions{width: 3840, height: 2160, dark: true}},
	}
}

// TestScreenshots looks at every page in every look.
func TestScreenshots(t *testing.T) {
	if testing.Short() {
		t.Skip("pictures of every page take a while")
	}
	t.Parallel()
	s := newShop(t)
	pages := s.pages()
	for _, look := range looksOf() {
		b := newTab(t, s.url, look.tabOptions)
		b.album(look.name, map[string]string{"login": "/panel/login"})
		b.login()
		b.album(look.name, pages)
	}
}

// TestScreenshotsOfThePortal does the same with the portal.
func TestScreenshotsOfThePortal(t *testing.T) {
	if testing.Short() {
		t.Skip("pictures of every page take a while")
	}
	t.Parallel()
	m := dressed(t)
	pages := m.pages()
	for _, look := range looksOf() {
		b := newTab(t, m.url, look.tabOptions)
		b.open(m.link("acme", everything()...))
		b.at("/portal/endpoints")
		b.album(look.name, pages)
	}
}

// album sees that on every page nothing is wider than what it is in. It takes a picture of each
// where TAILPOST_SCREENSHOTS is "all", and of one page where it is its name: pictures take longer
// than all else, and no test looks at them.
func (b *tab) album(look string, pages map[string]string) {
	b.t.Helper()
	wanted := os.Getenv("TAILPOST_SCREENSHOTS")
	for name, path := range pages {
		b.open(path)
		b.settled()
		if wanted == "all" || wanted == name {
			b.shoot(name+"-"+look, true)
		}
		if *update && slices.Contains(illustrated, name+"-"+look) {
			picture := get(b, chromedp.CaptureScreenshot())
			images := filepath.Join(kit.Root(), "docs", "images")
			require.NoError(b.t, os.MkdirAll(images, 0o750))
			require.NoError(b.t, os.WriteFile(filepath.Join(images, "panel-"+name+"-"+look+".png"), picture, 0o600))
		}
		require.True(b.t, eval[bool](b, "[...document.querySelectorAll('.card table')].every((t) => t.offsetParent === null || t.scrollWidth <= t.closest('.card').clientWidth)"), "a table of %s is wider than its card (%s)", name, look)
		require.LessOrEqual(b.t, eval[float64](b, "document.documentElement.scrollWidth - innerWidth"), 0.0, "%s is wider than the window (%s)", name, look)
	}
}

// settled waits until fonts are there.
func (b *tab) settled() {
	b.t.Helper()
	b.until("document.readyState === 'complete' && document.fonts.status === 'loaded'")
}
