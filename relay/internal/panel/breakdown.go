package panel

import (
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// breakdown is what the attempts of the last 48 hours were of.
type breakdown struct{ Types, Answers []part }

// part is a type of events, or a class of answers.
type part struct {
	Name, Link string
	Attempts   int64
	Failed     int64
	Trend      []point
}

// readBreakdown reads what the attempts to an endpoint were of, or those to all.
func readBreakdown(v *visit, endpoint string) (b breakdown, err error) {
	const span, most = 48 * time.Hour, "6"
	if !v.may().ReadDeliveries {
		return b, nil
	}
	since := iso(v.panel.now().Add(-span))
	var types, answers api.TimeSeries
	if err := v.get("/v1/stats", queryOf("by", "type", "limit", most, "from", since, "endpoint_id", endpoint), &types); err != nil {
		return b, err
	}
	if err := v.get("/v1/stats", queryOf("by", "status_class", "from", since, "endpoint_id", endpoint), &answers); err != nil {
		return b, err
	}
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

// answerPart shows a class of answers. All but 2xx are failures.
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
	if !good {
		p.Failed = p.Attempts
	}
	return p
}
