package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/retry"
)

// health is what a lane knows of its endpoint: whether a person paused or disabled it, its circuit, and for how long a
// receiver asked to be left alone. The circuit:
//
//	            failures in a row              reopen is over
//	closed ────────────────────────▶ open ────────────────────▶ probing
//	   ▲                              ▲                            │ one request
//	   └──────────── success ─────────┴───────── failure ──────────┘
type health struct {
	status         string
	disabledReason string
	failingSince   time.Time // zero: the last attempt succeeded

	failures       int
	open           bool
	probe          *delivery // the request that is to find out whether an open circuit may close; nil: none is in flight
	reopenAt       time.Time
	throttledUntil time.Time
	patience       time.Duration // park_after: what waits for less stays in memory

	blocked bool // nothing can be sent to it, see Endpoint
	stale   bool // its row still has a failingSince that is over
	told    bool // somebody may have heard that it is failing, and has not heard of its recovery
}

// The statuses of an endpoint (tailpost.endpoint.status).
const (
	statusActive   = "active"
	statusPaused   = "paused"
	statusDisabled = "disabled"
)

func newHealth(s ledger.EndpointState, patience time.Duration) health {
	// Whether somebody has heard of it is not recorded: most likely they have.
	h := health{failingSince: s.FailingSince, patience: patience, told: !s.FailingSince.IsZero()}
	h.assign(s)
	return h
}

// assign takes the status that somebody else decided.
func (h *health) assign(s ledger.EndpointState) {
	if h.status == statusDisabled && s.Status == statusActive {
		// Enabled by a person: what it was disabled for is over. Its row still says since when it was failing, or is about to.
		stale := h.stale || !h.failingSince.IsZero() || !s.FailingSince.IsZero()
		*h = health{patience: h.patience, blocked: h.blocked, stale: stale}
	}
	h.status, h.disabledReason = s.Status, s.DisabledReason
	if h.status == "" {
		h.status = statusActive
	}
}

// refusal says why fresh deliveries are parked at once, and when they are due.
func (h *health) refusal(now time.Time) (outbox.Reason, time.Time) {
	switch {
	case h.blocked:
		return outbox.ReasonUnusable, now
	case h.status == statusPaused:
		return outbox.ReasonPaused, now
	case h.status == statusDisabled:
		return outbox.ReasonDisabled, now
	case h.open && (h.probe != nil || now.Before(h.reopenAt)):
		return outbox.ReasonCircuitOpen, pace.Later(now, h.reopenAt)
	case h.throttledUntil.Sub(now) > h.patience:
		return outbox.ReasonRateLimited, h.throttledUntil
	}
	return "", time.Time{}
}

// mayGo says whether a request may start. If not, wait is the time until it may; 0: until something happens.
func (h *health) mayGo(now time.Time) (wait time.Duration, ok bool) {
	switch {
	case h.status != statusActive || h.blocked:
		return 0, false
	case now.Before(h.throttledUntil):
		return h.throttledUntil.Sub(now), false
	case !h.open:
		return 0, true
	case now.Before(h.reopenAt):
		return h.reopenAt.Sub(now), false
	case h.probe != nil:
		return 0, false
	}
	return 0, true
}

// started takes in that a request for dl starts, after mayGo allowed it.
func (h *health) started(dl *delivery) {
	if h.open {
		h.probe = dl
	}
}

// abandoned takes in that a request says nothing of the endpoint. Was it the probe, the next request is one.
func (h *health) abandoned(dl *delivery) {
	if h.probe == dl {
		h.probe = nil
	}
}

// loadable says whether parked deliveries may be brought back, and how many, where so many wait already; 0 with a time: then.
// A half-open circuit has use for one.
func (h *health) loadable(now time.Time, page, queued int) (int, time.Time) {
	switch {
	case h.status != statusActive || h.blocked:
		return 0, time.Time{}
	case now.Before(h.throttledUntil):
		return 0, h.throttledUntil
	case !h.open:
		return page, time.Time{}
	case now.Before(h.reopenAt):
		return 0, h.reopenAt
	case h.probe != nil || queued > 0:
		return 0, time.Time{}
	}
	return min(page, 1), time.Time{}
}

// succeeded takes in a delivered attempt.
func (h *health) succeeded(id string) *ledger.EndpointChange {
	h.failures, h.open, h.probe = 0, false, nil
	if h.failingSince.IsZero() && !h.stale {
		return nil
	}
	h.failingSince, h.stale = time.Time{}, false
	return &ledger.EndpointChange{EndpointID: id}
}

// failed takes in a failed attempt for dl. shed says that the endpoint takes nothing for a while. Of requests that were in
// flight when the circuit opened only the probe's failure counts against it.
func (h *health) failed(id string, dl *delivery, p *policy, decision retry.Decision, now time.Time) (change *ledger.EndpointChange, shed bool) {
	if h.failingSince.IsZero() {
		h.failingSince = now
		change = &ledger.EndpointChange{EndpointID: id, FailingSince: now}
	}
	h.failures++
	if decision.Throttle > 0 {
		h.throttledUntil = pace.Later(h.throttledUntil, now.Add(decision.Throttle))
		shed = decision.Throttle > h.patience
	}
	if h.open && h.probe == dl || p.circuit.Failures > 0 && h.failures >= p.circuit.Failures && !h.open {
		h.open, h.probe = true, nil
		h.reopenAt = now.Add(p.circuit.Reopen)
		shed = true
	}
	reason := ""
	switch {
	case h.status == statusDisabled:
	case decision.Disable:
		reason = "the endpoint answered 410 Gone"
	case p.disableAfter > 0 && now.Sub(h.failingSince) >= p.disableAfter:
		reason = "failing without one success for " + p.disableAfter.String()
	}
	if reason != "" {
		h.status, h.disabledReason = statusDisabled, reason
		change = &ledger.EndpointChange{EndpointID: id, Status: statusDisabled, DisabledReason: reason, FailingSince: h.failingSince}
		shed = true
	}
	return change, shed
}
