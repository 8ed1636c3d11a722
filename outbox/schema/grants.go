package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox"
)

// grant is what the relay's role may do with tables of schema tailpost.
type grant struct {
	privileges string   // with commas between them
	tables     []string // without the schema
}

// Tables returns the tables as GRANT takes them.
func (g grant) Tables() string { return "tailpost." + strings.Join(g.tables, ", tailpost.") }

// Privileges returns what is granted, as GRANT takes it.
func (g grant) Privileges() string { return g.privileges }

// relayGrants are what the script grants and what MissingRights looks for.
func relayGrants() []grant {
	return []grant{
		{"SELECT", []string{"migration", "undelivered"}},
		{"SELECT, INSERT", []string{"attempt"}},
		{"SELECT, INSERT, UPDATE, DELETE", []string{"delivery", "endpoint", "endpoint_version", "replay", "resend", "endpoint_stats", "type_stats"}},
		{"SELECT, INSERT, UPDATE", []string{"relay", "configuration"}},
		{"SELECT, INSERT", []string{"gap", "audit", "replay_missing"}},
		{"SELECT, INSERT, UPDATE, DELETE", []string{"event_type", "api_key", "idempotency", "session", "portal_link"}},
		{"SELECT, INSERT, DELETE", []string{"discarded"}},
	}
}

// relayFunctions are those that the relay's role calls.
func relayFunctions() []string {
	return []string{
		"tailpost.ensure_attempt_partitions(date, integer)",
		"tailpost.drop_attempt_partition(date)",
		"tailpost.summarize_attempts(integer)",
	}
}

const missingSQL = `
SELECT w.name || ' ' || w.privilege
FROM unnest(@names::text[], @privileges::text[]) WITH ORDINALITY AS w (name, privilege, n)
WHERE CASE
          WHEN w.privilege = 'EXECUTE' THEN NOT has_function_privilege(to_regprocedure(w.name), w.privilege)
          ELSE NOT has_table_privilege(to_regclass(w.name), w.privilege)
      END
ORDER BY w.n`

// MissingRights returns what Print grants a relay and the connection's role lacks, each as an
// object and a privilege: "tailpost.gap INSERT". With deletes, the relay is to delete settled rows
// of the outbox table too. An object that is not there is left out. It changes nothing.
func MissingRights(ctx context.Context, db outbox.PgxTx, m outbox.Mapping, deletes bool) ([]string, error) {
	var names, privileges []string
	want := func(name, privilege string) { names, privileges = append(names, name), append(privileges, privilege) }
	for _, g := range relayGrants() {
		for _, table := range g.tables {
			for privilege := range strings.SplitSeq(g.privileges, ", ") {
				want("tailpost."+table, privilege)
			}
		}
	}
	for _, function := range relayFunctions() {
		want(function, "EXECUTE")
	}
	if deletes && m.Table != "" {
		want(m.QuotedTable(), "DELETE")
	}
	rows, err := db.Query(ctx, missingSQL, pgx.NamedArgs{"names": names, "privileges": privileges})
	if err != nil {
		return nil, fmt.Errorf("read what the role may do: %w", err)
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read what the role may do: %w", err)
	}
	return missing, nil
}
