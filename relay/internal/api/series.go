package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tailpost/tailpost/relay/internal/query"
)

// The bounds of time series.
const (
	maxPoints     = 1000
	defaultSeries = 20
	defaultSpan   = 24 * time.Hour
)

// TimeSeries counts attempts over time.
type TimeSeries struct {
	From   time.Time `json:"from" doc:"The whole hour with which it begins."`
	To     time.Time `json:"to" doc:"The whole hour before which it ends."`
	Step   string    `json:"step"`
	Series []Series  `json:"series" nullable:"false" doc:"Those with the most attempts first, or with the most that failed."`
}

// Series is the counters of something over time.
type Series struct {
	Name    string        `json:"name" doc:"Id of the endpoint, the type, the outcome, the class of the answer (none: no answer came; unknown: from before an upgrade), or all; others: every endpoint or type that has no series of its own."`
	Label   string        `json:"label,omitempty" doc:"Name of the endpoint; missing where it was deleted."`
	Total   int64         `json:"total" doc:"Attempts over all points."`
	Latency *Latency      `json:"latency_ms,omitempty" doc:"Over all points; for one endpoint, or each, that endpoint_id names."`
	Points  []SeriesPoint `json:"points" nullable:"false" doc:"One for each step, also where nothing happened."`
}

// SeriesPoint counts the attempts that were made within a step.
type SeriesPoint struct {
	At        time.Time `json:"at" doc:"Start of the step."`
	Attempts  int64     `json:"attempts"`
	Delivered int64     `json:"delivered" doc:"Attempts that delivered. By status_class this and what follows are 0."`
	Failed    int64     `json:"failed" doc:"Attempts that did not; dead ones are among them."`
	Dead      int64     `json:"dead" doc:"Deliveries given up."`
	Latency   *Latency  `json:"latency_ms,omitempty" doc:"For one endpoint, or each, that endpoint_id names."`
}

type timeSeriesOutput struct {
	Body TimeSeries
}

type timeSeriesInput struct {
	From       time.Time `query:"from" doc:"Start, brought down to a whole hour. Default: 24 hours before to."`
	To         time.Time `query:"to" doc:"End, brought up to a whole hour. Default: now."`
	Step       string    `query:"step" doc:"A whole number of hours; at most 1000 steps. Default: 1h." example:"1h"`
	By         string    `query:"by" enum:"endpoint,type,outcome,status_class" doc:"A series for each endpoint, type of events, outcome, or class of answers. Default: one series."`
	EndpointID []string  `query:"endpoint_id,explode" maxItems:"100" maxLength:"200" doc:"Only of this endpoint; repeated, of these."`
	Tenant     string    `query:"tenant" maxLength:"200" doc:"Only of this tenant's endpoints."`
	Order      string    `query:"order" enum:"attempts,failed" default:"attempts" doc:"By endpoint: which have a series of their own, and come first: those with the most attempts, or with the most that failed."`
	Limit      int       `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"By endpoint and type: how many series at most; the rest is summed up in one."`
}

func getSeries(ctx context.Context, s *Server, p *principal, in *timeSeriesInput) (*timeSeriesOutput, error) {
	q, err := in.query(s.now().UTC())
	if err != nil {
		return nil, err
	}
	out := &timeSeriesOutput{Body: TimeSeries{From: q.From, To: q.To, Step: q.Step.String(), Series: []Series{}}}
	var found bool
	if q.Tenant, found = ownTenant(p, in.Tenant); !found {
		return out, nil
	}
	rows, err := s.store.Series(ctx, q)
	if err != nil {
		return nil, err
	}
	switch in.By {
	case "endpoint", "type":
		for i := range rows {
			out.Body.Series = append(out.Body.Series, fill(&q, cmp.Or(rows[i].Name, "others"), rows[i].Label, rows[i].Points))
		}
		slices.SortStableFunc(out.Body.Series, func(a, b Series) int {
			if q.MostFailed {
				return cmp.Or(cmp.Compare(b.failed(), a.failed()), cmp.Compare(b.Total, a.Total))
			}
			return cmp.Compare(b.Total, a.Total)
		})
	case "outcome":
		var all []query.SeriesPoint
		if len(rows) > 0 {
			all = rows[0].Points
		}
		out.Body.Series = byOutcome(&q, all)
	case "status_class":
		var all []query.SeriesPoint
		if len(rows) > 0 {
			all = rows[0].Points
		}
		out.Body.Series = byClass(&q, all)
	default:
		var all []query.SeriesPoint
		if len(rows) > 0 {
			all = rows[0].Points
		}
		out.Body.Series = append(out.Body.Series, fill(&q, "all", "", all))
	}
	return out, nil
}

