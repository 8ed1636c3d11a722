package main

// tenthWireMutants are of a sample of what goes over the wire, chosen by reading the code, and of
// what was mended then.
var tenthWireMutants = []mutant{
	{
		name: "padding-uses-up-the-window", file: "relay/internal/http2/read.go",
		old: "size := int(f.Length)", new: "size := len(f.Data())",
		promise: "A receiver that pads its answers does not run out of window.",
		pkg:     "./relay/internal/http2", run: "TestWindowsAreGivenOnce",
	},
	{
		name: "bypass-by-zone", file: "config/receiver/bypass.go",
		old: "e.network.Contains(p.Addr.Unmap().WithZone(\"\"))", new: "e.network.Contains(p.Addr.Unmap())",
		promise: "network.no_proxy names a link-local receiver whatever its zone.",
		pkg:     "./config/receiver", run: "TestBypass",
	},
	{
		name: "bypass-name-ends-with-a-dot", file: "config/receiver/bypass.go",
		old: "e.name = strings.TrimSuffix(name, \".\")", new: "e.name = name",
		promise: "network.no_proxy takes a name with a dot at its end.",
		pkg:     "./config/receiver", run: "TestBypass",
	},
	{
		name: "guard-all-of-mapped", file: "config/receiver/guard.go",
		old: "p.Bits() >= mapped", new: "p.Bits() > mapped",
		promise: "network.allow takes ::ffff:0:0/96 for all of IPv4.",
		pkg:     "./config/receiver", run: "TestGuardAllow",
	},
	{
		name: "kept-header-cut-in-a-character", file: "relay/internal/webhook/headers.go",
		old: "for n > 0 && !utf8.RuneStart(s[n]) {", new: "for n > len(s) && !utf8.RuneStart(s[n]) {",
		promise: "A long header of an answer is kept without a part of a character.",
		pkg:     "./relay/internal/webhook", run: "TestSendKeepsFewHeaders",
	},
	{
		name: "batch-has-the-first-tenant", file: "relay/internal/webhook/batch.go",
		old: "r.Event.ID, r.Event.Type, r.Event.Tenant\n", new: "r.Event.ID, r.Event.Type, rs[0].Event.Tenant\n",
		promise: "Each attempt of a batch has the tenant of its own event.",
		pkg:     "./relay/internal/webhook", run: "TestABatchIsASigned",
	},
	{
		name: "no-user-agent-elsewhere", file: "relay/internal/webhook/head.go",
		old: "if !e.ownUserAgent || !withOwn {", new: "if !e.ownUserAgent {",
		promise: "A request that is redirected to somebody else still has a User-Agent.",
		pkg:     "./relay/internal/webhook", run: "TestRedirectHides",
	},
	{
		name: "tracestate-of-another-span", file: "relay/internal/webhook/head.go",
		old: "appendTrace(dst, \"tracestate\", r.Tracestate)", new: "appendTrace(dst, \"tracestate\", r.Event.Headers[\"tracestate\"])",
		promise: "The tracestate goes with the traceparent that it belongs to.",
		pkg:     "./relay/internal/webhook", run: "TestHeaders_ofOneTrace",
	},
	{
		name: "batch-address-of-what-was-written", file: "relay/internal/webhook/endpoint.go",
		old: "\treturn x.wrap(e, r, id, c)\n}\n\n// never", new: "\t_ = r\n\treturn x.wrap(e, first, id, c)\n}\n\n// never",
		promise: "The address of a batch follows from the data in the version that its endpoint pins.",
		pkg:     "./relay/internal/webhook", run: "TestAnAddressIsOfTheVersion",
	},
	{
		name: "echo-may-be-compressed", file: "relay/internal/webhook/endpoint.go",
		old: "(ep.Batch.Partial || ep.Verify == config.VerifyEcho)", new: "ep.Batch.Partial",
		promise: "A receiver that has to echo a challenge is asked not to compress its answer.",
		pkg:     "./relay/internal/webhook", run: "TestVerify_echo",
	},
	{
		name: "headers-shown-at-the-second-hop", file: "relay/internal/webhook/endpoint.go",
		old:     "\t\to, at = e.origin(p), next\n\t\tsame := e.first.place.SameReceiver(p)\n",
		new:     "\t\tsame := o.place.SameReceiver(p)\n\t\to, at = e.origin(p), next\n",
		promise: "Somebody else who leads a request on is not shown the endpoint's own headers at the next hop.",
		pkg:     "./relay/internal/webhook", run: "TestRedirectKeepsSecrets",
	},
	{
		name: "token-trouble-of-the-machine", file: "relay/internal/webhook/endpoint.go",
		old: "\tcase egress.IsLocal(err):\n\t\tres.Local = true\n", new: "",
		promise: "A token that is not fetched for want of descriptors costs no attempt.",
		pkg:     "./relay/internal/webhook", run: "TestTroubleOnTheWayToAToken",
	},
	{
		name: "rate-below-one-a-minute", file: "relay/internal/webhook/verify.go",
		old: "math.Ceil(ep.Rate", new: "math.Floor(ep.Rate",
		promise: "An endpoint with a rate below one a minute asks its receiver for a rate, and takes it.",
		pkg:     "./relay/internal/webhook", run: "TestVerify_cloudEvents",
	},
	{
		name: "handshake-by-the-success-of-events", file: "relay/internal/webhook/verify.go",
		old:     "ep.Gzip, ep.Retry = \"\", http.MethodOptions, config.FormatRaw, false, config.Retry{}",
		new:     "ep.Gzip = \"\", http.MethodOptions, config.FormatRaw, false",
		promise: "What an answer to the question of verify means does not follow from retry.success, which is of events.",
		pkg:     "./relay/internal/webhook", run: "TestVerify_cloudEvents",
	},
	{
		name: "h2-again-after-a-head", file: "relay/internal/webhook/h2.go",
		old: "broken.Closed && !broken.Headed && idle", new: "broken.Closed && idle",
		promise: "An answer of HTTP/2 that breaks off behind its head is a failure like others.",
		pkg:     "./relay/internal/webhook", run: "TestHTTP2FailureIsOneAttempt",
	},
	{
		name: "reached-before-it-was-refused", file: "relay/internal/webhook/origin.go",
		old: "x.reached = reached // by what led here", new: "x.reached = false",
		promise: "The attempt of a request that a receiver has led on is recorded, whatever comes of it then.",
		pkg:     "./relay/internal/webhook", run: "TestWhatReachedSomebody",
	},
	{
		name: "question-signed-with-old-secrets", file: "relay/internal/webhook/endpoint.go",
		old: "\t\te.probe.signer.Store(signer)\n", new: "",
		promise: "After a rotation verify = \"cloudevents\" asks with a signature by the new secret.",
		pkg:     "./relay/internal/webhook", run: "TestVerify_isSigned",
	},
	{
		name: "question-keeps-its-connection", file: "relay/internal/webhook/endpoint.go",
		old: "\t\te.probe.dropIdle()\n", new: "",
		promise: "Where descriptors are short, connections of verify = \"cloudevents\" are given back too.",
		pkg:     "./relay/internal/webhook", run: "TestIdleConnectionsMakeRoom",
	},
	{
		name: "resend-waits-in-its-order", file: "relay/internal/dispatch/chain.go",
		old: "\tif row.Trigger == outbox.TriggerResend {\n\t\treturn row.NextAttemptAt\n\t}\n", new: "",
		promise: "What a person sends again goes out before its deliver_at, also at an endpoint with an order.",
		pkg:     "./relay/internal/dispatch", run: "TestDeliverAt_isNotWaitedFor",
	},
	{
		name: "expiry-in-any-zone", file: "relay/internal/dispatch/send.go",
		old: "dl.ev.ExpiresAt.UTC().Format", new: "dl.ev.ExpiresAt.Format",
		promise: "When an event expired is said in UTC.",
		pkg:     "./relay/internal/dispatch", run: "TestExpiresAt_isDead",
	},
	{
		name: "rejected-again", file: "relay/internal/dispatch/dispatch.go",
		old: "\tif d.skip(ev.ID, Everyone) {\n\t\treturn\n\t}\n", new: "",
		promise: "An event that cannot be decoded is recorded once, however often the stream brings it.",
		pkg:     "./relay/internal/dispatch", run: "TestWhatIsRecorded",
	},
}
