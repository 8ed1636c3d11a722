package query

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/pglink"
	"github.com/tailpost/tailpost/outbox/schema"
)

// Connections is how many connections a Store has open at most.
const Connections = 4

const (
	connectTimeout = 5 * time.Second
	idleTime       = 5 * time.Minute
	// acquireTimeout bounds how long a call waits for a connection.
	acquireTimeout = 10 * time.Second
)

// statementTimeout bounds what a statement of the API may take.
const statementTimeout = "10s"

// The ways in which a call ends without what it was made for.
var (
	ErrNotFound    = errors.New("not found")
	ErrStale       = errors.New("it was changed meanwhile")   // the version is not the one that the caller saw
	ErrConflict    = errors.New("in conflict with its state") // wrapped with what the conflict is
	ErrReused      = errors.New("this Idempotency-Key was used for another request")
	ErrInvalid     = errors.New("a value that the database does not take")
	ErrUnavailable = errors.New("the database is out of reach or busy")
)

// Options says how to open a Store.
type Options struct {
	URL     config.Secret
	Owner   string         // the replica, shown in application_name; empty: a command, which is none
	Mapping outbox.Mapping // the outbox table; without Table: none
}

// Store is the API's access to the database: every noun of the API has a part with its queries. Its
// methods are safe for concurrent use.
type Store struct {
	*database

	access
	attempts
	backtests
	deliveries
	endpoints
	eventTypes
	events
	health
	operations
}

// The parts of a Store.
type (
	access     struct{ *database } // keys, sessions, portal links, and who changed what
	attempts   struct{ *database }
	backtests  struct{ *database }
	deliveries struct{ *database }
	endpoints  struct{ *database }
	eventTypes struct{ *database }
	events     struct{ *database }
	health     struct{ *database } // of the relay and its tables
	operations struct{ *database } // replays and resends
)

// database is the common part of a Store.
type database struct {
	pool    *pgxpool.Pool
	session pglink.Session
	next    atomic.Pointer[pgx.ConnConfig] // of the next connection
	mapping outbox.Mapping
}

// Open makes a Store. It opens no connection: the database may be out of reach.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &database{mapping: o.Mapping, session: pglink.Session{
		Name:     applicationName(o.Owner),
		Settings: map[string]string{"statement_timeout": statementTimeout, "lock_timeout": "3s"},
	}}
	if err := s.Readdress(o.URL); err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, errors.New("read the settings of Postgres in the environment: one of PGHOST, PGSSLMODE, … is not valid")
	}
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = Connections, 0, 0
	cfg.MaxConnIdleTime = idleTime
	cfg.ConnConfig = s.next.Load().Copy()
	cfg.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		*c = *s.next.Load().Copy()
		return nil
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open the API's connections: %w", err)
	}
	return &Store{
		s, access{s}, attempts{s}, backtests{s}, deliveries{s}, endpoints{s}, eventTypes{s}, events{s}, health{s}, operations{s},
	}, nil
}

// Readdress makes new connections use another address or password. Open ones are left alone. An
// invalid address is an error, and changes nothing.
func (s *database) Readdress(url config.Secret) error {
	cfg, err := pglink.Configure(url.Reveal(), s.session)
	if err != nil {
		return err
	}
	cfg.ConnectTimeout = min(cfg.ConnectTimeout, connectTimeout)
	s.next.Store(cfg)
	return nil
}

// applicationName is shortened by Postgres to 63 bytes. That of a command is not among the
// replicas.
func applicationName(owner string) string {
	if owner == "" {
		return "tailpost"
	}
	return "tailpost api " + owner
}

// Close closes the connections. It waits for calls that run.
func (s *database) Close() { s.pool.Close() }

// Ready reports whether the database can be used: it can be reached, and its schema is that of this
// binary.
func (s *database) Ready(ctx context.Context) error {
	return s.read(ctx, "check the schema", func(ctx context.Context, tx pgx.Tx) error {
		return schema.Check(ctx, tx)
	})
}

// read runs f in a transaction that changes nothing.
func (s *database) read(ctx context.Context, what string, f func(context.Context, pgx.Tx) error) error {
	return s.transact(ctx, what, pgx.TxOptions{AccessMode: pgx.ReadOnly}, f)
}

func (s *database) transact(ctx context.Context, what string, o pgx.TxOptions, f func(context.Context, pgx.Tx) error) error {
	waiting, cancel := context.WithTimeoutCause(ctx, acquireTimeout, errors.New("no free connection"))
	conn, err := s.pool.Acquire(waiting)
	cancel()
	if err != nil {
		return fmt.Errorf("%s: %w", what, unavailable(err))
	}
	defer conn.Release()
	if err := pgx.BeginTxFunc(ctx, conn, o, func(tx pgx.Tx) error { return f(ctx, tx) }); err != nil {
		return fmt.Errorf("%s: %w", what, judge(err))
	}
	return nil
}

// judge tells errors that pass by themselves from those that do not.
func judge(err error) error {
	switch {
	case pglink.Passes(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, pglink.Describe(err))
	case pglink.RefusedValue(err): // of the call: what is read of the application's table is cast to text
		return fmt.Errorf("%w: %w", ErrInvalid, pglink.Describe(err))
	case pglink.State(err) != "" || errors.Is(err, pglink.ErrPooler):
		return pglink.Describe(err)
	}
	return err
}

// unavailable returns why a call gets no connection, without what the error says of the connection
// string.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, pglink.Describe(err))
}

// one runs a query that returns a single row, or ErrNotFound.
func one[T any](ctx context.Context, tx pgx.Tx, sql string, args pgx.NamedArgs, to pgx.RowToFunc[T]) (T, error) {
	rows, err := tx.Query(ctx, sql, args)
	if err != nil {
		var zero T
		return zero, err
	}
	row, err := pgx.CollectExactlyOneRow(rows, to)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, ErrNotFound
	}
	return row, err
}

func many[T any](ctx context.Context, tx pgx.Tx, sql string, args pgx.NamedArgs, to pgx.RowToFunc[T]) ([]T, error) {
	rows, err := tx.Query(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, to)
}
