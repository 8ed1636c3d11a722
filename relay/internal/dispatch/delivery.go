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
	cost     int64          // bytes in memory, of one that was read from the table
	trigger  outbox.Trigger // of the next attempt, if a person asked for it; empty: stream or retry
	since    time.Time
	started  time.Time // its request, while there is one

	generation int // of the lane, see there

	// Guarded by lane.mu.
	phase      phase
	fresh      bool // in the lane's list of deliveries without a row
	prev, next *delivery

	// Owned by the recorder once the delivery has been handed to it for the first time.
	row     bool // tailpost.delivery has it
	settled bool // its transaction no longer waits for it
}
