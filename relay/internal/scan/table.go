package scan

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// DB is a connection, or a transaction.
type DB interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// AnyColumns is how a query runs whose columns are those that the outbox table has, or of their
// types: a statement that is kept prepared fails once the table was altered ("cached plan must not
// change result type"), once for each connection.
const AnyColumns = pgx.QueryExecModeDescribeExec

// Table is the outbox table as it is in the database.
type Table struct {
	mapping outbox.Mapping // its columns that exist
	idType  string         // type of the primary key, as SQL has it
	// operators is the schema of the operators that the key's index uses: an extension's type
	// (citext) has its own, which our search_path does not find.
	operators string
	// createdNotNull says that every row has a time of its own.
	createdNotNull bool
	// commitTimes says that the server remembers when transactions committed.
	commitTimes bool
	// timeType is the type of the rows' own time, below its domains.
	timeType string
	location *time.Location // of times without a zone: the mapping's, or the database's
}

// tableSQL reads what must be known of the table. Without commit timestamps a table without a time
// of its own has none. The time zone is the database's, or else the server's: our own sessions have
// UTC, so it is read from where initdb puts it too.
const tableSQL = `
SELECT array(SELECT a.attname::text
             FROM pg_catalog.pg_attribute AS a
             JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = @schema
               AND c.relname = @name
               AND a.attnum > 0
               AND NOT a.attisdropped),
       COALESCE((SELECT pg_catalog.format_type(a.atttypid, a.atttypmod)
                 FROM pg_catalog.pg_attribute AS a
                 JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                 WHERE n.nspname = @schema
                   AND c.relname = @name
                   AND a.attname = @id
                   AND NOT a.attisdropped), 'text'),
       EXISTS (SELECT
               FROM pg_catalog.pg_attribute AS a
               JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
               JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = @schema
                 AND c.relname = @name
                 AND a.attname = @created
                 AND a.attnotnull
                 AND NOT a.attisdropped),
       current_setting('track_commit_timestamp')::boolean,
       COALESCE((SELECT s.nspname::text
                 FROM pg_catalog.pg_attribute AS a
                 JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                 JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                 JOIN pg_catalog.pg_opclass AS k
                     ON k.opcintype = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
                    AND k.opcdefault
                 JOIN pg_catalog.pg_am AS m ON m.oid = k.opcmethod AND m.amname = 'btree'
                 JOIN pg_catalog.pg_amop AS f
                     ON f.amopfamily = k.opcfamily
                    AND f.amoplefttype = k.opcintype
                    AND f.amoprighttype = k.opcintype
                    AND f.amopstrategy = 3
                 JOIN pg_catalog.pg_operator AS o ON o.oid = f.amopopr
                 JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace
                 WHERE n.nspname = @schema
                   AND c.relname = @name
                   AND a.attname = @id
                   AND NOT a.attisdropped), 'pg_catalog'),
       COALESCE((WITH RECURSIVE beneath AS (
                     SELECT t.oid, t.typbasetype
                     FROM pg_catalog.pg_attribute AS a
                     JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
                     JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                     JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
                     WHERE n.nspname = @schema
                       AND c.relname = @name
                       AND a.attname = @created
                       AND NOT a.attisdropped
                     UNION ALL
                     SELECT t.oid, t.typbasetype
                     FROM beneath AS b
                     JOIN pg_catalog.pg_type AS t ON t.oid = b.typbasetype
                 )
                 SELECT b.oid::regtype::text
                 FROM beneath AS b
                 WHERE b.typbasetype = 0), ''),` + pglink.ZoneSQL

// bareTime reports whether times are without a zone.
func (t *Table) bareTime() bool {
	return t.timeType == "date" || t.timeType == "timestamp without time zone"
}

// begin is a time, or where rows have days the beginning of its day: a row of that day may have
// been created then or later.
func (t *Table) begin(at time.Time) time.Time {
	if t.timeType != "date" || at.IsZero() {
		return at
	}
	year, month, day := at.In(t.location).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, t.location)
}

