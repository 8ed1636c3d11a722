package dispatch

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/pace"
)

// lane is the in-memory side of one endpoint. Its workers are started when there is something to send and end when there
// is not, so an idle endpoint costs no goroutine.
type lane struct {
	d        *Dispatcher
	id       string
	index    int  // in the routing
	streamed bool // see Endpoint

	mu       sync.Mutex
	policy   policy
	sender   Sender
	health   health
	limiter  *rate.Limiter // nil: unlimited
	queue    queue
	workers  int
	inFlight int
	gated    bool // waits at the gate
	called   bool // was let through the gate and has not passed yet
	fresh    freshList
	// represented holds what is in memory of the endpoint's rows in tailpost.delivery; the loader leaves those alone.
	represented map[string]*delivery
	// loading is non-nil while the loader reads: what was forgotten meanwhile may be in its answer and is stale there.
	loading map[string]struct{}
	// spilling sends fresh events straight to the table until the loader has brought back everything that is due.
	spilling bool
	chains   map[string]*chain // nil: unordered
	nextDue  time.Time         // earliest row of the table that is not in memory; zero: none
	closed   bool              // its endpoint is gone
	dropped  bool              // and gets nothing more, so that nothing of it is kept
	reread   bool              // somebody else changed the table: the chains must be read again
	// reordering: the ordering changed, and everything is parked until all that was queued by the old one (that of an
	// earlier generation) is in the table. stale counts what is not, in flight or uncommitted.
	reordering  bool
	generation  int
	stale       int
	answered    int  // requests with an outcome that is not committed
	uncommitted int  // items that the recorder has not committed
	active      bool // counted in Dispatcher.active
	touched     bool // took an event since the last patrol
	patrol      *time.Timer
	wake        *time.Timer
}

// policy is what a lane goes by of its endpoint's configuration. All of that would be a good part of what an idle endpoint
// costs.
type policy struct {
	name, tenant string
	concurrency  int
	ordering     config.Ordering
	onDead       config.OnDead
	retry        config.Retry
	circuit      config.Circuit
	parkAfter    time.Duration
	disableAfter time.Duration
}

func policyOf(e *config.Endpoint) policy {
	return policy{
		name: e.Name, tenant: e.Tenant, concurrency: e.Concurrency, ordering: e.Ordering, onDead: e.OnDead,
		retry: e.Retry, circuit: e.Circuit, parkAfter: e.ParkAfter, disableAfter: e.DisableAfter,
	}
}

func newLane(d *Dispatcher, e Endpoint) *lane {
	l := &lane{d: d, id: e.Config.ID, streamed: e.Streamed}
	l.health = newHealth(e.State, e.Config.ParkAfter)
	l.policy.ordering = e.Config.Ordering
	l.configure(e)
	l.nextDue = e.Due
	for _, c := range l.chains {
		if l.nextDue.IsZero() || c.next.Before(l.nextDue) {
			l.nextDue = c.next
		}
	}
	return l
}

// configure sets what may change while the lane lives.
func (l *lane) configure(e Endpoint) {
	if l.policy.ordering != e.Config.Ordering {
		l.reorder(e.Config.Ordering)
	}
	if l.policy.onDead != e.Config.OnDead && l.chains != nil {
		l.reread = true
		l.noteDue(time.Now())
	}
	l.policy, l.sender = policyOf(&e.Config), e.Sender
	l.health.blocked, l.health.patience = e.Blocked, e.Config.ParkAfter
	l.limit(e.Config.Rate)
	if e.Config.Ordering != config.OrderingNone && l.chains == nil {
		l.chains = map[string]*chain{}
		for _, h := range e.Heads {
			// A head that waits for one before it has none any more: it is due.
			l.chains[h.Key] = &chain{key: h.Key, rows: int(h.Count), next: pace.Later(h.NextAttemptAt, time.Now())}
		}
	}
}

// limit sets the rate; 0: unlimited. A rate that stays leaves its limiter alone, so that a reload allows no burst.
func (l *lane) limit(perSecond float64) {
	switch {
	case perSecond <= 0:
		l.limiter = nil
	case l.limiter == nil || l.limiter.Limit() != rate.Limit(perSecond):
		l.limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10)))
	}
}

