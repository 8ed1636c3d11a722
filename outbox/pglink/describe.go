package pglink

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPooler says that a connection is not one to the server itself, so that its session is not
// Tailpost's own.
var ErrPooler = errors.New("a connection pooler stands between Tailpost and Postgres and does not pass session settings on: " +
	"give the server's own address in database.url; the relay and its API keep a handful of connections, which need no pooler")

// Describe makes err fit for people: no user, database or password of the connection string, on one
// line, and with a remedy where one is known. It may be called again on what it returned.
func Describe(err error) error {
	if err == nil {
		return nil
	}
	if connectErr, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = fmt.Errorf("connect to Postgres: %w", line{connectErr.Unwrap()})
	}
	if hint := remedy(err); hint != "" && !strings.HasSuffix(err.Error(), hint) {
		return fmt.Errorf("%w: %s", err, hint)
	}
	return err
}

// remedy is what a person can do about err; empty: nothing that is not said already.
func remedy(err error) string {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || errors.Is(err, ErrPooler) {
		return ""
	}
	switch pgErr.Code {
	case UndefinedTable, UndefinedColumn, UndefinedFunction, NoSchema:
		return "schema tailpost is not there, is of another version, or this role may not see it: run `tailpost migrate`"
	case ReadOnlyTransaction:
		return "the server takes no writes: it is a standby, or was made read-only; give the primary's address, or make it " +
			"writable again, and the relay goes on by itself"
	case InvalidPassword:
		return "put the new password into database.url and reload (SIGHUP)"
	case InvalidAuthorization:
		return "correct the user in database.url, or let it in by pg_hba.conf"
	case NoDatabase:
		return "correct the name of the database in database.url, or create it"
	case TooManyConnections:
		return "end connections, or raise max_connections or the CONNECTION LIMIT of the role"
	case LockNotAvailable:
		return "a session holds a lock on a table that this needs: tailpost doctor names it"
	case InsufficientPrivilege:
		if strings.Contains(pgErr.Message, "row-level security") {
			return "row-level security would hide rows from the relay: ALTER ROLE … BYPASSRLS, or let a role without it own the table"
		}
	case UnknownStatement, DuplicateStatement:
		return ErrPooler.Error()
	case ProtocolViolation:
		if strings.Contains(pgErr.Message, "startup parameter") {
			return ErrPooler.Error()
		}
	}
	return ""
}

// line puts an error of several lines on one. Several ways of connecting that failed alike, with
// and without TLS for example, are told once.
type line struct{ error }

func (l line) Error() string {
	return strings.Join(slices.Compact(strings.Split(l.error.Error(), "\n")), "; ")
}

func (l line) Unwrap() error { return l.error }
