package egress

import (
	"errors"
	"syscall"
)

// What a connection was at when it failed. The texts complete "timeout after 10s …".
const (
	Resolving  = "resolving the name"
	Connecting = "connecting"
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
type RefusalError struct{ text string }

func (r *RefusalError) Error() string { return r.text }

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
