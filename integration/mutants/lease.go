package main

// leaseMutants break who owns a partition of a slot's fan-out, and who may record it.
var leaseMutants = []mutant{
	{
		name:    "lease-counts-from-the-answer",
		file:    "relay/internal/lease/lease.go",
		old:     "l.asked.Store(int64(at))",
		new:     "l.asked.Store(int64(max(at, l.now())))",
		promise: "A process that was stopped does not believe an answer of before.",
		pkg:     "./relay/internal/lease",
		run:     "^TestHeldCountsFromTheQuestion$",
	},
	{
		name:    "lease-hangup-unseen",
		file:    "relay/internal/lease/lease.go",
		old:     "&& l.line.Up()",
		new:     "&& l.line != nil",
		promise: "A sender whose session has ended owns nothing from then on.",
		pkg:     "./relay/internal/lease",
		run:     "^TestALostSessionIsNotHeld$",
	},
	{
		name:    "lease-share-restless",
		file:    "relay/internal/lease/share.go",
		old:     "cmp.Compare(counts[b], counts[a])",
		new:     "cmp.Compare(counts[a], counts[b])",
		promise: "Partitions come to rest, and none moves but what has to.",
		pkg:     "./relay/internal/lease",
		run:     "^TestShare",
	},
	{
		name:    "lease-taken-while-publishing-ends",
		file:    "relay/internal/ledger/partition.go",
		old:     "  AND p.partitions = @partitions\n  AND @partitions > 0\n",
		new:     "  AND @partitions > 0\n",
		promise: "No sender records beside a holder that delivers itself.",
		pkg:     "./relay/internal/ledger",
		run:     "^TestTakePartition_isRefusedWhereThatEndsMeanwhile$",
	},
	{
		name:    "lease-left-behind-unasked",
		file:    "relay/internal/ledger/partition.go",
		old:     "    FOR NO KEY UPDATE\n)",
		new:     "    FOR KEY SHARE\n)",
		promise: "What senders have recorded counts, and a heal begins where the last of them was.",
		pkg:     "./relay/internal/ledger",
		run:     "^TestPublishing_nowhereDeposesAllSenders$",
	},
}
