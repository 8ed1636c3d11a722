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
}
