package main

// faultMutants break what holds for tables as they are found: ids that are used again, rows that are
// changed, audits that cost what is new.
var faultMutants = []mutant{
	{
		name:    "faults-reused-id-taken-for-known",
		file:    "relay/internal/ledger/table.go",
		old:     `again := "COALESCE(" + c.earliest + " > @gap_at AND " + c.time + " <= @now, false)"`,
		new:     `again := "(@gap_at > @now)"`,
		promise: "An event of a gap is delivered, although an earlier one had its id.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/ids_that_are_used_again$",
	},
	{
		name:    "faults-reused-id-not-counted",
		file:    "relay/internal/heal/judge.go",
		old:     "if r.Doubtful && len(s.ids) > 0 {",
		new:     "if r.Doubtful && len(s.ids) < 0 {",
		promise: "Rows whose ids may have been used again are counted in the gap's note.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/ids_that_are_used_again,_without_a_time",
	},
	{
		name:    "faults-reused-id-hides-behind-a-delivery",
		file:    "relay/internal/ledger/statements.go",
		old:     "   AND (was.commit_lsn, was.seq) <> (p.commit_lsn, p.seq)\n",
		new:     "   AND (was.commit_lsn, was.seq) < (p.commit_lsn, p.seq) AND false\n",
		promise: "An event is parked although an earlier one with its id waits.",
		pkg:     "./relay/internal/ledger",
		run:     "^TestRecord_parksAnEventWhoseIDAnEarlierOneHas$",
	},
	{
		name:    "faults-reused-id-lost-in-a-batch",
		file:    "relay/internal/ledger/encode.go",
		old:     "(size > parkBytes || w.again(&ds[n]))",
		new:     "size > parkBytes",
		promise: "Two events of one id in one batch are two rows.",
		pkg:     "./relay/internal/ledger",
		run:     "^TestRecord_parksAnEventWhoseIDAnEarlierOneHas$",
	},
	{
		name:    "faults-reused-id-found-and-dropped",
		file:    "relay/internal/ledger/audit.go",
		old:     "   AND was.commit_lsn < @lsn::text::pg_lsn\n",
		new:     "   AND false\n",
		promise: "What an audit finds does not vanish behind a delivery of before the gap.",
		pkg:     "./integration",
		run:     "^TestAnIDThatIsUsedAgainInAGapHidesBehindNoEarlierEvent$",
	},
	{
		name:    "faults-reused-key-taken-for-a-move",
		file:    "relay/internal/source/postgres/events.go",
		old:     "== gone && !sameKey(e.goneKey, row) {",
		new:     "== gone {",
		promise: "A row that is deleted and inserted anew with its key is an event.",
		pkg:     "./integration",
		run:     "^TestARowThatMovesToAnotherPartitionIsNoEvent$",
	},
}
