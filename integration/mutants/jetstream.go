package main

// jetstreamMutants break what the streams of a fan-out promise.
var jetstreamMutants = []mutant{
	{
		name:    "jetstream-deposed-reader-heard",
		file:    "relay/internal/source/jetstream/replay.go",
		old:     "case h.Epoch < r.epoch:",
		new:     "case h.Epoch < r.epoch && h.Number == 0:",
		promise: "What a deposed reader publishes after its successor is ignored.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestADeposedReaderIsIgnored",
	},
	{
		name: "jetstream-deposed-messages-purged",
		file: "relay/internal/source/jetstream/replay.go",
		old: `	r.keep.ignored(last)
`,
		new: `	_ = last
`,
		promise: "A deposed reader's message stays until what it has is settled, so that nobody begins in its middle.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestWhatADeposedReaderHasIsKept",
	},
	{
		name:    "jetstream-another-stream-read-on",
		file:    "relay/internal/source/jetstream/source.go",
		old:     "known := s.last == 0",
		new:     "known := s.last == 0 || s.last != 0",
		promise: "A stream that comes back from an older store is read from its first message on.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestAServerComesBackFromAnOlderStore",
	},
	{
		name:    "jetstream-open-transaction-purged",
		file:    "relay/internal/source/jetstream/keep.go",
		old:     "	if open {",
		new:     "	if open && sequence == 0 {",
		promise: "No message with a part of a transaction that is not settled is purged.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestNothingIsPurgedThatIsNotSettled|TestAMessageIsKeptUntilItsTransactionEnds",
	},
	{
		name: "jetstream-unanswered-taken-for-stored",
		file: "relay/internal/source/jetstream/publish.go",
		old: `		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
`,
		new: `		if ctx.Err() == nil {
			return nil
		}
`,
		promise: "A message that was refused or not answered is published again until it is stored.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestAServerIsRestartedWhilePublishing",
	},
	{
		name:    "jetstream-event-of-the-former-reader-twice",
		file:    "relay/internal/source/jetstream/replay.go",
		old:     "if !r.brings() || w.Seq <= r.half.seq {",
		new:     "if !r.brings() {",
		promise: "A transaction that its reader left open goes on with the next one behind its last event.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestAReaderContinuesWhereItsPredecessorEnded",
	},
}
