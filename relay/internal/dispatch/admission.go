package dispatch

import (
	"math"
	"time"

	"github.com/tailpost/tailpost/relay/internal/pace"
)

// admission is how much an endpoint is sent, so that an overloaded one gets what it can take: not
// all of it, and not nothing. It bounds the rate of requests, and by that and the time that an
// answer takes, how many wait for one at once.
//
//	            too many refused: as much as was taken
//	no limit ────────────────────────────────────────────▶ limited
//	   ▲                                                     │  ▲
//	   └───── all of the concurrency is needed for it ───────┘  │ nothing refused: half more, up
//	                                                   └────────┘ to where refusals began the
//	                                                              last time; then growing steps
//
// It decides once in a round trip, and never on requests that were under way when it lowered the
// limit. A few refusals mean nothing: some receivers refuse one request in ten at any load, and
// would take less if they got less. After a pause that most answers asked for, an endpoint starts
// again with what it took before.
type admission struct {
	ceiling int // the endpoint's concurrency

	limit     float64       // requests a second; 0: no limit
	edge      float64       // requests a second at which refusals began the last time; 0: unknown
	share     float64       // of requests that are refused, smoothed
	clean     float64       // decisions in a row that raised the limit beyond the edge
	lowered   time.Time     // when the limit was lowered the last time
	took      bool          // something since then
	roundTrip time.Duration // of requests that were taken, smoothed

	// changed is when the limit was last lowered: what was under way then says nothing of it.
	// Otherwise all answers count, whenever their requests started: refusals come sooner than other
	// answers, and a look at what has started lately would see more of them than there are.
	changed time.Time

	// What was seen since the last decision.
	since    time.Time
	starts   int
	answers  int
	refused  int
	asked    int           // of these, with a time to wait
	longest  time.Duration // of these times
	tokens   float64       // requests that may start now
	refilled time.Time

	askedAt     time.Time // when a receiver asked to be left alone and nothing was taken since; zero: it did not
	pausedUntil time.Time
}

const (
	// tolerated is the share of refusals that says nothing.
	tolerated = 0.2
	// unnoticed is the share of refusals below which an endpoint has no limit once it was not
	// lowered for as long as calm, spare what it has otherwise, as a factor of what its concurrency
	// allows.
	unnoticed, spare = 0.05, 1.1
	calm             = 10 * time.Second
	// shareOf is over about how many answers the share is smoothed, and enough is how many say
	// something by themselves.
	shareOf, enough = 25, 10
	// fewestAnswers and mostAnswers bound what a decision waits for; in between they are those of
	// decisionTime.
	fewestAnswers, mostAnswers = 1, 50
	decisionTime               = 50 * time.Millisecond
	// staleAfter ends a window in which too little happened for a decision.
	staleAfter = 10 * time.Second
	// leastLimit is for a receiver that refuses everything: it must be noticed soon that it is well
	// again.
	leastLimit = 0.5
	// firstLimit is the least for one that took something.
	firstLimit = 2.0
	// restartLimit is the most for one right after a pause that it asked for.
	restartLimit = 10.0
	// burstTime is how much of the rate may start at once: timers are not finer than that.
	burstTime = 2 * time.Millisecond
	// growth is the factor up to nearEdge of the edge, step the share of the edge by which the
	// limit grows from there on, and after each stepsToDouble steps by twice as much.
	growth        = 1.5
	nearEdge      = 0.9
	step          = 0.02
	stepsToDouble = 4
	// slack is how many more may wait for an answer than the rate needs, because not every answer
	// takes as long as the others.
	slack = 1.25
	// insistence is for how long a receiver has to ask to be left alone, and take nothing.
	insistence = 100 * time.Millisecond
	// margin is how much less than was taken an endpoint gets once it has refused some.
	margin = 0.95
)

// width returns how many requests may wait for an answer at once.
func (a *admission) width() int {
	if a.limit == 0 {
		return a.ceiling
	}
	return min(a.ceiling, max(1, int(math.Ceil(slack*a.limit*a.roundTrip.Seconds()))))
}

// waits returns for how long no request may start; 0: one may now.
func (a *admission) waits(now time.Time) time.Duration {
	if wait := a.pausedUntil.Sub(now); wait > 0 {
		return wait
	}
	if a.limit == 0 {
		return 0
	}
	a.refill(now)
	if a.tokens >= 1 {
		return 0
	}
	wait := time.Duration((1 - a.tokens) / a.limit * float64(time.Second))
	if a.limit*burstTime.Seconds() > 1 {
		wait = max(wait, burstTime/2) // some at once, rather than a timer for each
	}
	return max(wait, time.Microsecond)
}

func (a *admission) refill(now time.Time) {
	most := max(1, a.limit*burstTime.Seconds())
	a.tokens = min(most, a.tokens+a.limit*max(0, now.Sub(a.refilled).Seconds()))
	a.refilled = now
}

// started notes that a request starts, after waits allowed it.
func (a *admission) started(now time.Time) {
	if a.since.IsZero() || a.answers == 0 && now.Sub(a.since) > staleAfter {
		a.begin(now)
	}
	a.starts++
	if a.limit > 0 {
		a.refill(now)
		a.tokens--
	}
}

// reply says what an answer tells about a receiver's load.
type reply struct {
	started time.Time
	refused bool          // it has too much to do, or did not answer in time
	asks    time.Duration // for how long it asks to be left alone; 0: it does not
}

