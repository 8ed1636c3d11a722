package intake

import (
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// Again looks up what is recorded of events that the source brings again, where that is too much to
// be held in memory: a crash within a giant transaction leaves as much as the transaction has.
type Again struct {
	Until source.Position // of the last transaction of which something is recorded
	// Of returns the deliveries of these events that are recorded or parked. It may wait for the
	// database.
	Of func(events []string) (map[outbox.Pair]struct{}, error)
	// Fail takes an error of Of. What it was asked for is neither taken nor settled then.
	Fail func(error)
}

const (
	// againEvents and againBytes bound the events that are looked up together.
	againEvents = 500
	againBytes  = 4 << 20
)

// brought is an event that waits to be looked up, or what is known of one that cannot be delivered.
type brought struct {
	ev      outbox.Event
	problem error
}

// lookup collects the events of a transaction until they are worth a question.
type lookup struct {
	*Again

	waiting []brought
	bytes   int
	failed  bool // nothing more is taken
}

// wants reports whether events of a transaction are to be looked up. After a failure nothing is
// taken any more.
func (l *lookup) wants(tx source.Tx) bool {
	return l.Again != nil && (tx.Commit <= l.Until || l.failed)
}

// add takes an event, and reports whether there are enough.
func (l *lookup) add(b brought) bool {
	if l.failed {
		return false
	}
	l.waiting = append(l.waiting, b)
	l.bytes += len(b.ev.Payload)
	return len(l.waiting) >= againEvents || l.bytes >= againBytes
}

// collect takes an event that is to be looked up.
func (i *Intake) collect(ev outbox.Event, problem error) {
	if i.lookup.add(brought{ev: ev, problem: problem}) {
		i.flush()
	}
}

// flush hands over the events that were collected, once it is known what is recorded of them.
func (i *Intake) flush() {
	l := &i.lookup
	if len(l.waiting) == 0 || l.failed {
		return
	}
	ids := make([]string, len(l.waiting))
	for n := range l.waiting {
		ids[n] = l.waiting[n].ev.ID
	}
	recorded, err := l.Of(ids)
	if err != nil {
		l.failed = true
		l.Fail(err)
		return
	}
	i.dispatcher.Known(recorded)
	for n := range l.waiting {
		if b := &l.waiting[n]; b.problem != nil {
			i.reject(b.ev, b.problem)
		} else {
			i.dispatcher.Dispatch(b.ev, i.counts)
		}
	}
	i.dispatcher.Known(nil)
	clear(l.waiting)
	l.waiting, l.bytes = l.waiting[:0], 0
}
