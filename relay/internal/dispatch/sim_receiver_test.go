package dispatch_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tailpost/tailpost/outbox"
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
	leaving                // a 410 now and then
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
}

const simTimeout = 5 * time.Second

// plan says how long the receiver takes for a request, and what it then answers.
func (r *actor) plan(now time.Time) (takes time.Duration, status int, hint time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !now.Before(r.until) && !r.calm {
		r.mood = mood(r.rnd.IntN(int(moods)))
		if r.rnd.IntN(2) == 0 {
			r.mood = well
		}
		r.until = now.Add(time.Duration(r.rnd.Int64N(int64(8 * time.Second))))
	}
	takes = time.Duration(1 + r.rnd.Int64N(int64(40*time.Millisecond)))
	status = 200
	switch r.mood {
	case flaky:
		if r.rnd.IntN(5) == 0 {
			status = 500
		}
	case failing:
		status = 500
	case refusing:
		status = 400
	case overloaded:
		status = []int{503, 502, 504, 429}[r.rnd.IntN(4)]
	case asking:
		status, hint = []int{429, 503}[r.rnd.IntN(2)], time.Second*time.Duration(1+r.rnd.IntN(20))
	case silent:
		takes, status = simTimeout+takes, 0
	case slow:
		takes += time.Duration(r.rnd.Int64N(int64(4 * time.Second)))
	case leaving:
		if r.rnd.IntN(10) == 0 {
			status = 410
		}
	case well, moods:
	}
	return r.alone(now, takes), status, hint
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
	m := r.w.model
	m.requests(r.id, q.Event.ID, q.Number, q.Now)
	a := outbox.Attempt{
		EventID: q.Event.ID, EventType: q.Event.Type, EndpointID: r.id, Number: q.Number, Trigger: q.Trigger, AttemptedAt: q.Now,
		CommitLSN: q.Event.CommitLSN,
	}
	if unsendable(q.Event.ID) {
		pause(ctx, time.Microsecond)
		if ctx.Err() != nil {
			m.broken(r.id, q.Event.ID)
			a.Error = "aborted"
			return webhook.Result{Attempt: a}
		}
		a.Error = "not JSON"
		m.answers(r.id, &a, 0, true)
		return webhook.Result{Attempt: a, Permanent: true}
	}
	if q.Held != nil && !q.Held() {
		m.broken(r.id, q.Event.ID)
		return webhook.Result{Unsent: true}
	}
	takes, status, hint := r.plan(time.Now())
	pause(ctx, takes)
	a.Duration, a.StatusCode = time.Since(q.Now), status
	switch {
	case ctx.Err() != nil:
		a.StatusCode, a.Error = 0, "aborted"
		m.broken(r.id, q.Event.ID)
		return webhook.Result{Attempt: a}
	case status == 0:
		a.Error = "endpoint timeout 5s"
	}
	m.answers(r.id, &a, hint, false)
	return webhook.Result{Attempt: a, RetryAfter: hint}
}

// recover makes the receiver well for good.
func (r *actor) recover() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood, r.calm = well, true
}
