package query

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Breakdown says how a Series is split.
type Breakdown string

// The breakdowns.
const (
	ByNothing  Breakdown = ""
	ByEndpoint Breakdown = "endpoint"
	ByType     Breakdown = "type"
)

// ClassCount is how many classes an answer may be of: none, then 1xx to 5xx.
const ClassCount = 6

// Counters by type began with some hour, whose own are not whole; before the next one the rows of
// all endpoints are the only ones that count everything.
const wholeSQL = `
SELECT COALESCE(min(hour) + interval '1 hour', 'infinity'::timestamptz)
FROM tailpost.type_stats
WHERE endpoint_id = ''`

// allSQL sums the counters of everything by step, from as few rows as have it.
const allSQL = `
SELECT date_bin(@step::interval, h.hour, @from::timestamptz), sum(h.attempts)::bigint, sum(h.delivered)::bigint, sum(h.failed)::bigint,
       sum(h.dead)::bigint, ` + classSumsSQL + `
FROM (
    SELECT t.hour, t.attempts, t.delivered, t.failed, t.dead, t.classes
    FROM tailpost.type_stats AS t
    WHERE t.endpoint_id = ''
      AND t.hour >= GREATEST(@from::timestamptz, @whole::timestamptz)
      AND t.hour < @to
    UNION ALL
    SELECT s.hour, s.attempts, s.delivered, s.failed, s.dead, s.classes
    FROM tailpost.endpoint_stats AS s
    WHERE s.hour >= @from
      AND s.hour < LEAST(@to::timestamptz, @whole::timestamptz)
) AS h
GROUP BY 1
ORDER BY 1`

const classSumsSQL = `ARRAY[
           COALESCE(sum(h.classes[1]), 0), COALESCE(sum(h.classes[2]), 0), COALESCE(sum(h.classes[3]), 0),
           COALESCE(sum(h.classes[4]), 0), COALESCE(sum(h.classes[5]), 0), COALESCE(sum(h.classes[6]), 0)
       ]::bigint[]`

// The rows of a breakdown by type: those over all endpoints, or those of some.
const (
	typesStartSQL = `
WITH hours AS (
    SELECT s.event_type, s.attempts, s.delivered, s.failed, s.dead, date_bin(@step::interval, s.hour, @from::timestamptz) AS at
    FROM tailpost.type_stats AS s
    WHERE s.hour >= @from
      AND s.hour < @to`

	typesEndSQL = `
),
top AS (
    SELECT h.event_type
    FROM hours AS h
    GROUP BY h.event_type
    ORDER BY sum(h.attempts) DESC, h.event_type
    LIMIT @most
)
SELECT h.event_type, h.at, sum(h.attempts)::bigint, sum(h.delivered)::bigint, sum(h.failed)::bigint, sum(h.dead)::bigint
FROM hours AS h
JOIN top AS t ON t.event_type = h.event_type
GROUP BY 1, 2
ORDER BY 1, 2`

	ofAllSQL       = "\n      AND s.endpoint_id = ''"
	ofEndpointsSQL = "\n      AND s.endpoint_id = ANY (@endpoints::text[])"
	ofTenantSQL    = "\n      AND s.endpoint_id IN (SELECT e.id FROM tailpost.endpoint AS e WHERE e.tenant = @tenant)"
)

// all reports whether the query is about every endpoint.
func (q *SeriesQuery) all() bool { return q.Tenant == "" && len(q.EndpointIDs) == 0 }

// endpointsSQL is the condition of whose rows are asked for.
func (q *SeriesQuery) endpointsSQL() (sql string) {
	if len(q.EndpointIDs) > 0 {
		sql += ofEndpointsSQL
	}
	if q.Tenant != "" {
		sql += ofTenantSQL
	}
	return sql
}

// seriesOfAll reads the one series of everything.
func seriesOfAll(ctx context.Context, tx pgx.Tx, args pgx.NamedArgs) ([]Series, error) {
	var whole pgtype.Timestamptz
	if err := tx.QueryRow(ctx, wholeSQL).Scan(&whole); err != nil {
		return nil, err
	}
	args["whole"] = whole
	rows, err := tx.Query(ctx, allSQL, args)
	if err != nil {
		return nil, err
	}
	var one Series
	var p SeriesPoint
	_, err = pgx.ForEachRow(rows, []any{&p.At, &p.Attempts, &p.Delivered, &p.Failed, &p.Dead, &p.Classes}, func() error {
		p.At = p.At.UTC()
		one.Points = append(one.Points, p)
		p.Classes = nil
		return nil
	})
	if len(one.Points) == 0 {
		return nil, err
	}
	return []Series{one}, err
}

// seriesByType reads the series of the types with the most attempts, and of all together as the
// last one, without a name.
func seriesByType(ctx context.Context, tx pgx.Tx, q *SeriesQuery, args pgx.NamedArgs, whole []Series) ([]Series, error) {
	of := q.endpointsSQL()
	if q.all() {
		of = ofAllSQL
	}
	rows, err := tx.Query(ctx, typesStartSQL+of+typesEndSQL, args)
	if err != nil {
		return nil, err
	}
	var series []Series
	var name string
	var p SeriesPoint
	_, err = pgx.ForEachRow(rows, []any{&name, &p.At, &p.Attempts, &p.Delivered, &p.Failed, &p.Dead}, func() error {
		if len(series) == 0 || series[len(series)-1].Name != name {
			series = append(series, Series{Name: name})
		}
		last := &series[len(series)-1]
		p.At = p.At.UTC()
		last.Points = append(last.Points, p)
		return nil
	})
	return append(series, rest(whole, series)...), err
}

// rest returns all minus the series of some.
func rest(whole, some []Series) []Series {
	if len(whole) == 0 {
		return nil
	}
	left := Series{Points: append([]SeriesPoint(nil), whole[0].Points...)}
	at := make(map[int64]*SeriesPoint, len(left.Points))
	for i := range left.Points {
		at[left.Points[i].At.Unix()] = &left.Points[i]
		left.Points[i].Buckets, left.Points[i].Classes = nil, nil
	}
	for i := range some {
		for _, p := range some[i].Points {
			if l := at[p.At.Unix()]; l != nil {
				l.Attempts, l.Delivered, l.Failed, l.Dead = l.Attempts-p.Attempts, l.Delivered-p.Delivered, l.Failed-p.Failed, l.Dead-p.Dead
			}
		}
	}
	for _, p := range left.Points {
		if p.Attempts != 0 {
			return []Series{left}
		}
	}
	return nil
}
