package main

// readerMutants break what a person reads of events and of the live log.
var readerMutants = []mutant{
	{
		name:    "query-id-as-it-was-spelled",
		file:    "relay/internal/query/event.go",
		old:     `			own = string(rows.RawValues()[0])`,
		new:     `			own = id`,
		promise: "The id of an event is what the outbox table's type writes, however it was asked for.",
		pkg:     "./relay/internal/query",
		run:     "TestEventID_isAsTheTableWritesIt",
	},
	{
		name:    "query-id-of-a-message-respelled",
		file:    "relay/internal/query/event.go",
		old:     `Scan(&recorded); recorded {`,
		new:     `Scan(&recorded); false {`,
		promise: "A message's id stays as it is on record.",
		pkg:     "./relay/internal/query",
		run:     "TestEventID_isAsTheTableWritesIt",
	},
	{
		name:    "api-id-as-it-was-spelled",
		file:    "relay/internal/api/eventid.go",
		old:     `	*id, err = s.store`,
		new:     `	_, err = s.store`,
		promise: "Every call answers alike however the id of an event is spelled.",
		pkg:     "./relay/internal/api",
		run:     "TestAnEventIsTheSameHoweverItsIDIsSpelled",
	},
	{
		name:    "api-tail-begins-a-page-early",
		file:    "relay/internal/query/tail.go",
		old:     `tailPlacesSQL, pgx.NamedArgs{"day": day, "from": d.from().String()}`,
		new:     `tailPlacesSQL, pgx.NamedArgs{"day": day, "from": TID{Block: d.from().Block + 1}.String()}`,
		promise: "A live tail begins behind what is there, however many pages that fills.",
		pkg:     "./relay/internal/query",
		run:     "TestTail_beginsBehindWhatIsThere",
	},
	{
		name:    "api-tail-forgets-where-it-went-on",
		file:    "relay/internal/query/tail.go",
		old:     `look.whole || slices.ContainsFunc(`,
		new:     `true || slices.ContainsFunc(`,
		promise: "A live tail that goes on where a page ended sends nothing of before, however much that is.",
		pkg:     "./relay/internal/query",
		run:     "TestTail_beginsBehindWhatIsThere",
	},
	{
		name:    "api-tail-of-any-time",
		file:    "relay/internal/query/tail.go",
		old:     `		!a.AttemptedAt.Before(q.Since) && (q.Until`,
		new:     `		(q.Until`,
		promise: "What a filter of the list chooses is what the stream sends, since and until too.",
		pkg:     "./relay/internal/api",
		run:     "TestAStreamChoosesAsTheListDoes",
	},
}
