package telemetry

import "sync/atomic"

// Rare counts what happens seldom in this process. The zero value has counted nothing. Its methods
// are safe for concurrent use.
type Rare struct {
	reconnects              atomic.Uint64
	audits, auditsFailed    atomic.Uint64
	reloads, reloadsRefused atomic.Uint64
	reloadRefusedLast       atomic.Bool
	invalid                 atomic.Uint64
}

// Reconnected counts a stream that ended although nobody had stopped the relay.
func (r *Rare) Reconnected() { r.reconnects.Add(1) }

// Audited counts an audit that ended, with err if it failed.
func (r *Rare) Audited(err error) {
	if err != nil {
		r.auditsFailed.Add(1)
		return
	}
	r.audits.Add(1)
}

// Reloaded counts a configuration that was to be taken over while the relay ran. A refused one
// changed nothing.
func (r *Rare) Reloaded(refused bool) {
	if refused {
		r.reloadsRefused.Add(1)
	} else {
		r.reloads.Add(1)
	}
	r.reloadRefusedLast.Store(refused)
}

// Invalid counts a payload that was to be sent and that its schema does not allow.
func (r *Rare) Invalid() { r.invalid.Add(1) }

// InvalidPayloads returns how many Invalid counted.
func (r *Rare) InvalidPayloads() uint64 { return r.invalid.Load() }

func (r *Rare) write(p page) {
	p.counter("invalid_payloads_total", "Requests whose payload its schema does not allow, sent or not.").add(float64(r.InvalidPayloads()))
	p.counter("reconnects_total", "Streams that ended although nobody had stopped the relay.").add(float64(r.reconnects.Load()))
	audits := p.counter("audits_total", "Audits of the outbox table that this process ended, by what came of them.")
	audits.add(float64(r.audits.Load()), "result", "complete")
	audits.add(float64(r.auditsFailed.Load()), "result", "failed")
	reloads := p.counter("reloads_total", "Configurations that were to be taken over while the relay ran, by what came of them.")
	reloads.add(float64(r.reloads.Load()), "result", "taken")
	reloads.add(float64(r.reloadsRefused.Load()), "result", "refused")
	p.gauge("config_last_reload_successful", "0 if the last configuration that was to be taken over was refused, else 1.").
		add(truth(!r.reloadRefusedLast.Load()))
}
