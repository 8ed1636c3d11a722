package main

// intakeSweepMutants break what becomes of rows of endpoints and of what the stream brings again.
var intakeSweepMutants = []mutant{
	{
		name: "intake-sweep-sealed-headers-are-not-sent", file: "relay/internal/intake/feed.go",
		old:     "\tsealed.Give(&e.Config)\n",
		new:     "",
		promise: "What is sealed of an endpoint goes out with its requests.",
		pkg:     "./relay/internal/intake", run: "TestAnEndpointSendsWithWhatIsSealedOfIt",
	},
	{
		name: "intake-sweep-secrets-stay-in-memory", file: "relay/internal/intake/feed.go",
		old:     "\te.Auth, e.TLS = config.Auth{}, config.ClientTLS{}\n",
		new:     "",
		promise: "What is secret of an endpoint is kept by its sender only.",
		pkg:     "./relay/internal/intake", run: "TestAnEndpointSendsWithWhatIsSealedOfIt",
	},
	{
		name: "intake-sweep-rules-are-not-asked", file: "relay/internal/intake/feed.go",
		old:     "err = errors.Join(err, sealedErr); err == nil {",
		new:     "err = errors.Join(err, sealedErr); false {",
		promise: "An endpoint of the API obeys the rules that one of the configuration obeys.",
		pkg:     "./relay/internal/intake", run: "TestTheLogSaysWhyAnEndpointCannotBeUsed",
	},
	{
		name: "intake-sweep-all-unusable-endpoints-are-named", file: "relay/internal/intake/feed.go",
		old:     "if blocked++; blocked <= blockedLogged {",
		new:     "if blocked++; true {",
		promise: "The log stays readable although no endpoint can be used.",
		pkg:     "./relay/internal/intake", run: "TestTheLogNamesTenOfTheEndpointsThatCannotBeUsed",
	},
	{
		name: "intake-sweep-connections-of-a-changed-endpoint-stay", file: "relay/internal/intake/feed.go",
		old:     "\tif old != nil {\n\t\told.close()\n\t\tk.status",
		new:     "\tif old != nil {\n\t\tk.status",
		promise: "An endpoint that is changed leaves no connection behind.",
		pkg:     "./relay/internal/intake", run: "TestConnectionsGoWithTheEndpointThatHadThem",
	},
	{
		name: "intake-sweep-old-secret-signs-for-ever", file: "relay/internal/intake/rotation.go",
		old:     "\tif err := s.endpoint.SetSecrets(secrets); err != nil {\n\t\treturn err\n\t}\n",
		new:     "\t_ = secrets\n",
		promise: "A secret that has ended signs nothing.",
		pkg:     "./relay/internal/intake", run: "TestAnEndpointSignsWithEachOfItsSecretsUntilItsTime",
	},
	{
		name: "intake-sweep-version-without-its-row", file: "relay/internal/intake/feed.go",
		old:     "\t\tversion.Row = text\n",
		new:     "",
		promise: "What an endpoint was at a place of the stream is known there after a crash.",
		pkg:     "./relay/internal/intake", run: "TestAChangeHoldsTheRowAsItWas",
	},
	{
		name: "intake-sweep-table-that-cannot-be-read", file: "relay/internal/intake/feed.go",
		old:     "\tif s.parser == nil {\n\t\treturn\n\t}\n",
		new:     "",
		promise: "A table of endpoints without a column that is needed ends no relay.",
		pkg:     "./relay/internal/intake", run: "TestATableOfEndpointsThatCannotBeReadChangesNothing",
	},
	{
		name: "intake-sweep-look-up-of-any-size", file: "relay/internal/intake/again.go",
		old:     "\tl.bytes += len(b.ev.Payload)\n",
		new:     "",
		promise: "What is looked up together is bounded in bytes.",
		pkg:     "./relay/internal/intake", run: "TestWhatIsLookedUpTogetherIsBoundedInBytes",
	},
	{
		name: "intake-sweep-transaction-at-the-last-place-is-sent-again", file: "relay/internal/intake/again.go",
		old:     "tx.Commit <= l.Until",
		new:     "tx.Commit < l.Until",
		promise: "The last transaction of which something is recorded is not sent again.",
		pkg:     "./relay/internal/intake", run: "TestWhatIsLookedUpTogetherIsBoundedInBytes",
	},
	{
		name: "intake-sweep-keepalive-after-a-failed-look-up", file: "relay/internal/intake/intake.go",
		old:     "\tif i.lookup.failed {\n\t\treturn\n\t}\n\ti.upkeep.Moved(p)",
		new:     "\ti.upkeep.Moved(p)",
		promise: "A relay that could not look up what is recorded says of nothing that it came that far.",
		pkg:     "./relay/internal/intake", run: "TestNothingIsTakenAfterALookUpThatFailed",
	},
	{
		name: "query-page-is-empty-on-a-slow-machine", file: "relay/internal/query/attempt.go",
		old:     "(len(p.Attempts) > 0 || parts >= leastParts)",
		new:     "parts > 0",
		promise: "A page is empty only once a search has looked far enough, however slow the machine.",
		pkg:     "./relay/internal/query", run: "TestAPageEndsEarlyOnlyOnceItHasLookedFarEnough",
	},
}
