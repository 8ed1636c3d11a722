package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	// ErrDeposed says that this relay no longer holds the slot: another one took it, or the database went back to a state
	// before this relay's last batch. Nothing is recorded any more.
	ErrDeposed = errors.New("deposed: another relay holds the slot")
	// ErrUncertain says that an earlier Record was interrupted by its context, so that nobody knows whether it took effect.
	// Take starts afresh, and Recorded then tells.
	ErrUncertain = errors.New("the outcome of an interrupted batch is unknown: take the slot again")
)

// RefusedError says that Postgres refuses a batch, and that running it again cannot help.
type RefusedError struct {
	Code string // SQLSTATE
	Err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("record a batch: Postgres refuses it: %v", e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// verdict is what an error means for whoever ran into it.
type verdict int

const (
	refused     verdict = iota // it will fail again
	lost                       // the connection is gone or useless, what it ran last may have taken effect
	transient                  // it took no effect and may well succeed later
	noPartition                // tailpost.attempt lacks a day
	notHeld                    // the guard found another epoch or batch
)

// SQLSTATE codes that the package acts on.
const (
	codeDivisionByZero = "22012"
	codeCheckViolation = "23514"
	codeNoTable        = "42P01"
	codeNoColumn       = "42703"
	codeNoFunction     = "42883"
	codeNoSchema       = "3F000"
)

func judge(err error) verdict {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return lost
	}
	if pgErr.SeverityUnlocalized == "FATAL" || pgErr.SeverityUnlocalized == "PANIC" {
		return lost
	}
	switch pgErr.Code {
	case codeDivisionByZero:
		return notHeld
	case codeCheckViolation:
		// Missing partitions share the code with violated constraints, but name none.
		if pgErr.ConstraintName == "" && pgErr.TableName == "attempt" {
			return noPartition
		}
		return refused
	case "57P01", "57P02", "57P03", "57P04", "57P05", // shutdown, crash, starting, dropped, idle session timeout
		"25006", // read-only: a standby, or a primary that no longer is
		"26000": // the prepared statement is gone: a pooler gave us another server connection
		return lost
	case "40001", "40P01", "55P03", "57014", "58030": // serialization, deadlock, lock and statement timeout, I/O error
		return transient
	}
	switch pgErr.Code[:min(2, len(pgErr.Code))] {
	case "08": // connection exception
		return lost
	case "53": // insufficient resources, for example a full disk
		return transient
	}
	return refused
}

// describe makes err fit for people: no user, database or password of the connection string, and a remedy where one is
// known.
func describe(err error) error {
	if connectErr, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fmt.Errorf("connect to Postgres: %w", flat{connectErr.Unwrap()})
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pgErr.Code {
		case codeNoTable, codeNoColumn, codeNoFunction, codeNoSchema:
			return fmt.Errorf("%w: run `tailpost migrate`", err)
		}
	}
	return err
}

// flat puts an error of several lines on one.
type flat struct{ error }

func (f flat) Error() string { return strings.ReplaceAll(f.error.Error(), "\n", "; ") }
func (f flat) Unwrap() error { return f.error }

// interrupted says that ctx ended what.
func interrupted(ctx context.Context, what string) error {
	return fmt.Errorf("%s: %w", what, context.Cause(ctx))
}
