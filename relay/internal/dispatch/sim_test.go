package dispatch_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// pause lets virtual time pass.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// receiver answers as a schedule of its own says.
type receiver struct {
	mu       sync.Mutex
	rnd      *rand.Rand
	fail     float64       // share of failures
	latency  time.Duration // at most
	hangs    float64       // share of requests that are answered after a second and a half
	unsent   float64       // share of requests that may not be sent in the end
	down     func() bool   // nil: never
	received []string      // ids in the order of their successes
	calls    int
	inFlight int
	peak     int
}

func (r *receiver) Send(ctx context.Context, q *webhook.Request) webhook.Result {
	r.mu.Lock()
	r.calls++
	r.inFlight++
	r.peak = max(r.peak, r.inFlight)
	d := time.Duration(r.rnd.Int64N(int64(r.latency)))
	if r.rnd.Float64() < r.hangs {
		d = 1500 * time.Millisecond
	}
	fails := r.rnd.Float64() < r.fail || r.down != nil && r.down()
	unsent := r.rnd.Float64() < r.unsent
	r.mu.Unlock()
	pause(ctx, d)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	a := outbox.Attempt{
		EventID: q.Event.ID, EventType: q.Event.Type, Number: q.Number, Trigger: q.Trigger, AttemptedAt: q.Now,
		Duration: d, CommitLSN: q.Event.CommitLSN, StatusCode: 200,
	}
	switch {
	case unsent:
		return webhook.Result{Unsent: true}
	case ctx.Err() != nil:
		a.StatusCode, a.Error = 0, "aborted"
	case fails:
		a.StatusCode = 500
	default:
		r.received = append(r.received, q.Event.ID)
	}
	return webhook.Result{Attempt: a}
}

var seeds = flag.Uint64("seeds", 40, "random schedules to run")

// scenario is one random schedule.
type scenario struct {
	seed      uint64
	events    int
	keys      int
	lane      int // LaneEvents
	burst     int // events streamed without a pause
	young     int // MaxYoung
	endpoints []config.Endpoint
	receivers map[string]*receiver
	paused    map[string]bool
	streamed  bool // the endpoints change by the stream too
	reordered map[string]bool
}

func newScenario(seed uint64) *scenario {
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := &scenario{
		seed: seed, events: 50 + rnd.IntN(400), keys: 1 + rnd.IntN(8), receivers: map[string]*receiver{}, paused: map[string]bool{}, reordered: map[string]bool{},
		streamed: seed%2 == 1, lane: []int{1, 8, 64, 0}[rnd.IntN(4)], burst: []int{1, 16, 1000}[rnd.IntN(3)],
		young: []int{0, 1, 5}[seed%3],
	}
	for i := range 1 + rnd.IntN(4) {
		id := fmt.Sprintf("ep%d", i)
		orderings := []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict}
		ep := config.Endpoint{
			ID: id, Name: id, Concurrency: 1 + rnd.IntN(16), ParkAfter: time.Second,
			Ordering:      orderings[rnd.IntN(len(orderings))],
			Retry:         config.Retry{Schedule: []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute}},
			Subscriptions: []config.Subscription{{}},
		}
		if ep.Ordering != config.OrderingNone && rnd.IntN(2) == 0 {
			ep.OnDead = config.OnDeadHold
			ep.Retry.Schedule = ep.Retry.Schedule[:1]
		}
		if rnd.IntN(3) == 0 {
			ep.Circuit = config.Circuit{Failures: 3, Reopen: 5 * time.Second}
		}
		if rnd.IntN(4) == 0 {
			ep.Rate = 50 + float64(rnd.IntN(200))
		}
		s.endpoints = append(s.endpoints, ep)
		s.receivers[id] = &receiver{
			rnd: rand.New(rand.NewPCG(seed, uint64(i)+2)), latency: time.Duration(1 + rnd.IntN(int(40*time.Millisecond))),
			fail:  []float64{0, 0, 0.05, 0.3}[rnd.IntN(4)],
			hangs: []float64{0, 0, 0.02}[rnd.IntN(3)], unsent: []float64{0, 0, 0.05}[rnd.IntN(3)],
		}
	}
	return s
}

