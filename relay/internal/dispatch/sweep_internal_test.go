package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// at is a place among what is due.
func at(t time.Time, lsn outbox.LSN) ledger.DuePlace {
	return ledger.DuePlace{DueAt: t, CommitLSN: lsn}
}

// TestChains_forgetWhatTheTableTells: of keys that nothing is in memory of only so many have a
// chain. Any other key may have rows in the table then.
func TestChains_forgetWhatTheTableTells(t *testing.T) {
	t.Parallel()
	cs := newChains()
	busy := cs.of("busy")
	busy.head = numbered(1)
	for i := range 9 {
		c := cs.of(string(rune('a' + i)))
		c.rows, c.next, c.written = 1, after(time.Duration(i)*time.Hour), true
		cs.settle(c)
	}
	held := cs.of("held")
	held.onHold = true
	require.Equal(t, atHead, cs.of("new").join(numbered(2)), "it has no rows")
	cs.of("new").head = nil
	cs.settle(cs.of("new"))
	require.False(t, cs.shrink(11))
	require.Nil(t, cs.sweep)
	require.Equal(t, 8, cs.share(8))
	keys, _ := cs.due(noon, 10)
	require.Equal(t, []string{"a"}, keys)
	require.True(t, cs.shrink(10))
	sweep := cs.sweep
	require.False(t, sweep.again, "the times that are known say all of it")
	sweep.passed(at(after(9*time.Hour), 1), true)
	require.Equal(t, at(after(time.Hour), 0), sweep.place())
	require.Equal(t, 6, cs.share(8), "the rest is for what the sweep finds")
	require.Equal(t, 1, cs.share(1))
	require.Len(t, cs.byKey, 2, "what is in memory of, and what is being read")
	require.NotNil(t, cs.answered("a"))
	require.Same(t, busy, cs.of("busy"))
	require.Equal(t, inTable, cs.of("b").join(numbered(3)), "the table has it")
	require.Equal(t, inTable, cs.of("new").join(numbered(4)), "the table may have it")
	require.Equal(t, inMemory, cs.of("busy").join(numbered(5)))
	for i := range 20 {
		c := cs.of(string(rune('A' + i)))
		c.rows, c.written = 1, false
		cs.settle(c)
	}
	require.True(t, cs.shrink(10), "again, and what only they know has to be found")
	require.LessOrEqual(t, len(cs.byKey), 10)
	require.Same(t, sweep, cs.sweep, "it goes on where it is")
	require.True(t, sweep.again)
}

// TestChains_areAllKnownWhileNoneIsForgotten: however many keys are busy, a new one has no rows.
func TestChains_areAllKnownWhileNoneIsForgotten(t *testing.T) {
	t.Parallel()
	cs := newChains()
	for i := range 9 {
		cs.of(string(rune('a' + i))).join(numbered(i))
	}
	require.False(t, cs.shrink(4))
	require.Equal(t, atHead, cs.of("new").join(numbered(10)))
}

// TestChains_forgetNothingWhileAllAreRead: what is forgotten then might be missing in the answer.
func TestChains_forgetNothingWhileAllAreRead(t *testing.T) {
	t.Parallel()
	cs := newChains()
	cs.sweep, cs.reading = newSweep(noon), true
	c := cs.of("k")
	require.Equal(t, noon, c.behind(noon))
	require.Equal(t, noon, cs.settle(c))
	require.Same(t, c, cs.byKey["k"])
	held := cs.of("held")
	held.onHold = true
	require.Zero(t, cs.settle(held))
	require.Same(t, held, cs.byKey["held"])
	require.False(t, cs.shrink(0))
	cs.reading = false
	require.Equal(t, noon, cs.settle(c))
	require.Zero(t, cs.settle(held))
	require.Empty(t, cs.byKey)
}

// TestChains_whoChangedTheTableIsHeard: what a dead one held is asked for, and what the sweep has
// passed is looked through again; what was planned stays so.
func TestChains_whoChangedTheTableIsHeard(t *testing.T) {
	t.Parallel()
	cs := planned(&chain{key: "held", onHold: true}, &chain{key: "later", rows: 1, next: after(time.Hour)})
	cs.sweep = newSweep(noon)
	cs.stir(noon)
	require.True(t, cs.sweep.again)
	keys, next := cs.due(noon, 10)
	require.Equal(t, []string{"held"}, keys)
	require.Equal(t, after(time.Hour), next)
}

// TestChain_ofAnUnknownKeyIsFoundByItsTime: nothing may be before it that has one.
func TestChain_ofAnUnknownKeyIsFoundByItsTime(t *testing.T) {
	t.Parallel()
	cs := newChains()
	cs.sweep = newSweep(noon)
	cs.sweep.at = at(after(time.Hour), 5)
	c := cs.of("k")
	require.Equal(t, after(time.Minute), c.behind(after(time.Minute)))
	require.Equal(t, after(time.Second), c.behind(after(time.Second)))
	require.Equal(t, after(time.Second), cs.settle(c))
	require.Empty(t, cs.byKey)
	require.Equal(t, at(after(time.Second), 0), cs.sweep.place())
}

