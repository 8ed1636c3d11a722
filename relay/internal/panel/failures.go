package panel

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// failures are those of one class of answers at one endpoint.
type failures struct {
	Endpoint, Name string
	Kind           string // what the last one was
	Link           string // to all of them
	Count          int64
	Last           *attemptRow // nil: it is not kept any more
}

// fillErrors counts what failed in the last day by endpoint and class of answers, the most first.
// The counters are exact; of the attempts only the newest of each row is read.
func fillErrors(v *visit, body *overviewPage) error {
	known, err := readNames(v)
	if err != nil {
		return err
	}
	from := v.panel.now().Add(-24 * time.Hour).UTC().Truncate(time.Hour)
	worst := queryOf("by", "endpoint", "order", "failed", "limit", textOf(overviewRows), "from", iso(from))
	var most api.TimeSeries
	if err := v.get("/v1/stats", worst, &most); err != nil {
		return err
	}
	for i := range most.Series {
		if most.Series[i].Name == "others" || !anyFailed(&most.Series[i]) {
			continue
		}
		if err := countFailures(v, body, known, most.Series[i].Name, from); err != nil {
			return err
		}
	}
	slices.SortStableFunc(body.Errors, func(a, b failures) int { return cmp.Compare(b.Count, a.Count) })
	body.Errors = body.Errors[:min(overviewRows, len(body.Errors))]
	for i := range body.Errors {
		if err := findLast(v, &body.Errors[i], from); err != nil {
			return err
		}
	}
	body.ErrorsCopied = ofPart("errors", copiesOf(v, errorsSQL(v, from), "/v1/stats", worst))
	return nil
}

func anyFailed(s *api.Series) bool {
	return slices.ContainsFunc(s.Points, func(p api.SeriesPoint) bool { return p.Failed > 0 })
}

// countFailures adds a row for each class of answers of an endpoint but those that deliver.
func countFailures(v *visit, body *overviewPage, known names, id string, from time.Time) error {
	var classes api.TimeSeries
	if err := v.get("/v1/stats", queryOf("by", "status_class", "endpoint_id", id, "from", iso(from)), &classes); err != nil {
		return err
	}
	for i := range classes.Series {
		s := &classes.Series[i]
		if s.Name == "2xx" || s.Name == "unknown" {
			continue
		}
		row := failures{Endpoint: id, Name: known.Of(id), Kind: s.Name, Count: s.Total}
		if s.Name == "none" {
			row.Kind = "no answer"
		} else {
			row.Link = href(v.site.root, "log", "endpoint", id, "class", s.Name, "since", iso(from))
		}
		body.Errors = append(body.Errors, row)
	}
	return nil
}

// findLast reads the newest attempt of a row.
func findLast(v *visit, row *failures, from time.Time) error {
	class, limit := row.Kind, "1"
	if row.Link == "" {
		// The API has no filter for attempts without an answer; they are many at such an endpoint.
		class, limit = "", "20"
		row.Link = href(v.site.root, "log", "endpoint", row.Endpoint, "outcome", "retry", "since", iso(from))
	}
	for _, outcome := range []string{"retry", "dead"} {
		var list api.Page[api.Attempt]
		q := queryOf("endpoint_id", row.Endpoint, "outcome", outcome, "status_class", class, "since", iso(from), "limit", limit)
		if err := v.get("/v1/attempts", q, &list); err != nil {
			return err
		}
		i := slices.IndexFunc(list.Data, func(a api.Attempt) bool { return class != "" || a.StatusCode == 0 })
		if i >= 0 && (row.Last == nil || list.Data[i].AttemptedAt.After(row.Last.AttemptedAt)) {
			row.Last, row.Kind = &attemptRow{Attempt: list.Data[i], root: v.site.root}, kindOf(&list.Data[i])
		}
	}
	return nil
}

// kindOf returns the kind of a failure.
func kindOf(a *api.Attempt) string {
	if a.StatusCode != 0 {
		return "answer " + textOf(a.StatusCode)
	}
	const length = 80
	return short(length, a.Error)
}

// errorsSQL counts what failed as the page does, at the endpoints at which most did.
func errorsSQL(v *visit, from time.Time) string {
	worst := statement{
		columns: "endpoint_id", from: "tailpost.endpoint_stats", group: "endpoint_id",
		order: "sum(failed) DESC, sum(attempts) DESC, endpoint_id", limit: overviewRows,
	}
	worst.condition("hour >= %s", iso(from))
	worst.tenantOf("endpoint_id", v.session.Tenant())
	s := statement{
		columns: "s.endpoint_id, " + classNameSQL + " AS answer, sum(c.n) AS attempts", from: classesSQL,
		where: []string{"c.n > 0", "c.place <> 3", "s.endpoint_id IN (" + strings.TrimSuffix(worst.String(), ";") + ")"},
		group: "s.endpoint_id, c.place", order: "sum(c.n) DESC", limit: overviewRows,
	}
	s.condition("s.hour >= %s", iso(from))
	return s.String()
}
