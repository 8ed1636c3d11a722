package main

// setupMutants are what a stranger found who set tables, publications and the chart up otherwise
// than we do.
var setupMutants = []mutant{
	{
		name: "setup-a-lost-column-is-silent", file: "relay/internal/source/postgres/events.go",
		old:     "\te.miss(table)\n",
		new:     "",
		promise: "The log says when the outbox table loses an optional column.",
		pkg:     "./relay/internal/source/postgres", run: "^TestEventsTellOnceOfAColumnThatIsLost$",
	},
	{
		name: "setup-a-lost-column-is-told-of-again", file: "relay/internal/source/postgres/events.go",
		old:     "\te.lacks = lacks\n",
		new:     "",
		promise: "A column that is lost is told of once, and again only if it comes back and goes.",
		pkg:     "./relay/internal/source/postgres", run: "^TestEventsTellOnceOfAColumnThatIsLost$",
	},
	{
		name: "setup-what-the-table-had-at-the-start-is-forgotten", file: "relay/take.go",
		old:     "\treturn read, err\n}\n",
		new:     "\tread.Lacks = append(read.Lacks, \"key\")\n\treturn read, err\n}\n",
		promise: "A column that goes before the first row comes is lost too.",
		pkg:     "./relay", run: "^TestARelaySaysThatAnEndpointsColumnIsGone$",
	},
	{
		name: "setup-start-counts-no-order", file: "relay/take.go",
		old:     "unserved[\"ordering\"]; n > 0",
		new:     "unserved[\"ordering\"]; n > 1",
		promise: "A relay that starts warns of one endpoint whose order has no key.",
		pkg:     "./relay", run: "^TestARelaySaysThatAnEndpointsColumnIsGone$",
	},
	{
		name: "setup-check-warns-of-messages", file: "config/unserved.go",
		old:     "o.Mapping.Table != \"\" && o.Messages == \"\"",
		new:     "o.Mapping.Table != \"\"",
		promise: "An endpoint whose tenant messages may have is warned of nowhere.",
		pkg:     "./config", run: "^TestWhatMessagesMayHaveIsNoReasonToWarn$",
	},
	{
		name: "setup-check-warns-of-an-order-with-a-key", file: "config/unserved.go",
		old:     "e.Ordering == OrderingKey && m.Key == \"\"",
		new:     "e.Ordering == OrderingKey && m.Tenant == \"\"",
		promise: "An order by key is warned of where there is no key.",
		pkg:     "./config", run: "^TestWhatMessagesMayHaveIsNoReasonToWarn$",
	},
	{
		name: "setup-doctor-counts-disabled-endpoints", file: "relay/internal/doctor/unserved.go",
		old:     "WHERE e.status <> 'disabled'\n  AND NOT",
		new:     "WHERE NOT",
		promise: "An endpoint that is not in use asks for no column.",
		pkg:     "./relay/internal/doctor", run: "^TestEndpointsWithoutTheirColumnAreNamed$",
	},
	{
		name: "setup-doctor-counts-twice", file: "relay/internal/doctor/unserved.go",
		old:     "\n  AND NOT e.id = ANY (@known::text[])`",
		new:     "\n  AND (@known::text[]) IS NOT NULL`",
		promise: "An endpoint of the configuration is as it is there, whatever its row says.",
		pkg:     "./relay/internal/doctor", run: "^TestEndpointsWithoutTheirColumnAreNamed$",
	},
	{
		name: "setup-a-key-without-what-divides", file: "outbox/schema/table.go",
		old:     "\t\tif column != m.ID {\n",
		new:     "\t\tif column == m.ID {\n",
		promise: "The SQL that keeps the ids of a partitioned table unique can be run.",
		pkg:     "./outbox/schema", run: "^TestTheSQLThatKeepsIDsUniqueRuns$",
	},
	{
		name: "setup-a-second-primary-key", file: "outbox/schema/table.go",
		old:     "\tif t.Keyed {\n",
		new:     "\tif false {\n",
		promise: "A table with a primary key gets no second one.",
		pkg:     "./outbox/schema", run: "^TestTheSQLThatKeepsIDsUniqueRuns$",
	},
	{
		name: "setup-a-column-list-is-not-suspected", file: "relay/internal/source/postgres/events.go",
		old:     "len(missing) == 0 ||",
		new:     "len(missing) <= 1 ||",
		promise: "Where rows come without a column, the error names the publication.",
		pkg:     "./relay/internal/source/postgres", run: "^TestWhyRowsDoNotFitNamesThePublication$",
	},
	{
		name: "setup-a-column-list-is-kept", file: "relay/internal/source/postgres/publication.go",
		old:     "\tif have.listed != \"\" {\n\t\tall",
		new:     "\tif false {\n\t\tall",
		promise: "A publication with a column list is mended, or refused.",
		pkg:     "./relay/internal/source/postgres", run: "TestPublicationIsMended",
	},
}
