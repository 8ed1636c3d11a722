package main

// twelfthSendMutants are of what sends, and of faults that others had who send webhooks or speak
// HTTP; most of them were mended then.
var twelfthSendMutants = []mutant{
	{
		name: "twelfth-send-a-smaller-table-goes-unsaid", file: "relay/internal/http2/read.go",
		old: "c.table, c.emptied = 0, true", new: "c.table, c.emptied = 0, false",
		promise: "A receiver that takes less of a table of headers gets more than one request over a connection.",
		pkg:     "./relay/internal/http2", run: "TestASmallerTable",
	},
	{
		name: "twelfth-send-an-empty-table-is-said-again", file: "relay/internal/http2/read.go",
		old: "c.table, c.emptied = 0, true", new: "c.table, c.emptied = s.Val, true",
		promise: "That the table of headers is empty is said once.",
		pkg:     "./relay/internal/http2", run: "TestASmallerTable",
	},
	{
		name: "twelfth-send-trailers-leave-the-request-open", file: "relay/internal/http2/read.go",
		old: "\t\tc.complete(s)\n\t\treturn nil\n\t}\n\tstatus, err", new: "\t\tc.finish(s, nil)\n\t\treturn nil\n\t}\n\tstatus, err",
		promise: "A receiver that answered before it had all of a request hears that no more of it comes, also where the answer has trailers.",
		pkg:     "./relay/internal/http2", run: "TestTrailersEnd",
	},
	{
		name: "twelfth-send-a-short-answer-is-whole", file: "relay/internal/http2/stream.go",
		old: "s.size == int64(s.read)", new: "s.size >= int64(s.read)",
		promise: "answer = \"complete\" takes no answer over HTTP/2 that is shorter than it says.",
		pkg:     "./relay/internal/http2", run: "TestABodyIsAsLong",
	},
	{
		name: "twelfth-send-two-lengths-are-one", file: "relay/internal/http2/stream.go",
		old: "err != nil || s.sized && s.size != size", new: "err != nil",
		promise: "An answer over HTTP/2 that says two lengths is not well framed.",
		pkg:     "./relay/internal/http2", run: "TestABodyIsAsLong",
	},
	{
		name: "twelfth-send-a-ping-is-unanswered-for-ever", file: "relay/internal/http2/conn.go",
		old: "\t\tc.asked = time.Time{} // whatever it was asked about is over\n", new: "",
		promise: "A connection that answered a ping is not ended because its request was over soon after.",
		pkg:     "./relay/internal/http2", run: "TestAPingOfBefore",
	},
	{
		name: "twelfth-send-idle-http2-connections-are-kept", file: "relay/internal/webhook/origin.go",
		old: "\t\th.CloseIdle()\n", new: "\t\t_ = h\n",
		promise: "Where the relay's machine is short of descriptors, idle HTTP/2 connections are given back.",
		pkg:     "./relay/internal/webhook", run: "TestIdleConnectionsMake",
	},
	{
		name: "twelfth-send-idle-token-connections-are-kept", file: "relay/internal/webhook/endpoint.go",
		old: "\tif e.tokens != nil {\n\t\te.tokens.Close()\n\t}\n\te.first.dropIdle()\n", new: "\te.first.dropIdle()\n",
		promise: "Where the relay's machine is short of descriptors, idle connections to token endpoints are given back.",
		pkg:     "./relay/internal/webhook", run: "TestIdleConnectionsMake",
	},
	{
		name: "twelfth-send-idle-connections-of-the-other-client-are-kept", file: "relay/internal/webhook/client.go",
		old: "\t\tc.beside.dropOwnIdle()\n", new: "\t\t_ = c.beside\n",
		promise: "Where an endpoint of the API finds no descriptor, idle connections of the configuration's endpoints are given back too.",
		pkg:     "./relay/internal/webhook", run: "TestIdleConnectionsMake",
	},
	{
		name: "twelfth-send-a-retry-meets-the-next-dead-connection", file: "relay/internal/webhook/origin.go",
		old: "\t\tif x.again {\n", new: "\t\tif false {\n",
		promise: "A receiver that moved to another machine costs a delivery one attempt, however many connections there were.",
		pkg:     "./relay/internal/webhook", run: "TestARetryMeets",
	},
	{
		name: "twelfth-send-a-retry-meets-the-next-dead-http2-connection", file: "relay/internal/webhook/h2.go",
		old: "x.again {\n\t\t\th.origin.dropIdle()", new: "false {\n\t\t\th.origin.dropIdle()",
		promise: "So it does where there were several HTTP/2 connections.",
		pkg:     "./relay/internal/webhook", run: "TestARetryMeets",
	},
	{
		name: "twelfth-send-a-try-of-before-counts", file: "relay/internal/webhook/origin.go",
		old: "\tx.again = false //", new: "\t_ = x.again //",
		promise: "A 503 on a new connection is retried by Retry-After and the schedule, whatever happened to the old one.",
		pkg:     "./relay/internal/webhook", run: "TestATryThatReached",
	},
	{
		name: "twelfth-send-the-end-of-no-body-is-an-answer", file: "relay/internal/http1/body.go",
		old: "return !f.chunked && (f.length", new: "return (f.length",
		promise: "An answer without a body whose chunks end late does not fail the next request.",
		pkg:     "./relay/internal/webhook", run: "TestTheEndOfNoBody",
	},
	{
		name: "twelfth-send-a-length-of-no-body-is-harmless", file: "relay/internal/http1/body.go",
		old: "(f.length <= 0 || x.Answer", new: "(f.length <= 9 || x.Answer",
		promise: "Nor does one that says a length.",
		pkg:     "./relay/internal/http1", run: "TestAnswer_saysWhether",
	},
	{
		name: "twelfth-send-a-date-is-by-our-clock", file: "relay/internal/webhook/retryafter.go",
		old: "\t\tnow = said\n", new: "\t\t_ = said\n",
		promise: "A Retry-After that is a date asks for as long as the receiver's clock says.",
		pkg:     "./relay/internal/webhook", run: "TestRetryAfterIsBy",
	},
	{
		name: "twelfth-send-no-ipv6-is-a-shortage", file: "relay/internal/egress/dialer.go",
		old: "EADDRNOTAVAIL) && !d.hasSource(ctx, address) {", new: "EADDRNOTAVAIL) && false {",
		promise: "An endpoint that only IPv6 reaches fails where the relay's machine has none, and disturbs no other.",
		pkg:     "./relay/internal/egress", run: "TestDial_toWhere",
	},
	{
		name: "twelfth-send-no-port-is-the-receivers-fault", file: "relay/internal/egress/dialer.go",
		old: "EADDRNOTAVAIL) && !d.hasSource(ctx, address) {", new: "EADDRNOTAVAIL) {",
		promise: "That no port is left says nothing of a receiver.",
		pkg:     "./relay/internal/egress", run: "TestDial_toWhere",
	},
	{
		name: "twelfth-send-own-alerts-go-unsaid", file: "relay/internal/webhook/failure.go",
		old: " || op.Op == \"local error\")", new: ")",
		promise: "Where TLS ends a connection after the handshake, the attempt says why.",
		pkg:     "./relay/internal/webhook", run: "TestWhatTLSSays",
	},
	{
		name: "twelfth-send-idle-ends-open-the-circuit", file: "relay/internal/dispatch/send.go",
		old: "l.judge(&it, decision, res.Barred || res.Again, now)", new: "l.judge(&it, decision, res.Barred, now)",
		promise: "Connections that ended while they were idle do not open a circuit.",
		pkg:     "./relay/internal/dispatch", run: "TestCircuit_isLeftAlone",
	},
	{
		name: "twelfth-send-idle-ends-open-the-circuit-of-batches", file: "relay/internal/dispatch/batch.go",
		old: "results[0].Barred || results[0].Again, now)", new: "results[0].Barred, now)",
		promise: "Nor do they where an endpoint has batches.",
		pkg:     "./relay/internal/dispatch", run: "TestCircuit_isLeftAlone",
	},
	{
		name: "twelfth-send-the-gate-goes-by-the-wall", file: "relay/internal/dispatch/gate.go",
		old: "window := int64(now.Sub(g.began) / gateWindow)", new: "window := now.UnixNano() / int64(gateWindow)",
		promise: "A clock that is set back does not have receivers that hang keep others waiting.",
		pkg:     "./relay/internal/dispatch", run: "TestGate_forgetsWhatIsOldWhere",
	},
	{
		name: "twelfth-send-the-loader-sleeps-for-long", file: "relay/internal/dispatch/loader.go",
		old: "return nil, min(wait, lookEvery)", new: "return nil, wait",
		promise: "What came due while the machine slept is delivered within a minute of its waking.",
		pkg:     "./relay/internal/dispatch", run: "TestLoader_looksAgain",
	},
	{
		name: "twelfth-send-what-is-due-goes-by-the-clock-that-stands", file: "relay/internal/dispatch/send.go",
		old: "dl.beforeExpiry(it.next).Round(0)", new: "dl.beforeExpiry(it.next)",
		promise: "So is a retry.",
		pkg:     "./relay/internal/dispatch", run: "TestLoader_looksAgain",
	},
}
