package metrics

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger/store"
)

// collector turns what is counted and measured into metrics.
type collector struct {
	m *Metrics

	state, epoch, lag, deliveries, bytes        *prometheus.Desc
	batches, rows, attempts, duration           *prometheus.Desc
	reached, settled, settledAt, active, behind *prometheus.Desc
	retained, queued, gaps                      *prometheus.Desc
}

func newCollector(m *Metrics) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("tailpost_"+name, help, labels, nil)
	}
	return &collector{
		m:          m,
		state:      desc("state", "1 for what the relay of this process does, else 0.", "state"),
		epoch:      desc("epoch", "How often the slot had been taken when this process took it; 0: it has not."),
		lag:        desc("lag_seconds", "Age of the oldest transaction that this process has read whole and not settled; 0: there is none."),
		deliveries: desc("in_memory_deliveries", "Deliveries of the stream that are in memory and not settled."),
		bytes:      desc("in_memory_bytes", "About what the deliveries in memory take."),
		batches:    desc("recorded_batches_total", "Recording transactions that were committed."),
		rows:       desc("recorded_rows_total", "Rows that recording transactions wrote, changed or removed.", "table"),
		attempts:   desc("attempts_total", "Recorded attempts, without test events.", "endpoint", "outcome"),
		duration:   desc("attempt_duration_seconds", "How long recorded attempts took.", "endpoint"),
		reached:    desc("database_up", "1 if the database answered when it was last asked, else 0: then what it tells is missing."),
		settled:    desc("settled_lsn", "LSN, as a number, below which every event is delivered or queued."),
		settledAt:  desc("settled_timestamp_seconds", "Commit time of the last settled transaction."),
		active:     desc("slot_active", "1 if a relay streams from the slot, else 0."),
		behind:     desc("slot_lag_bytes", "Write-ahead log that the slot has not confirmed."),
		retained:   desc("slot_retained_bytes", "Write-ahead log that the server keeps for the slot."),
		queued:     desc("deliveries", "Rows of tailpost.delivery, by state: pending or dead.", "endpoint", "state"),
		gaps:       desc("gaps_total", "Gaps in the stream that were found."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.state, c.epoch, c.lag, c.deliveries, c.bytes, c.batches, c.rows, c.attempts, c.duration, c.reached, c.settled,
		c.settledAt, c.active, c.behind, c.retained, c.queued, c.gaps,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := sink(ch)
	status := c.m.o.Status()
	for _, state := range c.m.o.States {
		s.gauge(c.state, truth(state == status.State), state)
	}
	s.gauge(c.epoch, float64(status.Epoch))
	lag := 0.0
	if !status.Oldest.IsZero() {
		lag = max(0, c.m.o.Now().Sub(status.Oldest).Seconds())
	}
	s.gauge(c.lag, lag)
	s.gauge(c.deliveries, float64(status.Deliveries))
	s.gauge(c.bytes, float64(status.Bytes))
	c.counted(s)
	measures, reached := c.m.measured()
	s.gauge(c.reached, truth(reached))
	if reached {
		c.measured(s, &measures)
	}
}

func (c *collector) counted(s sink) {
	all, endpoints := c.m.counted()
	s.counter(c.batches, float64(all.batches))
	s.counter(c.rows, float64(all.attempts), "attempt")
	s.counter(c.rows, float64(all.deliveries), "delivery")
	for _, id := range slices.Sorted(maps.Keys(endpoints)) {
		t := endpoints[id]
		s.counter(c.attempts, float64(t.delivered), id, string(outbox.Delivered))
		s.counter(c.attempts, float64(t.retry), id, string(outbox.Retry))
		s.counter(c.attempts, float64(t.dead), id, string(outbox.Dead))
		buckets := make(map[float64]uint64, bucketCount)
		below := uint64(0)
		for i, bound := range bounds() {
			below += t.buckets[i]
			buckets[bound] = below
		}
		s <- prometheus.MustNewConstHistogram(c.duration, below+t.buckets[bucketCount-1], t.duration.Seconds(), buckets, id)
	}
}

func (c *collector) measured(s sink, m *store.Measures) {
	s.gauge(c.settled, float64(m.Settled))
	if m.SettledAt != nil {
		const microsecond = 1e-6
		s.gauge(c.settledAt, float64(m.SettledAt.UnixMicro())*microsecond)
	}
	s.gauge(c.active, truth(m.SlotActive))
	s.gauge(c.behind, float64(m.LagBytes))
	s.gauge(c.retained, float64(m.RetainedBytes))
	s.counter(c.gaps, float64(m.Gaps))
	for _, q := range m.Queues {
		s.gauge(c.queued, float64(q.Pending), q.EndpointID, string(outbox.Pending))
		s.gauge(c.queued, float64(q.Dead), q.EndpointID, string(outbox.StateDead))
	}
}

// sink is where metrics go.
type sink chan<- prometheus.Metric

func (s sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s sink) counter(d *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
