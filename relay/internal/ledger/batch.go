package ledger

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// Batch is what one recording transaction writes. The order of its parts is that of its fields: a delivery may be
// parked, changed and removed in one batch.
type Batch struct {
	// Attempts are appended to tailpost.attempt and counted in tailpost.endpoint_stats.
	Attempts []outbox.Attempt
	// Park holds new rows of tailpost.delivery; one that is there already is left alone.
	Park []outbox.Delivery
	// Update holds changed rows of tailpost.delivery: state, reason, attempts, next_attempt_at, last_status, last_error.
	Update []outbox.Delivery
	// Remove names the rows of tailpost.delivery that are delivered.
	Remove []outbox.Pair
	// Endpoints holds changes of an endpoint's own state.
	Endpoints []EndpointChange
	// Settled is the frontier once this batch is committed, SettledAt the commit time of the last settled transaction
	// (zero: unknown, leave it).
	Settled   outbox.LSN
	SettledAt time.Time
}

// EndpointChange is a change that the relay itself makes to an endpoint.
type EndpointChange struct {
	EndpointID     string
	Status         string    // empty: unchanged
	DisabledReason string    // with Status "disabled"
	FailingSince   time.Time // zero: healthy (NULL)
}

// Hold is a relay's hold on a slot.
type Hold struct {
	Slot    string
	Owner   string
	Epoch   int64
	Settled outbox.LSN // everything whose transaction ended at or before it is settled
}
