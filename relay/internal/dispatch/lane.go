package dispatch

import (
	"strconv"
	"sync"
	"time"
	"unique"

	"golang.org/x/time/rate"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// lane is the in-memory side of one endpoint. It composes what the endpoint has in memory, its
// ordered keys and its health, and acts on what they decide. Its workers are started when there is
// something to send and end when there is not, so an idle endpoint costs no goroutine.
type lane struct {
	d     *Dispatcher
	id    string
	index int // in the routing

	mu      sync.Mutex
	policy  policy
	sender  Sender
	health  health
	limiter *rate.Limiter // nil: unlimited
	memory  memory
	chains  *chains // nil: unordered
	company company

	workers  int
	inFlight int

	nextDue time.Time    // earliest row of the table that is not in memory; zero: none
	reloads pace.Backoff // after a query of the loader failed
	// generation is that of the ordering, and stale counts what an earlier one queued and is not in
	// the table yet, in flight or uncommitted.
	generation int
	stale      int

	proving *proving // nil: the endpoint need not show that it wants events

	strained      pace.Backoff // while the machine lacks something that requests need
	strainedUntil time.Time

	answered    int // requests with an outcome that is not committed
	uncommitted int // items that the recorder has not committed
	patrol      *time.Timer
	wake        *time.Timer

	// Together, for there may be many lanes.

	streamed bool // see Endpoint
	gated    bool // waits at the gate
	admitted bool // was let through the gate and has not passed yet
	// spilling sends fresh events straight to the table until the loader has brought back
	// everything that is due.
	spilling bool
	reread   bool // somebody else changed the table: the chains must be read again
	// reordering: the ordering changed, and everything is parked until all that was queued by the
	// old one is in the table.
	reordering bool
	closed     bool  // its endpoint is gone
	dropped    bool  // and gets nothing more, so that nothing of it is kept
	active     bool  // counted in Dispatcher.active
	touched    bool  // took an event since the last patrol
	moves      int32 // how often the URL changed
}

func newLane(d *Dispatcher, e Endpoint) *lane {
	l := &lane{d: d, id: e.Config.ID, streamed: e.Streamed, reloads: pace.Backoff{Least: time.Second, Most: time.Minute}}
	l.policy.terms = d.terms.of(&e.Config)
	l.memory.bytes = &d.loadedBytes
	l.health = newHealth(e.State, e.Config.ParkAfter)
	l.policy.ordering = e.Config.Ordering
	l.configure(e)
	l.nextDue, l.reread = e.Due, e.Reread
	if e.ManyKeys && l.chains != nil {
		l.chains.sweep = newSweep(time.Now())
	}
	_, next := l.chains.due(time.Time{}, 0)
	l.nextDue = pace.Sooner(l.nextDue, next)
	return l
}

// configure sets what may change while the lane lives.
func (l *lane) configure(e Endpoint) {
	if l.policy.ordering != e.Config.Ordering {
		l.reorder(e.Config.Ordering)
	}
	if l.policy.onDead != e.Config.OnDead && l.chains != nil {
		l.stir(time.Now())
	}
	if l.health.proof != e.Proof {
		l.health.proof = e.Proof
		l.proving = l.proving.anew()
	}
	url, was := unique.Make(e.Config.URL), l.policy.terms
	l.move(url)
	l.policy = policy{name: e.Config.Name, tenant: e.Config.Tenant, url: url, ordering: e.Config.Ordering, terms: l.d.terms.of(&e.Config)}
	l.sender = e.Sender
	l.health.blocked, l.health.patience, l.health.admission.ceiling = e.Blocked, e.Config.ParkAfter, e.Config.Concurrency
	l.company.terms = l.policy.terms
	l.retime(was)
	l.limit(e.Config.Rate)
	if e.Config.Ordering != config.OrderingNone && l.chains == nil {
		l.chains = newChains()
		l.chains.begin(e.KeyHeads, time.Now())
	}
}

// retime replaces what was planned with the former times: the next look at what waits, and the
// warnings that are still to come.
func (l *lane) retime(was *terms) {
	if l.active && was.parkAfter != l.policy.parkAfter {
		l.patrol.Reset(l.policy.parkAfter)
	}
	if was.disableAfter != l.policy.disableAfter {
		l.health.failing.warns = 0 // they were of the former end
	}
}

// move notes the URL of the endpoint. What a former receiver did says nothing of another one, nor
// does what a former URL answers to requests that are in flight.
func (l *lane) move(url unique.Handle[string]) {
	was := l.policy.url
	if was == url {
		return
	}
	l.moves++
	if was != (unique.Handle[string]{}) && !config.SameReceiver(was.Value(), url.Value()) {
		l.health.anew()
	}
}

// limit sets the rate; 0: unlimited. A rate that stays leaves its limiter alone, so that a reload
// allows no burst.
func (l *lane) limit(perSecond float64) {
	switch {
	case perSecond <= 0:
		l.limiter = nil
	case l.limiter == nil || l.limiter.Limit() != rate.Limit(perSecond):
		l.limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/10)))
	}
}

