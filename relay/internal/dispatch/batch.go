package dispatch

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// batch is what a lane sends in one request: deliveries that it took from its queue in one go, in
// commit order where that counts. They are settled one by one, all at once: nobody sees a chain
// while only a part of its deliveries is settled.
//
// Limits, the circuit and health count the request. Of a chain, what follows one that failed counts
// as failed too, whatever the receiver says of it: it waits for that one, as ever.
type batch struct {
	lane    *lane
	dls     []*delivery
	request webhook.Batch
	traces  []Trace         // nil: nobody traces
	ends    map[*chain]*end // of each chain that it has deliveries of, while it is settled
}

// newBatch takes what may go next from a lane's queue, in which something waits. The caller holds
// the lane's lock.
func newBatch(l *lane, now time.Time) *batch {
	chosen, _ := l.company.choose(&l.memory, l.health.circuit.open, now)
	b := &batch{lane: l, dls: slices.Clone(chosen)}
	for _, dl := range b.dls {
		if dl.phase == queued {
			l.memory.start() // the oldest of the queue are chosen first
			continue
		}
		dl.chain.board()
		l.memory.board(dl)
	}
	if l.chains != nil {
		slices.SortStableFunc(b.dls, func(x, y *delivery) int {
			return cmp.Or(cmp.Compare(x.ev.CommitLSN, y.ev.CommitLSN), cmp.Compare(x.ev.Seq, y.ev.Seq))
		})
	}
	b.request = webhook.Batch{ID: ledger.NewRequestID(now), Requests: make([]webhook.Request, len(b.dls)), Left: b.leave}
	for i, dl := range b.dls {
		b.request.Requests[i] = dl.request(now)
	}
	b.request.Requests[0].Held = b.held()
	l.company.took(&l.memory)
	return b
}

// held returns what is asked right before the request is written, as of a single delivery: all of
// the events are in time, or nothing is sent.
func (b *batch) held() func() bool {
	begun := false
	return func() bool {
		now := time.Now()
		begun = b.lane.d.held() && (begun || !slices.ContainsFunc(b.dls, func(dl *delivery) bool { return dl.expired(now) }))
		return begun
	}
}

// send makes the request.
func (b *batch) send(sender Sender) {
	l := b.lane
	requests := b.request.Requests
	if l.d.trace != nil {
		b.traces = make([]Trace, len(requests))
		for i := range requests {
			r := &requests[i]
			b.traces[i] = l.d.trace(r.Event, l.id, r.Number, r.Trigger, r.Now)
		}
	}
	results := sender.SendBatch(l.d.sendCtx, &b.request)
	search := l.d.search.Load()
	for i := range results {
		results[i].Attempt.Search = search.Terms(requests[i].Event)
	}
	outcomes := b.finish(results)
	for i, traced := range b.traces {
		var attempt outbox.Attempt // of one that was left: none
		var outcome outbox.Outcome
		if i < len(results) {
			attempt, outcome = results[i].Attempt, outcomes[i]
		}
		traced.End(&attempt, outcome)
	}
}

// leave puts the last n deliveries back, before they are sent.
func (b *batch) leave(n int) {
	l := b.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	kept := len(b.dls) - n
	for _, dl := range slices.Backward(b.dls[kept:]) {
		b.back(dl, now)
	}
	b.dls = b.dls[:kept]
	l.d.inFlight.Add(-int32(n)) //nolint:gosec // bounded by the settings of a batch
	l.shed(now)                 // the endpoint may have been paused, or be gone
	l.staff()
}

// back puts the last delivery of the batch back where it came from.
func (b *batch) back(dl *delivery, now time.Time) {
	l := b.lane
	switch c := dl.chain; {
	case l.dropped: // nothing is kept of it
		dl.phase = gone
	case dl.generation != l.generation:
		// The ordering has changed: it is read from the table, with what waited.
		l.evict(dl, outbox.ReasonOrder, now)
	case c != nil && c.head != dl:
		c.alight(dl)
		l.memory.wait(dl)
	default:
		l.memory.requeue(dl)
	}
}

// finish notes what came of the request for each delivery, and returns the outcomes; empty: it was
// broken off, or nothing was sent.
func (b *batch) finish(results []webhook.Result) []outbox.Outcome {
	l := b.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.d.inFlight.Add(-int32(len(b.dls))) //nolint:gosec // bounded by the settings of a batch
	if b.dls[0].generation != l.generation {
		l.stale--
	}
	for _, dl := range b.dls {
		l.memory.fresh.remove(dl)
	}
	now := time.Now()
	first := &results[0]
	aborted := l.d.sendCtx.Err() != nil && first.Attempt.StatusCode == 0
	next := now
	if first.Local && !aborted {
		next = l.noteStrain(first.Attempt.Error, now)
	}
	if first.Unsent || first.Local || aborted {
		b.giveUp(results, first.Reached && !first.Unsent, next, now)
		return make([]outbox.Outcome, len(results))
	}
	l.strained.Reset()
	return b.settle(results, now)
}

