package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// typesDifferSQL is what the counters and the attempts say of each other that is not the same: of
// types over all endpoints and of each, and of the classes of answers.
const typesDifferSQL = `
WITH a AS (
    SELECT endpoint_id, date_trunc('hour', attempted_at, 'UTC') AS hour, left(event_type, 200) AS event_type,
           count(*) AS attempts, count(*) FILTER (WHERE outcome = 'delivered') AS delivered,
           count(*) FILTER (WHERE outcome <> 'delivered') AS failed, count(*) FILTER (WHERE outcome = 'dead') AS dead,
           array(SELECT count(*) FILTER (WHERE least(COALESCE(x.status_code, 0) / 100, 5) = c)
                 FROM generate_series(0, 5) AS c, unnest(array_agg(COALESCE(t.status_code, 0))) AS x (status_code)
                 GROUP BY c ORDER BY c) AS classes
    FROM tailpost.attempt AS t
    GROUP BY GROUPING SETS ((endpoint_id, 2, 3), (2, 3))
),
want AS (
    SELECT COALESCE(endpoint_id, '') AS endpoint_id, hour, event_type, attempts, delivered, failed, dead,
           CASE WHEN endpoint_id IS NULL THEN classes END AS classes
    FROM a
),
got AS (
    SELECT endpoint_id, hour, event_type, attempts, delivered, failed, dead, classes
    FROM tailpost.type_stats
),
endpoint_want AS (
    SELECT endpoint_id, hour, array(SELECT sum(n) FROM a AS b, unnest(b.classes) WITH ORDINALITY AS u (n, place)
                                    WHERE b.endpoint_id = a.endpoint_id AND b.hour = a.hour GROUP BY place ORDER BY place)::bigint[] AS classes
    FROM a
    WHERE endpoint_id IS NOT NULL
    GROUP BY 1, 2
)
SELECT (SELECT count(*) FROM ((SELECT * FROM want EXCEPT SELECT * FROM got) UNION ALL (SELECT * FROM got EXCEPT SELECT * FROM want)) AS d)
     + (SELECT count(*) FROM endpoint_want AS w LEFT JOIN tailpost.endpoint_stats AS s USING (endpoint_id, hour) WHERE s.classes IS DISTINCT FROM w.classes)`

// Counters by type and by the class of the answer say what the attempts say, however batches cut
// them, and whatever a type is like.
func TestRecord_countsByTypeAndClass(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	types := []string{"order.created", "order.paid", "odd\x00type", "oddtype", "bad\xfftype", strings.Repeat("long.", 60), strings.Repeat("long.", 60) + "x", strings.Repeat("long.", 40)}
	statuses := []int{0, 100, 200, 204, 302, 404, 429, 500, 599, 999}
	n := 0
	for batch := range 3 {
		var list []outbox.Attempt
		for i := range 40 {
			n++
			outcome := []outbox.Outcome{outbox.Delivered, outbox.Retry, outbox.Dead}[n%3]
			a := attempt(fmt.Sprintf("e%d", n), []string{"erp", "crm"}[i%2], outcome, outbox.LSN(n))
			a.EventType, a.StatusCode = types[n%len(types)], statuses[n%len(statuses)]
			a.AttemptedAt = noon.Add(time.Duration(i%3-1) * time.Hour)
			list = append(list, a)
		}
		require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Attempts: list, Now: noon}), "batch %d", batch)
	}
	require.Equal(t, 120, b.count(t, "SELECT sum(attempts) FROM tailpost.type_stats WHERE endpoint_id = ''"))
	require.Zero(t, b.count(t, typesDifferSQL))

	// What an earlier version counted has no classes.
	b.exec(t, "UPDATE tailpost.endpoint_stats SET classes = NULL")
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Attempts: []outbox.Attempt{attempt("e0", "erp", outbox.Delivered, 1)}, Now: noon}))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.endpoint_stats WHERE classes = '{0,0,1,0,0,0}'"))

	dropped, more, err := b.ledger.DropTypeStats(t.Context(), noon)
	require.NoError(t, err)
	require.False(t, more)
	require.Positive(t, dropped)
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.type_stats WHERE hour < $1", noon))
	require.Positive(t, b.count(t, "SELECT count(*) FROM tailpost.type_stats WHERE hour = $1", noon))
}
