package postgres

import (
	"errors"
	"fmt"
	"net"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// What a caller acts upon. Each error of this package that is one of these says more in its text.
var (
	// ErrSlotActive says that another connection holds the slot: stand by and Start again.
	ErrSlotActive = errors.New("slot is in use")
	// ErrSlotUnready says that another connection is still creating the slot, which it does for as
	// long as older transactions run: its relay may be gone. It comes with ErrSlotActive.
	ErrSlotUnready = errors.New("slot is being created")
	// ErrSlotMissing says that there is no such slot.
	ErrSlotMissing = errors.New("slot is missing")
	// ErrSlotLost says that Postgres removed WAL that the slot needed, or invalidated it otherwise:
	// it is of no more use.
	ErrSlotLost = errors.New("slot is lost")
	// ErrWALMissing says that files which the slot needs are gone although Postgres takes it for
	// sound, as in a cluster that was put together from parts. Open with Replace makes a new slot.
	ErrWALMissing = errors.New("WAL that the slot needs is missing")
	// ErrPublicationMissing says that there is no publication, and that this role may not create
	// it.
	ErrPublicationMissing = errors.New("publication is missing")
	// ErrUnreadable says that the slot holds WAL from a time without publication, which Postgres
	// before 18 cannot decode, however often it is asked. Open with SkipBacklog lets go of it.
	ErrUnreadable = errors.New("the slot holds WAL from a time without publication")
	// ErrPublicationMismatch says that a publication or its table is not as it must be, and that
	// this role may not mend it.
	ErrPublicationMismatch = errors.New("publication does not fit")
	// ErrSetup says that the server or the role is not set up for logical replication. Its text has
	// the remedy.
	ErrSetup = errors.New("logical replication is not set up")
	// ErrStandby says that the server is a standby: another one is the primary, or this one will
	// be.
	ErrStandby = errors.New("the server is a standby")
	// ErrSynchronous says that the server would take the stream for a standby that commits wait
	// for. It may pass: some write "*" into synchronous_standby_names while no standby is there.
	ErrSynchronous = errors.New("the stream would be a synchronous standby")
	// ErrConnection says that the connection was lost or could not be made.
	ErrConnection = errors.New("replication connection lost")
	// ErrServerStopped says that the server ended the stream: it shuts down, or someone terminated
	// the connection.
	ErrServerStopped = errors.New("server ended the stream")
	// ErrClosed says that the Stream was used after Close or after Run.
	ErrClosed = errors.New("stream is closed")
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

// classify wraps an error of the connection with its kind. Any other error is returned as it is.
func classify(err error) error {
	switch pglink.State(err) {
	case pglink.AdminShutdown, pglink.CrashShutdown, pglink.CannotConnectNow, pglink.IdleSessionTimeout:
		return fmt.Errorf("%w: %w", ErrServerStopped, err)
	case pglink.ObjectInUse:
		return fmt.Errorf("%w: %w", ErrSlotActive, err)
	case "":
		if pglink.IsNetwork(err) {
			return fmt.Errorf("%w: %w", ErrConnection, err)
		}
	}
	return err
}

// endOfStream wraps an error that the server sent within the stream with its kind.
func endOfStream(err error) error {
	switch pglink.State(err) {
	case pglink.UndefinedObject:
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	case pglink.UndefinedFile:
		return fmt.Errorf("%w: %w", ErrWALMissing, err)
	}
	return classify(err)
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}
