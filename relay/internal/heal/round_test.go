package heal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/heal"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/scan"
)

// setupRound is an auditor over a large table that is settled, whose slot was taken days ago.
func setupRound(t *testing.T, rows int, round ledger.Round) (b *auditBundle, log *kit.Log) {
	t.Helper()
	now := time.Now()
	b, log = setupAudit(t, time.Hour), new(kit.Log)
	b.indexed = true
	for id, r := range b.routed {
		r.CreatedAt, r.Since = now.Add(-200*time.Hour), now.Add(-200*time.Hour)
		b.routed[id] = r
	}
	for n := range rows {
		id := fmt.Sprint("old ", n)
		b.insert(now.Add(-90*time.Hour), id)
		b.recorded[id] = []string{"erp", "ledger"}
	}
	b.Position = ledger.Position{
		StartedAt: now.Add(-100 * time.Hour), SettledAt: now, AuditedAt: now, Settled: 500, Horizon: scan.Horizon{XID: 800, At: now.Add(-time.Hour)}, Round: round,
	}
	b.Logger = zerolog.New(log)
	b.Auditor = heal.NewAuditor(b.AuditorOptions)
	return b, log
}

// read returns how many blocks were read since it was last called, and the first of them.
func (b *auditBundle) read() (first int64, n int) {
	b.see(func() {
		if n = len(b.blocks); n > 0 {
			first = b.blocks[0]
		}
		b.blocks = nil
	})
	return first, n
}

// A row whose time is older than it is, is in no block that an index names. Each audit reads a part
// of the rest, however large that is, and judges by what was written since the last round.
func TestTheAuditsOfAnIntervalShareARoundThroughTheTable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const part = 4 << 10
		b, _ := setupRound(t, 2*part+100, ledger.Round{})
		b.see(func() { delete(b.recorded, fmt.Sprint("old ", part+7)) }) // the stream did not bring it
		b.run(t, nil)
		for n, want := range []struct {
			first  int64
			blocks int
			sent   int
		}{{0, part, 0}, {part, part, 2}, {2 * part, 100, 2}, {0, part, 2}} {
			pass(t, time.Hour+time.Minute)
			first, blocks := b.read()
			require.Equal(t, want.first, first, "audit %d", n)
			require.Equal(t, want.blocks, blocks, "audit %d", n)
			require.Len(t, b.sent(), want.sent, "audit %d", n)
		}
		b.see(func() {
			require.EqualValues(t, 800, b.scopes[5].Horizon.XID, "this round judges what was written since the slot was taken")
			require.EqualValues(t, 901, b.scopes[7].Horizon.XID, "the next what was since it began")
			require.Equal(t, ledger.Round{Block: part, Began: b.round.Began, Settled: b.round.Settled}, b.round)
			require.EqualValues(t, 904, b.round.Began.XID)
			require.EqualValues(t, 901, b.round.Settled.XID)
		})
	})
}

func TestARoundGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := setupRound(t, 6000, ledger.Round{Block: 4096, Began: scan.Horizon{XID: 700}, Settled: scan.Horizon{XID: 600}})
		b.run(t, b.due()) // which reads the whole table, and is no part of the round
		pass(t, time.Minute)
		_, n := b.read()
		require.Equal(t, 6000, n)
		b.see(func() { require.Less(t, b.reads, 30, "pages become as large as the table allows") })
		pass(t, time.Hour+time.Minute)
		first, n := b.read()
		require.EqualValues(t, 4096, first)
		require.Equal(t, 6000-4096, n)
		b.see(func() {
			require.EqualValues(t, 600, b.scopes[2].Horizon.XID)
			require.Equal(t, ledger.Round{Settled: scan.Horizon{XID: 700}}, b.round)
		})
	})
}

// A table in many parts has many blocks of each number.
func TestAPartOfARoundIsAsLargeInATableOfManyPartitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for parts, want := range map[int64]int{1: 4096, 40: 4096 / 40, 4096: 1, 5000: 1} {
			b, _ := setupRound(t, 5000, ledger.Round{})
			b.parts = parts
			b.run(t, nil)
			pass(t, time.Hour+time.Minute)
			_, n := b.read()
			require.Equal(t, want, n, "%d parts", parts)
		}
	})
}

