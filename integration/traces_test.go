package integration_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

// collector is what an OpenTelemetry collector hears.
type collector struct {
	*httptest.Server

	mu      sync.Mutex
	spans   []*tracepb.Span
	metrics map[string]*metricspb.Metric // as last sent
	keys    map[string]bool              // values of the header that the variable asks for
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{metrics: make(map[string]*metricspb.Metric), keys: make(map[string]bool)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "not read", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.keys[r.Header.Get("X-Key")] = true
		switch r.URL.Path {
		case "/v1/traces":
			var sent collecttrace.ExportTraceServiceRequest
			err = proto.Unmarshal(body, &sent)
			for _, resource := range sent.GetResourceSpans() {
				for _, scope := range resource.GetScopeSpans() {
					c.spans = append(c.spans, scope.GetSpans()...)
				}
			}
		case "/v1/metrics":
			var sent collectmetrics.ExportMetricsServiceRequest
			err = proto.Unmarshal(body, &sent)
			for _, resource := range sent.GetResourceMetrics() {
				for _, scope := range resource.GetScopeMetrics() {
					for _, metric := range scope.GetMetrics() {
						c.metrics[metric.GetName()] = metric
					}
				}
			}
		}
		if err != nil {
			http.Error(w, "not OTLP", http.StatusBadRequest)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// named are the spans of a name.
func (c *collector) named(name string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*tracepb.Span
	for _, span := range c.spans {
		if span.GetName() == name {
			found = append(found, span)
		}
	}
	return found
}

// The trace that an application began goes on through delivery and attempts to the receiver, and
// the metrics go the same way.
func TestACollectorGetsTracesAndMetrics(t *testing.T) {
	t.Parallel()
	b, c := setup(t), newCollector(t)
	b.receiver.On("/erp", kit.Statuses(500, 200))
	const theirTrace, theirSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", fast)), Env: map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=k1", "OTEL_BSP_SCHEDULE_DELAY": "50",
		"OTEL_METRIC_EXPORT_INTERVAL": "200",
	}})
	b.db.Insert(t, outbox.Event{Type: "order.paid", Payload: []byte(`{}`), Headers: map[string]string{
		"traceparent": "00-" + theirTrace + "-" + theirSpan + "-01", "tracestate": "vendor=1",
	}})
	requests := b.receiver.Await(t, "/erp", 2)
	kit.Eventually(t, kit.Patience, func() error {
		if n := len(c.named("deliver")); n != 1 {
			return fmt.Errorf("%d spans of the delivery", n)
		}
		return nil
	})
	delivery, attempts := c.named("deliver")[0], c.named("attempt")
	require.Equal(t, theirTrace, hex.EncodeToString(delivery.GetTraceId()))
	require.Equal(t, theirSpan, hex.EncodeToString(delivery.GetParentSpanId()))
	require.Len(t, attempts, 2)
	for i, span := range attempts {
		require.Equal(t, theirTrace, hex.EncodeToString(span.GetTraceId()))
		require.Equal(t, delivery.GetSpanId(), span.GetParentSpanId())
		require.Equal(t, "00-"+theirTrace+"-"+hex.EncodeToString(span.GetSpanId())+"-01", requests[i].Header.Get("Traceparent"))
		require.Equal(t, "vendor=1", requests[i].Header.Get("Tracestate"))
	}
	kit.Eventually(t, kit.Patience, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		attempts := c.metrics["tailpost_attempts_total"]
		sum := 0.0
		for _, point := range attempts.GetSum().GetDataPoints() {
			sum += point.GetAsDouble()
		}
		if sum != 2 {
			return fmt.Errorf("%v attempts", sum)
		}
		histogram := c.metrics["tailpost_attempt_duration_seconds"].GetHistogram().GetDataPoints()
		if len(histogram) != 1 || histogram[0].GetCount() != 2 || len(histogram[0].GetBucketCounts()) != len(histogram[0].GetExplicitBounds())+1 {
			return fmt.Errorf("histogram %v", histogram)
		}
		counted := uint64(0)
		for _, n := range histogram[0].GetBucketCounts() {
			counted += n
		}
		if counted != 2 {
			return fmt.Errorf("%d attempts in buckets", counted)
		}
		if c.metrics["tailpost_epoch"].GetGauge().GetDataPoints()[0].GetAsDouble() != 1 {
			return fmt.Errorf("epoch %v", c.metrics["tailpost_epoch"])
		}
		return nil
	})
	require.Zero(t, relay.Stop(t))
	require.Equal(t, map[string]bool{"k1": true}, c.keys, "the header that the variable asks for")
}

// A collector that is gone delays nothing and is told of without its address.
func TestACollectorThatIsGoneStopsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gone := newCollector(t)
	gone.Close()
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", "")), Env: map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": gone.URL + "/secret-path", "OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
	}})
	b.db.Insert(t, kit.Event("order.paid", `{}`))
	b.db.AwaitAttempts(t, "erp", 1)
	relay.Await(t, "spans or metrics not exported", nil)
	require.Zero(t, relay.Stop(t))
	require.NotContains(t, relay.Output(), "secret-path")
}

// What the product does not speak is refused at start, before anything is exported to nowhere.
func TestAnotherProtocolIsRefused(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "zipkin"} {
		config := kit.Config{DatabaseURL: "postgres://127.0.0.1:1/none", Endpoints: []kit.Endpoint{{ID: "erp", URL: "https://erp.example.com/", Secret: []string{"whsec_" + strings.Repeat("A", 32)}}}}
		relay := kit.StartRelay(t, kit.Options{Config: config, Env: map[string]string{variable: value, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}})
		require.Equal(t, 1, relay.Wait(t, kit.Patience), variable)
		require.Contains(t, relay.Stderr(), variable)
	}
}
