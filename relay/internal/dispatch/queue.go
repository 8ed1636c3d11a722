package dispatch

import "iter"

// queue is a first-in first-out ring of deliveries that wait for a worker. One that leaves memory
// while it waits stays in the ring, marked gone, until pop meets it.
type queue struct {
	items []*delivery
	first int
	count int
	live  int // entries that are not gone
}

// spareRing is the size from which an empty ring is given back.
const spareRing = 1024

func (q *queue) push(d *delivery) {
	q.grow()
	q.items[(q.first+q.count)%len(q.items)] = d
	q.count++
	q.live++
}

// grow makes room for one more.
func (q *queue) grow() {
	if q.count < len(q.items) {
		return
	}
	grown := make([]*delivery, max(4, 2*len(q.items)))
	n := copy(grown, q.items[q.first:])
	copy(grown[n:], q.items[:q.first])
	q.items, q.first = grown, 0
}

// unshift puts a delivery before all others.
func (q *queue) unshift(d *delivery) {
	q.grow()
	q.first = (q.first + len(q.items) - 1) % len(q.items)
	q.items[q.first] = d
	q.count++
	q.live++
}

// all returns the deliveries that wait, oldest first.
func (q *queue) all() iter.Seq[*delivery] {
	return func(yield func(*delivery) bool) {
		for i := range q.count {
			d := q.items[(q.first+i)%len(q.items)]
			if d.phase == queued && !yield(d) {
				return
			}
		}
	}
}

// peek returns the oldest delivery that still waits, or nil.
func (q *queue) peek() *delivery {
	for q.count > 0 {
		if d := q.items[q.first]; d.phase == queued {
			return d
		}
		q.drop()
	}
	if len(q.items) > spareRing {
		q.items = nil
	}
	q.first = 0
	return nil
}

// pop takes the oldest delivery that still waits out of the queue, or returns nil.
func (q *queue) pop() *delivery {
	d := q.peek()
	if d != nil {
		q.drop()
		q.live--
	}
	return d
}

// drop takes away what is first.
func (q *queue) drop() {
	q.items[q.first] = nil
	q.first = (q.first + 1) % len(q.items)
	q.count--
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
