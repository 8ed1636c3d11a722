package main

// querySweepMutants drop a condition from what the API reads or changes: what was a neighbour's is
// then seen, or changed.
var querySweepMutants = []mutant{
	{
		name: "api-sweep-session-of-anybody", file: "relay/internal/query/session.go",
		old:     "FROM tailpost.session\nWHERE hash = @hash`",
		new:     "FROM tailpost.session\nWHERE hash <= @hash\nORDER BY hash\nLIMIT 1`",
		promise: "A cookie opens the session that it is of, and no other.",
		pkg:     "./relay/internal/query", run: "TestAnAnswerIsThatOfItsRequest",
	},
	{
		name: "api-sweep-sessions-seen-together", file: "relay/internal/query/session.go",
		old:     "WHERE hash = @hash\n  AND seen_at < @at`",
		new:     "WHERE @hash::bytea IS NOT NULL\n  AND seen_at < @at`",
		promise: "The use of one session keeps no other one open.",
		pkg:     "./relay/internal/query", run: "TestAChangeLeavesItsNeighboursAlone",
	},
	{
		name: "api-sweep-session-seen-backwards", file: "relay/internal/query/session.go",
		old:     "\n  AND seen_at < @at`",
		new:     "`",
		promise: "A session was last used at the latest time that is noted, in whatever order the notes come.",
		pkg:     "./relay/internal/query", run: "TestAChangeLeavesItsNeighboursAlone",
	},
	{
		name: "api-sweep-logging-out-closes-all", file: "relay/internal/query/session.go",
		old:     `"DELETE FROM tailpost.session\nWHERE hash = @hash"`,
		new:     `"DELETE FROM tailpost.session\nWHERE @hash::bytea IS NOT NULL"`,
		promise: "Logging out ends one session.",
		pkg:     "./relay/internal/query", run: "TestAChangeLeavesItsNeighboursAlone",
	},
	{
		name: "api-sweep-old-sessions-stay", file: "relay/internal/query/session.go",
		old:     "WHERE created_at < @created\n   OR seen_at < @seen`",
		new:     "WHERE created_at < @created\n   AND seen_at < @seen`",
		promise: "A session is over when it is old, and when it was idle for long.",
		pkg:     "./relay/internal/query", run: "TestAChangeLeavesItsNeighboursAlone",
	},
	{
		name: "api-sweep-links-of-another-tenant", file: "relay/internal/query/portal.go",
		old:     "WHERE (@tenant::text = '' OR tenant = @tenant)\n  AND expires_at > @now",
		new:     "WHERE (@tenant::text = '' OR tenant <> '')\n  AND expires_at > @now",
		promise: "For a key that is bound to a tenant there are no portal links of others.",
		pkg:     "./relay/internal/query", run: "TestAListOfWhoDidWhatHasWhatItWasAskedFor",
	},
	{
		name: "api-sweep-link-of-another-tenant", file: "relay/internal/query/portal.go",
		old:     "WHERE id = @id\n  AND (@tenant::text = '' OR tenant = @tenant)\nFOR UPDATE`",
		new:     "WHERE id = @id\n  AND (@tenant::text = '' OR tenant <> '')\nFOR UPDATE`",
		promise: "A tenant ends no portal link of another one.",
		pkg:     "./relay/internal/query", run: "TestWhatIsAnothersIsNotFound",
	},
}
