// Package tracing makes OpenTelemetry spans of what is delivered. It owns the identity of spans and
// what they say; it never decides anything, and what becomes of a span is no business of a
// delivery's.
//
//	the application's span ──▶ delivery (event, endpoint) ──▶ attempt 1, 2, … ──▶ the receiver's span
//	  (the event's traceparent)                                 (the request's traceparent)
//
// The span of a delivery has an id that is made of the event and the endpoint, so that attempts
// that are hours apart, or made by different processes, have the same parent. It is exported once
// its last attempt is over, from the event's created_at on. An event without a traceparent begins a
// trace of its own, with an id made of the event's.
//
// Whether a trace is sampled, and what becomes of spans that cannot be exported, is
// OpenTelemetry's: the sampler of OTEL_TRACES_SAMPLER, a bounded queue.
package tracing
