package query

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// eventTable is the outbox table, as far as pages of events need to know it.
type eventTable struct {
	mapping     outbox.Mapping // its columns that exist
	idType      string         // as SQL has it
	createdType string
	keyType     string
	leading     []string // columns that a B-tree begins with
}

const eventTableSQL = `
WITH t AS (
    SELECT c.oid
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = @schema
      AND c.relname = @name
)
SELECT array(SELECT a.attname::text
             FROM pg_catalog.pg_attribute AS a
             JOIN t ON t.oid = a.attrelid
             WHERE a.attnum > 0
               AND NOT a.attisdropped),
       COALESCE((SELECT pg_catalog.format_type(a.atttypid, a.atttypmod)
                 FROM pg_catalog.pg_attribute AS a
                 JOIN t ON t.oid = a.attrelid
                 WHERE a.attname = @id), 'text'),
       COALESCE((SELECT pg_catalog.format_type(a.atttypid, a.atttypmod)
                 FROM pg_catalog.pg_attribute AS a
                 JOIN t ON t.oid = a.attrelid
                 WHERE a.attname = @created), 'timestamp with time zone'),
       COALESCE((SELECT pg_catalog.format_type(a.atttypid, NULL)
                 FROM pg_catalog.pg_attribute AS a
                 JOIN t ON t.oid = a.attrelid
                 WHERE a.attname = @key), ''),
       array(SELECT DISTINCT a.attname::text
             FROM pg_catalog.pg_index AS i
             JOIN t ON t.oid = i.indrelid
             JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
             JOIN pg_catalog.pg_am AS m ON m.oid = x.relam
             JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
             WHERE i.indisvalid
               AND i.indpred IS NULL
               AND m.amname = 'btree')`

// lookAtEvents finds out what the outbox table is like. There is none where it has no columns.
func lookAtEvents(ctx context.Context, tx pgx.Tx, m outbox.Mapping) (t eventTable, there bool, err error) {
	if m.Table == "" {
		return t, false, nil
	}
	schema, name := m.SchemaAndName()
	var columns []string
	err = tx.QueryRow(ctx, eventTableSQL, pgx.NamedArgs{"schema": schema, "name": name, "id": m.ID, "created": m.CreatedAt, "key": m.Key}).
		Scan(&columns, &t.idType, &t.createdType, &t.keyType, &t.leading)
	t.mapping = m.Fit(columns)
	return t, len(columns) > 0, err
}

// timed reports whether the newest events can be found by their time without a look at the others.
func (t *eventTable) timed() bool {
	return t.mapping.CreatedAt != "" && slices.Contains(t.leading, t.mapping.CreatedAt)
}

// keyed reports whether the events of a key can be found without a look at the others.
func (t *eventTable) keyed() bool {
	return (t.keyType == "text" || t.keyType == "character varying") && slices.Contains(t.leading, t.mapping.Key)
}

// walkable reports whether the table can be read a part at a time.
func (t *eventTable) walkable() bool { return t.timed() || slices.Contains(t.leading, t.mapping.ID) }

// order is the columns by which the rows are listed.
func (t *eventTable) order() string {
	if t.timed() {
		return "created_at"
	}
	return "id"
}

// advice says which indexes would help.
func (t *eventTable) advice(keyAsked bool) []string {
	index := func(columns ...string) string {
		quoted := make([]string, len(columns))
		for i, c := range columns {
			quoted[i] = pgx.Identifier{c}.Sanitize()
		}
		return "CREATE INDEX CONCURRENTLY ON " + t.mapping.QuotedTable() + " (" + strings.Join(quoted, ", ") + ")"
	}
	var advice []string
	if t.mapping.Table == "" {
		return nil
	}
	if t.mapping.CreatedAt != "" && !t.timed() {
		advice = append(advice, "Events come in the order of their ids, because no index begins with their time: "+index(t.mapping.CreatedAt, t.mapping.ID))
	}
	if keyAsked && t.mapping.Key != "" && !t.keyed() {
		advice = append(advice, "Looking for a key reads one event after the other, because no index begins with it: "+index(t.mapping.Key))
	}
	return advice
}