// LookAt finds out what the outbox table of a mapping is like.
func LookAt(ctx context.Context, db DB, m outbox.Mapping) (Table, error) {
	var t Table
	schema, name := m.SchemaAndName()
	var (
		columns []string
		zone    string
	)
	err := db.QueryRow(ctx, tableSQL, pgx.NamedArgs{
		"schema": schema, "name": name, "id": m.ID, "created": m.CreatedAt,
	}).Scan(&columns, &t.idType, &t.createdNotNull, &t.commitTimes, &t.operators, &t.timeType, &zone)
	t.mapping, t.location = m.Fit(columns), time.UTC
	location, unknown := m.Location()
	if unknown == nil && location == nil {
		location, unknown = time.LoadLocation(zone)
	}
	if unknown == nil { // else one that only Postgres knows
		t.location = location
	}
	return t, err
}

// Zone returns the time zone of times in the table that name none.
func (t *Table) Zone() *time.Location { return t.location }

// Timed reports whether rows have a time: of their own, or that of their commit. Without one, an
// audit cannot tell old rows from lost ones.
func (t *Table) Timed() bool { return t.mapping.CreatedAt != "" || t.commitTimes }

// operator is one that compares keys.
func (t *Table) operator(symbol string) string {
	return "OPERATOR(" + pgx.Identifier{t.operators}.Sanitize() + "." + symbol + ")"
}

// recordsSQL are the records of a row's event, where its transaction was, and which one wrote them.
// Only partitions of the time after the event's own and after a bound are looked into, as far as a
// row says when it was: no time that is ahead hides an attempt.
const recordsSQL = `(
           SELECT a.endpoint_id, a.commit_lsn AS place, NULL::timestamptz AS at, a.xmin AS writer
           FROM tailpost.attempt AS a
           WHERE a.event_id = %[1]s::text
             AND a.attempted_at >= CASE
                 WHEN %[2]s IS NULL THEN '-infinity'
                 ELSE LEAST(%[2]s, COALESCE(@bound::timestamptz, '-infinity')) - @margin::interval
             END
             AND a.trigger <> 'test'
           UNION ALL
           SELECT d.endpoint_id, d.commit_lsn, NULL, d.xmin
           FROM tailpost.delivery AS d
           WHERE d.event_id = %[1]s::text
           UNION ALL
           SELECT x.endpoint_id, NULL, x.at, x.xmin
           FROM tailpost.discarded AS x
           WHERE x.event_id = %[1]s::text
       ) AS r (endpoint_id, place, at, writer)`

const (
	// beforeGapSQL holds for a record from before the gap.
	beforeGapSQL = `(r.place < @gap_place::text::pg_lsn OR r.at < @gap_at)`
	// olderSQL holds for a record that was written before its row as the row is now. An event's row
	// is there before anything is recorded of it, so another event has taken its id since, or
	// somebody has updated it.
	olderSQL = `(pg_catalog.age(r.writer) NOT BETWEEN 0 AND pg_catalog.age(o.xmin))`
)

// columns are the mapping's as SQL.
type columns struct {
	table, id, eventType, tenant, payload string
	createdAt                             string // timestamptz; may be infinite
	time                                  string // the latest that it can be, NULL where it is no time of this era
	earliest                              string // the earliest; NULL where it is not the application's time
	later                                 string // whether it is @until or after it, whatever time it is
	records                               string // a subquery
	recorded, doubtful                    string // see Row
	lives                                 string // what they need of FROM
}

