package schema

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// CheckTable reads the catalogue and says whether events can come from the mapped table: it exists,
// its rows reach the WAL, its columns have usable types, and its id identifies a row. All problems
// are reported at once, each with what to do. Warnings are for a person to read; the relay can
// work. It changes nothing.
func CheckTable(ctx context.Context, db outbox.PgxTx, m outbox.Mapping) (warnings []string, err error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	table, err := readTable(ctx, db, m)
	if err != nil {
		return nil, err
	}
	problems := table.storageProblems(m)
	if table.Kind == kindView || table.Kind == kindMatview || table.Kind == kindForeign {
		return nil, errors.Join(problems...)
	}
	columns, err := readColumns(ctx, db, table.OID)
	if err != nil {
		return nil, err
	}
	problems = append(problems, columnProblems(m, columns)...)

	uniques, err := readUniques(ctx, db, table.OID)
	if err != nil {
		return nil, err
	}
	warning, problem := idProblem(&table, m, columns, uniques)
	if problem != nil {
		problems = append(problems, problem)
	}
	if warning != "" {
		warnings = append(warnings, warning)
	}
	if !table.Readable {
		warnings = append(warnings, fmt.Sprintf("outbox table %s: this role may not read it, so rows that the stream lost cannot be found again: GRANT SELECT ON %s TO %s;",
			m.Table, m.QuotedTable(), table.Role))
	}
	if table.RowSecurity {
		warnings = append(warnings, fmt.Sprintf("outbox table %s: row-level security would hide rows from this role, so it may not read the table, and rows that the stream lost "+
			"are not found again: ALTER ROLE %s BYPASSRLS; or let a role without it own the table", m.Table, table.Role))
	}
	if table.Updated > 0 {
		warnings = append(warnings, fmt.Sprintf("outbox table %s: %d rows were updated since its statistics began, and an outbox row is written once: an event is delivered as it was "+
			"inserted, and a resend or a replay delivers what its row has by then; harmless if no column of the mapping changes", m.Table, table.Updated))
	}
	return warnings, errors.Join(problems...)
}

// Lacks returns the optional columns of a mapping that its table does not have.
func Lacks(ctx context.Context, db outbox.PgxTx, m outbox.Mapping) ([]string, error) {
	table, err := readTable(ctx, db, m)
	if err != nil {
		return nil, err
	}
	columns, err := readColumns(ctx, db, table.OID)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].Name
	}
	return m.Lacks(names), nil
}

// Kinds of relations and of their storage, pg_class.relkind and relpersistence.
const (
	kindView         = "v"
	kindMatview      = "m"
	kindForeign      = "f"
	storageUnlogged  = "u"
	storageTemporary = "t"
)

type tableRow struct {
	OID         uint32
	Kind        string
	Storage     string
	RowSecurity bool
	Readable    bool
	Role        string   // that asks, as SQL has it
	Unstreamed  []string // partitions whose rows never reach the WAL
	Updated     int64    // updates that the server's statistics know of
	Keyed       bool     // it has a primary key
	Divided     []string // the columns that choose a row's partition, at every level
	Computed    bool     // an expression chooses it, at some level
}

