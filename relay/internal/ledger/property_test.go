package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// differing counts the hours whose counters are not what the attempts say.
const differing = `
WITH said AS (
    SELECT endpoint_id, date_trunc('hour', attempted_at, 'UTC') AS hour, count(*) AS attempts,
           count(*) FILTER (WHERE outcome = 'delivered') AS delivered,
           count(*) FILTER (WHERE outcome <> 'delivered') AS failed,
           count(*) FILTER (WHERE outcome = 'dead') AS dead,
           sum(duration_ms) AS ms,
           (SELECT array_agg(n ORDER BY i)
            FROM (
                SELECT i, count(d) FILTER (WHERE width_bucket(d, bounds) + 1 = i) AS n
                FROM unnest(array_agg(a.duration_ms)) AS d, generate_series(1, 15) AS i
                GROUP BY i
            ) AS b) AS buckets
    FROM tailpost.attempt AS a,
         (SELECT '{1.0005,2.0005,5.0005,10.0005,20.0005,50.0005,100.0005,200.0005,500.0005,1000.0005,2000.0005,5000.0005,10000.0005,30000.0005}'::float8[] AS bounds) AS c
    GROUP BY endpoint_id, 2, bounds
)
SELECT count(*)
FROM said AS a
FULL JOIN tailpost.endpoint_stats AS s USING (endpoint_id, hour)
WHERE a.attempts IS DISTINCT FROM s.attempts
   OR a.delivered IS DISTINCT FROM s.delivered
   OR a.failed IS DISTINCT FROM s.failed
   OR a.dead IS DISTINCT FROM s.dead
   OR abs(a.ms - s.duration_ms_sum) > 0.001
   OR a.buckets IS DISTINCT FROM s.buckets`

// Whatever batches are recorded, the counters are the sums of the attempts and the queue is what a
// map would hold.
func TestRecord_keepsCountersAndQueueTrue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := b.conn.Exec(t.Context(), `TRUNCATE tailpost.attempt, tailpost.delivery, tailpost.endpoint_stats`)
		require.NoError(rt, err)
		queue := make(map[outbox.Pair]outbox.Delivery)
		recorded := 0
		for range rapid.IntRange(1, 4).Draw(rt, "batches") {
			batch := &ledger.Batch{
				Attempts: rapid.SliceOfN(rapid.Custom(drawAttempt), 0, 8).Draw(rt, "attempts"),
				Park:     rapid.SliceOfN(rapid.Custom(drawDelivery), 0, 6).Draw(rt, "park"),
				Update:   rapid.SliceOfN(rapid.Custom(drawDelivery), 0, 6).Draw(rt, "update"),
				Remove:   rapid.SliceOfN(rapid.Custom(drawRow), 0, 4).Draw(rt, "remove"),
			}
			require.NoError(rt, b.ledger.Record(t.Context(), hold, batch))
			apply(queue, batch)
			recorded += len(batch.Attempts)
		}
		require.Equal(rt, recorded, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
		require.Zero(rt, b.count(t, differing))
		requireQueue(t, rt, b, queue)
	})
}

// apply does to queue what the batch does to the table.
func apply(queue map[outbox.Pair]outbox.Delivery, b *ledger.Batch) {
	for _, d := range b.Park {
		old, ok := queue[pairOf(d)]
		if ok && (old.Event.CommitLSN != d.Event.CommitLSN || old.Event.Seq != d.Event.Seq) { // another event with its id
			d.Event.ID += fmt.Sprintf("~%s.%d", d.Event.CommitLSN, d.Event.Seq)
			d.State = outbox.StateDead
			_, ok = queue[pairOf(d)]
		}
		if !ok {
			queue[pairOf(d)] = d
		}
	}
	for _, d := range b.Update {
		if old, ok := queue[pairOf(d)]; ok && rowOf(old) == rowOf(d) {
			d.Event = old.Event
			queue[pairOf(d)] = d
		}
	}
	for _, r := range b.Remove {
		for _, id := range []string{r.EventID, fmt.Sprintf("%s~%s.%d", r.EventID, r.CommitLSN, r.Seq)} {
			p := outbox.Pair{EventID: id, EndpointID: r.EndpointID}
			if d, ok := queue[p]; ok && d.Event.CommitLSN == r.CommitLSN && d.Event.Seq == r.Seq {
				delete(queue, p)
			}
		}
	}
}

