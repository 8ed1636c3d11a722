package heal_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

func TestTheRelayEndsWhereAuditsKeepFindingGaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 10*time.Minute)
		b.run(t, nil)
		for n := range 4 {
			select {
			case err := <-b.ended:
				t.Fatalf("ended after %d gaps: %v", n, err)
			default:
			}
			b.insert(time.Now(), fmt.Sprintf("lost %d", n))
			pass(t, 10*time.Minute+time.Second)
		}
		select {
		case err := <-b.ended:
			require.ErrorIs(t, err, heal.ErrTooManyGaps)
		default:
			t.Fatal("the fourth gap within an hour is one too many")
		}
	})
}

// However many gaps there were: only one more ends the relay. What is due was counted when it was
// noted, so that its heal comes to its end.
func TestAnAuditThatFindsNoGapEndsNoRelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 10*time.Minute)
		b.see(func() { b.gaps = 9 })
		b.insert(b.gap, "lost")
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Len(t, b.sent(), 2)
		pass(t, 30*time.Minute)
		require.Empty(t, b.ended)
		b.see(func() { require.Len(t, b.audits, 4) })
	})
}

func TestMoreGapsThanAreHealedTellWhatToDo(t *testing.T) {
	t.Parallel()
	w := &world{t: t, gaps: 3}
	noon := time.Date(2026, 3, 14, 13, 0, 0, 0, time.FixedZone("CET", 3600))
	require.NoError(t, heal.Limit(t.Context(), w, "tailpost", noon))
	require.Equal(t, ledger.GapsOptions{Slot: "tailpost", Uncounted: []string{"backfill", heal.WhyPartitions}, Since: noon.Add(-time.Hour), Now: noon}, w.asked)
	for gaps, until := range map[int]string{4: "2026-03-14T12:01:00Z", 9: "2026-03-14T12:06:00Z"} {
		w.gaps = gaps
		err := heal.Limit(t.Context(), w, "tailpost", noon)
		require.ErrorIs(t, err, heal.ErrTooManyGaps)
		require.ErrorContains(t, err, fmt.Sprintf("%d within an hour, the last because cause %d. ", gaps, gaps))
		require.ErrorContains(t, err, "tailpost heal")
		require.ErrorContains(t, err, "ends like this until "+until+".", "by then no more than three are within an hour")
	}
	w.fail = errors.New("no connection")
	require.ErrorIs(t, heal.Limit(t.Context(), w, "tailpost", noon), w.fail)
}
