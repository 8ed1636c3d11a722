package main

import (
	"fmt"
	"net"

	"github.com/rs/zerolog"
)

// notifySocket names the environment variable with the socket of the service manager.
const notifySocket = "NOTIFY_SOCKET"

// serviceManager tells systemd what this process does, by the protocol of sd_notify(3). Without a
// socket there is nobody to tell.
type serviceManager struct {
	socket string
	log    zerolog.Logger
}

// tell sends a state. That it could not be sent is no reason to stop.
func (m serviceManager) tell(state string) {
	if m.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		_ = conn.Close() // a datagram was sent, or was not
	}
	if err != nil {
		m.log.Warn().Err(err).Msg("the service manager was not notified")
	}
}

// reloading says that a reload begins; reloaded ends it. The manager uses the time that comes
// along.
func (m serviceManager) reloading() {
	m.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonicMicroseconds()))
}

// reloaded says that a reload is over, and what is wrong, for whoever asks systemctl status; empty:
// nothing is.
func (m serviceManager) reloaded(wrong string) {
	m.tell("READY=1\nSTATUS=" + wrong)
}
