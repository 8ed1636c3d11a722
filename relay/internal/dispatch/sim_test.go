package dispatch_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

var (
	simSeeds = flag.Uint64("seeds", 120, "simulate the lives of this many relays; TAILPOST_SIM_SEEDS does the same")
	simSeed  = flag.Int64("seed", -1, "simulate only this one, as a failure names it")
	simTrace = flag.Bool("trace", false, "print every step of the simulation")
)

// TestTheSimulation runs whole lives of a relay in virtual time: receivers answer everything, the
// database stalls, people and the stream change endpoints, the relay stops and crashes and goes on
// from what was acknowledged. After each step a model of its own says whether the promises hold.
// After a change of this package run more of them: go test ./relay/internal/dispatch -run
// TestTheSimulation -seeds 5000.
func TestTheSimulation(t *testing.T) {
	t.Parallel()
	first, n := uint64(0), *simSeeds
	if text := os.Getenv("TAILPOST_SIM_SEEDS"); text != "" { //nolint:forbidigo // a test's own switch
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	if *simSeed >= 0 {
		first, n = uint64(*simSeed), 1
	}
	lapsed := 0
	for seed := first; seed < first+n && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) { lapsed += simulate(t, seed) })
		if t.Failed() {
			t.Logf("replay with: go test ./relay/internal/dispatch -run TestTheSimulation -seed %d -trace", seed)
		}
	}
	require.True(t, lapsed > 0 || n < 10 || t.Failed(), "some events expire")
}

// ending is how a life of the relay ends.
type ending int

const (
	stopped       ending = iota // by a person
	broken                      // the hold was lost, what is in flight is still recorded
	crashed                     // nothing more is recorded
	crashedBehind               // like crashed, and what was being recorded is committed all the same
	completed                   // everything is delivered
	endings
)

// simulate returns how many events expired.
func simulate(t *testing.T, seed uint64) int {
	t.Helper()
	trace("SEED %d", seed)
	w := newWorld(t, seed)
	for range w.rnd.IntN(5) {
		w.live(w.at+w.rnd.IntN(w.events/2), ending(w.rnd.IntN(int(completed))))
		if w.failed() {
			return w.model.lapsed
		}
	}
	w.live(w.events, completed)
	w.failed()
	return w.model.lapsed
}

// failed reports whether the model has found something, and says what.
func (w *world) failed() bool {
	problems := append(w.model.found(), w.tables.found()...)
	for _, p := range problems {
		w.t.Errorf("seed %d: %s", w.seed, p)
	}
	return len(problems) > 0
}

// live runs one relay, from what was acknowledged up to a place in the stream.
func (w *world) live(until int, how ending) {
	hard, kill := context.WithCancel(w.t.Context())
	defer kill()
	w.restart()
	tracker := source.NewFrontier(max(w.tables.position(), w.tables.acknowledged()))
	d := dispatch.New(hard, dispatch.Options{
		Hold: ledger.Hold{Epoch: w.tables.takeEpoch()}, Ledger: w.tables, Frontier: tracker, Endpoints: w.loaded(), Recorded: w.recorded(),
		Ack: w.tables.ack, Held: w.held.Load, Grace: 5 * time.Second, Logger: zerolog.Nop(),
		LaneEvents: w.lane, LaneKeys: w.tables.keys, UnblockEvery: 1000 * time.Hour, MaxYoung: w.young, MaxEvents: w.memory,
	})
	w.mu.Lock()
	w.dispatcher = d
	w.mu.Unlock()
	ctx, stop := context.WithCancelCause(hard)
	defer stop(nil)
	done := make(chan error, 1)
	go func() { done <- w.dispatcher.Run(ctx) }()
	people := make(chan struct{})
	acting, endPeople := context.WithCancel(ctx)
	from := w.at
	go func() {
		defer close(people)
		w.people(acting, random(w.seed, uint64(500+from)))
	}()
	for ; w.at < until && len(w.model.found()) == 0; w.at++ {
		w.stream(ctx, tracker, w.at)
	}
	if how == completed {
		w.finish()
	} else {
		pause(w.t.Context(), time.Duration(w.rnd.Int64N(int64(10*time.Second))))
	}
	endPeople()
	<-people
	w.end(how, stop, kill, done)
}

// end ends a life.
func (w *world) end(how ending, stop context.CancelCauseFunc, kill func(), done <-chan error) {
	switch how {
	case crashed:
		w.tables.depose(false)
		kill()
		trace("crashed: %v", <-done)
	case crashedBehind:
		w.tables.depose(true)
		kill()
		trace("crashed: %v", <-done)
		w.tables.depose(false)
	case broken:
		stop(errors.New("the slot is lost"))
		require.NoError(w.t, <-done, "seed %d", w.seed)
	case stopped, completed, endings:
		stop(nil)
		require.NoError(w.t, <-done, "seed %d", w.seed)
	}
	w.model.stops(how != crashed && how != crashedBehind, w.resumesAt())
}

