package telemetry

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

const (
	// leastAge is how old the database's measures may be at least before it is asked again.
	leastAge = 5 * time.Second
	// ageFactor makes them older where measuring takes long, as with millions of parked deliveries:
	// it takes a twentieth of the time at most.
	ageFactor = 20
	// measureTimeout bounds a measurement, so that a database that does not answer does not fail
	// the scrape.
	measureTimeout = 4 * time.Second
	// leastSlowAge is leastAge of what changes slowly, or takes reading many rows or files.
	leastSlowAge = 30 * time.Second
)

// Store measures; *query.Store does.
type Store interface {
	Measure(ctx context.Context, slot string, known []string) (query.Measures, error)
	Sizes(ctx context.Context, retention time.Duration, now time.Time) (schema.Sizes, error)
}

// Settings are the current limits of the configuration that measures are compared with.
type Settings struct {
	AuditInterval time.Duration // 0 or less: there are no audits
	Retention     time.Duration // of attempts; 0 or less: for ever
	LoadedAt      time.Time     // when it was read
}

// Status is the state of this process's relay.
type Status struct {
	State      string
	Epoch      int64
	InFlight   int       // requests that wait for an answer
	Deliveries int       // of the stream, in memory
	Bytes      int64     // that they take, about
	Oldest     time.Time // commit time of the oldest transaction that was read and is not settled; zero: none
	Limited    []Limited // endpoints whose receivers have too much to do
	// LocalFailures is how many requests failed, since the slot was taken, for want of something
	// that this machine lacks.
	LocalFailures uint64
	Fanout        *Fanout // nil: the configuration has none
}

// Fanout is what this process does in a fleet.
type Fanout struct {
	Owned       int       // partitions that it sends for
	Unpublished time.Time // since when NATS does not take what it read; zero: it does
}

// Limited is an endpoint that is sent less than it could be.
type Limited struct {
	Endpoint    string
	Admitting   int // requests that may wait for an answer at once
	Concurrency int // of these
}

// Options say what Metrics needs.
type Options struct {
	Store   Store
	Slot    string
	Version string
	States  []string // that a relay may be in
	Status  func() Status
	// Settings returns those of now.
	Settings func() Settings
	// Unaccounted returns how many of the newest settled events left no trace although an endpoint
	// wants them.
	Unaccounted func(ctx context.Context) (int, error)
	// LogDropped returns how many lines of the log were dropped; nil: nobody counts them.
	LogDropped func() uint64
	Clocks     *Clocks
	// Certificates are those of receivers.
	Certificates *Certificates
	Rare         *Rare
	Now          func() time.Time // nil: time.Now
}

// Metrics counts, and shows what it counted. Its methods are safe for concurrent use.
type Metrics struct {
	o Options

	mu        sync.Mutex
	totals    totals
	endpoints map[string]*tally // by id; those with an attempt, see ownLabels

	measuring sync.Mutex
	measures  query.Measures
	stale     time.Time // when the database is to be asked again
	reached   bool      // the last time it answered
	written   written
	slow      slow
}

// slow is what is measured less often. What could not be measured is nil, and not shown.
type slow struct {
	stale       time.Time
	sizes       *schema.Sizes
	unaccounted *int
}

// New makes Metrics of this process.
func New(o Options) *Metrics {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Metrics{o: o, totals: newTotals(), endpoints: make(map[string]*tally)}
}

// ContentType is that of Text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Text returns the metrics in version 0.0.4 of the text format of Prometheus.
func (m *Metrics) Text(ctx context.Context) []byte {
	m.refresh(ctx)
	var text bytes.Buffer
	m.write(&text)
	metrics.WriteProcessMetrics(&text)
	return text.Bytes()
}

// refresh asks the database, where its last answer is too old. One that does not answer is a
// metric.
func (m *Metrics) refresh(ctx context.Context) {
	m.measuring.Lock()
	defer m.measuring.Unlock()
	began := m.o.Now()
	if began.Before(m.stale) {
		return
	}
	bound, cancel := context.WithTimeoutCause(ctx, measureTimeout, errors.New("the database is slow"))
	defer cancel()
	measures, err := m.o.Store.Measure(bound, m.o.Slot, m.remembered())
	if ctx.Err() != nil {
		return // whoever asked has left, which says nothing of the database
	}
	m.reached = err == nil
	now := m.o.Now()
	m.stale = now.Add(max(leastAge, ageFactor*now.Sub(began)))
	if err != nil {
		return
	}
	m.measures = measures
	m.o.Clocks.Database(Apart(measures.Now, began, now))
	m.forget(measures.Gone)
	m.o.Certificates.forget(measures.Gone)
	m.o.Clocks.forget(measures.Gone)
	m.written.add(measures.Written)
	m.refreshSlow(ctx)
}

// remembered lists the endpoints that something is held of, each once.
func (m *Metrics) remembered() []string {
	all := slices.Concat(m.known(), m.o.Certificates.known(), m.o.Clocks.known())
	slices.Sort(all)
	return slices.Compact(all)
}

// refreshSlow measures what is measured less often. A lock on the outbox table, or an index that it
// lacks, leaves out what cannot be measured, and nothing else.
func (m *Metrics) refreshSlow(ctx context.Context) {
	began := m.o.Now()
	if began.Before(m.slow.stale) {
		return
	}
	var measured slow
	bound, cancel := context.WithTimeoutCause(ctx, measureTimeout, errors.New("the database is slow"))
	defer cancel()
	if sizes, err := m.o.Store.Sizes(bound, m.o.Settings().Retention, began); err == nil {
		measured.sizes = &sizes
	}
	if n, err := m.o.Unaccounted(bound); err == nil {
		measured.unaccounted = &n
	}
	now := m.o.Now()
	if err := ctx.Err(); err != nil {
		return // whoever asked has left
	}
	measured.stale = now.Add(max(leastSlowAge, ageFactor*now.Sub(began))) // a twentieth of the time
	m.slow = measured
}

// measured returns the database's last answers, and reports whether it answered the last time it
// was asked.
func (m *Metrics) measured() (query.Measures, slow, bool) {
	m.measuring.Lock()
	defer m.measuring.Unlock()
	return m.measures, m.slow, m.reached
}
