package main

// coreMutants break what source, intake, upkeep, heal and the relay promise.
var coreMutants = []mutant{
	{
		name:    "core-frontier-passes-open",
		file:    "relay/internal/source/frontier.go",
		old:     "tx.unsettled.Store(1)",
		new:     "tx.unsettled.Store(0)",
		promise: "The frontier never passes a transaction that is still being read.",
		pkg:     "./relay/internal/source",
		run:     "TestFrontier$",
	},
	{
		name:    "core-frontier-passes-unsettled",
		file:    "relay/internal/source/frontier.go",
		old:     "f.first != nil && f.first.unsettled.Load() == 0",
		new:     "f.first != nil && f.first.unsettled.Load() <= 1",
		promise: "The frontier never passes a transaction with an unsettled delivery.",
		pkg:     "./relay/internal/source",
		run:     "TestFrontier$",
	},
	{
		name: "core-frontier-keepalive-overtakes",
		file: "relay/internal/source/frontier.go",
		old: `	if f.last != nil {
`,
		new: `	if f.last != nil && f.last.unsettled.Load() == 0 {
`,
		promise: "A keepalive never overtakes what was committed before it and is not settled.",
		pkg:     "./relay/internal/source",
		run:     "TestFrontier",
	},
	{
		name:    "core-frontier-goes-back",
		file:    "relay/internal/source/frontier.go",
		old:     "f.frontier = max(f.frontier, tx.end)",
		new:     "f.frontier = tx.end",
		promise: "The frontier never goes back.",
		pkg:     "./relay/internal/source",
		run:     "TestFrontier$",
	},
	{
		name:    "core-frontier-oldest-forgotten",
		file:    "relay/internal/source/frontier.go",
		old:     "return f.first.at",
		new:     "return f.at",
		promise: "The age of the oldest unsettled transaction is known.",
		pkg:     "./relay/internal/source",
		run:     "TestFrontier",
	},
	{
		name:    "core-barrier-passes-unsettled",
		file:    "relay/internal/source/barrier.go",
		old:     "b.seen[0].end <= frontier",
		new:     "b.seen[0].end <= frontier+1",
		promise: "A barrier is passed once everything up to its end is settled, not before.",
		pkg:     "./relay/internal/source",
		run:     "TestABarrierIsPassed",
	},
	{
		name:    "core-barrier-passes-when-read",
		file:    "relay/internal/source/barrier.go",
		old:     "b.seen = append(b.seen, barrier{end: end, settled: settled})",
		new:     "settled <- end",
		promise: "A barrier that was only read is not passed.",
		pkg:     "./relay/internal/source",
		run:     "TestABarrierIsPassed",
	},
	{
		name:    "core-barrier-of-another-hold",
		file:    "relay/internal/source/barrier.go",
		old:     `fmt.Sprintf("%d/%d", b.epoch, b.sent)`,
		new:     `fmt.Sprintf("%d/%d", 0*b.epoch, b.sent)`,
		promise: "A barrier of an earlier hold, which the stream brings again, passes nothing.",
		pkg:     "./relay/internal/source",
		run:     "TestABarrierIsPassed",
	},
	{
		name:    "core-barrier-passes-all",
		file:    "relay/internal/source/barrier.go",
		old:     "for len(b.seen) > 0 && b.seen[0].end <= frontier {",
		new:     "for len(b.seen) > 0 && b.seen[0].end-b.seen[0].end <= frontier {",
		promise: "Each barrier waits for its own end.",
		pkg:     "./relay/internal/source",
		run:     "TestABarrierIsPassed",
	},
	{
		name:    "core-events-skip-too-much",
		file:    "relay/internal/source/postgres/events.go",
		old:     "e.settled = e.tx.Commit < e.opts.Settled",
		new:     "e.settled = e.tx.Commit <= e.opts.Settled",
		promise: "A transaction that begins where the frontier is was not settled, and is delivered.",
		pkg:     "./relay/internal/intake",
		run:     "TestATransactionThatIsSettledBringsNothingAgain",
	},
	{
		name:    "core-events-skip-nothing",
		file:    "relay/internal/source/postgres/events.go",
		old:     "e.settled = e.tx.Commit < e.opts.Settled",
		new:     "e.settled = false",
		promise: "A transaction that is settled brings nothing again.",
		pkg:     "./relay/internal/intake",
		run:     "TestATransactionThatIsSettledBringsNothingAgain",
	},
	{
		name:    "core-events-messages-again",
		file:    "relay/internal/source/postgres/events.go",
		old:     "prefix != e.opts.Messages || e.settled",
		new:     "prefix != e.opts.Messages",
		promise: "A logical message of a settled transaction is not sent again.",
		pkg:     "./relay/internal/intake",
		run:     "TestATransactionThatIsSettledBringsNothingAgain",
	},
	{
		name:    "core-events-place-kept",
		file:    "relay/internal/source/postgres/events.go",
		old:     "e.seq, e.passed = 0, e.passed[:0]",
		new:     "e.passed = e.passed[:0]",
		promise: "An event has the same identity however often the stream is read.",
		pkg:     "./relay/internal/intake",
		run:     "TestEventsHaveTheirPlace",
	},
	{
		name:    "core-events-barrier-skipped",
		file:    "relay/internal/source/postgres/events.go",
		old:     `if m.Mark != "" {`,
		new:     `if m.Mark != "" && !e.settled {`,
		promise: "A barrier in a settled transaction is seen too.",
		pkg:     "./relay/internal/intake",
		run:     "TestEveryBarrier",
	},
	{
		name:    "core-events-take-any-own-message",
		file:    "relay/internal/source/postgres/events.go",
		old:     "if err != nil || !ev.Operational() {",
		new:     "if err != nil {",
		promise: "Only operational events travel under our own prefix.",
		pkg:     "./relay/internal/intake",
		run:     "TestMessagesThatAreNotOurs",
	},
	{
		name: "core-events-take-unrecordable",
		file: "relay/internal/source/postgres/events.go",
		old: `err = source.Unrecordable(&ev)
	}
	if err != nil &&`,
		new: `_ = source.Unrecordable(&ev)
	}
	if err != nil &&`,
		promise: "An event whose id, key, type or tenant cannot be stored is recorded as dead, and stops nothing.",
		pkg:     "./relay/internal/intake",
		run:     "TestWhatCannotBeDelivered",
	},
	{
		name: "core-events-place-of-invalid",
		file: "relay/internal/source/postgres/events.go",
		old: `	e.seq++
	if err != nil {
		e.to.Invalid(ev, err)
		return
	}
`,
		new: `	if err != nil {
		e.to.Invalid(ev, err)
		return
	}
	e.seq++
`,
		promise: "What cannot be delivered has a place of its own in its transaction.",
		pkg:     "./relay/internal/intake",
		run:     "TestWhatCannotBeDelivered",
	},
	{
		name: "core-intake-reads-while-draining",
		file: "relay/internal/intake/intake.go",
		old: `	case <-i.stopping:
		return make(chan struct{}) // never: draining
`,
		new:     "",
		promise: "Nothing is read while the relay drains.",
		pkg:     "./relay/internal/intake",
		run:     "TestNothingIsRead",
	},
	{
		name: "core-intake-rows-after-event",
		file: "relay/internal/intake/intake.go",
		old: `func (i *Intake) Event(ev outbox.Event) {
	i.endpoints.flush(i.counts)
`,
		new: `func (i *Intake) Event(ev outbox.Event) {
	defer i.endpoints.flush(i.counts)
`,
		promise: "An endpoint made in a transaction gets the events that follow in it.",
		pkg:     "./relay/internal/intake",
		run:     "TestAnEndpointHasItsStatus",
	},
	{
		name:    "core-intake-due-kept",
		file:    "relay/internal/intake/intake.go",
		old:     "i.tx, i.due = tx, i.due[:0]",
		new:     "i.tx = tx",
		promise: "An operation that was asked for once is looked at once.",
		pkg:     "./relay/internal/intake",
		run:     "TestRowsOfEndpoints",
	},
	{
		name: "core-intake-asked-dropped",
		file: "relay/internal/intake/intake.go",
		old: `		i.upkeep.Asked()
`,
		new:     "",
		promise: "What a person asks for is looked at when the stream brings it.",
		pkg:     "./relay/internal/intake",
		run:     "TestRowsOfEndpoints",
	},
	{
		name: "core-intake-unnoticed-progress",
		file: "relay/internal/intake/intake.go",
		old: `	i.upkeep.Moved(p)
	i.frontier.Keepalive(p)`,
		new:     "\ti.frontier.Keepalive(p)",
		promise: "The publication is looked at while WAL is written that the stream does not bring.",
		pkg:     "./relay/internal/intake",
		run:     "TestTheFrontierWaits",
	},
	{
		name:    "core-feed-config-deleted-by-row",
		file:    "relay/internal/intake/feed.go",
		old:     "} else if s.parser.Source(row.Values) == ledger.SourceAPI {",
		new:     `} else if s.parser.Source(row.Values) != "" {`,
		promise: "An endpoint of the configuration goes with the configuration, not with its row.",
		pkg:     "./relay/internal/intake",
		run:     "TestARowThatCannotBeRead",
	},
	{
		name: "core-feed-status-late",
		file: "relay/internal/intake/feed.go",
		old: `		s.flush(tx)
		s.dispatcher.SetState`,
		new:     "\t\ts.dispatcher.SetState",
		promise: "A status that follows a change of its endpoint takes effect behind it.",
		pkg:     "./relay/internal/intake",
		run:     "TestAnEndpointHasItsStatus",
	},
	{
		name:    "core-feed-status-again",
		file:    "relay/internal/intake/feed.go",
		old:     "case old.status != row.Status:",
		new:     "case true:",
		promise: "An update that changes no status resets no state.",
		pkg:     "./relay/internal/intake",
		run:     "TestRowsOfEndpoints",
	},
	{
		name:    "core-stream-acks-unsent",
		file:    "relay/internal/source/postgres/read.go",
		old:     "return max(s.floor, min(outbox.LSN(s.acked.Load()), s.seen))",
		new:     "return max(s.floor, outbox.LSN(s.acked.Load()))",
		promise: "The slot is never told a position beyond what was streamed.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestAnAckNeverGoesBack",
	},
	{
		name:    "core-stream-keepalive-inside",
		file:    "relay/internal/source/postgres/read.go",
		old:     "if !s.decoder.inside {",
		new:     "if true {",
		promise: "A keepalive in the middle of a transaction says nothing about that transaction.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestAKeepaliveInside",
	},
	{
		name:    "core-stream-reads-without-room",
		file:    "relay/internal/source/postgres/read.go",
		old:     "if room := h.Ready(); room != nil {",
		new:     "if room := h.Ready(); room != nil && s.reads == 0 {",
		promise: "Nothing is read while there is no room.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestGate",
	},
	{
		name:    "core-stream-silence-unnoticed",
		file:    "relay/internal/source/postgres/read.go",
		old:     "silent > s.opts.ReplyTimeout",
		new:     "silent > 100*s.opts.ReplyTimeout",
		promise: "A server that falls silent is given up.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestServerFallsSilent",
	},
	{
		name:    "core-stream-stale-contact",
		file:    "relay/internal/source/postgres/contact.go",
		old:     "!c.asks[n].After(sent)",
		new:     "true",
		promise: "What a server sent before we were stopped does not say that it still knows us.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestContact|TestStale",
	},
	{
		name:    "core-stream-late-contact",
		file:    "relay/internal/source/postgres/contact.go",
		old:     "return received.Add(-late)",
		new:     "_ = late\n\treturn received",
		promise: "What was read late was sent earlier.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestContact|TestStale",
	},
	{
		name:    "core-stream-held-for-ever",
		file:    "relay/internal/source/postgres/stream.go",
		old:     "time.Since(s.contact.at()) >= t",
		new:     "time.Since(s.contact.at()) >= 100*t",
		promise: "A relay that the server has given up does not believe that it holds the slot.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestTheSlotIsHeld",
	},
	{
		name:    "core-stream-ack-goes-back",
		file:    "relay/internal/source/postgres/stream.go",
		old:     "if uint64(lsn) <= old {",
		new:     "if uint64(lsn) == old {",
		promise: "An acknowledgement never goes back.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestAnAckNeverGoesBack",
	},
	{
		name:    "core-decode-unchanged-lost",
		file:    "relay/internal/source/postgres/decode.go",
		old:     "if row[i].Kind == outbox.UnchangedTOAST {",
		new:     "if row[i].Kind == outbox.NullValue {",
		promise: "A long value that an update leaves alone is not lost.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestUpdateTakes",
	},
	{
		name:    "core-decode-rolled-back-message",
		file:    "relay/internal/source/postgres/decode.go",
		old:     "if flags&flagTransactional == 0 {",
		new:     "if flags&flagTransactional != flags {",
		promise: "A logical message outside its transaction is no event.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestStreamsLogical",
	},
	{
		name:    "core-decode-another-commit",
		file:    "relay/internal/source/postgres/decode.go",
		old:     "case commit != d.tx.CommitLSN:",
		new:     "case commit < d.tx.CommitLSN:",
		promise: "A stream that mixes transactions up is not believed.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestDecodeRefuses",
	},
	{
		name: "core-slot-lost-not-replaced",
		file: "relay/internal/source/postgres/slot.go",
		old: `	if have.lost == "" && row["wal_status"] == "lost" {
		have.lost = "wal_removed"
	}
`,
		new:     "",
		promise: "A slot whose WAL Postgres has removed is known to be lost.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestSlotLost",
	},
	{
		name:    "core-slot-replace-held",
		file:    "relay/internal/source/postgres/slot.go",
		old:     `s.opts.Replace && have.activePID == ""`,
		new:     "s.opts.Replace",
		promise: "A slot that somebody holds is not taken away.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestReplaceMakes",
	},
	{
		name: "core-publication-partial-kept",
		file: "relay/internal/source/postgres/publication.go",
		old: `	if have.partial {
		all = append(all, "it has a column list or a row filter")
	}
`,
		new:     "",
		promise: "A publication with a row filter is mended, or refused.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestPublicationIsMended",
	},
	{
		name:    "core-hangup-only-when-read",
		file:    "relay/internal/hangup/hangup_linux.go",
		old:     "unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR | unix.POLLNVAL",
		new:     "unix.POLLHUP | unix.POLLERR | unix.POLLNVAL",
		promise: "A peer that hung up is noticed although bytes wait to be read.",
		pkg:     "./relay/internal/hangup",
		run:     "TestUp",
	},
	{
		name: "core-hangup-forgets",
		file: "relay/internal/hangup/hangup.go",
		old: `		l.gone.Store(true) // an error: we closed it
`,
		new:     "",
		promise: "Once a connection is down it stays down.",
		pkg:     "./relay/internal/hangup",
		run:     "TestUp",
	},
	{
		name: "core-publication-watch-blind-while-looking",
		file: "relay/internal/upkeep/publication.go",
		old: `		w.dirty.Store(false)
		identity, err := w.look(ctx)
`,
		new: `		identity, err := w.look(ctx)
		w.dirty.Store(false)
`,
		promise: "A change of the publication during a look is noticed by the next one.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestWALThatIsWritten",
	},
	{
		name: "core-publication-watch-any-error",
		file: "relay/internal/upkeep/publication.go",
		old: `		case err != nil:
`,
		new: `		case err != nil && identity != "":
`,
		promise: "A look that fails ends no hold.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestALookThatFails",
	},
	{
		name: "core-publication-watch-polls",
		file: "relay/internal/upkeep/publication.go",
		old: `	if p <= w.last {
		return
	}
`,
		new:     "",
		promise: "Nothing is looked at while no WAL is written.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestThePublicationIsLookedAt",
	},
	{
		name: "core-publication-watch-gives-up",
		file: "relay/internal/upkeep/publication.go",
		old: `			w.dirty.Store(true)
			w.wake.Set()
`,
		new:     "",
		promise: "A look that failed is made again.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestALookThatFails",
	},
	{
		name: "core-operations-one-stops-all",
		file: "relay/internal/upkeep/operations.go",
		old: `			err = errors.Join(err, fmt.Errorf("%s: %w", op.id, failure))
`,
		new: `			return true, moved, fmt.Errorf("%s: %w", op.id, failure)
`,
		promise: "What fails does not keep the others from going on.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestOperationsGoOnBeside",
	},
	{
		name: "core-operations-deposed-goes-on",
		file: "relay/internal/upkeep/operations.go",
		old: `		case ctx.Err() != nil, errors.Is(err, ledger.ErrDeposed):
`,
		new: `		case ctx.Err() != nil:
`,
		promise: "A relay that was deposed carries out nothing more.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestOperationsEnd",
	},
	{
		name: "core-operations-over-is-failure",
		file: "relay/internal/upkeep/operations.go",
		old: `			went = true
`,
		new: `			went = false
`,
		promise: "What was cancelled does not delay the others.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestOperationsLookForMore",
	},
	{
		name: "core-operations-poll",
		file: "relay/internal/upkeep/operations.go",
		old: `		if waiting || err != nil {
`,
		new: `		if waiting || err != nil || true {
`,
		promise: "Nothing is asked of the database while nothing is asked for.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestOperationsTakeTurns",
	},
	{
		name: "core-operations-no-turns",
		file: "relay/internal/upkeep/operations.go",
		old: `		moved = moved || went
`,
		new: `		if moved = moved || went; moved {
			break
		}
`,
		promise: "A long operation does not keep the others waiting.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestOperationsTakeTurns",
	},
	{
		name: "core-summaries-counted-again",
		file: "relay/internal/upkeep/summaries.go",
		old: `		s.recorded = 0
`,
		new:     "",
		promise: "Attempts are summarised as they become many, not with every batch.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestAttemptsAreSummarised",
	},
	{
		name:    "core-summaries-without-rest",
		file:    "relay/internal/upkeep/summaries.go",
		old:     "Times: summaryPace",
		new:     "Times: 1",
		promise: "Summaries take a small share of the database.",
		pkg:     "./relay/internal/upkeep",
		run:     "TestSummariesTake",
	},
	{
		name: "core-heal-audit-does-not-wait",
		file: "relay/internal/heal/audit.go",
		old: `	to, err := a.Barriers.Wait(ctx)
	if err != nil {
		return err
	}
`,
		new: `	to := source.Position(1000)
`,
		promise: "An audit looks at the table only once the stream has brought what was committed before.",
		pkg:     "./relay/internal/heal",
		run:     "TestAnAuditWaits",
	},
	{
		name: "core-heal-suspicion-is-enough",
		file: "relay/internal/heal/sweep.go",
		old: `	if _, err := s.Barriers.Wait(ctx); err != nil {
		return read, read, err
	}
`,
		new:     "",
		promise: "What is on its way through the stream is not sent by the audit too.",
		pkg:     "./relay/internal/heal",
		run:     "TestAnAuditWaits",
	},
	{
		name: "core-heal-sound-too-soon",
		file: "relay/internal/heal/audit.go",
		old: `		if q == nil {
			sound()
`,
		new: `		sound()
		if q == nil {
`,
		promise: "Nothing is removed from the table while a gap waits to be healed.",
		pkg:     "./relay/internal/heal",
		run:     "TestAnAuditThatFails",
	},
	{
		name: "core-heal-order-before-gap",
		file: "relay/internal/heal/sweep.go",
		old: `	s.tell()
	s.noteUntold()
`,
		new: `	s.noteUntold()
`,
		promise: "An endpoint with an order gets what a gap lost before what came after it.",
		pkg:     "./relay/internal/heal",
		run:     "TestEndpointsWithAnOrder",
	},
	{
		name: "core-heal-order-held-for-ever",
		file: "relay/internal/heal/audit.go",
		old: `		a.Dispatcher.Healed()
		switch {`,
		new:     "\t\tswitch {",
		promise: "An audit that fails holds no order up.",
		pkg:     "./relay/internal/heal",
		run:     "TestAnAuditThatFails",
	},
	{
		name:    "core-heal-gap-untold",
		file:    "relay/internal/heal/audit.go",
		old:     "if !q.due && gap.Events == 0 {",
		new:     "if gap.Events == 0 || q.due {",
		promise: "Each heal of a gap is a row of tailpost.gap.",
		pkg:     "./relay/internal/heal",
		run:     "TestAnAuditDelivers",
	},
	{
		name: "core-heal-limit-ignored",
		file: "relay/internal/heal/audit.go",
		old: `	return Limit(ctx, a.Ledger, a.Hold.Slot, gap.Now)
`,
		new: `	return nil
`,
		promise: "A relay that finds gap after gap ends and says so.",
		pkg:     "./relay/internal/heal",
		run:     "TestTheRelayEnds",
	},
	{
		name:    "core-heal-limit-one-more",
		file:    "relay/internal/heal/limit.go",
		old:     "len(gaps) <= gapLimit",
		new:     "len(gaps) <= gapLimit+1",
		promise: "The fourth gap within an hour ends the relay.",
		pkg:     "./relay/internal/heal",
		run:     "TestMoreGaps",
	},
	{
		name:    "core-heal-config-not-entitled",
		file:    "relay/internal/heal/judge.go",
		old:     "case r.Config && unread && !s.gapFrom.IsZero() && created.After(s.gapFrom):",
		new:     "case r.Config && unread && !s.gapFrom.IsZero() && created.Before(s.gapFrom):",
		promise: "An endpoint of the configuration gets what nobody had read in a gap.",
		pkg:     "./relay/internal/heal",
		run:     "TestWhoIsEntitled",
	},
	{
		name:    "core-heal-entitled-to-all",
		file:    "relay/internal/heal/judge.go",
		old:     "return !created.Before(r.Since)",
		new:     "return true",
		promise: "An endpoint gets nothing from before it wanted it.",
		pkg:     "./relay/internal/heal",
		run:     "TestWhoIsEntitled",
	},
	{
		name: "core-heal-backlog-of-others",
		file: "relay/internal/heal/judge.go",
		old: `	case known && created.Before(s.floor):
		return false
`,
		new:     "",
		promise: "What is older than the slot is nobody's, but for a backfill.",
		pkg:     "./relay/internal/heal",
		run:     "TestAuditsCome",
	},
	{
		name:    "core-heal-filter-ignored",
		file:    "relay/internal/heal/judge.go",
		old:     "s.ids = s.Dispatcher.Route(s.ids[:0], &ev)",
		new:     "s.ids = s.Dispatcher.Wanting(s.ids[:0], &ev)",
		promise: "A gap delivers only what a filter lets through.",
		pkg:     "./relay/internal/heal",
		run:     "TestAFilter",
	},
	{
		name: "core-heal-bad-row-silent",
		file: "relay/internal/heal/judge.go",
		old: `		if ev.ID == "" {
			return nil // it has`,
		new: `		if ev.ID != "" {
			return nil // it has`,
		promise: "A row of a gap that is no event is a dead delivery with its reason.",
		pkg:     "./relay/internal/heal",
		run:     "TestARowThatIsNoEvent",
	},
	{
		name:    "core-heal-slot-lost-unnoticed",
		file:    "relay/internal/heal/detect.go",
		old:     "looks: on(postgres.ErrSlotLost,",
		new:     "looks: on(postgres.ErrSlotActive,",
		promise: "An invalidated slot is a gap, and made anew.",
		pkg:     "./relay/internal/heal",
		run:     "TestSigns",
	},
	{
		name:    "core-heal-timeline-unnoticed",
		file:    "relay/internal/heal/detect.go",
		old:     "f.Before.Timeline == f.Info.Timeline",
		new:     "f.Before.Timeline <= f.Info.Timeline",
		promise: "A failover is a gap.",
		pkg:     "./relay/internal/heal",
		run:     "TestDetectors",
	},
	{
		name:    "core-heal-table-unnoticed",
		file:    "relay/internal/heal/detect.go",
		old:     `if f.Before.Publication == "" || f.Before.Publication == f.Publication {`,
		new:     `if f.Publication == "" || f.Before.Publication == "" || f.Before.Publication == f.Publication {`,
		promise: "A publication that is gone is a gap.",
		pkg:     "./relay/internal/heal",
		run:     "TestDetectors",
	},
	{
		name:    "core-heal-own-acks-suspicious",
		file:    "relay/internal/heal/detect.go",
		old:     "max(source.Position(f.Before.Settled), f.Acked)",
		new:     "source.Position(f.Before.Settled)",
		promise: "A slot that we have moved ourselves is no gap.",
		pkg:     "./relay/internal/heal",
		run:     "TestDetectors",
	},
	{
		name:    "core-heal-mended-again",
		file:    "relay/internal/heal/detect.go",
		old:     "func (s *Signs) Opened() { s.broken = nil }",
		new:     "func (s *Signs) Opened() {}",
		promise: "A slot that was mended is not replaced once more.",
		pkg:     "./relay/internal/heal",
		run:     "TestSigns",
	},
	{
		name:    "core-heal-standby-remembers",
		file:    "relay/internal/heal/detect.go",
		old:     "func (s *Signs) Forget() { s.broken = nil }",
		new:     "func (s *Signs) Forget() {}",
		promise: "A relay that stands by leaves it to the holder what is wrong with the slot.",
		pkg:     "./relay/internal/heal",
		run:     "TestSigns",
	},
	{
		name:    "core-heal-backfill-is-gap",
		file:    "relay/internal/heal/detect.go",
		old:     "h != nil && h.Why != whyBackfill",
		new:     "h != nil",
		promise: "A backfill is no gap.",
		pkg:     "./relay/internal/heal",
		run:     "TestABackfill",
	},
	{
		name: "core-rows-horizon-of-clocks",
		file: "relay/internal/ledger/audit.go",
		old: `	case s.scope.Horizon.XID != 0:
		return youngerSQL
`,
		new:     "",
		promise: "What a long transaction wrote in a gap is found, however old it says it is.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/times_from_hours_ago",
	},
	{
		name: "core-rows-ahead-hide-attempts",
		file: "relay/internal/ledger/table.go",
		old: `                 WHEN %[2]s IS NULL THEN '-infinity'
                 ELSE LEAST(%[2]s, COALESCE(@bound::timestamptz, '-infinity')) - @margin::interval
`,
		new: `                 WHEN %[2]s IS NULL OR @bound::timestamptz IS NULL THEN '-infinity'
                 ELSE %[2]s - @margin::interval
`,
		promise: "A time ahead hides no attempt.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/times_ahead",
	},
	{
		name:    "core-rows-date-beyond",
		file:    "relay/internal/ledger/table.go",
		old:     `this := "CASE WHEN " + column + " >= '0002-01-01' AND " + column + " < '9999-12-31' THEN "`,
		new:     `this := "CASE WHEN true THEN "`,
		promise: "A date that is no timestamp stops no audit.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_day",
	},
	{
		name: "core-rows-zone-of-sessions",
		file: "relay/internal/ledger/table.go",
		old: `	if t.bareTime() {
		location, err`,
		new: `	if !t.bareTime() {
		location, err`,
		promise: "A time without a zone is the database's.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/times_of_another_zone",
	},
	{
		name:    "core-rows-null-type",
		file:    "relay/internal/ledger/audit.go",
		old:     "COALESCE(` + c.eventType + `::text, '')",
		new:     "` + c.eventType + `::text",
		promise: "A row whose type is NULL stops no audit.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_type_that_is_NULL",
	},
	{
		name:    "core-rows-domain-padded",
		file:    "relay/internal/source/postgres/decode.go",
		old:     "BaseOID: d.domains[typeOID]",
		new:     "BaseOID: 0 * d.domains[typeOID]",
		promise: "A domain over char(n) reads alike on both ways.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_domain",
	},
	{
		name: "core-heal-updated-rows-sent",
		file: "relay/internal/heal/judge.go",
		old: `	return !r.CreatedAt.IsZero() && r.CreatedAt.Before(s.floor)
`,
		new: `	return false
`,
		promise: "A row older than the slot that was updated in a gap is counted, not sent.",
		pkg:     "./relay/internal/heal",
		run:     "TestBehindTheHorizon",
	},
	{
		name:    "core-heal-no-time-not-sent",
		file:    "relay/internal/heal/judge.go",
		old:     "return r.Config || existed || !known || !created.Before(r.Since)",
		new:     "return known && (r.Config || existed || !created.Before(r.Since))",
		promise: "A row without a time that a gap lost is delivered.",
		pkg:     "./relay/internal/heal",
		run:     "TestBehindTheHorizon",
	},
	{
		name:    "core-heal-half-sent-by-age",
		file:    "relay/internal/heal/judge.go",
		old:     "return known && !created.Before(r.Since) || !known && existed",
		new:     "return true",
		promise: "What was there before an endpoint wanted it is not sent to it by a heal.",
		pkg:     "./relay/internal/heal",
		run:     "TestBehindTheHorizon",
	},
	{
		name:    "core-heal-horizon-too-late",
		file:    "relay/internal/heal/audit.go",
		old:     "Horizon: known.settled(),",
		new:     "Horizon: horizon,",
		promise: "What was written within the hour is looked at again.",
		pkg:     "./relay/internal/heal",
		run:     "TestBehindTheHorizon",
	},
	{
		name:    "core-heal-horizon-never-moves",
		file:    "relay/internal/heal/audit.go",
		old:     "h.At.Sub(hs[1].At) >= gapMargin",
		new:     "h.At.Sub(hs[1].At) >= 1000*gapMargin",
		promise: "An audit costs what is new, not the table.",
		pkg:     "./relay/internal/heal",
		run:     "TestBehindTheHorizon",
	},
	{
		name:    "core-heal-backfill-forgotten",
		file:    "relay/internal/heal/judge.go",
		old:     "case s.backfill() && (!known",
		new:     "case s.backfill() && !s.isGap() && (!known",
		promise: "A gap upon a backfill heals both.",
		pkg:     "./relay/internal/heal",
		run:     "TestAGapUponABackfill",
	},
	{
		name:    "core-heal-one-transaction",
		file:    "relay/internal/heal/sweep.go",
		old:     "return len(b.ds) == queueRows || len(b.ds) > 0 && b.bytes+len(d.Event.Payload) > queueBytes",
		new:     "return len(d.Event.Payload) < 0",
		promise: "A heal holds the slot's row for a short time.",
		pkg:     "./relay/internal/heal",
		run:     "TestAGapIsQueuedInSmall",
	},
	{
		name:    "core-heal-batch-of-any-size",
		file:    "relay/internal/heal/sweep.go",
		old:     "len(b.ds) > 0 && b.bytes+len(d.Event.Payload) > queueBytes",
		new:     "len(b.ds) > 0 && b.bytes > 100*queueBytes",
		promise: "A heal of large payloads is bounded by their bytes.",
		pkg:     "./relay/internal/heal",
		run:     "TestAGapIsQueuedInSmall",
	},
	{
		name: "core-reload-lost-while-taking",
		file: "relay/hold.go",
		old: `	if r.set != set {
		return nil, errAnew // a reload found no hold, and leaves it to the next one
	}
`,
		new:     "",
		promise: "A reload that comes while the slot is being taken takes effect.",
		pkg:     "./integration",
		run:     "TestAReloadWhileTheSlotIsTaken",
	},
	{
		name: "core-reload-swaps-first",
		file: "relay/reload.go",
		old: `	if err := r.swap(ctx, old, next); err != nil {
`,
		new: `	r.mu.Lock()
	r.set = next
	r.mu.Unlock()
	if err := r.swap(ctx, old, next); err != nil {
`,
		promise: "A reload that fails changes nothing.",
		pkg:     "./integration",
		run:     "TestAReloadThatFails",
	},
	{
		name: "core-reload-undoes-pause",
		file: "relay/reload.go",
		old: `		if err := mirror(ctx, led, next.cfg, endpoints, now); err != nil {
			return fmt.Errorf("reload: %w", err)
		}
	}
`,
		new: `		if err := mirror(ctx, led, next.cfg, endpoints, now); err != nil {
			return fmt.Errorf("reload: %w", err)
		}
		for i := range endpoints {
			h.dispatcher.SetState(endpoints[i].Config.ID, ledger.EndpointState{Status: ledger.StatusActive})
		}
	}
`,
		promise: "The row of an endpoint says whether it is paused, not a reload.",
		pkg:     "./integration",
		run:     "TestAReloadUndoesNoPause",
	},
	{
		name:    "core-rejected-without-id",
		file:    "relay/internal/source/postgres/events.go",
		old:     "e.bring(outbox.Event{ID: e.idOf(table, row)}, e.broken)",
		new:     "e.bring(outbox.Event{}, e.broken)",
		promise: "A row that the mapping did not fit is known by its id, so that it can be read again.",
		pkg:     "./relay",
		run:     "TestRejectedRows",
	},
	{
		name:    "core-rejected-dead-without-reason",
		file:    "relay/internal/upkeep/rejected.go",
		old:     `return nil, "its row is gone, or it was a logical message, so it cannot be read again", nil`,
		new:     `return nil, "", nil`,
		promise: "What cannot be read again is dead with the reason, not dropped.",
		pkg:     "./relay",
		run:     "TestRejectedRows",
	},
	{
		name:    "core-heal-doubt-holds-order",
		file:    "relay/internal/heal/audit.go",
		old:     "return q != nil && q.due }",
		new:     "return q != nil }",
		promise: "Nobody waits for a sweep after a plain crash.",
		pkg:     "./relay/internal/heal",
		run:     "TestDetectors",
	},
	{
		name:    "core-publication-of-a-parent",
		file:    "relay/internal/source/postgres/publication.go",
		old:     `if rows[0]["parent"] == "t" && !have.partitioned {`,
		new:     `if rows[0]["parent"] == "x" && !have.partitioned {`,
		promise: "A table that others inherit from is refused with the reason.",
		pkg:     "./relay/internal/source/postgres",
		run:     "TestSetupIsExplained",
	},
	{
		name:    "core-rows-day-begins",
		file:    "relay/internal/ledger/table.go",
		old:     `		if t.timeType == "date" {`,
		new:     `		if t.timeType == "day" {`,
		promise: "A row of today is not taken for older than what happened this morning.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_day_since_this_morning",
	},
	{
		name:    "core-rows-judged-by-another-time",
		file:    "relay/internal/heal/sweep.go",
		old:     "created[found[i].ID], now)",
		new:     "found[i].Event.CreatedAt, now)",
		promise: "A row is delivered by the time that it was judged by.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_day_since_this_morning",
	},
	{
		name:    "core-events-moved-row-again",
		file:    "relay/internal/source/postgres/events.go",
		old:     `		if e.idOf(table, row) == gone &&`,
		new:     `		if e.idOf(table, row) == gone+"x" &&`,
		promise: "A row that moves to another partition is not another event.",
		pkg:     "./relay/internal/intake",
		run:     "TestARowThatMoves",
	},
	{
		name:    "core-events-insert-after-delete-lost",
		file:    "relay/internal/source/postgres/events.go",
		old:     `		if e.idOf(table, row) == gone &&`,
		new:     `		if e.idOf(table, row) != "" &&`,
		promise: "An insert behind a delete of another row is an event.",
		pkg:     "./relay/internal/intake",
		run:     "TestARowThatMoves",
	},
	{
		name: "core-events-deleted-remembered",
		file: "relay/internal/source/postgres/events.go",
		old: `	e.rows, e.gone = 0, ""
`,
		new: `	e.rows = 0
`,
		promise: "A row that was deleted in another transaction hides no new one of its id.",
		pkg:     "./relay/internal/intake",
		run:     "TestARowThatMoves",
	},
	{
		name:    "core-frontier-remembers",
		file:    "relay/internal/source/frontier.go",
		old:     "\t\ttx.next, tx.end, tx.at = nil, 0, time.Time{}",
		new:     "\t\ttx.next = nil",
		promise: "A transaction that is used again says nothing of before.",
		pkg:     "./relay/internal/source",
		run:     "^TestFrontier$",
	},
	{
		name:    "core-feed-piles-up",
		file:    "relay/internal/intake/feed.go",
		old:     "\tif len(s.pending) >= rowBatch {\n\t\ts.flush(counts)\n\t}\n",
		new:     "",
		promise: "However many endpoints a transaction changes, what waits of it is bounded.",
		pkg:     "./relay/internal/intake",
		run:     "^TestChangesOfEndpointsDoNotPileUp$",
	},
	{
		name:    "core-feed-unusable-gets-requests",
		file:    "relay/internal/intake/feed.go",
		old:     "\t\te.Blocked, e.Sender = true, nil\n",
		new:     "",
		promise: "An endpoint that cannot be used gets nothing, and loses nothing.",
		pkg:     "./relay/internal/intake",
		run:     "^TestAnEndpointThatCannotBeUsedIsBlocked$",
	},
	{
		name:    "core-feed-columns-of-before",
		file:    "relay/internal/intake/feed.go",
		old:     "\tif row.Table != s.table {",
		new:     "\tif s.table == nil {",
		promise: "Rows of endpoints are read by the columns that their table has now.",
		pkg:     "./relay/internal/intake",
		run:     "^TestRowsOfEndpointsAreReadByTheColumns",
	},
	{
		name:    "core-rotation-ends-with-the-last",
		file:    "relay/internal/intake/rotation.go",
		old:     "if until.IsZero() || secret.ExpiresAt.Before(until) {",
		new:     "if until.IsZero() || secret.ExpiresAt.After(until) {",
		promise: "Each of several old secrets ends at its own time.",
		pkg:     "./relay/internal/intake",
		run:     "^TestRotationEndsEachSecretAtItsTime$",
	},
	{
		name:    "core-heal-order-of-the-table",
		file:    "relay/internal/heal/sweep.go",
		old:     "\tslices.SortStableFunc(found, func(a, b ledger.Found) int { return a.Event.CreatedAt.Compare(b.Event.CreatedAt) })\n",
		new:     "\tslices.SortStableFunc(found, func(_, _ ledger.Found) int { return 0 })\n",
		promise: "Events of a gap come in the order of their times.",
		pkg:     "./relay/internal/heal",
		run:     "^TestAGapIsQueuedInTheOrderOfItsTimes$",
	},
	{
		name:    "core-heal-ties-have-one-place",
		file:    "relay/internal/heal/judge.go",
		old:     "\t\ts.ties = min(s.ties+1, most)",
		new:     "\t\ts.ties = min(s.ties, most)",
		promise: "Events of one time come in the order of the table.",
		pkg:     "./relay/internal/heal",
		run:     "^TestAGapIsQueuedInTheOrderOfItsTimes$",
	},
	{
		name:    "core-heal-tells-one-endpoint",
		file:    "relay/internal/heal/sweep.go",
		old:     "\t\tcase !slices.Contains(unordered, id):",
		new:     "\t\tcase len(unordered) == 0:",
		promise: "Every endpoint that got something from the table is told to look there.",
		pkg:     "./relay/internal/heal",
		run:     "^TestEveryEndpointIsToldOfWhatAGapHadForIt$",
	},
}