// query reads what is asked for.
func (in *timeSeriesInput) query(now time.Time) (query.SeriesQuery, error) {
	q := query.SeriesQuery{EndpointIDs: in.EndpointID, Most: cmp.Or(in.Limit, defaultSeries), Step: time.Hour}
	if in.By == "endpoint" || in.By == "type" {
		q.By = query.Breakdown(in.By)
	}
	if q.MostFailed = in.Order == "failed"; q.MostFailed && q.By != query.ByEndpoint {
		return q, invalid(of("order", "It is for by=endpoint."))
	}
	if in.Step != "" {
		step, err := time.ParseDuration(in.Step)
		if err != nil || step < time.Hour || step%time.Hour != 0 || step > maxPoints*24*time.Hour {
			return q, invalid(of("step", `Write a whole number of hours, such as "1h" or "24h".`))
		}
		q.Step = step
	}
	to := in.To.UTC()
	if in.To.IsZero() {
		to = now
	}
	q.To = to.Truncate(time.Hour)
	if q.To.Before(to) {
		q.To = q.To.Add(time.Hour)
	}
	q.From = in.From.UTC().Truncate(time.Hour)
	if in.From.IsZero() {
		q.From = q.To.Add(-defaultSpan)
	}
	switch {
	case !q.From.Before(q.To):
		return q, invalid(of("from", "It is not before to."))
	case q.From.Year() < 1971 || q.To.Year() > 9999:
		return q, invalid(of("from", "Write years from 1971 to 9999."))
	case q.To.Sub(q.From) > maxPoints*q.Step:
		return q, invalid(of("step", "From and to are more than 1000 steps apart: write a longer step."))
	}
	return q, nil
}

// failed returns how many attempts over all points failed.
func (s *Series) failed() (n int64) {
	for i := range s.Points {
		n += s.Points[i].Failed
	}
	return n
}

// fill makes a series with a point for every step.
func fill(q *query.SeriesQuery, name, label string, rows []query.SeriesPoint) Series {
	s := Series{Name: name, Label: label, Points: make([]SeriesPoint, 0, int(q.To.Sub(q.From)/q.Step)+1)}
	var all query.Stats
	for at := q.From; at.Before(q.To); at = at.Add(q.Step) {
		point := SeriesPoint{At: at}
		if len(rows) > 0 && rows[0].At.Equal(at) {
			r := &rows[0].Stats
			point.Attempts, point.Delivered, point.Failed, point.Dead = r.Attempts, r.Delivered, r.Failed, r.Dead
			if r.Buckets != nil {
				latency := showStats(*r).Latency
				point.Latency = &latency
				all.Add(r)
			}
			s.Total += r.Attempts
			rows = rows[1:]
		}
		s.Points = append(s.Points, point)
	}
	if all.Attempts > 0 {
		latency := showStats(all).Latency
		s.Latency = &latency
	}
	return s
}

// byClass makes a series of each class of answers that there was.
func byClass(q *query.SeriesQuery, rows []query.SeriesPoint) []Series {
	names := [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx", "unknown"}
	var series []Series
	for class, name := range names {
		part := make([]query.SeriesPoint, len(rows))
		for i := range rows {
			n := rows[i].Attempts
			for _, counted := range rows[i].Classes {
				n -= counted
			}
			if class < query.ClassCount {
				n = rows[i].Classes[class]
			}
			part[i] = query.SeriesPoint{At: rows[i].At, Stats: query.Stats{Attempts: n}}
		}
		if s := fill(q, name, "", part); s.Total > 0 {
			series = append(series, s)
		}
	}
	slices.SortStableFunc(series, func(a, b Series) int { return cmp.Compare(b.Total, a.Total) })
	return series
}

// byOutcome makes a series of each outcome.
func byOutcome(q *query.SeriesQuery, rows []query.SeriesPoint) []Series {
	series := make([]Series, 0, 3)
	for _, outcome := range []struct {
		name string
		of   func(s *query.Stats) query.Stats
	}{
		{"delivered", func(s *query.Stats) query.Stats { return query.Stats{Attempts: s.Delivered, Delivered: s.Delivered} }},
		{"retry", func(s *query.Stats) query.Stats {
			return query.Stats{Attempts: s.Failed - s.Dead, Failed: s.Failed - s.Dead}
		}},
		{"dead", func(s *query.Stats) query.Stats {
			return query.Stats{Attempts: s.Dead, Failed: s.Dead, Dead: s.Dead}
		}},
	} {
		part := make([]query.SeriesPoint, len(rows))
		for i := range rows {
			part[i] = query.SeriesPoint{At: rows[i].At, Stats: outcome.of(&rows[i].Stats)}
		}
		series = append(series, fill(q, outcome.name, "", part))
	}
	return series
}
