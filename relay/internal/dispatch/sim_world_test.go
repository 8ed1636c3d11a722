package dispatch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// party is an endpoint of the simulation.
type party struct {
	id       string
	policy   config.Endpoint
	ordering config.Ordering // before the stream changed it
	streamed bool            // it comes and goes by the stream
	present  bool
	blocked  bool
	receiver *actor
	history  []alteration // streamed: what the stream has made of it
}

// alteration is a change of an endpoint at its place in the stream.
type alteration struct {
	party   *party
	place   int
	policy  config.Endpoint
	present bool
	blocked bool
}

// entry is a transaction of the stream.
type entry struct {
	event  outbox.Event
	change *alteration
}

// world is everything around the dispatcher.
type world struct {
	t      *testing.T
	seed   uint64
	rnd    *rand.Rand // the stream's
	model  *model
	tables *tables

	events, keys, lane, young, burst, memory int
	gap                                      time.Duration
	began                                    time.Time
	restless                                 bool // people reload the configuration all the time

	mu         sync.Mutex // one change or event at a time
	endpoints  []*party
	entries    []entry
	at         int // the next transaction
	held       atomic.Bool
	dispatcher *dispatch.Dispatcher
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	rnd := random(seed, 1)
	w := &world{
		t: t, seed: seed, rnd: rnd, began: time.Now(), model: newModel(), tables: newTables(random(seed, 2)),
		events: 50 + rnd.IntN(350), keys: 1 + rnd.IntN(8), lane: []int{1, 8, 64, 0}[rnd.IntN(4)], young: []int{0, 1, 5}[seed%3],
		burst: []int{1, 16, 100}[rnd.IntN(3)], memory: []int{40, 200, 1000}[rnd.IntN(3)],
		gap: []time.Duration{time.Millisecond, 30 * time.Millisecond, time.Second}[rnd.IntN(3)],
	}
	w.restless = random(seed, 3).IntN(4) == 0
	w.tables.model, w.tables.echo = w.model, w.echo
	w.tables.keys = []int{0, 1, 2, 4}[random(seed, 4).IntN(4)]
	for i := range 1 + rnd.IntN(4) {
		p := &party{id: fmt.Sprintf("ep%d", i), policy: newPolicy(rnd, fmt.Sprintf("ep%d", i)), streamed: rnd.IntN(2) == 0, present: true}
		p.policy.Batch = newBatching(random(seed, uint64(30+i)))
		p.ordering = p.policy.Ordering
		p.receiver = &actor{w: w, id: p.policy.ID, rnd: random(seed, uint64(10+i)), partial: p.policy.Batch.Partial}
		w.endpoints = append(w.endpoints, p)
		w.model.configure(p.policy.ID, &p.policy, false)
		w.model.subjects[p.policy.ID].streamed = p.streamed
	}
	return w
}

func newPolicy(rnd *rand.Rand, id string) config.Endpoint {
	orderings := []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict}
	p := config.Endpoint{
		ID: id, Name: id, Concurrency: 1 + rnd.IntN(16), ParkAfter: time.Second, Timeout: simTimeout,
		Ordering:      orderings[rnd.IntN(len(orderings))],
		Retry:         config.Retry{Schedule: []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute}},
		Subscriptions: []config.Subscription{{}},
	}
	if p.Ordering != config.OrderingNone && rnd.IntN(2) == 0 {
		p.OnDead = config.OnDeadHold
		p.Retry.Schedule = p.Retry.Schedule[:1]
	}
	if rnd.IntN(2) == 0 {
		p.Circuit = config.Circuit{Failures: 3, Reopen: []time.Duration{2 * time.Second, 8 * time.Second}[rnd.IntN(2)]}
	}
	if rnd.IntN(4) == 0 {
		p.Rate = 50 + float64(rnd.IntN(200))
	}
	if rnd.IntN(3) == 0 {
		p.DisableAfter = 20 * time.Second
	}
	if rnd.IntN(3) == 0 {
		p.Subscriptions[0].Events = []string{"a.*"}
	}
	return p
}

// newBatching has every third endpoint get several events in a request.
func newBatching(rnd *rand.Rand) (b config.Batch) {
	if rnd.IntN(3) > 0 {
		return b
	}
	return config.Batch{
		Events: 1 + rnd.IntN(20), Wait: []time.Duration{0, 20 * time.Millisecond, 400 * time.Millisecond}[rnd.IntN(3)],
		Bytes: []int{1000, 1_000_000}[rnd.IntN(2)], Partial: rnd.IntN(2) == 0,
	}
}

