package dispatch_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// mood is how a receiver answers for a while.
type mood int

const (
	well       mood = iota // 200
	flaky                  // a few 500s
	failing                // 500s
	refusing               // 400s
	overloaded             // 503s and 502s without a hint
	asking                 // 429s and 503s that ask for a pause
	silent                 // no answer
	slow                   // 200 after seconds
	leaving                // a 410 now and then, or a 200 that asks for no more
	choosy                 // 500s, of some with the word that they are not to come again
	barred                 // the egress proxy refuses the relay
	strained               // the machine lacks what requests need
	moods
)

// actor is a receiver whose moods change by a schedule of its own.
type actor struct {
	w  *world
	id string

	mu    sync.Mutex
	rnd   *rand.Rand
	mood  mood
	until time.Time // when it changes
	ends  map[time.Time]struct{}
	calm  bool // it stays well

	partial bool // its answers to batches name events that failed
}

const simTimeout = 5 * time.Second

// reaction is what comes of a request.
type reaction struct {
	takes  time.Duration
	status int // 0: nobody answered
	hint   time.Duration
	word   retry.Word
	local  bool // the machine could not make it
	sent   bool // all the same the receiver may have got it
	barred bool // somebody in between did not let it pass
}

// plan says what comes of a request.
func (r *actor) plan(now time.Time) reaction {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !now.Before(r.until) && !r.calm {
		r.mood = mood(r.rnd.IntN(int(moods)))
		if r.rnd.IntN(2) == 0 {
			r.mood = well
		}
		r.until = now.Add(time.Duration(r.rnd.Int64N(int64(8 * time.Second))))
	}
	re := reaction{takes: time.Duration(1 + r.rnd.Int64N(int64(40*time.Millisecond))), status: 200}
	switch r.mood {
	case flaky:
		if r.rnd.IntN(5) == 0 {
			re.status = 500
		}
	case failing:
		re.status = 500
	case refusing:
		re.status = 400
	case overloaded:
		re.status = []int{503, 502, 504, 429}[r.rnd.IntN(4)]
	case asking:
		re.status, re.hint = []int{429, 503}[r.rnd.IntN(2)], time.Second*time.Duration(1+r.rnd.IntN(20))
	case silent:
		re.takes, re.status = simTimeout+re.takes, 0
	case slow:
		re.takes += time.Duration(r.rnd.Int64N(int64(4 * time.Second)))
	case leaving:
		switch r.rnd.IntN(10) {
		case 0:
			re.status = 410
		case 1:
			re.word = retry.WordDisable
		}
	case choosy:
		re.status = 500
		if r.rnd.IntN(2) == 0 {
			re.word = retry.WordAbort
		}
	case barred:
		re.status, re.barred = 0, true
	case strained:
		re.status, re.local, re.sent = 0, true, r.rnd.IntN(2) == 0
	case well, moods:
	}
	re.takes = r.alone(now, re.takes)
	return re
}

// alone makes an answer wait until no other comes at the same time: which of two is the first would
// be the model's to say in one way and the lane's in the other.
func (r *actor) alone(now time.Time, takes time.Duration) time.Duration {
	if r.ends == nil {
		r.ends = make(map[time.Time]struct{})
	}
	for {
		at := now.Add(takes)
		if _, taken := r.ends[at]; !taken {
			r.ends[at] = struct{}{}
			return takes
		}
		takes++
	}
}

// unsendable says that an event cannot be sent, to whomever.
func unsendable(event string) bool { return event[len(event)-2:] == "77" }

// Send implements dispatch.Sender.
func (r *actor) Send(ctx context.Context, q *webhook.Request) webhook.Result {
	return r.send(ctx, []webhook.Request{*q})[0]
}

// SendBatch implements dispatch.Sender.
func (r *actor) SendBatch(ctx context.Context, b *webhook.Batch) []webhook.Result {
	r.mu.Lock()
	n := 1
	for n < len(b.Requests) && !unsendable(b.Requests[0].Event.ID) && !unsendable(b.Requests[n].Event.ID) && r.rnd.IntN(40) > 0 {
		n++
	}
	r.mu.Unlock()
	if n < len(b.Requests) {
		b.Left(len(b.Requests) - n)
	}
	return r.send(ctx, b.Requests[:n])
}

// send makes a request for events, of which all or none but the only one can be sent.
func (r *actor) send(ctx context.Context, qs []webhook.Request) []webhook.Result {
	m := r.w.model
	m.requests(r.id, qs)
	results := make([]webhook.Result, len(qs))
	every := func(do func(res *webhook.Result)) []webhook.Result {
		for i := range qs {
			q := &qs[i]
			results[i].Attempt = outbox.Attempt{
				EventID: q.Event.ID, EventType: q.Event.Type, EndpointID: r.id, Number: q.Number, Trigger: q.Trigger,
				AttemptedAt: q.Now, CommitLSN: q.Event.CommitLSN,
			}
			do(&results[i])
		}
		return results
	}
	aborted := func(res *webhook.Result) { res.Attempt.Error = "aborted" }
	if unsendable(qs[0].Event.ID) {
		pause(ctx, time.Microsecond)
		if ctx.Err() != nil {
			m.broken(r.id, qs)
			return every(aborted)
		}
		every(func(res *webhook.Result) { res.Permanent, res.Attempt.Error = true, "not JSON" })
		m.answers(r.id, results, 0)
		return results
	}
	if qs[0].Held != nil && !qs[0].Held() {
		m.broken(r.id, qs)
		return every(func(res *webhook.Result) { res.Unsent = true })
	}
	re := r.plan(time.Now())
	pause(ctx, re.takes)
	if ctx.Err() != nil {
		m.broken(r.id, qs)
		return every(aborted)
	}
	every(func(res *webhook.Result) {
		res.Attempt.Duration, res.Attempt.StatusCode, res.RetryAfter = time.Since(qs[0].Now), re.status, re.hint
		res.Local, res.Reached, res.Barred, res.Word = re.local, re.sent, re.barred, string(re.word)
		res.Delivered = re.status/100 == 2
		if re.status == 0 {
			res.Attempt.Error = "no answer"
		}
	})
	if re.local && !re.sent {
		m.broken(r.id, qs)
		return results
	}
	for i, named := range r.names(len(qs), re.status) {
		if named {
			results[i].Delivered, results[i].Attempt.Error = false, "the answer names it as failed"
		}
	}
	m.answers(r.id, results, re.hint)
	return results
}

// names says which of the events of a request that succeeds the answer names as failed.
func (r *actor) names(n, status int) []bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	named := make([]bool, n)
	if status/100 != 2 || r.calm || !r.partial || r.rnd.IntN(3) > 0 {
		return named
	}
	for i := range named {
		named[i] = r.rnd.IntN(4) == 0
	}
	return named
}

// recover makes the receiver well for good.
func (r *actor) recover() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood, r.calm = well, true
}
