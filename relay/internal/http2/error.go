package http2

import (
	"errors"
	"fmt"

	h2 "golang.org/x/net/http2"
)

// Error is why a request has no answer, or no whole one.
type Error struct {
	Err error
	// Unread says that the peer has not looked at the request.
	Unread bool
	// Closed says that the connection is no more.
	Closed bool
	// Reset says that the peer reset the request, or that its answer was not valid.
	Reset bool
	// WantsHTTP1 says that the peer asks for the request over HTTP/1.1.
	WantsHTTP1 bool
	// Headed says that the head of the answer came whole.
	Headed bool
}

func (e *Error) Error() string { return "HTTP/2: " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

var (
	errClosed    = errors.New("the connection is closed")
	errGoneAway  = errors.New("the connection takes no more requests")
	errSilent    = errors.New("no answer to a ping")
	errFlood     = errors.New("the peer asks for more than it reads")
	errMalformed = errors.New("the answer is not valid HTTP/2")

	// ErrLength says that the body of an answer is not as long as the head says.
	ErrLength = errors.New("the body is not as long as the content-length says")
)

// resetError is the end of a stream that the peer reset.
func resetError(code h2.ErrCode, headed bool) *Error {
	return &Error{
		Err: fmt.Errorf("stream reset: %s", code), Reset: true, Headed: headed,
		Unread: code == h2.ErrCodeRefusedStream && !headed, WantsHTTP1: code == h2.ErrCodeHTTP11Required && !headed,
	}
}
