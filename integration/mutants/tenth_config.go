package main

// tenthConfigMutants are of the configuration, the outbox and the relay itself, and were chosen by
// reading the code.
var tenthConfigMutants = []mutant{
	{
		name: "header-of-many-values", file: "config/address.go",
		old: "value.Len()+len(text) > receiver.MaxHeaderValue", new: "len(text) > receiver.MaxHeaderValue",
		promise: "A header that is put together of several values is refused when all of them are too long.",
		pkg:     "./config", run: "TestAddressOfHeaders",
	},
	{
		name: "secret-beside-an-expression", file: "config/json.go",
		old: "hasExpression(value) && !e.SensitiveURL", new: "hasExpression(value)",
		promise: "A query parameter with a secret from the environment is not shown, although an expression stands beside it.",
		pkg:     "./config", run: "TestExpressionsOfAnEndpoint",
	},
	{
		name: "frame-origin-with-a-query", file: "config/portal.go",
		old: `u.Path != "" || u.RawQuery != "" || u.Fragment != ""`, new: `u.Path != "" || u.Fragment != ""`,
		promise: "An origin that may frame the portal is scheme and host alone.",
		pkg:     "./config", run: "TestFilesGive",
	},
	{
		name: "replication-url-unread", file: "config/validate.go",
		old: `c.connection("database.replication_url", db.ReplicationURL)`, new: `c.connection("database.replication_url", db.URL)`,
		promise: "A replication_url that cannot be read is refused when the file is checked.",
		pkg:     "./config", run: "TestWhatAConfigurationCannotSay",
	},
	{
		name: "token-url-past-the-proxy", file: "config/validate_auth.go",
		old: "case !place.Secure && !c.config.Network.Proxy.IsZero():", new: "case false:",
		promise: "A token URL of plain http is refused where requests go through an egress proxy.",
		pkg:     "./config", run: "TestWhatAConfigurationCannotSay",
	},
	{
		name: "status-308", file: "config/validate_endpoint.go",
		old: `text == "307" || text == "308"`, new: `text == "307"`,
		promise: "Neither status of a redirect means success, or a refusal.",
		pkg:     "./config", run: "TestFilesGive",
	},
	{
		name: "http2-in-capitals", file: "config/validate_endpoint.go",
		old: `strings.HasPrefix(strings.ToLower(e.URL), "http:")`, new: `strings.HasPrefix(e.URL, "http:")`,
		promise: "HTTP/2 without TLS is refused however the scheme is written.",
		pkg:     "./config", run: "TestFilesGive",
	},
	{
		name: "extra-of-none", file: "config/filter/body.go",
		old: `return append(dst, "{}"...), nil`, new: `return append(dst, "null"...), nil`,
		promise: "A body has an object for event.extra, be it empty.",
		pkg:     "./config/filter", run: "TestBodyOfWholePayload",
	},
	{
		name: "type-of-the-path", file: "config/catalogue/read.go",
		old: "[]map[string]any{path, op}", new: "[]map[string]any{op, path}",
		promise: "The x-event-type of an operation counts before that of its path.",
		pkg:     "./config/catalogue", run: "TestAnOperationNamesItsType",
	},
	{
		name: "zone-of-the-machine", file: "outbox/mapping.go",
		old: `err != nil || m.TimeZone == "Local" || `, new: "err != nil || ",
		promise: "No mapping has the time zone of whatever machine reads it.",
		pkg:     "./outbox", run: "TestMappingValidate",
	},
	{
		name: "disabling-is-no-ones", file: "outbox/operational.go",
		old: "TypeRecovered, TypeDisabling, TypeDisabled:", new: "TypeRecovered, TypeDisabled:",
		promise: "The warning that an endpoint will be disabled is one of Tailpost's own events.",
		pkg:     "./outbox", run: "TestOperational",
	},
	{
		name: "blames-who-waits", file: "outbox/schema/migrate.go",
		old: "  AND l.granted\n", new: "",
		promise: "A session that waits for a lock itself is not named as one to end.",
		pkg:     "./outbox/schema", run: "TestMigrate_givesUp",
	},
	{
		name: "deletes-of-full-identity", file: "outbox/schema/migrations/publications.sql.tmpl",
		old: "NOT IN ('d', 'f')", new: "NOT IN ('d')",
		promise: "A partition whose deletes say all of a row keeps the publication from nothing.",
		pkg:     "./outbox/schema", run: "TestPrintPublishesDeletes",
	},
	{
		name: "growth-of-the-machines-day", file: "outbox/schema/size.go",
		old: "now.UTC().AddDate(0, 0, -1)", new: "now.AddDate(0, 0, -1)",
		promise: "The growth of a day is that of a day in UTC.",
		pkg:     "./outbox/schema", run: "TestWhatTablesTake",
	},
	{
		name: "drop-of-the-machines-day", file: "outbox/schema/size.go",
		old: "now.Add(-retention).UTC()", new: "now.Add(-retention)",
		promise: "What retention drops next is a day in UTC.",
		pkg:     "./outbox/schema", run: "TestWhatTablesTake",
	},
	{
		name: "unique-with-more", file: "outbox/schema/table.go",
		old: "(i.indkey::int2[])[0:i.indnkeyatts - 1]", new: "(i.indkey::int2[])",
		promise: "An index that keeps the id unique may include other columns.",
		pkg:     "./outbox/schema", run: "TestCheckTable",
	},
	{
		name: "trigger-for-a-statement", file: "outbox/schema/capture.sql.tmpl",
		old: "g.tgtype & 7 = 7", new: "g.tgtype & 6 = 6",
		promise: "No trigger for each statement gives a row its id.",
		pkg:     "./outbox/schema", run: "TestCapture_failsWhere",
	},
	{
		name: "trigger-too-late", file: "outbox/schema/capture.sql.tmpl",
		old: "g.tgtype & 7 = 7", new: "g.tgtype & 5 = 5",
		promise: "No trigger after the insert gives a row its id.",
		pkg:     "./outbox/schema", run: "TestCapture_failsWhere",
	},
	{
		name: "trigger-of-updates", file: "outbox/schema/capture.sql.tmpl",
		old: "g.tgtype & 7 = 7", new: "g.tgtype & 3 = 3",
		promise: "No trigger of updates gives a row its id.",
		pkg:     "./outbox/schema", run: "TestCapture_failsWhere",
	},
	{
		name: "unnamed-is-the-oldest", file: "relay/internal/plan/blocks.go",
		old: "cmp.Or(named, newest), after}", new: "cmp.Or(named, oldest, newest), after}",
		promise: "An endpoint of the configuration that named no version got the newest.",
		pkg:     "./relay/internal/plan", run: "TestTheFirstVersions",
	},
	{
		name: "disk-unknown", file: "relay/commands.go",
		old: "doctor.Options{Now: time.Now(), Free: o.Free}", new: "doctor.Options{Now: time.Now()}",
		promise: "doctor holds the growth against what the disk has left.",
		pkg:     "./relay", run: "TestDoctorKnows",
	},
	{
		name: "audit-of-what-is-kept-for-ever", file: "relay/hold.go",
		old: "Attempts: max(cfg.Retention.Attempts, 0)", new: "Attempts: cfg.Retention.Attempts",
		promise: "Where attempts are kept for ever, no row is too old to be looked for.",
		pkg:     "./relay", run: "TestAttemptsThatAreKept",
	},
	{
		name: "audit-of-what-was-kept", file: "relay/reload.go",
		old: ", old.cfg.Retention.Attempts != next.cfg.Retention.Attempts:", new: ":",
		promise: "After a reload the audit knows how long attempts are kept.",
		pkg:     "./relay", run: "TestAReloadTellsTheAudit",
	},
	{
		name: "reload-past-retention", file: "relay/hold.go",
		old: "return h.r.config().Retention }", new: "return cfg.Retention }",
		promise: "After a reload what is removed is what the new configuration no longer keeps.",
		pkg:     "./relay", run: "TestAReloadTellsRetention",
	},
}
