package hangup

import "golang.org/x/sys/unix"

// hungUp says whether the other side of a socket has closed it, whatever there is still to be read.
func hungUp(fd uintptr) bool {
	const over = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR | unix.POLLNVAL
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} //nolint:gosec // a file descriptor
	n, err := unix.Poll(fds[:], 0)
	return err == nil && n > 0 && fds[0].Revents&over != 0
}
