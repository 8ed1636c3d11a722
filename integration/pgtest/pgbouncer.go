package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tailpost/tailpost/integration/pgserver"
)

const poolerTimeout = 30 * time.Second

// StartPgBouncer starts a PgBouncer before a database and returns the address through it. It ends
// at cleanup. Mode is its pool_mode, ignored its ignore_startup_parameters. Where there is no
// pgbouncer, the test is skipped, unless it is CI that runs it: .ci/peers.sh installs it.
func StartPgBouncer(t interface {
	TB
	Skip(args ...any)
	TempDir() string
}, db *DB, mode, ignored string,
) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("pgbouncer is not installed: .ci/peers.sh could not")
		}
		t.Skip("pgbouncer is not installed: run .ci/peers.sh")
	}
	address, err := startPgBouncer(t, program, db, mode, ignored)
	if err != nil {
		t.Fatalf("start PgBouncer: %v", err)
	}
	return address
}

func startPgBouncer(t TB, program string, db *DB, mode, ignored string) (string, error) {
	server, err := url.Parse(db.URL)
	if err != nil {
		return "", err
	}
	who, err := pgserver.FindAccount()
	if err != nil {
		return "", err
	}
	parent, err := who.Parent("")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, "tailpost-pgbouncer-")
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	port, err := pgserver.FreePort(t.Context())
	if err != nil {
		return "", err
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
%s = host=%s port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
ignore_startup_parameters = %s
`, db.Name, server.Hostname(), server.Port(), server.User.Username(), port, mode, ignored)
	if err := os.WriteFile(ini, []byte(text), 0o600); err != nil {
		return "", err
	}
	if err := errors.Join(who.Own(dir), who.Own(ini)); err != nil {
		return "", err
	}
	// A process of its own, ended below: the context of the test is over by the time that its
	// cleanups run.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-q", ini) //nolint:gosec // as it was found
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who.Credential}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	through := *server
	through.Host = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	return through.String(), answers(t.Context(), through.Host)
}

// answers waits until somebody listens.
func answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for it to listen: %w", err)
		}
	}
}
