package egress

import (
	"errors"
	"syscall"
)

// What a connection was at when it failed. The texts complete "timeout after 10s …".
const (
	Resolving  = "resolving the name"
	Connecting = "connecting"
	Reaching   = "connecting to the egress proxy"
	Proxying   = "connecting through the egress proxy"
	Securing   = "in the TLS handshake"
)

// Error is why there is no connection.
type Error struct {
	During string // one of the constants above
	Err    error
}

func (e *Error) Error() string { return e.During + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// RefusalError says what the egress proxy did wrong, in words fit for people.
type RefusalError struct {
	text   string
	barred bool // see IsBarred
}

func (r *RefusalError) Error() string { return r.text }

const barredText = ": check the user and password in network.proxy"

// IsBarred reports whether err means that the relay gets to nobody through the egress proxy: it
// cannot be reached or understood, or wants another user and password. That says nothing about the
// receiver.
func IsBarred(err error) bool {
	if refusal, is := errors.AsType[*RefusalError](err); is {
		return refusal.barred
	}
	failed, is := errors.AsType[*Error](err)
	return is && failed.During == Reaching
}

// Unpassed returns what is wrong where 407 answers a plain http request that went to the egress
// proxy with its whole URL. That is never the receiver's answer (RFC 9110, section 15.5.8).
// Challenged says that it has a Proxy-Authenticate header, which only the nearest proxy writes
// (section 11.7.1): then nothing was passed on. The error is an *[Error].
func Unpassed(challenged bool) error {
	if challenged {
		return &Error{Proxying, unknown("request")}
	}
	return &Error{Proxying, &RefusalError{text: "407 is no receiver's answer: the egress proxy refused the request, or the receiver took itself for a proxy"}}
}

// unknown is the refusal of a proxy that asks the relay for a user and password, or for others.
func unknown(what string) *RefusalError {
	return &RefusalError{text: "the egress proxy refused the " + what + " with status 407" + barredText, barred: true}
}

// IsLocal reports whether err means that the machine the relay runs on is short of something. That
// says nothing about the receiver.
func IsLocal(err error) bool {
	for _, e := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
