package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// insertCounted writes counters of an hour as the relay would.
func insertCounted(tb testing.TB, b *bundle, endpoint, hour string, delivered, failed, dead int) {
	tb.Helper()
	b.exec(tb, `INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
		VALUES ($1, ($2::text || '+00')::timestamptz, $3::int + $4::int, $3, $4, $5, 15 * ($3::int + $4::int), ARRAY[0,0,0,0,$3::int + $4::int,0,0,0,0,0,0,0,0,0,0]::bigint[])`,
		endpoint, hour, delivered, failed, dead)
}

func TestTimeSeriesAreExact(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.mu.Lock()
	b.now = time.Date(2026, 3, 14, 12, 30, 0, 0, time.UTC)
	b.mu.Unlock()
	first, second, third := b.endpoint(t, ""), b.endpoint(t, "acme"), b.endpoint(t, "")
	insertCounted(t, b, first, "2026-03-13 12:00", 1000, 0, 0) // before all that is asked for
	insertCounted(t, b, first, "2026-03-13 13:00", 1, 0, 0)
	insertCounted(t, b, first, "2026-03-14 12:00", 10, 4, 1)
	insertCounted(t, b, second, "2026-03-14 12:00", 5, 0, 0)
	insertCounted(t, b, second, "2026-03-14 13:00", 1000, 0, 0) // after it
	insertCounted(t, b, third, "2026-03-14 05:00", 2, 0, 0)
	insertCounted(t, b, third, "1970-01-01 00:00", 1000, 0, 0)

	all := b.get(t, "/v1/stats").is(http.StatusOK)
	require.Equal(t, "2026-03-13T13:00:00Z", all.at("from"))
	require.Equal(t, "2026-03-14T13:00:00Z", all.at("to"))
	require.Len(t, all.list("series.0.points"), 24)
	require.Equal(t, 22, all.at("series.0.total"))
	require.Equal(t, 1, all.at("series.0.points.0.attempts"))
	require.Equal(t, 0, all.at("series.0.points.1.attempts"))
	require.Equal(t, 19, all.at("series.0.points.23.attempts"))
	require.Equal(t, 4, all.at("series.0.points.23.failed"))
	require.Nil(t, all.at("series.0.points.23.latency_ms"))

	outcome := b.get(t, "/v1/stats?by=outcome&step=12h").is(http.StatusOK)
	require.Len(t, outcome.list("series.0.points"), 2)
	for i, want := range []int{18, 3, 1} {
		at := "series." + string(rune('0'+i))
		require.Equal(t, []string{"delivered", "retry", "dead"}[i], outcome.at(at+".name"))
		require.Equal(t, want, outcome.at(at+".total"))
	}

	by := b.get(t, "/v1/stats?by=endpoint&limit=1").is(http.StatusOK)
	require.Len(t, by.list("series"), 2)
	require.Equal(t, first, by.at("series.0.name"))
	require.Equal(t, first, by.at("series.0.label"))
	require.Equal(t, 15, by.at("series.0.total"))
	require.Equal(t, "others", by.at("series.1.name"))
	require.Equal(t, 7, by.at("series.1.total"))

	insertCounted(t, b, third, "2026-03-14 06:00", 0, 3, 0)
	insertCounted(t, b, second, "2026-03-14 06:00", 0, 9, 0)
	for _, of := range []string{"", "&endpoint_id=" + first + "&endpoint_id=" + second + "&endpoint_id=" + third} {
		failed := b.get(t, "/v1/stats?by=endpoint&order=failed&limit=2"+of).is(http.StatusOK)
		require.Equal(t, second, failed.at("series.0.name"))
		require.Equal(t, first, failed.at("series.1.name"))
		require.Len(t, failed.list("series"), 3)
		failed = b.get(t, "/v1/stats?by=endpoint&order=failed&limit=1"+of).is(http.StatusOK)
		require.Equal(t, []any{second, "others"}, []any{failed.at("series.0.name"), failed.at("series.1.name")})
	}
	b.get(t, "/v1/stats?by=type&order=failed").is(http.StatusUnprocessableEntity)
	b.exec(t, "DELETE FROM tailpost.endpoint_stats WHERE hour = '2026-03-14 06:00+00'")

	one := b.get(t, "/v1/stats?endpoint_id="+first+"&from=2026-03-14T11:10:00Z&to=2026-03-14T12:01:00Z").is(http.StatusOK)
	require.Len(t, one.list("series.0.points"), 2)
	require.InDelta(t, 15.0, one.at("series.0.points.1.latency_ms.p50"), 0.01)
	require.Nil(t, one.at("series.0.points.0.latency_ms"))

	require.InDelta(t, 15.0, one.at("series.0.latency_ms.p50"), 0.01)

	named := b.get(t, "/v1/stats?by=endpoint&endpoint_id="+first+"&endpoint_id="+third).is(http.StatusOK)
	require.Len(t, named.list("series"), 2)
	for i, id := range []string{first, third} {
		at := "series." + string(rune('0'+i))
		require.Equal(t, id, named.at(at+".name"))
		require.InDelta(t, 15.0, named.at(at+".latency_ms.p50"), 0.01)
		require.InDelta(t, 19.5, named.at(at+".latency_ms.p95"), 0.01)
	}
	busiest := b.get(t, "/v1/stats?by=endpoint&limit=1&endpoint_id="+first+"&endpoint_id="+second).is(http.StatusOK)
	require.Equal(t, first, busiest.at("series.0.name"), "what came after the end makes none the busiest")
	require.Nil(t, by.at("series.0.latency_ms"), "of all endpoints it would cost too much")

	_, acme := b.key(t, "acme")
	mine := b.do(t, call{key: acme, method: http.MethodGet, path: "/v1/stats?by=endpoint"}).is(http.StatusOK)
	require.Len(t, mine.list("series"), 1)
	require.Equal(t, 5, mine.at("series.0.total"))
	require.Equal(t, 0, b.do(t, call{key: acme, method: http.MethodGet, path: "/v1/stats?endpoint_id=" + first}).is(http.StatusOK).at("series.0.total"))
	require.Empty(t, b.do(t, call{key: acme, method: http.MethodGet, path: "/v1/stats?tenant=other"}).is(http.StatusOK).list("series"))
	require.Equal(t, 5, b.get(t, "/v1/stats?tenant=acme").is(http.StatusOK).at("series.0.total"))
}

