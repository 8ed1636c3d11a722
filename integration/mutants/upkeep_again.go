package main

// upkeepAgainMutants break what is replayed, read again and kept.
var upkeepAgainMutants = []mutant{
	{
		name: "upkeep-again-place-in-the-stream-is-lost", file: "relay/internal/upkeep/rejected.go",
		old:     "\tev.CommitLSN, ev.Seq = r.CommitLSN, r.Seq\n",
		new:     "",
		promise: "An event that is read again keeps its place in an order.",
		pkg:     "./relay/internal/upkeep", run: "TestAnEventThatIsReadAgainKeepsItsPlaceAndTime",
	},
	{
		name: "upkeep-again-first-reason-is-lost", file: "relay/internal/upkeep/rejected.go",
		old:     "before == \"\" || strings.HasPrefix(before, gone)",
		new:     "before == \"\" || !strings.HasPrefix(gone, before)",
		promise: "What cannot be read again keeps its first reason, once.",
		pkg:     "./relay/internal/upkeep", run: "TestAnEventThatCannotBeReadAgainKeepsItsFirstReason",
	},
	{
		name: "upkeep-again-replay-fills-the-queue", file: "relay/internal/upkeep/replay.go",
		old:     "err != nil || n >= replayPending {",
		new:     "err != nil || n > replayPending {",
		promise: "A replay adds nothing to an endpoint that has enough to do.",
		pkg:     "./relay/internal/upkeep", run: "TestAReplayWaitsForItsEndpoint",
	},
	{
		name: "upkeep-again-replay-since-a-time-that-no-row-says", file: "relay/internal/upkeep/replay.go",
		old:     "if !r.Since.IsZero() && !sweep.Timed() {",
		new:     "if r.Since.IsZero() && !sweep.Timed() {",
		promise: "A replay since a time ends with the reason where no row says its time.",
		pkg:     "./relay/internal/upkeep", run: "TestAReplayThatCannotBeCarriedOutSaysWhy",
	},
	{
		name: "upkeep-again-retention-stops-after-a-page", file: "relay/internal/upkeep/retention.go",
		old:     "\t\tif !more {\n\t\t\tbreak\n",
		new:     "\t\tif more || !more {\n\t\t\tbreak\n",
		promise: "Retention goes on until nothing old is left.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionGoesOnUntilThereIsNoMore",
	},
	{
		name: "upkeep-again-missing-right-is-said-each-time", file: "relay/internal/upkeep/retention.go",
		old:     "\t\t\tk.refused = true\n",
		new:     "",
		promise: "A right that is missing is said once.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionSaysOnceThatItMayNotDelete",
	},
	{
		name: "upkeep-again-brief-retention-runs-seldom", file: "relay/internal/upkeep/retention.go",
		old:     "return min(max(rows/10, leastRetentionPause), mostRetentionPause)",
		new:     "return max(rows/10, mostRetentionPause)",
		promise: "Rows that are kept briefly are deleted in time.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionRunsAsOftenAsRowsAreKeptBriefly",
	},
}
