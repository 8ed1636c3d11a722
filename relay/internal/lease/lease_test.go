package lease_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/relay/internal/lease"
)

const (
	patience = 30 * time.Second
	between  = 5 * time.Millisecond
	// longTTL is for tests in which the server ends no session.
	longTTL = time.Minute
)

// bundle is an empty database whose slot has four partitions.
type bundle struct {
	db   *pgtest.DB
	conn *pgx.Conn
	log  kit.Log
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.NewDB(t)}
	b.conn = b.db.Conn(t)
	return b
}

// lines are those of a log.
func lines(log *kit.Log) []string {
	return strings.Split(strings.TrimSpace(log.String()), "\n")
}

func (b *bundle) options(slot string, ttl time.Duration) lease.Options {
	return lease.Options{URL: config.NewSecret(b.db.URL), Slot: slot, Partitions: 4, TTL: ttl, Owner: "host:1", Logger: zerolog.New(&b.log)}
}

func (b *bundle) open(t *testing.T, slot string, ttl time.Duration) *lease.Lease {
	t.Helper()
	l, err := lease.Open(t.Context(), b.options(slot, ttl))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close(context.WithoutCancel(t.Context())) })
	return l
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *bundle) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.conn.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func tries(t *testing.T, l *lease.Lease, partition int) bool {
	t.Helper()
	took, err := l.Take(t.Context(), partition)
	require.NoError(t, err)
	return took
}

func survey(t *testing.T, l *lease.Lease) lease.Survey {
	t.Helper()
	s, err := l.Survey(t.Context())
	require.NoError(t, err)
	return s
}

// One member owns a partition at a time, and all members see the same.
func TestAPartitionHasOneOwner(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ours, theirs, stranger := b.open(t, "s", longTTL), b.open(t, "s", longTTL), b.open(t, "another", longTTL)
	require.True(t, tries(t, ours, 3))
	require.True(t, tries(t, ours, 3), "again")
	require.False(t, tries(t, theirs, 3))
	require.True(t, tries(t, theirs, 0))
	require.True(t, tries(t, ours, 1))
	require.True(t, tries(t, stranger, 3), "of another slot")
	owned := map[int]int32{0: int32(theirs.PID()), 1: int32(ours.PID()), 3: int32(ours.PID())}
	require.Equal(t, lease.Survey{Members: 2, Owned: owned, Mine: []int{1, 3}}, survey(t, ours))
	require.Equal(t, lease.Survey{Members: 2, Owned: owned, Mine: []int{0}}, survey(t, theirs))

	require.NoError(t, ours.Release(t.Context(), 0), "what is another's")
	require.NoError(t, ours.Release(t.Context(), 3))
	require.True(t, tries(t, theirs, 3), "taken twice, released once")
	require.False(t, tries(t, ours, 3), "it was ours")
	require.Equal(t, []int{1}, survey(t, ours).Mine)

	for _, none := range []int{-1, 4} {
		_, err := ours.Take(t.Context(), none)
		require.ErrorContains(t, err, "there are 4")
	}
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tailpost another sender' AND datname = current_database()"))
}

// A member that leaves has let go of everything when it is gone: those that wait for it need no
// second try.
func TestCloseLetsGoAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 20 {
		ours, theirs := b.open(t, "s", longTTL), b.open(t, "s", longTTL)
		require.True(t, tries(t, ours, 0))
		ours.Close(t.Context())
		require.False(t, ours.Held())
		require.True(t, tries(t, theirs, 0))
		require.Equal(t, 1, survey(t, theirs).Members)
		_, err := ours.Take(t.Context(), 1)
		require.ErrorIs(t, err, lease.ErrLost)
		require.ErrorContains(t, err, "it was closed", "why is said")
		ours.Close(t.Context())
		theirs.Close(t.Context())
	}
}

// A process that asks nothing loses its partitions, and does not believe in them by the time that
// others can have them.
func TestTheServerEndsASilentSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	silent, other := b.open(t, "s", lease.LeastTTL), b.open(t, "s", longTTL)
	require.True(t, tries(t, silent, 2))
	for deadline := time.Now().Add(patience); !tries(t, other, 2); {
		require.True(t, time.Now().Before(deadline))
	}
	require.False(t, silent.Held())
	require.Equal(t, 1, survey(t, other).Members)
	require.ErrorIs(t, silent.Release(t.Context(), 2), lease.ErrLost)
	_, err := silent.Survey(t.Context())
	require.ErrorIs(t, err, lease.ErrLost)
	require.ErrorIs(t, silent.Run(t.Context()), lease.ErrLost)
	require.True(t, other.Held())
}

