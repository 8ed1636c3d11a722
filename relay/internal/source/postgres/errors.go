package postgres

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// What a caller acts upon. Each error of this package that is one of these says more in its text.
var (
	// ErrSlotActive says that another connection holds the slot: stand by and Start again.
	ErrSlotActive = errors.New("slot is in use")
	// ErrSlotUnready says that another connection is still creating the slot, which it does for as long
	// as older transactions run: its relay may be gone. It comes with ErrSlotActive.
	ErrSlotUnready = errors.New("slot is being created")
	// ErrSlotMissing says that there is no such slot.
	ErrSlotMissing = errors.New("slot is missing")
	// ErrSlotLost says that Postgres removed WAL that the slot needed, or invalidated it otherwise: it is of no more use.
	ErrSlotLost = errors.New("slot is lost")
	// ErrWALMissing says that files which the slot needs are gone although Postgres takes it for sound, as in a cluster that was
	// put together from parts. Open with Replace makes a new slot.
	ErrWALMissing = errors.New("WAL that the slot needs is missing")
	// ErrPublicationMissing says that there is no publication, and that this role may not create it.
	ErrPublicationMissing = errors.New("publication is missing")
	// ErrUnreadable says that the slot holds WAL from a time without publication, which Postgres before 18 cannot decode,
	// however often it is asked. Open with SkipBacklog lets go of it.
	ErrUnreadable = errors.New("the slot holds WAL from a time without publication")
	// ErrPublicationMismatch says that a publication or its table is not as it must be, and that this role may not mend it.
	ErrPublicationMismatch = errors.New("publication does not fit")
	// ErrSetup says that the server or the role is not set up for logical replication. Its text has the remedy.
	ErrSetup = errors.New("logical replication is not set up")
	// ErrStandby says that the server is a standby: another one is the primary, or this one will be.
	ErrStandby = errors.New("the server is a standby")
	// ErrConnection says that the connection was lost or could not be made.
	ErrConnection = errors.New("replication connection lost")
	// ErrServerStopped says that the server ended the stream: it shuts down, or someone terminated the connection.
	ErrServerStopped = errors.New("server ended the stream")
	// ErrClosed says that the Stream was used after Close or after Run.
	ErrClosed = errors.New("stream is closed")
)

// SQLSTATEs that this package tells apart.
const (
	stateAdminShutdown         = "57P01"
	stateCrashShutdown         = "57P02"
	stateCannotConnectNow      = "57P03"
	stateIdleSession           = "57P05"
	stateUndefinedObject       = "42704"
	stateDuplicateObject       = "42710"
	stateInsufficientPrivilege = "42501"
	stateInvalidAuthorization  = "28000"
	stateObjectInUse           = "55006"
	statePrerequisiteState     = "55000"
	stateConfigurationLimit    = "53400"
	stateUndefinedFile         = "58P01"
	stateTooManyConnections    = "53300"
)

// handlerError carries an error of the Handler through the decoder untouched.
type handlerError struct{ err error }

func (e handlerError) Error() string { return e.err.Error() }
func (e handlerError) Unwrap() error { return e.err }

func fromHandler(err error) error {
	if err == nil {
		return nil
	}
	return handlerError{err}
}

// sqlState returns the SQLSTATE of a server's error, empty for any other.
func sqlState(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// classify gives an error of the connection its kind. What is none of them comes back as it is.
func classify(err error) error {
	switch sqlState(err) {
	case stateAdminShutdown, stateCrashShutdown, stateCannotConnectNow, stateIdleSession:
		return fmt.Errorf("%w: %w", ErrServerStopped, err)
	case stateObjectInUse:
		return fmt.Errorf("%w: %w", ErrSlotActive, err)
	case "":
		if isNetwork(err) {
			return fmt.Errorf("%w: %w", ErrConnection, err)
		}
	}
	return err
}

// endOfStream gives an error that the server sent within the stream its kind.
func endOfStream(err error) error {
	switch sqlState(err) {
	case stateUndefinedObject:
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	case stateUndefinedFile:
		return fmt.Errorf("%w: %w", ErrWALMissing, err)
	}
	return classify(err)
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, pgconn.ErrConnClosed} {
		if errors.Is(err, closed) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