// entry is transaction i of the stream, always the same one.
func (w *world) entry(i int) *entry {
	for j := len(w.entries); j <= i; j++ {
		rnd := random(w.seed, uint64(1000+j))
		e := entry{event: outbox.Event{ID: name(j), Type: []string{"a.b", "a.c", "b.b"}[rnd.IntN(3)], Payload: []byte("{}"), CommitLSN: outbox.LSN(begin(j)), Seq: 1}}
		w.timed(&e.event, random(w.seed, uint64(100_000+j)), j)
		if k := rnd.IntN(w.keys + 1); k > 0 {
			e.event.Key = fmt.Sprintf("k%d", k)
		}
		if p := w.endpoints[rnd.IntN(len(w.endpoints))]; p.streamed && rnd.IntN(25) == 0 {
			e.change = w.alter(rnd, p, j)
		}
		w.entries = append(w.entries, e)
	}
	return &w.entries[i]
}

// timed gives some events of some worlds times of their own.
func (w *world) timed(e *outbox.Event, rnd *rand.Rand, i int) {
	if w.seed%3 != 0 || rnd.IntN(4) > 0 {
		return
	}
	about := w.began.Add(time.Duration(i/w.burst) * w.gap / 2)
	if kind := rnd.IntN(3); kind != 0 {
		e.DeliverAt = about.Add(time.Duration(rnd.Int64N(int64(20 * time.Second))))
	} else {
		e.ExpiresAt = about.Add(time.Duration(rnd.Int64N(int64(20 * time.Second))))
	}
	if rnd.IntN(3) == 0 {
		e.ExpiresAt = about.Add(time.Duration(rnd.Int64N(int64(40 * time.Second))))
	}
}

// alter makes a change of an endpoint.
func (w *world) alter(rnd *rand.Rand, p *party, place int) *alteration {
	a := alteration{party: p, place: place, policy: p.policy, present: true}
	if n := len(p.history); n > 0 {
		a.policy, a.present, a.blocked = p.history[n-1].policy, p.history[n-1].present, p.history[n-1].blocked
	}
	switch rnd.IntN(4) {
	case 0:
		a.policy.Ordering = []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict}[rnd.IntN(3)]
	case 1:
		a.blocked = !a.blocked
	case 2:
		if !a.present {
			return nil // ids are not used again
		}
		a.present = rnd.IntN(3) > 0
	}
	if !a.present && len(p.history) > 0 && !p.history[len(p.history)-1].present {
		return nil
	}
	p.history = append(p.history, a)
	return &a
}

// changeStreamed applies a change at its place.
func (w *world) changeStreamed(a *alteration, tx *source.Unsettled, i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := a.policy.ID
	c := dispatch.Change{ID: id, Version: ledger.EndpointVersion{EndpointID: id, CommitLSN: outbox.LSN(begin(i))}, Seq: 0}
	w.set(a)
	if a.present {
		e := w.endpoint(a.party)
		c.Endpoint, c.Version.Row = &e, []byte("{}")
	}
	w.model.mu.Lock()
	w.model.versions[begin(i)] = w.model.versions[begin(i)] || false
	w.model.mu.Unlock()
	w.dispatcher.Change([]dispatch.Change{c}, tx)
	if !a.present {
		w.model.forsakes(id)
	}
}

// set makes a party what an alteration says.
func (w *world) set(a *alteration) {
	p := a.party
	p.policy, p.present, p.blocked = a.policy, a.present, a.blocked
	policy := &p.policy
	if !p.present {
		policy = nil
	}
	w.model.configure(a.policy.ID, policy, p.blocked)
}

// endpoint is a party as the dispatcher gets it, without what the tables have.
func (w *world) endpoint(p *party) dispatch.Endpoint {
	e := dispatch.Endpoint{Config: p.policy, Sender: p.receiver, Streamed: p.streamed, Blocked: p.blocked, State: w.model.state(p.policy.ID)}
	if p.blocked {
		e.Sender = nil
	}
	return e
}

// resumesAt is the transaction that the stream begins with: it brings all that is not acknowledged,
// and what is recorded as settled is skipped.
func (w *world) resumesAt() int {
	i := 0
	for end(i) <= w.tables.acknowledged() || begin(i) < w.tables.position() {
		i++
	}
	return i
}

// restart goes back to where the stream begins.
func (w *world) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.resumesAt()
	w.held.Store(true)
	for _, p := range w.endpoints {
		if !p.streamed {
			continue
		}
		a := alteration{party: p, policy: p.policy, present: true}
		a.policy.Ordering = p.ordering
		for _, h := range p.history {
			if h.place < w.at {
				a = h
			}
		}
		w.set(&a)
	}
}

