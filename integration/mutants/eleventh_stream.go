package main

// eleventhStreamMutants are of the ways from the stream, and from the table, into the queue.
var eleventhStreamMutants = []mutant{
	{
		name: "eleventh-day-is-deleted-as-it-begins", file: "relay/internal/scan/rows.go",
		old: `"old": s.begin(before)`, new: `"old": before`,
		promise: "Retention keeps a row that says but its day until that day is as old.",
		pkg:     "./relay/internal/ledger", run: "TestDelete_keepsADay",
	},
	{
		name: "eleventh-day-is-uncounted", file: "relay/internal/scan/table.go",
		old: `"since": nullTime(t.begin(rg.Since))`, new: `"since": nullTime(rg.Since)`,
		promise: "A replay counts the day that it begins within.",
		pkg:     "./relay/internal/upkeep", run: "TestAReplayQueuesWhatItsRangeHas",
	},
	{
		name: "eleventh-day-is-left-out-of-an-order", file: "relay/internal/scan/rows.go",
		old: `"since": nullTime(s.begin(r.Since))`, new: `"since": nullTime(r.Since)`,
		promise: "A replay in an order has the day that it begins within.",
		pkg:     "./relay/internal/upkeep", run: "TestAReplayQueuesWhatItsRangeHas",
	},
	{
		name: "eleventh-day-before-midnight", file: "relay/internal/scan/table.go",
		old: " - interval '1 microsecond')", new: ")",
		promise: "A replay since midnight has nothing of the day before.",
		pkg:     "./relay/internal/upkeep", run: "TestAReplayQueuesWhatItsRangeHas",
	},
	{
		name: "eleventh-date-that-is-no-timestamp", file: "relay/internal/scan/table.go",
		old: `"CASE WHEN " + column + " >= '294276-12-31' THEN 'infinity' WHEN "`, new: `"CASE WHEN "`,
		promise: "A date that is no timestamp keeps no replay from being counted.",
		pkg:     "./relay/internal/scan", run: "TestRows_haveTimesOfTheirZone",
	},
	{
		name: "eleventh-audited-without-terms", file: "relay/internal/heal/judge.go",
		old: "NextAttemptAt: now, Search: terms}", new: "NextAttemptAt: now, Search: terms[:0]}",
		promise: "What an audit has wait is found by its terms.",
		pkg:     "./relay/internal/heal", run: "TestWhatAnAuditMakesOfARow",
	},
	{
		name: "eleventh-replayed-without-terms", file: "relay/internal/upkeep/replay.go",
		old: "NextAttemptAt: now, Search: terms}", new: "NextAttemptAt: now, Search: terms[:0]}",
		promise: "What a replay has wait is found by its terms.",
		pkg:     "./relay/internal/upkeep", run: "TestAReplayQueuesWhatItsRangeHas",
	},
	{
		name: "eleventh-read-again-without-terms", file: "relay/internal/upkeep/rejected.go",
		old: "NextAttemptAt: now, Search: terms}", new: "NextAttemptAt: now, Search: terms[:0]}",
		promise: "What was read again is found by its terms.",
		pkg:     "./relay/internal/upkeep", run: "TestAnEventThatIsReadAgainKeeps",
	},
	{
		name: "eleventh-found-without-terms", file: "relay/internal/ledger/audit.go",
		old: "@now, @now, @search::text[], @deliver_at", new: "@now, @now, NULL, @deliver_at",
		promise: "Terms of what an audit found are written.",
		pkg:     "./relay/internal/ledger", run: "TestQueue_ofWhatIsFound",
	},
	{
		name: "eleventh-replay-writes-no-terms", file: "relay/internal/ledger/replay.go",
		old: "@now, @now, @search::text[], @deliver_at", new: "@now, @now, NULL, @deliver_at",
		promise: "Terms of what a replay queues are written.",
		pkg:     "./relay/internal/ledger", run: "TestQueue_ofWhatIsFound",
	},
	{
		name: "eleventh-term-that-is-no-text", file: "relay/internal/ledger/audit.go",
		old: "found = append(found, w.storable(w.known(term)))", new: "_, found = w, append(found, term)",
		promise: "A term that the database cannot have keeps nothing from the queue.",
		pkg:     "./relay/internal/ledger", run: "TestQueue_ofWhatIsFound",
	},
	{
		name: "eleventh-term-of-another-encoding", file: "relay/internal/ledger/pgwire.go",
		old: `ascii: encoding != "UTF8" && !raw}`, new: "ascii: false}",
		promise: "A character that the database does not know keeps nothing from being written.",
		pkg:     "./relay/internal/ledger", run: "TestRecord_writesASCII",
	},
	{
		name: "eleventh-audit-by-no-terms", file: "relay/hold.go",
		old: "Terms: terms, Ended: h.r.rare.Audited", new: "Ended: h.r.rare.Audited",
		promise: "What an audit finds has the terms of the configuration.",
		pkg:     "./integration", run: "TestExtraColumns",
	},
	{
		name: "eleventh-replay-by-no-terms", file: "relay/hold.go",
		old: "Terms: terms, Retention: func()", new: "Retention: func()",
		promise: "What a replay queues has the terms of the configuration.",
		pkg:     "./relay", run: "TestReplaysQueueWhat",
	},
	{
		name: "eleventh-backfill-of-who-wants-more", file: "relay/internal/heal/judge.go",
		old: "return !r.CreatedAt.After(s.Position.StartedAt)", new: "return !r.Since.After(s.Position.StartedAt)",
		promise: "A backfill goes to an endpoint whose subscriptions were changed since.",
		pkg:     "./relay/internal/heal", run: "TestWhoIsEntitledToWhatABackfillHas",
	},
	{
		name: "eleventh-glance-is-an-audit", file: "relay/internal/heal/audit.go",
		old: "ended.Before, ended.Horizon = time.Time{}, scan.Horizon{}", new: "ended.Horizon = scan.Horizon{}",
		promise: "A glance does not say that all of the table was audited.",
		pkg:     "./relay/internal/heal", run: "TestAfterACrashOnlyTheNewest",
	},
	{
		name: "eleventh-partition-beyond-the-last", file: "relay/internal/lease/survey.go",
		old: "k.Number >= int64(l.opts.Partitions)", new: "k.Number > int64(l.opts.Partitions)",
		promise: "A lock beyond the last partition is no partition.",
		pkg:     "./relay/internal/lease", run: "TestAnApplicationsLockIsNoMembers",
	},
	{
		name: "eleventh-type-as-long-as-may-be", file: "relay/internal/ledger/stats.go",
		old: "if len(name) <= maxType {", new: "if len(name) < maxType {",
		promise: "A type of exactly two hundred bytes is counted.",
		pkg:     "./relay/internal/ledger", run: "TestRecord_countsByTypeAndClass",
	},
	{
		name: "eleventh-sealing-key-behind-the-first", file: "relay/reload.go",
		old: "return slices.EqualFunc(a.Keys, b.Keys, config.Secret.Equal)", new: "return len(a.Keys) > 0 == (len(b.Keys) > 0) && (len(a.Keys) == 0 || a.Keys[0].Equal(b.Keys[0]))",
		promise: "A reload that adds a second sealing key opens what is sealed with it.",
		pkg:     "./relay", run: "TestAnotherSealingKeyIsNoticed",
	},
	{
		name: "eleventh-pause-of-a-row-never-seen", file: "relay/hold.go",
		old: "	feed.Note(endpoints)\n", new: "",
		promise: "The first pause of an endpoint of the configuration after a start takes effect.",
		pkg:     "./relay", run: "TestARelayGoesOnWhereItWas",
	},
	{
		name: "eleventh-pause-in-a-partition-of-a-row-never-seen", file: "relay/internal/fleet/partition.go",
		old: "	feed.Note(endpoints)\n", new: "",
		promise: "The first pause of an endpoint of the configuration after a partition was taken takes effect.",
		pkg:     "./relay", run: "TestAPartitionIsDeliveredAsASlotIs",
	},
	{
		name: "eleventh-reload-logged-before-it-is-counted", file: "relay/reload.go",
		old: "\tr.rare.Reloaded(!taken)", new: "\tdefer r.rare.Reloaded(!taken)",
		promise: "Who reads in the log of a reload finds it in the metrics.",
		pkg:     "./relay", run: "TestWhoReadsOfAReload",
	},
	{
		name: "eleventh-init-of-a-server-that-does-not-decode", file: "outbox/schema/find.go",
		old: "return pglink.Decodes(server.Version, server.Level), nil", new: "return pglink.Decodes(server.Version, \"logical\"), nil",
		promise: "init says that the server does not decode its log yet, and what to do.",
		pkg:     "./cmd/tailpost", run: "TestInitSays",
	},
}
