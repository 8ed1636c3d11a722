package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/retry"
)

// health is a lane's view of its endpoint: whether a person paused or disabled it, its circuit, how
// much it can take, and since when it is failing.
type health struct {
	status         string
	disabledReason string
	blocked        bool          // nothing can be sent to it, see Endpoint
	proof          string        // what has to be on record of it
	verified       string        // what is
	patience       time.Duration // park_after: what waits for less stays in memory

	circuit   circuit
	admission admission
	failing   failing
}

// failing is since when an endpoint has had no success.
type failing struct {
	since    time.Time // zero: the last attempt succeeded
	count    int       // attempts since then
	stale    bool      // its row still has a since that is over
	warns    int       // warnings that were given before it is disabled
	notified bool      // somebody may have heard of it, and has not heard of its recovery
}

func newHealth(s ledger.EndpointState, patience time.Duration) health {
	// Whether somebody has heard of it is not recorded: most likely they have.
	h := health{patience: patience, verified: s.Verified, failing: failing{since: s.FailingSince, notified: !s.FailingSince.IsZero()}}
	h.assign(s)
	return h
}

// assign takes the status that somebody else decided.
func (h *health) assign(s ledger.EndpointState) {
	switch {
	case s.Status != ledger.StatusActive:
	case h.status == ledger.StatusDisabled:
		// Enabled by a person: what it was disabled for is over. Its row still says since when it
		// was failing, or is about to.
		stale := h.failing.stale || !h.failing.since.IsZero() || !s.FailingSince.IsZero()
		*h = health{patience: h.patience, blocked: h.blocked, proof: h.proof, verified: h.verified, failing: failing{stale: stale}, admission: admission{ceiling: h.admission.ceiling}}
	case h.status == ledger.StatusPaused:
		// Resumed by a person, who wants to see it tried: an open circuit lets a probe in, and what
		// the receiver asked for is over.
		h.circuit.reopenAt, h.admission = time.Time{}, admission{ceiling: h.admission.ceiling}
	}
	h.status, h.disabledReason = s.Status, s.DisabledReason
	if h.status == "" {
		h.status = ledger.StatusActive
	}
}

// anew forgets failures in a row and what was refused. For how long the endpoint has had no success
// is not forgotten.
func (h *health) anew() {
	h.circuit, h.admission = circuit{}, admission{ceiling: h.admission.ceiling}
}

// refusal says why fresh deliveries are parked at once, and when they are due.
func (h *health) refusal(now time.Time) (outbox.Reason, time.Time) {
	switch {
	case h.blocked:
		return outbox.ReasonUnusable, now
	case h.status == ledger.StatusPaused:
		return outbox.ReasonPaused, now
	case h.status == ledger.StatusDisabled:
		return outbox.ReasonDisabled, now
	case h.unverified():
		return outbox.ReasonUnverified, now
	}
	if until, yes := h.circuit.refuses(now); yes {
		return outbox.ReasonCircuitOpen, pace.Later(now, until)
	}
	if until := h.admission.pausedUntil; until.Sub(now) > h.patience {
		return outbox.ReasonRateLimited, until
	}
	return "", time.Time{}
}

// unverified reports whether the endpoint has to show first that it wants events.
func (h *health) unverified() bool { return h.proof != "" && h.proof != h.verified }

// open reports whether nobody has decided that nothing is sent to the endpoint.
func (h *health) open() bool { return h.status == ledger.StatusActive && !h.blocked }

// mayGo reports whether a request may start, and if not, after how long to ask again; 0: when
// something else happens.
func (h *health) mayGo(now time.Time) (wait time.Duration, ok bool) {
	if !h.open() || h.unverified() {
		return 0, false
	}
	if wait, ok := h.circuit.waits(now); !ok {
		return wait, false
	}
	wait = h.admission.waits(now)
	return wait, wait == 0
}

