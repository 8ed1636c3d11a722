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
	arriving phase = iota // nowhere yet
	queued                // in its lane's queue
	waiting               // behind an earlier delivery of its key
	inFlight              // a worker has it
	gone                  // answered, or evicted
)

// event is an event in memory, shared by its deliveries and immutable.
type event struct {
	outbox.Event

	tx   *source.Unsettled // nil: loaded from the table, settled long ago
	cost int64             // bytes charged to the budget for each delivery

	committed time.Time // when its transaction did; of one loaded from the table, when it was queued
}

// delivery is one event to one endpoint, in memory.
type delivery struct {
	ev       *event
	lane     *lane
	chain    *chain // nil: unordered
	body     *config.Body
	attempts int
	spared   bool           // its last attempt failed for a reason that is not in the event
	cost     int64          // bytes in memory, of one that was read from the table
	trigger  outbox.Trigger // of the next attempt, if a person asked for it; empty: stream or retry
	since    time.Time
	started  time.Time // its request, while there is one; before that, since when it waits, if that counts

	generation int // of the lane, see there

	// Guarded by lane.mu.
	phase      phase
	fresh      bool  // in the lane's list of deliveries without a row
	moves      int32 // of the lane, as its request began
	prev, next *delivery

	// Owned by the recorder once the delivery has been handed to it for the first time.
	row     bool // tailpost.delivery has it
	settled bool // its transaction no longer waits for it
}

// bound reports whether the times of its event count for a delivery. They do not where a person
// sends that one event again: they want it now, and know how old it is.
func (dl *delivery) bound() bool { return dl.trigger != outbox.TriggerResend }

// notBefore returns the time before which the delivery is not made; zero: there is none.
func (dl *delivery) notBefore() time.Time {
	if !dl.bound() {
		return time.Time{}
	}
	return dl.ev.NotBefore()
}

// expired reports whether the delivery is not to be made any more.
func (dl *delivery) expired(now time.Time) bool { return dl.bound() && dl.ev.Expired(now) }

// beforeExpiry returns the time of the next attempt, but none after the event expires: the delivery
// is dead then, and not only when it would be attempted.
func (dl *delivery) beforeExpiry(next time.Time) time.Time {
	if at := dl.ev.ExpiresAt; dl.bound() && !at.IsZero() && at.Before(next) {
		return at
	}
	return next
}

// held returns what is asked right before the request is written. A connection takes time, and the
// event may expire meanwhile; once a part of the request is on its way it may end.
func (dl *delivery) held() func() bool {
	held := dl.lane.d.held
	if dl.ev.ExpiresAt.IsZero() {
		return held
	}
	begun := false
	return func() bool {
		begun = held() && (begun || !dl.expired(time.Now()))
		return begun
	}
}

// weight is about what the delivery takes in the body of a request.
func (dl *delivery) weight() int {
	const envelope = 128
	return envelope + len(dl.ev.ID) + len(dl.ev.Type) + len(dl.ev.Payload)
}
