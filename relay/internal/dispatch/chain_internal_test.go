package dispatch

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

func TestChainKey_whoWaitsForWhom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ordering config.Ordering
		key      string
		chain    string
		ordered  bool
	}{
		{config.OrderingNone, "k", "", false},
		{config.OrderingKey, "k", "k", true},
		{config.OrderingKey, "", "", false},
		{config.OrderingStrict, "k", "", true},
		{config.OrderingStrict, "", "", true},
	} {
		chain, ordered := chainKey(test.ordering, test.key)
		require.Equal(t, test.chain, chain, test)
		require.Equal(t, test.ordered, ordered, test)
	}
}

// planned are chains that were settled.
func planned(list ...*chain) *chains {
	cs := newChains()
	for _, c := range list {
		c.at = unplanned
		cs.byKey[c.key] = c
		cs.settle(c)
	}
	return cs
}

// linked is a chain whose head is in flight or queued, and n more behind it.
func linked(p phase, n int) (c *chain, all []*delivery) {
	c = &chain{key: "k"}
	for i := range n + 1 {
		dl := numbered(i)
		c.join(dl)
		all = append(all, dl)
	}
	c.head.phase = p
	return c, all
}

func TestChain_oneAtATimeInOrder(t *testing.T) {
	t.Parallel()
	c := &chain{}
	require.Equal(t, atHead, c.join(numbered(0)))
	require.Equal(t, inMemory, c.join(numbered(1)))
	require.Equal(t, inMemory, c.join(numbered(2)))
	for i := 1; i <= 2; i++ {
		following, spilled := c.answered(outbox.Delivered, false, time.Time{}, noon)
		require.Equal(t, numbered(i).ev.ID, following.ev.ID)
		require.Empty(t, spilled)
	}
	following, _ := c.answered(outbox.Delivered, false, time.Time{}, noon)
	require.Nil(t, following)
	require.True(t, c.idle())
	require.Equal(t, atHead, c.join(numbered(3)))
}

func TestChain_memoryNeverOvertakesTheTable(t *testing.T) {
	t.Parallel()
	c, all := linked(inFlight, 2)
	following, spilled := c.answered(outbox.Retry, false, after(time.Minute), noon)
	require.Nil(t, following, "what failed is tried again first")
	require.Equal(t, all[1:], spilled)
	require.Equal(t, 3, c.rows)
	require.Equal(t, after(time.Minute), c.next)
	require.Equal(t, inTable, c.join(numbered(3)))
	require.Zero(t, c.behind(noon), "it waits for those before it")
	require.Equal(t, 4, c.rows)
	require.Equal(t, after(time.Minute), c.next)
}

func TestChain_theDeadLetGoOrHold(t *testing.T) {
	t.Parallel()
	c, all := linked(inFlight, 1)
	following, _ := c.answered(outbox.Dead, false, time.Time{}, noon)
	require.Same(t, all[1], following)

	c, all = linked(inFlight, 1)
	following, spilled := c.answered(outbox.Dead, true, time.Time{}, noon)
	require.Nil(t, following)
	require.Equal(t, all[1:], spilled)
	require.False(t, c.idle(), "until a person resends or discards it")
	require.Equal(t, inTable, c.join(numbered(5)))
	require.Zero(t, c.behind(noon))

	c, _ = linked(inFlight, 0)
	c.answered(outbox.Dead, true, time.Time{}, noon)
	require.Equal(t, inTable, c.join(numbered(5)), "the first behind it")
	require.Zero(t, c.behind(noon))
}

// TestChain_noRowBeforeThatOfAnEarlierOne: after a crash the rows are sent as soon as they are
// found, and what has none only when the stream brings it again.
func TestChain_noRowBeforeThatOfAnEarlierOne(t *testing.T) {
	t.Parallel()
	c, all := linked(inFlight, 1)
	all[0].fresh = true
	require.Same(t, all[0], c.rootless())
	all[0].fresh = false
	require.Nil(t, c.rootless(), "it has a row")
	require.Nil(t, (&chain{}).rootless())
}

func TestChain_shedsAllButWhatIsInFlight(t *testing.T) {
	t.Parallel()
	c, all := linked(queued, 2)
	head, spilled := c.shed(after(time.Minute))
	require.Same(t, all[0], head)
	require.Equal(t, all[1:], spilled)
	require.Equal(t, 3, c.rows)
	require.Equal(t, after(time.Minute), c.next)
	require.True(t, c.idle())

	c, all = linked(inFlight, 2)
	head, spilled = c.shed(after(time.Minute))
	require.Nil(t, head)
	require.Equal(t, all[1:], spilled)
	require.Equal(t, 2, c.rows)
	require.False(t, c.idle())
}

