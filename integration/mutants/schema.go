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
}
