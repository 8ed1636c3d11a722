package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// NewIdentity gives a server that was stopped without a crash another system identifier and no WAL
// of before, as a cluster has whose control file was lost: its tables and what is left of its slots
// stay.
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

// CanReset reports whether NewIdentity has the programs that it needs: some builds of Postgres come
// without.
func (s *Server) CanReset() bool { return s.has("pg_controldata", "pg_resetwal") }

// has reports whether the server came with all of these programs.
func (s *Server) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		_, err := os.Stat(filepath.Join(s.binDir, name))
		return err != nil
	})
}

const tablesSQL = `
SELECT c.oid::regclass::text
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace IN ('public'::regnamespace, 'tailpost'::regnamespace)
  AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition
ORDER BY 1`

// Restore puts the rows that a database of another server has into the tables of the one of the
// same name here, as a dump does. The tables must be there.
func (s *Server) Restore(ctx context.Context, from *Server, database string) error {
	source, err := pgx.Connect(ctx, from.URL(database))
	if err != nil {
		return fmt.Errorf("connect to the other server: %w", err)
	}
	defer source.Close(context.WithoutCancel(ctx))
	here, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	defer here.Close(context.WithoutCancel(ctx))
	rows, err := source.Query(ctx, tablesSQL)
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	// No trigger runs, as when a dump is loaded.
	if _, err := here.Exec(ctx, "SET session_replication_role = replica"); err != nil {
		return fmt.Errorf("turn triggers off: %w", err)
	}
	if _, err := here.Exec(ctx, "TRUNCATE "+strings.Join(tables, ", ")); err != nil {
		return fmt.Errorf("empty the tables: %w", err)
	}
	for _, table := range tables {
		var content bytes.Buffer
		if _, err := source.PgConn().CopyTo(ctx, &content, "COPY (SELECT * FROM "+table+") TO STDOUT"); err != nil {
			return fmt.Errorf("dump %s: %w", table, err)
		}
		if _, err := here.PgConn().CopyFrom(ctx, &content, "COPY "+table+" FROM STDIN"); err != nil {
			return fmt.Errorf("load %s: %w", table, err)
		}
	}
	return nil
}

// tool runs a program of the server's as its account, and returns what it printed.
func (s *Server) tool(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.binDir, name), args...) //nolint:gosec // a program of the server that a test runs
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + s.binDir + ":/usr/bin:/bin"} // no PG* variable of the caller's
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.account.Credential}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run %s: %w\n%s", name, err, out)
	}
	return string(out), nil
}

// Upgrade moves a server that was stopped into a new cluster by the pg_upgrade of binDir, as for a
// new major version: tables, roles and their OIDs stay; the system identifier, WAL and, from before
// Postgres 17, logical slots do not. From 17 on it is an error if a slot has not confirmed all WAL
// that has something for it. Restart starts the new cluster on the port of the old one.
func (s *Server) Upgrade(ctx context.Context, binDir string) error {
	if s.PID() != 0 {
		return errors.New("upgrade the cluster: the server runs")
	}
	before := s.binDir
	s.binDir = binDir
	to := filepath.Join(s.dir, "next")
	if err := s.initNext(ctx, to); err != nil {
		return err
	}
	// Its sockets are in the current directory.
	if _, err := s.tool(ctx, "pg_upgrade", "-b", before, "-B", s.binDir, "-d", s.dataDir(), "-D", to, "-U", "postgres"); err != nil {
		return fmt.Errorf("%w%s", err, upgradeLogs(to))
	}
	if err := os.Rename(s.dataDir(), filepath.Join(s.dir, "before")); err != nil {
		return fmt.Errorf("put the old cluster away: %w", err)
	}
	if err := os.Rename(to, s.dataDir()); err != nil {
		return fmt.Errorf("put the new cluster in its place: %w", err)
	}
	return nil
}

// initNext makes the cluster that the server's data moves to.
func (s *Server) initNext(ctx context.Context, to string) error {
	args := []string{"-D", to, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"}
	help, err := s.tool(ctx, "initdb", "--help")
	if err != nil {
		return err
	}
	// pg_upgrade wants both clusters alike, and Postgres 18 has checksums unless told otherwise.
	const noChecksums = "--no-data-checksums"
	if strings.Contains(help, noChecksums) {
		args = append(args, noChecksums)
	}
	if _, err := s.tool(ctx, "initdb", args...); err != nil {
		return err
	}
	if err := s.copyFile(filepath.Join(s.dataDir(), "postgresql.conf"), filepath.Join(to, "postgresql.conf")); err != nil {
		return fmt.Errorf("configure the new cluster: %w", err)
	}
	return nil
}

// upgradeLogs returns the end of each log of a pg_upgrade that failed: what it printed only names
// them.
func upgradeLogs(cluster string) string {
	paths, err := filepath.Glob(filepath.Join(cluster, "pg_upgrade_output.d", "*", "log", "*"))
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, path := range paths {
		const limit = 1000
		if content, err := os.ReadFile(path); err == nil { //nolint:gosec // a log in a folder of ours
			fmt.Fprintf(&b, "\n%s:\n%s", filepath.Base(path), content[max(0, len(content)-limit):])
		}
	}
	return b.String()
}

// CanUpgrade reports whether Upgrade has the programs that it needs, of the server's own and of
// binDir's: some builds of Postgres come without.
func (s *Server) CanUpgrade(binDir string) bool {
	return s.has("pg_controldata", "pg_resetwal") && (&Server{binDir: binDir}).has("pg_upgrade", "pg_controldata", "pg_resetwal", "pg_dump", "pg_dumpall", "psql", "vacuumdb")
}
