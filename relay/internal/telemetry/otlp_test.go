package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
)

// collector keeps what it is sent.
type collector struct {
	metric.Exporter

	sent []metricdata.ScopeMetrics
	err  error
}

func (c *collector) Export(_ context.Context, metrics *metricdata.ResourceMetrics) error {
	c.sent = append(c.sent, metrics.ScopeMetrics...)
	return nil
}

func (c *collector) Shutdown(context.Context) error { return c.err }

// shown is a metric as whoever reads it has it.
type shown struct {
	kind, help string
	value, sum float64
	count      uint64
	bounds     []float64
	below      []uint64 // each bound, and in all
}

// scraped returns all that a scrape shows, by name and labels.
func (b *bundle) scraped(t *testing.T) map[string]shown {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(b.Text(t.Context())))
	require.NoError(t, err)
	all := make(map[string]shown)
	for name, family := range families {
		for _, m := range family.GetMetric() {
			var labels []attribute.KeyValue
			for _, label := range m.GetLabel() {
				labels = append(labels, attribute.String(label.GetName(), label.GetValue()))
			}
			h := m.GetHistogram()
			is := shown{
				kind: strings.ToLower(family.GetType().String()), help: family.GetHelp(),
				value: m.GetGauge().GetValue() + m.GetCounter().GetValue(), sum: h.GetSampleSum(), count: h.GetSampleCount(),
			}
			for i, bucket := range h.GetBucket() {
				is.below = append(is.below, bucket.GetCumulativeCount())
				if i < len(h.GetBucket())-1 {
					is.bounds = append(is.bounds, bucket.GetUpperBound())
				}
			}
			if set := attribute.NewSet(labels...); strings.HasPrefix(name, "tailpost_") {
				all[name+set.Encoded(attribute.DefaultEncoder())] = is
			}
		}
	}
	return all
}

// exported returns all that was sent, which was counted from began until now.
func (c *collector) exported(t *testing.T, began, now time.Time) map[string]shown {
	t.Helper()
	all := make(map[string]shown)
	add := func(m metricdata.Metrics, labels attribute.Set, from, at time.Time, is shown) {
		key := m.Name + labels.Encoded(attribute.DefaultEncoder())
		require.NotContains(t, all, key, "sent twice")
		is.help = m.Description
		all[key] = is
		require.Equal(t, now, at, key)
		require.Equal(t, map[bool]time.Time{true: {}, false: began}[is.kind == "gauge"], from, key)
	}
	for _, m := range c.sent[0].Metrics {
		before := len(all)
		switch data := m.Data.(type) {
		case metricdata.Gauge[float64]:
			for _, p := range data.DataPoints {
				add(m, p.Attributes, p.StartTime, p.Time, shown{kind: "gauge", value: p.Value})
			}
		case metricdata.Sum[float64]:
			require.True(t, data.IsMonotonic, m.Name)
			require.Equal(t, metricdata.CumulativeTemporality, data.Temporality, m.Name)
			for _, p := range data.DataPoints {
				add(m, p.Attributes, p.StartTime, p.Time, shown{kind: "counter", value: p.Value})
			}
		case metricdata.Histogram[float64]:
			require.Equal(t, metricdata.CumulativeTemporality, data.Temporality, m.Name)
			for _, p := range data.DataPoints {
				is, sum := shown{kind: "histogram", sum: p.Sum, count: p.Count, bounds: p.Bounds}, uint64(0)
				for _, n := range p.BucketCounts {
					sum += n
					is.below = append(is.below, sum)
				}
				add(m, p.Attributes, p.StartTime, p.Time, is)
			}
		}
		require.Greater(t, len(all), before, "%s has nothing", m.Name)
	}
	return all
}

// TestACollectorIsSentWhatAScrapeShows: each metric under the same name with the same labels and
// value, whatever is in a label.
func TestACollectorIsSentWhatAScrapeShows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill()
	b.database.answer.Reasons = nil
	b.Committed(telemetry.Recorded{
		Batch: &ledger.Batch{Attempts: slices.Concat(attempts("a \"b\" {c}\\,\n", outbox.Retry, 3*time.Second), attempts("erp", outbox.Dead, time.Hour))},
		Took:  4 * time.Millisecond, Waited: []time.Duration{time.Second, 100 * time.Hour},
	})
	began, c := b.now, &collector{}
	exporter := telemetry.NewExporter(b.Metrics, c, resource.Empty())
	b.now = b.now.Add(time.Minute)
	require.NoError(t, exporter.Close(t.Context()), "what was counted last is sent")
	require.Len(t, c.sent, 1)
	require.Equal(t, "github.com/tailpost/tailpost v1", c.sent[0].Scope.Name+" "+c.sent[0].Scope.Version)
	scraped := b.scraped(t)
	require.NotEmpty(t, scraped)
	require.Equal(t, scraped, c.exported(t, began, b.now))

	exporter = telemetry.NewExporter(b.Metrics, &collector{err: errors.New("gone")}, resource.Empty())
	require.ErrorContains(t, exporter.Close(t.Context()), "export the last metrics: gone")
}
