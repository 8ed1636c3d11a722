package scan

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// Span is some blocks of the outbox table, or of each of its partitions.
type Span struct{ From, To int64 }

// spanBlocks is how many blocks are taken together: one new row has as many looked at.
const spanBlocks = 16

// indexedSQL reports whether every part of the table has an index that finds rows by their time.
const indexedSQL = `
WITH RECURSIVE parts AS (
    SELECT c.oid, c.relkind
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = @schema
      AND c.relname = @name
    UNION ALL
    SELECT i.inhrelid, c.relkind
    FROM parts AS p
    JOIN pg_catalog.pg_inherits AS i ON i.inhparent = p.oid
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
)
SELECT NOT EXISTS (
    SELECT
    FROM parts AS p
    WHERE p.relkind = 'r'
      AND NOT EXISTS (
          SELECT
          FROM pg_catalog.pg_index AS x
          JOIN pg_catalog.pg_class AS c ON c.oid = x.indexrelid
          JOIN pg_catalog.pg_am AS m ON m.oid = c.relam
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = p.oid AND a.attnum = x.indkey[0]
          WHERE x.indrelid = p.oid
            AND x.indisvalid
            AND x.indpred IS NULL
            AND m.amname IN ('btree', 'brin')
            AND a.attname = @created
      )
)`

// Recent returns the blocks that have rows created at or after a time, as far as an index finds
// them; false: there is none for that, or it took too long.
func (s *Sweep) Recent(ctx context.Context, since time.Time) (spans []Span, ok bool, err error) {
	if s.mapping.CreatedAt == "" {
		return nil, false, nil
	}
	schema, name := s.mapping.SchemaAndName()
	err = s.link.Run(ctx, "look for an index of the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, indexedSQL, pgx.NamedArgs{"schema": schema, "name": name, "created": s.mapping.CreatedAt}).Scan(&ok)
	})
	if err != nil || !ok {
		return nil, false, err
	}
	c := s.columns()
	sql := `
SELECT DISTINCT ((o.ctid::text::point)[0]::bigint / @blocks) * @blocks AS first
FROM ` + c.table + ` AS o
WHERE ` + s.since() + `
ORDER BY first`
	err = s.link.Run(ctx, "look for new rows of the outbox table", func(ctx context.Context, conn *pgx.Conn) error {
		spans = spans[:0]
		rows, err := conn.Query(ctx, sql, pgx.NamedArgs{"since": since, "blocks": spanBlocks})
		if err != nil {
			return err
		}
		var first int64
		_, err = pgx.ForEachRow(rows, []any{&first}, func() error {
			if n := len(spans); n > 0 && spans[n-1].To == first {
				spans[n-1].To += spanBlocks
				return nil
			}
			spans = append(spans, Span{From: first, To: first + spanBlocks})
			return nil
		})
		if pglink.TookTooLong(err) {
			ok = false
			return nil
		}
		return err
	})
	return spans, ok, err
}

// since is the condition that an index of the rows' own time answers.
func (s *Sweep) since() string {
	column := "o." + pgx.Identifier{s.mapping.CreatedAt}.Sanitize()
	switch {
	case s.timeType == "date":
		return column + " >= (@since::timestamptz AT TIME ZONE '" + s.location.String() + "')::date"
	case s.bareTime():
		return column + " >= (@since::timestamptz AT TIME ZONE '" + s.location.String() + "')"
	}
	return column + " >= @since::timestamptz"
}
