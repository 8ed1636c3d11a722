package ledger_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// Who streams from one slot holds no other, even where their epochs are the same.
func TestHolds_isOfTheSlotAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	streamed, idle := b.db.Slot(), b.db.Slot()+"_idle"
	b.exec(t, "CREATE PUBLICATION p")
	b.makeSlot(t, streamed)
	b.makeSlot(t, idle)
	ours, theirs := b.takeSlot(t, streamed), b.takeSlot(t, idle)
	require.Equal(t, ours.Epoch, theirs.Epoch)
	stream, err := pgconn.Connect(t.Context(), b.db.URL+"&replication=database")
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close(context.WithoutCancel(t.Context())) })
	stream.Exec(t.Context(), "START_REPLICATION SLOT "+streamed+" LOGICAL 0/0 (proto_version '1', publication_names 'p')")
	holds := func(hold ledger.Hold) bool {
		holds, err := b.ledger.Holds(t.Context(), hold, int(stream.PID()))
		require.NoError(t, err)
		return holds
	}
	require.Eventually(t, func() bool { return holds(ours) }, 30*time.Second, 10*time.Millisecond)
	require.False(t, holds(theirs), "nobody streams from that slot")
	require.False(t, holds(ledger.Hold{Slot: "never taken", Epoch: ours.Epoch}))
}

// A slot is active while a connection has it, whoever that is: a relay that stands by waits for no
// other.
func TestSlotActive_isOneThatAConnectionHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slot := b.db.Slot()
	b.exec(t, "CREATE PUBLICATION p")
	b.makeSlot(t, slot)
	active := func(slot string) bool {
		active, err := b.ledger.SlotActive(t.Context(), slot)
		require.NoError(t, err)
		return active
	}
	require.False(t, active(slot), "nobody has it")
	require.False(t, active(slot+"_never"), "there is none")
	stream, err := pgconn.Connect(t.Context(), b.db.URL+"&replication=database")
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close(context.WithoutCancel(t.Context())) })
	stream.Exec(t.Context(), "START_REPLICATION SLOT "+slot+" LOGICAL 0/0 (proto_version '1', publication_names 'p')")
	require.Eventually(t, func() bool { return active(slot) }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, stream.Conn().Close())
	require.Eventually(t, func() bool { return !active(slot) }, 30*time.Second, 10*time.Millisecond)
}

// Other slots are those that relays of this database have held and that are there: not the one that
// asks, not what another database has under the name, not one that is gone, nor one of somebody who
// is no relay.
func TestOtherSlots_areThoseOfRelaysThatAreThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere := pgtest.NewDB(t)
	_, err := elsewhere.Conn(t).Exec(t.Context(), "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", elsewhere.Slot())
	require.NoError(t, err)
	own, other := b.db.Slot(), b.db.Slot()+"_b"
	b.makeSlot(t, own)
	b.makeSlot(t, other)
	b.makeSlot(t, b.db.Slot()+"_debezium")
	for _, slot := range []string{own, other, "gone", elsewhere.Slot()} {
		b.takeSlot(t, slot)
	}
	others, err := b.ledger.OtherSlots(t.Context(), own)
	require.NoError(t, err)
	require.Equal(t, []ledger.OtherSlot{{Name: other}}, others)
}

// What is where the slot's row was may be the row of another slot, at the same epoch and batch.
func TestRecord_findsItsRowThoughAnotherSlotsIsInItsPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	const batches = 6
	for i := range batches {
		require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf(string(rune('a'+i)), outbox.LSN(i+1))))
	}
	other := b.open(t, b.db.URL)
	_, err := other.Take(t.Context(), ledger.TakeOptions{Slot: "other", SystemID: "7", Timeline: 1, Now: noon})
	require.NoError(t, err)
	b.exec(t, "UPDATE tailpost.relay SET batch = $1 WHERE slot = 'other'", batches)
	at := func(slot string) string {
		return b.texts(t, "SELECT ctid::text FROM tailpost.relay WHERE slot = '"+slot+"'")[0]
	}
	place := at("s")
	require.Eventually(t, func() bool {
		b.exec(t, "VACUUM FULL tailpost.relay")
		for range 20 {
			if at("other") == place {
				return true
			}
			b.exec(t, "UPDATE tailpost.relay SET owner = owner WHERE slot = 'other'")
		}
		return false
	}, time.Minute, time.Millisecond)
	require.NoError(t, b.ledger.Record(t.Context(), hold, oneOf("z", 9)))
	require.Equal(t, []string{"other 6 0/0", "s 7 0/9"},
		b.texts(t, "SELECT concat_ws(' ', slot, batch, settled_lsn) FROM tailpost.relay ORDER BY slot"))
}