func (t *Table) columns() columns {
	m := t.mapping
	schema, name := m.SchemaAndName()
	quote := func(column string) string { return "o." + pgx.Identifier{column}.Sanitize() }
	c := columns{
		table: pgx.Identifier{schema, name}.Sanitize(), id: quote(m.ID), eventType: quote(m.Type), payload: quote(m.Payload),
		tenant: "''", createdAt: "NULL::timestamptz", time: "NULL::timestamptz", earliest: "NULL::timestamptz", doubtful: "false",
		later: "false",
	}
	if m.Tenant != "" {
		c.tenant = "COALESCE(" + quote(m.Tenant) + "::text, '')"
	}
	switch {
	case m.CreatedAt != "":
		column := quote(m.CreatedAt)
		c.createdAt = column + "::timestamptz"
		if t.bareTime() {
			c.createdAt = "(" + column + "::timestamp AT TIME ZONE '" + t.location.String() + "')"
			// Not every date is a timestamp, and not every timestamp is one in every zone.
			c.createdAt = "CASE WHEN " + column + " >= '294276-12-31' THEN 'infinity' WHEN " + column + " < '4713-01-01 BC' THEN '-infinity' ELSE " + c.createdAt + " END"
		}
		at := c.createdAt
		if t.timeType == "date" {
			// Its last moment: a row of today is not older than what happened this morning, and
			// one of yesterday is.
			at = "((" + column + " + 1)::timestamp AT TIME ZONE '" + t.location.String() + "' - interval '1 microsecond')"
		}
		// The guard comes before the cast: not every date is a timestamp.
		this := "CASE WHEN " + column + " >= '0002-01-01' AND " + column + " < '9999-12-31' THEN "
		c.time, c.earliest = this+at+" END", this+c.createdAt+" END"
		c.later = "COALESCE(" + column + " >= '9999-12-31' OR " + c.earliest + " >= @until, false)"
	case t.commitTimes:
		c.createdAt = "pg_catalog.pg_xact_commit_timestamp(o.xmin)"
		c.time, c.later = c.createdAt, "COALESCE("+c.createdAt+" >= @until, false)"
	}
	c.records = fmt.Sprintf(recordsSQL, c.id, c.time)
	c.recorded = "ARRAY(SELECT r.endpoint_id FROM " + c.records + ")"
	return c
}

// tellLives takes what is recorded from before a gap for that of an earlier event with the same id,
// where a row says that it was created in the gap. It is doubtful where the row does not say so,
// and was written after something was recorded of it; where no horizon says that transactions can
// be compared, where the row does not say when it was created. Nobody uses a uuid again.
func (t *Table) tellLives(c *columns, horizon bool) {
	again := "COALESCE(" + c.earliest + " > @gap_at AND " + c.time + " <= @now, false)"
	doubt := "false"
	switch {
	case t.idType == "uuid":
	case horizon:
		doubt = "NOT " + again + " AND " + beforeGapSQL + " AND " + olderSQL
	default:
		doubt = "NOT " + again + " AND " + beforeGapSQL + " AND NOT COALESCE(" + c.time + " <= @gap_at, false)"
	}
	c.lives = `
CROSS JOIN LATERAL (
    SELECT COALESCE(array_agg(r.endpoint_id) FILTER (WHERE NOT (` + again + ` AND COALESCE(` + beforeGapSQL + `, false))), '{}') AS recorded,
           COALESCE(bool_or(` + doubt + `), false) AS doubtful
    FROM ` + c.records + `
) AS l`
	c.recorded, c.doubtful = "l.recorded", "l.doubtful"
}

// Range is the range of a replay.
type Range struct {
	EndpointID string
	Tenant     string                      // only this tenant's events; empty: every tenant's
	Since      time.Time                   // events created at or after it; zero: from the first one on
	Until      time.Time                   // events created before it
	Wants      func(eventType string) bool // by type
}

// Count says how many rows of the outbox table a range has. TookTooLong tells an error that comes
// of the statement timeout.
func (t *Table) Count(ctx context.Context, db DB, rg Range) (total int64, err error) {
	c := t.columns()
	sql := `
SELECT COALESCE(` + c.eventType + `::text, ''), count(*)
FROM ` + c.table + ` AS o
WHERE (@tenant::text = '' OR ` + c.tenant + ` = @tenant)`
	if t.Timed() {
		sql += `
  AND (@since::timestamptz IS NULL OR ` + c.createdAt + ` >= @since)
  AND COALESCE(` + c.createdAt + `, '-infinity') < @until`
	}
	sql += `
GROUP BY 1`
	rows, err := db.Query(ctx, sql, pgx.NamedArgs{"tenant": rg.Tenant, "since": nullTime(t.begin(rg.Since)), "until": rg.Until})
	if err != nil {
		return 0, err
	}
	var eventType string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&eventType, &n}, func() error {
		if rg.Wants(eventType) {
			total += n
		}
		return nil
	})
	return total, err
}
