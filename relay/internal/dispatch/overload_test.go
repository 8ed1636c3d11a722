package dispatch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// receiverOf is a receiver that takes so much and refuses the rest.
type receiverOf struct {
	alone

	latency  time.Duration
	refusal  func() (status int, hint time.Duration)
	refuses  func(now time.Time) bool // whatever there is to do
	capacity float64                  // requests a second that it can take; 0: all
	burst    float64
	workers  int // requests that it can work on at once; 0: all

	mu       sync.Mutex
	tokens   float64
	filled   time.Time
	working  int
	rnd      *rand.Rand
	arrived  []time.Time
	accepted []time.Time
}

func (r *receiverOf) Send(ctx context.Context, q *webhook.Request) webhook.Result {
	now := time.Now()
	r.mu.Lock()
	r.arrived = append(r.arrived, now)
	refused := r.refuses != nil && r.refuses(now)
	if r.capacity > 0 && !refused {
		if r.filled.IsZero() {
			r.tokens, r.filled = r.burst, now
		}
		r.tokens = min(r.burst, r.tokens+now.Sub(r.filled).Seconds()*r.capacity)
		r.filled = now
		if refused = r.tokens < 1; !refused {
			r.tokens--
		}
	}
	refused = refused || r.workers > 0 && r.working >= r.workers
	latency := r.latency
	if !refused {
		r.working++
		if r.rnd != nil {
			latency = time.Duration(r.rnd.Int64N(int64(2 * latency)))
		}
	}
	r.mu.Unlock()
	if refused {
		pause(ctx, r.latency/20) // as those do that have too much to do
		status, hint := r.refusal()
		a := answer(q, status)
		a.RetryAfter = hint
		return a
	}
	pause(ctx, latency)
	r.mu.Lock()
	r.working--
	r.accepted = append(r.accepted, time.Now())
	r.mu.Unlock()
	return answer(q, 200)
}

// within counts what happened in a span of the test.
func within(times []time.Time, began time.Time, from, to time.Duration) int {
	n := 0
	for _, at := range times {
		if d := at.Sub(began); d >= from && d < to {
			n++
		}
	}
	return n
}

// press sends events to a receiver as fast as it takes them, for a while.
func press(t *testing.T, r *receiverOf, d time.Duration) (began time.Time, seen []dispatch.Admission) {
	t.Helper()
	tracker := source.NewFrontier(0)
	ep := config.Endpoint{
		ID: "ep", Concurrency: 32, ParkAfter: time.Hour, Timeout: time.Minute,
		Circuit:       config.Circuit{Failures: 10, Reopen: 30 * time.Second},
		Retry:         config.Retry{Schedule: []time.Duration{time.Hour}},
		Subscriptions: []config.Subscription{{}},
	}
	dp := dispatch.New(t.Context(), dispatch.Options{
		Ledger: accepts{}, Frontier: tracker, Ack: func(source.Position) {}, Grace: time.Second,
		Endpoints: []dispatch.Endpoint{{Config: ep, Sender: r}},
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- dp.Run(ctx) }()
	began = time.Now()
	next := began
	for i := 0; time.Since(began) < d; i++ {
		for ready := dp.Ready(); ready != nil; ready = dp.Ready() {
			select {
			case <-ready:
			case <-time.After(time.Second):
			}
			if time.Since(began) >= d {
				break
			}
			if now := time.Now(); now.Sub(next) >= time.Second {
				a, _ := dp.Admission("ep")
				seen, next = append(seen, a), now
			}
		}
		tx := tracker.Begin(time.Now())
		dp.Dispatch(outbox.Event{ID: fmt.Sprint("e", i), Type: "a"}, tx)
		tracker.Commit(tx, source.Position(i+1))
	}
	cancel()
	require.NoError(t, <-ended)
	return began, seen
}

func busy() (int, time.Duration) { return 503, 0 }

func asking1() (int, time.Duration) { return 429, time.Second }

// some refuses a share of the requests, however few there are.
func some(share float64) func(time.Time) bool {
	rnd := rand.New(rand.NewPCG(1, 2))
	return func(time.Time) bool { return rnd.Float64() < share }
}

const simLatency, quickLatency = 20 * time.Millisecond, 2 * time.Millisecond

// TestOverload_someRefusalsSlowNothing: of a receiver that refuses some requests at any load
// nothing is gained by sending less.
func TestOverload_someRefusalsSlowNothing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		share   float64
		refusal func() (int, time.Duration)
		least   float64 // of what it could take
	}{
		"503 to 1 %":                  {0.01, busy, 0.98},
		"503 to 10 %":                 {0.1, busy, 1.02}, // a refusal is over soon
		"429 that asks for 1 s, 1 %":  {0.01, asking1, 0.98},
		"429 that asks for 1 s, 10 %": {0.1, asking1, 1.02},
	} {
		for _, latency := range []time.Duration{quickLatency, simLatency} {
			t.Run(fmt.Sprint(name, " after ", latency), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := &receiverOf{latency: latency, refusal: test.refusal, refuses: some(test.share)}
					began, seen := press(t, r, 10*time.Second)
					full := 32 / latency.Seconds() * (1 - test.share)
					got := float64(within(r.accepted, began, 0, 10*time.Second)) / 10
					t.Logf("%.0f of %.0f a second: %v", got, full, seen)
					require.Greater(t, got, test.least*full)
				})
			})
		}
	}
}

