package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// recorded sweeps the table and returns who has something of each row, by id.
func recorded(t *testing.T, s *ledger.Sweep) map[string][]string {
	t.Helper()
	rows, err := s.Rows(t.Context(), 0, 100)
	require.NoError(t, err)
	has := make(map[string][]string)
	for i := range rows {
		has[rows[i].ID] = rows[i].Recorded
	}
	return has
}

// An event is not missing for an endpoint that has an attempt of it, waits for it, or for which somebody discarded it.
func TestRows_sayWhoHasAnEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.outboxOf(t, "text", "attempted", "tested", "parked", "dead", "discarded", "nothing")
	hold := take(t, b.ledger)
	dead := pending("dead", "erp", "", 1, time.Time{})
	dead.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{pending("parked", "erp", "", 1, noon), dead}}))
	b.attempted(t, "attempted", 1, "stream", outbox.Delivered, 0)
	b.attempted(t, "tested", 1, "test", outbox.Delivered, 0)
	b.exec(t, "INSERT INTO tailpost.discarded VALUES ('discarded', 'erp', $1)", noon)

	sweep, err := b.ledger.NewSweep(t.Context(), m, time.Time{})
	require.NoError(t, err)
	want := map[string][]string{
		"attempted": {"erp"}, "tested": {}, "parked": {"erp"}, "dead": {"erp"}, "discarded": {"erp"}, "nothing": {},
	}
	require.Equal(t, want, recorded(t, sweep))

	rows, err := sweep.Rows(t.Context(), 0, 100)
	require.NoError(t, err)
	var places []ledger.RowPlace
	for i := range rows {
		places = append(places, ledger.RowPlace{ID: rows[i].ID, TID: rows[i].TID})
	}
	found, err := sweep.Events(t.Context(), places)
	require.NoError(t, err)
	require.Len(t, found, len(want))
	for i := range found {
		require.Equal(t, want[found[i].Event.ID], found[i].Recorded, found[i].Event.ID)
	}
}

// An attempt may be older than its event by the clock of whoever wrote the event.
func TestRows_findAttemptsThatAnotherClockPutsBeforeTheEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, "SELECT tailpost.ensure_attempt_partitions('2026-03-13', 1)")
	m := b.outboxOf(t, "text", "e1")
	b.attempted(t, "e1", 1, "stream", outbox.Delivered, -12*3600)
	sweep, err := b.ledger.NewSweep(t.Context(), m, time.Time{})
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"e1": {"erp"}}, recorded(t, sweep))
}

func TestQueue_leavesAloneWhatWaitsAlready(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	there := pending("e1", "erp", "", 1, noon)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{there}, Now: noon}))
	found := []outbox.Delivery{pending("e1", "erp", "", 9, noon.Add(time.Hour)), pending("e2", "erp", "k", 9, noon)}
	found[1].Event.Tenant, found[1].Event.Seq, found[1].Attempts = "acme", 4, 0
	found[1].Event.Headers = map[string]string{"traceparent": "00-é"}
	queued, err := b.ledger.Queue(t.Context(), hold, found, noon)
	require.NoError(t, err)
	require.EqualValues(t, 1, queued)
	ds, err := b.ledger.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, []outbox.Delivery{there, found[1]}, ds)
}
