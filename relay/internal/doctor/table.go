package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/schema"
)

func examineSchema(ctx context.Context, p *patient) (Finding, error) {
	err := schema.Check(ctx, p.conn)
	switch {
	case errors.Is(err, schema.ErrOlder):
		return fail("tailpost migrate", "%s", err)
	case pglink.Is(err, pglink.InsufficientPrivilege):
		return fail(p.grants(), "%s", err)
	case errors.Is(err, schema.ErrNewer):
		return fail("run a later tailpost", "%s", err)
	case err != nil:
		return Finding{}, err
	}
	return ok("schema tailpost is at this version")
}

func examineTable(ctx context.Context, p *patient) ([]Finding, error) {
	m := p.cfg.Outbox.Mapping
	if m.Table == "" {
		return []Finding{{Grade: OK, Detail: "events are logical messages, there is no table"}}, nil
	}
	warnings, err := schema.CheckTable(ctx, p.conn, m)
	var all []Finding
	for _, problem := range problems(err) {
		all = append(all, Finding{Grade: Failure, Detail: problem.Error()})
	}
	for _, w := range warnings {
		all = append(all, Finding{Grade: Warning, Detail: w})
	}
	p.unusable = err != nil
	if len(all) == 0 {
		all = []Finding{{Grade: OK, Detail: "events can come from table " + m.Table}}
	}
	idle, err := p.idleTimes(ctx)
	if err != nil || p.unusable {
		return append(all, idle...), err
	}
	zone, err := examineZone(ctx, p)
	if err != nil {
		return append(all, idle...), err
	}
	unserved, err := p.unserved(ctx)
	return slices.Concat(all, idle, zone, unserved), err
}

const idleTimesSQL = `
SELECT a.attname::text
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = to_regclass(@table)
  AND a.attname IN ('deliver_at', 'expires_at')
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attname`

// idleTimes mentions columns that look as if they were the times of events, and are not mapped: a
// name alone does not say that they are.
func (p *patient) idleTimes(ctx context.Context) (all []Finding, err error) {
	m := p.cfg.Outbox.Mapping
	rows, err := p.conn.Query(ctx, idleTimesSQL, pgx.NamedArgs{"table": m.QuotedTable()})
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range names {
		meaning := map[string]string{"deliver_at": "not to be delivered before it", "expires_at": "not to be delivered from then on"}[name]
		if !slices.Contains(m.Columns(), name) {
			all = append(all, Finding{Grade: OK, Detail: fmt.Sprintf("column %s of table %s means nothing to the relay; if events are %s, write %s = %q in outbox.columns", name, m.Table, meaning, name, name)})
		}
	}
	return all, err
}

