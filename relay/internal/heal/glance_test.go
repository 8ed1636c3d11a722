package heal_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// After a crash the slot stands ahead of what was recorded, and somebody may have moved it there:
// the newest rows are looked at, and nothing else, however large the table is.
func TestAfterACrashOnlyTheNewestRowsAreLookedAt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		indexed bool
		more    int // new rows, one a block
		lost    int // deliveries that are queued
	}{
		"with an index":     {true, 0, 2},
		"without":           {false, 0, 0},
		"too many new rows": {true, 16 << 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupAudit(t, 30*time.Hour)
				b.indexed = test.indexed
				b.insert(b.gap.Add(-10*time.Minute), "old", "older")
				b.insert(b.gap.Add(-time.Minute), "lost")
				for n := range test.more {
					id := fmt.Sprint("new ", n)
					b.insert(b.gap, id)
					b.recorded[id] = []string{"erp", "ledger"}
				}
				f := sound()
				f.Before.SettledAt, f.Info.ConfirmedFlush, f.Before.Released = b.gap, 150, 150
				b.run(t, f.Doubt(time.Now()))
				pass(t, time.Minute)
				require.Len(t, b.sent(), test.lost)
				b.see(func() {
					require.NotContains(t, b.blocks, int64(0))
					require.NotContains(t, b.blocks, int64(1))
					require.Len(t, b.audits, 1)
					require.Zero(t, b.horizon, "the rest of the table is not known to be settled")
				})
				b.see(func() { b.blocks = nil })
				pass(t, 29*time.Hour)
				b.see(func() { require.NotEmpty(t, b.blocks, "the audit of the interval comes when it would have come") })
			})
		})
	}
}
