package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Stats sums counters of an endpoint.
type Stats struct {
	Attempts   int64
	Delivered  int64 // attempts, and so deliveries, that succeeded
	Failed     int64 // attempts that did not
	Dead       int64 // deliveries given up
	DurationMS float64
	Buckets    []int64 // attempts by duration, see tailpost.endpoint_stats.buckets
}

// Add adds what another counted.
func (s *Stats) Add(o *Stats) {
	s.Attempts, s.Delivered, s.Failed, s.Dead = s.Attempts+o.Attempts, s.Delivered+o.Delivered, s.Failed+o.Failed, s.Dead+o.Dead
	s.DurationMS += o.DurationMS
	if s.Buckets == nil {
		s.Buckets = make([]int64, len(BucketBounds())+1)
	}
	for i := range o.Buckets {
		s.Buckets[i] += o.Buckets[i]
	}
}

// BucketBounds are the upper bounds of the buckets in milliseconds; the last bucket has none.
func BucketBounds() []float64 {
	return []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000}
}

const totalsSQL = `
SELECT endpoint_id, sum(attempts)::bigint, sum(delivered)::bigint, sum(failed)::bigint, sum(dead)::bigint
FROM tailpost.endpoint_stats
WHERE endpoint_id = ANY (@ids::text[])
GROUP BY endpoint_id`

// Totals returns the counters of endpoints over all time, without durations. One without attempts
// is missing.
func (s attempts) Totals(ctx context.Context, ids []string) (map[string]Stats, error) {
	totals := make(map[string]Stats, len(ids))
	err := s.read(ctx, "read the counters", func(ctx context.Context, tx pgx.Tx) error {
		return readTotals(ctx, tx, ids, totals)
	})
	return totals, err
}

// Totals is Store.Totals within the change.
func (c endpointChanges) Totals(ctx context.Context, id string) (Stats, error) {
	totals := make(map[string]Stats, 1)
	err := readTotals(ctx, c.tx, []string{id}, totals)
	return totals[id], err
}

func readTotals(ctx context.Context, tx pgx.Tx, ids []string, totals map[string]Stats) error {
	rows, err := tx.Query(ctx, totalsSQL, pgx.NamedArgs{"ids": ids})
	if err != nil {
		return err
	}
	var id string
	var sum Stats
	_, err = pgx.ForEachRow(rows, []any{&id, &sum.Attempts, &sum.Delivered, &sum.Failed, &sum.Dead}, func() error {
		totals[id] = sum
		return nil
	})
	return err
}

// statsSQL sums the buckets one by one: an aggregate over arrays would need a function of our own.
const statsSQL = `
SELECT COALESCE(sum(attempts), 0)::bigint, COALESCE(sum(delivered), 0)::bigint, COALESCE(sum(failed), 0)::bigint,
       COALESCE(sum(dead), 0)::bigint, COALESCE(sum(duration_ms_sum), 0)::double precision,
       ARRAY[
           COALESCE(sum(buckets[1]), 0), COALESCE(sum(buckets[2]), 0), COALESCE(sum(buckets[3]), 0),
           COALESCE(sum(buckets[4]), 0), COALESCE(sum(buckets[5]), 0), COALESCE(sum(buckets[6]), 0),
           COALESCE(sum(buckets[7]), 0), COALESCE(sum(buckets[8]), 0), COALESCE(sum(buckets[9]), 0),
           COALESCE(sum(buckets[10]), 0), COALESCE(sum(buckets[11]), 0), COALESCE(sum(buckets[12]), 0),
           COALESCE(sum(buckets[13]), 0), COALESCE(sum(buckets[14]), 0), COALESCE(sum(buckets[15]), 0)
       ]::bigint[]
FROM tailpost.endpoint_stats
WHERE endpoint_id = @id
  AND (@since::timestamptz IS NULL OR hour >= @since)`

// Stats returns the counters of an endpoint over each of the times, which begin with an hour; a
// zero one means all time.
func (s attempts) Stats(ctx context.Context, id string, since []time.Time) ([]Stats, error) {
	sums := make([]Stats, len(since))
	err := s.read(ctx, "read the counters", func(ctx context.Context, tx pgx.Tx) error {
		for i := range since {
			sum := &sums[i]
			err := tx.QueryRow(ctx, statsSQL, pgx.NamedArgs{"id": id, "since": timeOrNull(since[i])}).
				Scan(&sum.Attempts, &sum.Delivered, &sum.Failed, &sum.Dead, &sum.DurationMS, &sum.Buckets)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return sums, err
}
