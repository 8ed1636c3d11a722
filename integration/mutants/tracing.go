package main

// tracingMutants break what spans and exported metrics say.
var tracingMutants = []mutant{
	{
		name:    "tracing-delivery-of-each-process-its-own",
		file:    "relay/internal/tracing/tracing.go",
		old:     "func (identities) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {\n\tif id, fixed := ctx.Value(identity{}).(identity); fixed {",
		new:     "func (identities) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {\n\tif id, fixed := ctx.Value(identity{}).(identity); fixed && id.span[0] == 0 && id.span[1] == 0 {",
		promise: "Attempts of several processes are parts of one delivery.",
		pkg:     "./relay/internal/tracing",
		run:     "TestADeliveryIsOneSpanWhoeverMakesItsAttempts",
	},
	{
		name:    "tracing-delivery-ends-with-its-first-attempt",
		file:    "relay/internal/tracing/tracing.go",
		old:     "if outcome == outbox.Delivered || outcome == outbox.Dead {",
		new:     "if outcome != \"\" {",
		promise: "The span of a delivery is exported once, after its last attempt.",
		pkg:     "./relay/internal/tracing",
		run:     "TestADeliveryIsOneSpanWhoeverMakesItsAttempts",
	},
	{
		name:    "tracing-events-own-context-sent",
		file:    "relay/internal/webhook/head.go",
		old:     "case r.Traceparent != \"\":",
		new:     "case r.Traceparent != \"\" && len(r.Event.Headers) == 0:",
		promise: "The receiver gets the attempt's context.",
		pkg:     "./integration",
		run:     "TestACollectorGetsTracesAndMetrics",
	},
	{
		name:    "tracing-cumulative-buckets-exported",
		file:    "relay/internal/telemetry/otlp.go",
		old:     "point.BucketCounts = append(point.BucketCounts, uint64(s.value)-below)",
		new:     "point.BucketCounts = append(point.BucketCounts, uint64(s.value))",
		promise: "An exported histogram counts each attempt in one bucket.",
		pkg:     "./integration",
		run:     "TestACollectorGetsTracesAndMetrics",
	},
	{
		name:    "tracing-a-bad-reload-never-ends",
		file:    "cmd/tailpost/run.go",
		old:     "manager.reloaded(reload(ctx, a, named, r, manager.log))",
		new:     "reload(ctx, a, named, r, manager.log)",
		promise: "A service manager hears the end of every reload.",
		pkg:     "./integration",
		run:     "TestTheSystemdUnitRuns",
	},
	{
		name:    "tracing-collectors-address-logged",
		file:    "cmd/tailpost/otlp.go",
		old:     "log.Warn().Err(withoutURL(err)).Msg(\"spans or metrics not exported\")",
		new:     "log.Warn().Err(err).Msg(\"spans or metrics not exported\")",
		promise: "The log never has a full URL.",
		pkg:     "./integration",
		run:     "TestACollectorThatIsGoneStopsNothing",
	},
}
