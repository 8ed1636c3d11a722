package main

// coreMutants break what intake, upkeep and a reload promise.
var coreMutants = []mutant{
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
		old: `		i.upkeep.WakeOperations()
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
		old: `			w.wake.Set()
		case identity`,
		new: `
		case identity`,
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
		name: "core-rows-horizon-of-clocks",
		file: "relay/internal/scan/sweep.go",
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
		file: "relay/internal/scan/table.go",
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
		file:    "relay/internal/scan/table.go",
		old:     `this := "CASE WHEN " + column + " >= '0002-01-01' AND " + column + " < '9999-12-31' THEN "`,
		new:     `this := "CASE WHEN true THEN "`,
		promise: "A date that is no timestamp stops no audit.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_day",
	},
	{
		name:    "core-rows-zone-of-sessions",
		file:    "relay/internal/scan/table.go",
		old:     `location, unknown = time.LoadLocation(zone)`,
		new:     `location = time.UTC`,
		promise: "A time without a zone is the database's.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/times_of_another_zone",
	},
	{
		name:    "core-rows-null-type",
		file:    "relay/internal/scan/sweep.go",
		old:     "COALESCE(` + c.eventType + `::text, '')",
		new:     "` + c.eventType + `::text",
		promise: "A row whose type is NULL stops no audit.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_type_that_is_NULL",
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
		old: `	if err := r.note(ctx, led, h.hold, next.cfg, now); err != nil {
		return nil, 0, err
	}
`,
		new: `	if err := r.note(ctx, led, h.hold, next.cfg, now); err != nil {
		return nil, 0, err
	}
	for i := range endpoints {
		h.dispatcher.SetState(endpoints[i].Config.ID, ledger.EndpointState{Status: ledger.StatusActive})
	}
`,
		promise: "The row of an endpoint says whether it is paused, not a reload.",
		pkg:     "./integration",
		run:     "TestAReloadUndoesNoPause",
	},
	{
		name:    "core-rejected-under-no-id-of-its-own",
		file:    "relay/internal/source/event.go",
		old:     "		*value = \"\"\n",
		new:     "		*value = \"\"\n		ev.ID = \"\"\n",
		promise: "A row that is no event is on record under its own id, where that can be.",
		pkg:     "./relay",
		run:     "TestRowsThatAreNoEvents",
	},
	{
		name:    "core-rejected-forgets-why",
		file:    "relay/internal/upkeep/rejected.go",
		old:     `	return gone + "; the first time: " + before`,
		new:     `	return gone`,
		promise: "What cannot be read again keeps the reason for which it was dead before.",
		pkg:     "./relay",
		run:     "TestRowsThatAreNoEvents",
	},
	{
		name: "core-audit-routes-what-is-no-event", file: "relay/internal/heal/judge.go",
		old:     `	problem := source.Fit(&ev)`,
		new:     `	var problem error`,
		promise: "A row of a gap whose key cannot be on record is dead, with its reason.",
		pkg:     "./relay/internal/heal", run: "TestARowThatIsNoEventIsDead",
	},
	{
		name:    "core-rejected-unaccounted",
		file:    "relay/internal/api/completeness.go",
		old:     `			if source.Unrecordable(&outbox.Event{ID: ev.ID}) != nil {`,
		new:     `			if source.Unrecordable(&outbox.Event{ID: "e"}) != nil {`,
		promise: "A row whose id cannot be on record is dead, and no event without a trace.",
		pkg:     "./relay",
		run:     "TestRowsThatAreNoEvents",
	},
	{
		name:    "core-rejected-dead-without-reason",
		file:    "relay/internal/upkeep/rejected.go",
		old:     `return nil, stillGone(r.LastError), nil`,
		new:     `return nil, "", nil`,
		promise: "What cannot be read again is dead with the reason, not dropped.",
		pkg:     "./relay",
		run:     "TestRejectedRows",
	},
	{
		name:    "core-rows-day-begins",
		file:    "relay/internal/scan/table.go",
		old:     `		if t.timeType == "date" {`,
		new:     `		if t.timeType == "day" {`,
		promise: "A row of today is not taken for older than what happened this morning.",
		pkg:     "./integration",
		run:     "TestAGapIsHealedByWhatARowIs/a_day_since_this_morning",
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
		name: "core-stop-waits-for-a-relay-that-begins", file: "relay/relay.go",
		old: "	case r.lost != nil:\n", new: "	case r.lost != nil && r.holding != nil:\n",
		promise: "A Postgres that stops does not wait for a relay that takes the slot, and waits for Postgres.",
		pkg:     "./integration", run: "TestAPostgresThatStopsDoesNotWait",
	},
}
