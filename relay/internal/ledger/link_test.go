package ledger_test

import (
	"context"
	"errors"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// for1s is long enough for a loop without a pause to go round thousands of times.
func for1s(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A server may take connections and refuse every statement: it was made read-only, or is a standby.
// Asking it without a pause is thousands of connections a minute.
func TestLink_neverLoopsWithoutAPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	works := func() {
		require.NoError(t, b.ledger.Link().Run(t.Context(), "work", func(context.Context, *pgx.Conn) error { return nil }))
	}
	for name, refusal := range map[string]error{
		"read-only":     &pgconn.PgError{Severity: "ERROR", Code: "25006", Message: "cannot execute INSERT in a read-only transaction"},
		"shutting down": &pgconn.PgError{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01"},
		"locked":        &pgconn.PgError{Severity: "ERROR", Code: "55P03"},
		"full":          &pgconn.PgError{Severity: "ERROR", Code: "53100"},
	} {
		tries := 0
		err := b.ledger.Link().Run(for1s(t), "try", func(context.Context, *pgx.Conn) error {
			tries++
			return refusal
		})
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.Greater(t, tries, 2, name)
		require.Less(t, tries, 9, name)
		works()
	}
	// The pause goes on growing from call to call until something works.
	tries := 0
	for range 3 {
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_ = b.ledger.Link().Run(short, "try", func(context.Context, *pgx.Conn) error {
			tries++
			return &pgconn.PgError{Severity: "ERROR", Code: "25006"}
		})
		cancel()
	}
	require.LessOrEqual(t, tries, 6)
}

func TestRecord_neverLoopsWithoutAPause(t *testing.T) {
	t.Parallel()
	b, p := setupProxy(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
	p.always(unsent)
	err := b.ledger.Record(for1s(t), hold, oneOf("e2", 2))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Greater(t, b.losses(), 2)
	require.Less(t, b.losses(), 9)
}

// What takes longer than a statement may take will do so again.
func TestLink_triesWhatTakesTooLongThreeTimes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tries := 0
	err := b.ledger.Link().Run(t.Context(), "read all of it", func(ctx context.Context, conn *pgx.Conn) error {
		tries++
		_, err := conn.Exec(ctx, "SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)")
		return err
	})
	require.ErrorContains(t, err, "read all of it: ")
	require.ErrorContains(t, err, "statement timeout")
	require.Equal(t, 3, tries)
}

// Whatever keeps the other connection busy, and however long, what is due is loaded and what was
// sent is recorded.
func TestRetriesAreNotKeptWaitingByAnythingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	busy, done := make(chan struct{}), make(chan error, 1)
	ctx, end := context.WithCancelCause(t.Context())
	go func() {
		done <- b.ledger.Link().Run(ctx, "read all of it", func(ctx context.Context, _ *pgx.Conn) error {
			close(busy)
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}()
	<-busy
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
	require.Len(t, b.due(t, "crm", noon), 1)
	heads, err := b.ledger.KeyHeads(t.Context(), "crm", false, 100_000)
	require.NoError(t, err)
	require.Empty(t, heads)
	over := errors.New("over")
	end(over)
	require.ErrorIs(t, <-done, over)
}

// While one user waits for the database, others get on: the pause is not theirs.
func TestLink_isFreeBetweenTries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, end := context.WithCancel(t.Context())
	var tries atomic.Int32
	done := make(chan error, 1)
	go func() {
		done <- b.ledger.Link().Run(ctx, "wait", func(context.Context, *pgx.Conn) error {
			tries.Add(1)
			return &pgconn.PgError{Severity: "ERROR", Code: "55P03"}
		})
	}()
	eventually(t, func() bool { return tries.Load() > 0 })
	for range 20 {
		_, err := b.ledger.Resends(t.Context())
		require.NoError(t, err)
	}
	end()
	require.ErrorIs(t, <-done, context.Canceled)
}

// A password that is rotated is taken over without a restart: the server refuses the old one until
// the relay has the new one.
func TestReaddress_takesARotatedPassword(t *testing.T) {
	t.Parallel()
	b := migrated(t)
	role := b.db.Name + "_relay"
	b.exec(t, "CREATE ROLE "+role+" LOGIN SUPERUSER PASSWORD 'old'")
	t.Cleanup(func() {
		_, err := b.conn.Exec(contextOf(t), "DROP ROLE "+role)
		require.NoError(t, err)
	})
	with := func(password string) string {
		u, err := url.Parse(b.db.URL)
		require.NoError(t, err)
		u.User = url.UserPassword(role, password)
		return u.String()
	}
	b.ledger = b.open(t, with("old"))
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon))
	hold := take(t, b.ledger)
	require.Error(t, b.ledger.Readdress(config.NewSecret("postgres://x?pgbouncer=true")))
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)), "the old address stays")

	// Nobody is asked for a password here, so that the role itself goes away for a while.
	b.exec(t, "ALTER ROLE "+role+" NOLOGIN")
	require.Equal(t, ledger.Connections, b.count(t, `
		SELECT count(pg_terminate_backend(pid, 5000))
		FROM pg_stat_activity
		WHERE usename = $1`, role))
	done := make(chan error, 1)
	go func() { done <- b.ledger.Record(t.Context(), hold, oneOf("e2", 2)) }()
	eventually(t, func() bool { return b.losses() > 0 })
	require.NoError(t, b.ledger.Readdress(config.NewSecret(b.db.URL)))
	require.NoError(t, <-done)
	require.Len(t, b.due(t, "crm", noon), 2)
	requireRecorded(t, b, 2)
	require.Zero(t, b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", role))
}
