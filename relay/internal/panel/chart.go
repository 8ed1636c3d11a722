package panel

import (
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// point counts one step of time.
type point struct {
	At        time.Time
	Delivered int64 // attempts that delivered
	Failed    int64 // attempts that did not
}

func coordinate(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// top is the highest point, never 0.
func top(points []point) int64 {
	most := int64(1)
	for i := range points {
		most = max(most, points[i].Delivered+points[i].Failed)
	}
	return most
}

// sparkline draws attempts over time without words: a row of bars, what failed on top. Lists have
// many of them, so that each is two paths.
func sparkline(points []point) template.HTML {
	const width, height = 96.0, 24.0
	if len(points) == 0 {
		return ""
	}
	most, step := float64(top(points)), width/float64(len(points))
	var good, bad strings.Builder
	bar := func(path *strings.Builder, x, y, h float64) {
		wide := max(step-1, 1)
		path.WriteString("M" + tenth(x) + " " + tenth(y) + "v-" + tenth(h) + "h" + tenth(wide) + "v" + tenth(h))
	}
	for i := range points {
		x, y := float64(i)*step, height
		if n := points[i].Delivered; n > 0 {
			h := max(height*float64(n)/most, 1)
			bar(&good, x, y, h)
			y -= h
		}
		if n := points[i].Failed; n > 0 {
			bar(&bad, x, y, min(max(height*float64(n)/most, 1), y))
		}
	}
	var text strings.Builder
	text.WriteString(`<svg class="spark" viewBox="0 0 96 24" preserveAspectRatio="none" aria-hidden="true">`)
	for _, path := range []struct{ class, d string }{{"b-good", good.String()}, {"b-bad", bad.String()}} {
		if path.d != "" {
			text.WriteString(`<path class="` + path.class + `" d="` + path.d + `"/>`)
		}
	}
	text.WriteString(`</svg>`)
	return template.HTML(text.String()) //nolint:gosec // numbers alone
}

// tenth writes a coordinate with as few digits as it takes to the tenth.
func tenth(f float64) string { return strconv.FormatFloat(math.Round(10*f)/10, 'f', -1, 64) } //nolint:mnd // tenths

// bars draws attempts over time, with an axis and a title on each bar. Its times are UTC until the
// script has run; those of the titles stay so.
func bars(points []point) template.HTML {
	const width, height, left, bottom, above = 960.0, 210.0, 44.0, 24.0, 8.0
	if len(points) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`<svg class="chart" viewBox="0 0 960 210" role="img" aria-label="Attempts over time: delivered and failed">`)
	scale := nice(top(points))
	plot := height - bottom - above
	for _, share := range []float64{0, 0.5, 1} {
		y := above + plot*(1-share)
		b.WriteString(`<line class="axis" x1="` + coordinate(left) + `" x2="960" y1="` + coordinate(y) + `" y2="` + coordinate(y) + `"/>`)
		b.WriteString(`<text x="` + coordinate(left-8) + `" y="` + coordinate(y+4) + `" text-anchor="end">` + compact(float64(scale)*share) + `</text>`)
	}
	b.WriteString(`<text class="utc" x="` + coordinate(left-8) + `" y="` + coordinate(height-6) + `" text-anchor="end">UTC</text>`)
	step := (width - left) / float64(len(points))
	every := max(1, len(points)/8)
	for i := range points {
		p := &points[i]
		x, y := left+float64(i)*step, above+plot
		b.WriteString(`<g><title>` + template.HTMLEscapeString(p.At.UTC().Format("2 Jan 15:04")+" UTC: "+count(p.Delivered)+" delivered, "+count(p.Failed)+" failed") + `</title>`)
		b.WriteString(`<rect x="` + coordinate(x) + `" y="` + coordinate(above) + `" width="` + coordinate(step) + `" height="` + coordinate(plot) + `" fill="transparent"/>`)
		for _, part := range []struct {
			n     int64
			class string
		}{{p.Delivered, "b-good"}, {p.Failed, "b-bad"}} {
			if part.n == 0 {
				continue
			}
			h := max(plot*float64(part.n)/float64(scale), 1.5)
			y -= h
			b.WriteString(`<rect class="` + part.class + `" x="` + coordinate(x+step*0.12) + `" y="` + coordinate(y) + `" width="` + coordinate(max(step*0.76, 1)) + `" height="` + coordinate(h) + `" rx="1"/>`)
		}
		b.WriteString(`</g>`)
		if i%every == 0 && x < width-40 {
			layout := "15:04"
			if p.At.UTC().Hour() == 0 && p.At.UTC().Minute() == 0 {
				layout = "2 Jan"
			}
			b.WriteString(`<text class="at" data-at="` + iso(p.At) + `" x="` + coordinate(x) + `" y="` + coordinate(height-6) + `">` + p.At.UTC().Format(layout) + `</text>`)
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers alone, and text that was escaped
}

// nice is the next number that people like on an axis.
func nice(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, factor := range []int64{2, 4, 10} {
			if unit*factor >= n {
				return unit * factor
			}
		}
	}
}

// compact writes a number of an axis.
func compact(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= unit.size {
			return strconv.FormatFloat(n/unit.size, 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// meter draws a share of a whole.
func meter(part, whole int64) template.HTML {
	if whole <= 0 {
		whole, part = 1, 0
	}
	share := 100 * float64(min(part, whole)) / float64(whole)
	return template.HTML(`<svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="bg" width="100" height="6"/><rect class="fg" width="` + coordinate(share) + `" height="6"/></svg>`) //nolint:gosec // numbers alone
}

// stacked draws what became of events as one bar.
func stacked(n api.EventCounts) template.HTML {
	if n.Seen == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(`<svg class="stacked" viewBox="0 0 1000 12" preserveAspectRatio="none" aria-hidden="true">`)
	x := 0.0
	for _, part := range []struct {
		n     int64
		class string
	}{{n.Delivered, "b-good"}, {n.Pending, "b-warn"}, {n.Dead + n.Unaccounted, "b-bad"}, {n.FilteredOut + n.Discarded + n.New, "b-none"}} {
		width := 1000 * float64(part.n) / float64(n.Seen)
		b.WriteString(`<rect class="` + part.class + `" x="` + coordinate(x) + `" width="` + coordinate(width) + `" height="12"/>`)
		x += width
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers alone
}

// day is the last 24 hours of an endpoint.
type day struct {
	Trend   []point      // by the hour, oldest first
	Latency *api.Latency // nil: nothing was sent
}

// readDays are the last 24 hours of endpoints; those to which nothing was sent have none.
func readDays(v *visit, list []api.Endpoint) (map[string]day, error) {
	var found api.TimeSeries
	if !v.may().ReadDeliveries || len(list) == 0 {
		return nil, nil
	}
	q := queryOf("by", "endpoint", "limit", "100")
	for i := range list {
		q.Add("endpoint_id", list[i].ID)
	}
	if err := v.get("/v1/stats", q, &found); err != nil {
		return nil, err
	}
	days := make(map[string]day)
	for i := range found.Series {
		days[found.Series[i].Name] = day{pointsOf(&found.Series[i]), found.Series[i].Latency}
	}
	return days, nil
}

// readTrend is the last 48 hours of an endpoint, or of all.
func readTrend(v *visit, endpoint string) ([]point, error) {
	var found api.TimeSeries
	const span = 48 * time.Hour
	if !v.may().ReadDeliveries {
		return nil, nil
	}
	q := queryOf("from", iso(v.panel.now().Add(-span)), "endpoint_id", endpoint)
	if err := v.get("/v1/stats", q, &found); err != nil || len(found.Series) == 0 || found.Series[0].Total == 0 {
		return nil, err
	}
	return pointsOf(&found.Series[0]), nil
}

func pointsOf(s *api.Series) []point {
	points := make([]point, len(s.Points))
	for i := range s.Points {
		points[i] = point{At: s.Points[i].At, Delivered: s.Points[i].Delivered, Failed: s.Points[i].Failed}
	}
	return points
}
