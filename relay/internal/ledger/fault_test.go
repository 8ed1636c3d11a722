package ledger_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// setupProxy is setup with a proxy between the ledger and the server.
func setupProxy(t *testing.T) (*bundle, *proxy) {
	t.Helper()
	b := migrated(t)
	p := newProxy(t, b.db.URL)
	b.ledger = b.open(t, p.url)
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon))
	return b, p
}

func oneOf(id string, lsn outbox.LSN) *ledger.Batch {
	return &ledger.Batch{
		Attempts: []outbox.Attempt{attempt(id, "erp", outbox.Delivered, lsn)},
		Park:     []outbox.Delivery{pending(id, "crm", "", lsn, noon)}, Settled: lsn, Now: noon,
	}
}

// requireRecorded checks that there are n batches of oneOf, each of them once.
func requireRecorded(t *testing.T, b *bundle, n int) {
	t.Helper()
	require.Equal(t, n, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
	require.Equal(t, n, b.count(t, `SELECT count(*) FROM tailpost.delivery`))
	require.Equal(t, n, b.count(t, `SELECT sum(attempts) FROM tailpost.endpoint_stats`))
	require.Equal(t, n, b.count(t, `SELECT batch FROM tailpost.relay`))
}

func TestRecord_writesOnceWhereverTheConnectionIsCut(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]cut{"before the commit": unsent, "after the commit": unheard} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := setupProxy(t)
			hold := take(t, b.ledger)
			require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
			for i := range 3 {
				p.next(where)
				require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("cut"+string(rune('a'+i)), outbox.LSN(i+2))))
				require.Equal(t, i+1, b.losses())
			}
			requireRecorded(t, b, 4)
			require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e9", 9)))
			requireRecorded(t, b, 5)
		})
	}
}

// That the server began to answer says nothing: what it goes on to say may be that nothing was
// recorded.
func TestRecord_isNotMadeBecauseItsAnswerBegan(t *testing.T) {
	t.Parallel()
	for name, days := range map[string]int{"the server has recorded it": 0, "it has not, for there is no partition": 70} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, p := setupProxy(t)
			hold := take(t, b.ledger)
			require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
			p.next(half)
			batch := oneOf("e2", 2)
			batch.Attempts[0].AttemptedAt = noon.AddDate(0, 0, days)
			require.NoError(t, b.ledger.Record(t.Context(), hold, batch))
			require.Equal(t, 1, b.losses())
			requireRecorded(t, b, 2)
		})
	}
}

// The server goes on with a pipeline whose connection is lost: it commits after the relay has
// looked at the row and while the same batch waits to be run again.
func TestRecord_writesOnceWhenALostPipelineCommitsLate(t *testing.T) {
	t.Parallel()
	b, p := setupProxy(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))

	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM tailpost.endpoint_stats FOR UPDATE`)
	require.NoError(t, err)
	p.next(abandoned)
	done := make(chan error, 1)
	go func() { done <- b.ledger.Record(t.Context(), hold, oneOf("e2", 2)) }()
	eventually(t, lockWaits(t, b, 2))
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	requireRecorded(t, b, 2)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e3", 3)))
	requireRecorded(t, b, 3)
}

func TestRecord_findsOutThatItWasDeposedWhileCutOff(t *testing.T) {
	t.Parallel()
	b, p := setupProxy(t)
	hold := take(t, b.ledger)
	other := b.open(t, b.db.URL)
	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM tailpost.relay FOR UPDATE`)
	require.NoError(t, err)
	p.next(unsent)
	done := make(chan error, 1)
	taken := make(chan ledger.Hold, 1)
	go func() {
		h, err := other.Take(t.Context(), ledger.TakeOptions{Slot: "s", Owner: "host:2", SystemID: "7", Timeline: 1, Now: noon})
		assert.NoError(t, err)
		taken <- h
	}()
	eventually(t, lockWaits(t, b, 1))
	go func() { done <- b.ledger.Record(t.Context(), hold, oneOf("e1", 1)) }()
	eventually(t, lockWaits(t, b, 2))
	require.NoError(t, tx.Commit(t.Context()))
	err, next := <-done, <-taken
	require.NoError(t, other.Record(t.Context(), next, oneOf("e2", 2)))
	if err == nil {
		// It was not deposed yet: then the taking, which came later, must have seen what it
		// recorded.
		require.Equal(t, outbox.LSN(1), next.Settled, "recorded after another relay took the slot")
		require.Equal(t, 2, b.count(t, `SELECT count(*) FROM tailpost.attempt`))
		require.Equal(t, 1, b.count(t, `SELECT batch FROM tailpost.relay`), "batches count from the taking")
		return
	}
	require.ErrorIs(t, err, ledger.ErrDeposed)
	require.Zero(t, next.Settled)
	requireRecorded(t, b, 1)
}

