package telemetry

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Exporter sends the metrics to an OpenTelemetry collector from time to time: those of Text, under
// the same names.
type Exporter struct{ provider *metric.MeterProvider }

// NewExporter has the metrics sent to where exporter leads, every minute unless
// OTEL_METRIC_EXPORT_INTERVAL says otherwise. The database is asked as for a scrape.
func NewExporter(m *Metrics, exporter metric.Exporter, of *resource.Resource) *Exporter {
	reader := metric.NewPeriodicReader(exporter, metric.WithProducer(&producer{metrics: m, began: m.o.Now()}))
	return &Exporter{provider: metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(of))}
}

// Close sends the metrics a last time and closes the exporter.
func (e *Exporter) Close(ctx context.Context) error {
	if err := e.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("export the last metrics: %w", err)
	}
	return nil
}

// producer turns what Prometheus would read into what OpenTelemetry sends: there is one list of
// metrics, and this is a reader of it.
type producer struct {
	metrics *Metrics
	began   time.Time
}

// Produce is called by the periodic reader, from one goroutine at a time.
func (p *producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
	return []metricdata.ScopeMetrics{{
		Scope:   instrumentation.Scope{Name: "github.com/tailpost/tailpost", Version: p.metrics.o.Version},
		Metrics: p.read(p.metrics.Text(ctx)),
	}}, nil
}

// sample is a line of the text: a name, labels, a value.
type sample struct {
	suffix string // _bucket, _sum or _count of a histogram; else empty
	labels []attribute.KeyValue
	bound  string // of a bucket
	value  float64
}

// read reads the text that this package writes: every family begins with HELP and TYPE.
func (p *producer) read(text []byte) []metricdata.Metrics {
	var (
		all              []metricdata.Metrics
		name, help, kind string
		samples          []sample
	)
	flush := func() {
		if len(samples) > 0 {
			all = append(all, metricdata.Metrics{Name: name, Description: help, Data: p.aggregate(kind, samples)})
		}
		samples = nil
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if rest, is := strings.CutPrefix(line, "# HELP "); is {
			flush()
			name, help, _ = strings.Cut(rest, " ")
			continue
		}
		if rest, is := strings.CutPrefix(line, "# TYPE "); is {
			_, kind, _ = strings.Cut(rest, " ")
			continue
		}
		if s, is := readSample(name, line); is {
			samples = append(samples, s)
		}
	}
	flush()
	return all
}

// readSample reads a line of the family. It reports whether it is one.
func readSample(family, line string) (sample, bool) {
	rest, is := strings.CutPrefix(line, family)
	at := strings.LastIndexByte(rest, ' ')
	if !is || at < 0 {
		return sample{}, false
	}
	value, err := strconv.ParseFloat(rest[at+1:], 64)
	if err != nil {
		return sample{}, false
	}
	s := sample{value: value}
	suffix, labels, _ := strings.Cut(rest[:at], "{")
	s.suffix = suffix
	for labels != "" && labels != "}" {
		name, quoted, _ := strings.Cut(strings.TrimPrefix(labels, ","), "=")
		text, err := strconv.QuotedPrefix(quoted)
		if err != nil {
			return sample{}, false
		}
		labels = quoted[len(text):]
		plain, err := strconv.Unquote(text)
		if err != nil {
			return sample{}, false
		}
		if name == "le" {
			s.bound = plain
			continue
		}
		s.labels = append(s.labels, attribute.String(name, plain))
	}
	return s, true
}

// aggregate is the samples of a family as OpenTelemetry has them.
func (p *producer) aggregate(kind string, samples []sample) metricdata.Aggregation {
	now := p.metrics.o.Now()
	if kind == "histogram" {
		return p.histogram(samples, now)
	}
	points := make([]metricdata.DataPoint[float64], len(samples))
	for i, s := range samples {
		points[i] = metricdata.DataPoint[float64]{Attributes: attribute.NewSet(s.labels...), Time: now, Value: s.value}
		if kind == "counter" {
			points[i].StartTime = p.began
		}
	}
	if kind == "counter" {
		return metricdata.Sum[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
	}
	return metricdata.Gauge[float64]{DataPoints: points}
}

// histogram takes the buckets apart: Prometheus sums them up, OpenTelemetry does not.
func (p *producer) histogram(samples []sample, now time.Time) metricdata.Histogram[float64] {
	var points []metricdata.HistogramDataPoint[float64]
	at := make(map[attribute.Distinct]int)
	for _, s := range samples {
		set := attribute.NewSet(s.labels...)
		i, known := at[set.Equivalent()]
		if !known {
			i = len(points)
			at[set.Equivalent()] = i
			points = append(points, metricdata.HistogramDataPoint[float64]{Attributes: set, StartTime: p.began, Time: now})
		}
		point := &points[i]
		switch s.suffix {
		case "_sum":
			point.Sum = s.value
		case "_count":
			point.Count = uint64(s.value)
		case "_bucket":
			below := uint64(0)
			for _, n := range point.BucketCounts {
				below += n
			}
			point.BucketCounts = append(point.BucketCounts, uint64(s.value)-below)
			if bound, err := strconv.ParseFloat(s.bound, 64); err == nil && s.bound != "+Inf" {
				point.Bounds = append(point.Bounds, bound)
			}
		}
	}
	return metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality}
}
