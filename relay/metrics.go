package relay

import (
	"github.com/tailpost/tailpost/relay/internal/metrics"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// newMetrics makes the metrics of this process.
func (r *Relay) newMetrics(st *query.Store) *metrics.Metrics {
	return metrics.New(metrics.Options{
		Store: st, Slot: r.Status().Slot, Version: r.opts.Version, Status: r.metricsStatus,
		States: []string{string(Starting), string(Standby), string(Delivering), string(Draining), string(Stopped)},
	})
}

func (r *Relay) metricsStatus() metrics.Status {
	r.mu.Lock()
	status, h := r.status, r.holding
	r.mu.Unlock()
	s := metrics.Status{State: string(status.State), Epoch: status.Epoch}
	if h != nil {
		s.Deliveries, s.Bytes = h.dispatcher.InMemory()
		s.Oldest = h.intake.Frontier.Oldest()
	}
	return s
}
