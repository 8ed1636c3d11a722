package tracing

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/tailpost/tailpost/outbox"
)

// Tracer makes spans. It is safe for concurrent use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New makes a Tracer whose spans go to exporter, from a bounded queue, in the background.
func New(exporter sdktrace.SpanExporter, of *resource.Resource) *Tracer {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), sdktrace.WithResource(of), sdktrace.WithIDGenerator(identities{}),
	)
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/tailpost/tailpost")}
}

// Close exports what is left and closes the exporter.
func (t *Tracer) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("export the last spans: %w", err)
	}
	return nil
}

// Attempt is the spans of an attempt that was begun.
type Attempt struct {
	delivery, attempt trace.Span
}

// Begin starts the span of an attempt within that of its delivery.
func (t *Tracer) Begin(e *outbox.Event, endpoint string, number int, trigger outbox.Trigger, at time.Time) *Attempt {
	// Nothing of the process's is in it: what a span hangs on is in the event.
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier(e.Headers)) //nolint:forbidigo // bounds nothing
	begin := at
	if !e.CreatedAt.IsZero() && e.CreatedAt.Before(at) {
		begin = e.CreatedAt
	}
	_, delivery := t.tracer.Start(context.WithValue(ctx, identity{}, identityOf(e, endpoint)), "deliver",
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(begin), trace.WithAttributes(
			attribute.String("tailpost.event.id", e.ID), attribute.String("tailpost.event.type", e.Type),
			attribute.String("tailpost.endpoint", endpoint),
		))
	_, attempt := t.tracer.Start(trace.ContextWithSpan(ctx, delivery), "attempt",
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(at), trace.WithAttributes(
			attribute.String("tailpost.event.id", e.ID), attribute.String("tailpost.endpoint", endpoint),
			attribute.Int("tailpost.attempt.number", number), attribute.String("tailpost.attempt.trigger", string(trigger)),
		))
	return &Attempt{delivery: delivery, attempt: attempt}
}

// Headers returns the attempt's context as its request carries it, in place of the event's own.
func (a *Attempt) Headers() (traceparent, tracestate string) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), a.attempt), carrier) //nolint:forbidigo // bounds nothing
	return carrier["traceparent"], carrier["tracestate"]
}

// End ends the attempt's span, and that of the delivery where the outcome is its last. An empty
// outcome means that the attempt was broken off, or never made.
func (a *Attempt) End(made *outbox.Attempt, outcome outbox.Outcome) {
	at := trace.WithTimestamp(made.AttemptedAt.Add(made.Duration))
	for _, span := range []trace.Span{a.attempt, a.delivery} {
		if outcome != "" {
			span.SetAttributes(attribute.String("tailpost.outcome", string(outcome)))
		}
		if made.StatusCode != 0 {
			span.SetAttributes(attribute.Int("http.response.status_code", made.StatusCode))
		}
		if outcome != outbox.Delivered {
			span.SetStatus(codes.Error, made.Error) // which has no secret, no payload and no URL, as in the log
		}
	}
	a.attempt.End(at)
	if outcome == outbox.Delivered || outcome == outbox.Dead {
		a.delivery.End(at)
	}
}

// identity is the ids that a span is to have, and their key in a context.
type identity struct {
	trace trace.TraceID // of an event without a traceparent
	span  trace.SpanID
}

// identityOf makes the ids of a delivery's span.
func identityOf(e *outbox.Event, endpoint string) identity {
	var id identity
	event := sha256.Sum256([]byte("event\x00" + e.ID))
	copy(id.trace[:], event[:])
	delivery := sha256.Sum256([]byte("delivery\x00" + e.ID + "\x00" + endpoint))
	copy(id.span[:], delivery[:])
	return id
}

// identities makes the ids of spans: those that the context has, else random ones.
type identities struct{}

func (identities) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if id, fixed := ctx.Value(identity{}).(identity); fixed {
		return id.trace, id.span
	}
	var id trace.TraceID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64()|1) //nolint:gosec // identity needs no secrecy
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())   //nolint:gosec // identity needs no secrecy
	return id, random()
}

func (identities) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if id, fixed := ctx.Value(identity{}).(identity); fixed {
		return id.span
	}
	return random()
}

func random() (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1) //nolint:gosec // identity needs no secrecy; zero is none
	return id
}
