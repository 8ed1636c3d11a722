package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startTimeout = 60 * time.Second
	pollInterval = 10 * time.Millisecond
	portTries    = 10
	// A socket's path must fit sockaddr_un, 104 bytes on the strictest system.
	maxSocketDir = 103 - len("/.s.PGSQL.65535")
)

// Options are how a server starts. The zero value is right for most.
type Options struct {
	Dir      string            // parent of the server's folder; empty: a temporary directory
	BinDir   string            // where initdb and postgres are; empty: Find
	Settings map[string]string // postgresql.conf on top of ours, for example {"wal_sender_timeout": "2s"}
	Port     int               // 0: a free one
}

// FastSettings are the settings of a server that need not survive a crash of the machine.
func FastSettings() map[string]string {
	return map[string]string{"fsync": "off", "full_page_writes": "off", "autovacuum_naptime": "10min", "max_wal_size": "4GB"}
}

// Server is a Postgres server of our own. Its methods may be called from several goroutines.
type Server struct {
	binDir  string
	dir     string // everything: data, socket, log
	account Account
	port    int

	mu       sync.Mutex
	process  *os.Process // nil while stopped
	watchdog *watchdog
}

// StopMode is how a server stops.
type StopMode int

// The modes, as those of pg_ctl.
const (
	Smart     StopMode = iota // waits for clients to leave
	Fast                      // disconnects clients
	Immediate                 // crashes: no checkpoint, recovery at the next start
)

func (m StopMode) signal() syscall.Signal {
	switch m {
	case Smart:
		return syscall.SIGTERM
	case Fast:
		return syscall.SIGINT
	case Immediate:
		return syscall.SIGQUIT
	}
	panic("pgserver: unknown stop mode " + strconv.Itoa(int(m)))
}

