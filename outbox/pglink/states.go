package pglink

import (
	"errors"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// The SQLSTATEs that Tailpost tells apart (the Postgres manual, "PostgreSQL Error Codes").
const (
	ProtocolViolation      = "08P01"
	NumberOutOfRange       = "22003"
	InvalidTime            = "22007"
	TimeOutOfRange         = "22008"
	DivisionByZero         = "22012"
	NotInRepertoire        = "22021" // of the encoding, as a NUL character never is
	InvalidText            = "22P02"
	UntranslatableText     = "22P05"
	UniqueViolation        = "23505"
	CheckViolation         = "23514"
	ReadOnlyTransaction    = "25006"
	UnknownStatement       = "26000"
	InvalidAuthorization   = "28000"
	InvalidPassword        = "28P01"
	NoDatabase             = "3D000"
	NoSchema               = "3F000"
	SerializationFailure   = "40001"
	DeadlockDetected       = "40P01"
	GeneratedAlways        = "428C9"
	InsufficientPrivilege  = "42501"
	UndefinedColumn        = "42703"
	UndefinedObject        = "42704"
	DuplicateObject        = "42710"
	UndefinedFunction      = "42883"
	UndefinedTable         = "42P01"
	DuplicateStatement     = "42P05"
	TooManyConnections     = "53300"
	ConfigurationLimit     = "53400"
	NotInPrerequisiteState = "55000"
	ObjectInUse            = "55006"
	LockNotAvailable       = "55P03"
	QueryCanceled          = "57014" // by statement_timeout, mostly
	AdminShutdown          = "57P01"
	CrashShutdown          = "57P02"
	CannotConnectNow       = "57P03"
	DatabaseDropped        = "57P04"
	IdleSessionTimeout     = "57P05"
	IOError                = "58030"
	UndefinedFile          = "58P01"
	InternalError          = "XX000" // "tuple concurrently updated", for one
)

// State returns the SQLSTATE of a server's error; empty for any other.
func State(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// Is reports whether err is a server's error with one of these SQLSTATEs.
func Is(err error, states ...string) bool {
	return slices.Contains(states, State(err))
}

// TookTooLong reports whether a statement was ended by its timeout.
func TookTooLong(err error) bool { return Is(err, QueryCanceled) }

// NoValue reports whether a text is no value of a type or of a domain.
func NoValue(err error) bool {
	code := State(err)
	return class(code) == "22" || code == CheckViolation
}

// RefusedValue reports whether Postgres refused a value that a statement was called with: one with
// a NUL character, or that is none of the column's type.
func RefusedValue(err error) bool {
	return Is(err, NotInRepertoire, UntranslatableText, InvalidText, InvalidTime, TimeOutOfRange, NumberOutOfRange)
}

// Verdict is what an error means for whoever ran into it.
type Verdict int

const (
	// Refused says that it will fail again, on any connection, until a person acts.
	Refused Verdict = iota
	// Lost says that the connection is gone or useless; what it ran last may have taken effect.
	Lost
	// Transient says that nothing took effect and that it may well succeed later, on this
	// connection too.
	Transient
)

// Judge sorts err. One that is no server's error is of the connection, so Lost; ErrPooler and a
// ParseError are Refused.
//
// A password that the server does not take is Lost: it is being rotated, and the next connection
// may have the new one.
func Judge(err error) Verdict {
	if errors.Is(err, ErrPooler) || errors.Is(err, errParse) {
		return Refused
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return Lost
	}
	switch pgErr.Code {
	case UnknownStatement, DuplicateStatement, ProtocolViolation:
		return Refused
	case AdminShutdown, CrashShutdown, CannotConnectNow, DatabaseDropped, IdleSessionTimeout, ReadOnlyTransaction:
		return Lost
	}
	if fatal := pgErr.SeverityUnlocalized; fatal == "FATAL" || fatal == "PANIC" {
		return Lost
	}
	switch pgErr.Code {
	case SerializationFailure, DeadlockDetected, LockNotAvailable, QueryCanceled, IOError:
		return Transient
	}
	switch class(pgErr.Code) {
	case "08": // connection exception
		return Lost
	case "53": // insufficient resources, for example a full disk
		return Transient
	}
	return Refused
}

// Passes reports whether trying again may help although nobody changes the configuration or the
// database: it is out of reach, starting, busy or full, or the server has been told to write
// nothing for now.
func Passes(err error) bool {
	if err == nil || errors.Is(err, ErrPooler) || errors.Is(err, errParse) {
		return false
	}
	if code := State(err); code != "" {
		switch class(code) {
		case "08":
			return code != ProtocolViolation
		case "40", "53", "55", "57", "58":
			return true
		}
		return code == ReadOnlyTransaction || code == InvalidPassword
	}
	return IsNetwork(err)
}

// IsNetwork reports whether err is of the network or of a connection that is closed.
func IsNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok && State(err) == "" {
		return true
	}
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed} {
		if errors.Is(err, closed) {
			return true
		}
	}
	return false
}

// class is the first two characters of a SQLSTATE.
func class(code string) string { return code[:min(2, len(code))] }