// reconfigure takes a changed endpoint. Its status stays: that has a place of its own in the
// stream.
func (l *lane) reconfigure(e Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configure(e)
	l.shed(time.Now())
}

// reorder begins a change of the ordering: what waits goes to the table, and so does what arrives,
// until all of it is there; then the queue is read anew.
func (l *lane) reorder(ordering config.Ordering) {
	now := time.Now()
	l.shedChains(outbox.ReasonOrder, now)
	l.shedWaits(outbox.ReasonOrder, now)
	l.generation++
	l.stale = l.inFlight + l.uncommitted
	l.reordering, l.reread = true, true
	l.chains = nil
	if ordering != config.OrderingNone {
		l.chains = newChains()
	}
	l.nextDue = now
}

// reopen makes a closed lane that of an endpoint again. It waits, as after a change of the
// ordering, until all of before is recorded, and then reads the table. A lane whose endpoint was
// dropped has nothing to go on with; reopen reports that.
func (l *lane) reopen(e Endpoint) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dropped {
		return false
	}
	l.closed, l.streamed = false, e.Streamed
	l.policy.ordering = e.Config.Ordering
	l.reorder(e.Config.Ordering)
	l.configure(e)
	l.health.assign(e.State)
	l.health.verified = e.State.Verified
	return true
}

// resume looks at everything that may be due, after a start or a change from outside.
func (l *lane) resume() {
	if l.d.elsewhere != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prove()
	l.staff()
	if !l.nextDue.IsZero() {
		l.d.loader.schedule(l, l.nextDue)
	}
}

// proving is that an endpoint has to show that it wants events.
type proving struct {
	under  bool         // it is being asked
	pauses pace.Backoff // between two askings
	at     time.Time    // it is not asked before that
	timer  *time.Timer
}

// firstAsk and mostAsk bound the pause before an endpoint is asked again whether it wants events.
const (
	firstAsk = 5 * time.Second
	mostAsk  = 10 * time.Minute
)

// anew has the endpoint asked at once about something else. The receiver is nil where there was
// nothing to ask.
func (p *proving) anew() *proving {
	if p == nil {
		p = &proving{pauses: pace.Backoff{Least: firstAsk, Most: mostAsk}}
	}
	p.at = time.Time{}
	p.pauses.Reset()
	return p
}

// prove has the endpoint asked whether it wants events, where it has to say so first.
func (l *lane) prove() {
	if !l.health.unverified() || !l.health.open() || l.proving.under || l.closed || l.d.stopping.Load() {
		return
	}
	verifier, ok := l.sender.(Verifier)
	if !ok {
		return
	}
	wait := time.Until(l.proving.at)
	if wait <= 0 && !l.d.held() {
		wait = time.Second
	}
	switch {
	case wait <= 0:
		l.proving.under = true
		proof := l.health.proof
		l.d.workers.Go(func() { l.asked(proof, verifier.Verify(l.d.sendCtx, l.d.held)) })
	case l.proving.timer == nil:
		l.proving.timer = time.AfterFunc(wait, l.resume)
	default:
		l.proving.timer.Reset(wait)
	}
}

// asked notes what the endpoint said. What it did not say, it is asked again after a pause that
// grows.
func (l *lane) asked(proof string, res webhook.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proving.under = false
	now := time.Now()
	switch {
	case l.health.proof != proof || l.closed: // it was about another URL
	case res.Unsent, res.Local:
		l.proving.at = now.Add(l.proving.pauses.Next())
	case res.Delivered:
		l.health.verified = proof
		l.proving.pauses.Reset()
		l.recordVerification(res.Attempt, outbox.Delivered, ledger.EndpointChange{Verified: proof})
		l.d.log.Info().Str("endpoint", l.id).Msg("endpoint verified, delivering to it")
		l.noteDue(now)
	default:
		l.proving.at = now.Add(l.proving.pauses.Next())
		l.recordVerification(res.Attempt, outbox.Retry, ledger.EndpointChange{VerifyError: problemOf(&res.Attempt)})
		l.d.log.Warn().Str("endpoint", l.id).Int("status", res.Attempt.StatusCode).Str("error", res.Attempt.Error).Time("next", l.proving.at).
			Msg("endpoint not verified, its deliveries wait")
	}
	l.prove()
	l.staff()
}

