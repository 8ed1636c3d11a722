package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// NewIdentity gives a server that was stopped without a crash another system identifier and no WAL of before, as a cluster has
// whose control file was lost: its tables and what is left of its slots stay.
func (s *Server) NewIdentity(ctx context.Context) error {
	if s.PID() != 0 {
		return errors.New("give the cluster another identity: the server runs")
	}
	control, err := s.tool(ctx, "pg_controldata", s.dataDir())
	if err != nil {
		return err
	}
	next := make(map[string]string)
	for line := range strings.Lines(control) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			next[strings.TrimPrefix(name, "Latest checkpoint's ")] = strings.TrimSpace(value)
		}
	}
	_, xid, _ := strings.Cut(next["NextXID"], ":") // after the epoch
	if err := os.Truncate(filepath.Join(s.dataDir(), "global", "pg_control"), 0); err != nil {
		return fmt.Errorf("lose the control file: %w", err)
	}
	_, err = s.tool(ctx, "pg_resetwal", "-f", "-x", xid, "-o", next["NextOID"],
		"-m", next["NextMultiXactId"]+","+next["oldestMultiXid"], "-O", next["NextMultiOffset"], s.dataDir())
	return err
}

// Restore dumps a database of another server and loads the dump into the one of the same name here, which must be empty.
func (s *Server) Restore(ctx context.Context, from *Server, database string) error {
	dump := filepath.Join(s.dir, "dump.sql")
	if _, err := s.tool(ctx, "pg_dump", "-f", dump, from.URL(database)); err != nil {
		return err
	}
	_, err := s.tool(ctx, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, s.URL(database))
	return err
}

// tool runs a program of the server's as its account, and gives what it printed.
func (s *Server) tool(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.binDir, name), args...) //nolint:gosec // a program of the server that a test runs
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + s.binDir + ":/usr/bin:/bin"} // no PG* variable of the caller's
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account.credential}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s: %w\n%s", name, err, out)
	}
	return string(out), nil
}
