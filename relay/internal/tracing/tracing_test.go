package tracing_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/tracing"
)

const (
	theirTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	theirSpan  = "00f067aa0ba902b7"
)

// kept keeps spans over the end of a Tracer.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

// process makes the attempts of one process and returns the traceparents of their requests.
func process(t *testing.T, to kept, e *outbox.Event, attempts ...outbox.Attempt) []string {
	t.Helper()
	tracer := tracing.New(to, resource.Empty())
	var headers []string
	for i := range attempts {
		a := &attempts[i]
		begun := tracer.Begin(e, "erp", a.Number, outbox.TriggerStream, a.AttemptedAt)
		parent, _ := begun.Headers()
		headers = append(headers, parent)
		begun.End(a, a.Outcome)
	}
	require.NoError(t, tracer.Close(t.Context()))
	return headers
}

func event(headers map[string]string) *outbox.Event {
	return &outbox.Event{ID: "e1", Type: "order.paid", Headers: headers, CreatedAt: at(0)}
}

func at(seconds int) time.Time {
	return time.Date(2026, 3, 14, 12, 0, seconds, 0, time.UTC)
}

func attempt(number, seconds, status int, outcome outbox.Outcome) outbox.Attempt {
	return outbox.Attempt{Number: number, AttemptedAt: at(seconds), Duration: time.Second, StatusCode: status, Outcome: outcome}
}

// What two processes attempt is one delivery, in the trace that the application began.
func TestADeliveryIsOneSpanWhoeverMakesItsAttempts(t *testing.T) {
	t.Parallel()
	to := kept{tracetest.NewInMemoryExporter()}
	e := event(map[string]string{"traceparent": "00-" + theirTrace + "-" + theirSpan + "-01", "tracestate": "a=1"})
	headers := process(t, to, e, attempt(1, 10, 500, outbox.Retry))
	headers = append(headers, process(t, to, e, attempt(2, 20, 200, outbox.Delivered))...)

	spans := to.GetSpans()
	require.Len(t, spans, 3, "two attempts, and the delivery once it is over")
	first, second, delivery := spans[0], spans[1], spans[2]
	require.Equal(t, []string{"attempt", "attempt", "deliver"}, []string{first.Name, second.Name, delivery.Name})
	for i, span := range []tracetest.SpanStub{first, second} {
		require.Equal(t, theirTrace, span.SpanContext.TraceID().String())
		require.Equal(t, delivery.SpanContext.SpanID(), span.Parent.SpanID(), "the same parent")
		require.Equal(t, "00-"+theirTrace+"-"+span.SpanContext.SpanID().String()+"-01", headers[i], "the receiver hangs its spans on the attempt")
		require.Equal(t, trace.SpanKindClient, span.SpanKind)
	}
	require.NotEqual(t, first.SpanContext.SpanID(), second.SpanContext.SpanID())
	require.Equal(t, theirSpan, delivery.Parent.SpanID().String())
	require.Equal(t, theirTrace, delivery.SpanContext.TraceID().String())
	require.Equal(t, []time.Time{at(0), at(21)}, []time.Time{delivery.StartTime, delivery.EndTime}, "from the event on")
	require.Equal(t, []time.Time{at(10), at(11)}, []time.Time{first.StartTime, first.EndTime})
	require.Equal(t, []codes.Code{codes.Error, codes.Unset, codes.Unset}, []codes.Code{first.Status.Code, second.Status.Code, delivery.Status.Code})
}

func TestAnEventWithoutATraceBeginsOne(t *testing.T) {
	t.Parallel()
	to := kept{tracetest.NewInMemoryExporter()}
	one := process(t, to, event(nil), attempt(1, 1, 500, outbox.Retry))
	other := process(t, to, event(nil), attempt(2, 5, 500, outbox.Dead))
	require.Equal(t, strings.Split(one[0], "-")[1], strings.Split(other[0], "-")[1], "the same trace in every process")
	spans := to.GetSpans()
	require.Len(t, spans, 3)
	require.False(t, spans[2].Parent.IsValid())
	require.Equal(t, codes.Error, spans[2].Status.Code)
	require.Equal(t, spans[2].SpanContext.TraceID(), spans[0].SpanContext.TraceID())
}

// What the application does not sample is not exported, and the receiver is told so.
func TestWhatIsNotSampledIsNotExported(t *testing.T) {
	t.Parallel()
	to := kept{tracetest.NewInMemoryExporter()}
	headers := process(t, to, event(map[string]string{"traceparent": "00-" + theirTrace + "-" + theirSpan + "-00"}), attempt(1, 1, 200, outbox.Delivered))
	require.Empty(t, to.GetSpans())
	require.True(t, strings.HasPrefix(headers[0], "00-"+theirTrace+"-"), headers[0])
	require.True(t, strings.HasSuffix(headers[0], "-00"), headers[0])
}

// A traceparent that is none begins a trace as if there were none.
func TestAMalformedTraceIsNone(t *testing.T) {
	t.Parallel()
	to := kept{tracetest.NewInMemoryExporter()}
	process(t, to, event(map[string]string{"traceparent": "00-zz"}), attempt(1, 1, 200, outbox.Delivered))
	require.Len(t, to.GetSpans(), 2)
}

func TestAnAttemptThatWasBrokenOffEndsNoDelivery(t *testing.T) {
	t.Parallel()
	to := kept{tracetest.NewInMemoryExporter()}
	process(t, to, event(nil), attempt(1, 1, 0, ""))
	spans := to.GetSpans()
	require.Len(t, spans, 1)
	require.Equal(t, "attempt", spans[0].Name)
}