// problems takes apart what CheckTable reports at once.
func problems(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// defaultLong is from which age on a transaction is worth a warning: it holds up the creation of a
// slot, and keeps the server from cleaning up.
const defaultLong = 5 * time.Minute

// transactionsSQL tells how old transactions are of those sessions that the role may look into.
const transactionsSQL = `
SELECT pg_has_role('pg_read_all_stats', 'USAGE'), a.pid, a.application_name, clock_timestamp() - a.xact_start
FROM (VALUES (1)) AS one
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.backend_type = 'client backend' AND clock_timestamp() - a.xact_start > @long::interval
ORDER BY a.xact_start
LIMIT 1`

func examineTransactions(ctx context.Context, p *patient) (Finding, error) {
	var sees bool
	var pid *int
	var application *string
	var age *time.Duration
	err := p.conn.QueryRow(ctx, transactionsSQL, pgx.NamedArgs{"long": p.Long}).Scan(&sees, &pid, &application, &age)
	switch {
	case err != nil:
		return Finding{}, err
	case pid == nil && !sees:
		return ok("no transaction of role %s is open for longer than %s; how old those of other roles are it may not see (GRANT pg_read_all_stats TO %s;)",
			p.server.Role, p.Long, pgx.Identifier{p.server.Role}.Sanitize())
	case pid == nil:
		return ok("no transaction is open for longer than %s", p.Long)
	}
	return warn(fmt.Sprintf("let it end, or SELECT pg_terminate_backend(%d);", *pid),
		"process %d (application %q) has had a transaction open for %s%s", *pid, *application, age.Round(time.Second), p.holdsUp())
}

func examinePrepared(ctx context.Context, p *patient) (Finding, error) {
	var gid string
	var age time.Duration
	err := p.conn.QueryRow(ctx, `
		SELECT x.gid, clock_timestamp() - x.prepared
		FROM pg_catalog.pg_prepared_xacts AS x
		WHERE clock_timestamp() - x.prepared > @long::interval
		ORDER BY x.prepared
		LIMIT 1`, pgx.NamedArgs{"long": p.Long}).Scan(&gid, &age)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ok("no transaction is prepared for longer than %s", p.Long)
	case err != nil:
		return Finding{}, err
	}
	quoted := "'" + strings.ReplaceAll(gid, "'", "''") + "'"
	return warn("COMMIT PREPARED "+quoted+"; or ROLLBACK PREPARED "+quoted+";",
		"transaction %q has been prepared for %s%s", gid, age.Round(time.Second), p.holdsUp())
}

// holdsUp says how an old transaction delays a slot that is still to be made.
func (p *patient) holdsUp() string {
	if p.stream != nil && p.stream.Slot == nil {
		return ": the first start waits for it to end"
	}
	return ""
}

// vital are the tables without which a relay records nothing. What it does beside that, heals,
// replays, the API, the panel and plans, need the others.
func vital() []string {
	return []string{"attempt", "delivery", "endpoint", "endpoint_stats", "relay", "type_stats"}
}

func examinePrivileges(ctx context.Context, p *patient) (Finding, error) {
	if !p.migrated(ctx) {
		return none()
	}
	var uses bool
	if err := p.conn.QueryRow(ctx, "SELECT has_schema_privilege('tailpost', 'USAGE')").Scan(&uses); err != nil {
		return Finding{}, err
	}
	if !uses {
		return fail(p.grants(), "role %s may not use schema tailpost", p.server.Role)
	}
	missing, err := schema.MissingRights(ctx, p.conn, p.cfg.Outbox.Mapping, p.cfg.Outbox.Retention > 0)
	if err != nil {
		return Finding{}, err
	}
	stops := slices.ContainsFunc(missing, func(right string) bool {
		table, _, _ := strings.Cut(strings.TrimPrefix(right, "tailpost."), " ")
		return slices.Contains(vital(), table)
	})
	switch removal := p.cfg.Outbox.Mapping.QuotedTable() + " DELETE"; {
	case stops:
		return fail(p.grants(), "role %s lacks %s", p.server.Role, strings.Join(missing, ", "))
	case len(missing) == 1 && missing[0] == removal:
		return warn("GRANT DELETE ON "+p.cfg.Outbox.Mapping.QuotedTable()+" TO "+pgx.Identifier{p.server.Role}.Sanitize()+";",
			"role %s lacks %s, and outbox.retention is to delete settled rows", p.server.Role, removal)
	case len(missing) > 0:
		return warn(p.grants(), "role %s delivers, but lacks %s: heals, replays, plans, the API or the panel fail where they need that", p.server.Role, strings.Join(missing, ", "))
	}
	return ok("role %s may do what a relay does", p.server.Role)
}

// grants returns the statements that grant the role what it lacks.
func (p *patient) grants() string {
	return "tailpost migrate --print --relay-role " + p.server.Role + " prints the grants"
}

