package dispatch

import (
	"time"

	"github.com/tailpost/tailpost/config"
)

// circuit keeps requests from an endpoint that fails again and again. What it counts are failures
// in a row:
//
//	            enough failures                reopen is over
//	closed ────────────────────────▶ open ────────────────────▶ half-open
//	   ▲                              ▲                             │ one request, the probe
//	   └──────────── success ─────────┴────────── failure ──────────┘
type circuit struct {
	failures int
	open     bool
	reopenAt time.Time
	probe    *delivery // what the probe delivers; nil: none is in flight
}

// waits says for how long no request may start; ok: one may now. It waits for 0 where the probe's
// answer decides.
func (c *circuit) waits(now time.Time) (wait time.Duration, ok bool) {
	switch {
	case !c.open:
		return 0, true
	case now.Before(c.reopenAt):
		return c.reopenAt.Sub(now), false
	}
	return 0, c.probe == nil
}

// refuses reports whether what arrives is to be parked, and until when.
func (c *circuit) refuses(now time.Time) (until time.Time, yes bool) {
	if _, ok := c.waits(now); ok {
		return time.Time{}, false
	}
	return c.reopenAt, true
}

// started notes that a request for dl starts.
func (c *circuit) started(dl *delivery) {
	if c.open {
		c.probe = dl
	}
}

// abandoned notes that a request says nothing of the endpoint. Was it the probe, the next request
// is one.
func (c *circuit) abandoned(dl *delivery) {
	if c.probe == dl {
		c.probe = nil
	}
}

// succeeded closes the circuit.
func (c *circuit) succeeded() { *c = circuit{} }

// failed notes that the request for dl failed, and reports whether the circuit opened. Of requests
// that were in flight when it opened only the probe counts.
func (c *circuit) failed(dl *delivery, p config.Circuit, now time.Time) (opened bool) {
	c.failures++
	switch {
	case c.open:
		opened = c.probe == dl
	case p.Failures > 0:
		opened = c.failures >= p.Failures
	}
	if opened {
		c.open, c.probe = true, nil
		c.reopenAt = now.Add(p.Reopen)
	}
	return opened
}
