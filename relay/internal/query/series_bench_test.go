package query_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// BenchmarkSeries reads counters over time: of a week in which 10,000 endpoints got events of 20
// types in every hour.
func BenchmarkSeries(b *testing.B) {
	db := pgschema.NewDB(b)
	conn := db.Conn(b)
	now := time.Now().UTC().Truncate(time.Hour)
	_, err := schema.Migrate(b.Context(), conn, schema.MigrateOptions{})
	require.NoError(b, err)
	for _, sql := range []string{`
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets, classes)
SELECT 'ep_' || e, date_trunc('hour', now()) - h * interval '1 hour', 10, 9, 1, 0, 100, '{0,0,5,5,0,0,0,0,0,0,0,0,0,0,0}', '{0,0,9,0,0,1}'
FROM generate_series(168, 0, -1) AS h, generate_series(1, 10000) AS e`, `
INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes)
SELECT e.id, date_trunc('hour', now()) - h * interval '1 hour', 'order.type_' || t, 5000, 4500, 500, 0, CASE WHEN e.id = '' THEN '{0,0,4500,0,0,500}'::bigint[] END
FROM generate_series(170, 0, -1) AS h, generate_series(1, 20) AS t, (VALUES (''), ('ep_1')) AS e (id)`, `VACUUM ANALYZE`} {
		_, err := conn.Exec(b.Context(), sql)
		require.NoError(b, err)
	}
	st, err := query.Open(b.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "bench"})
	require.NoError(b, err)
	b.Cleanup(st.Close)
	const day, week = 24 * time.Hour, 7 * 24 * time.Hour
	fifty := make([]string, 50)
	for i := range fifty {
		fifty[i] = "ep_" + string(rune('1'+i%9)) + string(rune('0'+i%10))
	}
	for _, c := range []struct {
		name string
		span time.Duration
		q    query.SeriesQuery
	}{
		{"all, 48 hours", 2 * day, query.SeriesQuery{}},
		{"all, a week", week, query.SeriesQuery{}},
		{"by type, a week", week, query.SeriesQuery{By: query.ByType}},
		{"by type of an endpoint, a week", week, query.SeriesQuery{By: query.ByType, EndpointIDs: []string{"ep_1"}}},
		{"an endpoint, a week", week, query.SeriesQuery{EndpointIDs: []string{"ep_1"}}},
		{"by endpoint, of 50, a day", day, query.SeriesQuery{By: query.ByEndpoint, EndpointIDs: fifty}},
		{"by endpoint, of all, a day", day, query.SeriesQuery{By: query.ByEndpoint}},
		{"by endpoint, of all, a week", week, query.SeriesQuery{By: query.ByEndpoint}},
	} {
		c.q.From, c.q.To, c.q.Step, c.q.Most = now.Add(-c.span), now.Add(time.Hour), time.Hour, 20
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				series, err := st.Series(b.Context(), c.q)
				require.NoError(b, err)
				require.NotEmpty(b, series)
			}
		})
	}
}
