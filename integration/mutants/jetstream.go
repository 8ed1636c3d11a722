package main

// jetstreamMutants break what the streams of a fan-out promise.
var jetstreamMutants = []mutant{
	{
		name:    "jetstream-deposed-reader-heard",
		file:    "relay/internal/source/jetstream/replay.go",
		old:     "case by.before(r.by):",
		new:     "case by.before(r.by) && h.Number == 0:",
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
		name:    "jetstream-another-database-heard",
		file:    "relay/internal/source/jetstream/replay.go",
		old:     "case by.Origin != r.opts.Origin:",
		new:     "case by.Origin == \"\":",
		promise: "What was published for a database that is gone is not sent, and nothing is ignored for its sake.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestWhoPublishedDecidesWhatIsBrought",
	},
	{
		name:    "jetstream-epochs-of-two-timelines-compared",
		file:    "relay/internal/source/jetstream/publisher.go",
		old:     "return b.Timeline < o.Timeline || b.Timeline == o.Timeline && b.Epoch < o.Epoch",
		new:     "return b.Epoch < o.Epoch",
		promise: "A promoted standby is heard although the former primary had higher epochs.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestWhoPublishedDecidesWhatIsBrought",
	},
	{
		name:    "jetstream-recorded-before-a-promotion-is-sent-again",
		file:    "relay/internal/source/jetstream/replay.go",
		old:     "if by.Timeline <= r.opts.Timeline {",
		new:     "if by.Timeline == r.opts.Timeline {",
		promise: "What was recorded before a standby was promoted is not sent again.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestWhoPublishedDecidesWhatIsBrought",
	},
	{
		name:    "jetstream-ids-of-another-database",
		file:    "relay/internal/source/jetstream/publish.go",
		old:     `fmt.Sprintf("%s-%d-%d-%d", p.opts.Origin, p.opts.Timeline,`,
		new:     `fmt.Sprintf("%d-%d-%d", p.opts.Timeline,`,
		promise: "A stream does not take a message for one that a database which is gone published.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestTheSameNumbersOfAnotherDatabaseAreStored",
	},
	{
		name:    "jetstream-published-behind-a-later-hold",
		file:    "relay/internal/source/jetstream/streams.go",
		old:     "if err != nil || h.Origin != by.Origin || h.by().before(by) {",
		new:     "if err != nil || h.Origin != by.Origin || h.Epoch != by.Epoch {",
		promise: "A relay of a restored database says that its streams would have it ignored, and does not publish.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestNothingIsPublishedBehindALaterHold",
	},
	{
		name:    "jetstream-other-routing-brought",
		file:    "relay/internal/source/jetstream/replay.go",
		old:     "h.Routing > r.opts.Routing()",
		new:     "h.Routing > r.opts.Routing()+1",
		promise: "What was routed by endpoints that a sender does not know is left to others.",
		pkg:     "./relay/internal/source/jetstream",
		run:     "TestWhatIsRoutedByOtherEndpointsIsLeftToOthers",
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