func TestATableWithoutRowsIsAudited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := setupRound(t, 0, ledger.Round{})
		b.run(t, nil)
		pass(t, time.Hour+time.Minute)
		b.see(func() { require.Len(t, b.audits, 1) })
	})
}

// Until the first audit has been nothing is known to be settled, so that what is old cannot be told
// from what was lost.
func TestARoundBeginsOnceSomethingIsSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := setupRound(t, 100, ledger.Round{})
		b.Position.Horizon = scan.Horizon{}
		b.Auditor = heal.NewAuditor(b.AuditorOptions)
		b.run(t, nil)
		pass(t, time.Hour+time.Minute)
		_, n := b.read()
		require.Zero(t, n)
		pass(t, time.Hour+time.Minute)
		_, n = b.read()
		require.Equal(t, 100, n)
	})
}

// An audit of the interval has the database for a tenth of the time, and so has the look after a
// crash; the heal of a gap has it for half.
func TestAnAuditRestsAfterEachPage(t *testing.T) {
	t.Parallel()
	moved := sound()
	moved.Info.ConfirmedFlush++
	for name, test := range map[string]struct {
		rests int
		first func(b *auditBundle) *heal.Inquiry
	}{
		"the heal of a gap":        {1, (*auditBundle).due},
		"an audit of the interval": {9, func(*auditBundle) *heal.Inquiry { return nil }},
		"a doubt":                  {9, func(*auditBundle) *heal.Inquiry { return moved.Doubt(time.Now()) }},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, _ := setupRound(t, 60, ledger.Round{})
			b.indexed, b.takes = false, 60*time.Millisecond
			pause := time.Duration(test.rests) * b.takes
			b.run(t, test.first(b))
			pass(t, time.Hour+time.Minute)
			b.see(func() {
				require.Greater(t, len(b.pages), 4)
				for i := 1; i < 5; i++ {
					require.Equal(t, b.takes+pause, b.pages[i].Sub(b.pages[i-1]), name)
				}
			})
		})
	}
}

// However much is missing: it is there after a small multiple of what reading and queueing it take,
// and whoever records has the rest of the time.
func TestAHealRestsOnceForWhatItDoes(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]int{"the heal of a gap": 1, "an audit of the interval": 9} {
		synctest.Test(t, func(t *testing.T) {
			b, log := setupRound(t, 0, ledger.Round{})
			b.takes, b.writes = 10*time.Millisecond, 200*time.Millisecond
			for n := range 3000 {
				b.insert(time.Now(), fmt.Sprint("lost ", n))
			}
			began := time.Now()
			if times == 1 {
				b.run(t, b.due())
			} else {
				b.run(t, nil)
				pass(t, time.Hour)
				began = began.Add(time.Hour)
			}
			pass(t, 59*time.Minute)
			b.see(func() {
				require.Len(t, b.queued, 6000, name)
				require.Len(t, b.audits, 1, name)
				took := b.audits[0].Now.Sub(began)
				require.GreaterOrEqual(t, took, time.Duration(1+times)*b.worked, name)
				require.Less(t, took, time.Duration(1+times)*b.worked+time.Second, name)
				for i := 1; i < len(b.queues); i++ {
					require.GreaterOrEqual(t, b.queues[i].Sub(b.queues[i-1]), time.Duration(1+times)*b.writes, "%s: recording has its turn after each transaction", name)
				}
			})
			require.Contains(t, log.String(), "are being queued", name)
		})
	}
}

// An audit that finds much says so when it begins to queue, and each minute after that: endpoints
// with an order wait for its end.
func TestAnAuditTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setupRound(t, 0, ledger.Round{})
		b.writes = 5 * time.Second // and as often again of rest, nine times
		told := func() int {
			return strings.Count(log.String(), "events that nobody had got are being queued from the outbox table")
		}
		for n := range 1024 {
			b.insert(time.Now(), fmt.Sprint("lost ", n))
		}
		b.run(t, nil)
		pass(t, time.Hour-time.Second)
		require.Zero(t, told())
		pass(t, 10*time.Second)
		require.Equal(t, 1, told(), "at the first of it")
		require.Contains(t, log.String(), `"level":"warn","why":"an audit found events that nobody had got","events":`)
		pass(t, 40*time.Second)
		require.Equal(t, 1, told(), "not for each transaction")
		pass(t, 3*time.Minute)
		require.Equal(t, 3, told())
	})
}

