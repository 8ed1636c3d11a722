package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// failoverVersion is the first version of Postgres whose standbys keep copies of replication slots.
const failoverVersion = 170000

// Standby makes a streaming standby of the server by a base backup, and returns once it takes
// connections. From Postgres 17 on it keeps copies of failover slots. The caller must Close it.
// Promote makes a primary of it.
func (s *Server) Standby(ctx context.Context) (*Server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("standby did not start within "+startTimeout.String()))
	defer cancel()
	copied, err := newServer(Options{Dir: filepath.Dir(s.dir), BinDir: s.binDir})
	if err != nil {
		return nil, err
	}
	conf, err := s.backup(ctx, copied)
	if err == nil {
		err = copied.configureStandby(conf)
	}
	if err == nil {
		err = copied.startOnPort(ctx, 0)
	}
	if err != nil {
		return nil, errors.Join(err, copied.Close())
	}
	return copied, nil
}

// Promote makes a primary of a standby and returns once it takes writes.
func (s *Server) Promote(ctx context.Context) error {
	return s.ask(ctx, func(conn *pgx.Conn) error {
		var promoted bool
		if err := conn.QueryRow(ctx, "SELECT pg_promote(true, 60)").Scan(&promoted); err != nil {
			return fmt.Errorf("promote the standby: %w", err)
		}
		if !promoted {
			return errors.New("promote the standby: not within a minute")
		}
		return nil
	})
}

func (s *Server) ask(ctx context.Context, f func(conn *pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	err = f(conn)
	return errors.Join(err, conn.Close(ctx))
}

// backup copies the server's files while it runs, and returns what the copy's configuration needs
// on top.
func (s *Server) backup(ctx context.Context, to *Server) (conf string, err error) {
	const slot = "standby"
	err = s.ask(ctx, func(conn *pgx.Conn) error {
		var version int
		if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
			return fmt.Errorf("ask for the version: %w", err)
		}
		if _, err := conn.Exec(ctx, "SELECT pg_create_physical_replication_slot($1, true)", slot); err != nil {
			return fmt.Errorf("make the standby's slot: %w", err)
		}
		begin, end := "SELECT pg_backup_start('standby', true)", "SELECT labelfile FROM pg_backup_stop(false)"
		const renamed = 150000
		if version < renamed {
			begin, end = "SELECT pg_start_backup('standby', true, false)", "SELECT labelfile FROM pg_stop_backup(false, false)"
		}
		if _, err := conn.Exec(ctx, begin); err != nil {
			return fmt.Errorf("begin a backup: %w", err)
		}
		if err := to.copyFrom(s.dataDir()); err != nil {
			return err
		}
		var label string
		if err := conn.QueryRow(ctx, end).Scan(&label); err != nil {
			return fmt.Errorf("end a backup: %w", err)
		}
		conf = fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres dbname=postgres'\nprimary_slot_name = '%s'\nhot_standby_feedback = on\n",
			s.port, slot)
		if version >= failoverVersion {
			conf += "sync_replication_slots = on\n"
		}
		return to.write("backup_label", label)
	})
	return conf, err
}

// copyFrom copies a data directory, but for WAL, which the standby streams, and what belongs to the
// running server.
func (s *Server) copyFrom(data string) error {
	err := filepath.WalkDir(data, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile; the WAL has it
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		to := filepath.Join(s.dataDir(), name)
		switch top := strings.Split(name, string(filepath.Separator)); {
		case entry.IsDir() && len(top) > 1 && top[0] == "pg_replslot":
			return fs.SkipDir
		case entry.IsDir():
			const private = 0o700
			if err := os.Mkdir(to, private); err != nil {
				return err
			}
			return s.account.Own(to)
		case len(top) > 1 && (top[0] == "pg_wal" || top[0] == "pg_logical"), name == "postmaster.pid", name == "postmaster.opts":
			return nil
		}
		return s.copyFile(path, to)
	})
	if err != nil {
		return fmt.Errorf("copy the data directory: %w", err)
	}
	return nil
}

func (s *Server) copyFile(from, to string) error {
	source, err := os.Open(from) //nolint:gosec // a file of the server that is copied
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer source.Close()
	const private = 0o600
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, private) //nolint:gosec // its copy, in a folder of ours
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close(), s.account.Own(to))
}

func (s *Server) configureStandby(conf string) error {
	if err := s.write("standby.signal", ""); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(s.dataDir(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure the standby: %w", err)
	}
	socket := s.dir
	if len(socket) > maxSocketDir {
		socket = ""
	}
	_, err = file.WriteString(conf + "unix_socket_directories = '" + socket + "'\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("configure the standby: %w", err)
	}
	return nil
}

// write makes a file in the data directory.
func (s *Server) write(name, content string) error {
	const private = 0o600
	path := filepath.Join(s.dataDir(), name)
	if err := os.WriteFile(path, []byte(content), private); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := s.account.Own(path); err != nil {
		return fmt.Errorf("give %s to Postgres: %w", name, err)
	}
	return nil
}

// Address is the server's host and port.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
