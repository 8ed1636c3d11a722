package query

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Login is a row of tailpost.session: a person who logged in to the panel.
type Login struct {
	Hash        []byte // SHA-256 of the cookie
	KeyID       string
	Fingerprint []byte
	CreatedAt   time.Time
	SeenAt      time.Time
}

// OpenSession keeps a login.
func (s access) OpenSession(ctx context.Context, l Login) error {
	return s.transact(ctx, "open a session", pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
INSERT INTO tailpost.session (hash, key_id, fingerprint, created_at, seen_at)
VALUES (@hash, @key, @fingerprint, @created, @seen)`,
			pgx.NamedArgs{"hash": l.Hash, "key": l.KeyID, "fingerprint": l.Fingerprint, "created": l.CreatedAt, "seen": l.SeenAt})
		return err
	})
}

// Session returns the login with this hash, or ErrNotFound.
func (s access) Session(ctx context.Context, hash []byte) (l Login, err error) {
	err = s.read(ctx, "look for the session", func(ctx context.Context, tx pgx.Tx) (err error) {
		l, err = one(ctx, tx, `
SELECT hash, key_id, fingerprint, created_at, seen_at
FROM tailpost.session
WHERE hash = @hash`, pgx.NamedArgs{"hash": hash}, pgx.RowToStructByName[Login])
		return err
	})
	return l, err
}

// SeeSession notes that a login was used.
func (s access) SeeSession(ctx context.Context, hash []byte, at time.Time) error {
	return s.sessions(ctx, "note the use of the session", `
UPDATE tailpost.session
SET seen_at = @at
WHERE hash = @hash
  AND seen_at < @at`, pgx.NamedArgs{"hash": hash, "at": at})
}

// CloseSession ends a login; one that is not there is closed already.
func (s access) CloseSession(ctx context.Context, hash []byte) error {
	return s.sessions(ctx, "close the session", "DELETE FROM tailpost.session\nWHERE hash = @hash", pgx.NamedArgs{"hash": hash})
}

// SweepSessions removes the logins that were opened before one time, or last used before another.
func (s access) SweepSessions(ctx context.Context, created, seen time.Time) error {
	return s.sessions(ctx, "sweep sessions", `
DELETE FROM tailpost.session
WHERE created_at < @created
   OR seen_at < @seen`, pgx.NamedArgs{"created": created, "seen": seen})
}

func (s access) sessions(ctx context.Context, what, sql string, args pgx.NamedArgs) error {
	return s.transact(ctx, what, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql, args)
		return err
	})
}