// answered notes an answer and reports whether the endpoint is to be left alone for a while.
func (a *admission) answered(r reply, now time.Time) (paused bool) {
	paused = a.hear(r, now)
	if !r.refused {
		a.measure(now.Sub(r.started))
	}
	if r.started.Before(a.changed) {
		return paused // it was sent under another limit
	}
	if a.answers > 0 && now.Sub(a.since) > staleAfter && a.answers < a.needed()-1 {
		a.begin(r.started)
		a.starts = 1
	}
	a.answers++
	if r.refused {
		a.refused++
	}
	if r.asks > 0 {
		a.asked++
		a.longest = max(a.longest, r.asks)
	}
	if a.answers < a.needed() || now.Sub(a.since) < a.roundTrip*3/2 {
		return paused // refusals come sooner than other answers
	}
	insists := a.answers >= enough && 2*a.asked > a.answers
	a.decide(now, insists)
	if insists {
		a.pause(now, a.longest)
		if a.refused == a.answers {
			a.restart()
		}
	}
	a.begin(pace.Later(now, a.pausedUntil))
	return paused || insists
}

// hear does what a receiver asks for that says twice in a row that it wants to be left alone: once
// more when it had the time to take something, and took nothing. One that says so of some requests
// is taken at its word for those.
func (a *admission) hear(r reply, now time.Time) (paused bool) {
	switch {
	case !r.refused:
		a.askedAt = time.Time{}
	case r.asks == 0:
	case now.Before(a.pausedUntil): // it was under way; of several, the longest holds
		a.pause(now, r.asks)
	case a.askedAt.IsZero():
		a.askedAt = now
	case r.started.Before(a.askedAt) || now.Sub(a.askedAt) < max(insistence, a.roundTrip*3/2):
	default:
		a.pause(now, r.asks)
		a.begin(a.pausedUntil)
		a.restart()
		return true
	}
	return false
}

// restart has an endpoint that took nothing begin slowly after a pause, however much it got before.
func (a *admission) restart() {
	if a.limit == 0 || a.limit > restartLimit {
		a.limit = restartLimit
	}
	a.share, a.clean = tolerated/2, 0
}

func (a *admission) pause(now time.Time, d time.Duration) {
	a.pausedUntil = pace.Later(a.pausedUntil, now.Add(d))
	a.askedAt, a.changed = now, a.pausedUntil
}

// measure smooths the time that an answer takes.
func (a *admission) measure(took time.Duration) {
	const weight = 8
	if a.roundTrip == 0 {
		a.roundTrip = took
		return
	}
	a.roundTrip += (took - a.roundTrip) / weight
}

// needed returns how many answers make a decision.
func (a *admission) needed() int {
	if a.limit == 0 {
		return mostAnswers
	}
	return min(max(int(a.limit*decisionTime.Seconds()), fewestAnswers), mostAnswers)
}

// begin begins to look at what happens from now on.
func (a *admission) begin(now time.Time) {
	a.since, a.starts, a.answers, a.refused, a.asked, a.longest = now, 0, 0, 0, 0, 0
}

// decide sets the limit by what was seen since the last decision. insists says that most answers
// ask for a pause.
func (a *admission) decide(now time.Time, insists bool) {
	sent := float64(max(a.starts, a.answers)) / max(now.Sub(a.since).Seconds(), time.Millisecond.Seconds())
	if a.limit > 0 {
		sent = min(sent, a.limit)
	}
	sent = min(sent, a.most())
	n, seen := float64(a.answers), float64(a.refused)/float64(a.answers)
	a.took = a.took || a.refused < a.answers
	a.share += (seen - a.share) * n / (n + shareOf)
	switch {
	case a.share > tolerated || insists:
		a.lower(sent, seen)
		a.lowered, a.changed = now, now
	case a.limit == 0:
		a.edge = max(sent, a.edge*nearEdge) // as much as there was to send lately
	case a.refused == a.answers:
	case sent >= a.limit/2 || a.limit < 2*firstLimit:
		a.raise(min(1, n/enough))
		if a.share < unnoticed && a.limit >= a.most() && now.Sub(a.lowered) >= calm {
			a.limit, a.clean = 0, 0
		}
	}
}

// lower notes that too much of what was sent was refused: what is left is about what was taken.
// Where nothing was, the edge is not where the limit was: the receiver is out of order for a while.
func (a *admission) lower(sent, seen float64) {
	const most = 4 // times less
	share := max(a.share, seen)
	if a.took {
		if a.answers < enough {
			share = a.share
		}
		// A burst that finds room for some of it is not what the receiver can take for long.
		a.edge = sent * min(1, max(2*(1-share), 1.0/most))
	}
	a.limit = max(leastLimit, sent*max(1-share, 1.0/most)*margin)
	a.share, a.clean, a.took = tolerated/2, 0, false
}

// raise notes that as much as the limit allows was taken. weight, up to 1, says how much that
// means.
func (a *admission) raise(weight float64) {
	switch {
	case a.edge == 0:
		a.limit = max(firstLimit, a.limit*growth)
	case a.limit < a.edge*nearEdge:
		a.limit = max(firstLimit, min(a.limit*growth, a.edge*nearEdge))
	default:
		more := a.edge * step * math.Exp2(math.Floor(a.clean/stepsToDouble)) * weight
		a.limit = min(a.limit+more, a.limit*growth)
		a.clean += weight
	}
	// Without a limit, refusals that come sooner than answers would make it more than the
	// concurrency allows.
	a.limit = min(a.limit, a.most()*spare)
}

// most is the rate that all of the concurrency allows.
func (a *admission) most() float64 {
	if a.roundTrip <= 0 {
		return math.Inf(1)
	}
	return float64(a.ceiling) / a.roundTrip.Seconds()
}
