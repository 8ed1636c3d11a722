package retry

import (
	"math"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

const (
	// MaxRetryAfter is the longest delay that a receiver may ask for.
	MaxRetryAfter = 24 * time.Hour
	// jitterDivisor bounds the jitter to a tenth of the delay.
	jitterDivisor = 10
)

// The statuses that mean more than failure. Net/http is not for a pure package.
const (
	statusGone               = 410
	statusTooManyRequests    = 429
	statusBadGateway         = 502
	statusServiceUnavailable = 503
	statusGatewayTimeout     = 504
)

// Result is the part of an attempt that the decision depends on.
type Result struct {
	StatusCode int           // 0: no answer
	Error      bool          // the attempt failed whatever the status, for example while the answer was read
	RetryAfter time.Duration // the receiver's hint; 0: none
	Permanent  bool          // no retry can help
	Word       Word          // what the receiver said beside the status
	// Unaddressable says, of one that is Permanent, that there is nowhere to send it.
	Unaddressable bool
	Barred        bool // nothing was sent: no access token, or no way through the egress proxy
	// Again says that the failure was over with the attempt and says nothing about the event: its
	// connection or its access token had ended. No status makes the delivery dead then; a schedule
	// that is used up does.
	Again bool
}

// Word is the value of an answer's header webhook-delivery, as Svix defines it.
type Word string

// The words; others mean nothing.
const (
	WordDisable Word = "disable"       // send nothing more
	WordAbort   Word = "abort-message" // attempt this delivery no more, should it have failed
)

// Decision says what becomes of the delivery, and of its endpoint.
type Decision struct {
	Outcome outbox.Outcome
	// Next is the time of the next attempt. Zero: none is scheduled.
	Next time.Time
	// Reason says why the delivery is not made yet; empty when it is.
	Reason outbox.Reason
	// Disable says why the endpoint is to be disabled: the receiver is gone for good (410), or asks
	// for it. Empty: it is not. A delivery that failed then stays pending with a zero Next, and
	// goes out when a person enables the endpoint again.
	Disable string
	// Overloaded says that the receiver, or what stands before it, has too much to do (429, 502,
	// 503, 504): it is to get less.
	Overloaded bool
	// Busy says that the receiver itself says so (429, 503). It works, and takes what it can.
	Busy bool
	// Asks is for how long a busy receiver asks to be left alone. 0: it does not.
	Asks time.Duration
}

// Decide returns the decision on attempt number (from 1) that ended at now with r. Rnd, from 0 to
// 1, places the jitter: a retry comes at its time or up to a tenth of the delay later, never
// earlier.
func Decide(policy config.Retry, number int, r Result, now time.Time, rnd float64) Decision {
	meaning := policy.Means(r.StatusCode)
	disable := ""
	switch {
	case r.Word == WordDisable:
		disable = "the receiver asked for it (webhook-delivery: disable)"
	case r.StatusCode == statusGone && meaning != config.MeansSuccess:
		disable = "the endpoint answered 410 Gone"
	}
	switch {
	case r.Unaddressable:
		return Decision{Outcome: outbox.Dead, Reason: outbox.ReasonUnaddressable}
	case r.Permanent:
		return Decision{Outcome: outbox.Dead, Reason: outbox.ReasonInvalid}
	case !r.Error && meaning == config.MeansSuccess:
		return Decision{Outcome: outbox.Delivered, Disable: disable}
	case !r.Error && (meaning == config.MeansRefusal && !r.Again || r.Word == WordAbort):
		return Decision{Outcome: outbox.Dead, Reason: outbox.ReasonRejected, Disable: disable}
	case disable != "":
		return Decision{Outcome: outbox.Retry, Reason: outbox.ReasonDisabled, Disable: disable}
	}
	hint := min(max(r.RetryAfter, 0), MaxRetryAfter)
	d := Decision{Outcome: outbox.Dead, Reason: outbox.ReasonExhausted}
	d.Overloaded, d.Busy = load(r.StatusCode)
	if d.Busy {
		d.Asks = hint
	}
	index := max(number, 1) - 1
	if index < len(policy.Schedule) {
		d.Outcome, d.Reason = outbox.Retry, outbox.ReasonFailed
		if r.Barred {
			d.Reason = outbox.ReasonAuthFailed
		}
		d.Next = now
		if !r.Again {
			d.Next = now.Add(jittered(max(policy.Schedule[index], hint), rnd))
		}
	}
	return d
}

// Busy reports whether a status says that the receiver has too much to do, whatever it was sent.
func Busy(status int) bool {
	_, busy := load(status)
	return busy
}

// load returns what a status tells about a receiver's load.
func load(status int) (overloaded, busy bool) {
	switch status {
	case statusTooManyRequests, statusServiceUnavailable:
		return true, true
	case statusBadGateway, statusGatewayTimeout:
		return true, false
	}
	return false, false
}

// jittered lengthens a delay by up to a tenth. It survives any rnd, and any delay that a schedule
// built in Go may hold.
func jittered(delay time.Duration, rnd float64) time.Duration {
	if math.IsNaN(rnd) {
		rnd = 0
	}
	rnd = min(max(rnd, 0), 1)
	delay = max(delay, 0)
	extra := time.Duration(float64(delay/jitterDivisor) * rnd)
	if delay > math.MaxInt64-extra {
		return math.MaxInt64
	}
	return delay + extra
}
