package query_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

var attempts = flag.Int("attempts", 1_000_000, "how many attempts BenchmarkAttemptPages reads pages out of")

// BenchmarkAttemptPages reads pages out of a million attempts over three days to 200 endpoints, of
// which one in a hundred failed. More, with -attempts, are as many more for each second. Of what
// was last seen in the middle of them, and of what there is none, a page may be empty; "pages" says
// how many it takes to come to the first attempt, or to the end.
func BenchmarkAttemptPages(b *testing.B) {
	st, old := benchStore(b, *attempts)
	for _, c := range []struct {
		name string
		q    query.AttemptQuery
		rows int // on the page that has some
	}{
		{"newest", query.AttemptQuery{}, 50},
		{"from the middle", query.AttemptQuery{Until: old}, 50},
		{"since", query.AttemptQuery{Since: old}, 50},
		{"an hour", query.AttemptQuery{Since: old.Add(-time.Hour), Until: old}, 50},
		{"endpoint", query.AttemptQuery{EndpointID: "ep_7"}, 50},
		{"endpoint from the middle", query.AttemptQuery{EndpointID: "ep_7", Until: old}, 50},
		{"endpoint, failed", query.AttemptQuery{EndpointID: "ep_100", Outcome: "retry"}, 50},
		{"endpoint, dead, none", query.AttemptQuery{EndpointID: "ep_100", Outcome: "dead"}, 0},
		{"endpoint, delivered", query.AttemptQuery{EndpointID: "ep_7", Outcome: "delivered"}, 50},
		{"endpoint, delivered until the middle", query.AttemptQuery{EndpointID: "ep_199", Outcome: "delivered"}, 50},
		{"endpoint, 5xx", query.AttemptQuery{EndpointID: "ep_100", StatusClass: 5}, 50},
		{"endpoint, 4xx, none", query.AttemptQuery{EndpointID: "ep_100", StatusClass: 4}, 0},
		{"endpoint, type", query.AttemptQuery{EndpointID: "ep_7", EventType: "type_7"}, 50},
		{"endpoint, type, none", query.AttemptQuery{EndpointID: "ep_7", EventType: "type_8"}, 0},
		{"failed", query.AttemptQuery{Outcome: "retry"}, 50},
		{"failed, type", query.AttemptQuery{Outcome: "retry", EventType: "type_0"}, 50},
		{"failed, type, none", query.AttemptQuery{Outcome: "retry", EventType: "type_3"}, 0},
		{"dead, none", query.AttemptQuery{Outcome: "dead"}, 0},
		{"2xx", query.AttemptQuery{StatusClass: 2}, 50},
		{"5xx", query.AttemptQuery{StatusClass: 5}, 50},
		{"4xx, one in the middle", query.AttemptQuery{StatusClass: 4}, 1},
		{"3xx, none", query.AttemptQuery{StatusClass: 3}, 0},
		{"event", query.AttemptQuery{EventID: "event-4711"}, 1},
		{"type", query.AttemptQuery{EventType: "type_3"}, 50},
		{"type until the middle", query.AttemptQuery{EventType: "type_19"}, 50},
		{"type, none", query.AttemptQuery{EventType: "nothing"}, 0},
		{"key's tenant, one endpoint", query.AttemptQuery{Tenant: "one"}, 50},
		{"key's tenant, one endpoint, failed", query.AttemptQuery{Tenant: "one", Outcome: "retry"}, 50},
		{"key's tenant, two endpoints", query.AttemptQuery{Tenant: "tenant_3"}, 50},
		{"key's tenant, two endpoints, failed, none", query.AttemptQuery{Tenant: "tenant_3", Outcome: "retry"}, 0},
		{"key's tenant, 100 endpoints", query.AttemptQuery{Tenant: "many"}, 50},
		{"key's tenant, 100 endpoints, from the middle", query.AttemptQuery{Tenant: "many", Until: old}, 50},
		{"key's tenant, 100 endpoints, failed", query.AttemptQuery{Tenant: "many", Outcome: "retry"}, 50},
		{"key's tenant, 100 endpoints, type, none", query.AttemptQuery{Tenant: "many", EventType: "nothing"}, 0},
		{"event's tenant", query.AttemptQuery{EventTenant: "tenant_3"}, 50},
		{"event's tenant until the middle", query.AttemptQuery{EventTenant: "tenant_49"}, 50},
		{"event's tenant, none", query.AttemptQuery{EventTenant: "nobody"}, 0},
	} {
		c.q.Limit = 50
		benchPages(b, c.name, st, c.q, c.rows)
	}
}

// benchPages reads a first page, and the next one of that which has attempts.
func benchPages(b *testing.B, name string, st *query.Store, q query.AttemptQuery, rows int) {
	b.Helper()
	pages := 1
	full, err := st.Attempts(b.Context(), q)
	for next := q; err == nil && (rows == 0 || len(full.Attempts) < rows) && full.Next != nil; pages++ {
		next.After = *full.Next
		found := full.Attempts
		full, err = st.Attempts(b.Context(), next)
		full.Attempts = append(found, full.Attempts...)
	}
	require.NoError(b, err)
	require.GreaterOrEqual(b, len(full.Attempts), rows)
	read := func(name string, q query.AttemptQuery) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := st.Attempts(b.Context(), q)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(pages), "pages")
		})
	}
	read(name, q)
	if full.Next != nil {
		q.After, pages = *full.Next, 1
		read(name+", next page", q)
	}
}

// benchStore is a store over n attempts, the newest of which is new, and a time in their middle.
func benchStore(b *testing.B, n int) (st *query.Store, middle time.Time) {
	b.Helper()
	db := pgschema.NewDB(b)
	conn := db.Conn(b)
	now := time.Now().UTC()
	_, err := schema.Migrate(b.Context(), conn, schema.MigrateOptions{Now: now.Add(-3 * 24 * time.Hour)})
	require.NoError(b, err)
	interval := 250 * time.Millisecond * 1_000_000 / time.Duration(n)
	for _, sql := range []string{`
INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, source, created_at, updated_at)
SELECT 'ep_' || i, CASE WHEN i < 100 THEN 'many' WHEN i = 100 THEN 'one' ELSE 'tenant_' || i % 50 END, 'e', 'https://example.com',
       '[]', '{}', 'active', 'api', now(), now()
FROM generate_series(0, 199) AS i`, fmt.Sprintf(`
INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, duration_ms,
    response_body, attempted_at, commit_lsn)
SELECT 'event-' || i, 'type_' || CASE WHEN i > half AND i %% 20 = 19 THEN 18 ELSE i %% 20 END,
       'tenant_' || CASE WHEN i > half AND i %% 50 = 49 THEN 48 ELSE i %% 50 END, 'ep_' || i %% 200, 1, 'stream',
       'https://example.com/in', CASE WHEN fails THEN 'retry' ELSE 'delivered' END,
       CASE WHEN i = half THEN 404 WHEN fails THEN 503 ELSE 200 END, 3.5, 'ok', now() - (%[1]d - i) * interval '%[2]d microseconds', '0/10'
FROM (
    SELECT i, %[1]d / 200 * 100 AS half, i %% 100 = 0 OR i %% 200 = 199 AND i > %[1]d / 2 AS fails
    FROM generate_series(1, %[1]d) AS i
) AS a`, n, interval.Microseconds()), `VACUUM ANALYZE`} {
		_, err := conn.Exec(b.Context(), sql)
		require.NoError(b, err)
	}
	st, err = query.Open(b.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "bench"})
	require.NoError(b, err)
	b.Cleanup(st.Close)
	return st, now.Add(-time.Duration(n/2) * interval)
}