// recorded names what the stream brings again although it is recorded.
func (w *world) recorded() map[outbox.Pair]struct{} {
	return w.tables.recordedFrom(outbox.LSN(max(w.tables.position(), w.tables.acknowledged())))
}

// loaded returns the endpoints with what the tables have of them.
func (w *world) loaded() (endpoints []dispatch.Endpoint) {
	for _, p := range w.endpoints {
		if !p.present {
			continue
		}
		e := w.endpoint(p)
		w.tables.queued(&e)
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// people do what people do, until ctx is done.
func (w *world) people(ctx context.Context, rnd *rand.Rand) {
	every, deeds := 2*time.Second, []int{0, 1, 2, 3, 4, 5, 6, 7}
	if w.restless {
		every, deeds = 300*time.Millisecond, []int{0, 1, 2, 5, 5, 5, 6, 7}
	}
	for {
		pause(ctx, time.Duration(1+rnd.Int64N(int64(every))))
		if ctx.Err() != nil {
			return
		}
		p := w.endpoints[rnd.IntN(len(w.endpoints))]
		switch deeds[rnd.IntN(len(deeds))] {
		case 0:
			w.setStatus(p, ledger.StatusPaused)
		case 1, 2:
			w.setStatus(p, ledger.StatusActive)
		case 3:
			w.dispatcher.Due(p.id)
		case 4:
			w.attendTo(p, rnd)
		case 5:
			w.reload(p, rnd)
		case 6:
			w.setHeld(rnd.IntN(2) == 0)
		case 7:
			w.setHeld(true)
		}
	}
}

// setStatus pauses, resumes or enables an endpoint.
func (w *world) setStatus(p *party, status string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := p.policy.ID
	was := w.model.state(id)
	if !p.present || was.Status == status || was.Status == ledger.StatusDisabled && status == ledger.StatusPaused {
		return
	}
	w.model.setStatus(id, status)
	was.Status = status
	w.dispatcher.SetState(id, was)
}

// reload removes an endpoint of the configuration, or puts it back.
func (w *world) reload(p *party, rnd *rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !p.streamed && rnd.IntN(2) == 0 {
		w.set(&alteration{party: p, policy: p.policy, present: !p.present})
		w.swap(p)
		return
	}
	w.swap(nil)
}

// swap hands the dispatcher the endpoints of the configuration, with what their rows say. One that
// was there keeps its status, whatever its row says by now; one that is back has that of its row.
// The caller holds w.mu.
func (w *world) swap(back *party) {
	list := slices.DeleteFunc(w.loaded(), func(e dispatch.Endpoint) bool { return e.Streamed })
	for i := range list {
		if id := list[i].Config.ID; back != nil && id == back.id {
			w.model.setStatus(id, list[i].State.Status)
		}
	}
	w.dispatcher.Reload(list)
}

// echo brings what the relay itself wrote into an endpoint's row, as the stream does.
func (w *world) echo(id string) {
	d := w.dispatcher
	time.AfterFunc(20*time.Millisecond, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.dispatcher != d {
			return
		}
		state := w.model.state(id)
		w.model.setStatus(id, state.Status)
		d.SetState(id, state)
	})
}

func (w *world) setHeld(held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held.Store(held)
	w.model.setHeld(held)
}

// attend does what people do in the end: everything is there and enabled, and the dead are seen to.
func (w *world) attend() {
	for _, p := range w.endpoints {
		w.restore(p)
		w.setStatus(p, ledger.StatusActive)
		w.attendTo(p, w.rnd)
	}
}

// restore puts back an endpoint that is not in the configuration, and makes one that cannot be used
// usable.
func (w *world) restore(p *party) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !p.streamed && !p.present:
		w.set(&alteration{party: p, policy: p.policy, present: true})
		w.swap(p)
	case p.blocked && p.present:
		w.set(&alteration{party: p, policy: p.policy, present: true})
		e := w.endpoint(p)
		w.dispatcher.Change([]dispatch.Change{{ID: p.id, Endpoint: &e}}, nil)
	}
}

// attendTo does what a person does about dead deliveries: some are sent again, some are given up.
func (w *world) attendTo(p *party, rnd *rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.policy.OnDead != config.OnDeadHold {
		return
	}
	w.tables.revisit(p.policy.ID, func(pair outbox.Pair) (again bool) {
		again = rnd.IntN(3) > 0 && !unsendable(pair.EventID)
		w.model.revisits(pair, again)
		return again
	})
	w.dispatcher.Due(p.policy.ID)
}
