package schema

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// findTables lists the tables that could be an outbox by their name, with the columns whose types
// an event can come from. Partitions are left to their parents.
const findTables = `
SELECT n.nspname, c.relname,
       array_agg(a.attname::text ORDER BY a.attnum),
       array_agg(t.typname::text ORDER BY a.attnum)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tailpost')
  AND c.relname ~* '(outbox|event)'
GROUP BY n.nspname, c.relname`

// usualNames are the names that columns of outbox tables have elsewhere, the likeliest first.
var usualNames = struct{ id, eventType, key, tenant, payload, headers, createdAt []string }{ //nolint:gochecknoglobals // a table
	id:        []string{"id", "event_id", "uuid"},
	eventType: []string{"type", "event_type", "eventtype", "event_name", "name", "topic"},
	key:       []string{"key", "aggregate_id", "aggregateid", "partition_key", "entity_id"},
	tenant:    []string{"tenant", "tenant_id", "account_id", "organization_id"},
	payload:   []string{"payload", "data", "body", "event_data"},
	headers:   []string{"headers", "metadata"},
	createdAt: []string{"created_at", "createdat", "inserted_at", "occurred_at", "timestamp"},
}

// FindTables returns the mappings of tables that look like an outbox, the likeliest first: by the
// names of the table and of its columns, and by their types. It reads the catalogue alone. Ask
// CheckTable whether events can really come from one of them.
func FindTables(ctx context.Context, db outbox.PgxTx) ([]outbox.Mapping, error) {
	rows, err := db.Query(ctx, findTables)
	if err != nil {
		return nil, fmt.Errorf("look for an outbox table: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (outbox.Mapping, error) {
		var namespace, name string
		var columns, types []string
		if err := row.Scan(&namespace, &name, &columns, &types); err != nil {
			return outbox.Mapping{}, err
		}
		return guess(namespace+"."+name, columns, types), nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for an outbox table: %w", err)
	}
	found = slices.DeleteFunc(found, func(m outbox.Mapping) bool { return m.Validate() != nil })
	slices.SortFunc(found, func(a, b outbox.Mapping) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Table, b.Table))
	})
	return found, nil
}

// rank orders tables by how likely they are an outbox; the likeliest is the lowest.
func rank(m outbox.Mapping) int {
	_, name := m.SchemaAndName()
	switch name = strings.ToLower(name); {
	case name == "outbox":
		return 0
	case strings.Contains(name, "outbox"):
		return 1
	default:
		return 2
	}
}

// guess maps the columns of a table by their names. What it does not find stays empty.
func guess(table string, columns, types []string) outbox.Mapping {
	find := func(names []string, fits func(typename string) bool) string {
		for _, name := range names {
			for i, column := range columns {
				if strings.EqualFold(column, name) && fits(types[i]) {
					return column
				}
			}
		}
		return ""
	}
	oneOf := func(want ...string) func(string) bool {
		return func(typename string) bool { return slices.Contains(want, typename) }
	}
	text := oneOf("text", "varchar", "bpchar", "uuid", "int4", "int8", "citext")
	return outbox.Mapping{
		Table:     table,
		ID:        find(usualNames.id, text),
		Type:      find(usualNames.eventType, oneOf("text", "varchar", "bpchar", "citext")),
		Payload:   find(usualNames.payload, oneOf("jsonb", "json", "text", "varchar", "bytea")),
		Key:       find(usualNames.key, text),
		Tenant:    find(usualNames.tenant, text),
		Headers:   find(usualNames.headers, oneOf("jsonb", "json")),
		CreatedAt: find(usualNames.createdAt, oneOf("timestamptz", "timestamp", "date")),
	}
}

// Fit returns the mapping without the optional columns that the table lacks (outbox.Mapping.Fit),
// so that a writer names only what is there. Of a table that is not there nothing is left out.
func Fit(ctx context.Context, db outbox.PgxTx, m outbox.Mapping) (outbox.Mapping, error) {
	namespace, name := m.SchemaAndName()
	rows, err := db.Query(ctx, `
SELECT a.attname::text
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1
  AND c.relname = $2
  AND a.attnum > 0
  AND NOT a.attisdropped`, namespace, name)
	if err != nil {
		return m, fmt.Errorf("read the columns of %s: %w", m.Table, err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return m, fmt.Errorf("read the columns of %s: %w", m.Table, err)
	}
	if len(columns) == 0 {
		return m, nil
	}
	return m.Fit(columns), nil
}

// DecodesLog reports whether the server writes what logical replication needs into its log, or does
// as soon as there is a slot.
func DecodesLog(ctx context.Context, db outbox.PgxTx) (bool, error) {
	rows, err := db.Query(ctx, "SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('wal_level')")
	if err != nil {
		return false, fmt.Errorf("read wal_level: %w", err)
	}
	server, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[struct {
		Version int
		Level   string
	}])
	if err != nil {
		return false, fmt.Errorf("read wal_level: %w", err)
	}
	return pglink.Decodes(server.Version, server.Level), nil
}