func TestRecord_isUncertainAfterAnInterruption(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))

	stopped, stop := context.WithCancelCause(t.Context())
	reason := errors.New("grace over")
	stop(reason)
	require.ErrorIs(t, b.ledger.Record(stopped, hold, oneOf("e2", 2)), reason)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e2", 2)), "nothing had been sent")

	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM tailpost.endpoint_stats FOR UPDATE`)
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.ledger.Record(ctx, hold, oneOf("e3", 3)) }()
	eventually(t, lockWaits(t, b, 1))
	cancel(reason)
	require.ErrorIs(t, <-done, reason)
	require.ErrorIs(t, b.ledger.Record(t.Context(), hold, oneOf("e4", 4)), ledger.ErrUncertain)
	require.NoError(t, tx.Commit(t.Context()))

	hold = take(t, b.ledger)
	got, _, err := b.ledger.Recorded(t.Context(), "s", 3, ledger.MostRecorded)
	require.NoError(t, err)
	require.Contains(t, []int{0, 2}, len(got), "all of it or nothing")
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e5", 5)))
}

// A lost pipeline is still under way when a second one of the same batch is rolled back: that says
// nothing of the first.
func TestRecord_isUncertainWhileALostPipelineIsUnderWay(t *testing.T) {
	t.Parallel()
	b, p := setupProxy(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM tailpost.endpoint_stats FOR UPDATE`)
	require.NoError(t, err)
	p.next(abandoned)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.ledger.Record(ctx, hold, oneOf("e2", 2)) }()
	eventually(t, lockWaits(t, b, 2))
	// The second one waits for the first: cut it off as an administrator would. In other databases
	// slots that are being created wait for it too.
	other := b.db.Conn(t)
	const second = `
		FROM pg_stat_activity AS first
		JOIN pg_stat_activity AS second ON first.pid = ANY (pg_blocking_pids(second.pid))
		WHERE first.application_name = 'tailpost test' AND first.datname = current_database() AND second.datname = first.datname`
	require.Equal(t, 1, b.countOn(t, other, `SELECT count(pg_cancel_backend(second.pid))`+second))
	eventually(t, func() bool { return b.countOn(t, other, `SELECT count(*)`+second) == 0 })
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	short, end := context.WithTimeout(t.Context(), 30*time.Second) // a Record that ran would wait for the lock
	defer end()
	require.ErrorIs(t, b.ledger.Record(short, hold, oneOf("e3", 3)), ledger.ErrUncertain)
	require.NoError(t, tx.Commit(t.Context()))
	got, _, err := b.ledger.Recorded(t.Context(), "s", 0, ledger.MostRecorded)
	require.NoError(t, err)
	require.NotContains(t, got, outbox.Pair{EventID: "e3", EndpointID: "erp"})
}

func TestLedger_comesBackByItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
	kill := `SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
		WHERE application_name = 'tailpost test' AND datname = current_database()`
	require.Equal(t, ledger.Connections, b.count(t, kill))
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e2", 2)))
	require.Equal(t, 1, b.losses())
	due := b.due(t, "crm", noon)
	require.Len(t, due, 2)
	require.Equal(t, 2, b.losses())
	_, err := b.ledger.Resends(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, b.losses())
	requireRecorded(t, b, 2)
	require.Equal(t, ledger.Connections, b.count(t, kill))
	require.Equal(t, int64(2), take(t, b.ledger).Epoch)
}

func TestRecord_waitsOutALock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("e1", 1)))
	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE tailpost.delivery`)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- b.ledger.Record(t.Context(), hold, oneOf("e2", 2)) }()
	other := b.db.Conn(t)
	eventually(t, func() bool { // one pipeline was rolled back by its lock_timeout, another one waits
		var aborted int
		require.NoError(t, other.QueryRow(t.Context(), `
			SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&aborted))
		return aborted > 0
	})
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-done)
	requireRecorded(t, b, 2)
	require.Zero(t, b.losses())
}