func readTable(ctx context.Context, db outbox.PgxTx, m outbox.Mapping) (tableRow, error) {
	schema, name := m.SchemaAndName()
	rows, err := db.Query(ctx, `
SELECT c.oid,
       c.relkind::text AS kind,
       c.relpersistence::text AS storage,
       row_security_active(c.oid) AS row_security,
       has_table_privilege(c.oid, 'SELECT') AS readable,
       quote_ident(current_user) AS role,
       array(SELECT p.relid::regclass::text
             FROM pg_partition_tree(c.oid) AS p
             JOIN pg_class AS l ON l.oid = p.relid
             WHERE p.relid <> c.oid
               AND (l.relpersistence <> 'p' OR l.relkind = 'f')) AS unstreamed,
       COALESCE(pg_stat_get_tuples_updated(c.oid), 0)
       + COALESCE((SELECT sum(pg_stat_get_tuples_updated(p.relid)) FROM pg_partition_tree(c.oid) AS p WHERE p.isleaf), 0)::bigint AS updated,
       EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = c.oid AND x.indisprimary) AS keyed,
       array(SELECT DISTINCT a.attname::text
             FROM pg_partition_tree(c.oid) AS p
             JOIN pg_partitioned_table AS k ON k.partrelid = p.relid
             JOIN pg_attribute AS a ON a.attrelid = p.relid AND a.attnum = ANY (k.partattrs::int2[])
             ORDER BY 1) AS divided,
       EXISTS (SELECT
               FROM pg_partition_tree(c.oid) AS p
               JOIN pg_partitioned_table AS k ON k.partrelid = p.relid
               WHERE k.partexprs IS NOT NULL) AS computed
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1
  AND c.relname = $2
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, schema, name)
	if err != nil {
		return tableRow{}, fmt.Errorf("look for table %s: %w", m.Table, err)
	}
	table, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[tableRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return tableRow{}, missingTable(ctx, db, m)
	}
	if err != nil {
		return tableRow{}, fmt.Errorf("look for table %s: %w", m.Table, err)
	}
	return table, nil
}

func missingTable(ctx context.Context, db outbox.PgxTx, m outbox.Mapping) error {
	rows, err := db.Query(ctx, `
SELECT n.nspname || '.' || c.relname
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'tailpost')
  AND n.nspname NOT LIKE 'pg\_toast%'
ORDER BY 1`)
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	_, name := m.SchemaAndName()
	guess := suggest.Closest(m.Table, tables)
	for _, t := range tables {
		if strings.HasSuffix(t, "."+name) {
			guess = t
			break
		}
	}
	if guess != "" {
		return fmt.Errorf("outbox table %s does not exist; did you mean %q?", m.Table, guess)
	}
	return fmt.Errorf("outbox table %s does not exist: create it (tailpost migrate creates one of the default columns), or correct outbox.table", m.Table)
}

// storageProblems are the reasons why rows of the table never reach the stream.
func (t *tableRow) storageProblems(m outbox.Mapping) []error {
	var problems []error
	problem := func(text string) {
		problems = append(problems, fmt.Errorf("outbox table %s %s", m.Table, text))
	}
	switch t.Kind {
	case kindView, kindMatview:
		problem("is a view: name the table that holds the rows")
	case kindForeign:
		problem("is a foreign table: run the relay on the server that holds the rows")
	}
	switch t.Storage {
	case storageUnlogged:
		problem("is UNLOGGED, so its rows never reach the WAL and none would be delivered: ALTER TABLE " + m.QuotedTable() + " SET LOGGED")
	case storageTemporary:
		problem("is temporary, so its rows never reach the WAL and none would be delivered: use an ordinary table")
	}
	if len(t.Unstreamed) > 0 {
		problem("has partitions that are UNLOGGED or foreign, so their rows would never be delivered: " + strings.Join(t.Unstreamed, ", "))
	}
	return problems
}

type columnRow struct {
	outbox.Column
	NotNull   bool
	Generated bool
}

func readColumns(ctx context.Context, db outbox.PgxTx, table uint32) ([]columnRow, error) {
	rows, err := db.Query(ctx, `
WITH RECURSIVE typed AS (
    SELECT a.attname, a.attnum, a.atttypid, a.attnotnull, a.attgenerated, t.oid AS base, t.typtype, t.typbasetype, t.typnotnull
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = $1
      AND a.attnum > 0
      AND NOT a.attisdropped
    UNION ALL
    SELECT d.attname, d.attnum, d.atttypid, d.attnotnull OR d.typnotnull, d.attgenerated, t.oid, t.typtype, t.typbasetype, t.typnotnull
    FROM typed AS d
    JOIN pg_catalog.pg_type AS t ON t.oid = d.typbasetype
    WHERE d.typtype = 'd'
)
SELECT attname::text AS name,
       atttypid AS type_oid,
       base AS base_oid,
       format_type(atttypid, NULL) AS type_name,
       attnotnull AS not_null,
       attgenerated <> '' AS generated
FROM typed
WHERE typtype <> 'd'
ORDER BY attnum`, table)
	if err != nil {
		return nil, fmt.Errorf("read columns: %w", err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByName[columnRow])
	if err != nil {
		return nil, fmt.Errorf("read columns: %w", err)
	}
	return columns, nil
}

// columnProblems are the reasons why events cannot come from the table's columns.
func columnProblems(m outbox.Mapping, columns []columnRow) []error {
	plain := make([]outbox.Column, len(columns))
	for i := range columns {
		plain[i] = columns[i].Column
	}
	var problems []error
	if err := m.CheckColumns(plain); err != nil {
		problems = append(problems, err)
	}
	problem := func(field, column, text string, args ...any) {
		problems = append(problems, fmt.Errorf("outbox table %s: column %q cannot be the %s of events: it %s", m.Table, column, field, fmt.Sprintf(text, args...)))
	}
	type named struct{ name, column string }
	fields := []named{
		{"id", m.ID},
		{"type", m.Type},
		{"key", m.Key},
		{"tenant", m.Tenant},
		{"payload", m.Payload},
		{"headers", m.Headers},
		{"created_at", m.CreatedAt},
		{"deliver_at", m.DeliverAt},
		{"expires_at", m.ExpiresAt},
	}
	for _, name := range slices.Sorted(maps.Keys(m.Extra)) {
		fields = append(fields, named{"extra." + name, m.Extra[name]})
	}
	for _, f := range fields {
		at := slices.IndexFunc(columns, func(c columnRow) bool { return f.column != "" && c.Name == f.column })
		if at < 0 {
			continue // CheckColumns said so
		}
		switch c := &columns[at]; {
		case c.Generated:
			problem(f.name, f.column, "is a generated column, which the stream leaves out")
		case f.name == "payload" && c.BaseOID == pgtype.ByteaOID && c.TypeOID != c.BaseOID:
			problem(f.name, f.column, "is a domain over bytea, which the stream does not tell from text: use bytea itself")
		case f.name == "id" && !c.NotNull:
			problem(f.name, f.column, "may be NULL: ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", m.QuotedTable(), pgx.Identifier{m.ID}.Sanitize())
		}
	}
	return problems
}

// readUniques returns the columns of each unique index that holds for every row.
func readUniques(ctx context.Context, db outbox.PgxTx, table uint32) ([][]string, error) {
	rows, err := db.Query(ctx, `
SELECT array(SELECT a.attname::text
             FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, position)
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             ORDER BY k.position)
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = $1
  AND i.indisunique
  AND i.indisvalid
  AND i.indpred IS NULL
  AND i.indexprs IS NULL
