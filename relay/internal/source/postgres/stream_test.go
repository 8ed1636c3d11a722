package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStreamsCommittedRowsInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open(t, b.options())
	require.True(t, s.Info().SlotCreated)
	require.Equal(t, []string{b.slot, b.slot + "_endpoint"}, s.Info().Changed)
	h := newRecorder()
	run(t, s, h)

	other, err := pgx.Connect(t.Context(), b.url)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close(t.Context())) }()
	late, err := other.Begin(t.Context())
	require.NoError(t, err)
	_, err = late.Exec(t.Context(), `INSERT INTO outbox VALUES (1, 'order.created', '{}')`)
	require.NoError(t, err)
	aborted, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = aborted.Exec(t.Context(), `INSERT INTO outbox VALUES (2, 'order.created', '{}')`)
	require.NoError(t, err)
	require.NoError(t, aborted.Rollback(t.Context()))
	b.insert(t, 3)
	require.NoError(t, late.Commit(t.Context()))
	b.exec(t, `INSERT INTO outbox VALUES (4, NULL, '')`)

	require.Equal(t, []string{
		"begin", inserted(3), "commit",
		"begin", inserted(1), "commit",
		"begin", "I public.outbox id=4 type null payload=", "commit",
	}, h.await(t, 9))
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Greater(t, h.tx.EndLSN, h.tx.CommitLSN)
	require.NotZero(t, h.tx.XID)
	require.WithinDuration(t, time.Now(), h.tx.Time, time.Minute)
}

func TestStreamsLogicalMessagesOfTheTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.options()
	o.Table = ""
	h := newRecorder()
	run(t, b.open(t, o), h)
	b.exec(t, `SELECT pg_logical_emit_message(false, 'tailpost', 'at once')`)
	b.exec(t, `DO $$ BEGIN
		PERFORM pg_logical_emit_message(true, 'tailpost', 'one');
		PERFORM pg_logical_emit_message(true, 'other', 'two');
	END $$`)
	b.insert(t, 1) // in no publication
	b.exec(t, `SELECT pg_logical_emit_message(true, 'tailpost', 'end')`)
	h.until(t, func() bool {
		return len(h.lines) > 0 && h.lines[len(h.lines)-1] == "commit" && strings.Contains(strings.Join(h.lines, "\n"), "end")
	})
	require.Equal(t, []string{"message tailpost one", "message other two", "message tailpost end"}, only(h.await(t, 0), "message"))
}

func only(lines []string, prefix string) []string {
	var kept []string
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			kept = append(kept, line)
		}
	}
	return kept
}

func TestStreamsChangesOfEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open(t, b.options())
	var published bool
	require.NoError(t, b.conn.QueryRow(t.Context(), `
		SELECT pubinsert AND pubupdate AND pubdelete AND NOT pubtruncate
		FROM pg_publication WHERE pubname = $1 || '_endpoint'`, b.slot).Scan(&published))
	require.True(t, published, "what is changed of endpoints is streamed, and no more")
	b.exec(t, `ALTER PUBLICATION `+b.slot+`_endpoint SET (publish = 'insert, update, delete, truncate')`)
	h := newRecorder()
	run(t, s, h)
	big := strings.Repeat("abcdefgh", 1)
	b.exec(t, `ALTER TABLE tailpost.endpoint ADD blob text`)
	b.exec(t, `ALTER TABLE tailpost.endpoint ALTER blob SET STORAGE EXTERNAL`)
	b.exec(t, `INSERT INTO tailpost.endpoint VALUES ('a', $1, repeat('x', 9000))`, big)
	b.exec(t, `UPDATE tailpost.endpoint SET url = 'u'`)
	b.exec(t, `UPDATE tailpost.endpoint SET id = 'b'`)
	b.exec(t, `DELETE FROM tailpost.endpoint`)
	b.exec(t, `TRUNCATE tailpost.endpoint`)
	b.exec(t, `ALTER TABLE tailpost.endpoint DROP blob`)
	b.exec(t, `INSERT INTO tailpost.endpoint VALUES ('c', 'v')`)
	b.exec(t, `ALTER TABLE tailpost.endpoint REPLICA IDENTITY FULL`)
	b.exec(t, `DELETE FROM tailpost.endpoint`)
	b.exec(t, `DELETE FROM outbox`) // not published
	b.insert(t, 1)
	h.until(t, func() bool { return len(only(h.lines, "I public")) == 1 })
	lines := append(append(append(only(h.await(t, 0), "I tail"), only(h.await(t, 0), "U")...), only(h.await(t, 0), "D")...), only(h.await(t, 0), "T")...)
	require.Equal(t, []string{
		"I tailpost.endpoint id=a url=abcdefgh blob=" + strings.Repeat("x", 9000),
		"I tailpost.endpoint id=c url=v",
		"U tailpost.endpoint id=a url=u blob unchanged",
		"U tailpost.endpoint id=b url=u blob unchanged",
		"D tailpost.endpoint id=b url null blob null",
		"D tailpost.endpoint id=c url=v",
		"T tailpost.endpoint",
	}, lines)
}

