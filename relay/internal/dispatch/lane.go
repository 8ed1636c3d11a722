package dispatch

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// lane is the in-memory side of one endpoint. Its workers are started when there is something to send and end when there
// is not, so an idle endpoint costs no goroutine.
type lane struct {
	d        *Dispatcher
	id       string
	index    int  // in the routing
	streamed bool // see Endpoint

	mu       sync.Mutex
	cfg      config.Endpoint
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

func newLane(d *Dispatcher, e Endpoint) *lane {
	l := &lane{d: d, id: e.Config.ID, streamed: e.Streamed}
	l.health = newHealth(e.State, e.Config.ParkAfter)
	l.cfg.Ordering = e.Config.Ordering
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
	if l.cfg.Ordering != e.Config.Ordering {
		l.reorder(e.Config.Ordering)
	}
	if l.cfg.OnDead != e.Config.OnDead && l.chains != nil {
		l.reread = true
		l.noteDue(time.Now())
	}
	l.cfg, l.sender = e.Config, e.Sender
	l.health.blocked, l.health.patience = e.Blocked, e.Config.ParkAfter
	l.limiter = nil
	if e.Config.Rate > 0 {
		l.limiter = rate.NewLimiter(rate.Limit(e.Config.Rate), max(1, int(e.Config.Rate/10)))
	}
	if e.Config.Ordering != config.OrderingNone && l.chains == nil {
		l.chains = map[string]*chain{}
		for _, h := range e.Heads {
			// A head that waits for one before it has none any more: it is due.
			l.chains[h.Key] = &chain{key: h.Key, rows: int(h.Count), next: later(h.NextAttemptAt, time.Now())}
		}
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
func (l *lane) capacity() int { return max(l.d.laneEvents, 4*l.cfg.Concurrency) }

// unrecorded is how many answered requests may wait for the recorder: with those in flight, what a crash has sent again.
// At this size the recorder is what a busy lane waits for only where a commit takes longer than three requests.
func (l *lane) unrecorded() int { return max(32, 3*l.cfg.Concurrency) }

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

// touch marks the lane as one with traffic and sees to its patrol.
func (l *lane) touch() {
	l.touched = true
	if l.active {
		return
	}
	l.active = true
	l.d.active.Add(1)
	if l.patrol == nil {
		l.patrol = time.AfterFunc(l.cfg.ParkAfter, l.onPatrol)
	} else {
		l.patrol.Reset(l.cfg.ParkAfter)
	}
}

// onPatrol parks what is unsettled for longer than park_after. It runs only while the lane has traffic.
func (l *lane) onPatrol() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	now := time.Now()
	l.parkOld(now)
	next := l.cfg.ParkAfter
	switch {
	case l.fresh.head != nil:
		next = max(l.fresh.head.since.Add(l.cfg.ParkAfter).Sub(now), time.Millisecond)
	case !l.touched:
		l.active = false
		l.d.active.Add(-1)
		return
	}
	l.touched = false
	l.patrol.Reset(next)
}

// parkOld writes every delivery that is older than park_after to the table. What a worker has stays with it and settles
// the row when it is answered; what still waits leaves memory, and fresh events queue behind it in the table.
func (l *lane) parkOld(now time.Time) {
	limit := now.Add(-l.cfg.ParkAfter)
	// Every turn takes at least the head out of the list.
	for dl := l.fresh.head; dl != nil && !dl.since.After(limit); dl = l.fresh.head {
		switch {
		case dl.phase == inFlight:
			l.fresh.remove(dl)
			l.represent(dl)
			l.hand(item{kind: itemPark, dl: dl, reason: outbox.ReasonSlow, next: now, stays: true})
		case dl.chain != nil:
			l.shedChain(dl.chain, outbox.ReasonSlow, now)
		default:
			l.spilling = true
			l.shedOne(dl, outbox.ReasonSlow, now)
		}
	}
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

// staff starts a worker if there is work and none is free.
func (l *lane) staff() {
	for l.workers < l.cfg.Concurrency && l.workers-l.inFlight < l.queue.live && !l.gated && !l.d.stopping.Load() {
		l.workers++
		l.d.workers.Go(l.work)
		if l.workers-l.inFlight >= 1 {
			// One free worker takes the next delivery and starts another if more wait.
			return
		}
	}
}

// work sends deliveries until there is none that may go.
func (l *lane) work() {
	var req webhook.Request
	for {
		dl, sender, ticket := l.pick(&req)
		if dl == nil {
			l.d.gate.call()
			return
		}
		l.finish(dl, sender.Send(l.d.sendCtx, &req))
		l.d.gate.leave(ticket)
		l.d.gate.call()
	}
}

// pick takes the next delivery for a worker, or returns nil and the worker is gone.
func (l *lane) pick(req *webhook.Request) (*delivery, Sender, int64) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	ticket, ok := l.admit(now)
	if !ok {
		l.workers--
		return nil, nil, 0
	}
	dl := l.queue.pop()
	dl.phase = inFlight
	l.inFlight++
	trigger := dl.trigger
	switch {
	case trigger != "":
	case dl.attempts > 0:
		trigger = outbox.TriggerRetry
	default:
		trigger = outbox.TriggerStream
	}
	*req = webhook.Request{Event: &dl.ev.Event, Body: dl.body, Number: dl.attempts + 1, Trigger: trigger, Now: now}
	l.staff()
	return dl, l.sender, ticket
}

// admit says whether there is a request that may start now. The ticket goes back to the gate after it.
func (l *lane) admit(now time.Time) (ticket int64, ok bool) {
	if l.queue.live == 0 {
		l.d.gate.decline(l)
		return 0, false
	}
	if ticket, ok = l.d.gate.enter(l, now); !ok {
		return 0, false
	}
	if !l.mayGo(now) {
		l.d.gate.leave(ticket)
		return 0, false
	}
	return ticket, true
}

// mayGo says whether a request may start now; if only time is missing, it arms the lane's wake.
func (l *lane) mayGo(now time.Time) bool {
	if l.d.stopping.Load() || l.answered >= l.unrecorded() {
		return false
	}
	if !l.d.live() {
		l.wakeIn(time.Second)
		return false
	}
	if wait, ok := l.health.mayGo(now); !ok {
		l.wakeIn(wait)
		return false
	}
	if l.limiter != nil {
		r := l.limiter.ReserveN(now, 1)
		if wait := r.DelayFrom(now); wait > 0 {
			r.CancelAt(now)
			l.wakeIn(wait)
			return false
		}
	}
	l.health.started()
	return true
}

// wakeIn staffs the lane again after wait; 0: somebody else will.
func (l *lane) wakeIn(wait time.Duration) {
	if wait <= 0 {
		return
	}
	if l.wake == nil {
		l.wake = time.AfterFunc(wait, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.staff()
		})
		return
	}
	l.wake.Reset(wait)
}

// finish takes in what came of a request.
func (l *lane) finish(dl *delivery, res webhook.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	if dl.generation != l.generation {
		l.stale--
	}
	l.fresh.remove(dl)
	now := time.Now()
	if l.d.sendCtx.Err() != nil && res.Attempt.StatusCode == 0 {
		l.abandon(dl, now)
		return
	}
	// A 410 leaves the delivery pending without a time: it is due when a person enables the endpoint again.
	decision := retry.Decide(l.cfg.Retry, dl.attempts+1, retry.Result{
		StatusCode: res.Attempt.StatusCode,
		Error:      res.Attempt.Error != "",
		RetryAfter: res.RetryAfter,
		Permanent:  res.Permanent,
	}, now, rand.Float64()) //nolint:gosec // Jitter needs no secrecy.
	dl.phase = gone
	dl.attempts++
	l.answered++
	it := item{kind: itemOutcome, dl: dl, attempt: res.Attempt, reason: decision.Reason, next: decision.Next}
	if it.next.IsZero() && decision.Outcome == outbox.Retry {
		it.next = now
	}
	it.attempt.EndpointID, it.attempt.Outcome = l.id, decision.Outcome
	if l.dropped {
		l.finishDropped(&it)
		return
	}
	since := l.health.failingSince
	change := l.judge(&it, decision, now)
	l.notify(&it, later(since, l.health.failingSince), now)
	l.hand(it)
	if l.answered >= l.unrecorded()/2 {
		// The other half is for the time that recording takes.
		l.d.recorder.hasten()
	}
	l.logAttempt(&it)
	if dl.chain != nil {
		l.advance(dl.chain, decision.Outcome, it.next, now)
	}
	if change {
		l.shed(now)
	}
}

// logAttempt logs an attempt: quietly where all is well, so that a busy relay's log shows what is not.
func (l *lane) logAttempt(it *item) {
	a := &it.attempt
	level := zerolog.WarnLevel
	switch {
	case a.Outcome == outbox.Delivered && a.Number == 1:
		level = zerolog.DebugLevel
	case a.Outcome == outbox.Delivered:
		level = zerolog.InfoLevel
	}
	if l.d.log.GetLevel() > level {
		return
	}
	e := l.d.log.WithLevel(level).Str("event_id", a.EventID).Str("endpoint", l.id).Int("attempt", a.Number).Str("outcome", string(a.Outcome))
	if a.StatusCode != 0 {
		e = e.Int("status", a.StatusCode)
	}
	if a.Error != "" {
		e = e.Str("error", a.Error)
	}
	if a.Outcome == outbox.Retry {
		e = e.Time("next", it.next)
	}
	e.Msg("attempt")
}

// judge updates the endpoint's health and says whether the lane must be shed.
func (l *lane) judge(it *item, decision retry.Decision, now time.Time) (shed bool) {
	switch {
	case decision.Outcome == outbox.Delivered:
		it.change = l.health.succeeded(l.id)
	case it.reason == outbox.ReasonInvalid:
		// The event cannot be sent anywhere; that says nothing about the endpoint.
	default:
		it.change, shed = l.health.failed(l.id, l.cfg, decision, now)
	}
	return shed
}

// abandon gives up a request that the relay itself broke off: nothing is known of its outcome, so no attempt is recorded.
func (l *lane) abandon(dl *delivery, now time.Time) {
	dl.phase = gone
	if l.dropped {
		l.hand(item{kind: itemDrop, dl: dl})
		return
	}
	l.hand(item{kind: itemPark, dl: dl, reason: outbox.ReasonShutdown, next: now})
}

// parkFresh hands a delivery that never entered the lane to the recorder.
func (l *lane) parkFresh(dl *delivery, reason outbox.Reason, next time.Time) {
	dl.phase = gone
	if c := l.chainFor(dl); c != nil {
		l.parkBehind(c, dl, reason, next)
		return
	}
	l.hand(item{kind: itemPark, dl: dl, reason: reason, next: next})
}

// shedOne takes an unordered delivery that waits out of memory.
func (l *lane) shedOne(dl *delivery, reason outbox.Reason, next time.Time) {
	if l.evict(dl, reason, next) {
		l.noteDue(next)
	}
}

// evict takes a delivery that waits out of memory. One without a row gets it; one with a row is forgotten, and evict says so.
func (l *lane) evict(dl *delivery, reason outbox.Reason, next time.Time) (forgotten bool) {
	if dl.phase == queued {
		l.queue.live--
	}
	dl.phase = gone
	if dl.fresh {
		l.fresh.remove(dl)
		l.hand(item{kind: itemPark, dl: dl, reason: reason, next: next})
		return false
	}
	l.forget(dl)
	return true
}

// forget says that a row of the table is no longer in memory.
func (l *lane) forget(dl *delivery) {
	if l.represented[dl.ev.ID] != dl {
		return
	}
	delete(l.represented, dl.ev.ID)
	if l.loading != nil {
		l.loading[dl.ev.ID] = struct{}{}
	}
}

// shed takes everything that waits out of memory, because the endpoint takes nothing for a while.
func (l *lane) shed(now time.Time) {
	reason, until := l.health.refusal(now)
	if l.closed {
		reason, until = outbox.ReasonDisabled, now
	}
	if l.d.stopping.Load() {
		reason, until = outbox.ReasonShutdown, now
	}
	if reason == "" {
		return
	}
	for _, c := range l.chains {
		l.shedChain(c, reason, until)
	}
	l.shedWaits(reason, until)
}

// shedWaits takes what waits in no chain out of memory.
func (l *lane) shedWaits(reason outbox.Reason, until time.Time) {
	for dl := l.fresh.head; dl != nil; {
		following := dl.next
		if dl.phase != inFlight {
			l.shedOne(dl, reason, until)
		}
		dl = following
	}
	for _, dl := range l.represented {
		if dl.phase == queued || dl.phase == waiting {
			l.shedOne(dl, reason, until)
		}
	}
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
