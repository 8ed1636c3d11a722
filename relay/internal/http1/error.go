package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// What a request was at when it failed. The texts complete "timeout after 10s …".
const (
	Sending = "sending the request"
	Waiting = "waiting for headers"
	Reading = "reading the response body"
)

// Error is why there is no answer, or no whole one.
type Error struct {
	During string // one of the constants above
	Err    error
	// Closed says that the peer closed the connection before any byte of an answer.
	Closed bool
	// Silent says that the time was up before any byte of an answer: the connection may be dead
	// without a word.
	Silent bool
}

func (e *Error) Error() string { return e.During + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// MalformedError says what is wrong with an answer, in words fit for people. Guessing where such an
// answer ends could take its rest for the answer to the next request, so its connection is not used
// again.
type MalformedError struct{ text string }

func (m *MalformedError) Error() string { return m.text }

var errMalformed = &MalformedError{"the answer is not valid HTTP/1.1"}

// isClosed reports whether err is what using a connection comes to that the peer has closed.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
