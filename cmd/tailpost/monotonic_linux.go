package main

import "golang.org/x/sys/unix"

// monotonicMicroseconds is the clock that systemd compares a reload's beginning with.
func monotonicMicroseconds() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0 // the manager then waits for the next message
	}
	return now.Nano() / 1000
}
