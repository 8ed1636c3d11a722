package main

// upkeepSweepMutants leave out what keeps upkeep, the audit and what takes the stream in from doing
// too much, or too little.
var upkeepSweepMutants = []mutant{
	{
		name: "upkeep-sweep-rows-of-for-ever-are-removed", file: "relay/internal/upkeep/retention.go",
		old:     "if k.outbox.Retention > 0 && k.outbox.Mapping.Table",
		new:     "if k.outbox.Retention >= 0 && k.outbox.Mapping.Table",
		promise: "Rows of the outbox table that are kept for ever stay.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionRemovesWhatItIsSetFor",
	},
	{
		name: "upkeep-sweep-attempts-of-for-ever-are-removed", file: "relay/internal/upkeep/retention.go",
		old:     "if keep.Attempts > 0 {",
		new:     "if keep.Attempts >= 0 {",
		promise: "Attempts that are kept for ever stay.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionRemovesWhatItIsSetFor",
	},
	{
		name: "upkeep-sweep-dead-of-for-ever-are-removed", file: "relay/internal/upkeep/retention.go",
		old:     "if keep.Dead > 0 {",
		new:     "if keep.Dead >= 0 {",
		promise: "Dead deliveries that are kept for ever stay.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionRemovesWhatItIsSetFor",
	},
	{
		name: "upkeep-sweep-resends-are-never-removed", file: "relay/internal/upkeep/retention.go",
		old:     "return k.ledger.DropResends(ctx, before)",
		new:     "return 0, false, nil",
		promise: "Resends that are over are removed as attempts are.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionRemovesWhatItIsSetFor",
	},
	{
		name: "upkeep-sweep-counters-by-type-are-never-removed", file: "relay/internal/upkeep/retention.go",
		old:     "return k.ledger.DropTypeStats(ctx, before)",
		new:     "return 0, false, nil",
		promise: "Old counters by type are removed.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionRemovesWhatItIsSetFor",
	},
	{
		name: "heal-sweep-an-order-begins-before-all-is-there", file: "relay/internal/heal/sweep.go",
		old:     "case s.Dispatcher.Ordering(id) != config.OrderingNone:",
		new:     "case s.Dispatcher.Ordering(id) != config.OrderingNone && false:",
		promise: "An endpoint with an order gets what was missed once all of it is in the table.",
		pkg:     "./relay/internal/heal", run: "TestAGapIsQueuedInSmallTransactions",
	},
	{
		name: "intake-sweep-newest-secret-expires", file: "relay/internal/intake/rotation.go",
		old:     "if i > 0 && !secret.ExpiresAt.IsZero() {",
		new:     "if i >= 0 && !secret.ExpiresAt.IsZero() {",
		promise: "The newest secret signs in any case.",
		pkg:     "./relay/internal/intake", run: "TestRotationSignsWithTheNewestInAnyCase",
	},
	{
		name: "intake-sweep-last-transaction-is-not-looked-up", file: "relay/internal/intake/again.go",
		old:     "tx.Commit <= l.Until",
		new:     "tx.Commit < l.Until",
		promise: "All of what is recorded and brought again is looked up, to the last transaction.",
		pkg:     "./relay/internal/intake", run: "TestWhatIsBroughtAgainIsLookedUpAsItComes",
	},
	{
		name: "intake-sweep-no-event-is-recorded-again", file: "relay/internal/intake/intake.go",
		old:     "\t\ti.collect(ev, problem)\n\t\treturn\n",
		new:     "",
		promise: "What is no event is recorded once, though the stream brings it again.",
		pkg:     "./relay/internal/intake", run: "TestWhatIsBroughtAgainIsLookedUpAsItComes",
	},
	{
		name: "upkeep-sweep-replay-of-another-tenant", file: "relay/internal/upkeep/replay.go",
		old:     "case rg.Tenant != \"\" && row.Tenant != rg.Tenant:",
		new:     "case rg.Tenant == \"\" && row.Tenant != rg.Tenant:",
		promise: "A replay takes the rows of its endpoint's tenant alone.",
		pkg:     "./relay/internal/upkeep", run: "TestAReplayTakesWhatItsRangeWants",
	},
}