// Start makes a database cluster and starts a server on it: logical replication on, 127.0.0.1 and a
// unix socket in its own folder, superuser postgres without a password, UTF-8, UTC. It returns once
// the server takes connections. When the caller is root, the server runs as user postgres (or
// nobody). The caller must Close it; if the caller's process ends without that, a watchdog does.
func Start(ctx context.Context, o Options) (*Server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("server did not start within "+startTimeout.String()))
	defer cancel()

	s, err := newServer(o)
	if err != nil {
		return nil, err
	}
	err = s.initdb(ctx, o.Settings)
	if err == nil {
		err = s.startOnPort(ctx, o.Port)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newServer(o Options) (*Server, error) {
	s := &Server{binDir: o.BinDir}
	var err error
	if s.binDir == "" {
		if s.binDir, err = Find(); err != nil {
			return nil, err
		}
	}
	if s.account, err = FindAccount(); err != nil {
		return nil, err
	}
	if !s.account.reaches(s.binDir) {
		return nil, fmt.Errorf("use Postgres in %s: user %s, as whom it runs, cannot reach that directory", s.binDir, s.account.name)
	}
	parent, err := s.account.Parent(o.Dir)
	if err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp(parent, "tailpost-pg-"); err != nil {
		return nil, fmt.Errorf("make a folder for Postgres: %w", err)
	}
	if s.watchdog, err = watch(s.dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.account.Own(s.dir); err != nil {
		return nil, errors.Join(fmt.Errorf("give the folder to Postgres: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) initdb(ctx context.Context, settings map[string]string) error {
	p, err := s.spawn("initdb", "-D", s.dataDir(), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return err
	}
	state, err := await(ctx, p)
	if err != nil {
		return fmt.Errorf("run initdb: %w", errors.Join(err, p.Kill(), reap(p)))
	}
	if state.ExitStatus() != 0 {
		return fmt.Errorf("run initdb: exit status %d\n%s", state.ExitStatus(), s.logTail())
	}

	conf, err := os.OpenFile(filepath.Join(s.dataDir(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure Postgres: %w", err)
	}
	_, err = conf.WriteString(configuration(s.dir, settings))
	if err := errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("configure Postgres: %w", err)
	}
	return nil
}

func configuration(socketDir string, extra map[string]string) string {
	if len(socketDir) > maxSocketDir {
		socketDir = "" // TCP alone
	}
	settings := map[string]string{
		"listen_addresses":          "127.0.0.1",
		"unix_socket_directories":   socketDir,
		"wal_level":                 "logical",
		"max_wal_senders":           "64",
		"max_replication_slots":     "64",
		"max_connections":           "200",
		"max_prepared_transactions": "16",
		"timezone":                  "UTC",
		"log_timezone":              "UTC",
		"logging_collector":         "off",
	}
	maps.Copy(settings, extra)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	return b.String()
}

// startOnPort starts the server on the port, or on a free one. Between finding a free port and
// taking it somebody else may take it; then another one is tried.
func (s *Server) startOnPort(ctx context.Context, port int) error {
	if port != 0 {
		s.port = port
		return s.start(ctx)
	}
	var err error
	for range portTries {
		if s.port, err = FreePort(ctx); err != nil {
			return err
		}
		if err = s.start(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// Ports that FreePort returns: below those that systems give to connections (RFC 6335, section 6:
// from 49152; Linux: from 32768), else one of these takes the port before the server that is to
// have it has started.
const firstPort, lastPort = 16_384, 32_767

// FreePort returns a TCP port of 127.0.0.1 that nobody listens on, and that no connection gets by
// chance. Somebody may listen on it a moment later.
func FreePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	var err error
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort+1) //nolint:gosec // not a secret
		var l net.Listener
		if l, err = lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// URL is the address of a database on the server.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: "127.0.0.1:" + strconv.Itoa(s.port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// PID is the process id of the postmaster, 0 while it is stopped.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Pid
}

// Restart stops the server and starts it again on the same port and data.
func (s *Server) Restart(ctx context.Context, mode StopMode) error {
	if err := s.Stop(ctx, mode); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("server did not start within "+startTimeout.String()))
	defer cancel()
	return s.start(ctx)
}

// Stop stops the server and returns once it is gone, or with ctx's error while it is still
// stopping. Stopping a stopped server does nothing.
func (s *Server) Stop(ctx context.Context, mode StopMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	if err := s.process.Signal(mode.signal()); err != nil {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	if _, err := await(ctx, s.process); err != nil {
		return fmt.Errorf("stop Postgres: %w", err)
	}
	s.process = nil
	return nil
}

// Close stops the server at once and removes everything it left on disk. Closing a closed server
// does nothing.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), startTimeout, errors.New("server did not stop"))
	defer cancel()
	err := s.Stop(ctx, Immediate)
	if err != nil {
		err = errors.Join(err, s.kill())
	}
	return errors.Join(err, os.RemoveAll(s.dir), s.watchdog.dismiss(ctx))
}

// kill ends a server that does not stop.
func (s *Server) kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.process.Kill(), reap(s.process))
	s.process = nil
	return err
}

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

var errPortTaken = errors.New("port is taken")

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return errors.New("start Postgres: it is running")
	}
	// The log goes on across restarts; only what this start adds explains a failure.
	logged := len(s.log())
	p, err := s.spawn("postgres", "-D", s.dataDir(), "-p", strconv.Itoa(s.port))
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx, p); err != nil {
		if log := s.log(); strings.Contains(log[min(logged, len(log)):], "could not create any TCP/IP sockets") {
			err = errors.Join(errPortTaken, err)
		}
		return fmt.Errorf("start Postgres on port %d: %w", s.port, err)
	}
	s.process = p
	return nil
}

// awaitReady waits until the postmaster p says in its lock file that it takes connections. Unlike a
// connection, the file cannot be somebody else's.
func (s *Server) awaitReady(ctx context.Context, p *os.Process) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		state, done, err := peek(p)
		if err != nil {
			return err
		}
		if done {
			return fmt.Errorf("it exited with status %d\n%s", state.ExitStatus(), s.logTail())
		}
		if s.lockFileSaysReady(p.Pid) {
			return s.ping(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w\n%s", errors.Join(context.Cause(ctx), p.Kill(), reap(p)), s.logTail())
		}
	}
}

// lockFileSaysReady reads postmaster.pid: the process id in line 1, the status in line 8.
func (s *Server) lockFileSaysReady(pid int) bool {
	content, err := os.ReadFile(filepath.Join(s.dataDir(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(content), "\n")
	return len(lines) >= 8 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

func (s *Server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the new server: %w", err)
	}
	return conn.Close(ctx)
}

func (s *Server) log() string {
	content, err := os.ReadFile(s.logFile())
	if err != nil {
		return ""
	}
	return string(content)
}

func (s *Server) logTail() string {
	const limit = 2000
	log := s.log()
	return log[max(0, len(log)-limit):]
}