// reconfigure takes a changed endpoint, with its state or without.
func (l *lane) reconfigure(e Endpoint, state bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configure(e)
	if state {
		l.health.assign(e.State)
	}
	l.shed(time.Now())
}

// resume looks at everything that may be due, after a start or a change from outside.
func (l *lane) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.staff()
	if !l.nextDue.IsZero() {
		l.d.loader.schedule(l, l.nextDue)
	}
}

// capacity is how many deliveries may wait in memory while other lanes have work too.
func (l *lane) capacity() int { return max(l.d.laneEvents, 4*l.policy.concurrency) }

// unrecorded is how many answered requests may wait for the recorder: with those in flight, what a crash has sent again.
// At this size the recorder is what a busy lane waits for only where a commit takes longer than three requests.
func (l *lane) unrecorded() int { return max(32, 3*l.policy.concurrency) }

// take puts a fresh delivery into the lane, or hands it to the recorder to be parked. It never blocks.
func (l *lane) take(dl *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dl.generation = l.generation
	l.touch()
	if reason, next := l.refusal(dl.since); reason != "" {
		l.parkFresh(dl, reason, next)
		return
	}
	if c := l.chainFor(dl); c != nil {
		l.takeOrdered(c, dl)
		return
	}
	l.fresh.push(dl)
	l.enqueue(dl)
}

// refusal says why the lane takes no fresh delivery into memory now, and when the parked one is due.
func (l *lane) refusal(now time.Time) (outbox.Reason, time.Time) {
	if l.d.stopping.Load() {
		return outbox.ReasonShutdown, now
	}
	if l.closed {
		return outbox.ReasonDisabled, now
	}
	if l.reordering {
		return outbox.ReasonOrder, now
	}
	if reason, until := l.health.refusal(now); reason != "" {
		return reason, until
	}
	switch {
	case l.waitsForTable():
		return outbox.ReasonOrder, now
	case l.spilling:
		return outbox.ReasonSlow, now
	case l.queue.live >= l.capacity() && l.d.active.Load() > 1:
		// Alone, a full lane stops the reader through the budget: nobody else is kept waiting by that.
		l.spilling = true
		return outbox.ReasonLaneFull, now
	}
	return "", time.Time{}
}

// hand gives an item to the recorder.
func (l *lane) hand(it item) {
	if c := it.dl.chain; c != nil {
		c.uncommitted++
	}
	l.uncommitted++
	if it.dl.generation != l.generation {
		l.stale++
	}
	l.d.recorder.add(it)
}

// enqueue puts a delivery at the end of the queue and sees that a worker is there to take it.
func (l *lane) enqueue(dl *delivery) {
	dl.phase = queued
	l.queue.push(dl)
	l.staff()
}

// noteDue remembers that the table has a delivery, not in memory, that is due at t.
func (l *lane) noteDue(t time.Time) {
	if t.IsZero() {
		return
	}
	if l.nextDue.IsZero() || t.Before(l.nextDue) {
		l.nextDue = t
	}
	l.d.loader.schedule(l, l.nextDue)
}

// recorded takes in that an item is committed.
func (l *lane) recorded(it *item) {
	dl := it.dl
	l.mu.Lock()
	defer l.mu.Unlock()
	if it.kind == itemReject || it.kind == itemVersion {
		return
	}
	l.uncommitted--
	if it.kind == itemOutcome {
		l.answered--
		if l.answered == l.unrecorded()-1 {
			l.staff()
		}
	}
	if dl.generation != l.generation {
		l.stale--
		if l.stale == 0 && l.reread {
			l.noteDue(time.Now())
		}
	}
	if it.kind == itemOutcome {
		l.forget(dl)
	}
	switch {
	case dl.chain != nil:
		l.recordedOrdered(dl.chain)
	case it.remains():
		l.noteDue(it.next)
	}
	if !l.nextDue.IsZero() && len(l.represented) <= l.capacity()/2 && !l.nextDue.After(l.d.recorder.now) {
		l.d.loader.schedule(l, l.nextDue)
	}
}

// close parks what waits, for a lane whose endpoint is gone or whose relay stops.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.shed(time.Now())
	l.retire()
}