// giveUp ends a request that says nothing of the receiver. reached: it may have got there, so that
// it is recorded.
func (b *batch) giveUp(results []webhook.Result, reached bool, next, now time.Time) {
	l := b.lane
	for i, dl := range b.dls {
		c, parked := dl.chain, l.memory.parked(dl)
		var goesOn bool
		switch {
		case reached:
			goesOn = l.interrupted(dl, &results[i].Attempt, next)
		case results[i].Unsent && !l.dropped && dl.expired(now):
			l.health.circuit.abandoned(dl)
			l.lapsed(dl, now)
			b.died(c)
		default:
			goesOn = l.abandoned(dl, next)
		}
		if goesOn && c != nil {
			b.note(c).row(next, reached || !parked)
		}
	}
	b.advance(now)
}

// settle notes the outcome of each delivery.
func (b *batch) settle(results []webhook.Result, now time.Time) []outbox.Outcome {
	l := b.lane
	outcomes := make([]outbox.Outcome, len(results))
	each, whole := b.decide(results, now)
	since, shed := l.health.failing.since, false
	var change *ledger.EndpointChange
	if !l.dropped {
		request := item{dl: b.dls[0], attempt: results[0].Attempt, reason: whole.Reason}
		shed = l.judge(&request, whole, results[0].Barred || results[0].Again, now)
		change = request.change
	}
	for i, dl := range b.dls {
		dl.phase = gone
		l.answered++
		it := l.outcome(dl, &results[i].Attempt, each[i], now)
		if l.dropped {
			l.finishDropped(&it)
			outcomes[i] = it.attempt.Outcome
			continue
		}
		b.inOrder(&it)
		outcomes[i] = it.attempt.Outcome
		it.change, change = change, nil
		l.conclude(&it, since, now)
	}
	b.advance(now)
	if shed {
		l.shed(now)
	}
	return outcomes
}

// decide returns what is decided on each delivery, and on the endpoint.
func (b *batch) decide(results []webhook.Result, now time.Time) (each []retry.Decision, whole retry.Decision) {
	policy := b.lane.policy.retry
	// What fails together is due together.
	rnd := rand.Float64() //nolint:gosec // Jitter needs no secrecy.
	whole = decide(policy, b.dls[0], &results[0], now, rnd)
	several := len(results) > 1
	if several {
		policy.Permanent = nil // one of them may be the reason: they are tried again in smaller company
	}
	each = make([]retry.Decision, len(results))
	for i, dl := range b.dls {
		res := results[i]
		if several && res.Word == string(retry.WordAbort) {
			res.Word = ""
		}
		each[i] = decide(policy, dl, &res, now, rnd)
		if each[i].Outcome == outbox.Delivered {
			whole = each[i] // the receiver works
		}
	}
	return each, whole
}

// inOrder has a delivery wait for an earlier one of its chain that this request did not deliver:
// it is to come after that, whatever the receiver has made of it now.
func (b *batch) inOrder(it *item) {
	c := it.dl.chain
	if c == nil {
		return
	}
	e := b.note(c)
	switch {
	case e.rows > 0 || e.held:
		if it.attempt.Outcome == outbox.Delivered {
			it.attempt.Error = "sent again, after an earlier event in its order that failed"
		}
		it.attempt.Outcome, it.reason, it.next = outbox.Retry, outbox.ReasonOrder, time.Time{}
		e.rows++
	case it.attempt.Outcome == outbox.Retry:
		e.row(it.next, true)
	case it.attempt.Outcome == outbox.Dead:
		b.died(c)
	}
}

// died notes that a delivery of a chain is dead, and what that means for those behind it. Behind a
// row the table will tell.
func (b *batch) died(c *chain) {
	if c == nil {
		return
	}
	if e := b.note(c); e.rows == 0 {
		e.held = e.held || b.lane.policy.holds()
	}
}

// end is how a request ended for a chain.
type end struct {
	rows    int       // deliveries that are rows now, or stay such
	next    time.Time // when the first of them is due
	written bool      // its row says so
	held    bool      // a dead one holds what follows
}

// row notes a delivery that is a row now, or stays one.
func (e *end) row(next time.Time, written bool) {
	if e.rows == 0 {
		e.next, e.written = next, written
	}
	e.rows++
}

// note returns how the request ended for a chain up to now.
func (b *batch) note(c *chain) *end {
	if b.ends == nil {
		b.ends = make(map[*chain]*end)
	}
	if b.ends[c] == nil {
		b.ends[c] = new(end)
	}
	return b.ends[c]
}

// advance lets the chains go on, once all deliveries of the request are noted.
func (b *batch) advance(now time.Time) {
	for _, dl := range b.dls {
		c := dl.chain
		e := b.ends[c]
		if e == nil {
			continue
		}
		delete(b.ends, c)
		switch {
		case e.held:
			c.rows += e.rows
			b.lane.advance(c, outbox.Dead, time.Time{}, now)
		case e.rows > 0:
			c.rows += e.rows - 1 // and the first
			b.lane.advance(c, outbox.Retry, e.next, now)
			c.written = e.written
		default:
			b.lane.advance(c, outbox.Delivered, time.Time{}, now)
		}
	}
}