// selection is the SQL that reads rows from AS o: columns of any type as text.
func (t *eventTable) selection(from string) string {
	m := t.mapping
	text := func(column string) string {
		if column == "" {
			return "''"
		}
		return "COALESCE(" + t.column(column) + "::text, '')"
	}
	created, at := "NULL::timestamptz", "''"
	if m.CreatedAt != "" {
		created, at = t.instant(t.column(m.CreatedAt)), t.column(m.CreatedAt)+"::text"
	}
	return "SELECT " + text(m.ID) + " AS id, " + text(m.Type) + " AS type, " + text(m.Key) + " AS key, " + text(m.Tenant) +
		" AS tenant, " + created + " AS created_at, COALESCE(" + at + ", '') AS at\nFROM " + from + " AS o"
}

// zoned returns the zone that the configuration names for times whose type has none, as SQL; empty:
// it is the session's, which is the database's.
func (t *eventTable) zoned() string {
	bare := t.createdType == "date" || strings.HasPrefix(t.createdType, "timestamp") && strings.HasSuffix(t.createdType, "without time zone")
	if !bare || t.mapping.TimeZone == "" {
		return ""
	}
	return "'" + t.mapping.TimeZone + "'" // the configuration takes no quotes in it
}

// instant is the SQL of a time in the type of created_at as a timestamptz.
func (t *eventTable) instant(expression string) string {
	if zone := t.zoned(); zone != "" {
		return "(" + expression + "::timestamp AT TIME ZONE " + zone + ")"
	}
	return expression + "::timestamptz"
}

// stamp is the SQL of a timestamptz in the type of created_at.
func (t *eventTable) stamp(expression string) string {
	if zone := t.zoned(); zone != "" {
		expression = "(" + expression + " AT TIME ZONE " + zone + ")"
	}
	return expression + "::" + t.createdType
}

func (t *eventTable) column(name string) string { return "o." + pgx.Identifier{name}.Sanitize() }

// walk is a way through the table.
type walk struct {
	order string // of the rows, from the newest
	where string // what comes after @at and @id, or everything where they are empty; only rows that the walk has
}

// byTime walks the rows that have a time, newest first.
func (t *eventTable) byTime(started bool) walk {
	created, id := t.column(t.mapping.CreatedAt), t.column(t.mapping.ID)
	w := walk{order: created + " DESC, " + id + " DESC", where: created + " IS NOT NULL"}
	if started {
		w.where += "\n  AND (" + created + ", " + id + ") < (@at::text::" + t.createdType + ", @id::text::" + t.idType + ")"
	}
	// As far as the column's own type tells it; the rest is left to the filter.
	w.where += "\n  AND (@since::timestamptz IS NULL OR " + created + " >= " + t.stamp("@since::timestamptz") + ")" +
		"\n  AND (@until::timestamptz IS NULL OR " + created + " <= " + t.stamp("@until::timestamptz") + ")"
	return w
}

// byID walks the rows by their ids, from the highest; untimed: only those without a time.
func (t *eventTable) byID(started, untimed bool) walk {
	id := t.column(t.mapping.ID)
	w := walk{order: id + " DESC", where: "true"}
	if started {
		w.where = id + " < @id::text::" + t.idType
	}
	if untimed {
		w.where += "\n  AND " + t.column(t.mapping.CreatedAt) + " IS NULL"
	}
	return w
}

// patternSQL is a pattern of types as a regular expression of Postgres.
func patternSQL(p config.Pattern) string {
	segments := make([]string, 0, len(p.Segments)+1)
	for _, s := range p.Segments {
		if s == "*" {
			segments = append(segments, "[^.]*")
			continue
		}
		segments = append(segments, quoteRegexp(s))
	}
	if p.Rest {
		segments = append(segments, ".*")
	}
	return "^" + strings.Join(segments, `\.`) + "$"
}

// quoteRegexp has Postgres take a text as it is.
func quoteRegexp(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\.+*?()|[]{}^$#`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
