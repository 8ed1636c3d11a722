package telemetry

import (
	"maps"
	"slices"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// bounds are the upper bounds of the duration histogram in seconds, those of
// tailpost.endpoint_stats.
func bounds() [14]float64 {
	return [...]float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30}
}

const bucketCount = 15

// tally counts the attempts of one endpoint.
type tally struct {
	delivered, retry, dead uint64
	buckets                [bucketCount]uint64
	duration               time.Duration // of all
}

func (t *tally) add(a *outbox.Attempt) {
	switch a.Outcome {
	case outbox.Delivered:
		t.delivered++
	case outbox.Retry:
		t.retry++
	case outbox.Dead:
		t.dead++
	}
	t.duration += a.Duration
	seconds, bucket := a.Duration.Seconds(), bucketCount-1
	for i, bound := range bounds() {
		if seconds <= bound {
			bucket = i
			break
		}
	}
	t.buckets[bucket]++
}

// totals are the counters of everything.
type totals struct {
	batches, attempts, deliveries uint64
}

// Committed counts a batch whose transaction is committed. It allocates only at the first attempt
// of an endpoint.
func (m *Metrics) Committed(b *ledger.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.batches++
	m.totals.attempts += uint64(len(b.Attempts))
	m.totals.deliveries += uint64(len(b.Park) + len(b.Update) + len(b.Remove))
	var (
		t  *tally
		of string
	)
	for i := range b.Attempts {
		a := &b.Attempts[i]
		// Attempts of one endpoint come in runs.
		if t == nil || a.EndpointID != of {
			of = a.EndpointID
			if t = m.endpoints[of]; t == nil {
				t = new(tally)
				m.endpoints[of] = t
			}
		}
		t.add(a)
	}
}

// counted is a copy of the counters: the recorder does not wait while they are written out.
func (m *Metrics) counted() (totals, map[string]tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	endpoints := make(map[string]tally, len(m.endpoints))
	for id, t := range m.endpoints {
		endpoints[id] = *t
	}
	return m.totals, endpoints
}

// known lists the endpoints that have counters.
func (m *Metrics) known() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.endpoints))
}

// forget drops the counters of endpoints that are gone, so that those who come and go do not fill
// the memory.
func (m *Metrics) forget(gone []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range gone {
		delete(m.endpoints, id)
	}
}
