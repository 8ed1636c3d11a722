package main

// payloadMutants break who reads payloads, that these are shown as they are, and where values are
// found in them.
var payloadMutants = []mutant{
	{
		name: "payloads-answers-for-all", file: "relay/internal/api/attempt.go",
		old:     "	shown.conceal(p)\n",
		new:     "",
		promise: "Only a key with payloads:read reads what a receiver answered.",
		pkg:     "./relay/internal/api", run: "TestPayloadsNeedAScope",
	},
	{
		name: "payloads-events-for-all", file: "relay/internal/api/event.go",
		old:     "case !p.readsPayloads():",
		new:     "case false:",
		promise: "Only a key with payloads:read reads the payload of an event.",
		pkg:     "./relay/internal/api", run: "TestPayloadsNeedAScope",
	},
	{
		name: "payloads-headers-for-all", file: "relay/internal/api/event.go",
		old:     "shown.Headers, shown.Extra, shown.ExtraText, shown.PayloadHidden = nil, nil, \"\", true",
		new:     "shown.Extra, shown.ExtraText, shown.PayloadHidden = nil, \"\", true",
		promise: "Only a key with payloads:read reads the headers of an event.",
		pkg:     "./relay/internal/api", run: "TestPayloadsNeedAScope",
	},
	{
		name: "payloads-explained-to-all", file: "relay/internal/api/explain_where.go",
		old:     "		if !shown {\n",
		new:     "		if false {\n",
		promise: "Why a filter leaves an event out is explained without the values to a key that may not read payloads.",
		pkg:     "./relay/internal/api", run: "TestPayloadsNeedAScope",
	},
	{
		name: "payloads-tried-by-all", file: "relay/internal/api/backtest.go",
		old:     "newTrial(before, after, p.readsPayloads(), ",
		new:     "newTrial(before, after, true, ",
		promise: "A backtest shows bodies to keys with payloads:read alone.",
		pkg:     "./relay/internal/api", run: "TestPayloadsNeedAScope",
	},
	{
		name: "payloads-asked-for", file: "relay/internal/api/backtest.go",
		old:     "if in.expresses() && !p.learnsPayloads() {",
		new:     "if false {",
		promise: "Nobody finds payloads out by trying filters on them.",
		pkg:     "./relay/internal/api", run: "TestExpressionsTellNobodyWhatIsInPayloads",
	},
	{
		name: "payloads-in-kept-answers", file: "relay/internal/api/testevent.go",
		old:     "		P(out).conceal(p) // the key may have lost the scope meanwhile\n",
		new:     "",
		promise: "An answer that is kept for a request sent again is shown by what the key may by now.",
		pkg:     "./relay/internal/api", run: "TestAnAnswerIsHiddenAgain",
	},
	{
		name: "payloads-raw-compacted", file: "relay/internal/api/event.go",
		old:     "case json.Valid(payload) && !in.Raw:",
		new:     "case json.Valid(payload):",
		promise: "Who asks for the text of a payload gets it to the last space.",
		pkg:     "./relay/internal/api", run: "TestRawPayloadsAreExact",
	},
	{
		name: "payloads-keys-lose-them", file: "outbox/schema/migrations/0015_payloads_scope.sql",
		old:     "  AND scopes && ARRAY['deliveries:read', 'deliveries:write', 'endpoints:write']",
		new:     "  AND 'deliveries:read' = ANY (scopes)",
		promise: "A key that could read payloads before they had a scope still can.",
		pkg:     "./outbox/schema", run: "TestKeysKeepPayloads",
	},
	{
		name: "config-escaped-member-behind", file: "outbox/payload/find.go",
		old:     "!bytes.Contains(rest, quoted) && !bytes.Contains(rest, []byte(`\\u`))",
		new:     "!bytes.Contains(rest, quoted)",
		promise: "Of a name that occurs twice the last counts, however it is escaped.",
		pkg:     "./outbox/payload", run: "TestOfANameThatOccursTwiceTheLastCounts",
	},
	{
		name: "config-name-begins-with-escape", file: "outbox/payload/block.go",
		old:     "((w.find(b.first)|backslashes)>>1 | last)",
		new:     "(w.find(b.first)>>1 | last)",
		promise: "A member is found whose name begins with an escape.",
		pkg:     "./outbox/payload", run: "TestFindEscapedNames",
	},
	{
		name: "config-name-cut-by-block", file: "outbox/payload/block.go",
		old:     "((w.find(b.first)|backslashes)>>1 | last)",
		new:     "((w.find(b.first) | backslashes) >> 1)",
		promise: "A member is found wherever blocks of the document end.",
		pkg:     "./outbox/payload", run: "TestFindAtEveryPlaceOfABlock|TestMembersAreFoundByBlocks",
	},
	{
		name: "config-backslash-forgotten", file: "outbox/payload/block.go",
		old:     "b.plain = b.pos + i\n",
		new:     "b.plain = b.pos + i + blockSize\n",
		promise: "A text with a quote in it ends where JSON says, behind any number of plain ones.",
		pkg:     "./outbox/payload", run: "TestMembersAreFoundByBlocks|TestFind",
	},
	{
		name: "config-non-ascii-taken", file: "outbox/payload/block.go",
		old:     "w.w[i] = x &^ highs\n\t}\n\tw.ascii = ^inOrder(m)",
		new:     "w.w[i] = x &^ highs\n\t}\n\t_ = m",
		promise: "A letter outside ASCII is neither a quote nor a bracket.",
		pkg:     "./outbox/payload", run: "TestFindAgreesWithEncodingJSON|TestMembersAreFoundByBlocks|TestQuotesInLettersOutsideASCII",
	},
}
