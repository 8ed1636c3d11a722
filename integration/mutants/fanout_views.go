package main

// fanoutViewMutants break what is shown of a fan-out, and what is examined before one runs.
var fanoutViewMutants = []mutant{
	{
		name: "fanout-views-earlier-layout", file: "relay/internal/query/settled.go",
		old:     "WHERE r.slot = @slot\n  AND r.partitions > 0\n",
		new:     "WHERE r.slot = @slot\n",
		promise: "Partitions that nobody publishes to are not shown.",
		pkg:     "./relay/internal/query", run: "^TestEachPartitionSaysHowFarItIs$",
	},
	{
		name: "fanout-views-alone-is-not-said", file: "relay/internal/api/status.go",
		old:     "writable(laterOf(status.Unpublished, status.Alone))",
		new:     "writable(status.Unpublished)",
		promise: "A relay that delivers alone says since when NATS has taken nothing.",
		pkg:     "./relay/internal/api", run: "^TestTheRelaySaysHowFarItsSendersAre$",
	},
	{
		name: "fanout-views-look-trusts-a-stream", file: "relay/internal/source/jetstream/look.go",
		old:     "judge(&info.Config, &want)",
		new:     "judge(&want, &want)",
		promise: "A stream that is set up otherwise is found before a fleet runs.",
		pkg:     "./relay/internal/source/jetstream", run: "^TestALookSaysWhyNothingCouldBePublished$",
	},
	{
		name: "fanout-views-look-makes-streams", file: "relay/internal/source/jetstream/look.go",
		old:     "found, err := lookAt(ctx, f, n)",
		new:     "found, err := true, f.ensure(ctx, n)",
		promise: "A look makes no stream.",
		pkg:     "./relay/internal/source/jetstream", run: "^TestALookChangesNothing$",
	},
	{
		name: "fanout-views-others-connections", file: "relay/internal/doctor/fanout.go",
		old:     "enough := need + ofAPI + used",
		new:     "enough := need + ofAPI",
		promise: "What others use of Postgres' connections is not a fleet's.",
		pkg:     "./relay/internal/doctor", run: "^TestConnectionsThatAFleetLacksAreNamed$",
	},
	{
		name: "fanout-views-doctor-without-authorities", file: "config/load.go",
		old:     "return append(read, \"fanout\", \"network\")",
		new:     "return append(read, \"fanout\")",
		promise: "The authorities of the network block vouch for NATS when the doctor looks, too.",
		pkg:     "./config", run: "^TestTheFanoutIsReadBeside",
	},
}