// insertTyped writes counters of a type as the relay would; an empty endpoint is all of them.
func insertTyped(tb testing.TB, b *bundle, endpoint, hour, name string, delivered, failed int) {
	tb.Helper()
	b.exec(tb, `INSERT INTO tailpost.type_stats (endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes)
		VALUES ($1, ($2::text || '+00')::timestamptz, $3, $4::int + $5::int, $4, $5, 0, NULL)`, endpoint, hour, name, delivered, failed)
}

func series(a *answer) map[string]int {
	totals := make(map[string]int)
	for i := range a.list("series") {
		at := fmt.Sprintf("series.%d.", i)
		totals[a.text(at+"name")], _ = a.at(at + "total").(int)
	}
	return totals
}

// A breakdown adds up to what all attempts are, also where a part of them was counted by a version
// that knew no types.
func TestBreakdownsAreExact(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.mu.Lock()
	b.now = time.Date(2026, 3, 14, 12, 30, 0, 0, time.UTC)
	b.mu.Unlock()
	first, second := b.endpoint(t, ""), b.endpoint(t, "acme")
	insertCounted(t, b, first, "2026-03-14 08:00", 7, 0, 0)  // before the upgrade
	insertCounted(t, b, first, "2026-03-14 09:00", 5, 0, 0)  // three of them before it
	insertCounted(t, b, first, "2026-03-14 10:00", 10, 4, 0) // after it
	insertCounted(t, b, second, "2026-03-14 10:00", 3, 0, 0)
	b.exec(t, "UPDATE tailpost.endpoint_stats SET classes = '{1,0,10,0,0,3}' WHERE failed = 4")
	b.exec(t, "UPDATE tailpost.endpoint_stats SET classes = '{0,0,3,0,0,0}' WHERE attempts = 3")
	for _, id := range []string{"", first} {
		insertTyped(t, b, id, "2026-03-14 09:00", "order.paid", 2, 0)
		insertTyped(t, b, id, "2026-03-14 10:00", "order.created", 6, 4)
		insertTyped(t, b, id, "2026-03-14 10:00", "order.rare", 1, 0)
	}
	insertTyped(t, b, first, "2026-03-14 10:00", "order.paid", 3, 0)
	insertTyped(t, b, second, "2026-03-14 10:00", "order.paid", 3, 0)
	insertTyped(t, b, "", "2026-03-14 10:00", "order.paid", 6, 0)
	b.exec(t, "UPDATE tailpost.type_stats SET classes = CASE event_type WHEN 'order.created' THEN '{1,0,6,0,0,3}'::bigint[] ELSE ARRAY[0,0,attempts,0,0,0] END WHERE endpoint_id = ''")
	of := func(parameters string) map[string]int {
		return series(b.get(t, "/v1/stats?"+parameters).is(http.StatusOK))
	}

	require.Equal(t, map[string]int{"all": 29}, of(""))
	require.Equal(t, map[string]int{"order.created": 10, "order.paid": 8, "order.rare": 1, "others": 10}, of("by=type"))
	require.Equal(t, map[string]int{"order.created": 10, "others": 19}, of("by=type&limit=1"))
	require.Equal(t, map[string]int{"order.created": 10, "order.paid": 5, "order.rare": 1, "others": 10}, of("by=type&endpoint_id="+first))
	require.Equal(t, map[string]int{"order.paid": 3}, of("by=type&endpoint_id="+second))
	require.Equal(t, map[string]int{"order.created": 10, "order.paid": 8, "order.rare": 1, "others": 10}, of("by=type&endpoint_id="+first+"&endpoint_id="+second))
	require.Equal(t, map[string]int{"2xx": 13, "5xx": 3, "none": 1, "unknown": 12}, of("by=status_class"))
	require.Equal(t, map[string]int{"2xx": 3}, of("by=status_class&endpoint_id="+second))
	require.Equal(t, map[string]int{first: 26, second: 3}, of("by=endpoint"))

	paid := b.get(t, "/v1/stats?by=type&step=1h").is(http.StatusOK)
	for i, name := range []string{"order.created", "others", "order.paid"} {
		require.Equal(t, name, paid.at("series."+string(rune('0'+i))+".name"))
	}
	require.Equal(t, 4, paid.at("series.0.points.21.failed"))

	_, acme := b.key(t, "acme")
	mine := func(parameters string) map[string]int {
		return series(b.do(t, call{key: acme, method: http.MethodGet, path: "/v1/stats?" + parameters}).is(http.StatusOK))
	}
	require.Equal(t, map[string]int{"order.paid": 3}, mine("by=type"))
	require.Equal(t, map[string]int{"2xx": 3}, mine("by=status_class"))
	require.Empty(t, mine("by=type&endpoint_id="+first))
}

