// Package tracing makes OpenTelemetry spans of what is delivered. It owns the identity of spans and
// their attributes. It never decides anything, and a span that is lost changes no delivery.
//
//	the application's span ──▶ delivery (event, endpoint) ──▶ attempt 1, 2, … ──▶ receiver's span
//	  (the event's traceparent)                                 (the request's traceparent)
//
// The id of a delivery's span is derived from the event and the endpoint, so that attempts hours
// apart, or made by different processes, have the same parent. The span begins at the event's
// created_at and is exported once its last attempt is over. An event without a traceparent begins a
// trace of its own, whose id is derived from the event's.
//
// Whether a trace is sampled, and what becomes of spans that cannot be exported, is
// OpenTelemetry's: the sampler of OTEL_TRACES_SAMPLER, a bounded queue.
package tracing
