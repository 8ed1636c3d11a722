package pgtest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgtest"
)

// serveVariable makes the test binary a program that starts a server, prints its address and waits to be killed.
const serveVariable = "PGTEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		serve()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestNewDBIsEmptyAndGoneAfterwards(t *testing.T) {
	t.Parallel()
	var name, slot string
	outer := pgtest.NewDB(t).Conn(t)

	t.Run("use", func(t *testing.T) {
		db := pgtest.NewDB(t)
		conn := db.Conn(t)
		name, slot = db.Name, db.Slot()

		var current, walLevel, encoding string
		require.NoError(t, conn.QueryRow(t.Context(),
			"SELECT current_database(), current_setting('wal_level'), current_setting('server_encoding')").Scan(&current, &walLevel, &encoding))
		require.Equal(t, []string{db.Name, "logical", "UTF8"}, []string{current, walLevel, encoding})

		// A walsender that nobody stops holds the slot when the test ends.
		_, err := conn.Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "CREATE PUBLICATION p FOR ALL TABLES")
		require.NoError(t, err)
		startWalsender(t, db)
	})

	require.Zero(t, count(t, outer, "SELECT count(*) FROM pg_database WHERE datname = $1", name))
	require.Zero(t, count(t, outer, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", slot))
}

func TestNewDBNamesAreSafeAndDistinct(t *testing.T) {
	t.Parallel()
	a, b := pgtest.NewDB(t), pgtest.NewDB(t)
	require.NotEqual(t, a.Name, b.Name)
	require.Regexp(t, `^[a-z0-9_]{1,63}$`, a.Slot())
	require.Contains(t, a.Name, "newdbnames")
	require.True(t, strings.HasPrefix(a.URL, "postgres://"))
}

func TestServerRestartsAfterACrashWithItsData(t *testing.T) {
	t.Parallel()
	parent := openDir(t)
	server := start(t, pgtest.Options{Dir: parent, Settings: map[string]string{"application_name": "it's"}})
	pid, address := server.PID(), server.URL("postgres")

	conn := connect(t, address)
	_, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 42 AS answer")
	require.NoError(t, err)
	require.NoError(t, server.Restart(t.Context(), pgtest.Immediate))
	require.Error(t, conn.Ping(t.Context()), "the crash cut the connection")

	conn = connect(t, address)
	require.Equal(t, 42, count(t, conn, "SELECT answer FROM kept"))
	require.Equal(t, 1, count(t, conn, "SELECT count(*) FROM pg_settings WHERE name = 'fsync' AND setting = 'on'"))
	require.NotEqual(t, pid, server.PID())

	require.NoError(t, server.Stop(t.Context(), pgtest.Fast))
	require.NoError(t, server.Stop(t.Context(), pgtest.Fast), "stopping twice")
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

	_, err := pgtest.Start(t.Context(), pgtest.Options{Dir: parent, Settings: map[string]string{"wal_level": "nonsense"}})
	require.ErrorContains(t, err, "invalid value for parameter")

	server := start(t, pgtest.Options{Dir: parent})
	conn := connect(t, server.URL("postgres"))
	port := count(t, conn, "SELECT setting::int FROM pg_settings WHERE name = 'port'")
	_, err = pgtest.Start(t.Context(), pgtest.Options{Dir: parent, Port: port})
	require.ErrorContains(t, err, "port is taken")

	_, err = pgtest.Start(t.Context(), pgtest.Options{BinDir: filepath.Join(parent, "nowhere")})
	require.Error(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pgtest.Start(ctx, pgtest.Options{Dir: parent})
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
	dir, err := pgtest.Find()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "initdb"))

	fake := t.TempDir()
	t.Setenv("PGBIN", fake)
	_, err = pgtest.Find()
	require.ErrorContains(t, err, "PGBIN")

	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(fake, name), nil, 0o700))
	}
	found, err := pgtest.Find()
	require.NoError(t, err)
	require.Equal(t, fake, found)
}
