package relay

import (
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
)

// newMetrics makes the metrics of this process.
func (r *Relay) newMetrics(st *query.Store) *telemetry.Metrics {
	return telemetry.New(telemetry.Options{
		Store: st, Slot: r.Status().Slot, Version: r.opts.Version, Status: r.metricsStatus,
		LogDropped: r.opts.LogDropped, Clocks: r.clocks,
		States: []string{string(Starting), string(Standby), string(Delivering), string(Draining), string(Stopped)},
	})
}

func (r *Relay) metricsStatus() telemetry.Status {
	r.mu.Lock()
	status, h := r.status, r.holding
	r.mu.Unlock()
	s := telemetry.Status{State: string(status.State), Epoch: status.Epoch}
	if h != nil {
		s.Deliveries, s.Bytes = h.dispatcher.InMemory()
		for id, a := range h.dispatcher.Limited() {
			s.Limited = append(s.Limited, telemetry.Limited{Endpoint: id, Admitting: a.Admitting, Concurrency: a.Concurrency})
		}
		s.LocalFailures = h.dispatcher.LocalFailures()
		s.Oldest = h.intake.Frontier.Oldest()
	}
	return s
}