// started notes that a request for dl starts, after mayGo allowed it.
func (h *health) started(dl *delivery, now time.Time) {
	dl.started = now
	h.circuit.started(dl)
	h.admission.started(now)
}

// loadable returns how many parked deliveries may be brought back, of a page, where so many wait
// already; 0 with a time: then. A half-open circuit has use for one.
func (h *health) loadable(now time.Time, page, queued int) (int, time.Time) {
	if !h.open() || h.unverified() {
		return 0, time.Time{}
	}
	if until := h.admission.pausedUntil; until.After(now) {
		return 0, until
	}
	if wait, ok := h.circuit.waits(now); !ok {
		if wait > 0 {
			return 0, now.Add(wait)
		}
		return 0, time.Time{}
	}
	if h.circuit.open {
		return min(page, 1-queued), time.Time{}
	}
	return page, time.Time{}
}

// succeeded notes a delivered attempt for dl.
func (h *health) succeeded(id string, dl *delivery, now time.Time) *ledger.EndpointChange {
	h.circuit.succeeded()
	h.admission.answered(reply{started: dl.started}, now)
	h.failing.count, h.failing.warns = 0, 0
	if h.failing.since.IsZero() && !h.failing.stale {
		return nil
	}
	h.failing.since, h.failing.stale = time.Time{}, false
	return &ledger.EndpointChange{EndpointID: id}
}

// failed notes a failed attempt for dl. shed says that the endpoint takes nothing for a while.
func (h *health) failed(id string, dl *delivery, p *terms, decision retry.Decision, now time.Time) (change *ledger.EndpointChange, shed bool) {
	if h.failing.since.IsZero() {
		h.failing.since = now
		change = &ledger.EndpointChange{EndpointID: id, FailingSince: now}
	}
	h.failing.count++
	if h.admission.answered(reply{started: dl.started, refused: decision.Overloaded, asks: decision.Asks}, now) {
		shed = h.admission.pausedUntil.Sub(now) > h.patience
	}
	// A busy receiver works: it gets less, and its circuit stays as it is. But a probe has to
	// succeed.
	if !decision.Busy || h.circuit.probe == dl {
		shed = h.circuit.failed(dl, p.circuit, now) || shed
	}
	if decision.Disable == "" && p.disableAfter > 0 && now.Sub(h.failing.since) >= p.disableAfter {
		decision.Disable = "failing without one success for " + p.disableAfter.String()
	}
	if disabled := h.disable(id, decision.Disable); disabled != nil {
		return disabled, true
	}
	return change, shed
}

// disable disables the endpoint for a reason; nil: there is none, or it is disabled already.
func (h *health) disable(id, reason string) *ledger.EndpointChange {
	if reason == "" || h.status == ledger.StatusDisabled {
		return nil
	}
	h.status, h.disabledReason = ledger.StatusDisabled, reason
	return &ledger.EndpointChange{EndpointID: id, Status: h.status, DisabledReason: reason, FailingSince: h.failing.since}
}

// warned reports whether it is time to warn that the endpoint will be disabled, and notes that it
// was done: once half of disable_after is over, and once three quarters are. What an earlier hold
// of the slot warned of is not recorded, so that it may come again.
func (h *health) warned(disableAfter time.Duration, now time.Time) bool {
	if disableAfter == 0 || h.failing.since.IsZero() || h.status == ledger.StatusDisabled {
		return false
	}
	due := 0
	for i, part := range []time.Duration{disableAfter / 2, disableAfter / 4 * 3} {
		if now.Sub(h.failing.since) >= part {
			due = i + 1
		}
	}
	if due <= h.failing.warns {
		return false
	}
	h.failing.warns = due
	return true
}

// persists reports whether the endpoint has failed often enough in a row for somebody to hear of
// it.
func (h *health) persists(circuit int) bool {
	least := failingAfter
	if circuit > 0 {
		least = min(circuit, failingAfter)
	}
	return h.circuit.open || h.failing.count >= least
}
