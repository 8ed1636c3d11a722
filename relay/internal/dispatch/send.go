package dispatch

import (
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/pace"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// staff starts a worker if there is work and none is free.
func (l *lane) staff() {
	for l.workers < l.health.admission.width() && l.workers-l.inFlight < l.ready() && !l.gated && !l.d.stopping.Load() {
		l.workers++
		l.d.workers.Go(l.work)
		if l.workers-l.inFlight >= 1 {
			// One free worker takes the next delivery and starts another if more wait.
			return
		}
	}
}

// ready returns how many requests there is something to send for; more than one may be missing.
// Where deliveries wait for company, it sees that somebody looks again.
func (l *lane) ready() int {
	if !l.company.On() || l.memory.queue.live == 0 {
		return l.memory.queue.live
	}
	if wait := l.company.waits(&l.memory, l.health.circuit.open, time.Now()); wait > 0 {
		l.wakeIn(wait)
		return 0
	}
	return 1
}

// enqueue puts a delivery at the end of the queue and sees that a worker is there to take it.
func (l *lane) enqueue(dl *delivery) {
	if dl.phase != waiting {
		l.company.joins(dl)
	}
	l.memory.enqueue(dl)
	l.staff()
}

// wait has a delivery wait for an earlier one of its key. It may be the company that the earlier
// one waits for.
func (l *lane) wait(dl *delivery) {
	l.company.joins(dl)
	l.memory.wait(dl)
	if l.company.On() {
		l.staff()
	}
}

// pass notes that the lane, which waited at the gate, may start one request.
func (l *lane) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gated, l.admitted = false, true
	before := l.workers
	l.staff()
	if l.workers == before && l.workers == l.inFlight {
		// Neither a new worker nor a free one comes by to use the admission.
		l.d.gate.decline(l)
	}
}

// work sends deliveries until there is none that may go.
func (l *lane) work() {
	var req webhook.Request
	for {
		p := l.pick(&req)
		switch {
		case p.batch != nil:
			p.batch.send(p.sender)
		case p.dl != nil:
			l.send(p.dl, p.sender, &req)
		default:
			l.d.gate.admit()
			return
		}
		l.d.gate.leave(p.ticket)
		l.d.gate.admit()
	}
}

// send makes a request for one delivery.
func (l *lane) send(dl *delivery, sender Sender, req *webhook.Request) {
	var traced Trace
	if l.d.trace != nil {
		traced = l.d.trace(req.Event, l.id, req.Number, req.Trigger, req.Now)
		req.Traceparent, req.Tracestate = traced.Headers()
	}
	res := sender.Send(l.d.sendCtx, req)
	res.Attempt.Search = l.d.search.Load().Terms(req.Event)
	outcome := l.finish(dl, res)
	if traced != nil {
		attempt := res.Attempt // or each result would be on the heap, traced or not
		traced.End(&attempt, outcome)
	}
}

// picked is what a worker is to send: dl, or a batch; neither: nothing, and the worker is gone.
type picked struct {
	dl     *delivery
	batch  *batch
	sender Sender
	ticket int64 // of the gate
}

// pick takes what is to be sent next for a worker; of one delivery it fills in the request.
func (l *lane) pick(req *webhook.Request) picked {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lapseAll(now)
	ticket, ok := l.admit(now)
	if !ok {
		l.workers--
		return picked{}
	}
	p := picked{sender: l.sender, ticket: ticket}
	if l.company.On() {
		p.batch = newBatch(l, now)
		l.d.inFlight.Add(int32(len(p.batch.dls))) //nolint:gosec // bounded by the settings of a batch
		l.started(p.batch.dls[0], now)
	} else {
		p.dl = l.memory.start()
		l.d.inFlight.Add(1)
		l.started(p.dl, now)
		*req = p.dl.request(now)
	}
	l.inFlight++
	l.staff()
	return p
}

// started notes that a request for dl starts.
func (l *lane) started(dl *delivery, now time.Time) {
	dl.moves = l.moves
	l.health.started(dl, now)
}

// request returns the attempt that is to be made now.
func (dl *delivery) request(now time.Time) webhook.Request {
	trigger := dl.trigger
	switch {
	case trigger != "":
	case dl.attempts > 0:
		trigger = outbox.TriggerRetry
	default:
		trigger = outbox.TriggerStream
	}
	return webhook.Request{Event: &dl.ev.Event, Body: dl.body, Number: dl.attempts + 1, Trigger: trigger, Now: now, Held: dl.held()}
}

// lapseAll takes what has expired from the front of the queue. It comes before a request is
// admitted, so that it uses up no rate and is nobody's probe.
func (l *lane) lapseAll(now time.Time) {
	for dl := l.memory.queue.peek(); dl != nil && dl.expired(now); dl = l.memory.queue.peek() {
		l.lapse(l.memory.start(), now)
	}
}

// lapse gives up a delivery whose event has expired: it is dead, without an attempt. That says
// nothing about the endpoint.
func (l *lane) lapse(dl *delivery, now time.Time) {
	l.lapsed(dl, now)
	l.advance(dl.chain, outbox.Dead, time.Time{}, now)
}

