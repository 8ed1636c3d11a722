package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// chains are the ordered keys of a lane of which anything is in memory, uncommitted, or pending in the table.
type chains map[string]*chain

// of returns the chain of a key, which may be new.
func (cs chains) of(key string) *chain {
	c := cs[key]
	if c == nil {
		c = &chain{key: key}
		cs[key] = c
	}
	return c
}

// settle says when an idle chain's rows are due; zero: it has none, or it is not idle. An empty chain is forgotten.
func (cs chains) settle(c *chain) time.Time {
	switch {
	case !c.idle():
	case c.rows > 0:
		return c.next
	case cs[c.key] == c: // not so after a change of the ordering
		delete(cs, c.key)
	}
	return time.Time{}
}

// due names up to limit chains whose rows can be brought back, and says when the next one is due.
func (cs chains) due(now time.Time, limit int) (keys []string, next time.Time) {
	for key, c := range cs {
		switch {
		case !c.idle() || c.rows == 0:
		case c.next.After(now):
			next = pace.Sooner(next, c.next)
		case len(keys) < limit:
			keys = append(keys, key)
			c.read = c.rows
		default:
			next = now
		}
	}
	return keys, next
}

// begin takes in what the table has when the lane begins.
func (cs chains) begin(heads []ledger.Head, now time.Time) {
	for _, h := range heads {
		// A head that waits for one before it has none any more: it is due.
		cs[h.Key] = &chain{key: h.Key, rows: int(h.Count), next: pace.Later(h.NextAttemptAt, now)}
	}
}

// reread takes in what the table has once somebody else has changed it. What the heads count may be in memory, or counted
// already: a chain that is said to have more rows than there are asks for them when it is done with the others, and then has
// none.
func (cs chains) reread(heads []ledger.Head, now time.Time) {
	for _, c := range cs {
		if c.onHold {
			// Perhaps not any more: loading its rows tells.
			c.onHold, c.rows, c.next = false, max(c.rows, 1), now
		}
	}
	for _, h := range heads {
		c := cs.of(h.Key)
		if next := pace.Later(h.NextAttemptAt, now); c.rows == 0 || next.Before(c.next) {
			c.next = next
		}
		c.rows += int(h.Count)
	}
}

// clear forgets what every chain has, for a lane whose endpoint is gone.
func (cs chains) clear() {
	for _, c := range cs {
		c.head, c.wait, c.rows = nil, nil, 0
	}
}