// migrated reports whether the tables are there at all, and not known to be of another version.
func (p *patient) migrated(ctx context.Context) bool {
	var other *schema.VersionError
	if errors.As(schema.Check(ctx, p.conn), &other) && other.Database > 0 {
		return false // which examineSchema has said
	}
	var there bool
	err := p.conn.QueryRow(ctx, `
		SELECT count(*) = 5
		FROM pg_catalog.pg_class AS c
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = 'tailpost'
		  AND c.relname IN ('attempt', 'delivery', 'endpoint', 'endpoint_stats', 'relay')`).Scan(&there)
	return err == nil && there
}

func examineSize(ctx context.Context, p *patient) (Finding, error) {
	kept := p.cfg.Retention.Attempts
	sizes, err := schema.MeasureSizes(ctx, p.conn, p.cfg.Outbox.Mapping, kept, p.Now)
	if pglink.Is(err, pglink.InsufficientPrivilege) {
		return none() // which the check of the schema says
	}
	if err != nil {
		return Finding{}, err
	}
	size := fmt.Sprintf("the tables of schema tailpost take %s, the outbox table %s",
		bytes(float64(sizes.Attempts+sizes.Deliveries+sizes.Other)), bytes(float64(sizes.Outbox)))
	switch {
	case sizes.Growth == nil:
		return ok("%s; by how much attempts grow is known after a whole day", size)
	case *sizes.Growth <= 0:
		return ok("%s, and attempts take no more than the day before", size)
	}
	growth := bytes(float64(*sizes.Growth)) + " more each day"
	switch free := p.Free; {
	case free > 0:
		left := float64(free) / float64(*sizes.Growth)
		if left < fewDays {
			return warn("a larger disk, or a shorter retention { attempts }", "%s; attempts take %s, for which the disk has room for %.1f days", size, growth, left)
		}
		return ok("%s; attempts take %s, for which the disk has room for %.0f days", size, growth, left)
	case kept > 0:
		return ok("%s; attempts take %s until they are kept for %s: divide by it what the disk has left, which Postgres does not know (--free)", size, growth, days(kept))
	}
	return ok("%s; attempts take %s, for ever: divide by it what the disk has left, which Postgres does not know (--free)", size, growth)
}

// fewDays is from how many days on there is time enough to make room.
const fewDays = 14

// auditSQL measures the outbox table, and says whether every part of it has an index that finds new
// rows by their time, and whether a row gets one if the application names none.
const auditSQL = `
SELECT COALESCE(sum(pg_relation_size(c.oid)), 0)::double precision,
       COALESCE(bool_and(EXISTS (
           SELECT
           FROM pg_catalog.pg_index AS x
           JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
           JOIN pg_catalog.pg_am AS m ON m.oid = i.relam AND m.amname IN ('btree', 'brin')
           JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = x.indkey[0] AND a.attname = @created
           WHERE x.indrelid = c.oid
             AND x.indisvalid
             AND x.indpred IS NULL
       )), true),
       COALESCE(bool_or(c.oid <> @table::text::regclass), false),
       EXISTS (
           SELECT
           FROM pg_catalog.pg_attribute AS a
           WHERE a.attrelid = @table::text::regclass
             AND a.attname = @created
             AND NOT a.attnotnull
             AND NOT a.atthasdef
       )
FROM pg_catalog.pg_class AS c
WHERE c.relkind = 'r'
  AND (c.oid = @table::text::regclass OR c.oid IN (SELECT p.relid FROM pg_partition_tree(@table::text::regclass) AS p))`

// largeTable is from which size on it is worth a warning that an audit reads all of it.
const largeTable = 64 << 20

// auditPiece is how much an audit reads at least of what is not new.
const auditPiece = 32 << 20

