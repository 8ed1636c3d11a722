package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tailpost/tailpost/config"
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
	c, err := pgx.ParseConfig(db.URL.Reveal())
	if err != nil {
		// pgx's error repeats the URL.
		return nil, hint(errors.New("connect to the database: database.url is neither a postgres:// URL nor a keyword string"),
			"postgres://user:password@host:5432/database")
	}
	c.RuntimeParams["application_name"] = "tailpost"
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, fmt.Errorf("no answer within %s", connectTimeout))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		// Around the reason pgx puts user and database, which are parts of the URL.
		var failed *pgconn.ConnectError
		if errors.As(err, &failed) {
			err = failed.Unwrap()
		}
		return nil, hint(fmt.Errorf("connect to the database: %w", err), "database.url, and that the server takes connections")
	}
	return conn, nil
}
