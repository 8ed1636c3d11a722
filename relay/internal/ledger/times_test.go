package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// timed is a delivery whose event has times.
func timed(d outbox.Delivery, deliver, expires time.Time) outbox.Delivery {
	d.Event.DeliverAt, d.Event.ExpiresAt = deliver, expires
	return d
}

func TestTimesOfEvents_arePartOfTheirRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	parked := timed(pending("parked", "erp", "", 1, noon), noon.Add(-time.Hour), noon.Add(time.Hour))
	found := timed(pending("found", "erp", "", 2, noon), noon.Add(-time.Minute), noon.Add(time.Minute))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{parked, pending("plain", "erp", "", 3, noon)}}))
	_, err := b.ledger.Queue(t.Context(), hold, []outbox.Delivery{found}, noon)
	require.NoError(t, err)
	due := b.due(t, "erp", noon)
	require.Equal(t, []string{"parked", "found", "plain"}, ids(due))
	for i, want := range []outbox.Delivery{parked, found, {}} {
		require.Equal(t, want.Event.DeliverAt, due[i].Event.DeliverAt)
		require.Equal(t, want.Event.ExpiresAt, due[i].Event.ExpiresAt)
	}
}

// TestExpiry_leavesWhatIsKnownOfTheLastAttempt: it makes none of its own.
func TestExpiry_leavesWhatIsKnownOfTheLastAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	failed, fresh := pending("failed", "erp", "", 1, noon), pending("fresh", "erp", "", 2, noon)
	failed.LastStatus, fresh.LastError, fresh.Attempts = 503, "", 0
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{failed, fresh}}))
	expired := func(d outbox.Delivery) outbox.Delivery {
		d.State, d.Reason, d.LastStatus, d.LastError, d.NextAttemptAt = outbox.StateDead, outbox.ReasonExpired, 0, "the event expired", time.Time{}
		return d
	}
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Update: []outbox.Delivery{expired(failed), expired(fresh)}}))
	rows := "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND reason = 'expired' AND event_id = $1 AND last_error = $2"
	require.Equal(t, 1, b.count(t, rows+" AND last_status = 503 AND attempts = 1", "failed", "connection refused"))
	require.Equal(t, 1, b.count(t, rows+" AND last_status IS NULL AND attempts = 0", "fresh", "the event expired"))
}

// TestWhatIsMadeDue_waitsForItsTime: a change of the ordering, or of what is before it, makes
// nothing due before the time of its event.
func TestWhatIsMadeDue_waitsForItsTime(t *testing.T) {
	t.Parallel()
	for name, due := range map[string]func(b *bundle) error{
		"loosened": func(b *bundle) error {
			_, err := b.ledger.Loosen(t.Context(), "erp", true, noon)
			return err
		},
		"unblocked": func(b *bundle) error {
			_, _, err := b.ledger.Unblock(t.Context(), "erp", ledger.DuePlace{}, noon)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			later := noon.Add(time.Hour)
			require.NoError(t, b.ledger.Record(t.Context(), take(t, b.ledger), &ledger.Batch{Park: []outbox.Delivery{
				pending("plain", "erp", "a", 1, time.Time{}),
				timed(pending("over", "erp", "b", 2, time.Time{}), noon.Add(-time.Hour), time.Time{}),
				timed(pending("later", "erp", "c", 3, time.Time{}), later, noon.Add(2*time.Hour)),
				timed(pending("never", "erp", "d", 4, time.Time{}), later, later),
				timed(pending("later, no end", "erp", "e", 5, time.Time{}), later, time.Time{}),
			}}))
			require.NoError(t, due(b))
			require.Equal(t, []string{"plain", "over", "never"}, ids(b.due(t, "erp", noon)), "what can never be delivered is to expire at once")
			require.Equal(t, []string{"plain", "over", "never", "later", "later, no end"}, ids(b.due(t, "erp", later)))
		})
	}
}

// TestPendingUpTo_leavesOutWhatIsNotDue: a replay waits until little is pending, and would wait for
// days else.
func TestPendingUpTo_leavesOutWhatIsNotDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now()
	require.NoError(t, b.ledger.Record(t.Context(), take(t, b.ledger), &ledger.Batch{Park: []outbox.Delivery{
		pending("plain", "erp", "", 1, noon),
		timed(pending("over", "erp", "", 2, noon), now.Add(-time.Hour), time.Time{}),
		timed(pending("later", "erp", "", 3, now.Add(time.Hour)), now.Add(time.Hour), time.Time{}),
	}}))
	n, err := b.ledger.PendingUpTo(t.Context(), "erp", 100)
	require.NoError(t, err)
	require.Equal(t, 2, n)
}
