package main

// fanoutMutants are of relays that deliver together.
var fanoutMutants = []mutant{
	{
		name: "fanout-settled-before-it-is-stored", file: "relay/internal/dispatch/dispatch.go",
		old:     "\treturn func() { d.recorder.add(item{kind: itemPassedOn, dl: dl}) }",
		new:     "\td.recorder.add(item{kind: itemPassedOn, dl: dl})\n\treturn func() {}",
		promise: "The slot lets go only of what others find in their streams.",
		pkg:     "./relay/internal/dispatch", run: "^TestWhatOthersDeliver",
	},
	{
		name: "fanout-awaited-is-not-recorded", file: "relay/internal/dispatch/recorder.go",
		old:     "b.Passing = r.recorded >= min(source.Position(r.d.awaited.Load()), settled)",
		new:     "b.Passing = true",
		promise: "A partition that gets nothing records how far it is when somebody waits for that.",
		pkg:     "./relay/internal/dispatch", run: "^TestAnAwaitedPositionIsRecorded$",
	},
	{
		name: "fanout-nobody-flushes", file: "relay/internal/intake/intake.go",
		old:     "if room != nil && i.elsewhere != nil {",
		new:     "if room == nil && i.elsewhere != nil {",
		promise: "A transaction that is larger than what may be on its way is published before its end.",
		pkg:     "./relay/internal/intake", run: "^TestWhatOthersDeliver",
	},
	{
		name: "fanout-end-is-not-waited-for", file: "relay/internal/intake/intake.go",
		old:     "\t\ti.elsewhere.Commit(tx, i.pending(i.counts))\n",
		new:     "\t\ti.elsewhere.Commit(tx, nil)\n",
		promise: "A transaction is settled for the slot once its end is stored too.",
		pkg:     "./relay/internal/intake", run: "^TestWhatOthersDeliver",
	},
	{
		name: "fanout-due-is-not-waited-for", file: "relay/internal/intake/intake.go",
		old:     "i.elsewhere.Due(id, i.pending(i.counts))",
		new:     "i.elsewhere.Due(id, func() {})",
		promise: "That rows are due is kept as well as an event.",
		pkg:     "./relay/internal/intake", run: "^TestWhatOthersDeliver",
	},
	{
		name: "fanout-barriers-wait-for-the-slot-alone", file: "relay/internal/fleet/reader.go",
		old:     "p.o.Barriers.Settled(min(source.Position(settled), p.o.Acked()))",
		new:     "p.o.Barriers.Settled(max(source.Position(settled), p.o.Acked()))",
		promise: "The audit takes nothing for missing that a sender is about to deliver.",
		pkg:     "./integration", run: "^TestAnAuditWaitsForSenders$",
	},
	{
		name: "fanout-recorded-is-taken-for-earlier", file: "relay/internal/heal/sweep.go",
		old:     " && a.Position.Partitions == 0 && !q.ofPartitions()",
		new:     "",
		promise: "What partitions of before have recorded is not delivered again.",
		pkg:     "./integration", run: "^TestAFleetIsLeftAndMade$",
	},
	{
		name: "fanout-each-holder-waits-for-nats", file: "relay/internal/fleet/fleet.go",
		old:     "tooLong(fan.Cut(), cfg.Fanout.Hold)",
		new:     "tooLong(time.Time{}, cfg.Fanout.Hold)",
		promise: "Where NATS is away, the slot waits for it once, not once for each process that takes it.",
		pkg:     "./integration", run: "^TestAFleetSaysWhoHasWhat$",
	},
	{
		name: "fanout-former-partitions-are-left", file: "relay/internal/fleet/reader.go",
		old:     "case source.Position(settled) >= o.Begin:",
		new:     "case source.Position(settled) < o.Begin:",
		promise: "Another number of partitions begins where those of before have recorded all that they had.",
		pkg:     "./integration", run: "^TestAFleetGetsAnotherNumberOfPartitions$",
	},
	{
		name: "fanout-versions-of-the-slot", file: "relay/internal/ledger/version.go",
		old:     "const leastSQL = `(SELECT min(p.settled_lsn)",
		new:     "const leastSQL = `(SELECT max(p.settled_lsn) + 1000000000000::numeric",
		promise: "A sender that is behind finds endpoints as they were there.",
		pkg:     "./relay/internal/ledger", run: "^TestVersions_areKeptForThePartitionThatIsBehind$",
	},
	{
		name: "fanout-nobody-gives-back", file: "relay/internal/fleet/senders.go",
		old:     "\tfor _, p := range release {",
		new:     "\tfor _, p := range release[:0] {",
		promise: "A relay that joins a fleet gets its share.",
		pkg:     "./integration", run: "^TestAFleetSharesTheSending$",
	},
}
