package main

// freshThirdMutants were chosen in other functions again: no test noticed these.
var freshThirdMutants = []mutant{
	{
		name: "third-route-parked-operational-event-has-another-body", file: "relay/internal/route/table.go",
		old:     "p.Match(e.Type) && (!operational || len(p.Segments) > 0 && p.Segments[0] == operationalSegment)",
		new:     "p.Match(e.Type)",
		promise: "A parked operational event has the body of the subscription that names it.",
		pkg:     "./relay/internal/route", run: "^TestAParkedOperationalEventHasTheBodyOfWhoNamesIt$",
	},
	{
		name: "third-seal-of-before-does-not-open", file: "relay/internal/seal/seal.go",
		old:     "return append(append(make([]byte, 0, 1+idSize+len(context)), sealed[:1+idSize]...), context...)",
		new:     "return append(make([]byte, 0, len(context)), context...)",
		promise: "What an earlier release has sealed opens.",
		pkg:     "./relay/internal/seal", run: "^TestOpensWhatEarlierReleasesSealed$",
	},
	{
		name: "third-token-pauses-stay-long", file: "relay/internal/token/token.go",
		old:     "\ts.pause.Reset()\n",
		new:     "",
		promise: "Once there was a token, a failure to get one is a first one again.",
		pkg:     "./relay/internal/token", run: "^TestPausesBeginAnewOnceThereWasAToken$",
	},
	{
		name: "third-token-assertion-of-this-moment", file: "relay/internal/token/assertion.go",
		old:     "\"iat\": now.Add(-assertionBack).Unix()",
		new:     "\"iat\": now.Unix()",
		promise: "An assertion is good for a server whose clock is a little behind.",
		pkg:     "./relay/internal/webhook", run: "^TestAssertions$",
	},
	{
		name: "third-plan-disabled-endpoint-goes-on-by-itself", file: "relay/internal/plan/plan.go",
		old:     "if moved && row.Status == ledger.StatusDisabled && !removed(row) {",
		new:     "if row.Status == ledger.StatusDisabled && !removed(row) {",
		promise: "A disabled endpoint is active again with another URL, and with nothing else that changes.",
		pkg:     "./relay/internal/plan", run: "^TestWhatBecomesOfWhatIsNotActive$",
	},
	{
		name: "third-plan-version-that-is-gone-matches-all", file: "relay/internal/plan/plan.go",
		old:     "\tif !ledger.Pin(&e, row, versions) {\n\t\te.Version = \"\"\n\t\tversions.Pin(&e, versions.Newest())\n\t}\n",
		new:     "\tledger.Pin(&e, row, versions)\n",
		promise: "What an endpoint got is told by its filters though its version is gone.",
		pkg:     "./relay/internal/plan", run: "^TestWhatAnEndpointGotIsToldThoughItsVersionIsGone$",
	},
	{
		name: "third-http1-chunks-of-http10-keep-the-connection", file: "relay/internal/http1/body.go",
		old:     "return !f.hasLength && !f.http10, x.readTrailers",
		new:     "return !f.hasLength, x.readTrailers",
		promise: "A connection on which HTTP/1.0 sent chunks is not used again.",
		pkg:     "./relay/internal/http1", run: "^TestNoReuseAfterChunksOfHTTP10$",
	},
	{
		name: "third-http1-idle-for-longer-behind-others", file: "relay/internal/http1/pool.go",
		old:     "p.timer.Reset(p.idle[0].idleSince.Sub(limit))",
		new:     "p.timer.Reset(p.Timeout)",
		promise: "Each idle connection goes when its own time is over.",
		pkg:     "./relay/internal/http1", run: "^TestPoolExpiresEachInItsTime$",
	},
	{
		name: "third-http2-windows-given-again-and-again", file: "relay/internal/http2/read.go",
		old:     "\t\tc.unacked = 0\n",
		new:     "",
		promise: "A peer is told of each byte once.",
		pkg:     "./relay/internal/http2", run: "^TestWindowsAreGivenOnce$",
	},
	{
		name: "third-http2-settings-forget-what-is-left", file: "relay/internal/http2/read.go",
		old:     "\t\t\t\topen.window += change\n",
		new:     "\t\t\t\topen.window = change\n",
		promise: "Another initial window counts beside what a request has left.",
		pkg:     "./relay/internal/http2", run: "^TestSettingsMoveTheWindowsThatAreOpen$",
	},
	{
		name: "third-egress-barred-and-asks-again", file: "relay/internal/egress/dial.go",
		old:     "err == nil || ctx.Err() != nil || IsBarred(err) {",
		new:     "err == nil || ctx.Err() != nil {",
		promise: "A proxy that does not let the relay through is asked once.",
		pkg:     "./relay/internal/egress", run: "^TestTunnel_whoIsBarredAsksOnce$",
	},
	{
		name: "third-egress-error-of-the-last-address", file: "relay/internal/egress/dial.go",
		old:     "\tif first != nil {\n\t\treturn first\n\t}\n\treturn next\n",
		new:     "\tif next != nil {\n\t\treturn next\n\t}\n\treturn first\n",
		promise: "Where no address is reached, the error is of the first.",
		pkg:     "./relay/internal/egress", run: "^TestConnect_saysWhatBecameOfTheFirst$",
	},
}