func TestChain_aRowOfItsOwnIsDueAtItsTime(t *testing.T) {
	t.Parallel()
	c := &chain{}
	require.Equal(t, noon, c.behind(noon), "nothing is before it")
	require.Zero(t, c.behind(noon))
	require.Equal(t, noon, c.next)

	c, _ = linked(inFlight, 0)
	require.Zero(t, c.behind(noon), "one in flight is before it")
}

func TestChain_isReadOnlyWhenTheTableTellsAllOfIt(t *testing.T) {
	t.Parallel()
	require.True(t, (&chain{}).idle())
	for name, c := range map[string]*chain{
		"something is in memory":   {head: numbered(1)},
		"something is uncommitted": {uncommitted: 1},
		"a dead one holds it":      {onHold: true},
	} {
		c.rows = 5
		require.False(t, c.idle(), name)
		require.Empty(t, c.restore(&links{due: []*delivery{numbered(1)}}), name)
		keys, next := planned(c).due(noon, 10)
		require.Empty(t, keys, name)
		require.Zero(t, next, name)
	}
	c := &chain{key: "k", rows: 1, next: noon}
	cs := planned(c)
	c.behind(noon)
	c.uncommitted++
	keys, next := cs.due(noon, 10)
	require.Empty(t, keys, "something was parked behind it since it was planned")
	require.Zero(t, next)
	c.uncommitted--
	require.Equal(t, noon, cs.settle(c))
	keys, _ = cs.due(noon, 10)
	require.Equal(t, []string{"k"}, keys)
}

func TestChain_goesOnWithItsRows(t *testing.T) {
	t.Parallel()
	c := &chain{rows: 5, read: 5}
	found := &links{due: []*delivery{numbered(1), numbered(2)}, more: true}
	require.Equal(t, found.due, c.restore(found))
	require.Same(t, found.due[0], c.head)
	require.Positive(t, c.rows, "the others stay")
	require.Equal(t, inTable, c.join(numbered(3)))
	following, _ := c.answered(outbox.Delivered, false, time.Time{}, noon)
	require.Same(t, found.due[1], following)
}

// TestChain_keepsWhatWasParkedWhileItsRowsWereRead: the answer may be older than the last rows.
func TestChain_keepsWhatWasParkedWhileItsRowsWereRead(t *testing.T) {
	t.Parallel()
	c := &chain{key: "k", rows: 2, next: noon}
	keys, _ := planned(c).due(noon, 1)
	require.Equal(t, []string{"k"}, keys)
	c.behind(noon)
	require.Empty(t, c.restore(nil))
	require.Equal(t, 1, c.rows)
	require.Equal(t, inTable, c.join(numbered(9)))
}

func TestChain_waitsForTheTimeInItsRow(t *testing.T) {
	t.Parallel()
	c := &chain{rows: 2, next: noon}
	require.Empty(t, c.restore(&links{next: after(time.Hour)}))
	require.Equal(t, after(time.Hour), c.next)
	require.Equal(t, 2, c.rows)
}

func TestLinks_endWhereTheOrderDoes(t *testing.T) {
	t.Parallel()
	revive := func(row *outbox.Delivery) *delivery { return &delivery{ev: &event{Event: row.Event}} }
	row := func(id string, next time.Time, state outbox.State) *outbox.Delivery {
		return &outbox.Delivery{Event: outbox.Event{ID: id}, NextAttemptAt: next, State: state}
	}
	for name, test := range map[string]struct {
		second *outbox.Delivery
		onHold bool
		next   time.Time
	}{
		"a dead one holds":       {row("2", time.Time{}, outbox.StateDead), true, time.Time{}},
		"one that is not due":    {row("2", after(time.Second), outbox.Pending), false, after(time.Second)},
		"one that is due at all": {row("2", noon, outbox.Pending), false, time.Time{}},
	} {
		k := &links{}
		k.add(row("1", time.Time{}, outbox.Pending), noon, 4, revive)
		k.add(test.second, noon, 4, revive)
		k.add(row("3", noon, outbox.Pending), noon, 4, revive)
		require.Equal(t, test.onHold || !test.next.IsZero(), k.more, name)
		require.Equal(t, test.onHold, k.onHold, name)
		require.Equal(t, test.next, k.next, name)
		if test.onHold || !test.next.IsZero() {
			require.Len(t, k.due, 1, name)
		} else {
			require.Len(t, k.due, 3, name)
		}
	}
}

