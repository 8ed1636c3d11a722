package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Upgrade moves a server that was stopped into a new cluster by pg_upgrade, as for a new major
// version: tables, roles and their OIDs stay; the system identifier, WAL and, before Postgres 17,
// logical slots do not. Restart starts the new cluster on the port of the old one.
func (s *Server) Upgrade(ctx context.Context) error {
	if s.PID() != 0 {
		return errors.New("upgrade the cluster: the server runs")
	}
	const next = "next"
	to := filepath.Join(s.dir, next)
	if _, err := s.tool(ctx, "initdb", "-D", to, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return err
	}
	if err := s.copyFile(filepath.Join(s.dataDir(), "postgresql.conf"), filepath.Join(to, "postgresql.conf")); err != nil {
		return fmt.Errorf("configure the new cluster: %w", err)
	}
	// Its sockets are in the current directory.
	if _, err := s.tool(ctx, "pg_upgrade", "-b", s.binDir, "-B", s.binDir, "-d", s.dataDir(), "-D", to, "-U", "postgres"); err != nil {
		return err
	}
	if err := os.Rename(s.dataDir(), filepath.Join(s.dir, "before")); err != nil {
		return fmt.Errorf("put the old cluster away: %w", err)
	}
	if err := os.Rename(to, s.dataDir()); err != nil {
		return fmt.Errorf("put the new cluster in its place: %w", err)
	}
	return nil
}

// CanUpgrade reports whether Upgrade has the programs that it needs: some builds of Postgres come
// without.
func (s *Server) CanUpgrade() bool {
	return s.has("pg_upgrade", "pg_controldata", "pg_resetwal", "pg_dump", "pg_dumpall")
}