// Run keeps the session for longer than the TTL, and ends with its context.
func TestRunKeepsTheSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l, other := b.open(t, "s", lease.LeastTTL), b.open(t, "s", longTTL)
	require.True(t, tries(t, l, 0))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	for end := time.Now().Add(3 * lease.LeastTTL); time.Now().Before(end); {
		require.False(t, tries(t, other, 0))
	}
	require.Eventually(t, l.Held, patience, between)
	stop()
	require.NoError(t, <-ended)
}

// However the session ends, Held is false as soon as the server has hung up, and Run ends.
func TestALostSessionIsNotHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l, asks := b.open(t, "s", longTTL), b.open(t, "s", lease.LeastTTL)
	ended := make(chan error, 1)
	require.True(t, l.Held())
	go func() { ended <- asks.Run(t.Context()) }()
	for _, ends := range []*lease.Lease{l, asks} {
		b.exec(t, "SELECT pg_terminate_backend($1, 30000)", ends.PID())
		require.Eventually(t, func() bool { return !ends.Held() }, longTTL/2, time.Millisecond, "long before the TTL is over")
	}
	require.ErrorIs(t, <-ended, lease.ErrLost)
	require.ErrorIs(t, l.Touch(t.Context()), lease.ErrLost)
	require.ErrorIs(t, l.Run(t.Context()), lease.ErrLost, "at once")
	require.False(t, l.Held())
}

// Held counts from the last question that has an answer, whatever the server still thinks:
// of a server that is out of reach nobody hears that it has given the session up.
func TestHeldCountsFromTheQuestion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l, other := b.open(t, "s", longTTL), b.open(t, "s", longTTL)
	ahead := l.Clock()
	require.True(t, l.Held())
	ahead.Store(int64(longTTL * 3 / 4))
	require.True(t, l.Held())
	ahead.Store(int64(longTTL * 4 / 5))
	require.False(t, l.Held(), "the end of the TTL is near")
	require.Equal(t, 2, survey(t, other).Members, "the server thinks otherwise")
	require.NoError(t, l.Touch(t.Context()))
	require.True(t, l.Held(), "it has answered")

	// An answer that is read late says nothing of the time since the question.
	class, _ := l.Partition(0)
	b.exec(t, "SELECT pg_advisory_lock($1, 77)", class)
	answered := make(chan error, 1)
	go func() {
		answered <- l.Ask(t.Context(), "SET lock_timeout = 0; SELECT pg_advisory_lock("+text(class)+", 77)")
	}()
	require.Eventually(t, func() bool {
		return b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'", l.PID()) > 0
	}, patience, between)
	ahead.Store(int64(2 * longTTL))
	b.exec(t, "SELECT pg_advisory_unlock($1, 77)", class)
	require.NoError(t, <-answered)
	require.False(t, l.Held())
	require.NoError(t, l.Touch(t.Context()))
	require.True(t, l.Held())
}

// Nobody believes in a lease that is being closed, though the session stands until a question that
// is under way has its answer.
func TestALeaseThatIsBeingClosedIsNotHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.open(t, "s", longTTL)
	b.exec(t, "SELECT pg_advisory_lock(1, 78)")
	answered, closed := make(chan error, 1), make(chan struct{})
	go func() { answered <- l.Ask(t.Context(), "SET lock_timeout = 0; SELECT pg_advisory_lock(1, 78)") }()
	require.Eventually(t, func() bool {
		return b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'", l.PID()) > 0
	}, patience, between)
	require.True(t, l.Held())
	go func() {
		defer close(closed)
		l.Close(t.Context())
	}()
	require.Eventually(t, func() bool { return !l.Held() }, patience, between)
	b.exec(t, "SELECT pg_advisory_unlock(1, 78)")
	require.NoError(t, <-answered)
	<-closed
}

// Whoever waits for a lease gives up with its context, and the session is not lost by it.
func TestGivingUpLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.open(t, "s", longTTL)
	b.exec(t, "SELECT pg_advisory_lock(1, 77)")
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() { answered <- l.Ask(ctx, "SELECT pg_advisory_lock(1, 77)") }()
	require.Eventually(t, func() bool {
		return b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'", l.PID()) > 0
	}, patience, between)
	cancel()
	_, err := l.Take(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
	b.exec(t, "SELECT pg_advisory_unlock(1, 77)")
	require.NoError(t, <-answered)
	require.True(t, tries(t, l, 0))
	require.True(t, l.Held())
}

