package main

// scepticMutants break what a sceptical user tried on the running product: databases that refuse,
// addresses that lead elsewhere.
var scepticMutants = []mutant{
	{
		name:    "sceptic-refusal-ends-the-hold",
		file:    "relay/internal/ledger/record.go",
		old:     "tailpost doctor may say how\")\n\treturn r.rest(ctx)\n",
		new:     "tailpost doctor may say how\")\n\treturn err\n",
		promise: "What cannot be recorded is not sent again at every try.",
		pkg:     "./integration",
		run:     "^TestWhatCannotBeRecordedIsNotSentAgainAndAgain$",
	},
	{
		name:    "sceptic-a-day-is-made-once",
		file:    "relay/internal/ledger/record.go",
		old:     "\t\tt.mended = false\n",
		new:     "",
		promise: "A partition that could not be made is made once somebody has mended that.",
		pkg:     "./relay/internal/ledger",
		run:     "^TestRecord_waitsUntilSomebodyMendsWhatPostgresRefuses$/a_day",
	},
	{
		name:    "sceptic-waiting-is-not-told",
		file:    "relay/internal/ledger/record.go",
		old:     "\tr.waits.Store(nil)\n",
		new:     "",
		promise: "Whoever asks is told whether recording waits now.",
		pkg:     "./relay/internal/ledger",
		run:     "^TestRecord_waitsUntilSomebodyMendsWhatPostgresRefuses$",
	},
	{
		name:    "sceptic-ready-while-nothing-is-recorded",
		file:    "relay/internal/api/ready.go",
		old:     "!status.Unrecorded.IsZero() && waited >= stuckAfter",
		new:     "!status.Unrecorded.IsZero() && waited < 0",
		promise: "A relay that cannot record is not ready.",
		pkg:     "./relay/internal/api",
		run:     "^TestReadyWhereEventsAreDelivered$",
	},
}