// What a column is made of is known of each row as it was written: its domain may be younger than
// the stream, or gone before the row is read.
func TestADomainIsSeenThroughWheneverItIsThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := newRecorder()
	r := run(t, b.open(t, b.options()), h)
	b.exec(t, `CREATE DOMAIN note AS text; ALTER TABLE outbox ALTER payload TYPE note`)
	b.insert(t, 1)
	h.until(t, func() bool { return len(only(h.lines, "I")) == 1 })
	r.stopped(t)
	b.insert(t, 2)
	b.exec(t, `ALTER TABLE outbox ALTER payload TYPE text; DROP DOMAIN note`)
	b.insert(t, 3)
	run(t, b.open(t, b.options()), h)
	h.until(t, func() bool { return strings.Contains(strings.Join(h.lines, "\n"), inserted(3)) })
	lines := only(h.await(t, 0), "I")
	require.Subset(t, lines, []string{
		"I public.outbox id=1 type=order.created payload of 25={}",
		"I public.outbox id=2 type=order.created payload of 25={}",
	})
	require.NotContains(t, lines, inserted(1))
	require.NotContains(t, lines, inserted(2))
}

// Postgres 18 tells of the end of what was rolled back and too large for its memory, although
// nothing of it was asked for.
func TestWhatIsRolledBackInPiecesDoesNotEndTheStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()); END $$`)
	s := b.open(t, b.options())
	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	for _, sql := range []string{
		`SAVEPOINT a`, `INSERT INTO outbox SELECT g, 'a', repeat('x', 500) FROM generate_series(1, 10) AS g`, `RELEASE a`,
		`INSERT INTO outbox SELECT g, 'b', repeat('x', 500) FROM generate_series(11, 600) AS g`,
	} {
		_, err := tx.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Rollback(t.Context()))
	b.insert(t, 1)
	h := newRecorder()
	r := run(t, s, h)
	require.Equal(t, []string{"begin", inserted(1), "commit"}, h.await(t, 3))
	r.stopped(t)
}

func TestPartitionedTableArrivesAsItsRoot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `CREATE TABLE "Big Events" (id int, type text) PARTITION BY RANGE (id);
		CREATE TABLE part_1 PARTITION OF "Big Events" FOR VALUES FROM (0) TO (10)`)
	o := b.options()
	o.Table = "public.Big Events"
	h := newRecorder()
	run(t, b.open(t, o), h)
	b.exec(t, `INSERT INTO "Big Events" VALUES (1, 'a')`)
	b.exec(t, `CREATE TABLE part_2 PARTITION OF "Big Events" FOR VALUES FROM (10) TO (20)`)
	b.exec(t, `INSERT INTO "Big Events" VALUES (11, 'b')`)
	h.until(t, func() bool { return len(only(h.lines, "I")) == 2 })
	require.Equal(t, []string{"I public.Big Events id=1 type=a", "I public.Big Events id=11 type=b"}, only(h.await(t, 0), "I"))
}

// seldom has nothing told by time alone: what the server hears it hears for a reason.
func (b *testBundle) seldom(t *testing.T) postgres.Options {
	t.Helper()
	b.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET wal_sender_timeout = 0', current_database()); END $$`)
	o := b.options()
	o.StatusInterval = time.Hour
	return o
}

