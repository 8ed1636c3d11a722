package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox/pglink"
)

const connectTimeout = 15 * time.Second

// withDatabase runs f with a connection to the configured database.
func withDatabase(ctx context.Context, db config.Database, f func(*pgx.Conn) error) error {
	conn, err := connect(ctx, db)
	if err != nil {
		return err
	}
	err = f(conn)
	// The work is done or has failed, whatever becomes of the farewell.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	_ = conn.Close(closing)
	return err
}

func connect(ctx context.Context, db config.Database) (*pgx.Conn, error) {
	c, err := pglink.Configure(db.URL.Reveal(), pglink.Session{Name: "tailpost"})
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %s", connectTimeout))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, hint(fmt.Errorf("connect to the database: %s", connectReason(err)), "database.url, and that the server takes connections")
	}
	return conn, nil
}

// connectReason returns why a connection failed, without user and database, which pgx puts around
// it and which are parts of the URL. Several ways of connecting that failed alike, with and without
// TLS for example, are told once.
func connectReason(err error) string {
	if failed, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = failed.Unwrap()
	}
	return strings.Join(slices.Compact(strings.Split(err.Error(), "\n")), "; ")
}
