package main

// twelfthStreamMutants are of what others reported of their ways from the write-ahead log.
var twelfthStreamMutants = []mutant{
	{
		name: "twelfth-abort-of-a-stream", file: "relay/internal/source/postgres/decode.go",
		old: "codeStreamAbort = 'A'", new: "codeStreamAbort = 'a'",
		promise: "What Postgres 18 says of a rolled-back subtransaction does not end the stream.",
		pkg:     "./relay/internal/source/postgres", run: "^TestDecode$",
	},
	{
		name: "twelfth-domain-of-somebodys-type", file: "relay/internal/source/postgres/decode.go",
		old: "if len(schema) > 0 {", new: "if len(schema) > 1000 {",
		promise: "A type that somebody named like one of Postgres' own is none of those.",
		pkg:     "./relay/internal/source/postgres", run: "^TestTheStreamNamesWhatADomainIsMadeOf$",
	},
	{
		name: "twelfth-type-cut-short", file: "relay/internal/source/postgres/decode.go",
		old: "oid, schema, name := in.uint32(), in.string(), in.string()\n\tif in.short {", new: "oid, schema, name := in.uint32(), in.string(), in.string()\n\tif false {",
		promise: "A type that is cut short is no type.",
		pkg:     "./relay/internal/source/postgres", run: "^TestDecodeOfEveryPrefix$",
	},
	{
		name: "twelfth-standby-of-any-name", file: "relay/internal/source/postgres/synchronous.go",
		old: `name == "*" || `, new: "",
		promise: "A relay that the server would take for a synchronous standby does not stream.",
		pkg:     "./relay/internal/source/postgres", run: "^TestWhichNamesMakeTheStreamAStandby$",
	},
	{
		name: "twelfth-standbys-unread", file: "relay/internal/source/postgres/session.go",
		old: `checkSynchronous(row["standbys"], `, new: `checkSynchronous("", `,
		promise: "The server's synchronous standbys are looked at before anything is made there.",
		pkg:     "./relay/internal/source/postgres", run: "^TestAStreamIsNoSynchronousStandby$",
	},
	{
		name: "twelfth-publication-of-endpoints-unwatched", file: "relay/internal/upkeep/publication.go",
		old: `[]string{events, endpoints, standbys}`, new: `[]string{events, endpoints[:0], standbys}`,
		promise: "A change of what publishes the endpoints ends the hold.",
		pkg:     "./relay/internal/upkeep", run: "^TestTheUpkeepOfAHoldEndsItWithItsPublication$",
	},
	{
		name: "twelfth-publication-of-events-twice", file: "relay/internal/ledger/heal.go",
		old: "k.Publication(ctx, outbox.EndpointPublication(slot), ", new: "k.Publication(ctx, slot, ",
		promise: "The publication of endpoints is the one that is looked at.",
		pkg:     "./relay/internal/ledger", run: "^TestPublications_areOfEventsAndOfEndpoints$",
	},
	{
		name: "twelfth-domain-of-a-domain", file: "relay/internal/scan/table.go",
		old: "JOIN pg_catalog.pg_type AS t ON t.oid = b.typbasetype\n", new: "JOIN pg_catalog.pg_type AS t ON t.oid = b.typbasetype AND false\n",
		promise: "A time is read as what its domain's domain is made of.",
		pkg:     "./relay/internal/scan", run: "^TestRows_haveTimesOfTheirZone$",
	},
	{
		name: "twelfth-quoted-types", file: "outbox/pglink/session.go",
		old: "		\"quote_all_identifiers\":               \"off\",\n", new: "",
		promise: "Types have the names that we know, whatever the database quotes.",
		pkg:     "./outbox/pglink", run: "^TestConfigure_holdsWhateverTheRoleHas$",
	},
	{
		name: "twelfth-zone-of-nobody", file: "relay/internal/doctor/zone.go",
		old: "sameZone(has, taken) ||", new: "!sameZone(has, taken) ||",
		promise: "The doctor tells of times whose zone a relay takes for another.",
		pkg:     "./relay/internal/doctor", run: "^TestTimesOfAnotherZoneAreToldOf$",
	},
	{
		name: "twelfth-standbys-unwatched", file: "relay/internal/upkeep/publication.go",
		old: "standbys, err := led.Standbys(ctx)", new: "standbys, err := o.Standbys, error(nil)",
		promise: "A relay that becomes a synchronous standby while it runs lets go of the stream.",
		pkg:     "./integration", run: "^TestARelayThatCommitsWouldWaitForLetsGo$",
	},
	{
		name: "twelfth-zone-of-a-domains-domain", file: "relay/internal/doctor/zone.go",
		old: "    JOIN pg_catalog.pg_type AS t ON t.oid = b.typbasetype\n", new: "    JOIN pg_catalog.pg_type AS t ON t.oid = b.typbasetype AND b.typbasetype = 0\n",
		promise: "The doctor tells of local times also where they are of a domain over another domain.",
		pkg:     "./relay/internal/doctor", run: "^TestTimesOfAnotherZoneAreToldOf$",
	},
}