func TestChains_forgetsWhatIsEmpty(t *testing.T) {
	t.Parallel()
	cs := newChains()
	c := cs.of("k")
	require.Same(t, c, cs.of("k"))
	c.rows, c.next = 1, noon
	require.Equal(t, noon, cs.settle(c))
	c.uncommitted = 1
	require.Zero(t, cs.settle(c))
	c.uncommitted, c.rows = 0, 0
	former := *c
	require.Zero(t, cs.settle(c))
	require.Empty(t, cs.byKey)
	other := cs.of("k")
	cs.settle(&former)
	require.Same(t, other, cs.byKey["k"], "another chain of that key is none of its business")
}

func TestChains_areDueInTurn(t *testing.T) {
	t.Parallel()
	cs := planned(
		&chain{key: "due", rows: 1, next: noon}, &chain{key: "later", rows: 1, next: after(time.Hour)},
		&chain{key: "much later", rows: 1, next: after(2 * time.Hour)},
	)
	keys, next := cs.due(noon, 10)
	require.Equal(t, []string{"due"}, keys)
	require.Equal(t, after(time.Hour), next)
	keys, next = cs.due(after(2*time.Hour), 1)
	require.Equal(t, []string{"later"}, keys, "the one that waits longest")
	require.Equal(t, after(2*time.Hour), next, "there is more to do now")
	keys, _ = cs.due(noon, 10)
	require.Empty(t, keys, "what is being read is not read twice")
	require.Zero(t, cs.settle(cs.byKey["due"]), "nor planned meanwhile")
	require.Equal(t, noon, cs.settle(cs.answered("due")), "it was not read after all")
	keys, _ = cs.due(noon, 10)
	require.Equal(t, []string{"due"}, keys)
}

// TestChains_findWhatIsDue: however keys come, go, wait and fail, what is due is what a look at all
// of them finds.
func TestChains_findWhatIsDue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cs := newChains()
		key := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			c := cs.of(key.Draw(t, "key"))
			c.rows = rapid.IntRange(0, 2).Draw(t, "rows")
			c.uncommitted = rapid.IntRange(0, 1).Draw(t, "uncommitted")
			c.next = after(time.Duration(rapid.IntRange(0, 10).Draw(t, "due")) * time.Second)
			cs.settle(c)
			now := after(time.Duration(rapid.IntRange(0, 10).Draw(t, "now")) * time.Second)
			var want []string
			for k, c := range cs.byKey {
				if c.idle() && c.rows > 0 && !c.next.After(now) {
					want = append(want, k)
				}
			}
			keys, _ := cs.due(now, 10)
			require.ElementsMatch(t, want, keys)
			for _, k := range keys {
				cs.settle(cs.answered(k))
			}
		}
	})
}

func TestChains_takeInWhatOthersChanged(t *testing.T) {
	t.Parallel()
	chains := planned(&chain{key: "held", onHold: true}, &chain{key: "known", rows: 2, next: after(time.Hour)})
	cs := chains.byKey
	chains.reread([]ledger.KeyHead{
		{Key: "new", NextAttemptAt: after(time.Minute)},
		{Key: "known", NextAttemptAt: noon.Add(-time.Hour)},
		{Key: "waits"},
	}, noon)
	require.False(t, cs["held"].onHold)
	require.Equal(t, 1, cs["held"].rows, "loading its rows tells")
	require.Equal(t, 1, cs["new"].rows)
	require.Equal(t, after(time.Minute), cs["new"].next)
	require.Equal(t, 3, cs["known"].rows)
	require.Equal(t, noon.Add(-time.Hour), cs["known"].next)
	require.Equal(t, noon, cs["waits"].next, "a head has nothing left to wait for")
}

// TestRestore_remembersATimeThatNoRowHas: a sweep finds keys by the times of their rows, and would
// not find this one.
func TestRestore_remembersATimeThatNoRowHas(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	cs := newChains()
	cs.sweep = newSweep(now)
	c := cs.of("k")
	c.rows, c.read = 1, 1
	var found links
	found.add(&outbox.Delivery{State: outbox.Pending, Event: outbox.Event{DeliverAt: now.Add(time.Hour)}}, now, 16, nil)
	require.Empty(t, c.restore(&found))
	require.Equal(t, now.Add(time.Hour), cs.settle(c))
	require.Contains(t, cs.byKey, "k")

	c.read = c.rows
	found = links{}
	found.add(&outbox.Delivery{State: outbox.Pending, NextAttemptAt: now.Add(time.Hour)}, now, 16, nil)
	require.Empty(t, c.restore(&found))
	cs.settle(c)
	require.NotContains(t, cs.byKey, "k", "the sweep finds it")
}
