package main

// whenMutants break the times of events and what an endpoint has to prove before it gets any.
var whenMutants = []mutant{
	{
		name: "when-scheduled-is-sent-at-once", file: "relay/internal/dispatch/park.go",
		old: "at.After(pace.Later(dl.since, next))", new: "at.After(pace.Later(dl.since, next)) && reason != \"\"",
		promise: "An event is not delivered before its deliver_at.",
		pkg:     "./relay/internal/dispatch", run: "TestDeliverAt|TestTheSimulation",
	},
	{
		name: "when-order-forgets-the-time", file: "relay/internal/dispatch/chain.go",
		old: "return pace.Later(row.NextAttemptAt, row.Event.NotBefore())", new: "return row.NextAttemptAt",
		promise: "What was behind another in its order still waits for its time.",
		pkg:     "./relay/internal/dispatch", run: "TestDeliverAt|TestTheSimulation",
	},
	{
		name: "when-bare-time-counts-as-written", file: "relay/internal/dispatch/chain.go",
		old: "found.next, !found.bare", new: "found.next, true",
		promise: "A key whose row does not say when it is due is not left to a sweep that goes by that.",
		pkg:     "./relay/internal/dispatch", run: "TestRestore_remembersATime",
	},
	{
		name: "when-expired-is-sent", file: "relay/internal/dispatch/send.go",
		old: "\tl.lapseAll(now)\n", new: "",
		promise: "An event that has expired is dead without a request.",
		pkg:     "./relay/internal/dispatch", run: "TestExpiresAt|TestTheSimulation",
	},
	{
		name: "when-late-connection-is-used", file: "relay/internal/dispatch/delivery.go",
		old: "begun = held() && (begun || !dl.expired(time.Now()))", new: "begun = held()",
		promise: "An event that expires while a connection is made is not sent.",
		pkg:     "./relay/internal/dispatch", run: "TestExpiresAt_isLookedAt",
	},
	{
		name: "when-expiry-breaks-a-request-off", file: "relay/internal/dispatch/delivery.go",
		old: "begun = held() && (begun || !dl.expired(time.Now()))", new: "begun = held() && !dl.expired(time.Now())",
		promise: "A request that has begun is not broken off by the end of its event.",
		pkg:     "./relay/internal/dispatch", run: "TestExpiresAt_isLookedAt",
	},
	{
		name: "when-retry-after-expiry", file: "relay/internal/dispatch/send.go",
		old: "it.next = dl.beforeExpiry(it.next)", new: "_ = dl.beforeExpiry(it.next)",
		promise: "What would be tried again after its event expires is dead when that does.",
		pkg:     "./relay/internal/dispatch", run: "TestExpiresAt_comesBefore",
	},
	{
		name: "when-resend-keeps-to-the-times", file: "relay/internal/dispatch/delivery.go",
		old: "return dl.trigger != outbox.TriggerResend", new: "return true",
		promise: "A person's resend sends an event whatever its times say.",
		pkg:     "./relay/internal/dispatch", run: "TestExpiresAt_holds",
	},
	{
		name: "when-wait-counts-before-the-time", file: "relay/internal/dispatch/recorder.go",
		old: "pace.Later(it.dl.ev.committed, it.dl.ev.NotBefore())", new: "pace.Later(it.dl.ev.committed, time.Time{})",
		promise: "The latency of a scheduled event is measured from its deliver_at.",
		pkg:     "./relay/internal/dispatch", run: "TestDeliverAt_isNotBefore",
	},
	{
		name: "when-infinity-means-at-once", file: "outbox/moment.go",
		old: "case f == fieldDeliverAt && m.era > 0:", new: "case f == fieldDeliverAt && m.era > 1:",
		promise: "An event that could never be delivered is refused, and not delivered at once.",
		pkg:     "./outbox", run: "TestDecoder_readsTheTimes",
	},
	{
		name: "when-writer-forgets-the-zone", file: "outbox/writer.go",
		old: "values[f] = t.In(w.zone).Format", new: "values[f] = t.UTC().Format",
		promise: "A time in a column without a zone is read as it was written.",
		pkg:     "./outbox", run: "TestWriter_writesTheTimes",
	},
	{
		name: "when-unblocked-is-early", file: "relay/internal/ledger/duekeys.go",
		old: "SET next_attempt_at = GREATEST(@now, ` + notBeforeSQL + `)", new: "SET next_attempt_at = GREATEST(@now, (` + notBeforeSQL + `) - interval '1 day')",
		promise: "What is unblocked waits for the time of its event.",
		pkg:     "./relay/internal/ledger", run: "TestWhatIsMadeDue",
	},
	{
		name: "when-expiry-forgets-the-last-answer", file: "relay/internal/ledger/statements.go",
		old: "last_status = CASE WHEN u.reason = 'expired' THEN d.last_status ELSE u.last_status END", new: "last_status = u.last_status",
		promise: "A delivery that expires still says what its last attempt met.",
		pkg:     "./relay/internal/ledger", run: "TestExpiry_leaves",
	},
	{
		name: "when-replay-waits-for-scheduled", file: "relay/internal/ledger/replay.go",
		old: "(deliver_at IS NULL OR deliver_at <= @now)", new: "(deliver_at IS NULL OR @now::timestamptz IS NOT NULL)",
		promise: "A replay does not wait for what is scheduled for later.",
		pkg:     "./relay/internal/ledger", run: "TestPendingUpTo",
	},
	{
		name: "when-scheduled-raises-an-alarm", file: "relay/internal/query/relay.go",
		old: "min(GREATEST(event_created_at, deliver_at)) AS oldest", new: "min(event_created_at) AS oldest",
		promise: "What is not due yet does not count as undelivered for long.",
		pkg:     "./relay", run: "TestAResend_does",
	},
	{
		name: "when-api-forgets-the-zone", file: "relay/internal/query/event.go",
		old: "= scan.LookAt(ctx, tx, m)", new: "= scan.LookAt(ctx, tx, outbox.Mapping{Table: m.Table})",
		promise: "The API takes a time without a zone for one of the zone that the relay takes it for.",
		pkg:     "./relay", run: "TestAResend_does",
	},
	{
		name: "when-replay-forgets-the-time", file: "relay/internal/upkeep/replay.go",
		old: "\t\td.Schedule()\n", new: "",
		promise: "A replay keeps to the times of events.",
		pkg:     "./relay", run: "TestAResend_does",
	},
	{
		name: "when-half-an-answer-is-complete", file: "relay/internal/webhook/endpoint.go",
		old: "(err == nil || !e.complete)", new: "(err == nil || !e.complete || true)",
		promise: "Where an endpoint asks for that, an answer that is cut short is no success.",
		pkg:     "./relay/internal/webhook", run: "TestAnswerCounts",
	},
	{
		name: "when-answers-have-to-be-complete", file: "relay/internal/webhook/client.go",
		old: "ep.Answer == config.AnswerComplete", new: "ep.Answer != config.AnswerStatus",
		promise: "A status that means success counts, whatever becomes of the body, unless the endpoint asks for more.",
		pkg:     "./relay/internal/webhook", run: "TestAnswerCounts",
	},
	{
		name: "when-answer-is-not-kept", file: "relay/internal/ledger/endpoint.go",
		old: "e.Answer = config.Answer(p.Answer)", new: "e.Answer = config.AnswerStatus",
		promise: "What an endpoint of the API asks of answers is kept.",
		pkg:     "./relay/internal/api", run: "TestStatusesOfAnEndpoint",
	},
}
