package panel

import (
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// breakdown splits the attempts of the last 48 hours.
type breakdown struct {
	Types, Answers             []part
	TypesCopied, AnswersCopied []copied
}

// part is a type of events, or a class of answers.
type part struct {
	Name, Link string
	Attempts   int64
	Failed     int64
	Trend      []point
}

// readBreakdown reads what the attempts to an endpoint were of, or those to all.
func readBreakdown(v *visit, endpoint string) (b breakdown, err error) {
	const span, most = 48 * time.Hour, 6
	if !v.may().ReadDeliveries {
		return b, nil
	}
	from := v.panel.now().Add(-span).UTC().Truncate(time.Hour)
	byType := queryOf("by", "type", "limit", textOf(most), "from", iso(from), "endpoint_id", endpoint)
	byAnswer := queryOf("by", "status_class", "from", iso(from), "endpoint_id", endpoint)
	var types, answers api.TimeSeries
	if err := v.get("/v1/stats", byType, &types); err != nil {
		return b, err
	}
	if err := v.get("/v1/stats", byAnswer, &answers); err != nil {
		return b, err
	}
	b.TypesCopied = ofPart("types", copiesOf(v, typesSQL(v, endpoint, from, most), "/v1/stats", byType))
	b.AnswersCopied = ofPart("answers", copiesOf(v, answersSQL(v, endpoint, from), "/v1/stats", byAnswer))
	for i := range types.Series {
		s := &types.Series[i]
		p := part{Name: s.Name, Attempts: s.Total, Trend: pointsOf(s)}
		for _, at := range s.Points {
			p.Failed += at.Failed
		}
		if s.Name != "others" {
			p.Link = href(v.site.root, "log", "type", s.Name, "endpoint", endpoint, "since", "48h")
		}
		b.Types = append(b.Types, p)
	}
	for i := range answers.Series {
		b.Answers = append(b.Answers, answerPart(v.site.root, &answers.Series[i], endpoint))
	}
	return b, nil
}

// answerPart shows a class of answers. Which of them counted as failed is not known: an endpoint
// may take a 409 for success, and an answer of 200 may name an event that failed.
func answerPart(root string, s *api.Series, endpoint string) part {
	p := part{Name: s.Name, Attempts: s.Total, Trend: make([]point, len(s.Points))}
	good := s.Name == "2xx" || s.Name == "unknown"
	for i, at := range s.Points {
		p.Trend[i] = point{At: at.At, Failed: at.Attempts}
		if good {
			p.Trend[i] = point{At: at.At, Delivered: at.Attempts}
		}
	}
	switch s.Name {
	case "none":
		p.Name = "no answer"
	case "unknown":
		p.Name = "not known: counted before an upgrade"
	default:
		p.Link = href(root, "log", "class", s.Name, "endpoint", endpoint, "since", "48h")
	}
	return p
}

// typesSQL sums the counters of types.
func typesSQL(v *visit, endpoint string, from time.Time, most int) string {
	s := statement{
		columns: "event_type, sum(attempts) AS attempts, sum(failed) AS failed", from: "tailpost.type_stats",
		group: "event_type", order: "sum(attempts) DESC, event_type", limit: most,
	}
	switch tenant := v.session.Tenant(); {
	case endpoint == "" && tenant == "":
		s.where = append(s.where, "endpoint_id = ''") // the rows of all endpoints
	default:
		s.equal("endpoint_id", endpoint)
		s.tenantOf("endpoint_id", tenant)
	}
	s.condition("hour >= %s", iso(from))
	return s.String()
}

// Counters by the class of the answer, and a class's name.
const (
	classesSQL   = "tailpost.endpoint_stats AS s\nCROSS JOIN unnest(s.classes) WITH ORDINALITY AS c (n, place)"
	classNameSQL = "(ARRAY['none', '1xx', '2xx', '3xx', '4xx', '5xx'])[c.place]"
)

// answersSQL sums the counters of classes of answers.
func answersSQL(v *visit, endpoint string, from time.Time) string {
	s := statement{
		columns: classNameSQL + " AS answer, sum(c.n) AS attempts", from: classesSQL,
		where: []string{"c.n > 0"}, group: "c.place", order: "sum(c.n) DESC",
	}
	s.equal("s.endpoint_id", endpoint)
	s.condition("s.hour >= %s", iso(from))
	s.tenantOf("s.endpoint_id", v.session.Tenant())
	return s.String()
}