// An application may hold the key of a partition. Nobody takes it for a member, and a person is
// told, once.
func TestAnApplicationsLockIsNoMembers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l, other := b.open(t, "s", longTTL), b.open(t, "s", longTTL)
	class, number := l.Partition(2)
	b.exec(t, "SET application_name = 'shop'")
	b.exec(t, "SELECT pg_advisory_lock($1, $2)", class, number)
	b.exec(t, "SELECT pg_advisory_lock($1, 4)", class) // there is no such partition
	counted, zero := l.Members()
	b.exec(t, "SELECT pg_advisory_lock_shared($1, $2)", counted, zero)
	require.False(t, tries(t, l, 2))
	want := lease.Survey{Members: 2, Owned: map[int]int32{2: 0}}
	require.Equal(t, want, survey(t, l))
	require.Equal(t, []string{""}, lines(&b.log), "a session that ends lets go of its locks one after the other")
	require.Equal(t, want, survey(t, l))
	require.Equal(t, want, survey(t, l))
	lines := lines(&b.log)
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], `"level":"error"`)
	require.Contains(t, lines[0], `"partition":2`)
	require.Contains(t, lines[0], `"pid":`+text(int32(b.count(t, "SELECT pg_backend_pid()"))))

	// Another session is told of as the first one was.
	b.exec(t, "SELECT pg_advisory_unlock_all()")
	next := b.db.Conn(t)
	_, err := next.Exec(t.Context(), "SELECT pg_advisory_lock($1, $2)", class, number)
	require.NoError(t, err)
	for i, said := range []int{1, 2, 2} {
		require.Equal(t, want, survey(t, l))
		require.Equal(t, said, strings.Count(b.log.String(), "\n"), "survey %d", i)
	}
	require.NoError(t, next.Close(t.Context()))

	// Locks of one key of 64 bits, and of another database, are others.
	b.exec(t, "SELECT pg_advisory_unlock_all()")
	b.exec(t, "SELECT pg_advisory_lock(($1::bigint << 32) | 2)", class)
	elsewhere := setup(t).open(t, "s", longTTL)
	require.True(t, tries(t, elsewhere, 1))
	require.Equal(t, lease.Survey{Members: 2, Owned: map[int]int32{}}, survey(t, other))
}

// An application that keeps all members out is told of at once.
func TestOpenSaysWhoKeepsItOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := b.open(t, "s", longTTL)
	l.Close(t.Context())
	counted, zero := l.Members()
	b.exec(t, "SELECT pg_advisory_lock($1, $2)", counted, zero)
	_, err := lease.Open(t.Context(), b.options("s", longTTL))
	require.ErrorContains(t, err, "an application holds the advisory lock ("+text(counted)+", 0)")
}

func TestOpenRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for want, change := range map[string]func(*lease.Options){
		"want the name of a slot":     func(o *lease.Options) { o.Slot = "" },
		"want at least one partition": func(o *lease.Options) { o.Partitions = 0 },
		"want a TTL of at least 1s":   func(o *lease.Options) { o.TTL = time.Second - time.Millisecond },
	} {
		o := b.options("s", longTTL)
		change(&o)
		_, err := lease.Open(t.Context(), o)
		require.ErrorContains(t, err, want)
	}
	const password = "a-password-nobody-reads"
	o := b.options("s", longTTL)
	o.URL = config.NewSecret("postgres://somebody:" + password + "@127.0.0.1:1/nowhere?sslmode=disable")
	_, err := lease.Open(t.Context(), o)
	require.Error(t, err)
	require.NotContains(t, err.Error(), password)
}

// The locks of a standby are its own: members there and on the primary would not see each other.
func TestOpenRefusesAStandby(t *testing.T) {
	t.Parallel()
	primary, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, primary.Close()) })
	standby, err := primary.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })
	_, err = lease.Open(t.Context(), lease.Options{URL: config.NewSecret(standby.URL("postgres")), Slot: "s", Partitions: 1})
	require.ErrorContains(t, err, "the server is a standby")
}

// Settings are compared with what Postgres prints, so that both must print alike.
func TestSettingsAreAsPostgresPrintsThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, d := range []time.Duration{time.Second, 1500 * time.Millisecond, 5 * time.Second, time.Minute, 90 * time.Second, time.Hour, 24 * time.Hour, 12345 * time.Millisecond} {
		var is string
		require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT set_config('idle_session_timeout', $1, false)", text(int32(d.Milliseconds()))).Scan(&is))
		require.NoError(t, b.conn.QueryRow(t.Context(), "SHOW idle_session_timeout").Scan(&is))
		require.Equal(t, is, lease.Printed(d))
	}
	b.exec(t, "SET idle_session_timeout = 0")
}
