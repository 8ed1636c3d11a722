package main

// twelfthAPIMutants are of the twelfth sample: of who may see and do what, of streams and forms,
// and of what happens beside the relay.
var twelfthAPIMutants = []mutant{
	{
		name: "twelfth-api-chat-is-never-asked", file: "relay/internal/api/verify.go",
		old: "case !set.moved && (before.Echoes() || !set.e.Echoes()):", new: "case !set.moved:",
		promise: "An endpoint of a visitor that is a chat no more has to show that it wants events.",
		pkg:     "./relay/internal/api", run: "TestAChatThatIsOneNoMore",
	},
	{
		name: "twelfth-api-tail-outlives-its-secret", file: "relay/internal/api/stream.go",
		old: " || subtle.ConstantTimeCompare(l.principal.fingerprint, now) != 1 {", new: " || subtle.ConstantTimeCompare(now, now) != 1 {",
		promise: "A live tail ends when the secret of its key is replaced.",
		pkg:     "./relay/internal/api", run: "TestALiveTailEndsWithItsKey",
	},
	{
		name: "twelfth-api-tenant-takes-all-tails", file: "relay/internal/api/stream.go",
		old: "t.of[tenant] >= maxTenantTails || ", new: "",
		promise: "One tenant leaves live tails to other tenants.",
		pkg:     "./relay/internal/api", run: "TestATenantLeavesLiveTails",
	},
	{
		name: "twelfth-api-tenants-take-all-tails", file: "relay/internal/api/stream.go",
		old: " || t.open-t.of[\"\"] >= maxBoundTails)", new: ")",
		promise: "All tenants together leave live tails to the operator.",
		pkg:     "./relay/internal/api", run: "TestATenantLeavesLiveTails",
	},
}
