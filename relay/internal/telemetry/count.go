package telemetry

import (
	"maps"
	"slices"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// ownLabels is how many endpoints have metrics under their own names: what has a hundred thousand
// endpoints would fill whoever scrapes it. The others are counted together, as otherEndpoints.
const (
	ownLabels      = 1000
	otherEndpoints = "(other)" // no id of an endpoint has parentheses
)

// attemptBounds are the upper bounds of the duration histogram in seconds, those of
// tailpost.endpoint_stats; latencyBounds and rowBounds are those of the others.
func attemptBounds() []float64 {
	return []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30}
}

func latencyBounds() []float64 {
	return []float64{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 86400}
}

func rowBounds() []float64 { return []float64{1, 4, 16, 64, 256, 1024, 4096} }

// tally counts the attempts of one endpoint.
type tally struct {
	delivered, retry, dead uint64
	duration               histogram // seconds
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
	t.duration.add(a.Duration.Seconds())
}

// totals are the counters of everything.
type totals struct {
	batches, attempts, deliveries uint64
	took                          histogram // seconds of a recording transaction
	rows                          histogram // of the same
	latency                       histogram // seconds from the commit of an event to its delivery
}

func newTotals() totals {
	return totals{took: newHistogram(attemptBounds()), rows: newHistogram(rowBounds()), latency: newHistogram(latencyBounds())}
}

// Recorded are a recording transaction that is committed, how long it took, and how long after the
// commits of their events its deliveries were made.
type Recorded struct {
	*ledger.Batch

	Took   time.Duration
	Waited []time.Duration
}

// Committed counts a recording transaction. It allocates only at the first attempt of an endpoint.
func (m *Metrics) Committed(r Recorded) {
	b := r.Batch
	m.mu.Lock()
	defer m.mu.Unlock()
	deliveries := len(b.Park) + len(b.Update) + len(b.Remove)
	m.totals.batches++
	m.totals.attempts += uint64(len(b.Attempts))
	m.totals.deliveries += uint64(deliveries)
	m.totals.took.add(r.Took.Seconds())
	m.totals.rows.add(float64(len(b.Attempts) + deliveries))
	for _, d := range r.Waited {
		m.totals.latency.add(max(0, d.Seconds()))
	}
	var (
		t  *tally
		of string
	)
	for i := range b.Attempts {
		a := &b.Attempts[i]
		// Attempts of one endpoint come in runs.
		if t == nil || a.EndpointID != of {
			of = a.EndpointID
			t = m.tally(of)
		}
		t.add(a)
	}
}

// tally returns the counters of an endpoint. The caller holds mu.
func (m *Metrics) tally(id string) *tally {
	t := m.endpoints[id]
	if t == nil && len(m.endpoints) >= ownLabels {
		id = otherEndpoints
		t = m.endpoints[id]
	}
	if t == nil {
		t = &tally{duration: newHistogram(attemptBounds())}
		m.endpoints[id] = t
	}
	return t
}

// counted is a copy of the counters: the recorder does not wait while they are written out.
func (m *Metrics) counted() (totals, map[string]tally) {
	m.mu.Lock()
	defer m.mu.Unlock()
	endpoints := make(map[string]tally, len(m.endpoints))
	for id, t := range m.endpoints {
		c := *t
		c.duration = t.duration.clone()
		endpoints[id] = c
	}
	all := m.totals
	all.took, all.rows, all.latency = all.took.clone(), all.rows.clone(), all.latency.clone()
	return all, endpoints
}

// known lists the endpoints that have counters of their own.
func (m *Metrics) known() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Collect(maps.Keys(m.endpoints))
	return slices.DeleteFunc(all, func(id string) bool { return id == otherEndpoints })
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
