package main

// huntAgainMutants are of what a hunt on the running product, the simulation and a stranger's
// sample found in November 2026.
var huntAgainMutants = []mutant{
	{
		name: "api-moved-url-loses-auth", file: "relay/internal/api/settings.go",
		old: "setting.has && !said {", new: "setting.has && said {",
		promise: "A PATCH of the URL to another host loses no authentication in silence.",
		pkg:     "./relay/internal/api", run: "TestAuthOfAnEndpoint",
	},
	{
		name: "panel-moved-url-loses-auth", file: "relay/internal/panel/form.go",
		old: "!config.SameReceiver(has.URL, f.URL)", new: "config.SameReceiver(has.URL, f.URL)",
		promise: "The form asks for the authentication again where the URL leads elsewhere, also for what is not secret of it.",
		pkg:     "./relay/internal/panel", run: "TestTheFormOfAnEndpointHasItsAuthentication",
	},
	{
		name: "admission-first-word-holds", file: "relay/internal/dispatch/admission.go",
		old: "\t\ta.pause(now, r.asks)\n\tcase a.askedAt.IsZero():", new: "\tcase a.askedAt.IsZero():",
		promise: "Of answers under way that ask for a pause the longest holds.",
		pkg:     "./relay/internal/dispatch", run: "TestAdmission_doesWhatAReceiverInsistsOn",
	},
	{
		name: "load-into-a-paused-lane", file: "relay/internal/dispatch/load.go",
		old: "\tl.shed(time.Now()) // the endpoint may have been paused meanwhile\n", new: "",
		promise: "What was read while its endpoint was paused is read again when it is resumed: a person may have given it up.",
		pkg:     "./relay/internal/dispatch", run: "TestPark_whatWasRead",
	},
	{
		name: "disable-by-a-success-keeps-memory", file: "relay/internal/dispatch/send.go",
		old: "it.change, shed = disabled, true", new: "it.change = disabled",
		promise: "What waits for an endpoint that asks for no more is in the table at once.",
		pkg:     "./relay/internal/dispatch", run: "TestTheSimulation",
	},
	{
		name: "retention-by-one-clock", file: "relay/internal/upkeep/retention.go",
		old: "\tnow = pace.Sooner(now, database)\n", new: "\t_ = database\n",
		promise: "A relay whose clock is months ahead removes nothing that is not old.",
		pkg:     "./relay/internal/upkeep", run: "TestRetentionRemovesWhatItIsSetFor",
	},
	{
		name: "limit-counts-outages-of-nats", file: "relay/internal/heal/limit.go",
		old: "[]string{whyBackfill, WhyPartitions}", new: "[]string{whyBackfill}",
		promise: "A NATS that is away now and then ends no relay.",
		pkg:     "./relay/internal/heal", run: "TestMoreGaps",
	},
	{
		name: "reload-cuts-requests-off", file: "relay/reload.go",
		old: `var errAnew = fmt.Errorf("the configuration changed: %w", dispatch.ErrOrderly)`, new: `var errAnew = fmt.Errorf("the configuration changed: %w", ErrRestart)`,
		promise: "A reload makes no request in flight twice, whatever it changes.",
		pkg:     "./integration", run: "TestAReloadLeavesRequestsInFlightAlone",
	},
	{
		name: "another-receiver-inherits-the-pause", file: "relay/internal/dispatch/lane.go",
		old: "\t\tl.health.anew()\n", new: "\t\tl.staff()\n",
		promise: "A URL that leads elsewhere ends what the former receiver asked for.",
		pkg:     "./relay/internal/dispatch", run: "TestPause_endsWhereTheURL",
	},
	{
		name: "resuming-waits-for-the-pause", file: "relay/internal/dispatch/health.go",
		old: "h.circuit.reopenAt, h.admission = time.Time{}, admission{ceiling: h.admission.ceiling}", new: "h.circuit.reopenAt = time.Time{}",
		promise: "Whoever resumes an endpoint sees it tried, however long its receiver asked to be left alone.",
		pkg:     "./relay/internal/dispatch", run: "TestHealth_resumingTriesOnce",
	},
	{
		name: "lease-believes-in-what-it-gave-back", file: "relay/internal/lease/lease.go",
		old: "\t\tif err == nil {\n\t\t\tdelete(l.mine, partition)\n\t\t}\n", new: "",
		promise: "A partition that was given back is taken again only where nobody else has it.",
		pkg:     "./relay/internal/lease", run: "TestAPartitionHasOneOwner",
	},
	{
		name: "drain-waits-for-what-is-open", file: "relay/internal/source/jetstream/replay.go",
		old: "\t\tr.leave()\n\t} else {", new: "\t\treturn\n\t} else {",
		promise: "A fleet that gets another number of partitions waits for no end of a transaction that nobody goes on with.",
		pkg:     "./relay/internal/fleet", run: "TestDrain_waitsForWhatWasPublished",
	},
	{
		name: "gap-has-no-number-of-its-own", file: "relay/internal/ledger/partition.go",
		old: "IS NOT DISTINCT FROM @routing AND NOT @gap THEN", new: "IS NOT DISTINCT FROM @routing THEN",
		promise: "A sender that has not heard of a gap sends nothing of behind it.",
		pkg:     "./relay/internal/ledger", run: "TestRoute_numbers",
	},
	{
		name: "reload-lets-go-of-the-slot", file: "relay/hold.go",
		old: "if !errors.Is(err, errAnew) {", new: "if err != nil {",
		promise: "A reload that lets requests end keeps the slot until then, beside a relay that stands by.",
		pkg:     "./integration", run: "TestAReloadLeavesRequestsInFlightAlone",
	},
}