// dispatcher makes one hold's dispatcher over what the tables have.
func (s *scenario) dispatcher(hard context.Context, f *tables, tracker *source.Frontier) *dispatch.Dispatcher {
	o := dispatch.Options{Hold: ledger.Hold{Epoch: f.epoch}, Ledger: f, Frontier: tracker, Ack: f.ack, Grace: 5 * time.Second, Logger: zerolog.Nop(), LaneEvents: s.lane, MaxYoung: s.young}
	f.mu.Lock()
	defer f.mu.Unlock()
	o.Recorded = map[outbox.Pair]struct{}{}
	for p := range f.rows {
		o.Recorded[p] = struct{}{}
	}
	for _, a := range f.attempts {
		if a.Outcome != outbox.Retry {
			o.Recorded[outbox.Pair{EventID: a.EventID, EndpointID: a.EndpointID}] = struct{}{}
		}
	}
	o.Endpoints = s.loaded(f)
	return dispatch.New(hard, o)
}

// loaded gives the endpoints with what the tables have of them.
func (s *scenario) loaded(f *tables) (endpoints []dispatch.Endpoint) {
	for _, ep := range s.endpoints {
		e := dispatch.Endpoint{Config: ep, Sender: s.receivers[ep.ID]}
		if s.paused[ep.ID] {
			e.State.Status = "paused"
		}
		if ep.Ordering != config.OrderingStrict {
			f.loosen(ep.ID, ep.Ordering == config.OrderingNone, time.Now())
		}
		heads := map[string]int{}
		for _, d := range f.unfinished(ep.ID, ep.OnDead == config.OnDeadHold, func(outbox.Delivery) bool { return true }) {
			if due := d.NextAttemptAt; !due.IsZero() && (e.Due.IsZero() || due.Before(e.Due)) {
				e.Due = due
			}
			key := d.Event.Key
			if ep.Ordering == config.OrderingStrict {
				key = ""
			}
			if i, ok := heads[key]; ok {
				e.Heads[i].Count++
				continue
			}
			heads[key] = len(e.Heads)
			e.Heads = append(e.Heads, ledger.Head{Key: key, NextAttemptAt: d.NextAttemptAt, Count: 1})
		}
		if ep.Ordering == config.OrderingKey {
			e.Heads = slices.DeleteFunc(e.Heads, func(h ledger.Head) bool { return h.Key == "" })
		}
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// toggle pauses or resumes an endpoint, as a person would.
func (s *scenario) toggle(d *dispatch.Dispatcher, rnd *rand.Rand) {
	id := s.endpoints[rnd.IntN(len(s.endpoints))].ID
	s.paused[id] = !s.paused[id]
	s.reload(d)
}

func (s *scenario) reload(d *dispatch.Dispatcher) {
	endpoints := make([]dispatch.Endpoint, len(s.endpoints))
	for i, ep := range s.endpoints {
		endpoints[i] = dispatch.Endpoint{Config: ep, Sender: s.receivers[ep.ID]}
		if s.paused[ep.ID] {
			endpoints[i].State.Status = "paused"
		}
	}
	d.Reload(endpoints)
}

// run streams every event, over several holds that end well or in a crash, and waits until nothing is pending.
func (s *scenario) run(t *testing.T) *tables {
	t.Helper()
	rnd := rand.New(rand.NewPCG(s.seed, 99))
	f, people := newTables(rnd), rand.New(rand.NewPCG(s.seed, 98))
	for range people.IntN(4) {
		s.hold(t, f, people, people.IntN(s.events), people.IntN(2) == 0)
	}
	s.hold(t, f, people, s.events, false)
	return f
}

// hold streams up to an event, from where everything is settled. The last one also waits until nothing is pending.
func (s *scenario) hold(t *testing.T, f *tables, rnd *rand.Rand, until int, crash bool) {
	t.Helper()
	hard, kill := context.WithCancel(t.Context())
	defer kill()
	f.mu.Lock()
	f.epoch++
	tracker := source.NewFrontier(source.Position(f.settled))
	at := int(f.settled)
	f.mu.Unlock()
	d := s.dispatcher(hard, f, tracker)
	ctx, stop := context.WithCancel(hard)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	for i := at; i < until; i++ {
		s.stream(ctx, d, tracker, i)
		if rnd.IntN(100) == 0 {
			s.toggle(d, rnd)
		}
	}
	switch {
	case crash:
		pause(t.Context(), time.Duration(rnd.IntN(int(3*time.Second))))
		f.mu.Lock()
		f.epoch++ // whatever is under way is not committed
		f.mu.Unlock()
		kill()
		t.Log("crashed:", <-done)
		return
	case until == s.events:
		clear(s.paused)
		s.reload(d)
		s.settle(t, f, d)
	}
	stop()
	require.NoError(t, <-done, "seed %d", s.seed)
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Equal(t, outbox.LSN(max(at, until)), max(f.settled, f.acked), "seed %d: everything streamed is settled at the end", s.seed)
}

// stream puts transaction i, of one event, through the dispatcher.
func (s *scenario) stream(ctx context.Context, d *dispatch.Dispatcher, tracker *source.Frontier, i int) {
	for ready := d.Ready(); ready != nil; ready = d.Ready() {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	tx := tracker.Begin()
	ev := outbox.Event{ID: fmt.Sprintf("e%04d", i), Type: "a.b", Payload: []byte("{}"), CommitLSN: outbox.LSN(i)}
	if k := i * 7 % (s.keys + 1); k > 0 {
		ev.Key = fmt.Sprintf("k%d", k)
	}
	if s.streamed {
		s.change(d, tx, i)
	}
	d.Take(ev, tx)
	tracker.Commit(tx, source.Position(i+1), time.Now())
	d.Advanced()
	if i%s.burst == 0 {
		pause(ctx, time.Millisecond)
	}
}

// change has an endpoint change, or look for what somebody else put into its queue, at some places of the stream.
func (s *scenario) change(d *dispatch.Dispatcher, tx *source.Unsettled, i int) {
	rnd := rand.New(rand.NewPCG(s.seed, uint64(i)))
	at := rnd.IntN(len(s.endpoints))
	ep := s.endpoints[at]
	switch rnd.IntN(30) {
	case 0:
		d.Due(ep.ID)
	case 1:
		ep.Ordering = []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict}[rnd.IntN(3)]
		s.reordered[ep.ID] = s.reordered[ep.ID] || ep.Ordering != s.endpoints[at].Ordering
		s.endpoints[at] = ep
		fallthrough
	case 2:
		d.Change([]dispatch.Change{{
			ID: ep.ID, Endpoint: &dispatch.Endpoint{Config: ep, Sender: s.receivers[ep.ID]},
			Version: ledger.EndpointVersion{EndpointID: ep.ID, CommitLSN: outbox.LSN(i), Row: []byte("{}")},
		}}, tx)
	}
}

// settle waits until nothing is pending.
func (s *scenario) settle(t *testing.T, f *tables, d *dispatch.Dispatcher) {
	t.Helper()
	deadline := time.Now().Add(24 * time.Hour)
	for {
		pause(t.Context(), time.Second)
		s.attend(f, d)
		f.mu.Lock()
		finished := len(f.rows) - f.dead()
		settled := int(max(f.settled, f.acked))
		f.mu.Unlock()
		if finished == 0 && settled == s.events {
			return
		}
		require.True(t, time.Now().Before(deadline), "seed %d: %d deliveries never end", s.seed, finished)
	}
}

// attend does what a person does about dead deliveries that hold others: some are sent again, some are given up.
func (s *scenario) attend(f *tables, d *dispatch.Dispatcher) {
	for _, ep := range s.endpoints {
		if ep.OnDead != config.OnDeadHold {
			continue
		}
		f.mu.Lock()
		for _, row := range f.unfinished(ep.ID, true, func(d outbox.Delivery) bool { return d.State == outbox.StateDead }) {
			p := outbox.Pair{EventID: row.Event.ID, EndpointID: ep.ID}
			if f.rnd.IntN(3) == 0 {
				delete(f.rows, p)
				continue
			}
			row.State, row.NextAttemptAt = outbox.Pending, time.Now()
			f.rows[p] = row
		}
		f.mu.Unlock()
		d.Due(ep.ID)
	}
}

func (f *tables) dead() int {
	n := 0
	for _, d := range f.rows {
		if d.State == outbox.StateDead {
			n++
		}
	}
	return n
}

// check holds the promises against what was recorded and received.
func (s *scenario) check(t *testing.T, f *tables) {
	t.Helper()
	require.Empty(t, f.problems, "seed %d", s.seed)
	numbers := map[outbox.Pair][]int{}
	ends := map[outbox.Pair]outbox.Outcome{}
	for _, a := range f.attempts {
		p := outbox.Pair{EventID: a.EventID, EndpointID: a.EndpointID}
		if ends[p] != outbox.Dead || !s.holds(a.EndpointID) {
			require.NotContains(t, ends, p, "seed %d: an attempt after the end", s.seed)
		}
		numbers[p] = append(numbers[p], a.Number)
		if a.Outcome != outbox.Retry {
			ends[p] = a.Outcome
		}
	}
	require.Len(t, ends, s.events*len(s.endpoints), "seed %d: every delivery ended", s.seed)
	for p, ns := range numbers {
		for i, n := range ns {
			require.Equal(t, i+1, n, "seed %d: attempts of %v are numbered %v", s.seed, p, ns)
		}
	}
	for _, ep := range s.endpoints {
		r := s.receivers[ep.ID]
		require.LessOrEqual(t, r.peak, ep.Concurrency, "seed %d: requests at once", s.seed)
		if !s.reordered[ep.ID] {
			s.checkOrder(t, ep, r.received)
		}
	}
}

// holds says whether dead deliveries of an endpoint hold their successors, and are sent again by a person.
func (s *scenario) holds(id string) bool {
	return slices.ContainsFunc(s.endpoints, func(ep config.Endpoint) bool { return ep.ID == id && ep.OnDead == config.OnDeadHold })
}

// checkOrder: what was received of one key is in commit order, but for what a crash had sent again. Dead deliveries let
// their successors go.
func (s *scenario) checkOrder(t *testing.T, ep config.Endpoint, received []string) {
	t.Helper()
	last, seen := map[string]string{}, map[string]bool{}
	for _, id := range received {
		var i int
		_, err := fmt.Sscanf(id, "e%d", &i)
		require.NoError(t, err)
		key := ""
		if k := i * 7 % (s.keys + 1); k > 0 {
			key = fmt.Sprintf("k%d", k)
		}
		switch {
		case ep.Ordering == config.OrderingNone, ep.Ordering == config.OrderingKey && key == "":
			continue
		case ep.Ordering == config.OrderingStrict:
			key = ""
		}
		if seen[id] {
			continue // sent again after a crash
		}
		seen[id] = true
		require.Less(t, last[key], id, "seed %d: endpoint %s, key %q", s.seed, ep.ID, key)
		last[key] = id
	}
}

// TestPromisesUnderRandomSchedules runs whole lives of a dispatcher in virtual time: every event ends exactly once at
// every endpoint, in order where asked, across restarts and crashes. After a change of this package run more of them:
// go test ./relay/internal/dispatch -seeds 5000.
func TestPromisesUnderRandomSchedules(t *testing.T) {
	t.Parallel()
	for seed := range *seeds {
		synctest.Test(t, func(t *testing.T) {
			s := newScenario(seed)
			s.check(t, s.run(t))
		})
	}
}
