package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// publicationTries bounds how often a publication is read again because another relay sets it up at
// the same moment.
const publicationTries = 3

// publication is one that the stream needs, as it must be.
type publication struct {
	name    string
	table   string   // schema.name; empty: none
	publish []string // insert, update, delete, truncate
	moves   bool     // it publishes deletes too where the table's rows may move between partitions
}

// published is a publication as the catalogue has it.
type published struct {
	oid         uint64 // of the wanted table; 0: none is wanted
	exists      bool
	allTables   bool
	schemas     bool // FOR TABLES IN SCHEMA
	viaRoot     bool
	publish     []string
	tables      []string // schema.name
	listed      string   // its column list; empty: it has none
	filtered    bool     // it has a row filter
	partitioned bool     // the wanted table is
	keyed       bool     // each of its partitions says which row it deletes
}

// withMoves lists the operations published of a table whose rows may move between partitions: to
// Postgres that is a delete and an insert, and only the delete tells the insert from an event.
// Where a table has no key, publishing deletes would forbid them.
var withMoves = []string{"insert", "delete"} //nolint:gochecknoglobals // a constant

func (s *session) publications() []publication {
	return []publication{
		{name: s.opts.Slot, table: s.opts.Table, publish: []string{"insert"}, moves: true},
		{name: s.opts.Slot + endpointSuffix, table: s.opts.EndpointTable, publish: []string{"insert", "update", "delete"}},
	}
}

// ensurePublications creates what is missing and mends what differs. It reports whether one was
// created.
func (s *session) ensurePublications(ctx context.Context) (created bool, err error) {
	for _, want := range s.publications() {
		made, err := s.ensurePublication(ctx, want)
		if err != nil {
			return created, fmt.Errorf("set up publication %q: %w", want.name, err)
		}
		created = created || made
	}
	return created, nil
}

func (s *session) ensurePublication(ctx context.Context, want publication) (created bool, err error) {
	for try := 1; ; try++ {
		have, err := s.readPublication(ctx, want)
		if err != nil {
			return false, err
		}
		if want.table == s.opts.Table {
			s.info.Table = uint32(have.oid) //nolint:gosec // it was read as one of 32 bits
		}
		differences := want.differences(have)
		if len(differences) == 0 {
			return false, s.widen(ctx, want, have)
		}
		sql := want.sql(have)
		if _, err = s.query(ctx, sql); err != nil && s.conn.TxStatus() != 'I' {
			if _, err := s.query(ctx, "ROLLBACK"); err != nil {
				return false, fmt.Errorf("roll back: %w", err)
			}
		}
		switch {
		case err == nil:
			s.info.Changed = append(s.info.Changed, want.name)
			return !have.exists, nil
		case pglink.State(err) == pglink.InsufficientPrivilege:
			kind := ErrPublicationMismatch
			if !have.exists {
				kind = ErrPublicationMissing
			}
			return false, fmt.Errorf("%w (%s) and role %s may not set it up: run, as the owner of the table: %s: %w",
				kind, strings.Join(differences, ", "), s.role, sql, err)
		case try == publicationTries || !isRace(err):
			return false, fmt.Errorf("run %s: %w", sql, err)
		}
	}
}

// widen has a publication of before publish deletes too, where rows may move: who made it did not
// know better. A role that may not change it goes on without.
func (s *session) widen(ctx context.Context, want publication, have published) error {
	advice, sql := want.advice(have)
	if advice == "" {
		return nil
	}
	if _, err := s.query(ctx, sql); err != nil {
		if pglink.State(err) == pglink.InsufficientPrivilege {
			s.info.Advice = append(s.info.Advice, fmt.Sprintf("publication %q: %s: run, as its owner: %s", want.name, advice, sql))
			return nil
		}
		return fmt.Errorf("run %s: %w", sql, err)
	}
	s.info.Widened = true
	return nil
}

// isRace reports whether another session did the same at the same time.
func isRace(err error) bool {
	switch pglink.State(err) {
	case pglink.DuplicateObject, pglink.UndefinedObject, pglink.UniqueViolation, pglink.InternalError: // a catalogue's unique key, "tuple concurrently updated"
		return true
	}
	return false
}

func (s *session) readPublication(ctx context.Context, want publication) (published, error) {
	var have published
	if want.table != "" {
		schema, name, _ := strings.Cut(want.table, ".")
		// By name, not by to_regclass: that wants the right to use the schema, which streaming does
		// not.
		rows, err := s.query(ctx, `
			SELECT c.oid, c.relkind AS kind,
			       EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = c.oid) AS parent,
			       EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = c.oid AND x.indisprimary)
			           AND NOT EXISTS (
			               SELECT
			               FROM pg_partition_tree(c.oid) AS p
			               JOIN pg_class AS l ON l.oid = p.relid
			               WHERE p.isleaf AND l.relreplident NOT IN ('d', 'f')
			           ) AS keyed
			FROM pg_class AS c
			JOIN pg_namespace AS n ON n.oid = c.relnamespace
			WHERE n.nspname = `+quoteLiteral(schema)+` AND c.relname = `+quoteLiteral(name))
		if err != nil {
			return have, fmt.Errorf("look for table %s: %w", want.table, err)
		}
		if len(rows) == 0 {
			return have, fmt.Errorf("%w: table %s does not exist in this database: run tailpost migrate, or correct its name", ErrSetup, want.table)
		}
		if have.oid, err = strconv.ParseUint(rows[0]["oid"], 10, 32); err != nil {
			return have, fmt.Errorf("look for table %s: %w", want.table, err)
		}
		have.partitioned = rows[0]["kind"] == "p"
		have.keyed = have.partitioned && rows[0]["keyed"] == "t"
		if rows[0]["parent"] == "t" && !have.partitioned {
			return have, fmt.Errorf("%w: other tables inherit from table %s (INHERITS), and Postgres does not stream their rows as rows of it: "+
				"make it a partitioned table, or put the events into one table (ALTER TABLE ... NO INHERIT)", ErrSetup, want.table)
		}
	}

	rows, err := s.query(ctx, `
		SELECT puballtables AS all_tables, pubviaroot AS via_root,
		       pubinsert AS insert, pubupdate AS update, pubdelete AS delete, pubtruncate AS truncate
		FROM pg_publication
		WHERE pubname = `+quoteLiteral(want.name))
	if err != nil {
		return have, fmt.Errorf("read it: %w", err)
	}
	if len(rows) == 0 {
		return have, nil
	}
	have.exists = true
	have.allTables = rows[0]["all_tables"] == "t"
	have.viaRoot = rows[0]["via_root"] == "t"
	for _, op := range []string{"insert", "update", "delete", "truncate"} {
		if rows[0][op] == "t" {
			have.publish = append(have.publish, op)
		}
	}
	return have, s.readPublishedTables(ctx, want.name, &have)
}

