package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox/pglink"
)

// DatabaseURLVariable names the environment variable with the address of the server that tests
// share. Its user must be a superuser.
const DatabaseURLVariable = "TAILPOST_TEST_DATABASE_URL"

const (
	// cleanupTimeout is for a busy machine: DROP DATABASE waits for a checkpoint of all there is.
	cleanupTimeout = 3 * time.Minute
	pollInterval   = 10 * time.Millisecond
)

// TB is what this package needs of testing.TB.
type TB interface {
	Helper()
	Name() string
	Context() context.Context
	Cleanup(f func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// DB is an empty database of one test.
type DB struct {
	URL  string
	Name string
}

// NewDB returns a fresh, empty database on the shared server. At cleanup its replication slots and
// then the database itself are dropped, whoever still uses them.
func NewDB(t TB) *DB {
	t.Helper()
	return newDB(t, func(ctx context.Context, conn *pgx.Conn, _, name string) error {
		return insist(ctx, func() error { return create(ctx, conn, name, "template0") })
	})
}

// newDB returns a database that makeIt makes under this name, by a connection to this server.
func newDB(t TB, makeIt func(ctx context.Context, conn *pgx.Conn, server, name string) error) *DB {
	t.Helper()
	server, err := sharedServer()
	if err != nil {
		t.Fatalf("start the shared Postgres: %v", err)
	}
	db := &DB{Name: databaseName(t.Name())}
	if db.URL, err = withDatabase(server.url, db.Name); err != nil {
		t.Fatalf("%v", err)
	}
	admin(t.Context(), t, server.url, func(ctx context.Context, conn *pgx.Conn) error {
		return makeIt(ctx, conn, server.url, db.Name)
	})
	t.Cleanup(func() {
		t.Helper()
		admin(context.WithoutCancel(t.Context()), t, server.url, db.drop)
	})
	return db
}

func create(ctx context.Context, conn *pgx.Conn, name, template string) error {
	_, err := conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template)
	return err
}

// Conn is a connection to the database, closed at cleanup.
func (d *DB) Conn(t TB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.URL)
	if err != nil {
		t.Fatalf("connect to the test database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleanupTimeout)
		defer cancel()
		// The server may be gone or the connection cut, by the test's intent: nothing to report.
		_ = conn.Close(ctx)
	})
	return conn
}

// Slot is a name for a replication slot that no other test uses.
func (d *DB) Slot() string { return d.Name }

// drop removes the database's slots, ending their walsenders, and the database.
func (d *DB) drop(ctx context.Context, conn *pgx.Conn) error {
	err := insist(ctx, func() error {
		_, err := conn.Exec(ctx, `
			SELECT pg_terminate_backend(active_pid)
			FROM pg_replication_slots
			WHERE database = $1 AND active`, d.Name)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `
			SELECT pg_drop_replication_slot(slot_name)
			FROM pg_replication_slots
			WHERE database = $1`, d.Name)
		return err
	})
	if err != nil {
		return fmt.Errorf("drop the slots of %s: %w", d.Name, err)
	}
	err = insist(ctx, func() error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+d.Name+" WITH (FORCE)")
		return err
	})
	if err != nil {
		return fmt.Errorf("drop database %s: %w", d.Name, err)
	}
	return nil
}

// insist repeats f while what it needs is in use: a terminated walsender lets go of its slot a
// moment later, and a relay that still runs may take it again.
func insist(ctx context.Context, f func() error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := f()
		if !pglink.Is(err, pglink.ObjectInUse) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// admin runs f with a connection to the server's maintenance database.
func admin(ctx context.Context, t TB, server string, f func(context.Context, *pgx.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to the shared Postgres: %v", err)
		return
	}
	defer conn.Close(ctx)
	if err := f(ctx, conn); err != nil {
		t.Errorf("%v", err)
	}
}

// databaseName is unique in the cluster, needs no quotes and is short enough for an identifier; it
// starts with the test's name, for those who look at the server's log.
func databaseName(test string) string {
	const limit = 40
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, strings.TrimPrefix(test, "Test"))
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails, says crypto/rand
	return "t_" + clean[:min(limit, len(clean))] + "_" + hex.EncodeToString(random[:])
}

func withDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", errors.New("read " + DatabaseURLVariable + ": want a postgres:// URL")
	}
	u.Path = "/" + name
	return u.String(), nil
}

// shared is a server that NewDB uses. It keeps the Server, whose watchdog would stop it were it
// collected as garbage.
type shared struct {
	url    string
	server *pgserver.Server // nil: somebody else's
}

// sharedServer finds the shared server; its first call starts one if the environment names none.
// That one belongs to the process: its watchdog stops it when the process ends.
var sharedServer = sync.OnceValues(func() (shared, error) {
	if address := os.Getenv(DatabaseURLVariable); address != "" {
		return shared{url: address}, nil
	}
	s, err := pgserver.Start(context.Background(), pgserver.Options{Settings: pgserver.FastSettings()})
	if err != nil {
		return shared{}, err
	}
	return shared{url: s.URL("postgres"), server: s}, nil
})