// restartCapacity is what a receiver takes that is soon found out about: each second of one that
// takes less says too little.
const restartCapacity = 10

// TestOverload_getsWhatItCanTake: a receiver of fixed capacity is neither starved nor flooded.
func TestOverload_getsWhatItCanTake(t *testing.T) {
	t.Parallel()
	for _, capacity := range []float64{5, 400, 1200} {
		for name, refusal := range map[string]func() (int, time.Duration){"503": busy, "429 that asks for 1 s": asking1} {
			for _, kind := range []struct {
				burst   float64
				latency time.Duration
			}{{1, simLatency}, {0.02, simLatency}, {0.1, quickLatency}, {0.02, quickLatency}} {
				t.Run(fmt.Sprintf("%s, %g a second, %g s at once, %s", name, capacity, kind.burst, kind.latency), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := &receiverOf{latency: kind.latency, refusal: refusal, capacity: capacity, burst: max(1, kind.burst*capacity)}
						began, seen := press(t, r, 20*time.Second)
						got := float64(within(r.accepted, began, 5*time.Second, 20*time.Second)) / 15
						sent := float64(within(r.arrived, began, 5*time.Second, 20*time.Second)) / 15
						t.Logf("%.1f taken and %.1f sent of %.0f a second: %v", got, sent, capacity, seen)
						require.Greater(t, got, 0.6*capacity)
						require.Less(t, sent, 2*capacity)
						if capacity > restartCapacity {
							early := float64(within(r.accepted, began, 2*time.Second, 6*time.Second)) / 4
							require.Greater(t, early, 0.6*capacity, "it finds that out within two seconds")
						}
						for s := 2 * time.Second; s < 20*time.Second; s += time.Second {
							require.LessOrEqual(t, float64(within(r.arrived, began, s, s+time.Second)), 2*capacity+r.burst+10, "in second %s", s)
						}
					})
				})
			}
		}
	}
}

// TestOverload_findsHowManyAtOnce: a receiver may be bounded by how many requests it works on at
// once.
func TestOverload_findsHowManyAtOnce(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 8} {
		for name, refusal := range map[string]func() (int, time.Duration){"503": busy, "429 that asks for 1 s": asking1} {
			t.Run(fmt.Sprintf("%s, %d at once", name, workers), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := &receiverOf{latency: simLatency, refusal: refusal, workers: workers, rnd: rand.New(rand.NewPCG(3, 4))}
					began, seen := press(t, r, 20*time.Second)
					full := float64(workers) / simLatency.Seconds()
					got := float64(within(r.accepted, began, 5*time.Second, 20*time.Second)) / 15
					sent := float64(within(r.arrived, began, 5*time.Second, 20*time.Second)) / 15
					t.Logf("%.1f taken and %.1f sent of %.0f a second: %v", got, sent, full, seen)
					require.Greater(t, got, 0.6*full)
					require.Less(t, sent, 2*full)
				})
			})
		}
	}
}

