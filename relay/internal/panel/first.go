package panel

import (
	"regexp"

	"github.com/tailpost/tailpost/config"
)

// simpleName is an identifier that SQL takes as it is written.
var simpleName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// identifier writes a name in SQL, quoted where it has to be.
func identifier(name string) string {
	if simpleName.MatchString(name) {
		return name
	}
	return quoteName(name)
}

// firstEventSQL writes an event as an application would: a row of the outbox table, or a logical
// message where there is no table.
func firstEventSQL(o *config.Outbox) string {
	const payload = `{"id": 42, "total": 99.50}`
	if o.Mapping.Table == "" {
		return "SELECT pg_logical_emit_message(true, " + quoteSQL(o.Messages) + ",\n" +
			"  json_build_object('id', gen_random_uuid(), 'type', 'order.created', 'data', '" + payload + "'::json)::text);"
	}
	schema, table := o.Mapping.SchemaAndName()
	return "INSERT INTO " + identifier(schema) + "." + identifier(table) + " (" + identifier(o.Mapping.Type) + ", " + identifier(o.Mapping.Payload) + ")\n" +
		"VALUES ('order.created', '" + payload + "');"
}
