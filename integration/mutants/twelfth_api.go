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
		name: "twelfth-api-chat-is-asked", file: "relay/internal/api/verify.go",
		old: "case !set.moved && (before.Echoes() || !set.e.Echoes()):", new: "case !set.moved && before.Echoes():",
		promise: "A visitor who changes a chat that stays one is asked for no proof that the chat cannot give.",
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
	{
		name: "twelfth-api-tail-of-a-tenant-is-never-over", file: "relay/internal/api/stream.go",
		old: "\tif t.of[tenant]--; t.of[tenant] == 0 {\n\t\tdelete(t.of, tenant)\n\t}\n", new: "",
		promise: "A live tail of a tenant that ended makes room for another.",
		pkg:     "./relay/internal/api", run: "TestATenantLeavesLiveTails",
	},
	{
		name: "twelfth-api-scheme-in-one-spelling", file: "relay/internal/api/auth.go",
		old: "!strings.EqualFold(scheme, \"Bearer\")", new: "scheme != \"Bearer\"",
		promise: "The scheme of an authorization may be in small letters.",
		pkg:     "./relay/internal/api", run: "TestTheSchemeOfAKey",
	},
	{
		name: "twelfth-api-row-of-several-lines", file: "relay/internal/panel/stream.go",
		old: "if r == '\\n' || r == '\\r' {", new: "if r == '\\n' {",
		promise: "A row of the live log is one line of the stream, whatever an event's id holds.",
		pkg:     "./relay/internal/panel", run: "TestARowOfTheLiveLog",
	},
	{
		name: "twelfth-api-field-for-the-form", file: "relay/internal/panel/assets/panel.js",
		old: "form.getAttribute(\"method\") !== \"post\"", new: "form.method !== \"post\"",
		promise: "The panel's script asks a form for nothing that a field of it hides.",
		pkg:     "./relay/internal/panel", run: "TestNoFieldHides",
	},
	{
		name: "twelfth-api-form-is-redirected-elsewhere", file: "relay/internal/panel/portal.go",
		old: "if v.r.Header.Get(\"Sec-Fetch-Site\") == \"same-origin\" {", new: "if v.r.Header.Get(\"Sec-Fetch-Site\") == \"same\" {",
		promise: "Whoever sends a form of the portal after its link has ended comes to where there is another.",
		pkg:     "./relay/internal/panel", run: "TestAVisitEnds",
	},
	{
		name: "twelfth-api-open-until-a-restart", file: "relay/reload.go",
		old: "\t\t\tc.API = old.API // it is served until then, and not without its keys\n", new: "\t\t\t_ = old\n",
		promise: "An API that the configuration no longer has keeps its keys until it ends.",
		pkg:     "./relay", run: "TestAReloadNamesWhatOnlyARestart",
	},
	{
		name: "twelfth-api-links-are-not-watched", file: "config/watch.go",
		old: "\t\tfound = append(found, filepath.Dir(link))\n", new: "",
		promise: "The swap of a link on the way to the configuration reloads it.",
		pkg:     "./config", run: "TestWatchSeesTheSwap",
	},
	{
		name: "twelfth-api-last-link-is-the-first", file: "config/watch.go",
		old: "\tif parent := filepath.Dir(path); parent != path {\n\t\tif link := firstLink(parent); link != \"\" {\n\t\t\treturn link\n\t\t}\n\t}\n", new: "",
		promise: "The swap of a link to a folder of the configuration reloads it.",
		pkg:     "./config", run: "TestWatchSeesTheSwapOfAFolder",
	},
	{
		name: "twelfth-api-hangup-ends-a-start", file: "cmd/tailpost/run.go",
		old: "\t\t\tsignal.Notify(hangups, syscall.SIGHUP)\n", new: "\t\t\tdefer signal.Notify(hangups, syscall.SIGHUP)\n",
		promise: "A hangup while the configuration is read ends nothing.",
		pkg:     "./cmd/tailpost", run: "TestScripts/hangup",
	},
	{
		name: "twelfth-api-full-disk-leaves-a-part", file: "cmd/tailpost/fmt.go",
		old: "\t\t\treturn errors.Join(err, f.Truncate(int64(len(was))))\n", new: "\t\t\treturn err\n",
		promise: "A configuration that cannot be written in its usual form stays what it was.",
		pkg:     "./cmd/tailpost", run: "TestAFullDisk",
	},
	{
		name: "twelfth-api-key-with-its-line-break", file: "cmd/tailpost/client.go",
		old: "strings.TrimSpace(a.getenv(keyVariable))", new: "a.getenv(keyVariable)",
		promise: "White space around a key in the environment is no part of it.",
		pkg:     "./cmd/tailpost", run: "TestAKeyIsSent",
	},
}
