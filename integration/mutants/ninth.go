package main

// ninthMutants are of a sample that was chosen by reading the code, and of what was mended then.
var ninthMutants = []mutant{
	{
		name: "challenge-forgets-since-when-it-fails", file: "relay/internal/dispatch/lane.go",
		old: "c.EndpointID, c.FailingSince = l.id, l.health.failing.since", new: "c.EndpointID = l.id",
		promise: "A challenge leaves alone since when its endpoint fails, which disable_after counts from.",
		pkg:     "./relay/internal/dispatch", run: "TestProof_leavesAlone",
	},
	{
		name: "delivered-is-a-failure-where-the-answer-broke", file: "relay/internal/dispatch/send.go",
		old: "res.Attempt.Error != \"\" && !res.Delivered", new: "res.Attempt.Error != \"\"",
		promise: "What the receiver has taken is delivered, also where the rest of its answer could not be read.",
		pkg:     "./relay/internal/dispatch", run: "TestDelivered_although",
	},
	{
		name: "lane-has-no-place-in-the-table-of-routes", file: "relay/internal/dispatch/routing.go",
		old: "\t\t\tr.lanes[at].index = at\n", new: "",
		promise: "A delivery from the table has the body that its own endpoint's expression makes.",
		pkg:     "./relay/internal/dispatch", run: "TestRetry_fromTheTable",
	},
	{
		name: "pieces-of-a-file-begin-at-its-first-byte", file: "config/parse.go",
		old: "\t\tstart.Byte += size\n", new: "",
		promise: "A diagnostic of a long file quotes what is wrong.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "pieces-of-a-file-begin-at-its-first-line", file: "config/parse.go",
		old: "\t\tstart.Line += bytes.Count(rest[:size], []byte(\"\\n\"))\n", new: "",
		promise: "A diagnostic of a long file names the line.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "pieces-of-a-file-that-do-not-parse", file: "config/parse.go",
		old: "if marked || len(diags) > 0 || !merge(body, piece) {", new: "if marked || len(diags) > 100_000 || !merge(body, piece) {",
		promise: "A long file is read as if it were parsed at once, also where a piece ends within a comment.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "pieces-of-a-file-have-an-attribute-each", file: "config/parse.go",
		old: "\t\t\treturn false\n\t\t}\n\t\tbody.Attributes[name]", new: "\t\t\tcontinue\n\t\t}\n\t\tbody.Attributes[name]",
		promise: "An attribute that a long file has twice is refused.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "pieces-of-a-file-begin-with-a-mark", file: "config/parse.go",
		old: "marked := start.Byte > 0 &&", new: "marked := start.Byte > 1<<40 &&",
		promise: "A byte order mark within a file is refused.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "a-long-file-is-one-piece", file: "config/parse.go",
		old: "if len(text) <= pieceSize {", new: "if len(text) <= pieceSize<<10 {",
		promise: "A long file is parsed in pieces, whose tokens are not held all at once.",
		pkg:     "./config", run: "TestParseBody",
	},
	{
		name: "http2-answer-ends-whole", file: "relay/internal/http2/read.go",
		old: "s.answer.Truncated = s.answer.Truncated || kept < len(data)", new: "s.answer.Truncated = kept < len(data)",
		promise: "An answer that was cut is said to be so, also where its last frame is empty.",
		pkg:     "./relay/internal/http2", run: "TestCutAnswerEndsWithNothing",
	},
	{
		name: "senders-leave-after-a-short-break", file: "relay/internal/fleet/senders.go",
		old: "time.Since(cut) > cutOff", new: "time.Since(cut) < cutOff",
		promise: "A sender keeps its partitions through a short break of NATS, and leaves them to others after a long one.",
		pkg:     "./relay/internal/fleet", run: "TestSendersLeave",
	},
	{
		name: "senders-stay-without-nats", file: "relay/internal/fleet/senders.go",
		old: "\tif lost(s.fan.Cut()) {\n\t\treturn errCutOff\n\t}\n", new: "",
		promise: "A sender that does not reach NATS leaves its partitions to others.",
		pkg:     "./relay/internal/fleet", run: "TestSendersLeave",
	},
	{
		name: "repeated-request-is-a-fault", file: "relay/internal/query/change.go",
		old: "\t\treturn fmt.Errorf(\"%w: a request with this Idempotency-Key is still running\", ErrConflict)\n", new: "\t\treturn fmt.Errorf(\"lock: %w\", err)\n",
		promise: "Who repeats a request that is still running gets a conflict that says so.",
		pkg:     "./relay/internal/query", run: "TestARequestThatRuns",
	},
	{
		name: "last-failure-is-the-first", file: "relay/internal/panel/failures.go",
		old: "list.Data[i].AttemptedAt.After(row.Last.AttemptedAt)", new: "list.Data[i].AttemptedAt.Before(row.Last.AttemptedAt)",
		promise: "The overview shows of an endpoint's errors the last one.",
		pkg:     "./relay/internal/panel", run: "TestWhatFailedLast",
	},
	{
		name: "links-of-the-panel-are-in-the-clear", file: "relay/internal/panel/portal.go",
		old: "\theader.Set(\"X-Forwarded-Proto\", schemeOf(v.r))\n", new: "",
		promise: "A portal link that is made in the panel over https begins with https.",
		pkg:     "./relay/internal/panel", run: "TestALinkIsOfTheScheme",
	},
	{
		name: "watching-ends-with-an-error", file: "cmd/tailpost/operation.go",
		old: "\t\tif ctx.Err() != nil {\n\t\t\treturn o.left(id)\n\t\t}\n", new: "",
		promise: "Who stops watching a replay while it is asked for is told that it goes on, and how to cancel it.",
		pkg:     "./cmd/tailpost", run: "TestWhoStopsWatching",
	},
	{
		name: "detach-that-was-broken-off-stays", file: "relay/internal/ledger/retain.go",
		old: "\tcase pending:\n\t\terr = conn.Exec(ctx, \"ALTER TABLE tailpost.attempt DETACH PARTITION \"+partition+\" FINALIZE\").Close()\n", new: "",
		promise: "A detach of an old partition that was broken off is brought to its end.",
		pkg:     "./integration", run: "TestAReaderOfAttemptsHoldsNothingUp",
	},
	{
		name: "former-url-disables", file: "relay/internal/dispatch/send.go",
		old: "if it.dl.moves != l.moves {", new: "if it.dl.moves > l.moves {",
		promise: "A 410 of a URL that the endpoint no longer has does not disable it.",
		pkg:     "./relay/internal/dispatch", run: "TestFormerURL",
	},
	{
		name: "former-url-of-the-same-host", file: "relay/internal/dispatch/lane.go",
		old: "\tl.moves++\n", new: "",
		promise: "A 410 of a URL that the endpoint no longer has does not disable it.",
		pkg:     "./relay/internal/dispatch", run: "TestFormerURL",
	},
	{
		name: "batch-that-is-full-behind-its-first-waits", file: "relay/internal/dispatch/company.go",
		old: "\t\t\t\tfull = true\n", new: "",
		promise: "A request that has no room for more goes at once, also where the events are in order.",
		pkg:     "./relay/internal/dispatch", run: "TestBatch_whatHasNoRoom",
	},
	{
		name: "batch-that-is-full-by-bytes-waits", file: "relay/internal/dispatch/company.go",
		old: "m.size() < c.most(head) && m.weight < c.Bytes", new: "m.size() < c.most(head)",
		promise: "A request that has no room for more goes at once, by its bytes too.",
		pkg:     "./relay/internal/dispatch", run: "TestBatch_whatHasNoRoom",
	},
	{
		name: "probe-waits-for-company", file: "relay/internal/dispatch/company.go",
		old: "if wait <= 0 || probe || c.hurry {", new: "if wait <= 0 || c.hurry {",
		promise: "A probe goes alone, and at once.",
		pkg:     "./relay/internal/dispatch", run: "TestBatch_aProbe",
	},
	{
		name: "former-url-keeps-the-place-of-the-probe", file: "relay/internal/dispatch/send.go",
		old: "\t\tl.health.circuit.abandoned(it.dl)\n\t\treturn false\n", new: "\t\treturn false\n",
		promise: "A probe that a former URL answers frees its place for another one.",
		pkg:     "./relay/internal/dispatch", run: "TestFormerURL",
	},
}
