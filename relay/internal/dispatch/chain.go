package dispatch

import (
	"slices"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// chain is one ordered key of a lane. At most one of its deliveries is queued or in flight, but for
// those that go with it in one request; later ones wait behind it, in memory or, once any of them
// had to be parked, in the table, where commit order is (commit_lsn, seq).
//
// Two rules keep the order. While rows > 0 every fresh delivery of the key is parked too, so that
// memory never overtakes the table. And no delivery gets a row before all earlier ones of its key
// have one, not even before one in flight: after a crash the rows are sent as soon as they are
// found, and an earlier delivery without a row only when the stream brings it again.
//
// A chain decides; the lane acts: what a method returns is to be queued, or to be written to the
// table, by its caller.
type chain struct {
	key  string
	head *delivery // queued or in flight; nil: none
	// riders are in flight with the head, in the same request, behind it.
	riders []*delivery
	wait   []*delivery // behind head
	// rows is 0 only if the table has no pending row of the key that is not in memory, committed or
	// not. It may be less than there are, and more: a chain asks for rows until there are none.
	rows   int
	read   int       // what rows was when the table was last asked for them; more were parked since
	next   time.Time // with rows > 0 and no head: when to ask for them
	onHold bool      // a dead delivery holds all of it until a person resends or discards that
	// written says, of an idle chain, that the table has a row of the key which is due at next, so
	// that whoever looks at what is due finds the key.
	written bool
	// asked says that the table is being asked for its rows: it stays until there is an answer.
	asked bool
	// unsure says that the table was not asked yet whether it has rows: it may have had some before
	// the chain began.
	unsure bool
	// uncommitted counts the items of this key that the recorder has not committed; the table is
	// read only when there is none.
	uncommitted int
	at          int // on the due heap of its lane
}

// chainKey returns the chain that an event with this key belongs to, if any.
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

// place is where a delivery joins its chain.
type place uint8

const (
	atHead   place = iota // it may be sent
	inMemory              // it waits behind another in memory
	inTable               // it is to be parked behind rows
)

// join puts a fresh delivery at the end of the chain, but for one that is to be parked: that is
// behind's.
func (c *chain) join(dl *delivery) place {
	switch {
	case c.rows > 0 || c.onHold:
		return inTable
	case c.head != nil:
		c.wait = append(c.wait, dl)
		return inMemory
	}
	c.head = dl
	return atHead
}

// behind adds a row behind everything of the chain, and returns when it is due: zero if it waits
// for what is before it, else next. What is in memory must have been spilled.
func (c *chain) behind(next time.Time) time.Time {
	switch {
	case c.unsure:
		// Perhaps nothing is before it that has a time.
		c.next, c.written = pace.Sooner(c.next, next), true
	case c.head != nil || c.rows > 0 || c.onHold:
		next = time.Time{}
	default:
		c.next, c.written = next, true
	}
	c.rows++
	return next
}

// spill turns what waits in memory behind the head into rows, and returns it to be parked.
func (c *chain) spill() []*delivery {
	spilled := c.wait
	c.wait = nil
	c.rows += len(spilled)
	return spilled
}

// shed turns all that is not in flight into rows of which the first is due at until, and returns it
// to be parked.
func (c *chain) shed(until time.Time) (head *delivery, spilled []*delivery) {
	if c.head != nil && c.head.phase == queued {
		head, c.head = c.head, nil
		c.rows++
		c.next, c.written = until, head.fresh // one that has a row keeps the time that this has
	}
	return head, c.spill()
}

// rootless returns the first of the head and those in flight with it that has no row though others
// behind it are about to get theirs; nil: all is well.
func (c *chain) rootless() *delivery {
	if c.head != nil && c.head.fresh {
		return c.head
	}
	for _, dl := range c.riders {
		if dl.fresh {
			return dl
		}
	}
	return nil
}

// board has the first that waits go with the head, which is in flight or about to be.
func (c *chain) board() *delivery {
	dl := c.wait[0]
	c.wait[0] = nil
	c.wait = c.wait[1:]
	c.riders = append(c.riders, dl)
	return dl
}

// alight puts the last that was to go with the head back to those that wait.
func (c *chain) alight(dl *delivery) {
	c.riders = c.riders[:len(c.riders)-1]
	c.wait = slices.Insert(c.wait, 0, dl)
}

// answered notes what became of the head, whose next attempt is at next, and returns the delivery
// that may go now, and what is to be parked.
func (c *chain) answered(outcome outbox.Outcome, holds bool, next, now time.Time) (following *delivery, spilled []*delivery) {
	c.head, c.riders = nil, nil
	switch {
	case outcome == outbox.Retry:
		// The head keeps its place: it is a row now, and what waited is written behind it.
		c.rows++
		c.next, c.written = next, true
		return nil, c.spill()
	case outcome == outbox.Dead && holds:
		c.onHold = true
		return nil, c.spill()
	case len(c.wait) > 0:
		c.head = c.wait[0]
		c.wait[0] = nil
		c.wait = c.wait[1:]
		return c.head, nil
	}
	c.wait = nil
	c.next, c.written = now, false
	return nil, nil
}

// resting reports whether nothing of the chain is in memory or uncommitted: only then does the
// table tell all of it.
func (c *chain) resting() bool { return c.head == nil && c.uncommitted == 0 }

// idle reports whether the chain rests and no dead delivery holds it: then its rows can be brought
// back.
func (c *chain) idle() bool { return c.resting() && !c.onHold }

// restore notes what the table has of an idle chain; nil: nothing any more. It returns the
// deliveries that are in memory again, of which the first may go.
func (c *chain) restore(found *links) []*delivery {
	if !c.idle() {
		return nil
	}
	c.unsure = false
	switch {
	case found == nil:
		// What was parked while the table was read may be missing in the answer.
		c.rows -= c.read
		c.written = false
		return nil
	case len(found.due) == 0 && found.onHold:
		c.onHold = true
		return nil
	case len(found.due) == 0:
		// It was tried again meanwhile: its own time counts, not the one that the chain was asked
		// for.
		c.rows, c.next, c.written = max(c.rows, 1), found.next, !found.bare
		return nil
	}
	if c.rows -= c.read; found.more {
		c.rows++
	}
	for _, dl := range found.due {
		dl.chain = c
	}
	c.head = found.due[0]
	c.wait = append(c.wait, found.due[1:]...)
	return found.due
}

// links are the rows of one chain that a query found and that may go, oldest first.
type links struct {
	rows   int // so many
	due    []*delivery
	onHold bool      // a dead one holds what follows
	more   bool      // there may be others behind those that may go
	next   time.Time // when the one that follows is due; zero: none is known
	bare   bool      // its row does not say so
}

// add takes a row that revive makes a delivery of. A query that finds most rows may have left some
// out.
func (k *links) add(row *outbox.Delivery, now time.Time, most int, revive func(*outbox.Delivery) *delivery) {
	if k.rows++; k.rows >= most {
		k.more = true
	}
	due := rowDue(row)
	switch {
	case k.onHold || !k.next.IsZero():
	case row.State == outbox.StateDead:
		k.onHold, k.more = true, true
	case due.After(now):
		k.next, k.more, k.bare = due, true, !due.Equal(row.NextAttemptAt)
	default:
		k.due = append(k.due, revive(row))
	}
}

// rowDue returns when a row is due once nothing is before it in its order.
func rowDue(row *outbox.Delivery) time.Time {
	if row.Trigger == outbox.TriggerResend {
		return row.NextAttemptAt
	}
	return pace.Later(row.NextAttemptAt, row.Event.NotBefore())
}
