package main

// catalogueMutants break how events are described by files, and how payloads are held against that.
var catalogueMutants = []mutant{
	{
		name: "catalogue-json-by-one-name", file: "config/catalogue/read.go",
		old: "\t\t\trank = 0\n\t\t\tif name != \"application/json\" {\n\t\t\t\trank = 1\n", new: "\t\t\trank = 0\n\t\t\tif name != \"application/json\" {\n\t\t\t\trank = none\n",
		promise: "A media type of JSON describes a payload with a charset as well.",
		pkg:     "./config/catalogue", run: "TestAnyMediaType",
	},
	{
		name: "catalogue-takes-the-range-first", file: "config/catalogue/read.go",
		old: "\t\tif rank < best {\n", new: "\t\tif rank < none && best >= 0 {\n",
		promise: "Of several media types of JSON the plainest describes the payload.",
		pkg:     "./config/catalogue", run: "TestAnyMediaType",
	},
	{
		name: "catalogue-fetches", file: "config/catalogue/check.go",
		old: "	c.UseLoader(nowhere{})\n", new: "	c.UseLoader(jsonschema.FileLoader{})\n",
		promise: "No schema has a file read or anything fetched.",
		pkg:     "./config/catalogue", run: "TestADocumentThatIsBrokenIsRefusedWithItsPlace",
	},
	{
		name: "catalogue-check-without-an-end", file: "config/catalogue/check.go",
		old: "if m.left--; m.left < 0 {", new: "if m.left--; m.left < -1<<24 {",
		promise: "A check of a payload has an end.",
		pkg:     "./config/catalogue", run: "TestACheckIsBounded",
	},
	{
		name: "catalogue-steps-are-not-given-back", file: "config/catalogue/check.go",
		old: "	s.meter.left = maxSteps\n", new: "",
		promise: "Each payload has all the steps of a check.",
		pkg:     "./config/catalogue", run: "TestACheckIsBounded",
	},
	{
		name: "catalogue-envelope-is-the-payload", file: "config/catalogue/read.go",
		old: "(properties[\"timestamp\"] != nil ||", new: "(properties[\"timestamps\"] != nil ||",
		promise: "A schema of the standard envelope is about what is in its data.",
		pkg:     "./config/catalogue", run: "TestAnOpenAPIDocumentDescribesTypes",
	},
	{
		name: "catalogue-yaml-loses-digits", file: "config/catalogue/read.go",
		old: "json.Valid([]byte(number)) {", new: "json.Valid([]byte(number)) && len(number) > 99 {",
		promise: "Numbers of a YAML document keep their digits.",
		pkg:     "./config/catalogue", run: "TestAnOpenAPIDocumentDescribesTypes",
	},
	{
		name: "catalogue-nullable-means-nothing", file: "config/catalogue/bundle.go",
		old: "if v[\"nullable\"] == true {", new: "if v[\"nullable\"] == 1 {",
		promise: "What OpenAPI 3.1 ignores of 3.0 is refused, not ignored.",
		pkg:     "./config/catalogue", run: "TestADocumentThatIsBrokenIsRefusedWithItsPlace",
	},
	{
		name: "catalogue-values-are-keywords", file: "config/catalogue/bundle.go",
		old: "copied[name] = inner // values", new: "copied[name], err = b.deeper(inner, depth) // values",
		promise: "What stands in an example or a constant is no keyword.",
		pkg:     "./config/catalogue", run: "TestValuesOfASchemaAreNoKeywords",
	},
	{
		name: "catalogue-circle", file: "config/catalogue/bundle.go",
		old: "if _, known := b.defs[name]; !known {", new: "if b.defs[name] == nil && len(b.defs) < 1000 {",
		promise: "Components that refer to each other are taken once.",
		pkg:     "./config/catalogue", run: "TestAnOpenAPIDocumentDescribesTypes",
	},
	{
		name: "catalogue-broken-schema-is-left-out", file: "config/catalogue.go",
		old: "			fail(\"Invalid schema\", \"%s.\", err)\n			continue\n", new: "			continue\n",
		promise: "A broken schema is an error of the configuration.",
		pkg:     "./config", run: "TestABrokenSchemaIsAnErrorOfTheConfiguration",
	},
	{
		name: "catalogue-two-of-a-name", file: "config/catalogue.go",
		old: "case first[t.Name] != \"\":", new: "case first[t.Name] == t.Place:",
		promise: "Two files do not describe the same type.",
		pkg:     "./config", run: "TestABrokenSchemaIsAnErrorOfTheConfiguration",
	},
	{
		name: "catalogue-dead-is-sent", file: "relay/internal/webhook/endpoint.go",
		old: "if r.note != \"\" && e.client.strict {", new: "if r.note != \"\" && e.client.strict && e.http != \"\" {",
		promise: "With validate = \"dead\" nothing is sent that the schema does not allow.",
		pkg:     "./relay/internal/webhook", run: "TestAPayloadThatItsSchemaDoesNotAllow",
	},
	{
		name: "catalogue-warn-without-a-word", file: "relay/internal/webhook/request.go",
		old: "		res.Attempt.Error = r.note\n", new: "",
		promise: "With validate = \"warn\" the attempt has a note.",
		pkg:     "./relay/internal/webhook", run: "TestAPayloadThatItsSchemaDoesNotAllow",
	},
	{
		name: "catalogue-batches-unchecked", file: "relay/internal/webhook/format.go",
		old: "	if err := e.validate(r); err != nil {\n		return dst, err\n	}\n", new: "",
		promise: "Payloads of a batch are held against their schemas too.",
		pkg:     "./relay/internal/webhook", run: "TestSchemasHoldInBatches",
	},
	{
		name: "catalogue-reload-keeps-the-schemas", file: "relay/reload.go",
		old: "s.cfg.Catalogue.Equal(&others.cfg.Catalogue) && ", new: "",
		promise: "A reload has payloads held against the schemas of now.",
		pkg:     "./relay", run: "TestPayloadsAreHeldAgainstTheCatalogue",
	},
	{
		name: "catalogue-always-written", file: "relay/internal/ledger/mirror.go",
		old: "\nWHERE (t.description, t.schema::text, t.example::text, t.deprecated)\n    IS DISTINCT FROM (EXCLUDED.description, EXCLUDED.schema::text, EXCLUDED.example::text, EXCLUDED.deprecated)`", new: "`",
		promise: "What did not change is not written again.",
		pkg:     "./relay", run: "TestPayloadsAreHeldAgainstTheCatalogue",
	},
	{
		name: "catalogue-uncounted", file: "relay/observe.go",
		old: "	v.relay.rare.Invalid()\n", new: "",
		promise: "Payloads that their schema does not allow are counted.",
		pkg:     "./relay", run: "TestInvalidPayloadsAreCountedAndToldOfOnceInAMinute",
	},
	{
		name: "catalogue-log-floods", file: "relay/observe.go",
		old: "if now.Sub(v.told[eventType]) < invalidPause {", new: "if now.Sub(v.told[eventType]) < 0 {",
		promise: "The log tells of invalid payloads once in a minute for a type.",
		pkg:     "./relay", run: "TestInvalidPayloadsAreCountedAndToldOfOnceInAMinute",
	},
}
