package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// chain is one ordered key of a lane. At most one of its deliveries is queued or in flight; later ones wait behind it, in
// memory or, once any of them had to be parked, in the table, where commit order is (commit_lsn, seq).
//
// Two rules keep the order. While rows > 0 every fresh delivery of the key is parked too, so that memory never overtakes
// the table. And no delivery gets a row before all earlier ones of its key have one, not even before one in flight: after
// a crash the rows are sent as soon as they are found, and an earlier delivery without a row only when the stream brings
// it again.
type chain struct {
	key  string
	head *delivery   // queued or in flight; nil: none
	wait []*delivery // behind head
	rows int         // pending rows of the key that are not in memory, committed or not
	read int         // what rows was when the table was last asked for them; more were parked since
	next time.Time   // with rows > 0 and no head: when the first of them is due
	held bool        // a dead delivery holds all of it until a person resends or discards that
	// uncommitted counts the items of this key that the recorder has not committed; the table is read only when
	// there is none.
	uncommitted int
}

// chainFor returns the chain of an ordered delivery, or nil.
func (l *lane) chainFor(dl *delivery) *chain {
	key, ok := chainKey(l.policy.ordering, dl.ev.Key)
	if !ok {
		return nil
	}
	c := l.chains[key]
	if c == nil {
		c = &chain{key: key}
		l.chains[key] = c
	}
	dl.chain = c
	return c
}

// chainKey names the chain that an event with this key belongs to, if any.
func chainKey(ordering config.Ordering, key string) (string, bool) {
	switch ordering {
	case config.OrderingKey:
		return key, key != ""
	case config.OrderingStrict:
		return "", true
	case config.OrderingNone:
	}
	return "", false
}

// takeOrdered takes a fresh delivery of a chain.
func (l *lane) takeOrdered(c *chain, dl *delivery) {
	switch {
	case c.rows > 0 || c.held:
		l.parkBehind(c, dl, outbox.ReasonOrder, dl.since)
	case c.head != nil:
		dl.phase = waiting
		l.fresh.push(dl)
		c.wait = append(c.wait, dl)
	default:
		l.fresh.push(dl)
		c.head = dl
		l.enqueue(dl)
	}
}

// parkBehind writes a delivery to the table, behind all of its chain.
func (l *lane) parkBehind(c *chain, dl *delivery, reason outbox.Reason, next time.Time) {
	if c.head != nil {
		l.root(c)
		l.shedWaiting(c, reason)
	}
	if c.head != nil || c.rows > 0 || c.held {
		next = time.Time{}
	} else {
		c.next = next
	}
	c.rows++
	dl.phase = gone
	l.hand(item{kind: itemPark, dl: dl, reason: reason, next: next})
}

// advance lets the chain go on after its head was answered.
func (l *lane) advance(c *chain, outcome outbox.Outcome, next, now time.Time) {
	c.head = nil
	if outcome == outbox.Retry {
		// The head keeps its place: it is a row now, and what waited is written behind it.
		c.rows++
		c.next = next
		l.shedWaiting(c, outbox.ReasonOrder)
		return
	}
	if outcome == outbox.Dead && l.policy.onDead == config.OnDeadHold {
		c.held = true
		l.shedWaiting(c, outbox.ReasonOrder)
		return
	}
	if len(c.wait) > 0 {
		c.head = c.wait[0]
		c.wait[0] = nil
		c.wait = c.wait[1:]
		l.enqueue(c.head)
		return
	}
	c.wait = nil
	c.next = now
}

// shedChain takes everything of a chain that is not in flight out of memory.
func (l *lane) shedChain(c *chain, reason outbox.Reason, until time.Time) {
	if h := c.head; h != nil && h.phase == queued {
		c.head = nil
		c.rows++
		c.next = until
		l.dropOrdered(h, reason, until)
	} else if len(c.wait) > 0 {
		l.root(c)
	}
	l.shedWaiting(c, reason)
}

// root gives the head of a chain a row, without taking it out of memory: others behind it are about to get theirs.
func (l *lane) root(c *chain) {
	dl := c.head
	if dl == nil || !dl.fresh {
		return
	}
	l.fresh.remove(dl)
	l.represent(dl)
	l.hand(item{kind: itemPark, dl: dl, reason: outbox.ReasonOrder, next: time.Now(), stays: true})
}

func (l *lane) shedWaiting(c *chain, reason outbox.Reason) {
	for _, dl := range c.wait {
		c.rows++
		l.dropOrdered(dl, reason, time.Time{})
	}
	c.wait = nil
}

// dropOrdered takes one delivery out of memory; its chain counts it among its rows already.
func (l *lane) dropOrdered(dl *delivery, reason outbox.Reason, next time.Time) {
	if l.evict(dl, reason, next) {
		l.settleChain(dl.chain)
	}
}

// recordedOrdered takes in that an item of the chain is committed.
func (l *lane) recordedOrdered(c *chain) {
	c.uncommitted--
	l.settleChain(c)
}

// settleChain asks for a chain's rows once all of them are in the table, and forgets an empty chain.
func (l *lane) settleChain(c *chain) {
	switch {
	case c.head != nil || c.uncommitted > 0 || c.held:
	case c.rows > 0:
		l.noteDue(c.next)
	case l.chains[c.key] == c: // not so after a change of the ordering
		delete(l.chains, c.key)
	}
}

// dueChains names up to limit chains whose rows can be brought back, and when the next one is due.
func (l *lane) dueChains(now time.Time, limit int) (keys []string, next time.Time) {
	for key, c := range l.chains {
		switch {
		case c.head != nil || c.uncommitted > 0 || c.held || c.rows == 0:
		case c.next.After(now):
			if next.IsZero() || c.next.Before(next) {
				next = c.next
			}
		case len(keys) < limit:
			keys = append(keys, key)
			c.read = c.rows
		default:
			next = now
		}
	}
	return keys, next
}

// restore puts what was found of a chain back into memory; nil: somebody removed all of it.
func (l *lane) restore(c *chain, found *links) {
	if c.head != nil || c.uncommitted > 0 {
		return
	}
	switch {
	case found == nil:
		// What was parked while the table was read may be missing in the answer.
		c.rows -= c.read
		l.settleChain(c)
		return
	case len(found.due) == 0 && found.held:
		c.held = true
		return
	case len(found.due) == 0:
		// It was tried again meanwhile: its own time counts, not the one that the chain was asked for.
		c.rows, c.next = max(c.rows, 1), found.next
		l.settleChain(c)
		return
	}
	c.rows = max(0, c.rows-len(found.due))
	for _, dl := range found.due {
		dl.chain = c
		l.represent(dl)
	}
	c.head = found.due[0]
	for _, dl := range found.due[1:] {
		dl.phase = waiting
		c.wait = append(c.wait, dl)
	}
	l.enqueue(c.head)
}
