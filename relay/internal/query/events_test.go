package query_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// eventTable is an outbox table that somebody may have.
type eventTable struct {
	ddl   []string
	m     outbox.Mapping
	order string
	id    func(n int) string // the ids sort as the numbers do
}

func numberID(n int) string { return fmt.Sprintf("%03d", n) }

func eventTables() map[string]eventTable {
	m := outbox.DefaultMapping()
	const columns = "(id text PRIMARY KEY, type text NOT NULL, key text, tenant text, payload jsonb, created_at timestamptz)"
	untimed := m
	untimed.CreatedAt = ""
	elsewhere := m
	elsewhere.TimeZone = "America/Los_Angeles"
	uuid := func(n int) string { return fmt.Sprintf("018f0000-0000-7000-8000-%012d", n) }
	return map[string]eventTable{
		"indexed times":          {[]string{"CREATE TABLE e " + columns, "CREATE INDEX ON e (created_at, id)", "CREATE INDEX ON e (key)"}, m, "created_at", numberID},
		"times without an index": {[]string{"CREATE TABLE e " + columns}, m, "id", numberID},
		"timestamp, uuid": {[]string{
			"CREATE TABLE e (id uuid PRIMARY KEY, type varchar(40) NOT NULL, key varchar(9), tenant text, payload text, created_at timestamp)",
			"CREATE INDEX ON e (created_at)", "CREATE INDEX ON e (key)",
		}, m, "created_at", uuid},
		"timestamps of another zone": {[]string{
			"CREATE TABLE e (id text PRIMARY KEY, type text NOT NULL, key text, tenant text, payload jsonb, created_at timestamp(3))",
			"CREATE INDEX ON e (created_at, id)",
		}, elsewhere, "created_at", numberID},
		"no times, numbers": {[]string{"CREATE TABLE e (id bigint PRIMARY KEY, type text NOT NULL, key bigint, tenant text, payload jsonb)"}, untimed, "id", func(n int) string { return fmt.Sprint(100 + n) }},
		"partitioned": {[]string{
			"CREATE TABLE e (id text, type text NOT NULL, key text, tenant text, payload jsonb, created_at timestamptz, UNIQUE (id, type)) PARTITION BY LIST (type)",
			"CREATE TABLE e1 PARTITION OF e FOR VALUES IN ('order.paid')", "CREATE TABLE e2 PARTITION OF e DEFAULT",
			"CREATE INDEX ON e (created_at, id)",
		}, m, "created_at", numberID},
		"no index at all": {[]string{"CREATE TABLE e " + strings.Replace(columns, " PRIMARY KEY", "", 1)}, m, "attempted_at", numberID},
	}
}

// row is an event of the application.
type row struct {
	n                 int
	typ, key, tenant  string
	ago               time.Duration // below 0: it has no time
	attempted, exists bool
}

func drawRow(t *rapid.T, n int) row {
	one := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	r := row{
		n: n, typ: one("type", "order.paid", "order.item.added", "order", "user.gone"), key: one("key", "", "7", "8"), tenant: one("tenant", "", "one", "two"),
		ago:    rapid.SampledFrom([]time.Duration{-1, time.Second, time.Second, time.Minute, time.Hour, 30 * time.Hour}).Draw(t, "ago"),
		exists: rapid.IntRange(0, 3).Draw(t, "exists") > 0, attempted: rapid.Bool().Draw(t, "attempted"),
	}
	r.attempted = r.attempted || !r.exists
	return r
}

