package main

// searchMutants break what is promised of finding events by what the configuration names.
var searchMutants = []mutant{
	{
		name: "search-composite-value", file: "config/filter/search.go",
		old:     "	case kindMissing, kindComposite:\n	}\n	return \"\"",
		new:     "	case kindComposite:\n		return v.text\n	case kindMissing:\n	}\n	return \"\"",
		promise: "An object or a list is no value to search by.",
		pkg:     "./config/filter", run: "TestSearch_terms",
	},
	{
		name: "search-cuts-characters", file: "config/filter/search.go",
		old:     "		for !utf8.RuneStart(value[end]) {\n			end--\n		}\n",
		new:     "",
		promise: "A value is cut between two characters.",
		pkg:     "./config/filter", run: "TestTerm",
	},
	{
		name: "search-any-number-of-values", file: "config/filter/search.go",
		old:     "		if i == maxTerms {",
		new:     "		if i > maxTerms {",
		promise: "An event has at most four values to search by.",
		pkg:     "./config/filter", run: "TestSearch_refuses",
	},
	{
		name: "search-not-written-with-attempts", file: "relay/internal/dispatch/send.go",
		old:     "		res.Attempt.Search = l.d.search.Load().Terms(req.Event)\n",
		new:     "",
		promise: "An attempt is written with what its event is found by.",
		pkg:     "./integration/panel", run: "TestWhereIsOrder42",
	},
	{
		name: "search-not-written-with-what-waits", file: "relay/internal/dispatch/recorder.go",
		old:     "	if row.Attempts == 0 {\n",
		new:     "	if row.Attempts > 0 {\n",
		promise: "An event that waits without an attempt is found.",
		pkg:     "./integration/panel", run: "TestWhereIsOrder42",
	},
	{
		name: "search-of-any-term", file: "relay/internal/query/eventsearch.go",
		old:     `" + alias + ".search && @"`,
		new:     `" + alias + ".search @> @"`,
		promise: "A value without a name is found under any name.",
		pkg:     "./relay/internal/api", run: "TestEventsAreFoundByWhatTheConfigurationNames",
	},
	{
		name: "search-lists-waiting-twice", file: "relay/internal/query/eventsearch.go",
		old:     "  AND NOT EXISTS (\n      SELECT FROM tailpost.attempt AS a\n      WHERE a.event_id = f.event_id\n",
		new:     "  AND NOT EXISTS (\n      SELECT FROM tailpost.attempt AS a\n      WHERE a.event_id = f.event_id AND false\n",
		promise: "A search lists an event once, attempted here and waiting there.",
		pkg:     "./relay/internal/api", run: "TestEventsAreFoundByWhatTheConfigurationNames",
	},
	{
		name: "search-shows-other-tenants", file: "relay/internal/query/eventsearch.go",
		old:     "  AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = f.endpoint_id AND e.tenant = @tenant))\n",
		new:     "",
		promise: "A search finds nothing that waits for another tenant's endpoint.",
		pkg:     "./relay/internal/api", run: "TestASearchIsATenantsOwn",
	},
	{
		name: "search-newest-of-any-attempt", file: "relay/internal/query/events.go",
		old:     `rows, err := l.tx.Query(ctx, newestSQL+termsSQL("a", l.q.Search, args)+newestEndSQL, args)`,
		new:     `rows, err := l.tx.Query(ctx, newestSQL+newestEndSQL, args)`,
		promise: "An event is found although its last attempt was written under another configuration.",
		pkg:     "./relay/internal/api", run: "TestEventsAreFoundByWhatTheConfigurationNames",
	},
	{
		name: "search-needs-a-restart", file: "relay/reload.go",
		old:     "		h.dispatcher.SetSearch(next.cfg.Outbox.Search)\n",
		new:     "",
		promise: "A reload changes what later events are found by.",
		pkg:     "./integration", run: "TestAReloadChangesWhatEventsAreFoundBy",
	},
	{
		name: "search-reload-asks-for-a-restart", file: "relay/reload.go",
		old:     "	c.Outbox.Search = old.Outbox.Search\n	if old.Outbox != c.Outbox {",
		new:     "	if old.Outbox != c.Outbox {",
		promise: "A reload of the same search asks for no restart.",
		pkg:     "./integration", run: "TestAReloadChangesWhatEventsAreFoundBy",
	},
	{
		name: "search-tail-shows-all", file: "relay/internal/query/tail.go",
		old:     " && hasTerms(a, q.Search)\n",
		new:     "\n",
		promise: "A live tail of a search shows what is searched for alone.",
		pkg:     "./relay/internal/api", run: "TestStreamShowsWhatIsSearchedFor",
	},
}
