package main

// freshSeventhMutants were chosen by somebody who had read neither the tests nor this list: no test
// noticed them.
var freshSeventhMutants = []mutant{
	{
		name: "seventh-file-with-the-half-of-a-line-break", file: "config/environment.go",
		old:     `strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")`,
		new:     `strings.TrimSuffix(string(text), "\n")`,
		promise: "A file's last line break is left out, of either kind.",
		pkg:     "./config", run: "^TestAFileIsReadWithoutItsLastLineBreak$",
	},
	{
		name: "seventh-gate-keeps-the-place-of-who-passed", file: "relay/internal/dispatch/gate.go",
		old:     "\t\tl.admitted = false\n\t\tg.reserved--\n\tcase l.gated:",
		new:     "\t\tl.admitted = false\n\tcase l.gated:",
		promise: "A place at the gate is free again once it was used.",
		pkg:     "./relay/internal/dispatch", run: "^TestGate_anAdmissionIsUsedOnce$",
	},
	{
		name: "seventh-reload-keeps-who-resolves", file: "relay/reload.go",
		old:     "a.ProxyResolves == b.ProxyResolves && slices.Equal",
		new:     "slices.Equal",
		promise: "A reload that changes any setting of a network is in effect.",
		pkg:     "./relay", run: "^TestAnotherNetworkIsAnotherWay$",
	},
	{
		name: "hunt-body-of-what-stands-before-the-fault", file: "config/filter/body.go",
		old:     "\tcase !payload.Valid(e.Payload):\n\t\treturn errNoJSON\n",
		new:     "",
		promise: "A body makes nothing of a payload that is not JSON.",
		pkg:     "./config/filter", run: "^TestBody_ofAPayloadThatIsNoJSON$",
	},
	{
		name: "hunt-body-needs-json-that-it-does-not-read", file: "config/filter/body.go",
		old:     "\tif b.reads {\n\t\terr = readable(e)\n\t}\n",
		new:     "\terr = readable(e)\n",
		promise: "A body that does not read the payload is made whatever that is.",
		pkg:     "./config/filter", run: "^TestBody_ofAPayloadThatIsNoJSON$",
	},
	{
		name: "hunt-address-of-what-stands-before-the-fault", file: "config/filter/template.go",
		old:     "case p.reads && readable(e) != nil:",
		new:     "case !p.reads && readable(e) != nil:",
		promise: "No address is made of a payload that is not JSON.",
		pkg:     "./config/filter", run: "^TestBody_ofAPayloadThatIsNoJSON$",
	},
	{
		name: "hunt-token-json-called-a-text", file: "relay/internal/token/answer.go",
		old:     "\t\tresp.Header.Set(\"Content-Type\", \"application/json\")\n",
		new:     "",
		promise: "A token is found in JSON whatever its type is called.",
		pkg:     "./relay/internal/token", run: "^TestAnAnswerIsJSONWhateverItIsCalled$",
	},
	{
		name: "hunt-altered-table-is-not-read", file: "relay/internal/scan/table.go",
		old:     "pgx.QueryExecModeDescribeExec",
		new:     "pgx.QueryExecModeCacheStatement",
		promise: "An event is read though its table was altered since the last one was.",
		pkg:     "./relay/internal/query", run: "^TestEventsAreReadThoughTheTableIsAltered$",
	},
	{
		name: "hunt-capture-warns-of-each-row", file: "outbox/schema/capture.sql.tmpl",
		old:     "TG_RELID::text, true);",
		new:     "'0', true);",
		promise: "What events lack is said once in a transaction.",
		pkg:     "./outbox/schema", run: "^TestCapture_saysThatAColumnIsGone$",
	},
	{
		name: "seventh-stream-asks-for-no-reply-after-a-preparation", file: "relay/internal/source/postgres/stream.go",
		old:     "\t\ts.nextAsk = time.Time{}\n",
		new:     "",
		promise: "A stream that took long to begin is held as others are.",
		pkg:     "./relay/internal/source/postgres", run: "^TestWhileTheServerHearsOfTheStream$",
	},
	{
		name: "seventh-printed-role-forgets-no-discards", file: "outbox/schema/grants.go",
		old:     `{"SELECT, INSERT, DELETE", []string{"discarded"}}`,
		new:     `{"SELECT, INSERT", []string{"discarded"}}`,
		promise: "The rights that migrate prints are enough for all that a relay does.",
		pkg:     "./integration", run: "^TestThePrintedRolesSufficeToHealAndToRemove$",
	},
}
