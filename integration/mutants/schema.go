package main

// schemaMutants break what the outbox's SQL promises.
var schemaMutants = []mutant{
	{
		name: "schema-capture-search-path", file: "outbox/schema/capture.sql.tmpl",
		old: " SET search_path = pg_catalog, pg_temp", new: "",
		promise: "Nobody's functions or operators run with the rights of a capturing function's owner.",
		pkg:     "./outbox/schema", run: "TestCapture_writersNeedNoRightsOnTheOutbox",
	},
	{
		name: "schema-capture-owner", file: "outbox/schema/capture.sql.tmpl",
		old: " SECURITY DEFINER", new: "",
		promise: "Who may change a captured table needs no rights on the outbox.",
		pkg:     "./outbox/schema", run: "TestCapture_writersNeedNoRightsOnTheOutbox",
	},
	{
		name: "schema-capture-old-row", file: "outbox/schema/capture.sql.tmpl",
		old: "pg_catalog.to_jsonb(OLD)", new: "pg_catalog.to_jsonb(NEW)",
		promise: "The event of a DELETE has the row that was deleted.",
		pkg:     "./outbox/schema", run: "TestCapture_everyChangeIsAnEventInItsTransaction",
	},
	{
		name: "schema-capture-leftover", file: "outbox/schema/capture.sql.tmpl",
		old: "DROP TRIGGER IF EXISTS", new: "-- DROP TRIGGER IF EXISTS",
		promise: "A capture that is run again for fewer operations makes no events of the others.",
		pkg:     "./outbox/schema", run: "TestCapture_againReplacesWhatItMade",
	},
	{
		name: "schema-capture-missing-column", file: "outbox/schema/capture.sql.tmpl",
		old: "{{if .Named}}", new: "{{if false}}",
		promise: "A misspelt column fails when the trigger is made, and is not NULL in every event.",
		pkg:     "./outbox/schema", run: "TestCapture_aColumnThatIsNotThereFailsTheScript",
	},
	{
		name: "schema-find-any-type", file: "outbox/schema/find.go",
		old: "strings.EqualFold(column, name) && fits(types[i])", new: "strings.EqualFold(column, name) && i < len(types)",
		promise: "A column whose type no event can come from is not mapped.",
		pkg:     "./outbox/schema", run: "TestFindTables_mapsWhatLooksLikeAnOutbox",
	},
	{
		name: "schema-find-partition", file: "outbox/schema/find.go",
		old: "  AND NOT c.relispartition\n", new: "",
		promise: "A partition is not offered as an outbox of its own.",
		pkg:     "./outbox/schema", run: "TestFindTables_mapsWhatLooksLikeAnOutbox",
	},
	{
		name: "schema-init-overwrites", file: "cmd/tailpost/init.go",
		old: "!errors.Is(err, fs.ErrNotExist) {\n\t\t\treturn hint(", new: "false && err != nil {\n\t\t\treturn hint(",
		promise: "`tailpost init` says that a file is there, and writes nothing.",
		pkg:     "./cmd/tailpost", run: "TestScripts/init",
	},
	{
		name: "schema-trigger-optional-columns", file: "outbox/schema/find.go",
		old: "return m.Fit(columns), nil", new: "return m, nil",
		promise: "`tailpost trigger` writes to a table that lacks the optional columns.",
		pkg:     "./cmd/tailpost", run: "TestScripts/init",
	},
	{
		name: "schema-step-waits-for-a-lock", file: "outbox/schema/migrate.go",
		old:     "\t\tif err := setLocal(ctx, tx, \"lock_timeout\", migrateLockTimeout); err != nil {\n\t\t\treturn err\n\t\t}\n",
		new:     "",
		promise: "A migration soon gives up a lock that others hold: everybody would wait behind it.",
		pkg:     "./outbox/schema", run: "TestMigrate_givesUpALockThatOthersHold",
	},
	{
		name: "schema-look-waits-for-a-lock", file: "outbox/schema/prepare.go",
		old:     "set(\"pg_catalog, pg_temp\", \"0\", migrateLockTimeout)",
		new:     "set(\"pg_catalog, pg_temp\", \"0\", \"0\")",
		promise: "A migration that cannot even look at the version gives up too.",
		pkg:     "./outbox/schema", run: "TestMigrate_givesUpALockThatOthersHold",
	},
	{
		name: "schema-printed-twice", file: "outbox/schema/print.go",
		old:     "IF EXISTS (SELECT FROM tailpost.migration AS m WHERE m.version = %d) THEN",
		new:     "IF EXISTS (SELECT FROM tailpost.migration AS m WHERE m.version < %d - 1000) THEN",
		promise: "A printed script that is run again does no migration twice.",
		pkg:     "./outbox/schema", run: "TestAScriptThatIsRunAgainChangesNothing",
	},
	{
		name: "schema-sizes-need-a-table", file: "outbox/schema/size.go",
		old:     "{\"outbox\": nil, ",
		new:     "{\"outbox\": \"\", ",
		promise: "The tables are measured where there is no outbox table.",
		pkg:     "./outbox/schema", run: "TestWithoutATableTheRestIsMeasured",
	},
	{
		name: "schema-non-transactional-messages-silent", file: "relay/internal/source/postgres/events.go",
		old:     "if e.opts.Messages == \"\" || prefix != e.opts.Messages || e.warned {",
		new:     "if true {",
		promise: "Who emits events outside of transactions reads in the log that they are none.",
		pkg:     "./integration", run: "TestLogicalMessages",
	},
	{
		name: "schema-refusal-of-another-block", file: "config/config.go",
		old:     "if n.tenants {",
		new:     "if !n.tenants {",
		promise: "A refused address says which block of the configuration could allow it.",
		pkg:     "./relay/internal/webhook", run: "TestARefusalNamesTheBlockThatAllows",
	},
	{
		name: "schema-old-relay-cannot-record", file: "outbox/schema/migrations/0028_request_id.sql",
		old:     "ADD COLUMN request_id text;",
		new:     "ADD COLUMN request_id text, ADD CONSTRAINT asked CHECK (request_id IS NOT NULL) NOT VALID;",
		promise: "A relay of the last release records in the new tables.",
		pkg:     "./integration", run: "TestTheLastReleaseRunsOnTheNewTables",
	},
	{
		name: "schema-unchecked-at-the-start", file: "relay/internal/ledger/ledger.go",
		old: "return schema.Check(ctx, conn) })", new: "_ = schema.Check; return nil })",
		promise: "A relay refuses tables of another version, and says what to do.",
		pkg:     "./relay", run: "TestWhateverRunRefusesDoctorHasSaid",
	},
}
