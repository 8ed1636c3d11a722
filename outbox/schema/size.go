package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// Sizes are the sizes of tables on disk, with their indexes, in bytes.
type Sizes struct {
	Attempts   int64 // tailpost.attempt
	Deliveries int64 // tailpost.delivery
	Other      int64 // the rest of schema tailpost
	Outbox     int64 // the outbox table; 0 where there is none
	// Growth is by how much tailpost.attempt grows in a day: what the last whole UTC day takes,
	// less the day that retention drops next. nil: there is no whole day yet. How large the disk is
	// no server tells.
	Growth *int64
}

// Total is what all of them take.
func (s *Sizes) Total() int64 { return s.Attempts + s.Deliveries + s.Other + s.Outbox }

const sizesSQL = `
WITH part AS (
    SELECT c.relname AS name, pg_total_relation_size(c.oid) AS size
    FROM pg_catalog.pg_inherits AS i
    JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass('tailpost.attempt')
)
SELECT COALESCE((SELECT sum(p.size) FROM part AS p), 0)::bigint,
       COALESCE(pg_total_relation_size(to_regclass('tailpost.delivery')), 0),
       COALESCE((
           SELECT sum(pg_total_relation_size(c.oid))
           FROM pg_catalog.pg_class AS c
           JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           WHERE n.nspname = 'tailpost'
             AND c.relkind = 'r'
             AND c.relname <> 'delivery'
             AND NOT c.relispartition
       ), 0)::bigint,
       COALESCE(pg_total_relation_size(to_regclass(@outbox::text)), 0) + COALESCE((
           SELECT sum(pg_total_relation_size(t.relid))
           FROM pg_partition_tree(to_regclass(@outbox::text)) AS t
           WHERE t.level > 0
       ), 0)::bigint,
       (SELECT p.size FROM part AS p WHERE p.name = 'attempt_' || @whole)
           - COALESCE((SELECT p.size FROM part AS p WHERE p.name = 'attempt_' || @next), 0)`

// MeasureSizes reads the sizes. Retention is for how long attempts are kept, 0 or less for ever.
func MeasureSizes(ctx context.Context, db outbox.PgxTx, m outbox.Mapping, retention time.Duration, now time.Time) (s Sizes, err error) {
	const day = "20060102"
	args := pgx.NamedArgs{"outbox": nil, "whole": now.UTC().AddDate(0, 0, -1).Format(day), "next": ""}
	if m.Table != "" {
		args["outbox"] = m.QuotedTable()
	}
	if retention > 0 {
		args["next"] = now.Add(-retention).UTC().Format(day)
	}
	rows, err := db.Query(ctx, sizesSQL, args)
	if err != nil {
		return s, fmt.Errorf("measure the tables: %w", err)
	}
	s, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Sizes])
	if err != nil {
		return s, fmt.Errorf("measure the tables: %w", err)
	}
	return s, nil
}
