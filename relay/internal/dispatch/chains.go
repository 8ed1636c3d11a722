package dispatch

import (
	"container/heap"
	"time"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// chains are the ordered keys of a lane of which anything is in memory, uncommitted, or pending in
// the table. Those whose rows can be brought back are found by when they are due, however many
// there are.
type chains struct {
	byKey  map[string]*chain
	agenda agenda[*chain]
}

func newChains() *chains { return &chains{byKey: make(map[string]*chain)} }

// of returns the chain of a key, which may be new.
func (cs *chains) of(key string) *chain {
	c := cs.byKey[key]
	if c == nil {
		c = &chain{key: key, at: unplanned}
		cs.byKey[key] = c
	}
	return c
}

// settle plans what is to be brought back of an idle chain and says when; zero: it has no rows, or
// it is not idle. An empty chain is forgotten.
func (cs *chains) settle(c *chain) time.Time {
	switch {
	case cs.byKey[c.key] != c: // it is one of before a change of the ordering
	case !c.idle():
		cs.unplan(c)
	case c.rows > 0:
		cs.plan(c)
		return c.next
	default:
		cs.unplan(c)
		delete(cs.byKey, c.key)
	}
	return time.Time{}
}

// plan puts a chain on the agenda, at its time.
func (cs *chains) plan(c *chain) {
	if c.at == unplanned {
		heap.Push(&cs.agenda, c)
		return
	}
	heap.Fix(&cs.agenda, c.at)
}

func (cs *chains) unplan(c *chain) {
	if c.at != unplanned {
		heap.Remove(&cs.agenda, c.at)
	}
}

// due takes up to limit chains off the agenda whose rows can be brought back, and says when the
// next one is due.
func (cs *chains) due(now time.Time, limit int) (keys []string, next time.Time) {
	if cs == nil {
		return nil, time.Time{}
	}
	for len(cs.agenda) > 0 {
		c := cs.agenda[0]
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
			c.read = c.rows
		}
	}
	return keys, time.Time{}
}

// begin notes what the table has when the lane begins.
func (cs *chains) begin(heads []ledger.KeyHead, now time.Time) {
	for _, h := range heads {
		c := cs.of(h.Key)
		// A head that waits for one before it has none any more: it is due.
		c.rows, c.next = int(h.Count), pace.Later(h.NextAttemptAt, now)
		cs.settle(c)
	}
}

// reread notes what the table has once somebody else has changed it. What the heads count may be in
// memory, or counted already: a chain that is said to have more rows than there are asks for them
// when it is done with the others, and then has none.
func (cs *chains) reread(heads []ledger.KeyHead, now time.Time) {
	for _, c := range cs.byKey {
		if c.onHold {
			// Perhaps not any more: loading its rows tells.
			c.onHold, c.rows, c.next = false, max(c.rows, 1), now
			cs.settle(c)
		}
	}
	for _, h := range heads {
		c := cs.of(h.Key)
		if next := pace.Later(h.NextAttemptAt, now); c.rows == 0 || next.Before(c.next) {
			c.next = next
		}
		c.rows += int(h.Count)
		cs.settle(c)
	}
}

// clear forgets what every chain has, for a lane whose endpoint is gone.
func (cs *chains) clear() {
	if cs == nil {
		return
	}
	for _, c := range cs.byKey {
		c.head, c.wait, c.rows, c.at = nil, nil, 0, unplanned
	}
	cs.agenda = nil
}

func (c *chain) due() time.Time { return c.next }
func (c *chain) moved(to int)   { c.at = to }