func TestWatch_reportsTheServersGoodbyeAtOnce(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	url := server.URL("postgres")
	conn := connectTo(t, url)
	migrate(t, conn)
	require.NoError(t, conn.Close(t.Context()))

	lost := make(chan error, 16)
	b := &bundle{}
	b.ledger = b.openWith(t, url, func(err error) { lost <- err })
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon))
	hold := take(t, b.ledger)
	ctx, stop := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- b.ledger.Watch(ctx) }()
	for range 50 { // loads and Watch take turns
		eventually(t, func() bool { return ledger.Watching(b.ledger) })
		_, err := b.ledger.Resends(t.Context())
		require.NoError(t, err)
	}
	require.Empty(t, lost)

	require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
	var goodbye *pgconn.PgError
	require.ErrorAs(t, <-lost, &goodbye)
	require.Equal(t, "57P01", goodbye.Code)

	done := make(chan error, 1)
	go func() { done <- b.ledger.Record(t.Context(), hold, oneOf("e1", 1)) }()
	require.Error(t, <-lost, "the recording connection, found out by Record")
	require.NoError(t, server.Restart(t.Context(), pgserver.Fast))
	require.NoError(t, <-done)
	due := b.due(t, "crm", noon)
	require.Len(t, due, 1)
	require.ErrorAs(t, <-lost, &goodbye, "that of what is due, found out by its first use")
	_, err = b.ledger.Resends(t.Context())
	require.NoError(t, err)

	require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
	require.ErrorAs(t, <-lost, &goodbye, "Watch goes on with the new connection")
	stop()
	require.NoError(t, <-watched)
}

func TestOpen_sayWhatIsWrongAndNoSecret(t *testing.T) {
	t.Parallel()
	b := &bundle{db: pgtest.NewDB(t)}
	for name, test := range map[string]struct{ url, want string }{
		"unreadable":    {"postgres://app:hunter2/@[:1/x", "database URL: want postgres://"},
		"out of reach":  {"postgres://app:hunter2@127.0.0.1:1/shop?sslmode=disable", "connect to Postgres: 127.0.0.1:1"},
		"not migrated":  {b.db.URL, "run tailpost migrate"},
		"no such place": {strings.Replace(b.db.URL, b.db.Name, b.db.Name+"_gone", 1), "does not exist"},
	} {
		_, err := b.tryOpen(t.Context(), test.url)
		require.ErrorContains(t, err, test.want, name)
		require.NotContains(t, err.Error(), "hunter2", name)
		require.NotContains(t, err.Error(), "user=", name)
		require.NotContains(t, err.Error(), "\n", name)
	}
}

func TestRecord_costsOneRoundTrip(t *testing.T) {
	t.Parallel()
	b, p := setupProxy(t)
	hold := take(t, b.ledger)
	b.due(t, "crm", noon)
	record := func(batch *ledger.Batch) map[byte]int {
		p.take()
		require.NoError(t, b.ledger.Record(t.Context(), hold, batch))
		return p.take()
	}
	var many []outbox.Attempt
	for i := range 500 {
		many = append(many, attempt(string(rune('a'+i)), []string{"erp", "crm"}[i%2], outbox.Delivered, 1))
	}
	require.Equal(t, map[byte]int{'B': 4, 'E': 4, 'd': 2, 'c': 1, 'S': 1}, record(&ledger.Batch{Attempts: many, Settled: 1}),
		"guard, attempts, stats of endpoints and of types: however many rows")
	require.Equal(t, map[byte]int{'B': 1, 'E': 1, 'S': 1}, record(&ledger.Batch{Settled: 2}), "a moved frontier alone")
	require.Empty(t, record(&ledger.Batch{Settled: 2}), "nothing new")
	everything := oneOf("e1", 3)
	everything.Update, everything.Remove = everything.Park, []ledger.QueueRow{{Pair: outbox.Pair{EventID: "e1", EndpointID: "crm"}}}
	everything.Endpoints = []ledger.EndpointChange{{EndpointID: "erp"}}
	require.Equal(t, map[byte]int{'B': 8, 'E': 8, 'd': 1, 'c': 1, 'S': 1}, record(everything))

	p.take()
	b.due(t, "crm", noon)
	got := p.take()
	require.Equal(t, 2, got['S'], "a page and when to ask again, prepared once")
	require.Zero(t, got['P'])
}

// eventually asks until ok, for at most a minute.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("did not happen within a minute")
		}
	}
}

// lockWaits returns a condition: that many of the ledgers' connections wait for a lock, or more.
func lockWaits(t *testing.T, b *bundle, n int) func() bool {
	t.Helper()
	conn := b.db.Conn(t)
	return func() bool {
		var waiting int
		require.NoError(t, conn.QueryRow(t.Context(), `
			SELECT count(*)
			FROM pg_stat_activity
			WHERE application_name = 'tailpost test' AND wait_event_type = 'Lock' AND datname = current_database()`).Scan(&waiting))
		return waiting >= n
	}
}
