package pglink_test

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox/pglink"
)

// TestParseConfig_probesASilentConnection: as libpq's parameters say, or every 15 seconds.
func TestParseConfig_probesASilentConnection(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for parameters, want := range map[string][4]int{
		"":                               {1, 15, 15, 9},
		"keepalives=1&keepalives_idle=0": {1, 15, 15, 9}, // 0 is the default
		"keepalives_idle=30&keepalives_interval=5&keepalives_count=3": {1, 30, 5, 3},
	} {
		require.Equal(t, want, options(t, listener.Addr().String(), parameters), parameters)
	}
	require.Zero(t, options(t, listener.Addr().String(), "keepalives=0")[0])
}

// options returns what a connection that is made with these parameters has: whether it is probed,
// after how many seconds, how many of them between, and how many probes end it.
func options(t *testing.T, address, parameters string) (is [4]int) {
	t.Helper()
	cfg, err := pglink.ParseConfig("postgres://db.example/shop?" + parameters)
	require.NoError(t, err)
	conn, err := cfg.DialFunc(context.WithoutCancel(t.Context()), "tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	socket, has := conn.(syscall.Conn)
	require.True(t, has)
	raw, err := socket.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		for i, option := range [4][2]int{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT},
		} {
			is[i], err = syscall.GetsockoptInt(int(fd), option[0], option[1])
			require.NoError(t, err)
		}
	}))
	return is
}