func (s *session) readPublishedTables(ctx context.Context, name string, have *published) error {
	// Column lists and row filters exist from Postgres 15 on; as JSON the query fits every version.
	rows, err := s.query(ctx, `
		SELECT n.nspname AS schema, c.relname AS name,
		       to_jsonb(r) ->> 'prqual' IS NOT NULL AS filtered,
		       (
		           SELECT string_agg(a.attname, ', ' ORDER BY a.attnum)
		           FROM pg_attribute AS a
		           WHERE a.attrelid = r.prrelid AND to_jsonb(r) -> 'prattrs' @> to_jsonb(a.attnum)
		       ) AS listed
		FROM pg_publication AS p
		JOIN pg_publication_rel AS r ON r.prpubid = p.oid
		JOIN pg_class AS c ON c.oid = r.prrelid
		JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE p.pubname = `+quoteLiteral(name)+`
		ORDER BY n.nspname, c.relname`)
	if err != nil {
		return fmt.Errorf("read its tables: %w", err)
	}
	for _, row := range rows {
		have.tables = append(have.tables, row["schema"]+"."+row["name"])
		have.filtered = have.filtered || row["filtered"] == "t"
		if have.listed == "" {
			have.listed = row["listed"]
		}
	}
	if s.info.ServerVersion < 150000 {
		return nil
	}
	rows, err = s.query(ctx, `
		SELECT 1
		FROM pg_publication AS p
		JOIN pg_publication_namespace AS n ON n.pnpubid = p.oid
		WHERE p.pubname = `+quoteLiteral(name))
	if err != nil {
		return fmt.Errorf("read its schemas: %w", err)
	}
	have.schemas = len(rows) > 0
	return nil
}

// differences says in words how a publication is not what it must be.
func (p publication) differences(have published) []string {
	if !have.exists {
		return []string{"it does not exist"}
	}
	var all []string
	if have.allTables {
		all = append(all, "it is FOR ALL TABLES")
	}
	if have.schemas {
		all = append(all, "it publishes whole schemas")
	}
	// One that was made without deletes does too: a row that moves is then sent again.
	moves := p.moves && slices.Equal(have.publish, withMoves)
	if !moves && !slices.Equal(have.publish, p.publish) {
		all = append(all, fmt.Sprintf("it publishes %q, not %q", strings.Join(have.publish, ", "), strings.Join(p.publish, ", ")))
	}
	if !have.allTables && !slices.Equal(have.tables, p.tables()) {
		all = append(all, fmt.Sprintf("its tables are %q, not %q", strings.Join(have.tables, ", "), p.table))
	}
	if have.listed != "" {
		all = append(all, fmt.Sprintf("it has a column list (%s), and the stream leaves out all other columns", have.listed))
	}
	if have.filtered {
		all = append(all, "it has a row filter, and the stream leaves out rows")
	}
	if have.partitioned && !have.viaRoot {
		all = append(all, "the table is partitioned and publish_via_partition_root is off")
	}
	return all
}

// advice says what had better be otherwise about a publication that can be used, and how.
func (p publication) advice(have published) (advice, sql string) {
	if !p.moves || !have.keyed || !slices.Equal(have.publish, p.publish) {
		return "", ""
	}
	return "it publishes no deletes, so that a row which an UPDATE moves to another partition is delivered again",
		"ALTER PUBLICATION " + quoteIdentifier(p.name) + " SET (publish = " + quoteLiteral(strings.Join(withMoves, ", ")) + ");"
}

func (p publication) tables() []string {
	if p.table == "" {
		return nil
	}
	return []string{p.table}
}

// sql makes the publication what it must be, in one transaction: WAL must not pass while there is
// none.
func (p publication) sql(have published) string {
	name := quoteIdentifier(p.name)
	publish := p.publish
	if p.moves && have.keyed {
		publish = withMoves
	}
	with := "(publish = " + quoteLiteral(strings.Join(publish, ", ")) + ", publish_via_partition_root = true)"
	forTable, setTable := "", ""
	if p.table != "" {
		forTable = " FOR TABLE " + quoteTable(p.table)
		setTable = "ALTER PUBLICATION " + name + " SET TABLE " + quoteTable(p.table) + ";"
	}
	create := "CREATE PUBLICATION " + name + forTable + " WITH " + with + ";"
	switch {
	case !have.exists:
		return create
	case have.allTables, p.table == "":
		// Neither can be altered into a list of tables, nor into an empty one.
		return "BEGIN; DROP PUBLICATION " + name + "; " + create + " COMMIT;"
	default:
		return "BEGIN; ALTER PUBLICATION " + name + " SET " + with + "; " + setTable + " COMMIT;"
	}
}
