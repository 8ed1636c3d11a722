package outbox

import "time"

// Outcome says how an attempt ended.
type Outcome string

// The outcomes of an attempt.
const (
	Delivered Outcome = "delivered" // the whole head of a 2xx answer came in time
	Retry     Outcome = "retry"     // failed, will be tried again
	Dead      Outcome = "dead"      // failed, given up
)

// Trigger says why an attempt was made.
type Trigger string

// The triggers of an attempt.
const (
	TriggerStream Trigger = "stream" // first attempt, straight from the stream or after parking without an attempt
	TriggerRetry  Trigger = "retry"  // scheduled after a failure
	TriggerResend Trigger = "resend" // by a person, one delivery
	TriggerReplay Trigger = "replay" // by a person, a range
	TriggerTest   Trigger = "test"   // by a person, a made-up event
)

// Attempt is one HTTP request with an event and what came of it: a row of tailpost.attempt.
type Attempt struct {
	EventID    string
	EventType  string
	Tenant     string
	EndpointID string
	Number     int // within the delivery, from 1
	Trigger    Trigger
	URL        string // without user information
	Outcome    Outcome
	StatusCode int    // 0: no answer
	Error      string // empty: an answer arrived; carries no secret, payload or full URL
	Duration   time.Duration

	ResponseBody      []byte // valid UTF-8 without NUL, at most 16 KiB
	ResponseTruncated bool

	AttemptedAt time.Time
	CommitLSN   LSN

	RequestID string // of a request that has several events, each with an attempt; empty: it has this one

	Search []string // what the event is found by, as "name=value"

	// RequestHeaders and ResponseHeaders are by their names in lower case, without secrets; nil:
	// they are not kept, or there were none.
	RequestHeaders, ResponseHeaders map[string]string
}

// State is the state of an unfinished delivery.
type State string

// The states of a delivery; a delivered one has no row.
const (
	Pending   State = "pending"
	StateDead State = "dead"
)

// Reason says why a delivery is not made yet.
type Reason string

// The reasons of a delivery.
const (
	ReasonFailed      Reason = "failed"       // the last attempt failed, a retry is scheduled
	ReasonExhausted   Reason = "exhausted"    // the schedule is used up
	ReasonLaneFull    Reason = "lane_full"    // the endpoint takes fewer than arrive
	ReasonSlow        Reason = "slow"         // not settled within park_after
	ReasonPaused      Reason = "paused"       // endpoint paused
	ReasonDisabled    Reason = "disabled"     // endpoint disabled
	ReasonRateLimited Reason = "rate_limited" // over the endpoint's rate, or what its receiver takes
	ReasonCircuitOpen Reason = "circuit_open" // the endpoint fails, probes only
	ReasonOrder       Reason = "order"        // waits behind an earlier delivery of its key
	ReasonShutdown    Reason = "shutdown"     // the relay stopped before it was sent
	ReasonInvalid     Reason = "invalid"      // the event cannot be sent, see last_error
	// ReasonUnaddressable: the endpoint's URL, query or headers name what the event has not, or
	// what cannot be sent there, see last_error.
	ReasonUnaddressable Reason = "unaddressable"
	ReasonAuthFailed    Reason = "auth_failed" // no token to send it with, or no way through the egress proxy, see last_error; a retry is scheduled
	ReasonRejected      Reason = "rejected"    // the receiver will never take it, see last_status
	ReasonReplay        Reason = "replay"      // a person asked for it again
	ReasonUnusable      Reason = "unusable"    // the endpoint's settings or secrets cannot be read, see the relay's log
	ReasonUnverified    Reason = "unverified"  // the endpoint has not shown that it wants events
	ReasonAudit         Reason = "audit"       // an audit found that the stream had not brought the event
	ReasonScheduled     Reason = "scheduled"   // its event is not to be delivered yet
	ReasonExpired       Reason = "expired"     // its event's time was over before it was delivered
	ReasonIDReused      Reason = "id_reused"   // an earlier event of the same id is not delivered yet, see last_error
)

// Delivery is one event that one endpoint should have and has not: a row of tailpost.delivery.
type Delivery struct {
	Event         Event
	EndpointID    string
	State         State
	Reason        Reason
	Attempts      int       // requests made so far
	NextAttemptAt time.Time // zero: dead, or waiting behind an earlier delivery of its key
	LastStatus    int       // 0: none
	LastError     string
	Trigger       Trigger   // of the next attempts, where a person asked for them: TriggerResend or TriggerReplay
	Search        []string  // what the event is found by, while it has no attempt
	QueuedAt      time.Time // when its row was written; zero: it is not yet
}

// Schedule has a delivery that is due wait for the time of its event, if that is later.
func (d *Delivery) Schedule() {
	if at := d.Event.NotBefore(); at.After(d.NextAttemptAt) {
		d.Reason, d.NextAttemptAt = ReasonScheduled, at
	}
}

// Pair names a delivery.
type Pair struct {
	EventID    string
	EndpointID string
}
