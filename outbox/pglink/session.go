package pglink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// connectTimeout bounds a connection whose URL does not say how long it may take.
const connectTimeout = 10 * time.Second

// Session is what a connection is to be.
type Session struct {
	Name string // application_name
	// Settings are parameters of Postgres beside those that every session has, or instead of them,
	// each as Postgres prints it ("1min", not "60s").
	Settings map[string]string
}

// settings are what every session has.
//
//   - search_path: nothing that somebody else defined is found by an unqualified name, be it a
//     function, an operator or a cast.
//   - row_security: a policy makes a statement fail instead of hiding rows from it.
//   - default_transaction_read_only: a role or database that is read-only by default is written to
//     where that is allowed.
//   - client_encoding: UTF8, but none where the database itself has none (SQL_ASCII): its texts are
//     whatever bytes they are.
//   - quote_all_identifiers: types have the names that we know them by.
func settings() map[string]string {
	return map[string]string{
		"search_path":                         "pg_catalog, pg_temp",
		"row_security":                        "off",
		"default_transaction_read_only":       "off",
		"default_transaction_isolation":       "read committed",
		"statement_timeout":                   "30s",
		"lock_timeout":                        "5s",
		"idle_in_transaction_session_timeout": "1min",
		"idle_session_timeout":                "0",
		"client_encoding":                     "UTF8",
		"timezone":                            "UTC",
		"datestyle":                           "ISO, MDY",
		"intervalstyle":                       "postgres",
		"bytea_output":                        "hex",
		"extra_float_digits":                  "3",
		"standard_conforming_strings":         "on",
		"quote_all_identifiers":               "off",
		"jit":                                 "off",
	}
}

// Configure reads a connection string and returns the configuration of a connection to be: its
// session has the settings of every session and those of s from its first statement on, or it is
// not made. The error of one through a pooler is ErrPooler.
func Configure(connString string, s Session) (*pgx.ConnConfig, error) {
	cfg, err := ParseConfig(connString)
	if err != nil {
		return nil, err
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	want := settings()
	maps.Copy(want, s.Settings)
	maps.Copy(cfg.RuntimeParams, want)
	cfg.RuntimeParams["application_name"] = strings.TrimSpace(s.Name)
	cfg.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error { return verify(ctx, conn, want) }
	return cfg, nil
}

// Connect makes a connection.
func Connect(ctx context.Context, connString string, s Session) (*pgx.Conn, error) {
	cfg, err := Configure(connString, s)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

// verify reads the session's settings. Names are qualified, for they are not known to be found
// where they should be; the simple protocol is what a replication connection takes too.
func verify(ctx context.Context, conn *pgconn.PgConn, want map[string]string) error {
	names := slices.Sorted(maps.Keys(want))
	columns := make([]string, len(names), len(names)+2)
	for i, name := range names {
		columns[i] = "pg_catalog.current_setting('" + name + "')"
	}
	columns = append(columns, "pg_catalog.current_setting('synchronous_commit')", "pg_catalog.current_setting('transaction_timeout', true)")
	results, err := conn.Exec(ctx, "SELECT "+strings.Join(columns, ", ")).ReadAll()
	if err != nil {
		return fmt.Errorf("read the session's settings: %w", err)
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != len(columns) {
		return errors.New("read the session's settings: not one row of them")
	}
	row := results[0].Rows[0]
	for i, name := range names {
		if string(row[i]) != want[name] {
			return fmt.Errorf("%w (%s is %q instead of %q)", ErrPooler, name, row[i], want[name])
		}
	}
	return adjust(ctx, conn, string(row[len(names)]), string(row[len(names)+1]))
}

// adjust changes what depends on the server, and on what the session has. transactionTimeout is
// empty before Postgres 17, which does not know the setting and would refuse a connection that asks
// for it.
func adjust(ctx context.Context, conn *pgconn.PgConn, synchronousCommit, transactionTimeout string) error {
	if synchronousCommit == "off" {
		// An asynchronous commit would let the slot move past attempts that a crash of the server
		// then forgets. Anything stronger than "on" is the operator's choice.
		if err := conn.Exec(ctx, "SET synchronous_commit = 'on'").Close(); err != nil {
			return fmt.Errorf("set synchronous_commit: %w", err)
		}
	}
	if transactionTimeout != "" && transactionTimeout != "0" {
		// It would end a stream within a transaction that takes longer to send, at every try.
		// Statements, and pauses within our transactions, have limits of their own.
		if err := conn.Exec(ctx, "SET transaction_timeout = 0").Close(); err != nil {
			return fmt.Errorf("set transaction_timeout: %w", err)
		}
	}
	if conn.ParameterStatus("server_encoding") == "SQL_ASCII" {
		// The database stores whatever bytes it gets; one that is not UTF-8 would fail every
		// statement that reads it.
		if err := conn.Exec(ctx, "SET client_encoding = 'SQL_ASCII'").Close(); err != nil {
			return fmt.Errorf("set client_encoding: %w", err)
		}
	}
	return nil
}
