package query

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// Connections is how many connections a Store has open at most.
const Connections = 4

const (
	connectTimeout = 5 * time.Second
	keepAlive      = 15 * time.Second
	idleTime       = 5 * time.Minute
	// acquireTimeout bounds how long a call waits for a connection.
	acquireTimeout = 10 * time.Second
)

// statementTimeout bounds what a statement of the API may take.
const statementTimeout = "10s"

const sessionSQL = `
SET statement_timeout = '` + statementTimeout + `';
SET lock_timeout = '3s';
SET idle_in_transaction_session_timeout = '60s';
SET timezone = 'UTC';
SET bytea_output = 'hex';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET default_transaction_isolation = 'read committed';
SET jit = off`

// The ways in which a call ends without what it was made for.
var (
	ErrNotFound    = errors.New("not found")
	ErrStale       = errors.New("it was changed meanwhile")   // the version is not the one that the caller saw
	ErrConflict    = errors.New("in conflict with its state") // wrapped with what the conflict is
	ErrReused      = errors.New("this Idempotency-Key was used for another request")
	ErrUnavailable = errors.New("the database is out of reach or busy")
)

// Options says how to open a Store.
type Options struct {
	URL     config.Secret
	Owner   string         // this process, shown in application_name
	Mapping outbox.Mapping // the outbox table; without Table: none
}

// Store is the API's access to the database. Its methods are safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	mapping outbox.Mapping
}

// Open makes a Store. It opens no connection: the database may be out of reach.
func Open(ctx context.Context, o Options) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(o.URL.Reveal())
	if err != nil {
		// The error would quote the URL.
		return nil, errors.New("parse the database URL: want postgres://user:password@host:port/database, special characters " +
			"percent-encoded, or keyword=value pairs")
	}
	cfg.MaxConns, cfg.MinConns, cfg.MinIdleConns = Connections, 0, 0
	cfg.MaxConnIdleTime = idleTime
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	if !strings.HasPrefix(cfg.ConnConfig.Host, "/") {
		cfg.ConnConfig.DialFunc = (&net.Dialer{KeepAlive: keepAlive}).DialContext
	}
	cfg.ConnConfig.RuntimeParams["application_name"] = applicationName(o.Owner)
	cfg.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		return conn.PgConn().Exec(ctx, sessionSQL).Close()
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the API's connections: %w", err)
	}
	return &Store{pool: pool, mapping: o.Mapping}, nil
}

// applicationName is shortened by Postgres to 63 bytes.
func applicationName(owner string) string { return "tailpost api " + owner }

// Close closes the connections. It waits for calls that run.
func (s *Store) Close() { s.pool.Close() }

// Ready says whether the database can be used: it is reached, and its schema is the one of this binary.
func (s *Store) Ready(ctx context.Context) error {
	return s.read(ctx, "check the schema", func(ctx context.Context, tx pgx.Tx) error {
		return schema.Check(ctx, tx)
	})
}

// read runs f in a transaction that changes nothing.
func (s *Store) read(ctx context.Context, what string, f func(context.Context, pgx.Tx) error) error {
	return s.transact(ctx, what, pgx.TxOptions{AccessMode: pgx.ReadOnly}, f)
}

func (s *Store) transact(ctx context.Context, what string, o pgx.TxOptions, f func(context.Context, pgx.Tx) error) error {
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

// judge tells what passes from what does not.
func judge(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		var netErr net.Error
		var connectErr *pgconn.ConnectError
		if errors.As(err, &netErr) || errors.As(err, &connectErr) {
			return unavailable(err)
		}
		return err
	}
	switch pgErr.Code {
	case "40001", "40P01", "55P03", "57014", "25006":
		return unavailable(err)
	case "42P01", "42703", "42883", "3F000":
		return fmt.Errorf("%w: run `tailpost migrate`", err)
	}
	switch pgErr.Code[:min(2, len(pgErr.Code))] {
	case "08", "53", "57", "58":
		return unavailable(err)
	}
	return err
}

// unavailable hides what a connection error says of the connection string.
func unavailable(err error) error {
	if connectErr, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = connectErr.Unwrap()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// one runs a query that gives a single row, or ErrNotFound.
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