// TestChains_keepWhatOnlyTheyKnow: the table does not say that it is due.
func TestChains_keepWhatOnlyTheyKnow(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *chain){
		"the first one was delivered": func(c *chain) { c.answered(outbox.Delivered, false, time.Time{}, noon) },
		"it had a row already":        func(c *chain) { c.shed(noon) },
		"all that was found is gone": func(c *chain) {
			c.head, c.read = nil, 1
			c.restore(nil)
		},
	} {
		cs := newChains()
		cs.sweep = newSweep(noon)
		c := &chain{key: "k", rows: 2, head: numbered(1), at: unplanned, written: true}
		c.head.phase = queued
		cs.byKey["k"] = c
		change(c)
		require.Equal(t, c.next, cs.settle(c), name)
		require.Same(t, c, cs.byKey["k"], name)
	}
	// Where they are too many all the same, what waits is looked through.
	cs := newChains()
	cs.sweep = newSweep(noon)
	cs.sweep.unblockedTo(ledger.DuePlace{}, true, noon)
	c := &chain{key: "k", rows: 1, at: unplanned}
	cs.byKey["k"] = c
	cs.settle(c)
	require.True(t, cs.shrink(0))
	_, unblocks := cs.sweep.unblocks(noon, time.Hour)
	require.True(t, unblocks)
	require.True(t, cs.sweep.again)
}

func TestChains_claimKeysThatNobodyKnows(t *testing.T) {
	t.Parallel()
	cs := newChains()
	known := cs.of("known")
	cs.sweep = newSweep(noon)
	var rows []ledger.DueKey
	for i, key := range []string{"known", "a", "", "a", "b", "c"} {
		rows = append(rows, ledger.DueKey{Key: key, DuePlace: at(noon, outbox.LSN(i+1))})
	}
	keys, place, all := cs.claim(rows, 2)
	require.Equal(t, []string{"a", "b"}, keys)
	require.Equal(t, at(noon, 5), place)
	require.False(t, all)
	require.Same(t, known, cs.byKey["known"])
	require.Equal(t, inTable, cs.of("a").join(numbered(1)))
	keys, place, all = cs.claim(rows, 10)
	require.Equal(t, []string{"c"}, keys)
	require.Equal(t, at(noon, 6), place)
	require.True(t, all)
}

func TestSweep_goesBackToWhatWasForgotten(t *testing.T) {
	t.Parallel()
	s := newSweep(noon)
	s.passed(at(after(time.Minute), 7), true)
	require.Equal(t, at(after(time.Minute), 7), s.place())
	s.forgot(after(time.Hour))
	require.Equal(t, at(after(time.Minute), 7), s.place(), "it has not been there")
	s.forgot(after(time.Minute + 300*time.Nanosecond))
	require.Equal(t, at(after(time.Minute), 0), s.place(), "the table has no nanoseconds")
	s.passed(at(after(time.Minute), 9), true)
	s.forgot(after(time.Second))
	s.forgot(after(2 * time.Second))
	s.passed(at(after(time.Hour), 9), true)
	require.Equal(t, at(after(time.Second), 0), s.place(), "forgotten while the table was read")
	require.Equal(t, at(after(time.Second), 0), s.place())
}

func TestSweep_beginsAnewOnceSomebodyChangedTheTable(t *testing.T) {
	t.Parallel()
	s := newSweep(noon)
	require.True(t, s.passed(at(noon, 1), false))
	require.False(t, s.passed(at(noon, 2), true))
	s.stir()
	require.True(t, s.passed(at(noon, 3), false))
	require.Equal(t, at(noon, 3), s.place(), "not in the middle")
	require.True(t, s.passed(at(noon, 4), true))
	require.Equal(t, ledger.DuePlace{}, s.place())
	require.False(t, s.passed(at(noon, 4), true))
}

func TestSweep_unblocksAtFirstAndOnceThereIsAReason(t *testing.T) {
	t.Parallel()
	s := newSweep(noon)
	from, yes := s.unblocks(noon, time.Hour)
	require.True(t, yes)
	require.Zero(t, from)
	s.unblockedTo(at(time.Time{}, 3), false, noon)
	from, yes = s.unblocks(noon, time.Hour)
	require.True(t, yes)
	require.Equal(t, at(time.Time{}, 3), from)
	s.stir() // something that it may have passed already
	s.unblockedTo(at(time.Time{}, 5), true, noon)
	from, yes = s.unblocks(noon, time.Hour)
	require.True(t, yes)
	require.Zero(t, from)
	s.unblockedTo(at(time.Time{}, 5), true, noon)
	_, yes = s.unblocks(after(time.Minute), time.Hour)
	require.False(t, yes)
	_, yes = s.unblocks(after(time.Hour), time.Hour)
	require.True(t, yes, "now and then without a reason")
}