func examineAudit(ctx context.Context, p *patient) (Finding, error) {
	m, interval := p.cfg.Outbox.Mapping, p.cfg.Outbox.AuditInterval
	if m.Table == "" || p.unusable || interval <= 0 {
		return none()
	}
	var size float64
	var indexed, partitioned, timeless bool
	err := p.conn.QueryRow(ctx, auditSQL, pgx.NamedArgs{"table": m.QuotedTable(), "created": m.CreatedAt}).Scan(&size, &indexed, &partitioned, &timeless)
	switch {
	case err != nil:
		return Finding{}, err
	case timeless:
		return warn("ALTER TABLE "+m.QuotedTable()+" ALTER COLUMN "+pgx.Identifier{m.CreatedAt}.Sanitize()+" SET DEFAULT now();",
			"%s may be NULL and has no default: of a row without it that nobody has, the audit of every %s cannot tell whether it was lost, and only says so in the log",
			m.CreatedAt, interval)
	case size < largeTable:
		return ok("the audit of every %s reads what is new, or a small table", interval)
	case indexed:
		return p.explainAudit(ctx, size)
	case m.CreatedAt == "":
		return warn("add a column with the time of the insert, name it in outbox.columns, and make a BRIN index of it",
			"the audit of every %s reads all of table %s, %s: it has no created_at that an index could find new rows by", interval, m.Table, bytes(size))
	}
	concurrently := " CONCURRENTLY"
	if partitioned {
		concurrently = "" // Postgres cannot; it is quick where partitions are made as they are needed
	}
	return warn("CREATE INDEX"+concurrently+" ON "+m.QuotedTable()+" USING brin ("+pgx.Identifier{m.CreatedAt}.Sanitize()+");",
		"the audit of every %s reads all of table %s, %s: no index finds new rows by %s", interval, m.Table, bytes(size), m.CreatedAt)
}

// auditMargin is how much older than the last audit what is looked at may be.
const auditMargin = time.Hour

// fewNew is which part of a table may be new before it is as well to read all of it.
const fewNew = 0.1

// explainAudit asks for the plan of the statement by which an audit finds new rows. It is not run.
func (p *patient) explainAudit(ctx context.Context, size float64) (Finding, error) {
	m, interval := p.cfg.Outbox.Mapping, p.cfg.Outbox.AuditInterval
	statement := "SELECT o.ctid FROM " + m.QuotedTable() + " AS o"
	whole, err := p.explain(ctx, statement)
	if err != nil {
		return Finding{}, err
	}
	plan, err := p.explain(ctx, fmt.Sprintf("%s WHERE o.%s >= now() - interval '%d s'",
		statement, pgx.Identifier{m.CreatedAt}.Sanitize(), int64((interval+auditMargin).Seconds())))
	if err != nil {
		return Finding{}, err
	}
	if plan.sequential && plan.Rows < fewNew*whole.Rows {
		return warn("ANALYZE "+m.QuotedTable()+"; and see that enable_bitmapscan is on",
			"the audit of every %s would read all of table %s although an index finds new rows: Postgres expects %.0f of them, at a cost of %.0f", interval, m.Table, plan.Rows, plan.Cost)
	}
	return ok("the audit of every %s reads what is new of table %s (Postgres expects %.0f rows of the last %s, at a cost of %.0f), and a piece of the rest: "+
		"it is once round %s after %d of them at most", interval, m.Table, plan.Rows, interval+auditMargin, plan.Cost, bytes(size), int64(size)/auditPiece+1)
}

// auditPlan is Postgres' estimate of a statement.
type auditPlan struct {
	Rows float64 `json:"Plan Rows"`
	Cost float64 `json:"Total Cost"`

	sequential bool // it reads a table from end to end
}

func (p *patient) explain(ctx context.Context, statement string) (auditPlan, error) {
	var text []byte
	if err := p.conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+statement).Scan(&text); err != nil {
		return auditPlan{}, err
	}
	var plans []struct {
		Plan auditPlan `json:"Plan"`
	}
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		return auditPlan{}, fmt.Errorf("read the plan of the audit: %w", err)
	}
	plans[0].Plan.sequential = strings.Contains(string(text), `"Seq Scan"`)
	return plans[0].Plan, nil
}
