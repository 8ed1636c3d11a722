package pgtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tailpost/tailpost/outbox/pglink"
)

const (
	// originals is what the names of databases begin with that others are copies of.
	originals = "tailpost_original_"
	// copyLock is the key of the advisory lock under which one is made.
	copyLock int64 = 0x7461696c636f7079
)

// NewCopy is NewDB, as a copy of a database that prepare has filled: once for the server, whose
// tests share it, and once more for another version, which consists of lower-case letters and
// digits. The server keeps what was prepared; making one drops those that are older than a day.
func NewCopy(t TB, version string, prepare func(ctx context.Context, conn *pgx.Conn) error) *DB {
	t.Helper()
	original := originals + version
	return newDB(t, func(ctx context.Context, conn *pgx.Conn, server, name string) error {
		return insist(ctx, func() error {
			err := create(ctx, conn, name, original)
			if !pglink.Is(err, pglink.NoDatabase) {
				return err
			}
			if err := makeOriginal(ctx, conn, server, original, prepare); err != nil {
				return fmt.Errorf("make the original of databases: %w", err)
			}
			return create(ctx, conn, name, original)
		})
	})
}

// makeOriginal makes a database that others are to be copies of, unless it is there. It has its
// name once it is whole.
func makeOriginal(ctx context.Context, conn *pgx.Conn, server, name string, prepare func(ctx context.Context, conn *pgx.Conn) error) (err error) {
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", copyLock); err != nil {
		return err
	}
	defer func() {
		_, unlockErr := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", copyLock)
		err = errors.Join(err, unlockErr)
	}()
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
		return err // somebody was quicker
	}
	half := originals + "half" // there already if its maker was killed
	rows, err := conn.Query(ctx, `
		SELECT datname::text
		FROM pg_database
		WHERE datname = $1
		   OR starts_with(datname, $2)
		  AND (pg_stat_file('base/' || oid || '/PG_VERSION')).modification < now() - interval '1 day'`, half, originals)
	if err != nil {
		return err
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, other := range old {
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+other+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	if err := create(ctx, conn, half, "template0"); err != nil {
		return err
	}
	url, err := withDatabase(server, half)
	if err != nil {
		return err
	}
	inside, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	if err := errors.Join(prepare(ctx, inside), inside.Close(ctx)); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+half+" RENAME TO "+name)
	return err
}
