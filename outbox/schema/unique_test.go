package schema_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// TestTheSQLThatKeepsIDsUniqueRuns: what CheckTable prints can be run as it is, and mends the
// table.
func TestTheSQLThatKeepsIDsUniqueRuns(t *testing.T) {
	t.Parallel()
	const columns = "id bigint NOT NULL, type text NOT NULL, payload jsonb, at timestamptz NOT NULL, region text NOT NULL"
	for name, is := range map[string]struct{ ddl, want string }{
		"plain":                 {"CREATE TABLE events (" + columns + ")", `ALTER TABLE "public"."events" ADD PRIMARY KEY ("id")`},
		"with another key":      {"CREATE TABLE events (" + columns + ", PRIMARY KEY (at))", `ALTER TABLE "public"."events" ADD UNIQUE ("id")`},
		"partitioned by a time": {"CREATE TABLE events (" + columns + ") PARTITION BY RANGE (at); CREATE TABLE e1 PARTITION OF events DEFAULT", `ALTER TABLE "public"."events" ADD PRIMARY KEY ("id", "at")`},
		"partitioned by the id": {"CREATE TABLE events (" + columns + ") PARTITION BY HASH (id)", `ALTER TABLE "public"."events" ADD PRIMARY KEY ("id")`},
		"partitioned, with another key": {
			"CREATE TABLE events (" + columns + ", PRIMARY KEY (at)) PARTITION BY RANGE (at)", `ALTER TABLE "public"."events" ADD UNIQUE ("id", "at")`,
		},
		"partitioned at two levels, the columns elsewhere in the lower": {
			"CREATE TABLE events (" + columns + ") PARTITION BY RANGE (at);" +
				"CREATE TABLE e1 (region text NOT NULL, at timestamptz NOT NULL, payload jsonb, type text NOT NULL, id bigint NOT NULL) PARTITION BY LIST (region);" +
				"ALTER TABLE events ATTACH PARTITION e1 DEFAULT; CREATE TABLE e2 PARTITION OF e1 DEFAULT",
			`ALTER TABLE "public"."events" ADD PRIMARY KEY ("id", "at", "region")`,
		},
		"partitioned by an expression": {"CREATE TABLE events (" + columns + ") PARTITION BY RANGE (date_trunc('day', at AT TIME ZONE 'UTC'))", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, is.ddl)
			m := outbox.Mapping{Table: "public.events", ID: "id", Type: "type", Payload: "payload"}
			_, err := schema.CheckTable(t.Context(), b.conn, m)
			require.ErrorContains(t, err, "nothing keeps its id")
			sql := regexp.MustCompile("ALTER TABLE .*").FindString(err.Error())
			require.Equal(t, is.want, sql)
			if sql == "" {
				require.ErrorContains(t, err, "partition it by columns")
				return
			}
			b.exec(t, sql)
			_, err = schema.CheckTable(t.Context(), b.conn, m)
			require.NoError(t, err)
		})
	}
}