func requireQueue(t *testing.T, rt *rapid.T, b *bundle, queue map[outbox.Pair]outbox.Delivery) {
	t.Helper()
	var want, got []outbox.Delivery
	for _, d := range queue {
		if d.State == outbox.Pending {
			want = append(want, d)
		}
	}
	first := make(map[string]outbox.Delivery)
	for _, endpoint := range []string{"erp", "crm"} {
		ds, _, err := b.ledger.InOrder(t.Context(), endpoint, 100, false)
		require.NoError(rt, err)
		ds = asWritten(rt, ds)
		got = append(got, ds...)
		if len(ds) > 0 {
			first[endpoint] = ds[0]
		}
	}
	require.ElementsMatch(rt, want, got)
	require.Equal(rt, len(queue), b.count(t, `SELECT count(*) FROM tailpost.delivery`))
	queues, err := b.ledger.NextDue(t.Context())
	require.NoError(rt, err)
	require.Equal(rt, slices.Sorted(maps.Keys(first)), slices.Sorted(maps.Keys(queues)))
	for endpoint, d := range first {
		heads, err := b.ledger.First(t.Context(), endpoint, false)
		require.NoError(rt, err)
		require.Equal(rt, []ledger.KeyHead{{EventID: d.Event.ID, NextAttemptAt: d.NextAttemptAt}}, heads)
	}
}

func pairOf(d outbox.Delivery) outbox.Pair {
	return outbox.Pair{EventID: d.Event.ID, EndpointID: d.EndpointID}
}

func rowOf(d outbox.Delivery) ledger.QueueRow {
	return ledger.QueueRow{Pair: pairOf(d), CommitLSN: d.Event.CommitLSN, Seq: d.Event.Seq}
}

func drawRow(rt *rapid.T) ledger.QueueRow { return rowOf(drawDelivery(rt)) }

func drawPair(rt *rapid.T) outbox.Pair {
	return outbox.Pair{
		EventID:    rapid.SampledFrom([]string{"e1", "e2", "e3"}).Draw(rt, "event"),
		EndpointID: rapid.SampledFrom([]string{"erp", "crm"}).Draw(rt, "endpoint"),
	}
}

func drawAttempt(rt *rapid.T) outbox.Attempt {
	pair := drawPair(rt)
	a := attempt(pair.EventID, pair.EndpointID,
		rapid.SampledFrom([]outbox.Outcome{outbox.Delivered, outbox.Retry, outbox.Dead}).Draw(rt, "outcome"), 1)
	a.AttemptedAt = noon.Add(time.Duration(rapid.IntRange(-200, 200).Draw(rt, "minutes")) * time.Minute)
	a.Duration = rapid.OneOf(
		rapid.SampledFrom([]time.Duration{0, time.Millisecond, 2 * time.Millisecond, 30 * time.Second, time.Minute}),
		rapid.Map(rapid.IntRange(0, 40_000), func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }),
	).Draw(rt, "duration")
	return a
}

func drawDelivery(rt *rapid.T) outbox.Delivery {
	pair := drawPair(rt)
	d := pending(pair.EventID, pair.EndpointID, rapid.SampledFrom([]string{"", "k"}).Draw(rt, "key"),
		outbox.LSN(rapid.Uint64().Draw(rt, "lsn")), noon)
	d.Event.Seq = rapid.Int64Min(0).Draw(rt, "seq")
	d.Attempts = rapid.IntRange(0, 10).Draw(rt, "attempts")
	d.LastStatus = rapid.SampledFrom([]int{0, 500}).Draw(rt, "status")
	d.LastError = rapid.SampledFrom([]string{"", "reset"}).Draw(rt, "error")
	switch rapid.IntRange(0, 2).Draw(rt, "state") {
	case 0:
		d.State, d.Reason, d.NextAttemptAt = outbox.StateDead, outbox.ReasonExhausted, time.Time{}
	case 1:
		d.Reason, d.NextAttemptAt = outbox.ReasonOrder, time.Time{}
	}
	return d
}
