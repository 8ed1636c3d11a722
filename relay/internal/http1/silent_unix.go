//go:build unix

package http1

import (
	"errors"
	"syscall"
)

// silent reports whether a socket is open and has nothing to read.
func silent(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return errors.Is(err, syscall.EAGAIN)
}