// recordVerification has what the endpoint answered to a challenge recorded.
func (l *lane) recordVerification(a outbox.Attempt, outcome outbox.Outcome, c ledger.EndpointChange) {
	a.EndpointID, a.Outcome = l.id, outcome
	c.EndpointID, c.FailingSince = l.id, l.health.failing.since
	dl := &delivery{ev: &event{}, lane: l, phase: gone, settled: true, generation: l.generation}
	l.hand(item{kind: itemProof, dl: dl, attempt: a, change: &c})
}

// problemOf says why an attempt failed.
func problemOf(a *outbox.Attempt) string {
	if a.Error != "" {
		return a.Error
	}
	return "the answer was status " + strconv.Itoa(a.StatusCode)
}

// close parks what waits, for a lane whose endpoint is gone or whose relay stops.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.shed(time.Now())
	l.retire()
}

// drop forgets everything, for a lane whose endpoint is gone and gets nothing more. What is in
// flight is still recorded, as attempts without a delivery; it no longer holds its transaction.
func (l *lane) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.dropped = true, true
	l.chains.clear()
	for dl := l.memory.fresh.head; dl != nil; dl = l.memory.fresh.head {
		if dl.phase == inFlight {
			l.memory.fresh.remove(dl)
		} else {
			l.memory.evict(dl)
		}
		l.hand(item{kind: itemDrop, dl: dl})
	}
	for _, dl := range l.memory.loaded {
		if dl.phase == inFlight || dl.phase == gone {
			l.memory.forget(dl)
		} else {
			l.memory.evict(dl)
		}
	}
	l.retire()
}

// retire ends what runs by time.
func (l *lane) retire() {
	if l.patrol != nil {
		l.patrol.Stop()
	}
	if l.wake != nil {
		l.wake.Stop()
	}
	if l.proving != nil && l.proving.timer != nil {
		l.proving.timer.Stop()
	}
	if l.active {
		l.active = false
		l.d.active.Add(-1)
	}
}

// over reports whether a closed lane has nothing left to do. One that is not closed yet is about to
// be.
func (l *lane) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed && l.inFlight+l.uncommitted == 0
}

// capacity is how many deliveries may wait in memory while other lanes have work too.
func (l *lane) capacity() int {
	return max(l.d.laneEvents, 4*l.policy.concurrency, 2*l.company.Events)
}

// view returns what the endpoint is admitted now.
func (l *lane) view() Admission {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.health.admission
	v := Admission{Admitting: a.width(), Concurrency: l.policy.concurrency, InFlight: l.inFlight, Rate: a.limit}
	if a.pausedUntil.After(time.Now()) {
		v.Admitting, v.PausedUntil = 0, a.pausedUntil
	}
	return v
}

// unrecorded is how many answered deliveries may wait for the recorder: with those in flight, what
// a crash has sent again. Where requests have several, that is one recording transaction. At this
// size the recorder is what a busy lane waits for only where a commit takes longer than three
// requests.
func (l *lane) unrecorded() int {
	n := max(32, 3*l.policy.concurrency)
	if l.company.On() {
		return max(n, maxBatch)
	}
	return n
}

// hand passes an item to the recorder.
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

// recorded notes that an item is committed.
func (l *lane) recorded(it *item) {
	dl := it.dl
	l.mu.Lock()
	defer l.mu.Unlock()
	switch it.kind {
	case itemReject, itemVersion, itemPassedOn:
		return
	case itemOutcome, itemPark, itemDrop, itemProof, itemLapse:
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
	if it.kind == itemOutcome || it.kind == itemLapse {
		l.memory.forget(dl)
	}
	switch {
	case dl.chain != nil:
		dl.chain.uncommitted--
		l.settle(dl.chain)
		l.shrink()
	case it.remains():
		l.noteDue(it.next)
	}
	if !l.nextDue.IsZero() && len(l.memory.loaded) <= l.capacity()/2 && !l.nextDue.After(l.d.recorder.now) {
		l.d.loader.schedule(l, l.nextDue)
	}
}
