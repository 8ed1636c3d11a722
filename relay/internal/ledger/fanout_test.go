package ledger_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// Other slots have partitions too, and rows of partitions that are out of use stay: neither is
// read, nor changed, for a slot's own.
func TestFanout_isOfItsSlotAlone(t *testing.T) {
	t.Parallel()
	f := setupFanout(t)
	f.outboxOf(t, "text")
	require.Nil(t, f.publish(t, 6))
	f.settle(t, f.ledger, f.hold, 0x18)
	f.publish(t, 4)
	f.exec(t, `
INSERT INTO tailpost.relay
SELECT (jsonb_populate_record(r, jsonb_build_object(
    'slot', n.name || substr(r.slot, 2), 'partition_of', n.name || substr(r.partition_of, 2), 'settled_lsn', n.lsn,
    'settled_at', $1::timestamptz + n.late, 'system_id', n.system, 'routing', 'by ' || n.name
))).*
FROM tailpost.relay AS r, (VALUES ('r', '0/1', '-1 hour'::interval, '7'), ('t', '0/99', '1 hour', '8')) AS n (name, lsn, late, system)`, noon)
	all := make([]*sender, 4)
	for i := range all {
		all[i] = f.sender(t, i, 4)
		f.settle(t, all[i].Ledger, all[i].hold, outbox.LSN(0x20+i))
	}
	f.settle(t, f.ledger, f.hold, 0x50)
	f.exec(t, "UPDATE tailpost.relay SET heal = NULL, heal_since = NULL, heal_from = NULL, heal_at = NULL WHERE slot = 's'")
	require.Equal(t, at(0x20), f.position(t).SettledAt)
	settled, published, err := f.ledger.SettledPartitions(t.Context(), "s", 4)
	require.NoError(t, err)
	require.True(t, published)
	require.EqualValues(t, 0x20, settled)

	changed := func(do func()) []string {
		before := f.allRows(t)
		do()
		return changes(before, f.allRows(t))
	}
	require.Equal(t, []string{"~ slot s"}, changed(func() { f.route(t, "by b") }))
	f.route(t, "by a")
	require.Equal(t, []string{"~ slot s#02"}, changed(func() { f.sender(t, 2, 4) }))
	require.Empty(t, changed(func() { require.Nil(t, f.publish(t, 4)) }), "others publish as they do")
	_, err = f.ledger.TakePartition(t.Context(), ledger.TakePartitionOptions{Slot: "s", Partitions: 4, Routing: "by r", Now: noon})
	require.ErrorIs(t, err, ledger.ErrNotPublished, "another slot's holder routes that way")

	f.exec(t, "UPDATE tailpost.relay SET timeline = 2 WHERE slot = 's'")
	require.Equal(t, []string{"+ slot s#06", "~ slot s", "~ slot s#00", "~ slot s#01", "~ slot s#02", "~ slot s#03", "~ slot s#04", "~ slot s#05"},
		changed(func() { require.Equal(t, &ledger.Left{From: 0x20, At: at(0x20)}, f.publish(t, 7)) }))
	require.Equal(t, at(0x50), f.position(t).SettledAt)
	require.Equal(t, 1, f.count(t, `
SELECT count(DISTINCT (owner, system_id, timeline, batch, settled_lsn, settled_at, released_lsn, partitions))
FROM tailpost.relay
WHERE partition_of = 's'`), "one that is laid again is as one that is new")
}

// A sender is a session that holds the lock of its slot's members, in the database and together
// with others: neither who waits for it, nor a lock with other numbers.
func TestSenders_areThoseWhoHoldTheLock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	senders := func() int {
		n, err := b.ledger.Senders(t.Context(), 7)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, senders())
	lock := func(db *pgtest.DB, lock string) *pgx.Conn {
		conn := db.Conn(t)
		_, err := conn.Exec(t.Context(), "SELECT "+lock)
		require.NoError(t, err)
		return conn
	}
	elsewhere := pgtest.NewDB(t)
	const held = "pg_advisory_lock_shared(7, 0)"
	for _, other := range []string{"pg_advisory_lock_shared(7, 1)", "pg_advisory_lock_shared(8, 0)", "pg_advisory_lock_shared(7::bigint << 32)"} {
		lock(b.db, other)
	}
	lock(elsewhere, held)
	first := lock(b.db, held)
	lock(b.db, held)
	require.Equal(t, 2, senders())
	ctx, cancel := context.WithCancel(t.Context())
	waits, done := b.db.Conn(t), make(chan struct{})
	go func() {
		defer close(done)
		_, _ = waits.Exec(ctx, "SELECT pg_advisory_lock(7, 0)") // until it is cancelled
	}()
	b.awaitBlocked(t)
	require.Equal(t, 2, senders())
	cancel()
	<-done
	_, err := first.Exec(t.Context(), "SELECT pg_advisory_unlock_shared(7, 0)")
	require.NoError(t, err)
	require.Equal(t, 1, senders())
}
