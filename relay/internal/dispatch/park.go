package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// accept puts a fresh delivery into the lane, or hands it to the recorder to be parked. It never
// blocks.
func (l *lane) accept(dl *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dl.generation = l.generation
	l.touch()
	if key, ok := chainKey(l.policy.ordering, dl.ev.Key); ok {
		dl.chain = l.chains.of(key)
	}
	reason, next := l.refusal(dl.since)
	if at := dl.notBefore(); at.After(pace.Later(dl.since, next)) {
		reason, next = outbox.ReasonScheduled, at
	}
	if reason != "" {
		l.parkFresh(dl, reason, next)
		return
	}
	if dl.chain == nil {
		l.memory.fresh.push(dl)
		l.enqueue(dl)
		return
	}
	switch dl.chain.join(dl) {
	case inTable:
		l.parkFresh(dl, outbox.ReasonOrder, dl.since)
	case inMemory:
		l.memory.fresh.push(dl)
		l.wait(dl)
	case atHead:
		l.memory.fresh.push(dl)
		l.enqueue(dl)
	}
}

// refusal says why the lane takes no fresh delivery into memory now, and when the parked one is
// due.
func (l *lane) refusal(now time.Time) (outbox.Reason, time.Time) {
	switch {
	case l.d.stopping.Load():
		return outbox.ReasonShutdown, now
	case l.closed:
		return outbox.ReasonDisabled, now
	case l.reordering:
		return outbox.ReasonOrder, now
	}
	if reason, until := l.health.refusal(now); reason != "" {
		return reason, until
	}
	switch {
	case l.waitsForTable():
		return outbox.ReasonOrder, now
	case l.spilling:
		return l.lateness(now), now
	case l.memory.size() >= l.capacity() && l.d.active.Load() > 1:
		// Alone, a full lane stops the reader through the budget: nobody else is kept waiting by
		// that.
		l.spilling = true
		return outbox.ReasonLaneFull, now
	}
	return "", time.Time{}
}

// waitsForTable says that the lane's order needs events that are not in the table yet.
func (l *lane) waitsForTable() bool { return l.chains != nil && l.d.healing.Load() }

// touch marks the lane as one with traffic and sees to its patrol.
func (l *lane) touch() {
	l.touched = true
	if l.active {
		return
	}
	l.active = true
	l.d.active.Add(1)
	if l.patrol == nil {
		l.patrol = time.AfterFunc(l.policy.parkAfter, l.onPatrol)
	} else {
		l.patrol.Reset(l.policy.parkAfter)
	}
}

// onPatrol parks what is unsettled for longer than park_after. It runs only while the lane has
// traffic.
func (l *lane) onPatrol() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	now := time.Now()
	l.parkOld(now)
	next := l.policy.parkAfter
	oldest := l.memory.fresh.head
	switch {
	case oldest != nil:
		next = max(oldest.since.Add(l.policy.parkAfter).Sub(now), time.Millisecond)
	case !l.touched:
		l.active = false
		l.d.active.Add(-1)
		return
	}
	l.touched = false
	l.patrol.Reset(next)
}

// parkOld writes every delivery that is older than park_after to the table. What a worker has stays
// with it and settles the row when it is answered; what still waits leaves memory, and fresh events
// queue behind it in the table.
func (l *lane) parkOld(now time.Time) {
	limit := now.Add(-l.policy.parkAfter)
	// Every turn takes at least the head out of the list.
	for dl := l.memory.fresh.head; dl != nil && !dl.since.After(limit); dl = l.memory.fresh.head {
		switch {
		case dl.phase == inFlight:
			l.memory.load(dl)
			l.hand(item{kind: itemPark, dl: dl, reason: outbox.ReasonSlow, next: now, stays: true})
		case dl.chain != nil:
			l.shedChain(dl.chain, l.lateness(now), now)
		default:
			l.spilling = true
			l.evict(dl, l.lateness(now), now)
		}
	}
}

// lateness returns why a delivery that has waited for park_after still waits: for the endpoint's
// rate or for what its receiver admits, or else for answers.
func (l *lane) lateness(now time.Time) outbox.Reason {
	if l.limiter != nil && l.limiter.TokensAt(now) < 1 || l.health.admission.waits(now) > 0 {
		return outbox.ReasonRateLimited
	}
	return outbox.ReasonSlow
}

// parkFresh hands a delivery that never entered the lane to the recorder, behind all of its chain.
func (l *lane) parkFresh(dl *delivery, reason outbox.Reason, next time.Time) {
	dl.phase = gone
	if c := dl.chain; c != nil {
		l.root(c)
		for _, waits := range c.spill() {
			l.evict(waits, reason, time.Time{})
		}
		next = c.behind(next)
	}
	l.hand(item{kind: itemPark, dl: dl, reason: reason, next: next})
}

// evict takes a delivery that waits out of memory: one without a row gets it, due at next, and one
// with a row is forgotten.
func (l *lane) evict(dl *delivery, reason outbox.Reason, next time.Time) {
	switch {
	case l.memory.evict(dl):
		l.hand(item{kind: itemPark, dl: dl, reason: reason, next: next})
	case dl.chain != nil:
		l.settle(dl.chain)
	default:
		l.noteDue(next)
	}
}

// shed takes everything that waits out of memory, if the endpoint takes nothing for a while.
func (l *lane) shed(now time.Time) {
	reason, until := l.health.refusal(now)
	if l.closed {
		reason, until = outbox.ReasonDisabled, now
	}
	if l.d.stopping.Load() {
		reason, until = outbox.ReasonShutdown, now
	}
	if reason == "" {
		return
	}
	l.shedChains(reason, until)
	l.shedWaits(reason, until)
}

// shedWaits takes what waits in no chain out of memory.
func (l *lane) shedWaits(reason outbox.Reason, until time.Time) {
	for dl := range l.memory.waits() {
		l.evict(dl, reason, until)
	}
}

// shedChains takes everything of the chains that is not in flight out of memory.
func (l *lane) shedChains(reason outbox.Reason, until time.Time) {
	if l.chains == nil {
		return
	}
	for _, c := range l.chains.byKey {
		l.shedChain(c, reason, until)
	}
}

// settle asks for the rows of an idle chain when they are due. The lane may have no order any more.
func (l *lane) settle(c *chain) {
	if l.chains != nil {
		l.noteDue(l.chains.settle(c))
	}
}

// shedChain takes everything of a chain that is not in flight out of memory.
func (l *lane) shedChain(c *chain, reason outbox.Reason, until time.Time) {
	if len(c.wait) > 0 && c.head != nil && c.head.phase == inFlight {
		l.root(c)
	}
	head, spilled := c.shed(until)
	if head != nil {
		l.evict(head, reason, until)
	}
	for _, dl := range spilled {
		l.evict(dl, reason, time.Time{})
	}
}

// root writes a row for what is in flight of a chain, or is to be, and stays in memory, if others
// behind it are about to get theirs.
func (l *lane) root(c *chain) {
	for dl := c.rootless(); dl != nil; dl = c.rootless() {
		l.memory.load(dl)
		l.hand(item{kind: itemPark, dl: dl, reason: outbox.ReasonOrder, next: time.Now(), stays: true})
	}
}
