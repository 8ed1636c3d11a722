package schema_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// hidden lists what people may not read, and why: tables and columns. Whoever adds a column grants
// it in roles.sql.tmpl, or lists it here.
func hidden() map[string]string {
	return map[string]string{
		"delivery":                "it has payloads; people read the view undelivered",
		"endpoint.policy":         "parameters of the query may be secret",
		"endpoint.secrets":        "they are secret",
		"endpoint_version":        "it has what endpoint has",
		"api_key.hash":            "who has it may guess",
		"idempotency":             "answers may have payloads",
		"session":                 "who has a hash may guess",
		"portal_link.fingerprint": "who has it may guess",
	}
}

// TestTheReaderReadsEveryColumn compares what the script grants with the tables that there are: a
// column that is granted by name is easily forgotten.
func TestTheReaderReadsEveryColumn(t *testing.T) {
	t.Parallel()
	p := setupPrinted(t)
	rows, err := p.Conn(t).Query(t.Context(), `
SELECT c.relname, c.relname || '.' || a.attname, has_column_privilege($1, c.oid, a.attnum, 'SELECT'), has_table_privilege($2, c.oid, 'SELECT')
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'tailpost'::regnamespace
  AND c.relkind IN ('r', 'p', 'v')
  AND NOT c.relispartition
  AND a.attnum > 0
  AND NOT a.attisdropped`, p.options.Reader, p.options.Relay)
	require.NoError(t, err)
	var table, column string
	var reader, relay bool
	seen := map[string]bool{}
	_, err = pgx.ForEachRow(rows, []any{&table, &column, &reader, &relay}, func() error {
		seen[table], seen[column] = true, true
		require.True(t, relay, "the relay may not read %s", table)
		secret := hidden()[table] != "" || hidden()[column] != ""
		require.Equal(t, !secret, reader, "people may read %s: grant it, or say here why not", column)
		return nil
	})
	require.NoError(t, err)
	for name := range hidden() {
		require.True(t, seen[name], "there is no %s", name)
	}
}

// TestWhatARoleLacksIsNamed: rights to tables and functions, and, for a relay that deletes what is
// settled, to the outbox table.
func TestWhatARoleLacksIsNamed(t *testing.T) {
	t.Parallel()
	p := setupPrinted(t)
	conn := p.as(t, p.options.Relay)
	lacks := func(m outbox.Mapping, deletes bool) []string {
		missing, err := schema.MissingRights(t.Context(), conn, m, deletes)
		require.NoError(t, err)
		return missing
	}
	require.Empty(t, lacks(outbox.DefaultMapping(), false))
	require.Empty(t, lacks(outbox.Mapping{}, true), "there is no table to delete from")
	role := pgx.Identifier{p.options.Relay}.Sanitize()
	p.exec(t, "REVOKE INSERT ON tailpost.gap FROM "+role+"; REVOKE EXECUTE ON FUNCTION tailpost.drop_attempt_partition(date) FROM "+role)
	require.Equal(t, []string{
		"tailpost.gap INSERT", "tailpost.drop_attempt_partition(date) EXECUTE", `"public"."outbox" DELETE`,
	}, lacks(outbox.DefaultMapping(), true))
}
