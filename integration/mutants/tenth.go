package main

// tenthMutants are of a sample that was chosen by reading the code, and of what was mended then.
var tenthMutants = []mutant{
	{
		name: "search-terms-of-what-was-attempted", file: "relay/internal/dispatch/recorder.go",
		old: "if row.Attempts == 0 {", new: "if row.Attempts > 0 {",
		promise: "An event that waits and was never attempted is found by the terms of outbox.search.",
		pkg:     "./relay/internal/dispatch", run: "TestTrace_whatWas",
	},
	{
		name: "heal-only-where-all-partitions-are-behind", file: "relay/internal/ledger/partition.go",
		old: "HAVING bool_or(", new: "HAVING bool_and(",
		promise: "What any one partition of a fan-out had not settled when the layout changes is healed.",
		pkg:     "./relay/internal/ledger", run: "TestPublishing_leavesWhatOne",
	},
	{
		name: "rate-is-slow-once-parked", file: "relay/internal/dispatch/park.go",
		old: "			l.evict(dl, l.lateness(now), now)", new: "			l.evict(dl, outbox.ReasonSlow, now)",
		promise: "What waits for too long for its endpoint's rate says so.",
		pkg:     "./relay/internal/dispatch", run: "TestParkAfter_saysWhat",
	},
	{
		name: "rate-is-slow-behind-what-was-parked", file: "relay/internal/dispatch/park.go",
		old: "		return l.lateness(now), now", new: "		return outbox.ReasonSlow, now",
		promise: "What goes to the table behind what waits for its endpoint's rate says so.",
		pkg:     "./relay/internal/dispatch", run: "TestParkAfter_saysWhat",
	},
	{
		name: "rate-is-slow-of-a-chain", file: "relay/internal/dispatch/park.go",
		old: "l.shedChain(dl.chain, l.lateness(now), now)", new: "l.shedChain(dl.chain, outbox.ReasonSlow, now)",
		promise: "What waits in its order for its endpoint's rate says so.",
		pkg:     "./relay/internal/dispatch", run: "TestParkAfter_saysWhat",
	},
	{
		name: "slow-is-its-rate", file: "relay/internal/dispatch/park.go",
		old: "l.limiter.TokensAt(now) < 1", new: "l.limiter.TokensAt(now) < 1000",
		promise: "What waits for answers although its rate would allow more says that.",
		pkg:     "./relay/internal/dispatch", run: "TestParkAfter_saysWhat",
	},
	{
		name: "socks-login-is-the-receivers-fault", file: "relay/internal/egress/proxy.go",
		old: "&RefusalError{text: text + barredText, barred: true}", new: "&RefusalError{text: text + barredText}",
		promise: "A wrong login at the SOCKS proxy does not count against receivers.",
		pkg:     "./relay/internal/egress", run: "TestTunnel_whoIsBarredBySOCKS",
	},
	{
		name: "senders-do-not-see-that-a-heal-is-due", file: "relay/internal/fleet/senders.go",
		old: "\ts.heal(slot.Heal != nil)\n", new: "",
		promise: "In a fan-out endpoints with an order wait while a gap is to be healed, and go on once it is.",
		pkg:     "./relay/internal/fleet", run: "TestASenderSees",
	},
	{
		name: "recent-days-have-a-time", file: "relay/internal/scan/recent.go",
		old: "case s.timeType == \"date\":", new: "case s.timeType == \"day\":",
		promise: "An audit finds lost rows of today where created_at is a date.",
		pkg:     "./relay/internal/scan", run: "TestRecent_hasTheBlocks",
	},
	{
		name: "who-blocks-the-slot-is-looked-for-once", file: "relay/internal/source/postgres/blockers.go",
		old: "\t\t\t\ttimer.Reset(s.opts.WaitNotice)\n", new: "",
		promise: "The operator is told which transactions hold up the creation of the slot, also where a first look did not find them.",
		pkg:     "./relay/internal/source/postgres", run: "TestTheCreationOfASlot",
	},
	{
		name: "minutes-left-are-seconds", file: "relay/internal/api/completeness.go",
		old: " / w.BytesPerSecond / time.Minute.Seconds()", new: " / w.BytesPerSecond / time.Second.Seconds()",
		promise: "minutes_left says in minutes how long it takes until the slot is lost.",
		pkg:     "./relay/internal/api", run: "TestTheMinutes",
	},
	{
		name: "session-leaves-its-key-unused", file: "relay/internal/api/session.go",
		old: "\ts.noteUse(ctx, key)\n", new: "",
		promise: "A key shows when it was last used, also where that was by a session of the panel.",
		pkg:     "./relay/internal/api", run: "TestTheUseOfAKey",
	},
	{
		name: "type-that-is-gone-is-made-anew", file: "relay/internal/api/eventtype.go",
		old: "\tcase in.IfMatch != \"\":\n\t\treturn nil, query.ErrStale\n", new: "",
		promise: "With If-Match a type of events that was deleted meanwhile is not made anew.",
		pkg:     "./relay/internal/api", run: "TestATypeThatIsGone",
	},
	{
		name: "lag-is-all-that-is-kept", file: "relay/internal/query/measure.go",
		old: "pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)", new: "pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)",
		promise: "The metric of the slot's lag says how much WAL the slot has not confirmed.",
		pkg:     "./relay/internal/query", run: "TestWhatASlotHasNotConfirmed",
	},
	{
		name: "emit-leaves-out-when-to-deliver", file: "outbox/emit.go",
		old: "\t\t{\"deliver_at\", timeText(e.DeliverAt)},\n", new: "",
		promise: "An event that Emit writes with DeliverAt is not delivered before that time.",
		pkg:     "./outbox", run: "TestEmitWritesAll",
	},
	{
		name: "circuit-of-one-failure-has-no-default", file: "config/complete.go",
		old: "if e.Circuit.Failures > 0 {", new: "if e.Circuit.Failures > 1 {",
		promise: "A circuit that opens after one failure has the default of reopen, and the configuration is taken.",
		pkg:     "./relay", run: "TestPayloadsAreHeld",
	},
}