// TestOverload_endsWithTheOutage: after 30 s of refusals a receiver that is well again soon gets
// all that it can take.
func TestOverload_endsWithTheOutage(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]func() (int, time.Duration){"503": busy, "429 that asks for 1 s": asking1} {
		for _, capacity := range []float64{0, 400} {
			t.Run(fmt.Sprintf("%s, capacity %g", name, capacity), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					r := &receiverOf{latency: simLatency, refusal: refusal, capacity: capacity, burst: capacity / 10}
					r.refuses = func(now time.Time) bool {
						at := now.Sub(began)
						return at >= 10*time.Second && at < 40*time.Second
					}
					_, seen := press(t, r, 60*time.Second)
					full := 32 / simLatency.Seconds()
					if capacity > 0 {
						full = capacity
					}
					during := within(r.arrived, began, 12*time.Second, 40*time.Second)
					after := float64(within(r.accepted, began, 49*time.Second, 50*time.Second))
					t.Logf("%d sent during the outage, %.0f of %.0f in the tenth second after it: %v", during, after, full, seen)
					require.Less(t, during, 100)
					require.Greater(t, after, 0.9*full)
					if capacity == 0 {
						require.Zero(t, seen[len(seen)-1].Rate, "in the end nothing limits one that takes everything")
					}
				})
			})
		}
	}
}

// TestAdmission_isShown: what an endpoint gets, and that one which is well is not among those that
// get less.
func TestAdmission_isShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Concurrency = 4
		l.change(e)
		_, known := l.Admission("ep_unknown")
		require.False(t, known)
		l.event("e0")
		l.later(time.Millisecond)
		a, known := l.Admission("ep_1")
		require.True(t, known)
		require.Equal(t, dispatch.Admission{Admitting: 4, Concurrency: 4, InFlight: 1}, a)
		require.Empty(t, l.Limited())
		l.gate.answer <- 200
		for i := range 200 {
			l.event(fmt.Sprint("busy", i))
			l.gate.answer <- 503
			l.later(10 * time.Millisecond)
		}
		a, _ = l.Admission("ep_1")
		require.Less(t, a.Admitting, 4)
		require.Equal(t, 4, a.Concurrency)
		require.Positive(t, a.Rate)
		require.Equal(t, map[string]dispatch.Admission{"ep_1": a}, l.Limited())
		l.stop()
	})
}

// TestAdmission_ofAPauseIsShown: while a receiver is left alone, as it asked, it is admitted
// nothing, and until when is said.
func TestAdmission_ofAPauseIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Concurrency = 4
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			pause(t.Context(), time.Second)
			a := answer(r, 429)
			a.RetryAfter = time.Hour
			return a
		})
		l.change(e)
		for i := range 4 {
			l.event(fmt.Sprint("e", i))
			l.later(2 * time.Second)
		}
		a, _ := l.Admission("ep_1")
		require.Zero(t, a.Admitting)
		require.WithinDuration(t, time.Now().Add(time.Hour), a.PausedUntil, 10*time.Second)
		l.later(time.Until(a.PausedUntil) + time.Millisecond)
		a, _ = l.Admission("ep_1")
		require.Positive(t, a.Admitting)
		require.Zero(t, a.PausedUntil)
		l.stop()
	})
}

// A receiver that does not answer in time gets less at once, as one that says so does; what was
// answered, however late, or could not be sent says nothing of how much it can take.
func TestOverload_isWhatIsNotAnsweredInTime(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		takes  time.Duration
		status int
		less   bool
	}{
		"not in time": {time.Second, 0, true}, "late": {time.Second, 500, false}, "no connection": {time.Millisecond, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t)
				e := l.endpoint()
				e.Config.Concurrency, e.Config.Timeout, e.Config.ParkAfter = 64, time.Second, time.Hour
				e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
					pause(ctx, test.takes)
					a := answer(r, test.status)
					a.Attempt.Duration = test.takes
					return a
				})
				l.change(e)
				for i := range 128 {
					l.event(fmt.Sprint("e", i))
				}
				l.later(3 * time.Second)
				_, less := l.Limited()["ep_1"]
				require.Equal(t, test.less, less)
				l.stop()
			})
		})
	}
}
