package main

// healSweepMutants break what an audit makes of a row, and what it says of a gap.
var healSweepMutants = []mutant{
	{
		name: "heal-sweep-untyped-rows-of-a-backfill-are-left-out", file: "relay/internal/heal/judge.go",
		old:     "return unread && (s.due || !r.CreatedAt.Before(s.floor))",
		new:     "return unread && (s.isGap() || !r.CreatedAt.Before(s.floor))",
		promise: "A row without a type is dead with its reason, and not left out in silence.",
		pkg:     "./relay/internal/heal", run: "TestWhatAnAuditMakesOfARow",
	},
	{
		name: "heal-sweep-untyped-rows-that-somebody-has", file: "relay/internal/heal/judge.go",
		old:     "return unread && (s.due || !r.CreatedAt.Before(s.floor))",
		new:     "return s.due || !r.CreatedAt.Before(s.floor)",
		promise: "What somebody has is not recorded as dead to everyone.",
		pkg:     "./relay/internal/heal", run: "TestWhatAnAuditMakesOfARow",
	},
	{
		name: "heal-sweep-dead-by-the-second-look", file: "relay/internal/heal/judge.go",
		old:     "(ds []outbox.Delivery) {\n\tif slices.Contains(f.Recorded, dispatch.Everyone) {\n\t\treturn nil\n\t}\n",
		new:     "(ds []outbox.Delivery) {\n",
		promise: "What was recorded as dead meanwhile is not delivered.",
		pkg:     "./relay/internal/heal", run: "TestARowThatIsDeadByTheSecondLookIsLeftAlone",
	},
	{
		name: "heal-sweep-ids-used-again-are-not-said", file: "relay/internal/heal/judge.go",
		old:     "\tif s.again > 0 {\n",
		new:     "\tif s.again > 1 {\n",
		promise: "A gap says how many rows may be new events with ids of old ones.",
		pkg:     "./relay/internal/heal", run: "TestWhatAnAuditMakesOfARow",
	},
	{
		name: "heal-sweep-messages-are-not-said", file: "relay/internal/heal/audit.go",
		old:     "a.Outbox.Messages != \"\" && q.isGap()",
		new:     "a.Outbox.Messages == \"\" && q.isGap()",
		promise: "A gap says that logical messages cannot be found again.",
		pkg:     "./relay/internal/heal", run: "TestTheReportOfAGapSaysWhatCouldNotBeHealed",
	},
	{
		name: "heal-sweep-gap-that-is-not-healed-is-a-warning", file: "relay/internal/heal/audit.go",
		old:     "\tcase gap.Note != \"\":\n",
		new:     "\tcase gap.Note == \"-\":\n",
		promise: "The log says as an error that a gap could not be healed.",
		pkg:     "./relay/internal/heal", run: "TestTheReportOfAGapSaysWhatCouldNotBeHealed",
	},
	{
		name: "heal-sweep-untimed-table-is-guessed", file: "relay/internal/heal/sweep.go",
		old:     "if !q.glance && !table.Timed() && scope",
		new:     "if !q.glance && table.Timed() && scope",
		promise: "A table without times is not guessed from: the gap says so.",
		pkg:     "./relay/internal/heal", run: "TestTheReportOfAGapSaysWhatCouldNotBeHealed",
	},
	{
		name: "heal-sweep-filtered-rows-are-unjudged", file: "relay/internal/heal/judge.go",
		old:     "if ev := f.Event; f.Err != nil || len(s.Dispatcher.Route(s.ids[:0], &ev)) > 0 {",
		new:     "if ev := f.Event; f.Err != nil || ev.ID != \"\" {",
		promise: "What a filter leaves out is not told of as what may be lost.",
		pkg:     "./relay/internal/heal", run: "TestRowsWithoutATimeAreCountedWhereNoGapIsKnown",
	},
	{
		name: "heal-sweep-endpoint-that-was-not-there", file: "relay/internal/heal/judge.go",
		old:     "return known && !created.Before(r.Since) || !known && existed",
		new:     "return known && !created.Before(r.Since) || !known",
		promise: "Of what others have, an endpoint made since gets nothing that does not say its time.",
		pkg:     "./relay/internal/heal", run: "TestWhoGetsWhatWasWrittenBehindTheHorizon",
	},
	{
		name: "heal-sweep-time-of-the-event-is-not-kept", file: "relay/internal/heal/judge.go",
		old:     "\td.Schedule()\n",
		new:     "",
		promise: "An event of a gap is not delivered before its time.",
		pkg:     "./relay/internal/heal", run: "TestAnEventOfAGapIsNotDueBeforeItsTime",
	},
}
