package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// represent says that a row of the table is in memory.
func (l *lane) represent(dl *delivery) {
	if l.represented == nil {
		l.represented = make(map[string]*delivery)
	}
	l.represented[dl.ev.ID] = dl
}

// drop forgets everything, for a lane whose endpoint is gone and gets nothing more. What is in flight is still recorded,
// as attempts without a delivery; it no longer holds its transaction.
func (l *lane) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.dropped = true, true
	for _, c := range l.chains {
		c.head, c.wait, c.rows = nil, nil, 0
	}
	for dl := l.fresh.head; dl != nil; dl = l.fresh.head {
		l.fresh.remove(dl)
		l.expel(dl)
		l.hand(item{kind: itemDrop, dl: dl})
	}
	for _, dl := range l.represented {
		l.expel(dl)
	}
	clear(l.represented)
	l.retire()
}

// expel takes a delivery that waits out of the queue.
func (l *lane) expel(dl *delivery) {
	if dl.phase == queued {
		l.queue.live--
	}
	if dl.phase != inFlight {
		dl.phase = gone
	}
}

// finishDropped records the attempt that was in flight when the endpoint went: whatever came of it, it was the last one.
func (l *lane) finishDropped(it *item) {
	if it.attempt.Outcome == outbox.Retry {
		it.attempt.Outcome = outbox.Dead
	}
	it.forgets = true
	l.hand(*it)
	l.logAttempt(it)
}

// retire ends what runs by time.
func (l *lane) retire() {
	if l.patrol != nil {
		l.patrol.Stop()
	}
	if l.wake != nil {
		l.wake.Stop()
	}
	if l.active {
		l.active = false
		l.d.active.Add(-1)
	}
}

// reorder begins a change of the ordering: what waits goes to the table, and so does what arrives, until all of it is
// there; then the queue is read anew.
func (l *lane) reorder(ordering config.Ordering) {
	now := time.Now()
	for _, c := range l.chains {
		l.shedChain(c, outbox.ReasonOrder, now)
	}
	l.shedWaits(outbox.ReasonOrder, now)
	l.generation++
	l.stale = l.inFlight + l.uncommitted
	l.reordering, l.reread = true, true
	l.chains = nil
	if ordering != config.OrderingNone {
		l.chains = map[string]*chain{}
	}
	l.nextDue = now
}

// over reports whether a closed lane has nothing left to do. One that is not closed yet is about to be.
func (l *lane) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && l.inFlight+l.uncommitted == 0
}

// reopen makes a closed lane that of an endpoint again. It waits, as after a change of the ordering, until all of before is
// recorded, and then reads the table. A lane whose endpoint was dropped has nothing to go on with; reopen reports that.
func (l *lane) reopen(e Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped {
		return false
	}
	l.closed, l.streamed = false, e.Streamed
	l.policy.ordering = e.Config.Ordering
	l.reorder(e.Config.Ordering)
	l.configure(e)
	l.health.assign(e.State)
	return true
}

// rereads says whether the lane's queue must be read anew, and can be.
func (l *lane) rereads() (ordering config.Ordering, dead bool, generation int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.policy.ordering, l.policy.onDead == config.OnDeadHold, l.generation, l.reread && l.stale == 0 && !l.closed && !l.d.stopping.Load()
}

// finishReread takes the heads of an ordered lane's keys as the table has them. What they count may be in memory, or counted
// already: a chain that is said to have more rows than there are asks for them when it is done with the others, and then has
// none.
func (l *lane) finishReread(heads []ledger.Head, generation int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation != generation {
		l.noteDue(now)
		return
	}
	l.reordering, l.reread = false, false
	for _, c := range l.chains {
		if c.held {
			// Perhaps not any more: loading its rows tells.
			c.held, c.rows, c.next = false, max(c.rows, 1), now
		}
	}
	for _, h := range heads {
		if l.chains == nil {
			break
		}
		c := l.chains[h.Key]
		if c == nil {
			c = &chain{key: h.Key}
			l.chains[h.Key] = c
		}
		next := pace.Later(h.NextAttemptAt, now)
		if c.rows == 0 || next.Before(c.next) {
			c.next = next
		}
		c.rows += int(h.Count)
	}
	l.nextDue = now
}