// Whatever table there is and whatever is asked for, the pages one after the other have each event
// once, in their order.
func TestEvents_pagesSkipNothingAndRepeatNothing(t *testing.T) {
	t.Parallel()
	db := pgschema.NewDB(t)
	b := &bundle{conn: db.Conn(t), now: time.Now().UTC().Truncate(time.Second)}
	_, err := schema.Migrate(t.Context(), b.conn, schema.MigrateOptions{Now: b.now})
	require.NoError(t, err)
	_, err = schema.EnsurePartitions(t.Context(), b.conn, b.now.Add(-48*time.Hour), 3)
	require.NoError(t, err)
	tables := eventTables()
	stores := make(map[string]*query.Store, len(tables))
	for name, table := range tables {
		sql := "CREATE SCHEMA \"" + name + "\"; SET search_path = \"" + name + "\"; " + strings.Join(table.ddl, "; ") + "; RESET search_path"
		_, err := b.conn.PgConn().Exec(t.Context(), sql).ReadAll()
		require.NoError(t, err, name)
		table.m.Table = name + ".e"
		tables[name] = table
		stores[name], err = query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Owner: "test", Mapping: table.m})
		require.NoError(t, err)
		t.Cleanup(stores[name].Close)
	}
	_, err = b.conn.Exec(t.Context(), "SET timezone = 'UTC'")
	require.NoError(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(tables))).Draw(rt, "table")
		table := tables[name]
		with := *b
		with.store = stores[name]
		with.checkEvents(t, rt, &table)
	})
}

func (b *bundle) checkEvents(t *testing.T, rt *rapid.T, table *eventTable) {
	t.Helper()
	batch := &pgx.Batch{}
	batch.Queue("TRUNCATE tailpost.attempt, " + table.m.QuotedTable())
	rows := make([]row, rapid.IntRange(0, 20).Draw(rt, "rows"))
	var attempts []outbox.Attempt
	for i := range rows {
		r := drawRow(rt, i)
		rows[i] = r
		if r.attempted {
			for n := range rapid.IntRange(1, 3).Draw(rt, "attempts") {
				attempts = append(attempts, outbox.Attempt{
					EventID: table.id(i), EventType: r.typ, Tenant: r.tenant, EndpointID: "ep", Number: n + 1, Outcome: outbox.Delivered, StatusCode: 200,
					AttemptedAt: b.now.Add(-max(r.ago, 0) - time.Duration(i)*time.Second + time.Duration(n)*time.Second),
				})
			}
		}
		if r.exists {
			columns, values := "id, type, key, tenant", "$1::text::"+table.idType()+", $2, NULLIF($3::text, '')"+table.keyCast()+", NULLIF($4::text, '')"
			args := []any{table.id(i), r.typ, r.key, r.tenant}
			if table.m.CreatedAt != "" && r.ago >= 0 {
				columns, values = columns+", created_at", values+", $5::timestamptz"
				if zone := table.m.TimeZone; zone != "" {
					values += " AT TIME ZONE '" + zone + "'"
				}
				args = append(args, b.now.Add(-r.ago))
			}
			batch.Queue("INSERT INTO "+table.m.QuotedTable()+" ("+columns+") VALUES ("+values+")", args...)
		}
	}
	require.NoError(rt, b.conn.SendBatch(t.Context(), batch).Close())
	b.insert(t.Context(), rt, attempts)
	for range 2 {
		b.checkEventPages(t, rt, table, rows)
	}
}

// checkSince asks for what is newer than a time, which is an instant whatever the column's type.
func (b *bundle) checkSince(t *testing.T, rt *rapid.T, table *eventTable, rows []row) {
	t.Helper()
	if table.order != "created_at" {
		return
	}
	const back = 30 * time.Minute
	wanted, got := []string{}, []string{}
	for _, r := range rows {
		if r.exists && r.ago >= 0 && r.ago <= back {
			wanted = append(wanted, table.id(r.n))
		}
	}
	page, err := b.store.Events(t.Context(), query.EventQuery{Since: b.now.Add(-back), Limit: 100})
	require.NoError(rt, err)
	for i := range page.Events {
		if page.Events[i].HasRow {
			got = append(got, page.Events[i].ID)
		}
	}
	require.ElementsMatch(rt, wanted, got)
}

