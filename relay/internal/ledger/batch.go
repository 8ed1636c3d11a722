package ledger

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// Batch is the content of one recording transaction. The order of its parts is that of its fields:
// a delivery may be parked, changed and removed in one batch.
type Batch struct {
	// Attempts are appended to tailpost.attempt and counted in tailpost.endpoint_stats.
	Attempts []outbox.Attempt
	// Park holds new rows of tailpost.delivery; one that is there already is left alone.
	Park []outbox.Delivery
	// Update holds changed rows of tailpost.delivery: state, reason, attempts, next_attempt_at,
	// last_status, last_error. Of several changes of one row the last one counts; one without a row
	// is ignored, and so is one whose row is another event's with the same id.
	Update []outbox.Delivery
	// Remove names the rows of tailpost.delivery that are delivered.
	Remove []QueueRow
	// Endpoints holds changes of an endpoint's own state. Of several changes of one endpoint the
	// last one counts, with the last Status that is not empty.
	Endpoints []EndpointChange
	// Versions holds new versions of endpoints made through the API, in the order of the stream.
	Versions []EndpointVersion
	// Dropped names endpoints that are gone: after all that is above, their rows of
	// tailpost.delivery are removed.
	Dropped []Dropped
	// Emit holds logical messages of Tailpost's own, which come back through the stream.
	Emit [][]byte
	// Settled is the frontier once this batch is committed, SettledAt the commit time of the last
	// settled transaction (zero: unknown, leave it). The recorded frontier never moves back.
	Settled   outbox.LSN
	SettledAt time.Time
	// Passing says that nothing but WAL without events has moved the frontier. That is recorded
	// only now and then, ahead of what it comes to; see Position.Released.
	Passing bool
	// Now becomes created_at and updated_at of what is written. Zero: the system's clock.
	Now time.Time
}

// QueueRow names a row of tailpost.delivery. An id may be used again; a place in the stream is that
// of one event.
type QueueRow struct {
	outbox.Pair

	CommitLSN outbox.LSN
	Seq       int64
}

// EndpointChange is a change that the relay itself makes to an endpoint.
type EndpointChange struct {
	EndpointID     string
	Status         string    // empty: unchanged
	DisabledReason string    // with Status "disabled"
	FailingSince   time.Time // zero: healthy (NULL)
	// Verified is what the endpoint has shown, VerifyError why it has not. Both empty: unchanged.
	Verified    string
	VerifyError string
}

// Hold is a relay's hold on a slot, or on a partition of its fan-out.
type Hold struct {
	Slot    string // of a partition: PartitionSlot
	Owner   string
	Epoch   int64
	Settled outbox.LSN // everything whose transaction ended at or before it is settled
	// Origin identifies the slot's row: a database that is made anew has another one, whose epochs
	// begin again.
	Origin string
	// Routing is the number of a partition's routing when it was taken, see Ledger.Route.
	Routing int64
	// Before is where the slot was held the last time, zero at the first time. Another cluster or
	// timeline than the one given to Take means that events may have been skipped.
	Before Place
}

// Place names a history of write-ahead log.
type Place struct {
	SystemID string
	Timeline int32
}

// rows reports whether there is more to record than the frontier.
func (b *Batch) rows() bool {
	return len(b.Attempts)+len(b.Park)+len(b.Update)+len(b.Remove)+len(b.Endpoints)+len(b.Emit)+len(b.Versions)+len(b.Dropped) > 0
}
