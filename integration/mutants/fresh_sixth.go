package main

// freshSixthMutants are those of a sample by a stranger that no test noticed.
var freshSixthMutants = []mutant{
	{
		name: "sixth-relay-idle-fleet-writes", file: "relay/internal/fleet/reader.go",
		old:     "p.told, p.toldAt, p.since = at, now, false",
		new:     "p.told, p.toldAt = at, now",
		promise: "A fleet without transactions has nothing recorded every half minute.",
		pkg:     "./relay/internal/fleet", run: "^TestAnIdleFleetIsToldOnce$",
	},
	{
		name: "sixth-relay-partition-keeps-old-search", file: "relay/internal/fleet/partition.go",
		old:     "\tdispatcher.SetSearch(next.Config.Outbox.Search)\n",
		new:     "",
		promise: "After a reload the attempts of a fleet are found by the new search values too.",
		pkg:     "./integration", run: "^TestAReloadChangesWhatEventsAreFoundBy$",
	},
	{
		name: "sixth-relay-loosened-waits-for-ever", file: "relay/hold.go",
		old:     "e.Reread = q.Unscheduled //",
		new:     "e.Reread = false //",
		promise: "What waited in an order is delivered after a start whose endpoint has none any more.",
		pkg:     "./integration", run: "^TestWhatHasNoKeyGoesOnceOnlyKeysHaveAnOrder$",
	},
	{
		name: "sixth-relay-oldest-hidden-by-idle-partition", file: "relay/api.go",
		old:     "a.IsZero() || !b.IsZero() && b.Before(a)",
		new:     "a.IsZero() || b.Before(a)",
		promise: "The oldest unsettled transaction is that of the partition that is stuck, though others have none.",
		pkg:     "./relay", run: "^TestTheOldestIsThatOfWhoHasSome$",
	},
	{
		name: "sixth-ledger-version-of-transaction-by-chance", file: "relay/internal/ledger/version.go",
		old:     "ORDER BY endpoint_id, commit_lsn DESC, seq DESC",
		new:     "ORDER BY endpoint_id, commit_lsn DESC, seq",
		promise: "A start takes the last of several changes of an endpoint in one transaction.",
		pkg:     "./relay/internal/ledger", run: "^TestVersions_areKeptForThePartitionThatIsBehind$",
	},
	{
		name: "sixth-http2-window-lost-to-ended", file: "relay/internal/http2/read.go",
		old:     "\tif c.unacked += size; c.unacked >= ownWindow/2 {",
		new:     "\tif c.streams[f.StreamID] != nil {\n\t\tc.unacked += size\n\t}\n\tif c.unacked >= ownWindow/2 {",
		promise: "Answers to requests that are over do not use up the connection's window.",
		pkg:     "./relay/internal/http2", run: "^TestAnAnswerThatNobodyWaitsForUsesUpNoWindow$",
	},
	{
		name: "sixth-query-tail-floor-stays", file: "relay/internal/query/tail.go",
		old:     "look.whole || slices.ContainsFunc",
		new:     "slices.ContainsFunc",
		promise: "A live tail that goes on shows rows which Postgres puts before the place where it began.",
		pkg:     "./relay/internal/query", run: "^TestTailDay_leavesOutNothingOnceItHasSeenAll$",
	},
	{
		name: "sixth-doctor-ok-hides-warning", file: "relay/internal/doctor/fanout.go",
		old:     "worst.Grade == \"\" || worst.Grade == OK || f.Grade == Failure",
		new:     "worst.Grade == \"\" || f.Grade == Failure",
		promise: "The doctor tells the worst of the limits of connections.",
		pkg:     "./relay/internal/doctor", run: "^TestConnectionsThatAFleetLacksAreNamed$",
	},
}