// stream puts transaction i through the dispatcher.
func (w *world) stream(ctx context.Context, tracker *source.Frontier, i int) {
	for ready := w.dispatcher.Ready(); ready != nil; ready = w.dispatcher.Ready() {
		select {
		case <-ready:
		case <-ctx.Done():
			return
		}
	}
	tx := tracker.Begin(time.Now())
	e := w.entry(i)
	if e.change != nil {
		w.changeStreamed(e.change, tx, i)
	}
	w.take(&e.event, tx, i)
	tracker.Commit(tx, end(i))
	w.dispatcher.Advanced()
	if i%w.burst == 0 {
		pause(ctx, time.Duration(1+w.rnd.Int64N(int64(w.gap))))
	}
	if i%16 == 0 {
		w.prompt()
	}
}

// prompt sees that whatever may be sent is on its way, and was not forgotten until somebody else
// comes by.
func (w *world) prompt() {
	const asked = time.Second // so often a lane asks whether the slot is held again
	pause(w.t.Context(), 1)   // or a timer of this very moment may be about to look
	synctest.Wait()
	begun, held := w.model.requested()
	if held < asked {
		return
	}
	trace("nudge")
	dispatch.Nudge(w.dispatcher)
	synctest.Wait()
	if after, _ := w.model.requested(); after != begun {
		w.t.Errorf("seed %d: %d requests could have begun at %s, and nobody looked", w.seed, after-begun, time.Since(w.began))
	}
	for _, p := range w.endpoints {
		if v, _ := dispatch.View(w.dispatcher, p.id); v.Queued > 0 && w.model.closed(p.id) {
			w.t.Errorf("seed %d: %d deliveries wait in memory for %s, which gets nothing: %+v", w.seed, v.Queued, p.id, v)
		}
	}
}

// take has the dispatcher take an event, and looks at what it then has in memory.
func (w *world) take(e *outbox.Event, tx *source.Unsettled, i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := map[string]dispatch.LaneView{}
	for _, ep := range w.endpoints {
		before[ep.policy.ID], _ = dispatch.View(w.dispatcher, ep.policy.ID)
	}
	w.model.takes(i, e)
	w.dispatcher.Dispatch(*e, tx)
	for _, ep := range w.endpoints {
		if after, ok := dispatch.View(w.dispatcher, ep.policy.ID); ok {
			w.model.bounded(ep.policy.ID, before[ep.policy.ID], after)
		}
	}
	if n, _ := w.dispatcher.InMemory(); n > w.memory+2*len(w.endpoints) {
		w.t.Errorf("seed %d: %d deliveries of the stream in memory, the bound is %d", w.seed, n, w.memory)
	}
}

// finish makes everything well and waits until nothing is pending.
func (w *world) finish() {
	for _, ep := range w.endpoints {
		ep.receiver.recover()
	}
	w.setHeld(true)
	for deadline := time.Now().Add(48 * time.Hour); ; {
		pause(w.t.Context(), time.Second)
		w.attend()
		w.prompt()
		n := w.model.unfinished()
		settled := max(w.tables.position(), w.tables.acknowledged())
		if n == 0 && settled == end(w.at-1) || len(w.model.found()) > 0 {
			w.landed()
			return
		}
		if time.Now().After(deadline) {
			w.model.mu.Lock()
			for i, f := range w.model.fates {
				if f.owed && !f.over && f.row != outbox.StateDead {
					w.model.problem("%s never ends at %s: %+v", f.event, w.model.owners[i].policy.ID, *f)
				}
			}
			w.model.problem("%d deliveries never end, settled up to %s of %s", n, settled, end(w.at-1))
			w.model.mu.Unlock()
			return
		}
	}
}

// landed sees that nothing is believed in flight once all is settled and answered.
func (w *world) landed() {
	pause(w.t.Context(), 2*simTimeout) // what is in flight to an endpoint that is gone settles nothing
	if n := dispatch.Flying(w.dispatcher); n != 0 && len(w.model.found()) == 0 {
		w.t.Errorf("seed %d: %d deliveries are believed in flight, when all are settled", w.seed, n)
	}
	for _, p := range w.endpoints {
		v, _ := dispatch.View(w.dispatcher, p.id)
		if v.Capacity = 0; w.model.closed(p.id) {
			v.Chains = 0 // a person has paused it again, so that nobody asks the table yet
		}
		if v != (dispatch.LaneView{}) && len(w.model.found()) == 0 {
			w.t.Errorf("seed %d: %s still has in memory, when all are settled: %+v", w.seed, p.id, v)
		}
	}
	if n, bytes := w.dispatcher.InMemory(); (n != 0 || bytes != 0) && len(w.model.found()) == 0 {
		w.t.Errorf("seed %d: %d deliveries with %d bytes are believed in memory, when all are settled", w.seed, n, bytes)
	}
}

// name is the id of the event of transaction i.
func name(i int) string { return fmt.Sprintf("e%04d", i) }

// random is a stream of random numbers of its own.
func random(seed, of uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, of)) }

// trace prints a step.
func trace(format string, args ...any) {
	if *simTrace {
		fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("04:05.000000")}, args...)...)
	}
}

// pause lets virtual time pass.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