ORDER BY i.indexrelid`, table)
	if err != nil {
		return nil, fmt.Errorf("read unique indexes: %w", err)
	}
	uniques, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return nil, fmt.Errorf("read unique indexes: %w", err)
	}
	return uniques, nil
}

// idProblem checks that the id tells events apart. A unique index over more columns does not prove
// it, but is all that a partitioned table can have.
func idProblem(table *tableRow, m outbox.Mapping, columns []columnRow, uniques [][]string) (warning string, problem error) {
	if !slices.ContainsFunc(columns, func(c columnRow) bool { return c.Name == m.ID }) {
		return "", nil // reported as a missing column
	}
	for _, unique := range uniques {
		if len(unique) == 1 && unique[0] == m.ID {
			return "", nil
		}
		if slices.Contains(unique, m.ID) {
			warning = fmt.Sprintf("outbox table %s: its id %q is unique only together with the other columns of (%s); two rows of the same id would be taken for one event",
				m.Table, m.ID, strings.Join(unique, ", "))
		}
	}
	if warning == "" {
		problem = fmt.Errorf("outbox table %s: nothing keeps its id %q unique, and it identifies events: %s", m.Table, m.ID, table.keepUnique(m))
	}
	return warning, problem
}

// keepUnique says how to keep the table's ids unique. Of a partitioned table no key can do without
// the columns that choose the partition.
func (t *tableRow) keepUnique(m outbox.Mapping) string {
	if t.Computed {
		return "an expression chooses its partition, and Postgres keeps nothing unique in such a table: partition it by columns, with a primary key of the id and of those"
	}
	columns := []string{pgx.Identifier{m.ID}.Sanitize()}
	for _, column := range t.Divided {
		if column != m.ID {
			columns = append(columns, pgx.Identifier{column}.Sanitize())
		}
	}
	kind := "PRIMARY KEY"
	if t.Keyed {
		kind = "UNIQUE"
	}
	return fmt.Sprintf("ALTER TABLE %s ADD %s (%s)", m.QuotedTable(), kind, strings.Join(columns, ", "))
}