// A test event is an attempt like others, and is counted like others.
func TestATestEventIsCountedByItsType(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r := newReceiver(t)
	id := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL}).is(http.StatusCreated).text("id")
	send := func() { b.post(t, "/v1/endpoints/"+id+"/test", map[string]any{}).is(http.StatusOK) }
	send()
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.type_stats WHERE endpoint_id = ''"), "the relay begins them")
	b.exec(t, "INSERT INTO tailpost.type_stats SELECT '', 'epoch', '', 0, 0, 0, 0, NULL")
	send()
	send()
	require.Equal(t, 3, b.count(t, "SELECT sum(attempts) FROM tailpost.type_stats WHERE endpoint_id <> ''"))
	require.Equal(t, 2, b.count(t, "SELECT sum(attempts) FROM tailpost.type_stats WHERE endpoint_id = '' AND classes[3] = delivered"))
	require.Equal(t, 3, b.count(t, "SELECT sum(classes[3]) FROM tailpost.endpoint_stats"))
}

func TestTimeSeriesAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, parameters := range []string{
		"step=30m", "step=90m", "step=x", "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
		"from=0001-01-01T01:00:00Z&to=2026-01-01T00:00:00Z&step=24000h",
	} {
		b.get(t, "/v1/stats?"+parameters).is(http.StatusUnprocessableEntity)
	}
	require.Len(t, b.get(t, "/v1/stats?from=2020-01-01T00:00:00Z&to=2022-01-01T00:00:00Z&step=24h").is(http.StatusOK).list("series.0.points"), 731)
}
