package dispatch

import (
	"iter"
	"sync/atomic"
)

// memory holds a lane's deliveries in memory: fresh deliveries, which have no row in
// tailpost.delivery yet, and loaded ones, which have. Its methods are called with the lane's lock
// held.
type memory struct {
	queue   queue
	waiting int // behind an earlier delivery of their key
	weight  int // of those that wait for a worker or behind another, about what they take in a body
	fresh   freshList
	loaded  map[string]*delivery // by event; the loader leaves those alone
	bytes   *atomic.Int64        // that the rows which were read take, over all lanes
	// forgotten is non-nil while the loader reads: what is named here may be in its answer, and is
	// stale there.
	forgotten map[string]struct{}
}

// size returns how many deliveries wait.
func (m *memory) size() int { return m.queue.live + m.waiting }

// enqueue has a delivery wait for a worker.
func (m *memory) enqueue(dl *delivery) {
	if dl.phase == waiting {
		m.waiting--
	} else {
		m.weight += dl.weight()
	}
	dl.phase = queued
	m.queue.push(dl)
}

// wait has a delivery wait for an earlier one of its key.
func (m *memory) wait(dl *delivery) {
	dl.phase = waiting
	m.waiting++
	m.weight += dl.weight()
}

// start returns the next delivery for a worker; nil: none waits for one.
func (m *memory) start() *delivery {
	dl := m.queue.pop()
	if dl != nil {
		dl.phase = inFlight
		m.weight -= dl.weight()
	}
	return dl
}

// board has a delivery that waits for an earlier one of its key go with that.
func (m *memory) board(dl *delivery) {
	dl.phase = inFlight
	m.waiting--
	m.weight -= dl.weight()
}

// requeue puts a delivery back where start took it from.
func (m *memory) requeue(dl *delivery) {
	dl.phase = queued
	m.queue.unshift(dl)
	m.weight += dl.weight()
}

// load notes that a delivery has a row. Where an earlier event of the same id has its row in
// memory, that of this one is dead under another id, and the loader never reads it.
func (m *memory) load(dl *delivery) {
	m.fresh.remove(dl)
	if was := m.loaded[dl.ev.ID]; was != nil && was != dl {
		return
	}
	if m.loaded == nil {
		m.loaded = make(map[string]*delivery)
	}
	m.loaded[dl.ev.ID] = dl
	m.bytes.Add(dl.cost)
}

// has reports whether the row of an event is in memory, or was when the loader began to read.
func (m *memory) has(event string) bool {
	_, stale := m.forgotten[event]
	return stale || m.loaded[event] != nil
}

// parked reports whether a delivery in memory has a row.
func (m *memory) parked(dl *delivery) bool { return m.loaded[dl.ev.ID] == dl }

// forget notes that a row is no longer in memory.
func (m *memory) forget(dl *delivery) {
	if m.loaded[dl.ev.ID] != dl {
		return
	}
	delete(m.loaded, dl.ev.ID)
	m.bytes.Add(-dl.cost)
	if m.forgotten != nil {
		m.forgotten[dl.ev.ID] = struct{}{}
	}
}

// evict takes a delivery that waits out of memory and reports whether it needs a row for that.
func (m *memory) evict(dl *delivery) (fresh bool) {
	switch dl.phase {
	case queued:
		m.queue.live--
		m.weight -= dl.weight()
	case waiting:
		m.waiting--
		m.weight -= dl.weight()
	case arriving, inFlight, gone:
	}
	dl.phase = gone
	if dl.fresh {
		m.fresh.remove(dl)
		return true
	}
	m.forget(dl)
	return false
}

// waits returns the deliveries that wait, fresh ones first, oldest first. The one that was returned
// last may be evicted.
func (m *memory) waits() iter.Seq[*delivery] {
	return func(yield func(*delivery) bool) {
		for dl := m.fresh.head; dl != nil; {
			following := dl.next
			if dl.phase != inFlight && !yield(dl) {
				return
			}
			dl = following
		}
		for _, dl := range m.loaded {
			if (dl.phase == queued || dl.phase == waiting) && !yield(dl) {
				return
			}
		}
	}
}

// beginLoad names the events that the loader is to leave out, and notes what is forgotten until
// endLoad.
func (m *memory) beginLoad() (exclude []string) {
	exclude = make([]string, 0, len(m.loaded))
	for id := range m.loaded {
		exclude = append(exclude, id)
	}
	m.forgotten = make(map[string]struct{})
	return exclude
}

// endLoad ends what beginLoad began, once the answer has been compared with has.
func (m *memory) endLoad() { m.forgotten = nil }
