package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
)

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

// onPatrol parks what is unsettled for longer than park_after. It runs only while the lane has traffic.
func (l *lane) onPatrol() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	now := time.Now()
	l.parkOld(now)
	next := l.policy.parkAfter
	switch {
	case l.fresh.head != nil:
		next = max(l.fresh.head.since.Add(l.policy.parkAfter).Sub(now), time.Millisecond)
	case !l.touched:
		l.active = false
		l.d.active.Add(-1)
		return
	}
	l.touched = false
	l.patrol.Reset(next)
}

// parkOld writes every delivery that is older than park_after to the table. What a worker has stays with it and settles
// the row when it is answered; what still waits leaves memory, and fresh events queue behind it in the table.
func (l *lane) parkOld(now time.Time) {
	limit := now.Add(-l.policy.parkAfter)
	// Every turn takes at least the head out of the list.
	for dl := l.fresh.head; dl != nil && !dl.since.After(limit); dl = l.fresh.head {
		switch {
		case dl.phase == inFlight:
			l.fresh.remove(dl)
			l.represent(dl)
			l.hand(item{kind: itemPark, dl: dl, reason: outbox.ReasonSlow, next: now, stays: true})
		case dl.chain != nil:
			l.shedChain(dl.chain, outbox.ReasonSlow, now)
		default:
			l.spilling = true
			l.shedOne(dl, outbox.ReasonSlow, now)
		}
	}
}

// parkFresh hands a delivery that never entered the lane to the recorder.
func (l *lane) parkFresh(dl *delivery, reason outbox.Reason, next time.Time) {
	dl.phase = gone
	if c := l.chainFor(dl); c != nil {
		l.parkBehind(c, dl, reason, next)
		return
	}
	l.hand(item{kind: itemPark, dl: dl, reason: reason, next: next})
}

// shedOne takes an unordered delivery that waits out of memory.
func (l *lane) shedOne(dl *delivery, reason outbox.Reason, next time.Time) {
	if l.evict(dl, reason, next) {
		l.noteDue(next)
	}
}

// evict takes a delivery that waits out of memory. One without a row gets it; one with a row is forgotten, and evict says so.
func (l *lane) evict(dl *delivery, reason outbox.Reason, next time.Time) (forgotten bool) {
	if dl.phase == queued {
		l.queue.live--
	}
	dl.phase = gone
	if dl.fresh {
		l.fresh.remove(dl)
		l.hand(item{kind: itemPark, dl: dl, reason: reason, next: next})
		return false
	}
	l.forget(dl)
	return true
}

// forget says that a row of the table is no longer in memory.
func (l *lane) forget(dl *delivery) {
	if l.represented[dl.ev.ID] != dl {
		return
	}
	delete(l.represented, dl.ev.ID)
	if l.loading != nil {
		l.loading[dl.ev.ID] = struct{}{}
	}
}

// shed takes everything that waits out of memory, because the endpoint takes nothing for a while.
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
	for _, c := range l.chains {
		l.shedChain(c, reason, until)
	}
	l.shedWaits(reason, until)
}

// shedWaits takes what waits in no chain out of memory.
func (l *lane) shedWaits(reason outbox.Reason, until time.Time) {
	for dl := l.fresh.head; dl != nil; {
		following := dl.next
		if dl.phase != inFlight {
			l.shedOne(dl, reason, until)
		}
		dl = following
	}
	for _, dl := range l.represented {
		if dl.phase == queued || dl.phase == waiting {
			l.shedOne(dl, reason, until)
		}
	}
}
