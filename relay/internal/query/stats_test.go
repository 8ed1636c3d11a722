package query_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// A sum of counters has all of each of them.
func TestStats_addUp(t *testing.T) {
	t.Parallel()
	buckets := func(n int64) []int64 {
		list := make([]int64, len(query.BucketBounds())+1)
		for i := range list {
			list[i] = n * int64(i+1)
		}
		return list
	}
	var sum query.Stats
	for range 2 {
		sum.Add(&query.Stats{Attempts: 20, Delivered: 13, Failed: 7, Dead: 3, DurationMS: 1.5, Buckets: buckets(1)})
		sum.Add(&query.Stats{}) // of which no durations were asked for
	}
	require.Equal(t, query.Stats{Attempts: 40, Delivered: 26, Failed: 14, Dead: 6, DurationMS: 3, Buckets: buckets(2)}, sum)
}

// The attempt of a test event is on record, and counts, as any other does: once, by its outcome, by
// how long it took and by its answer.
func TestATestEventIsCounted(t *testing.T) {
	t.Parallel()
	store, conn := neighbours(t)
	_, err := conn.Exec(t.Context(), "DELETE FROM tailpost.endpoint_stats")
	require.NoError(t, err)
	last := len(query.BucketBounds())
	want := query.Stats{Buckets: make([]int64, last+1)}
	classes := make([]int64, query.ClassCount)
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i, test := range []struct {
		took          time.Duration
		status        int
		outcome       outbox.Outcome
		bucket, class int
	}{
		{time.Millisecond, 200, outbox.Delivered, 0, 2},
		{1500 * time.Microsecond, 404, outbox.Dead, 1, 4},
		{30 * time.Second, 599, outbox.Dead, last - 1, 5},
		{31 * time.Second, 0, outbox.Dead, last, 0},
		{time.Second, 999, outbox.Dead, 9, query.ClassCount - 1},
	} {
		a := outbox.Attempt{
			EventID: "test", EventType: "order.created", Tenant: "alpha", EndpointID: "ep-1", Number: i + 1, Trigger: outbox.TriggerTest, URL: "https://example.com/",
			Outcome: test.outcome, StatusCode: test.status, Duration: test.took, AttemptedAt: now.Add(time.Duration(i)),
		}
		if test.status == 200 {
			a.ResponseBody, a.RequestHeaders, a.RequestID = []byte("ok"), map[string]string{"A": "b"}, "request"
			want.Delivered++
		} else {
			a.Error = "why"
			want.Failed, want.Dead = want.Failed+1, want.Dead+1
		}
		require.NoError(t, change(func(ctx context.Context, c *query.Change) error { return c.RecordTest(ctx, &a) })(t.Context(), store))
		page, err := store.Attempts(t.Context(), query.AttemptQuery{EndpointID: "ep-1", Limit: 1})
		require.NoError(t, err)
		a.AttemptedAt = now
		require.Equal(t, []outbox.Attempt{a}, page.Attempts)
		want.Attempts, want.DurationMS = want.Attempts+1, want.DurationMS+float64(test.took)/float64(time.Millisecond)
		want.Buckets[test.bucket]++
		classes[test.class]++
	}
	sums, err := store.Stats(t.Context(), "ep-1", []time.Time{{}})
	require.NoError(t, err)
	require.Equal(t, []query.Stats{want}, sums)
	hour := now.Truncate(time.Hour)
	series, err := store.Series(t.Context(), query.SeriesQuery{EndpointIDs: []string{"ep-1"}, From: hour, To: hour.Add(time.Hour), Step: time.Hour})
	require.NoError(t, err)
	require.Equal(t, classes, series[0].Points[0].Classes)
}

// TestABreakdownNamesWhatHasTheMostAndSumsUpTheRest: the most of all hours together, and the rest
// by each of its counts.
func TestABreakdownNamesWhatHasTheMostAndSumsUpTheRest(t *testing.T) {
	t.Parallel()
	store, conn := migrated(t)
	for _, sql := range []string{
		"INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead) SELECT '', ",
		"INSERT INTO tailpost.endpoint_stats (duration_ms_sum, buckets, hour, endpoint_id, attempts, delivered, failed, dead) SELECT 0, array_fill(1, ARRAY[15]), ",
	} {
		_, err := conn.Exec(t.Context(), sql+`$1::timestamptz + h * interval '1 hour', name, n, n - fails, fails, dead
			FROM (VALUES (-2, 'steady', 1, 0, 0), (-1, 'steady', 60, 5, 3), (0, 'steady', 60, 5, 3), (0, 'peak', 100, 7, 2), (0, 'rare', 10, 8, 1)) AS v (h, name, n, fails, dead)`, noon)
		require.NoError(t, err)
	}
	steady := query.Stats{Attempts: 120, Delivered: 110, Failed: 10, Dead: 6}
	peak, rare := query.Stats{Attempts: 100, Delivered: 93, Failed: 7, Dead: 2}, query.Stats{Attempts: 10, Delivered: 2, Failed: 8, Dead: 1}
	others := query.Stats{Attempts: 110, Delivered: 95, Failed: 15, Dead: 3}
	for name, read := range map[string]struct {
		q    query.SeriesQuery
		want map[string]query.Stats
	}{
		"by type":                     {query.SeriesQuery{By: query.ByType, Most: 1}, map[string]query.Stats{"steady": steady, "": others}},
		"by endpoint":                 {query.SeriesQuery{By: query.ByEndpoint, Most: 1}, map[string]query.Stats{"steady": steady, "": others}},
		"by endpoint that failed":     {query.SeriesQuery{By: query.ByEndpoint, Most: 2, MostFailed: true}, map[string]query.Stats{"steady": steady, "rare": rare, "": peak}},
		"by endpoint, of these":       {query.SeriesQuery{By: query.ByEndpoint, Most: 1, EndpointIDs: []string{"steady", "peak"}}, map[string]query.Stats{"steady": steady, "": peak}},
		"by endpoint that failed, of": {query.SeriesQuery{By: query.ByEndpoint, Most: 1, MostFailed: true, EndpointIDs: []string{"rare", "peak"}}, map[string]query.Stats{"rare": rare, "": peak}},
	} {
		read.q.From, read.q.To, read.q.Step = noon.Add(-time.Hour), noon.Add(time.Hour), time.Hour
		series, err := store.Series(t.Context(), read.q)
		require.NoError(t, err)
		got := make(map[string]query.Stats)
		for _, s := range series {
			var all query.Stats
			for i := range s.Points {
				all.Add(&s.Points[i].Stats)
			}
			all.Buckets, all.DurationMS = nil, 0
			got[s.Name] = all
		}
		require.Equal(t, read.want, got, name)
	}
}
