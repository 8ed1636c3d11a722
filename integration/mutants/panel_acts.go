package main

// panelActsMutants break what the panel promises of its forms: that they do what a person was
// asked, that, and say so.
var panelActsMutants = []mutant{
	{
		name: "panel-bulk-takes-what-came-since", file: "relay/internal/ledger/filter.go",
		old:     `and(!f.AsOf.IsZero(), ThereSinceSQL+" <= @there_by")`,
		new:     `and(false, ThereSinceSQL+" <= @there_by")`,
		promise: "A discard in bulk takes what a person was asked about, and nothing that failed since.",
		pkg:     "./relay/internal/panel", run: "TestWhatComesAfterTheQuestionIsLeftAlone",
	},
	{
		name: "panel-bulk-loses-what-was-retried", file: "relay/internal/ledger/filter.go",
		old:     "CASE WHEN d.state = 'dead' OR d.trigger = 'resend' THEN d.updated_at ELSE d.created_at END",
		new:     "d.updated_at",
		promise: "A delivery that is attempted between the question and the answer is still one of those asked about.",
		pkg:     "./relay/internal/panel", run: "TestWhatComesAfterTheQuestionIsLeftAlone",
	},
	{
		name: "panel-bulk-without-a-bound", file: "relay/internal/panel/bulk.go",
		old:     `return unknown("as_of") // without it, it would be about what came since, too`,
		new:     `asOf = "2999-01-01T00:00:00Z"`,
		promise: "A bulk act that no page asked about is refused.",
		pkg:     "./relay/internal/panel", run: "TestWhatComesAfterTheQuestionIsLeftAlone",
	},
	{
		name: "panel-bulk-counts-what-was-asked", file: "relay/internal/panel/bulk.go",
		old:     `v.see(to, done, changed, int64(len(chosen)))`,
		new:     `v.see(to, done, int64(len(chosen)), int64(len(chosen)))`,
		promise: "The message says how many deliveries were changed, not how many were asked for.",
		pkg:     "./relay/internal/panel", run: "TestAPersonHearsHowManyWereChanged",
	},
	{
		name: "panel-act-guessed", file: "relay/internal/panel/bulk.go",
		old:     `return "", unknown("act")`,
		new:     `return words[len(words)-1], nil`,
		promise: "A form that does not say what to do does nothing.",
		pkg:     "./relay/internal/panel", run: "TestAFormThatSaysNothingChangesNothing",
	},
	{
		name: "panel-delivery-guessed", file: "relay/internal/panel/bulk.go",
		old:     `if len(parts) != 3 { //nolint:mnd // state, endpoint, event`,
		new:     `if len(parts) < 3 { //nolint:mnd // state, endpoint, event`,
		promise: "A malformed delivery of a form is refused.",
		pkg:     "./relay/internal/panel", run: "TestAFormThatSaysNothingChangesNothing",
	},
	{
		name: "panel-way-back-to-all", file: "relay/internal/panel/bulk.go",
		old:     `Back: v.site.root + list,`,
		new:     `Back: v.site.root + "undelivered?state=" + f.State,`,
		promise: "Whoever changes their mind is back at the list as it was filtered.",
		pkg:     "./relay/internal/panel", run: "TestTheWayBackIsTheListAsItWasFiltered",
	},
	{
		name: "panel-bulk-acts-thrice", file: "relay/internal/panel/bulk.go",
		old:     `Path: path, Body: asked, Header: onceHeader(v)}, &made)`,
		new:     `Path: path, Body: asked}, &made)`,
		promise: "One form of a bulk act acts once, however often it is sent.",
		pkg:     "./relay/internal/panel", run: "TestAFormThatIsSentThriceActsOnce",
	},
	{
		name: "panel-says-what-a-link-says", file: "relay/internal/panel/done.go",
		old:     `if !ok || v.token == "" || !hmac.Equal([]byte(mark), []byte(v.markOf("done", v.r.URL.Path, word))) {`,
		new:     `if !ok && mark != "" {`,
		promise: "The panel says that something was done only where this session did it.",
		pkg:     "./relay/internal/panel", run: "TestOnlyWhatWasDoneIsSaid",
	},
}
