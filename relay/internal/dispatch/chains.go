package dispatch

import (
	"container/heap"
	"time"

	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// chains are the ordered keys of a lane of which anything is in memory, uncommitted, or pending in
// the table. Those whose rows can be brought back are found by when they are due, however many
// there are.
//
// Where the table has rows of more keys than are worth their memory, they are not all of them: a
// sweep finds the others as they come due, and a chain that the table tells all about is forgotten.
// A key that is unknown may have rows then, so a fresh delivery of it is parked behind them.
type chains struct {
	byKey map[string]*chain
	byDue dueHeap[*chain]
	sweep *sweep // nil: every key that has rows is among them
	bound int    // of byKey, beyond which chains are forgotten
	// reading says that the table is asked for all keys: what is forgotten meanwhile might be
	// missing in the answer.
	reading bool
}

func newChains() *chains { return &chains{byKey: make(map[string]*chain)} }

// of returns the chain of a key, which may be new.
func (cs *chains) of(key string) *chain {
	c := cs.byKey[key]
	if c == nil {
		c = &chain{key: key, at: unplanned}
		if cs.sweep != nil {
			c.rows, c.unsure = 1, true
		}
		cs.byKey[key] = c
	}
	return c
}

// settle plans what is to be brought back of an idle chain and says when; zero: it has no rows, or
// it is not idle. An empty chain is forgotten, and so is one that the sweep finds.
func (cs *chains) settle(c *chain) time.Time {
	switch {
	case cs.byKey[c.key] != c: // it is one of before a change of the ordering
	case c.asked || !c.resting():
		cs.unplan(c)
	case c.onHold:
		cs.unplan(c)
		if cs.sweep != nil && !cs.reading {
			delete(cs.byKey, c.key)
		}
	case c.rows > 0 && c.written && cs.sweep != nil && !cs.reading:
		cs.unplan(c)
		delete(cs.byKey, c.key)
		cs.sweep.forgot(c.next)
		return c.next
	case c.rows > 0:
		cs.plan(c)
		return c.next
	default:
		cs.unplan(c)
		delete(cs.byKey, c.key)
	}
	return time.Time{}
}

// plan puts a chain on the due heap, at its time.
func (cs *chains) plan(c *chain) {
	if c.at == unplanned {
		heap.Push(&cs.byDue, c)
		return
	}
	heap.Fix(&cs.byDue, c.at)
}

func (cs *chains) unplan(c *chain) {
	if c.at != unplanned {
		heap.Remove(&cs.byDue, c.at)
	}
}

// due takes up to limit chains off the due heap whose rows can be brought back, and says when the
// next one is due.
func (cs *chains) due(now time.Time, limit int) (keys []string, next time.Time) {
	if cs == nil {
		return nil, time.Time{}
	}
	for len(cs.byDue) > 0 {
		c := cs.byDue[0]
		switch {
		case !c.idle() || c.rows == 0:
			cs.unplan(c) // settle plans it again
		case c.next.After(now):
			return keys, c.next
		case len(keys) == limit:
			return keys, now
		default:
			cs.unplan(c)
			keys = append(keys, c.key)
			c.read, c.asked = c.rows, true
		}
	}
	return keys, time.Time{}
}

// shrink forgets every chain that nothing is in memory of, if there are more of them than most, and
// reports whether it did.
func (cs *chains) shrink(most int) bool {
	if cs.reading || len(cs.byKey) <= max(cs.bound, most) {
		return false
	}
	var forgotten []*chain
	for _, c := range cs.byKey {
		if c.resting() && !c.asked && (c.onHold || c.rows > 0) {
			forgotten = append(forgotten, c)
		}
	}
	if len(forgotten) > 0 && cs.sweep == nil {
		cs.sweep = newSweep(time.Now())
	}
	for _, c := range forgotten {
		cs.unplan(c)
		delete(cs.byKey, c.key)
		switch {
		case c.onHold: // as long as nobody changes the table
		case c.written:
			cs.sweep.forgot(c.next)
		default:
			cs.sweep.stir()
		}
	}
	cs.bound = len(cs.byKey) + most
	return len(forgotten) > 0
}

// share returns how many of most chains that are brought back may be those on the due heap: with
// very many of these a part is for what a sweep finds, which may wait for longer.
func (cs *chains) share(most int) int {
	if cs.sweep != nil {
		return max(1, most-most/4)
	}
	return most
}

// claim takes up to most keys of due rows that no chain is known of, for their rows to be brought
// back, and returns the place of the last row that it has seen; all: that was the last one of them.
func (cs *chains) claim(rows []ledger.DueKey, most int) (keys []string, at ledger.DuePlace, all bool) {
	for i := range rows {
		if len(keys) == most {
			return keys, at, false
		}
		row := &rows[i]
		at = row.DuePlace
		if row.Key == "" || cs.byKey[row.Key] != nil {
			continue
		}
		cs.byKey[row.Key] = &chain{key: row.Key, rows: 1, read: 1, asked: true, next: row.DueAt, written: true, at: unplanned}
		keys = append(keys, row.Key)
	}
	return keys, at, true
}

// answered notes that the table was asked for the rows of a key, or could not be, and returns its
// chain; nil: there is none any more.
func (cs *chains) answered(key string) *chain {
	if cs == nil || cs.byKey[key] == nil {
		return nil
	}
	c := cs.byKey[key]
	c.asked = false
	return c
}

// begin notes what the table has when the lane begins.
func (cs *chains) begin(heads []ledger.KeyHead, now time.Time) {
	for i := range heads {
		c := cs.of(heads[i].Key)
		c.rows = 1
		c.next, c.written = headDue(&heads[i], now)
		cs.settle(c)
	}
}

// headDue returns when a head is due, and whether the table says so: one that waits for another
// before it has none any more.
func headDue(h *ledger.KeyHead, now time.Time) (at time.Time, written bool) {
	if h.NextAttemptAt.IsZero() {
		return now, false
	}
	return h.NextAttemptAt, true
}

// stir notes that somebody else has changed the table, where not all keys are known.
func (cs *chains) stir(now time.Time) {
	cs.release(now)
	cs.sweep.stir()
}

// release has every chain that is on hold ask for its rows, which tells whether it still is.
func (cs *chains) release(now time.Time) {
	for _, c := range cs.byKey {
		if c.onHold {
			c.onHold, c.rows, c.next, c.written = false, max(c.rows, 1), now, false
			cs.settle(c)
		}
	}
}

// reread notes what the table has once somebody else has changed it. What the heads stand for
// may be in memory, or known already: a chain that is said to have rows where there are none asks
// for them when it is done with the others.
func (cs *chains) reread(heads []ledger.KeyHead, now time.Time) {
	cs.release(now)
	for i := range heads {
		c := cs.of(heads[i].Key)
		if next, written := headDue(&heads[i], now); c.rows == 0 || next.Before(c.next) {
			c.next, c.written = next, written
		}
		c.rows++
		cs.settle(c)
	}
}

// clear forgets what every chain has, for a lane whose endpoint is gone.
func (cs *chains) clear() {
	if cs == nil {
		return
	}
	for _, c := range cs.byKey {
		c.head, c.riders, c.wait, c.rows, c.at = nil, nil, nil, 0, unplanned
	}
	cs.byDue = nil
}

func (c *chain) due() time.Time { return c.next }
func (c *chain) moved(to int)   { c.at = to }
