package postgres

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each way in which a publication would leave events out, or bring what is none, is named, and the
// SQL beside it leaves nothing of it.
func TestWhatIsWrongWithAPublicationIsNamedAndMended(t *testing.T) {
	t.Parallel()
	const (
		set  = `BEGIN; ALTER PUBLICATION "s" SET (publish = 'insert', publish_via_partition_root = true); ALTER PUBLICATION "s" SET TABLE "app"."events"; COMMIT;`
		anew = `BEGIN; DROP PUBLICATION "s"; CREATE PUBLICATION "s" FOR TABLE "app"."events" WITH (publish = 'insert', publish_via_partition_root = true); COMMIT;`
	)
	outbox := publication{name: "s", table: "app.events", publish: []string{"insert"}, moves: true}
	none := publication{name: "s", publish: []string{"insert"}, moves: true}
	for name, test := range map[string]struct {
		want      publication
		change    func(*published)
		different string
		sql       string
	}{
		"as it must be":              {outbox, func(*published) {}, "", ""},
		"with deletes":               {outbox, func(p *published) { p.publish = withMoves }, "", ""},
		"with deletes of endpoints":  {publication{name: "s", table: "app.events", publish: []string{"insert"}}, func(p *published) { p.publish = withMoves }, `it publishes "insert, delete", not "insert"`, set},
		"missing":                    {outbox, func(p *published) { p.exists = false }, "it does not exist", strings.TrimPrefix(strings.TrimSuffix(anew, " COMMIT;"), `BEGIN; DROP PUBLICATION "s"; `)},
		"of all tables":              {outbox, func(p *published) { p.allTables, p.tables = true, nil }, "it is FOR ALL TABLES", anew},
		"of schemas":                 {outbox, func(p *published) { p.schemas = true }, "it publishes whole schemas", set},
		"of updates":                 {outbox, func(p *published) { p.publish = []string{"update"} }, `it publishes "update", not "insert"`, set},
		"of another table":           {outbox, func(p *published) { p.tables = []string{"app.other"} }, `its tables are "app.other", not "app.events"`, set},
		"of some columns":            {outbox, func(p *published) { p.listed = "id, type" }, "it has a column list (id, type), and the stream leaves out all other columns", set},
		"of some rows":               {outbox, func(p *published) { p.filtered = true }, "it has a row filter, and the stream leaves out rows", set},
		"of partitions as their own": {outbox, func(p *published) { p.partitioned, p.viaRoot = true, false }, "the table is partitioned and publish_via_partition_root is off", set},
		"without its root, which it does not need": {outbox, func(p *published) { p.viaRoot = false }, "", ""},
		"of rows that move": {
			outbox, func(p *published) { p.partitioned, p.keyed, p.filtered = true, true, true }, "it has a row filter, and the stream leaves out rows",
			strings.Replace(set, "'insert'", "'insert, delete'", 1),
		},
		"of rows that move, without their deletes": {outbox, func(p *published) { p.partitioned, p.keyed = true, true }, "", ""},
		"of rows that move, with their deletes":    {outbox, func(p *published) { p.partitioned, p.keyed, p.publish = true, true, withMoves }, "", ""},
		"of endpoints in partitions": {
			publication{name: "s", table: "app.events", publish: []string{"insert"}}, func(p *published) { p.partitioned, p.keyed = true, true }, "", "",
		},
		"of some endpoints in partitions": {
			publication{name: "s", table: "app.events", publish: []string{"insert"}},
			func(p *published) { p.partitioned, p.keyed, p.filtered = true, true, true },
			"it has a row filter, and the stream leaves out rows", set,
		},
		"of no table":                     {none, func(p *published) { p.tables = nil }, "", ""},
		"of a table where there is none":  {none, func(*published) {}, `its tables are "app.events", not ""`, strings.Replace(anew, ` FOR TABLE "app"."events"`, "", 1)},
		"of all tables that are not many": {outbox, func(p *published) { p.allTables = true }, "it is FOR ALL TABLES", anew},
	} {
		have := published{exists: true, viaRoot: true, publish: []string{"insert"}, tables: []string{"app.events"}}
		test.change(&have)
		got := test.want.differences(have)
		require.Equal(t, test.different, strings.Join(got, "; "), name)
		if len(got) > 0 {
			require.Equal(t, test.sql, test.want.sql(have), name)
			continue
		}
		if advice, sql := test.want.advice(have); name == "of rows that move, without their deletes" {
			require.Contains(t, advice, "it publishes no deletes")
			require.Equal(t, `ALTER PUBLICATION "s" SET (publish = 'insert, delete');`, sql)
		} else {
			require.Empty(t, advice+sql, name)
		}
	}
}
