package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// SeriesQuery asks for counters over time.
type SeriesQuery struct {
	Tenant      string   // only of this tenant's endpoints; empty: all
	EndpointIDs []string // only of these; empty: all
	From, To    time.Time
	Step        time.Duration // From, To and Step are whole hours
	By          Breakdown
	Most        int  // series of a breakdown: those with the most attempts; the others are summed up
	MostFailed  bool // of endpoints: those with the most attempts that failed
}

// timed reports whether points say how long requests took: those of one endpoint, or of each that
// is named.
func (q *SeriesQuery) timed() bool {
	return len(q.EndpointIDs) == 1 || q.By == ByEndpoint && len(q.EndpointIDs) > 0
}

// SeriesPoint counts what began within a step.
type SeriesPoint struct {
	At time.Time

	Stats

	Classes []int64 // attempts by the class of the answer, as tailpost.endpoint_stats has them; nil: not asked for
}

// Series is the counters of an endpoint or a type, or of several, in the order of time. Steps in
// which nothing happened are missing.
type Series struct {
	Name   string // id of the endpoint, or the type; empty: several
	Label  string // name of the endpoint
	Points []SeriesPoint
}

// seriesStartSQL sums the counters by step. Buckets are summed where few endpoints are asked for:
// over thousands they would take most of the time.
const seriesStartSQL = `
WITH hours AS (
    SELECT s.endpoint_id, date_bin(@step::interval, s.hour, @from::timestamptz) AS at, s.attempts, s.delivered, s.failed, s.dead, s.duration_ms_sum,
           CASE WHEN @timed THEN s.buckets END AS buckets, CASE WHEN NOT @by_endpoint THEN s.classes END AS classes
    FROM tailpost.endpoint_stats AS s
    WHERE s.hour >= @from
      AND s.hour < @to`

const seriesEndSQL = `
),
top AS (
    SELECT h.endpoint_id
    FROM hours AS h
    WHERE @by_endpoint
    GROUP BY h.endpoint_id
    ORDER BY CASE WHEN @most_failed THEN sum(h.failed) ELSE 0 END DESC, sum(h.attempts) DESC, h.endpoint_id
    LIMIT @most
)
SELECT COALESCE(t.endpoint_id, ''), h.at, sum(h.attempts)::bigint, sum(h.delivered)::bigint, sum(h.failed)::bigint, sum(h.dead)::bigint,
       sum(h.duration_ms_sum),
       CASE WHEN NOT @timed THEN NULL ELSE ARRAY[
           sum(h.buckets[1]), sum(h.buckets[2]), sum(h.buckets[3]), sum(h.buckets[4]), sum(h.buckets[5]), sum(h.buckets[6]),
           sum(h.buckets[7]), sum(h.buckets[8]), sum(h.buckets[9]), sum(h.buckets[10]), sum(h.buckets[11]), sum(h.buckets[12]),
           sum(h.buckets[13]), sum(h.buckets[14]), sum(h.buckets[15])
       ]::bigint[] END,
       ` + classSumsSQL + `
FROM hours AS h
LEFT JOIN top AS t ON t.endpoint_id = h.endpoint_id
GROUP BY 1, h.at
ORDER BY 1, h.at`

const namesSQL = `
SELECT id, name
FROM tailpost.endpoint
WHERE id = ANY (@ids::text[])`

// Series returns counters over time: one series, or one for each of the endpoints or types with the
// most attempts and another, without a name, for all others.
func (s attempts) Series(ctx context.Context, q SeriesQuery) (series []Series, err error) {
	err = s.read(ctx, "read the counters over time", func(ctx context.Context, tx pgx.Tx) error {
		series = nil
		args := pgx.NamedArgs{
			"tenant": q.Tenant, "endpoints": append([]string{}, q.EndpointIDs...), "from": q.From, "to": q.To, "step": q.Step,
			"by_endpoint": q.By == ByEndpoint, "most": q.Most, "most_failed": q.MostFailed, "timed": q.timed(),
		}
		switch {
		case q.all() && q.By == ByEndpoint:
			series, err = seriesOfTop(ctx, tx, &q, args)
		case q.all():
			series, err = seriesOfAll(ctx, tx, args)
		default:
			series, err = seriesOfEndpoints(ctx, tx, &q, args)
		}
		switch {
		case err != nil:
			return err
		case q.By == ByType:
			series, err = seriesByType(ctx, tx, &q, args, series)
			return err
		case q.By == ByEndpoint:
			return nameSeries(ctx, tx, series)
		}
		return nil
	})
	return series, err
}

// topSQL finds the endpoints with the most attempts, all or those that failed. Of thousands nothing
// else is read by the hour.
const topSQL = `
SELECT c.endpoint_id
FROM tailpost.endpoint_stats AS c
WHERE c.hour >= @from
  AND c.hour < @to
GROUP BY c.endpoint_id
ORDER BY CASE WHEN @most_failed THEN sum(c.failed) ELSE 0 END DESC, sum(c.attempts) DESC, c.endpoint_id
LIMIT @most`

// seriesOfTop reads the series of those of all endpoints that have the most attempts, and one
// without a name of the others.
func seriesOfTop(ctx context.Context, tx pgx.Tx, q *SeriesQuery, args pgx.NamedArgs) ([]Series, error) {
	top, err := many(ctx, tx, topSQL, args, pgx.RowTo[string])
	if err != nil || len(top) == 0 {
		return nil, err
	}
	some := *q
	some.EndpointIDs, args["endpoints"] = top, top
	series, err := seriesOfEndpoints(ctx, tx, &some, args)
	if err != nil || len(top) < q.Most {
		return series, err
	}
	whole, err := seriesOfAll(ctx, tx, args)
	return append(series, rest(whole, series)...), err
}

// seriesOfEndpoints reads series from the rows of endpoints.
func seriesOfEndpoints(ctx context.Context, tx pgx.Tx, q *SeriesQuery, args pgx.NamedArgs) (series []Series, err error) {
	rows, err := tx.Query(ctx, seriesStartSQL+q.endpointsSQL()+seriesEndSQL, args)
	if err != nil {
		return nil, err
	}
	var id string
	var p SeriesPoint
	_, err = pgx.ForEachRow(rows, []any{&id, &p.At, &p.Attempts, &p.Delivered, &p.Failed, &p.Dead, &p.DurationMS, &p.Buckets, &p.Classes}, func() error {
		if len(series) == 0 || series[len(series)-1].Name != id {
			series = append(series, Series{Name: id})
		}
		last := &series[len(series)-1]
		p.At = p.At.UTC()
		last.Points = append(last.Points, p)
		p.Buckets, p.Classes = nil, nil
		return nil
	})
	return series, err
}

func nameSeries(ctx context.Context, tx pgx.Tx, series []Series) error {
	ids := make([]string, len(series))
	for i := range series {
		ids[i] = series[i].Name
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
		series[i].Label = names[series[i].Name]
	}
	return nil
}
