package pglink

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const servesSQL = `
SELECT current_database(), EXISTS (
    SELECT
    FROM pg_catalog.pg_stat_activity
    WHERE pid = @pid
      AND datname = @database
)`

// Serves returns the database that a connection is in, and reports whether its server has a process
// pid for a database of a name: whether another connection, which knows its own, leads to the same
// server. A standby is another one, although it has its primary's system identifier.
func Serves(ctx context.Context, conn *pgx.Conn, pid int, database string) (own string, serves bool, err error) {
	err = conn.QueryRow(ctx, servesSQL, pgx.NamedArgs{"pid": pid, "database": database}).Scan(&own, &serves)
	return own, serves, err
}

// Decodes reports whether a server of a version with a wal_level decodes its log. From Postgres 19
// on the first logical slot has it write what that needs.
func Decodes(version int, level string) bool {
	const onDemand = 190000
	return level == "logical" || version >= onDemand && level == "replica"
}