// lapsed is lapse without what follows for the chain.
func (l *lane) lapsed(dl *delivery, now time.Time) {
	dl.phase = gone
	l.memory.fresh.remove(dl)
	it := item{kind: itemLapse, dl: dl, reason: outbox.ReasonExpired}
	it.attempt = outbox.Attempt{
		Number: dl.attempts, Outcome: outbox.Dead, Error: "the event expired at " + dl.ev.ExpiresAt.UTC().Format(time.RFC3339) + " before it was delivered",
	}
	t := teller{id: l.id, policy: &l.policy, routing: l.d.routing.Load(), log: &l.d.log}
	t.lapsed(&it, now)
	l.hand(it)
	if l.d.log.GetLevel() <= zerolog.WarnLevel {
		l.d.log.Warn().Str("event_id", dl.ev.ID).Str("endpoint", l.id).Time("expired", dl.ev.ExpiresAt).Msg("event expired before it was delivered")
	}
}

// admit reports whether there is a request that may start now. The ticket goes back to the gate
// after it.
func (l *lane) admit(now time.Time) (ticket int64, ok bool) {
	if l.ready() == 0 {
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

// mayGo reports whether a request may start now; if only time is missing, it arms the lane's wake.
func (l *lane) mayGo(now time.Time) bool {
	if l.d.stopping.Load() || l.answered >= l.unrecorded() || l.inFlight >= l.health.admission.width() {
		return false
	}
	if !l.d.held() {
		l.wakeIn(time.Second)
		return false
	}
	if wait := l.strainedUntil.Sub(now); wait > 0 {
		l.wakeIn(wait)
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

// finish notes what came of a request, and returns its outcome; empty: it was broken off, or
// nothing was sent.
func (l *lane) finish(dl *delivery, res webhook.Result) outbox.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.d.inFlight.Add(-1)
	if dl.generation != l.generation {
		l.stale--
	}
	l.memory.fresh.remove(dl)
	now := time.Now()
	aborted := l.d.sendCtx.Err() != nil && res.Attempt.StatusCode == 0
	next := now
	if res.Local && !aborted {
		next = l.noteStrain(res.Attempt.Error, now)
	}
	switch {
	case res.Unsent && !l.dropped && dl.expired(now):
		l.health.circuit.abandoned(dl)
		l.lapse(dl, now)
		return ""
	case res.Unsent, (res.Local || aborted) && !res.Reached:
		l.abandon(dl, next, now)
		return ""
	case res.Local || aborted:
		l.interrupt(dl, &res.Attempt, next, now)
		return ""
	}
	l.strained.Reset()
	decision := decide(l.policy.retry, dl, &res, now, rand.Float64()) //nolint:gosec // Jitter needs no secrecy.
	dl.phase = gone
	l.answered++
	it := l.outcome(dl, &res.Attempt, decision, now)
	if l.dropped {
		l.finishDropped(&it)
		return it.attempt.Outcome
	}
	since := l.health.failing.since
	change := l.judge(&it, decision, res.Barred || res.Again, now)
	l.conclude(&it, since, now)
	l.advance(dl.chain, decision.Outcome, it.next, now)
	if change {
		l.shed(now)
	}
	return decision.Outcome
}

// decide returns what becomes of a delivery after an attempt.
func decide(policy config.Retry, dl *delivery, res *webhook.Result, now time.Time, rnd float64) retry.Decision {
	return retry.Decide(policy, dl.attempts+1, retry.Result{
		StatusCode:    res.Attempt.StatusCode,
		Error:         res.Attempt.Error != "" && !res.Delivered,
		RetryAfter:    res.RetryAfter,
		Permanent:     res.Permanent,
		Unaddressable: res.Unaddressable,
		Word:          retry.Word(res.Word),
		Barred:        res.Barred,
		Again:         res.Again,
	}, now, rnd)
}

// outcome returns what is to be recorded of an attempt.
func (l *lane) outcome(dl *delivery, attempt *outbox.Attempt, decision retry.Decision, now time.Time) item {
	it := item{kind: itemOutcome, dl: dl, attempt: *attempt, reason: decision.Reason, next: decision.Next}
	if decision.Outcome == outbox.Retry {
		if it.next.IsZero() {
			// A 410 leaves the delivery pending without a time: it is due when a person enables the
			// endpoint again.
			it.next = now
		}
		// Like the table, the lane has the time of the wall clock, which goes on while the machine
		// sleeps.
		it.next = dl.beforeExpiry(it.next).Round(0)
	}
	it.attempt.EndpointID, it.attempt.Outcome = l.id, decision.Outcome
	return it
}

// conclude tells of an outcome and hands it to the recorder. since is when the endpoint began to
// fail before it.
func (l *lane) conclude(it *item, since, now time.Time) {
	t := teller{id: l.id, policy: &l.policy, routing: l.d.routing.Load(), log: &l.d.log}
	t.notify(it, &l.health, pace.Later(since, l.health.failing.since), now)
	l.hand(*it)
	if l.answered >= l.unrecorded()/2 {
		// The other half is for the time that recording takes.
		l.d.recorder.hasten()
	}
	l.logAttempt(it)
}

// finishDropped records the attempt that was in flight when the endpoint went: whatever came of it,
// it was the last one.
func (l *lane) finishDropped(it *item) {
	if it.attempt.Outcome == outbox.Retry {
		it.attempt.Outcome = outbox.Dead
	}
	it.forgets = true
	l.hand(*it)
	l.logAttempt(it)
}

// logAttempt logs an attempt: quietly where all is well, so that a busy relay's log shows what is
// not.
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
	if a.Outcome == outbox.Retry && !it.next.IsZero() { // else it waits for another
		e = e.Time("next", it.next)
	}
	e.Msg("attempt")
}

// judge updates the endpoint's health and reports whether the lane must be shed. What a former URL
// answers, a 410 for example, says nothing of the endpoint. Nor does a failure that is blameless:
// one of others than the receiver, or of a connection or a token that had ended.
func (l *lane) judge(it *item, decision retry.Decision, blameless bool, now time.Time) (shed bool) {
	if it.dl.moves != l.moves {
		l.health.circuit.abandoned(it.dl)
		return false
	}
	switch {
	case decision.Outcome == outbox.Delivered:
		it.change = l.health.succeeded(l.id, it.dl, now)
	case it.reason == outbox.ReasonInvalid, it.reason == outbox.ReasonUnaddressable, it.reason == outbox.ReasonRejected, blameless:
		// The event cannot be sent anywhere, or not now, or the receiver works and will not have
		// this one: that says nothing about the endpoint.
		l.health.circuit.abandoned(it.dl)
	default:
		if it.attempt.StatusCode == 0 && l.policy.timeout > 0 && it.attempt.Duration >= l.policy.timeout {
			decision.Overloaded = true // it did not answer in time
		}
		it.change, shed = l.health.failed(l.id, it.dl, l.policy.terms, decision, now)
	}
	if disabled := l.health.disable(l.id, decision.Disable); disabled != nil {
		it.change, shed = disabled, true
	}
	return shed
}

// noteStrain notes that this machine could not send, and returns when it is worth trying again.
// Other endpoints go on: they may have connections.
func (l *lane) noteStrain(problem string, now time.Time) time.Time {
	l.d.strain.met(&l.d.log, l.id, problem, now)
	if !l.strainedUntil.After(now) {
		l.strainedUntil = now.Add(l.strained.Next())
	}
	return l.strainedUntil
}

// interrupt records a request that reached the receiver, perhaps, and that the relay could not see
// to its end. It says nothing about the receiver, and does not use up the schedule: it is tried
// again at next.
func (l *lane) interrupt(dl *delivery, attempt *outbox.Attempt, next, now time.Time) {
	if l.interrupted(dl, attempt, next) {
		l.advance(dl.chain, outbox.Retry, next, now)
	}
}

// interrupted is interrupt without what follows for the chain; false: nothing does.
func (l *lane) interrupted(dl *delivery, attempt *outbox.Attempt, next time.Time) bool {
	dl.phase = gone
	l.health.circuit.abandoned(dl)
	l.answered++
	it := item{kind: itemOutcome, dl: dl, attempt: *attempt, reason: outbox.ReasonShutdown, next: next}
	it.attempt.EndpointID, it.attempt.Outcome = l.id, outbox.Retry
	if l.dropped {
		l.finishDropped(&it)
		return false
	}
	l.hand(it)
	l.logAttempt(&it)
	return true
}

// abandon gives up a request that the relay itself broke off, or did not send: nothing is known of
// its outcome, so no attempt is recorded. Should the relay deliver again after all, the table has
// it, due at next.
func (l *lane) abandon(dl *delivery, next, now time.Time) {
	parked := l.memory.parked(dl)
	if !l.abandoned(dl, next) {
		return
	}
	l.advance(dl.chain, outbox.Retry, next, now)
	if dl.chain != nil && parked {
		dl.chain.written = false // its row keeps the time that it has
	}
}

// abandoned is abandon without what follows for the chain; false: nothing does.
func (l *lane) abandoned(dl *delivery, next time.Time) bool {
	dl.phase = gone
	l.health.circuit.abandoned(dl)
	if l.dropped {
		l.hand(item{kind: itemDrop, dl: dl})
		return false
	}
	l.memory.forget(dl)
	l.hand(item{kind: itemPark, dl: dl, reason: outbox.ReasonShutdown, next: next})
	return true
}

// advance lets a chain go on after its head was answered; nil: the delivery was in none.
func (l *lane) advance(c *chain, outcome outbox.Outcome, next, now time.Time) {
	if c == nil {
		return
	}
	following, spilled := c.answered(outcome, l.policy.holds(), next, now)
	for _, dl := range spilled {
		l.evict(dl, outbox.ReasonOrder, time.Time{})
	}
	if following != nil {
		l.enqueue(following)
	}
}
