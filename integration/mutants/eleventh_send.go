package main

// eleventhSendMutants are of what sends and of what is asked of it, and were chosen by reading the
// code; several are of what was mended then.
var eleventhSendMutants = []mutant{
	{
		name: "eleventh-send-token-is-taken-whichever-it-was", file: "relay/internal/token/token.go",
		old: "\tif s.kept.value == value {\n", new: "\t{\n",
		promise: "A new token that the receiver refuses is a failure like others, whatever was taken before it.",
		pkg:     "./relay/internal/token", run: "TestRefusedIsTheToken",
	},
	{
		name: "eleventh-send-chunks-beside-a-length", file: "relay/internal/http1/body.go",
		old: "err == nil && !f.hasLength && !f.http10, err", new: "err == nil && !f.http10, err",
		promise: "A connection is not used again whose answer says its length twice.",
		pkg:     "./relay/internal/http1", run: "TestAnswer_saysWhether",
	},
	{
		name: "eleventh-send-a-broken-hold-has-more-grace", file: "relay/internal/dispatch/dispatch.go",
		old: "grace = min(grace, brokenGrace)", new: "grace = brokenGrace",
		promise: "Where the hold broke requests in flight have no more than the grace.",
		pkg:     "./relay/internal/dispatch", run: "TestRun_endsWithin",
	},
	{
		name: "eleventh-send-endpoint-of-no-tenant-is-found", file: "relay/internal/query/endpoint.go",
		old: "WHERE id = @id\n  AND (@tenant::text = '' OR tenant = @tenant)", new: "WHERE id = @id\n  AND (@tenant::text = '' OR COALESCE(tenant, @tenant) = @tenant)",
		promise: "A key of a tenant finds no endpoint that is every tenant's.",
		pkg:     "./relay/internal/query", run: "TestWhatIsAnothers",
	},
	{
		name: "eleventh-send-key-of-no-tenant-is-found", file: "relay/internal/query/key.go",
		old: "WHERE id = @id\n  AND (@tenant::text = '' OR tenant = @tenant)", new: "WHERE id = @id\n  AND (@tenant::text = '' OR COALESCE(tenant, @tenant) = @tenant)",
		promise: "A key of a tenant deletes no key that is bound to none.",
		pkg:     "./relay/internal/query", run: "TestWhatIsAnothers",
	},
	{
		name: "eleventh-send-cloudevents-are-not-asked-for-over-http2", file: "relay/internal/webhook/verify.go",
		old: "p.keepFields, p.first.keepFields = true, true", new: "p.keepFields = true",
		promise: "A receiver that speaks HTTP/2 shows by its headers that it wants events.",
		pkg:     "./relay/internal/webhook", run: "TestVerify_cloudEvents",
	},
	{
		name: "eleventh-send-how-a-body-is-packed-is-hidden", file: "relay/internal/webhook/headers.go",
		old: "\"content-encoding\": true, ", new: "",
		promise: "Among the headers of a request that are kept is how its body is packed.",
		pkg:     "./relay/internal/webhook", run: "TestSendKeepsTheAttributes",
	},
	{
		name: "eleventh-send-a-shorter-park-after-waits", file: "relay/internal/dispatch/lane.go",
		old: "\t\tl.patrol.Reset(l.policy.parkAfter)\n\t}\n\tif was", new: "\t}\n\tif was",
		promise: "A park_after that is shorter holds at once.",
		pkg:     "./relay/internal/dispatch", run: "TestParkAfter_thatIsShorter",
	},
	{
		name: "eleventh-send-warnings-of-another-end-count", file: "relay/internal/dispatch/lane.go",
		old: "\t\tl.health.failing.warns = 0 // they", new: "\t\t_ = 0 // they",
		promise: "Somebody hears before an endpoint is disabled, also where that was put off.",
		pkg:     "./relay/internal/dispatch", run: "TestAnEndpointThatMayFail",
	},
	{
		name: "eleventh-send-what-another-tenant-discarded-is-told", file: "relay/internal/query/eventstate.go",
		old: "\n             AND (@tenant::text = '' OR EXISTS (SELECT FROM tailpost.endpoint AS e WHERE e.id = x.endpoint_id AND e.tenant = @tenant))", new: "",
		promise: "What another tenant has discarded is not told to a key of a tenant.",
		pkg:     "./relay/internal/query", run: "TestWhatBecameOfAnEvent",
	},
	{
		name: "eleventh-send-sql-of-all-resends", file: "relay/internal/panel/operation.go",
		old: "\ts.equal(\"endpoint_id\", link.Get(\"endpoint\"))\n\ts.equal(\"tenant\"", new: "\ts.equal(\"tenant\"",
		promise: "The SQL of a list of resends has those that the page shows: of one endpoint.",
		pkg:     "./relay/internal/panel", run: "TestAListIsWhat",
	},
	{
		name: "eleventh-send-sql-takes-a-pattern-for-a-type", file: "relay/internal/panel/log.go",
		old: "s.like(\"event_type\", f.Type)", new: "s.equal(\"event_type\", f.Type)",
		promise: "The SQL of a search finds what the page shows: the types that a pattern takes.",
		pkg:     "./relay/internal/panel", run: "TestAListIsWhat",
	},
	{
		name: "eleventh-send-type-is-deleted-whatever-it-is-by-now", file: "relay/internal/api/eventtype.go",
		old: "err := in.check(old.Version); err != nil {\n\t\treturn nil, err\n\t}\n\tif err := c.Delete", new: "err := c.Delete",
		promise: "With If-Match a type that was changed meanwhile is not deleted.",
		pkg:     "./relay/internal/api", run: "TestATypeThatIsGone",
	},
	{
		name: "eleventh-send-scope-is-there-twice", file: "relay/internal/api/key.go",
		old: "\tscopes = slices.Compact(scopes)\n", new: "",
		promise: "A key has each scope once.",
		pkg:     "./relay/internal/api", run: "TestKeysGiveNoMore",
	},
	{
		name: "eleventh-send-made-disabled-for-no-reason", file: "relay/internal/query/endpoint.go",
		old: "    NULLIF(@disabled_reason, ''), NULL, 'api'", new: "    NULL, NULL, 'api'",
		promise: "An endpoint that is made disabled says why it is.",
		pkg:     "./relay/internal/api", run: "TestASetUpScript",
	},
	{
		name: "eleventh-send-nothing-to-look-at-is-all", file: "relay/internal/api/backtest.go",
		old: "= recent.Listed && !recent.Stopped", new: "= !recent.Stopped",
		promise: "A backtest of a table that cannot be listed is not said to be of all there is.",
		pkg:     "./relay/internal/api", run: "TestSubscriptionsAreTried",
	},
	{
		name: "eleventh-send-ready-after-a-minute-without-nats", file: "relay/internal/api/ready.go",
		old: "!status.Unpublished.IsZero() && waited >= stuckAfter", new: "!status.Unpublished.IsZero() && waited > stuckAfter",
		promise: "A relay that NATS has taken nothing from for a minute is not ready.",
		pkg:     "./relay/internal/api", run: "TestReadyWhere",
	},
	{
		name: "eleventh-send-as-many-as-were-asked-for-is-not-all", file: "relay/internal/query/recent.go",
		old: "list.page.Next != nil && len(list.page.Events) < q.Most", new: "list.page.Next != nil",
		promise: "A backtest of as many events as were asked for is whole.",
		pkg:     "./relay/internal/api", run: "TestSubscriptionsAreTried",
	},
}
