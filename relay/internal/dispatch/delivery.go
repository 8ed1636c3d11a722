package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// phase is where a delivery in memory is; see the package comment.
type phase uint8

const (
	queued   phase = iota // in its lane's queue
	waiting               // behind an earlier delivery of its key
	inFlight              // a worker has it
	gone                  // answered, or shed
)

// event is an event in memory, shared by its deliveries and immutable.
type event struct {
	outbox.Event

	tx   *source.Unsettled // nil: loaded from the table, settled long ago
	cost int64             // bytes charged to the budget for each delivery
}

// delivery is one event to one endpoint, in memory.
type delivery struct {
	ev       *event
	lane     *lane
	chain    *chain // nil: unordered
	body     *config.Body
	attempts int
	trigger  outbox.Trigger // of the next attempt, if a person asked for it; empty: stream or retry
	since    time.Time

	generation int // of the lane, see there

	// Guarded by lane.mu.
	phase      phase
	fresh      bool // in the lane's list of deliveries without a row
	prev, next *delivery

	// Owned by the recorder once the delivery has been handed to it for the first time.
	row     bool // tailpost.delivery has it
	settled bool // its transaction no longer waits for it
}

// freshList holds a lane's unsettled deliveries, oldest first.
type freshList struct{ head, tail *delivery }

func (l *freshList) push(d *delivery) {
	d.fresh, d.prev, d.next = true, l.tail, nil
	if l.tail != nil {
		l.tail.next = d
	} else {
		l.head = d
	}
	l.tail = d
}

func (l *freshList) remove(d *delivery) {
	if !d.fresh {
		return
	}
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		l.head = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	} else {
		l.tail = d.prev
	}
	d.fresh, d.prev, d.next = false, nil, nil
}

// queue is a first-in first-out ring. Shed deliveries stay in it, marked gone, until pop meets them.
type queue struct {
	items []*delivery
	first int
	count int
	live  int // entries that are not gone
}

func (q *queue) push(d *delivery) {
	if q.count == len(q.items) {
		grown := make([]*delivery, max(4, 2*len(q.items)))
		n := copy(grown, q.items[q.first:])
		copy(grown[n:], q.items[:q.first])
		q.items, q.first = grown, 0
	}
	q.items[(q.first+q.count)%len(q.items)] = d
	q.count++
	q.live++
}

// pop returns the oldest live delivery, or nil.
func (q *queue) pop() *delivery {
	for q.count > 0 {
		d := q.items[q.first]
		q.items[q.first] = nil
		q.first = (q.first + 1) % len(q.items)
		q.count--
		if d.phase == queued {
			q.live--
			return d
		}
	}
	if len(q.items) > 1024 {
		q.items = nil
	}
	q.first = 0
	return nil
}
