package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// SeriesQuery asks for counters over time.
type SeriesQuery struct {
	Tenant     string // only of this tenant's endpoints; empty: all
	EndpointID string // only of this endpoint; empty: all
	From, To   time.Time
	Step       time.Duration // From, To and Step are whole hours
	ByEndpoint bool
	Most       int // series by endpoint: those with the most attempts; the others are summed up
}

// SeriesPoint counts what began within a step.
type SeriesPoint struct {
	At time.Time

	Stats
}

// Series is the counters of an endpoint, or of several, in the order of time. Steps in which
// nothing happened are missing.
type Series struct {
	EndpointID   string // empty: several
	EndpointName string
	Points       []SeriesPoint
}

// seriesSQL sums the counters by step. Buckets are summed for one endpoint only: over thousands
// they would take most of the time.
const seriesSQL = `
WITH hours AS (
    SELECT s.*, date_bin(@step::interval, s.hour, @from::timestamptz) AS at
    FROM tailpost.endpoint_stats AS s
    WHERE s.hour >= @from
      AND s.hour < @to
      AND (@endpoint::text = '' OR s.endpoint_id = @endpoint)
      AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = s.endpoint_id AND e.tenant = @tenant))
),
top AS (
    SELECT h.endpoint_id
    FROM hours AS h
    WHERE @by_endpoint
    GROUP BY h.endpoint_id
    ORDER BY sum(h.attempts) DESC, h.endpoint_id
    LIMIT @most
)
SELECT COALESCE(t.endpoint_id, ''), h.at, sum(h.attempts)::bigint, sum(h.delivered)::bigint, sum(h.failed)::bigint, sum(h.dead)::bigint,
       sum(h.duration_ms_sum),
       CASE WHEN @endpoint::text = '' THEN NULL ELSE ARRAY[
           sum(h.buckets[1]), sum(h.buckets[2]), sum(h.buckets[3]), sum(h.buckets[4]), sum(h.buckets[5]), sum(h.buckets[6]),
           sum(h.buckets[7]), sum(h.buckets[8]), sum(h.buckets[9]), sum(h.buckets[10]), sum(h.buckets[11]), sum(h.buckets[12]),
           sum(h.buckets[13]), sum(h.buckets[14]), sum(h.buckets[15])
       ]::bigint[] END
FROM hours AS h
LEFT JOIN top AS t ON t.endpoint_id = h.endpoint_id
GROUP BY 1, h.at
ORDER BY 1, h.at`

const namesSQL = `
SELECT id, name
FROM tailpost.endpoint
WHERE id = ANY (@ids::text[])`

// Series returns counters over time: one series, or one for each of the endpoints with the most
// attempts and a last one, without an id, for all others.
func (s *Store) Series(ctx context.Context, q SeriesQuery) (series []Series, err error) {
	err = s.read(ctx, "read the counters over time", func(ctx context.Context, tx pgx.Tx) error {
		series = nil
		rows, err := tx.Query(ctx, seriesSQL, pgx.NamedArgs{
			"tenant": q.Tenant, "endpoint": q.EndpointID, "from": q.From, "to": q.To, "step": q.Step, "by_endpoint": q.ByEndpoint, "most": q.Most,
		})
		if err != nil {
			return err
		}
		var id string
		var p SeriesPoint
		_, err = pgx.ForEachRow(rows, []any{&id, &p.At, &p.Attempts, &p.Delivered, &p.Failed, &p.Dead, &p.DurationMS, &p.Buckets}, func() error {
			if len(series) == 0 || series[len(series)-1].EndpointID != id {
				series = append(series, Series{EndpointID: id})
			}
			last := &series[len(series)-1]
			p.At = p.At.UTC()
			last.Points = append(last.Points, p)
			p.Buckets = nil
			return nil
		})
		if err != nil || !q.ByEndpoint {
			return err
		}
		return nameSeries(ctx, tx, series)
	})
	return series, err
}

func nameSeries(ctx context.Context, tx pgx.Tx, series []Series) error {
	ids := make([]string, len(series))
	for i := range series {
		ids[i] = series[i].EndpointID
	}
	rows, err := tx.Query(ctx, namesSQL, pgx.NamedArgs{"ids": ids})
	if err != nil {
		return err
	}
	names := make(map[string]string, len(series))
	var id, name string
	if _, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error { names[id] = name; return nil }); err != nil {
		return err
	}
	for i := range series {
		series[i].EndpointName = names[series[i].EndpointID]
	}
	return nil
}
