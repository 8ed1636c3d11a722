package dispatch

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/retry"
)

// laneOf returns a lane with these chains, of which it keeps two at most, and nobody who loads any.
func laneOf(list ...*chain) *lane {
	d := &Dispatcher{laneKeys: 2}
	d.loader = newLoader(d)
	l := &lane{d: d, id: "ep_1", chains: planned(list...), reloads: pace.Backoff{Least: time.Second, Most: time.Minute}}
	l.policy.ordering, l.policy.terms = config.OrderingKey, &terms{}
	return l
}

// TestLane_forgetsNoKeyWhileTheirHeadsAreRead: the answer may lack one. Once there is one, or none
// comes, it does, and looks for what it has forgotten.
func TestLane_forgetsNoKeyWhileTheirHeadsAreRead(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(l *lane, p rereadPlan){
		"that failed":    func(l *lane, _ rereadPlan) { l.cancelReread(true) },
		"there is more":  func(l *lane, _ rereadPlan) { l.cancelReread(false) },
		"that succeeded": func(l *lane, p rereadPlan) { l.finishReread(p, nil, false, noon) },
	} {
		var list []*chain
		for i := range 5 {
			list = append(list, &chain{key: fmt.Sprint(i), rows: 1, next: after(time.Hour), written: true})
		}
		l := laneOf(list...)
		l.reread = true
		p, ok := l.planReread()
		require.True(t, ok, name)
		l.shrink()
		require.Len(t, l.chains.byKey, 5, name)
		end(l, p)
		l.nextDue = time.Time{}
		l.shrink()
		require.Empty(t, l.chains.byKey, name)
		require.False(t, l.nextDue.IsZero(), name)
	}
}

// What a dead one holds may be let go by whoever changed the table, however many keys that has.
func TestLane_asksForWhatIsHeldOfTooManyKeys(t *testing.T) {
	t.Parallel()
	held := &chain{key: "held", onHold: true}
	l := laneOf(held)
	l.finishReread(rereadPlan{}, nil, true, noon)
	require.False(t, held.onHold)
	keys, _ := l.chains.due(noon, 1)
	require.Equal(t, []string{"held"}, keys)
}

// A table that could be read is asked again soon, should it fail another time.
func TestLane_rereadsSoonAfterAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := laneOf()
		failed := func() time.Duration {
			l.d.loader = newLoader(l.d)
			l.cancelReread(true)
			return time.Until(l.d.loader.index[l].at)
		}
		require.Equal(t, time.Second, failed())
		require.Equal(t, 2*time.Second, failed())
		l.finishReread(rereadPlan{}, nil, false, time.Now())
		require.Equal(t, time.Second, failed())
	})
}

// What nothing blocks is looked for again after a table that failed had a rest.
func TestLane_unblocksAgainAfterAPause(t *testing.T) {
	t.Parallel()
	l := laneOf()
	l.chains.sweep = newSweep(noon)
	_, generation, ok := l.planUnblock(noon)
	require.True(t, ok)
	l.finishUnblock(generation, ledger.DuePlace{}, false, true, noon)
	require.Equal(t, after(unblockPause), l.nextDue)
	_, _, ok = l.planUnblock(after(unblockPause - 1))
	require.False(t, ok)
	_, _, ok = l.planUnblock(after(unblockPause))
	require.True(t, ok)
}

// crowded is a table with as many rows of each key, and without one, as are asked for.
type crowded struct {
	Ledger

	most    int // of a key
	unkeyed int // that were asked for; 0: none
}

func (c *crowded) InKeyOrder(_ context.Context, _ string, keys []string, most int, _ bool) ([]outbox.Delivery, bool, error) {
	c.most = most
	return make([]outbox.Delivery, most*len(keys)), false, nil
}

func (c *crowded) Page(_ context.Context, q ledger.PageQuery) (ledger.Page, error) {
	c.unkeyed = q.Limit
	return ledger.Page{Deliveries: make([]outbox.Delivery, q.Limit)}, nil
}

// One key takes so much of what is brought back and no more, and all of it is never more than there
// is room for.
func TestLane_bringsBackSoMuchOfAKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ keys, limit, most, unkeyed int }{
		"one key":       {1, 5 * loadChain, loadChain, 4 * loadChain},
		"as many":       {3, 6, 2, 0},
		"with a rest":   {3, 7, 2, 1},
		"room for one":  {1, 1, 1, 0},
		"without a key": {0, 5, 0, 5},
	} {
		l, table := laneOf(), &crowded{}
		l.d.ledger = table
		p := &loadPlan{now: noon, ordering: config.OrderingKey, limit: c.limit, keys: make([]string, c.keys)}
		f, err := l.query(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, crowded{most: c.most, unkeyed: c.unkeyed}, *table, name)
		require.Len(t, f.rows, c.limit, name)
		require.Equal(t, c.unkeyed == 0, f.next.Equal(noon), "the rest is for the next look: %s", name)
	}
}

// The loader's timer uses the monotonic clock, which stops while the machine sleeps: it is short,
// and what is due depends on the wall clock.
func TestLoader_looksAgainThoughNothingIsDueForLong(t *testing.T) {
	t.Parallel()
	l := laneOf()
	now := time.Now()
	ld := l.d.loader
	dl := &delivery{ev: &event{Event: outbox.Event{ID: "e1"}}, lane: l}
	it := l.outcome(dl, &outbox.Attempt{}, retry.Decision{Outcome: outbox.Retry, Next: now.Add(2 * time.Hour)}, now)
	l.noteDue(it.next)
	got, wait := ld.next(now)
	require.Nil(t, got)
	require.Equal(t, time.Minute, wait)
	got, wait = ld.next(now.Add(2*time.Hour - time.Second))
	require.Nil(t, got)
	require.Equal(t, time.Second, wait.Round(time.Second))
	got, _ = ld.next(now.Add(2 * time.Hour).Round(0))
	require.Same(t, l, got)
	require.NotContains(t, it.next.String(), "m=", "it is no time of the clock that stands")
}
