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
		more    int    // new rows, one a block
		lost    int    // deliveries that are queued
		left    string // why nothing is looked at
	}{
		"with an index":                    {true, 0, 2, ""},
		"without":                          {false, 0, 0, "no index finds rows by their time"},
		"as many new rows as a glance has": {true, 16<<10 - 1, 2, ""},
		"one more":                         {true, 16 << 10, 0, "too many rows are new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupAudit(t, 30*time.Hour)
				b.behindTheHorizon()
				log := b.watched(nil)
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
					if test.left == "" {
						require.NotContains(t, log.String(), "the relay did not stop in order")
					} else {
						require.Contains(t, log.String(), `"reason":"`+test.left+`"`)
					}
					require.NotContains(t, b.blocks, int64(0))
					require.NotContains(t, b.blocks, int64(1))
					require.Len(t, b.audits, 1)
					require.Zero(t, b.horizon, "the rest of the table is not known to be settled")
					require.Zero(t, b.before, "nor is what was created before")
				})
				b.see(func() { b.blocks = nil })
				pass(t, 29*time.Hour)
				b.see(func() { require.NotEmpty(t, b.blocks, "the audit of the interval comes when it would have come") })
			})
		})
	}
}

// A slot that stands where no relay lets go of it was moved by somebody else: that takes a look at
// the whole table.
func TestASlotThatSomebodyMovedHasTheWholeTableRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 30*time.Hour)
		b.indexed = true
		b.insert(b.gap.Add(-time.Hour+time.Second), "lost")
		b.insert(b.gap, "lost too")
		f := sound()
		f.Before.SettledAt, f.Info.ConfirmedFlush, f.Before.Released = b.gap, 151, 150
		b.run(t, f.Doubt(time.Now()))
		pass(t, time.Minute)
		require.Len(t, b.sent(), 4)
		b.see(func() {
			require.Equal(t, b.gap, b.scopes[0].Gap.At, "the table is asked of ids that were used again since")
		})
	})
}
