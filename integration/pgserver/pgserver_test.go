package pgserver_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgserver"
)

// serveVariable makes the test binary a program that starts a server, prints its address and waits
// to be killed.
const serveVariable = "PGSERVER_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		serve()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestServerRestartsAfterACrashWithItsData(t *testing.T) {
	t.Parallel()
	parent := openDir(t)
	server := start(t, pgserver.Options{Dir: parent, Settings: map[string]string{"application_name": "it's"}})
	pid, address := server.PID(), server.URL("postgres")

	conn := connect(t, address)
	_, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer")
	require.NoError(t, err)
	require.NoError(t, server.Restart(t.Context(), pgserver.Immediate))
	require.Error(t, conn.Ping(t.Context()), "the crash cut the connection")

	conn = connect(t, address)
	require.Equal(t, 42, count(t, conn, "SELECT answer FROM kept"))
	require.Equal(t, 1, count(t, conn, "SELECT count(*) FROM pg_settings WHERE name = 'fsync' AND setting = 'on'"))
	require.NotEqual(t, pid, server.PID())

	require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
	require.NoError(t, server.Stop(t.Context(), pgserver.Fast), "stopping twice")
	require.Zero(t, server.PID())
	require.NoError(t, server.Close())
	require.NoError(t, server.Close(), "closing twice")
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestStartSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	parent := openDir(t)

	_, err := pgserver.Start(t.Context(), pgserver.Options{Dir: parent, Settings: map[string]string{"wal_level": "nonsense"}})
	require.ErrorContains(t, err, "invalid value for parameter")

	server := start(t, pgserver.Options{Dir: parent})
	conn := connect(t, server.URL("postgres"))
	port := count(t, conn, "SELECT setting::int FROM pg_settings WHERE name = 'port'")
	_, err = pgserver.Start(t.Context(), pgserver.Options{Dir: parent, Port: port})
	require.ErrorContains(t, err, "port is taken")

	_, err = pgserver.Start(t.Context(), pgserver.Options{BinDir: filepath.Join(parent, "nowhere")})
	require.Error(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pgserver.Start(ctx, pgserver.Options{Dir: parent})
	require.ErrorIs(t, err, context.Canceled)

	require.NoError(t, server.Close())
	left, err := os.ReadDir(parent)
	require.NoError(t, err)
	require.Empty(t, left, "a server that failed to start leaves nothing")
}

func TestServerDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	parent := openDir(t)
	self, err := os.Executable()
	require.NoError(t, err)
	owner := exec.CommandContext(t.Context(), self)
	owner.Env = append(os.Environ(), serveVariable+"="+parent)
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	address := make([]byte, 200)
	n, err := out.Read(address)
	require.NoError(t, err)
	connect(t, string(bytes.TrimSpace(address[:n])))

	require.NoError(t, owner.Process.Signal(syscall.SIGKILL))
	require.Error(t, owner.Wait())
	require.EventuallyWithT(t, func(c *assertCollector) {
		left, err := os.ReadDir(parent)
		require.NoError(c, err)
		require.Empty(c, left, "the watchdog stops the server and removes its folder")
	}, 15*time.Second, 20*time.Millisecond)
}

func TestFind(t *testing.T) {
	dir, err := pgserver.Find()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "initdb"))

	fake := t.TempDir()
	t.Setenv("PGBIN", fake)
	_, err = pgserver.Find()
	require.ErrorContains(t, err, "PGBIN")

	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(fake, name), nil, 0o700))
	}
	found, err := pgserver.Find()
	require.NoError(t, err)
	require.Equal(t, fake, found)
}