func TestAck(t *testing.T) {
	t.Parallel()
	t.Run("moves the slot and never beyond what was streamed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s := b.open(t, b.seldom(t))
		h := newRecorder()
		start := s.Info().ConfirmedFlush
		r := run(t, s, h)
		b.insert(t, 1)
		h.await(t, 3)
		require.Equal(t, start, b.confirmed(t), "the slot moved before the first ack")
		h.mu.Lock()
		end := h.tx.EndLSN
		h.mu.Unlock()
		s.Ack(end)
		b.awaitSQL(t, `SELECT confirmed_flush_lsn = $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, b.slot, end.String())
		s.Ack(end - 1)
		s.Ack(1 << 62)
		r.stopped(t)
		require.Less(t, b.confirmed(t), outbox.LSN(1<<62))
		require.GreaterOrEqual(t, b.confirmed(t), end)
		require.LessOrEqual(t, b.confirmed(t), b.lsn(t, `SELECT pg_current_wal_lsn()::text`))
	})

	t.Run("is told while there is no room for more", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s := b.open(t, b.seldom(t))
		h := newRecorder()
		run(t, s, h)
		b.insert(t, 1)
		h.await(t, 3)
		release := h.hold()
		defer release()
		b.insert(t, 2)
		require.Eventually(t, func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.waits > 0
		}, patience, 10*time.Millisecond)
		h.mu.Lock()
		end := h.tx.EndLSN
		h.mu.Unlock()
		s.Ack(end)
		b.awaitSQL(t, `SELECT confirmed_flush_lsn = $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, b.slot, end.String())
	})

	t.Run("what was not acknowledged comes again", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s := b.open(t, b.options())
		h := newRecorder()
		r := run(t, s, h)
		b.insert(t, 1)
		h.await(t, 3)
		h.mu.Lock()
		s.Ack(h.tx.EndLSN)
		h.mu.Unlock()
		b.insert(t, 2)
		h.await(t, 6)
		r.stopped(t) // tells the last ack

		again := newRecorder()
		s = b.open(t, b.options())
		require.False(t, s.Info().SlotCreated)
		require.Empty(t, s.Info().Changed)
		run(t, s, again)
		require.Equal(t, []string{"begin", inserted(2), "commit"}, again.await(t, 3))
	})

	t.Run("lets WAL go while only other tables are written", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		s := b.open(t, b.options())
		h := newRecorder()
		h.onEnd = s.Ack
		run(t, s, h)
		b.exec(t, `INSERT INTO neighbour SELECT generate_series(1, 1000)`)
		written := b.lsn(t, `SELECT pg_current_wal_lsn()::text`)
		b.awaitSQL(t, `SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, b.slot, written.String())
	})
}

// Whoever takes the slot loads what waits before it reads, which may take longer than the server
// waits for a sign of life.
func TestWhileTheServerHearsOfTheStream(t *testing.T) {
	t.Parallel()
	_, b := setupServer(t, map[string]string{"wal_sender_timeout": "1s"})
	s := b.open(t, b.options())
	require.NoError(t, s.Start(t.Context()))
	b.insert(t, 1)
	require.NoError(t, s.While(func() error {
		b.awaitSQL(t, `SELECT clock_timestamp() - backend_start > interval '4s' FROM pg_stat_replication`)
		return nil
	}))
	h := newRecorder()
	run(t, s, h)
	b.insert(t, 2)
	h.await(t, 2)
	b.awaitSQL(t, `SELECT clock_timestamp() - backend_start > interval '7s' FROM pg_stat_replication`)
	require.Eventually(t, s.Held, patience, 10*time.Millisecond, "it asks for replies again")
	failure := errors.New("no")
	require.ErrorIs(t, b.open(t, b.options()).While(func() error { return failure }), failure)
}

func TestGate(t *testing.T) {
	t.Parallel()
	_, b := setupServer(t, map[string]string{"wal_sender_timeout": "1s"})
	s := b.open(t, b.options())
	h := newRecorder()
	release := h.hold()
	r := run(t, s, h)
	// More than every buffer on the way holds, so that the server hangs in its write.
	b.exec(t, `INSERT INTO outbox SELECT i, 'order.created', repeat('x', 10000) FROM generate_series(1, 3000) AS i`)
	held := time.NewTimer(3 * time.Second)
	select {
	case <-r.done:
		t.Fatalf("stream ended while it was held: %v", r.err)
	case <-held.C:
	}
	require.Empty(t, h.await(t, 0))
	release()
	h.await(t, 3002)
	h.mu.Lock()
	end := h.tx.EndLSN
	h.mu.Unlock()
	s.Ack(end)
	b.awaitSQL(t, `SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, b.slot, end.String())

	// An ack travels while the gate is shut, too.
	b.insert(t, 5000)
	h.await(t, 3005)
	release = h.hold()
	defer release()
	b.insert(t, 5001)
	h.mu.Lock()
	end = h.tx.EndLSN
	h.mu.Unlock()
	s.Ack(end)
	b.awaitSQL(t, `SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, b.slot, end.String())

	// And the end is as quick.
	began := time.Now()
	r.stopped(t)
	require.Less(t, time.Since(began), patience)
}

func TestRunEndsSoonAfterItsContext(t *testing.T) { //nolint:tparallel // its parts share a database
	t.Parallel()
	b := setup(t)
	t.Run("idle", func(t *testing.T) { //nolint:paralleltest // one database
		h := newRecorder()
		r := run(t, b.open(t, b.options()), h)
		b.insert(t, 1)
		h.await(t, 3)
		began := time.Now()
		r.stopped(t)
		require.Less(t, time.Since(began), patience)
		// The slot is free at once: the server has said goodbye.
		b.awaitSQL(t, `SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1`, b.slot)
	})
	t.Run("in the middle of a giant transaction", func(t *testing.T) { //nolint:paralleltest // one database
		b.exec(t, `INSERT INTO outbox SELECT i, 'order.created', repeat('x', 1000) FROM generate_series(10, 50000) AS i`)
		h := newRecorder()
		r := run(t, b.open(t, b.options()), h)
		h.await(t, 10)
		began := time.Now()
		r.stopped(t)
		require.Less(t, time.Since(began), patience)
	})
	t.Run("before it began", func(t *testing.T) { //nolint:paralleltest // one database
		ctx, cancel := context.WithCancel(t.Context())
		s := b.open(t, b.options())
		cancel()
		require.NoError(t, s.Run(ctx, newRecorder()))
	})
}

func TestHandlerErrorEndsRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := newRecorder()
	h.fail = errors.New("handler says no")
	r := run(t, b.open(t, b.options()), h)
	b.insert(t, 1)
	require.ErrorIs(t, r.end(t), h.fail)
}

func TestCloseEndsRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.open(t, b.options())
	h := newRecorder()
	r := run(t, s, h)
	b.insert(t, 1)
	h.await(t, 3)
	s.Close()
	require.ErrorIs(t, r.end(t), postgres.ErrClosed)
	require.ErrorIs(t, s.Run(t.Context(), h), postgres.ErrClosed)
}

func TestServerStops(t *testing.T) {
	t.Parallel()
	t.Run("at once, where acks follow", func(t *testing.T) {
		t.Parallel()
		server, b := setupServer(t, nil)
		s := b.open(t, b.options())
		h := newRecorder()
		h.onEnd = s.Ack
		r := run(t, s, h)
		b.insert(t, 1)
		h.await(t, 3)
		began := time.Now()
		require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
		require.Less(t, time.Since(began), patience)
		require.ErrorIs(t, r.end(t), postgres.ErrServerStopped)
	})
	t.Run("while a slow reader has much to read", func(t *testing.T) {
		t.Parallel()
		server, b := setupServer(t, nil)
		s := b.open(t, b.options())
		h := newRecorder()
		h.onEnd = s.Ack
		release := h.hold()
		r := run(t, s, h)
		b.exec(t, `INSERT INTO outbox SELECT i, 'order.created', repeat('x', 10000) FROM generate_series(1, 3000) AS i`)
		stopped := make(chan error, 1)
		go func() { stopped <- server.Stop(t.Context(), pgserver.Fast) }()
		time.AfterFunc(500*time.Millisecond, release)
		select {
		case err := <-stopped:
			require.NoError(t, err)
		case <-time.After(patience):
			t.Fatal("the server does not stop")
		}
		require.ErrorIs(t, r.end(t), postgres.ErrServerStopped)
		h.await(t, 3002)
	})
	t.Run("when it crashes", func(t *testing.T) {
		t.Parallel()
		server, b := setupServer(t, nil)
		h := newRecorder()
		r := run(t, b.open(t, b.options()), h)
		b.insert(t, 1)
		h.await(t, 3)
		require.NoError(t, server.Stop(t.Context(), pgserver.Immediate))
		err := r.end(t)
		require.True(t, errors.Is(err, postgres.ErrServerStopped) || errors.Is(err, postgres.ErrConnection), "%v", err)
	})
}

func TestLastContact(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.options()
	o.StatusInterval = 50 * time.Millisecond
	s := b.open(t, o)
	before := time.Now()
	require.NoError(t, s.Start(t.Context()))
	require.False(t, s.LastContact().Before(before), "whoever stood by for long is heard of when it takes the slot")
	run(t, s, newRecorder())
	// Nothing happens, and still the server is heard.
	require.Eventually(t, func() bool { return s.LastContact().After(before.Add(200 * time.Millisecond)) }, patience, 10*time.Millisecond)
	require.False(t, s.LastContact().After(time.Now()))
}
