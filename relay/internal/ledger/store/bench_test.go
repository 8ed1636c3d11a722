package store_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger/store"
)

var attempts = flag.Int("attempts", 1_000_000, "how many attempts BenchmarkAttemptPages reads pages out of")

// BenchmarkAttemptPages reads pages out of a million attempts over three days, 200 endpoints and 50 tenants, of which one in a
// hundred failed. More, with -attempts, are as many more for each second.
func BenchmarkAttemptPages(b *testing.B) {
	db := pgtest.NewDB(b)
	conn := db.Conn(b)
	now := time.Now().UTC()
	_, err := outbox.Migrate(b.Context(), conn, outbox.MigrateOptions{Now: now.Add(-3 * 24 * time.Hour)})
	require.NoError(b, err)
	interval := 250 * time.Millisecond * 1_000_000 / time.Duration(*attempts)
	for _, sql := range []string{`
INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, source, created_at, updated_at)
SELECT 'ep_' || i, 'tenant_' || i % 50, 'e', 'https://example.com', '[]', '{}', 'active', 'api', now(), now()
FROM generate_series(0, 199) AS i`, fmt.Sprintf(`
INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, status_code, duration_ms,
    response_body, attempted_at, commit_lsn)
SELECT 'event-' || i, 'type_' || i %% 20, 'tenant_' || i %% 50, 'ep_' || i %% 200, 1, 'stream', 'https://example.com/in',
       CASE WHEN i %% 100 = 0 THEN 'retry' ELSE 'delivered' END, CASE WHEN i %% 100 = 0 THEN 503 ELSE 200 END, 3.5, 'ok',
       now() - (%[1]d - i) * interval '%[2]d microseconds', '0/10'
FROM generate_series(1, %[1]d) AS i`, *attempts, interval.Microseconds()), `VACUUM ANALYZE`} {
		_, err := conn.Exec(b.Context(), sql)
		require.NoError(b, err)
	}
	st, err := store.Open(b.Context(), store.Options{URL: config.NewSecret(db.URL), Owner: "bench"})
	require.NoError(b, err)
	b.Cleanup(st.Close)
	old := now.Add(-40 * time.Hour)
	for _, c := range []struct {
		name string
		q    store.AttemptQuery
		rows int
	}{
		{"newest", store.AttemptQuery{}, 50},
		{"from the middle", store.AttemptQuery{Until: old}, 50},
		{"endpoint", store.AttemptQuery{EndpointID: "ep_7"}, 50},
		{"endpoint from the middle", store.AttemptQuery{EndpointID: "ep_7", Until: old}, 50},
		{"endpoint, failed", store.AttemptQuery{EndpointID: "ep_100", Outcome: "retry"}, 50},
		{"endpoint, delivered", store.AttemptQuery{EndpointID: "ep_7", Outcome: "delivered"}, 50},
		{"endpoint, type", store.AttemptQuery{EndpointID: "ep_7", EventType: "type_7"}, 50},
		{"failed", store.AttemptQuery{Outcome: "retry"}, 50},
		{"5xx", store.AttemptQuery{StatusClass: 5}, 50},
		{"4xx, of which there are none", store.AttemptQuery{StatusClass: 4}, 0},
		{"event", store.AttemptQuery{EventID: "event-4711"}, 1},
		{"type", store.AttemptQuery{EventType: "type_3"}, 50},
		{"tenant of the key", store.AttemptQuery{Tenant: "tenant_3"}, 50},
		{"tenant of the key, failed", store.AttemptQuery{Tenant: "tenant_0", Outcome: "retry"}, 50},
		{"tenant of the event", store.AttemptQuery{EventTenant: "tenant_3"}, 50},
		{"type that does not exist", store.AttemptQuery{EventType: "nothing"}, 0},
	} {
		c.q.Limit = 50
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				page, err := st.Attempts(b.Context(), c.q)
				require.NoError(b, err)
				require.Len(b, page.Attempts, c.rows, "%v", page.Next)
			}
		})
	}
}
