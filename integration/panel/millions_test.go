package panel_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// millions is a database with many attempts to many endpoints, as a busy installation has after two
// weeks.
type millions struct {
	attempts, endpoints int
	days                int // of attempts, before today
	hours               int // of counters
	conn                *pgx.Conn
	t                   *testing.T
}

// TestPagesAreQuickAmongMillions loads every page of a large installation and holds it to 100 ms of
// server time, by the quickest of some loads, since others may be busy beside it, and to 200 kB of
// HTML. It takes minutes, so it runs only where TAILPOST_PAGES says among how many attempts (make
// pages). TAILPOST_PAGES_URL names a database that is to be kept and used again, and
// TAILPOST_PAGES_ONLY one page.
func TestPagesAreQuickAmongMillions(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("TAILPOST_PAGES"))
	if n == 0 {
		t.Skip("set TAILPOST_PAGES to a number of attempts")
	}
	at := os.Getenv("TAILPOST_PAGES_URL")
	if at == "" {
		at = pgschema.NewDB(t).URL
	}
	conn, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	_, err = schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	m := &millions{attempts: n, endpoints: max(n/1000, 10), days: 13, hours: 7 * 24, conn: conn, t: t}
	began := time.Now()
	m.fill()
	t.Logf("the database was ready after %s", time.Since(began).Round(time.Second))

	w := &world{t: t, conn: conn, receiver: kit.NewReceiver(t)}
	t.Cleanup(func() { // once the relay has let go of it
		_, err := conn.Exec(context.WithoutCancel(t.Context()), "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'pages'")
		require.NoError(t, err)
	})
	w.start(at, "pages", keyedHCL+m.hcl())
	v := loggedIn(t, w, adminKey)
	const loads, mostTime, mostHTML = 7, 100 * time.Millisecond, 200 << 10
	for _, path := range m.pages() {
		if only := os.Getenv("TAILPOST_PAGES_ONLY"); only != "" && only != path {
			continue
		}
		var took []time.Duration
		var got reply
		for range loads {
			asked := time.Now()
			got = v.get("/panel" + path)
			took = append(took, time.Since(asked))
		}
		slices.Sort(took)
		verdict := ""
		if took[0] > mostTime || len(got.body) > mostHTML || got.status >= http.StatusBadRequest {
			verdict = "  TOO MUCH"
			t.Fail()
		}
		t.Logf("%-72s %d  best %6.1f  median %6.1f  worst %6.1f ms  %6.1f kB%s", path, got.status, ms(took[0]), ms(took[loads/2]), ms(took[loads-1]),
			float64(len(got.body))/1024, verdict)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pages are those that read what grows.
func (m *millions) pages() []string {
	const someone = "endpoint_7"
	q := func(page string, pairs ...string) string {
		values := make(url.Values)
		for i := 0; i < len(pairs); i += 2 {
			values.Set(pairs[i], pairs[i+1])
		}
		return page + "?" + values.Encode()
	}
	var attempt, event, dead string
	var when time.Time
	require.NoError(m.t, m.conn.QueryRow(m.t.Context(), `
SELECT event_id, attempted_at FROM tailpost.attempt WHERE endpoint_id = $1 AND attempted_at < now() - interval '3 days' ORDER BY attempted_at DESC LIMIT 1`, someone).Scan(&event, &when))
	attempt = q("/attempt", "event", event, "endpoint", someone, "at", when.UTC().Format(time.RFC3339Nano), "n", "1")
	require.NoError(m.t, m.conn.QueryRow(m.t.Context(), "SELECT event_id FROM tailpost.delivery WHERE state = 'dead' LIMIT 1").Scan(&dead))
	return []string{
		"/", "/endpoints", "/endpoints?status=active", q("/endpoints", "tenant", "tenant_7"), "/endpoints/" + someone, "/endpoints/" + someone + "/log",
		"/endpoints/" + someone + "/log?outcome=dead", "/log", "/log?outcome=dead", "/log?outcome=retry", "/log?class=5xx", "/log?class=4xx", "/log?since=1h",
		q("/log", "type", "order.type_3"), q("/log", "type", "nothing.like_it"), q("/log", "tenant", "tenant_7"), q("/log", "tenant", "nobody"),
		q("/log", "tenant", "tenant_7", "outcome", "retry"), q("/log", "search", "order=4242"), q("/log", "search", "region=region_3"), q("/log", "search", "order=none"),
		attempt, "/events", "/events?type=order.*", "/events?type=nothing.*", "/events?key=key_42", "/events?key=none", q("/events", "search", "order=4242"),
		q("/events", "search", "region=region_3"), q("/events", "tenant", "tenant_7"), "/events?since=1h", "/events/" + event, "/events/" + dead, "/find?q=4242",
		"/undelivered", "/undelivered?state=dead", "/undelivered?state=pending", q("/undelivered", "endpoint", someone), q("/undelivered", "type", "order.type_4"), q("/undelivered", "type", "nothing.like_it"),
		"/replays", "/resends", "/catalogue", "/keys", "/audit", "/relay", "/endpoints/new", "/endpoints/" + someone + "/test",
	}
}

// hcl declares the endpoints.
func (m *millions) hcl() string {
	var b strings.Builder
	b.WriteString("outbox { search = { order = event.data.order, region = event.data.region } }\n")
	for i := range m.endpoints {
		fmt.Fprintf(&b, "endpoint \"endpoint_%d\" {\n  url = \"https://receiver-%d.example.com/in\"\n  secret = %q\n  tenant = \"tenant_%d\"\n  subscription { events = [\"never.type_%d\"] }\n}\n",
			i, i, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", i%100, i)
	}
	return b.String()
}

// fill makes the rows, unless they are there.
func (m *millions) fill() {
	var there bool
	require.NoError(m.t, m.conn.QueryRow(m.t.Context(), "SELECT EXISTS (SELECT FROM tailpost.attempt)").Scan(&there))
	if there {
		m.exec("TRUNCATE tailpost.relay, tailpost.gap") // the slot of the run before is gone, and nobody is to look for what it missed
		return
	}
	// A day at a time, in a table that becomes a partition once it is full: its indexes are then
	// built at once.
	perDay := m.attempts / (m.days + 1)
	for day := range m.days {
		name := "tailpost.attempt_" + time.Now().UTC().AddDate(0, 0, -m.days+day).Format("20060102")
		date := time.Now().UTC().AddDate(0, 0, -m.days+day).Format(time.DateOnly)
		m.exec("CREATE UNLOGGED TABLE " + name + " (LIKE tailpost.attempt INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
		m.attemptsInto(name, day*perDay, perDay, "'"+date+"'::timestamptz", "interval '1 day'")
		m.exec("ALTER TABLE tailpost.attempt ATTACH PARTITION " + name + " FOR VALUES FROM ('" + date + " 00:00:00+00') TO ('" + date + " 00:00:00+00'::timestamptz + interval '1 day')")
	}
	m.attemptsInto("tailpost.attempt", m.days*perDay, perDay, "date_trunc('day', now())", "(now() - date_trunc('day', now()))")
	m.exec(`
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
SELECT 'endpoint_' || e, date_trunc('hour', now()) - h * interval '1 hour', 10, 9, 1, 0, 100, '{0,0,5,5,0,0,0,0,0,0,0,0,0,0,0}'
FROM generate_series($1 - 1, 0, -1) AS h, generate_series(0, $2 - 1) AS e`, m.hours, m.endpoints)
	m.exec(`
INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes)
SELECT '', date_trunc('hour', now()) - h * interval '1 hour', 'order.type_' || t, $2 / 2, $2 / 2 - $2 / 20, $2 / 20, 0, ARRAY[0, 0, $2 / 2 - $2 / 20, 0, 0, $2 / 20]
FROM generate_series($1 - 1, 0, -1) AS h, generate_series(0, 19) AS t`, m.hours, m.endpoints)
	m.exec(`
INSERT INTO public.outbox (id, type, key, tenant, payload, created_at)
SELECT ('018f0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'order.type_' || i % 20, 'key_' || i % 5000, 'tenant_' || i % 100,
       jsonb_build_object('order', i, 'region', 'region_' || i % 7), now() - ($1 - i) * interval '1 second'
FROM generate_series(1, $1) AS i`, max(m.attempts/10, 1000))
	m.exec(`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, next_attempt_at, event_type, tenant, key, payload, event_created_at, commit_lsn, seq,
    last_status, created_at, updated_at)
SELECT 'waiting-' || i, 'endpoint_' || i % $2, CASE WHEN i % 2 = 0 THEN 'dead' ELSE 'pending' END, CASE WHEN i % 2 = 0 THEN 'exhausted' ELSE 'failed' END, 3,
       CASE WHEN i % 2 = 0 THEN NULL ELSE now() + interval '1 day' END, 'order.type_' || i % 20, 'tenant_' || i % 100, 'key_' || i, '{}', now(), '0/10', i, 503, now(), now()
FROM generate_series(1, $1) AS i`, max(m.attempts/100, 100), m.endpoints)
	m.exec("VACUUM (ANALYZE)")
}

// attemptsInto makes attempts, spread over a span of time.
func (m *millions) attemptsInto(table string, first, count int, from, span string) {
	m.exec(fmt.Sprintf(`
INSERT INTO %[1]s (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, error, duration_ms, response_body, attempted_at,
    commit_lsn, search)
SELECT '018f0000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'), 'order.type_' || i %% 20, 'tenant_' || i %% 100, 'endpoint_' || i %% %[4]d, 1, 'stream',
       'https://receiver-' || i %% %[4]d || '.example.com/in', CASE WHEN i %% 1000 = 0 THEN 'dead' WHEN i %% 50 = 7 THEN 'retry' ELSE 'delivered' END,
       CASE WHEN i %% 1000 = 0 THEN 404 WHEN i %% 150 = 7 THEN NULL WHEN i %% 50 = 7 THEN 503 ELSE 200 END,
       CASE WHEN i %% 150 = 7 THEN 'connection refused' END, 3.5, 'ok', %[5]s + (i - %[2]d) * (%[6]s / %[3]d), '0/10',
       ARRAY['order=' || i / 3, 'region=region_' || i %% 7]
FROM generate_series(%[2]d, %[2]d + %[3]d - 1) AS i`, table, first, count, m.endpoints, from, span))
}

func (m *millions) exec(sql string, args ...any) {
	m.t.Helper()
	_, err := m.conn.Exec(m.t.Context(), sql, args...)
	require.NoError(m.t, err)
}
