package heal_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What is created while an audit goes through the table is the next one's: this one may have been
// past its place.
func TestWhatIsCreatedDuringAnAuditIsNotSettledByIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "lost")
		b.see(func() { b.takes, b.writes = 20*time.Minute, 20*time.Minute })
		began := time.Now()
		b.run(t, b.due())
		pass(t, 24*time.Hour)
		require.Len(t, b.sent(), 2)
		b.see(func() { require.Equal(t, began, b.before) })
	})
}

// After a large event those that are small share a transaction again: between two of them the
// relay rests.
func TestSmallEventsShareATransactionBehindALargeOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		ids := []string{"large"}
		for n := range 50 {
			ids = append(ids, fmt.Sprint("small ", n))
		}
		b.insert(b.gap, ids...)
		b.see(func() {
			for i := range b.rows {
				b.rows[i].block = 0
			}
			b.rows[0].Payload = bytes.Repeat([]byte("1"), 700_000)
		})
		b.run(t, b.due())
		pass(t, time.Hour)
		require.Len(t, b.sent(), 2*len(ids))
		b.see(func() { require.Len(t, b.batches, 2, "the large one goes to two endpoints") })
	})
}

// What is in memory of the table at once is bounded, however large its payloads are.
func TestAGapIsReadInSmallPieces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.insert(b.gap, "large", "as large", "small", "smaller", "too large for one piece")
		b.see(func() {
			for i, size := range []int{600_000, 600_000, 200_000, 200_000, 2_000_000} {
				b.rows[i].Payload, b.rows[i].block = bytes.Repeat([]byte("1"), size), 0
			}
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Len(t, b.sent(), 10)
		b.see(func() {
			require.Equal(t, []string{"events 1", "events 3", "events 1"}, slices.DeleteFunc(slices.Clone(b.notes), func(n string) bool { return !strings.HasPrefix(n, "events") }))
		})
	})
}