// Where many rows are new, as many blocks of the round are read: what is old is gone round as fast
// as what is new comes.
func TestARoundKeepsUpWithWhatIsNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, _ := setupRound(t, 6000, ledger.Round{})
		for n := range 5000 {
			id := fmt.Sprint("new ", n)
			b.insert(time.Now(), id)
			b.recorded[id] = []string{"erp", "ledger"}
		}
		b.run(t, nil)
		pass(t, time.Hour+time.Minute)
		_, n := b.read()
		require.Equal(t, 5000+5000, n)
	})
}

// A row without a time that nobody has may be an old one that was updated: it is not sent, and not
// passed over in silence.
func TestTheAuditOfAnIntervalTellsOfRowsThatDoNotSayTheirTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setupRound(t, 3, ledger.Round{})
		b.insert(time.Time{}, "no time", "nobody's", "somebody's", "filtered out", "no event")
		b.see(func() {
			b.rows[4].Type, b.rows[6].Type, b.rows[7].Type, b.rows[7].err = "nobody", "filtered out", "filtered out", errors.New("payload is NULL")
			b.recorded["somebody's"] = []string{"erp"}
		})
		b.run(t, nil)
		pass(t, time.Hour+time.Minute)
		require.Empty(t, b.sent())
		b.see(func() { require.Nil(t, b.audits[0], "it is no gap") })
		require.Contains(t, log.String(), `"rows":2,`)
		require.Contains(t, log.String(), "and no created_at")
		require.Equal(t, 3, b.again(), "of one that somebody has, or that nobody wants, a first look is enough")
	})
}

// A row whose id was used before, and that does not say whether it is that event, is counted, also
// where it is no event.
func TestAGapCountsRowsThatMayBeNewEventsWithOldIDs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setupAudit(t, 0)
		b.behindTheHorizon()
		b.insert(time.Time{}, "again", "again without a type", "nobody's", "again after one that was dead")
		b.see(func() {
			for i, kind := range []string{"order.created", "", "nobody", "order.created"} {
				b.rows[i].Type, b.rows[i].doubtful = kind, true
				b.recorded[b.rows[i].ID] = []string{"erp", "ledger"}
			}
			b.recorded[b.rows[3].ID] = []string{dispatch.Everyone} // it was no event
		})
		b.run(t, b.due())
		pass(t, time.Minute)
		require.Empty(t, b.sent())
		b.see(func() {
			require.Contains(t, b.audits[0].Note, "3 rows have ids that were delivered or parked before the gap")
		})
	})
}

func TestRowsThatDoNotSayTheirTimeAreCountedAtABoundedCost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, log := setupRound(t, 0, ledger.Round{})
		b.see(func() {
			for n := range 3000 {
				b.rows = append(b.rows, &row{Event: outbox.Event{ID: fmt.Sprint(n), Type: "order.created"}, block: int64(n / 10)})
			}
		})
		b.run(t, nil)
		pass(t, time.Hour+time.Minute)
		require.Contains(t, log.String(), "and no created_at")
		require.Less(t, b.again(), 2500, "each is read twice")
	})
}

// Of an event as old as the attempts that are kept nobody knows whether it was delivered: neither a
// gap nor an interval brings it again.
func TestAnAuditLeavesAloneWhatIsOlderThanTheAttempts(t *testing.T) {
	t.Parallel()
	for name, gap := range map[string]bool{"a gap": true, "an interval": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setupAudit(t, 30*time.Minute)
				b.Attempts = 2 * time.Hour
				b.Auditor = heal.NewAuditor(b.AuditorOptions)
				b.insert(time.Now().Add(-100*time.Minute), "its attempts are gone")
				b.insert(time.Now().Add(-10*time.Minute), "lost")
				if gap {
					b.run(t, b.due())
				} else {
					b.run(t, nil)
				}
				pass(t, 31*time.Minute)
				require.ElementsMatch(t, []string{"lost>erp", "lost>ledger"}, b.sent())
			})
		})
	}
}