func TestRebase_putsWhatWaitsFromAnotherClusterFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Park:     []outbox.Delivery{pending("1", "erp", "", 9, noon), pending("3", "erp", "", 7, noon), pending("2", "crm", "", 8, noon)},
		Attempts: []outbox.Attempt{attempt("old", "erp", outbox.Delivered, 9)}, Settled: 9,
	}))
	const order = `SELECT string_agg(event_id, ' ' ORDER BY commit_lsn, seq) || ' ' || max(commit_lsn)::text FROM tailpost.delivery`
	text := func() (s string) {
		require.NoError(t, b.conn.QueryRow(t.Context(), order).Scan(&s))
		return s
	}
	require.NoError(t, b.ledger.Rebase(t.Context(), "s", "7"))
	require.Equal(t, "3 2 1 0/9", text(), "the same cluster")
	later := noon.AddDate(0, 0, 1)
	for range 2 { // a relay that dies before Take does it again
		require.NoError(t, b.ledger.Rebase(t.Context(), "s", "8"))
		require.Equal(t, "3 2 1 0/0", text())
	}
	_, err := b.ledger.Take(t.Context(), ledger.TakeOptions{
		Slot: "s", Owner: "host:2", SystemID: "8", Timeline: 1, Now: later, Heal: &ledger.Heal{Why: "moved", From: 9, At: later},
	})
	require.NoError(t, err)
	p, _, err := b.ledger.Position(t.Context(), "s")
	require.NoError(t, err)
	require.Zero(t, p.Heal.From, "what the audit finds comes before the stream too")
	got, _, err := b.ledger.Recorded(t.Context(), "s", 0, ledger.MostRecorded)
	require.NoError(t, err)
	require.Len(t, got, 3, "what waits, and none of the attempts of before")

	// What has moved before keeps its order, before what came since.
	hold, err = b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: "s", Owner: "host:2", SystemID: "8", Timeline: 1, Now: later})
	require.NoError(t, err)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{pending("0", "erp", "", 1, noon)}}))
	require.NoError(t, b.ledger.Rebase(t.Context(), "s", "9"))
	require.Equal(t, "3 2 1 0 0/0", text())
}

// On another cluster everything that waits comes first, in its order, and once: a second time
// changes nothing. Replays and resends that have a place lose it, and no others are changed.
func TestRebase_changesWhatHasAPlace(t *testing.T) {
	t.Parallel()
	n := setupNeighbours(t)
	n.exec(t, "UPDATE tailpost.relay SET system_id = '8' WHERE slot = 'other'")
	n.exec(t, `UPDATE tailpost.resend SET cursor = '{"endpoint_id": "erp"}'`)
	n.exec(t, "UPDATE tailpost.resend SET state = 'running' WHERE id = 'ours'")
	before := n.allRows(t)
	require.NoError(t, n.ledger.Rebase(t.Context(), "s", "7"))
	require.Empty(t, changes(before, n.allRows(t)), "another slot has come from another cluster")

	n.exec(t, "CREATE TABLE public.was AS SELECT * FROM tailpost.delivery")
	require.NoError(t, n.ledger.Rebase(t.Context(), "s", "9"))
	var want []string
	for name := range before {
		if len(name) > 9 && name[:9] == "delivery " {
			want = append(want, "~ "+name)
		}
	}
	for _, id := range []string{"over", "cancelled", "ours", "theirs", "many", "again"} {
		want = append(want, "~ replay "+id)
	}
	slices.Sort(want)
	after := n.allRows(t)
	require.Equal(t, append(want, "~ resend ours"), changes(before, after))
	require.Zero(t, n.count(t, `
SELECT count(*)
FROM public.was AS a
JOIN public.was AS b ON (a.commit_lsn, a.seq) < (b.commit_lsn, b.seq)
JOIN tailpost.delivery AS x ON (x.event_id, x.endpoint_id) = (a.event_id, a.endpoint_id)
JOIN tailpost.delivery AS y ON (y.event_id, y.endpoint_id) = (b.event_id, b.endpoint_id)
WHERE (x.commit_lsn, x.seq) >= (y.commit_lsn, y.seq)`), "deliveries whose order has changed")
	require.Zero(t, n.count(t, "SELECT count(*) - count(DISTINCT seq) FROM tailpost.delivery"), "deliveries in the place of another")

	places := "SELECT sum(hashtext(ctid::text)) FROM tailpost.delivery"
	was := n.count(t, places)
	require.NoError(t, n.ledger.Rebase(t.Context(), "s", "9"))
	require.Equal(t, was, n.count(t, places), "a queue that may be long is written once")
	require.Empty(t, changes(after, n.allRows(t)))
}

// TestTake_saysWhoseEpochsTheseAre: those of a row that is made anew begin again.
func TestTake_saysWhoseEpochsTheseAre(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := take(t, b.ledger)
	require.NotEmpty(t, first.Origin)
	at := func(now time.Time) ledger.Hold {
		hold, err := b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: "s", Owner: "host:2", SystemID: "7", Timeline: 2, Now: now})
		require.NoError(t, err)
		return hold
	}
	second := at(noon.Add(time.Hour))
	require.Greater(t, second.Epoch, first.Epoch)
	require.Equal(t, first.Origin, second.Origin)
	_, err := b.conn.Exec(t.Context(), "DELETE FROM tailpost.relay")
	require.NoError(t, err)
	anew := at(noon.Add(time.Microsecond))
	require.LessOrEqual(t, anew.Epoch, first.Epoch)
	require.NotEqual(t, first.Origin, anew.Origin)
}
