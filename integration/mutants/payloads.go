package main

// payloadMutants break who reads payloads, and that they are shown as they are.
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
		old:     "shown.Headers, shown.PayloadHidden = nil, true",
		new:     "shown.PayloadHidden = true",
		promise: "Only a key with payloads:read reads the headers of an event.",
		pkg:     "./relay/internal/api", run: "TestPayloadsNeedAScope",
	},
	{
		name: "payloads-explained-to-all", file: "relay/internal/api/filters.go",
		old:     "		if !shown {\n",
		new:     "		if false {\n",
		promise: "Why a filter leaves an event out is explained without the values to a key that may not read payloads.",
		pkg:     "./relay/internal/api", run: "TestPayloadsNeedAScope",
	},
	{
		name: "payloads-tried-by-all", file: "relay/internal/api/backtest.go",
		old:     "newTrial(before, after, p.readsPayloads())",
		new:     "newTrial(before, after, true)",
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
		old:     "		out.Body.conceal(p) // the key may have lost the scope meanwhile\n",
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
}