func (e *eventTable) idType() string {
	switch {
	case strings.Contains(e.ddl[0], "uuid"):
		return "uuid"
	case strings.Contains(e.ddl[0], "bigint"):
		return "bigint"
	}
	return "text"
}

func (e *eventTable) keyCast() string {
	if e.idType() == "bigint" {
		return "::bigint"
	}
	return ""
}

func (b *bundle) checkEventPages(t *testing.T, rt *rapid.T, table *eventTable, rows []row) {
	t.Helper()
	one := func(label string, of ...string) string {
		if rapid.IntRange(0, 2).Draw(rt, "with "+label) > 0 {
			return ""
		}
		return rapid.SampledFrom(of).Draw(rt, label)
	}
	q := query.EventQuery{EventTenant: one("tenant", "one", "none"), Key: one("key", "7", "9"), Limit: rapid.IntRange(2, 12).Draw(rt, "limit")}
	if pattern := one("type", "order.*", "order.**", "order", "user.gone", "**", "*.paid", "none"); pattern != "" {
		var err error
		q.Type, err = config.ParsePattern(pattern)
		require.NoError(rt, err)
	}
	var want []row
	for _, r := range rows {
		typed := len(q.Type.Segments) == 0 && !q.Type.Rest || q.Type.Match(r.typ)
		listed := table.order != "attempted_at" && r.exists || r.attempted && !r.exists && q.Key == ""
		if listed && typed && (q.EventTenant == "" || r.tenant == q.EventTenant) && (q.Key == "" || r.key == q.Key) {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b row) int {
		part := func(r row) int {
			switch {
			case !r.exists:
				return 2
			case table.order == "created_at" && r.ago < 0:
				return 1
			}
			return 0
		}
		c := cmp.Compare(part(a), part(b))
		switch {
		case part(a) == 2:
			// The last attempts are the newer the lower the number, of one time.
			return cmp.Or(c, cmp.Compare(max(a.ago, 0)+time.Duration(a.n)*time.Second, max(b.ago, 0)+time.Duration(b.n)*time.Second))
		case part(a) == 0 && table.order == "created_at":
			c = cmp.Or(c, cmp.Compare(a.ago, b.ago))
		}
		return cmp.Or(c, cmp.Compare(b.n, a.n))
	})
	wanted, got, exact := make([]string, len(want)), []string{}, true
	for i := range want {
		wanted[i] = table.id(want[i].n)
		exact = exact && want[i].exists
	}
	for pages := 0; ; pages++ {
		page, err := b.store.Events(t.Context(), q)
		require.NoError(rt, err)
		require.Equal(rt, table.order, page.Order)
		require.LessOrEqual(rt, len(page.Events), q.Limit)
		for i := range page.Events {
			e := &page.Events[i]
			got = append(got, e.ID)
			require.NotEmpty(rt, e.State)
			at := slices.IndexFunc(rows, func(r row) bool { return table.id(r.n) == e.ID })
			require.Equal(rt, rows[at].exists, e.HasRow, e.ID)
			require.Equal(rt, rows[at].attempted, e.State == query.EventDelivered, e.ID)
			if rows[at].exists && rows[at].ago >= 0 && table.m.CreatedAt != "" {
				require.Equal(rt, b.now.Add(-rows[at].ago), e.CreatedAt.UTC(), "%s: its time", e.ID)
			}
		}
		require.LessOrEqual(rt, len(got), len(wanted), "more than there are: %v", got)
		if page.Next == nil {
			break
		}
		q.After = *page.Next
		require.LessOrEqual(rt, pages, 40, "a page leads to itself")
	}
	b.checkSince(t, rt, table, rows)
	if exact || table.order != "attempted_at" && !anyTies(want) {
		require.Equal(rt, wanted, got)
	} else {
		require.ElementsMatch(rt, wanted, got)
	}
}

// anyTies reports whether the last attempts of two events may have the same time or another order
// than the events.
func anyTies(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return !r.exists })
}
