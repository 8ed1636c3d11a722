package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/route"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// Sender makes one request; *webhook.Endpoint does. It must return soon after ctx is done.
type Sender interface {
	Send(ctx context.Context, r *webhook.Request) webhook.Result
	// SendBatch is Send for the events of one request, for an endpoint with batches.
	SendBatch(ctx context.Context, b *webhook.Batch) []webhook.Result
}

// Ledger is the database's side; *ledger.Ledger is one. Record is called by one goroutine and the
// others by another.
type Ledger interface {
	Record(ctx context.Context, hold ledger.Hold, b *ledger.Batch) error
	// Page reads pending deliveries that are due.
	Page(ctx context.Context, q ledger.PageQuery) (ledger.Page, error)
	// InKeyOrder reads the first pending deliveries of each key, in commit order; whole says that
	// none is missing. With dead, the first dead one of each key is among them.
	InKeyOrder(ctx context.Context, endpointID string, keys []string, perKey int, dead bool) (rows []outbox.Delivery, whole bool, err error)
	// InOrder reads the first pending deliveries of an endpoint, in commit order; whole as above.
	InOrder(ctx context.Context, endpointID string, limit int, dead bool) (rows []outbox.Delivery, whole bool, err error)
	// DueKeys reads the keys of pending deliveries that have a time, due or not, after a place in
	// that order. Unblock makes due the deliveries that nothing blocks, after a place. Both do some
	// of it, and say whether there is more.
	DueKeys(ctx context.Context, endpointID string, after ledger.DuePlace) (keys []ledger.DueKey, more bool, err error)
	Unblock(ctx context.Context, endpointID string, after ledger.DuePlace, now time.Time) (at ledger.DuePlace, more bool, err error)
	// KeyHeads reads the first pending delivery of each key of an endpoint, or fails with
	// ledger.ErrManyKeys if there are more than most; First reads that of all its deliveries.
	KeyHeads(ctx context.Context, endpointID string, dead bool, most int) ([]ledger.KeyHead, error)
	First(ctx context.Context, endpointID string, dead bool) ([]ledger.KeyHead, error)
	// Loosen makes due what waited behind an earlier delivery: all of an endpoint's, or only those
	// without a key. It does some of them and reports whether there are more.
	Loosen(ctx context.Context, endpointID string, keyed bool, now time.Time) (more bool, err error)
}

// Endpoint is one endpoint to deliver to.
type Endpoint struct {
	Config config.Endpoint
	Sender Sender
	State  ledger.EndpointState
	Due    time.Time // the earliest pending delivery in the table; zero: none
	// KeyHeads says, of an ordered endpoint, what is pending in the table, by key.
	KeyHeads []ledger.KeyHead
	// ManyKeys says that KeyHeads are missing because there are more than MostKeys.
	ManyKeys bool
	// Reread says that what waits in the table was written for another ordering: it is read anew
	// before any of it is loaded.
	Reread bool
	// Streamed says that Change adds and removes the endpoint, so that Reload leaves it alone.
	Streamed bool
	// Blocked says that nothing can be sent to it for now: what it should get is parked. It needs
	// no Sender.
	Blocked bool
	// Proof is what has to be on record of it, see config.Endpoint.Proof, before it is sent
	// anything: until then its Sender, a Verifier too, asks it, and what it should get is parked.
	// Empty: nothing has to.
	Proof string
}

// Verifier asks a receiver whether it wants the events of an endpoint. Delivered says that it does.
// A Sender of an endpoint that has to prove something is one; *webhook.Endpoint is.
type Verifier interface {
	Verify(ctx context.Context, held func() bool) webhook.Result
}

// MostKeys is how many keys of an endpoint are worth a chain each, while nothing of them is in
// memory. Of more the table is asked as they come due.
const MostKeys = 10_000

// Elsewhere takes what endpoints are to get, for others to deliver. Its methods are called on the
// stream's goroutine and must not block.
type Elsewhere interface {
	// Event passes an event on to endpoints, one or more. stored is called once, from any
	// goroutine, when it is where those others find it whatever happens to this process.
	Event(ev *outbox.Event, endpoints []string, stored func())
	// Due says that somebody changed an endpoint's rows in the table. It may be called from any
	// goroutine.
	Due(endpoint string)
}

// Options configure a Dispatcher.
type Options struct {
	Hold      ledger.Hold
	Ledger    Ledger
	Frontier  *source.Frontier
	Endpoints []Endpoint
	// Recorded names deliveries that the stream brings again although they are recorded or parked;
	// each is skipped.
	Recorded map[outbox.Pair]struct{}
	// Elsewhere has others deliver: this dispatcher routes, passes on and records that it has, and
	// sends nothing. nil: it delivers itself.
	Elsewhere Elsewhere
	// Ack takes the frontier after the transaction that settled it is committed.
	Ack func(source.Position)
	// Committed takes each batch once it is committed, in the recorder's goroutine, and keeps
	// nothing of it. nil: nobody.
	Committed func(Recorded)
	// Held reports whether this relay may still believe that it holds the slot. Dispatch asks
	// before a request is taken up, and again before it is written. nil: it does.
	Held func() bool
	// Healing says that earlier events may yet come from the table: endpoints with an order send
	// nothing until Healed.
	Healing bool
	// Grace is how long requests in flight may take once Run stops.
	Grace time.Duration
	// MaxEvents and MaxBytes bound the deliveries of the stream that are in memory. 0: 8,192 and 16
	// MiB. MinEvents may be there however slowly receivers answer: what waits there for longer than
	// park_after goes through the table. 0: 1,024.
	MaxEvents int
	MinEvents int
	MaxBytes  int64
	// LaneEvents bounds the deliveries that wait in one lane while others have work too, beyond
	// four times its concurrency. 0: 1,024.
	LaneEvents int
	// LaneKeys bounds the keys of an endpoint that a lane has a chain of although nothing of them
	// is in memory. 0: twice MostKeys.
	LaneKeys int
	// RecordPause is how long what is to be recorded waits for company after a transaction. 0: 10
	// ms.
	RecordPause time.Duration
	// UnblockEvery is how often an endpoint of more keys is looked through for deliveries that
	// nothing blocks, although nobody said that its rows were changed. 0: every 10 minutes.
	UnblockEvery time.Duration
	// MaxYoung bounds the requests over all lanes that are both young and unanswered. 0: 64 for
	// each CPU.
	MaxYoung int
	// Search lists the terms by which events are found; nil: none. See SetSearch.
	Search *config.Search
	// Trace starts the spans of an attempt. nil: nothing is traced.
	Trace  func(e *outbox.Event, endpoint string, number int, trigger outbox.Trigger, at time.Time) Trace
	Logger zerolog.Logger
}

// Recorded is a batch that is committed.
type Recorded struct {
	*ledger.Batch

	Took time.Duration // the transaction
	// Waited is how long after the commit of its event each delivery was made; where the event had
	// been queued, or was not to be delivered yet, after that. What a person asked for again is not
	// among them.
	Waited []time.Duration
}

// Trace is the spans of an attempt that was begun.
type Trace interface {
	// Headers returns what the request carries in place of the event's own context.
	Headers() (traceparent, tracestate string)
	// End takes what came of the attempt. An empty outcome: it was broken off, or not made.
	End(made *outbox.Attempt, outcome outbox.Outcome)
}

// Dispatcher delivers events. Take and Ready belong to one goroutine, the stream's.
type Dispatcher struct {
	hold     ledger.Hold
	ledger   Ledger
	frontier *source.Frontier
	ack      func(source.Position)
	commits  func(Recorded) // nil: nobody wants to know
	held     func() bool
	// elsewhere is where others find what they deliver; nil: this one delivers.
	elsewhere Elsewhere
	awaited   atomic.Uint64                                                                                  // see Await
	trace     func(e *outbox.Event, endpoint string, number int, trigger outbox.Trigger, at time.Time) Trace // nil: nobody traces
	grace     time.Duration
	patience  time.Duration // the shortest park_after

	laneEvents   int
	laneKeys     int
	recordPause  time.Duration
	unblockEvery time.Duration
	log          zerolog.Logger

	budget   *budget
	gate     *gate
	recorder *recorder
	loader   *loader
	routing  atomic.Pointer[routing]
	places   places
	terms    lastTerms // of places.mu
	strain   strain
	search   atomic.Pointer[config.Search]

	loadedBytes atomic.Int64 // that rows which were read from the table take in memory

	active   atomic.Int32 // lanes with traffic
	inFlight atomic.Int32 // deliveries whose requests wait for an answer
	stopping atomic.Bool
	healing  atomic.Bool     // lanes with an order wait for events of the table
	hard     context.Context //nolint:containedctx // Bounds everything; Run's own only says when to stop.
	sendCtx  context.Context //nolint:containedctx // Bounds the workers, which Run ends.
	abort    context.CancelCauseFunc
	workers  sync.WaitGroup

	matches  []route.Match // owned by Take
	recorded map[outbox.Pair]struct{}
	nobody   *lane // of rejected events
}

// ErrOrderly is the cause of an end after which the same relay goes on, with other settings.
// Nothing is broken: a request in flight has the whole grace, and is not cut off and made again.
var ErrOrderly = errors.New("it begins anew")

// errAborted ends requests whose grace is over.
var errAborted = errors.New("the relay is stopping")

// New makes a Dispatcher. It takes events at once; what became of them is recorded while Run runs.
// When hard is done everything is broken off.
func New(hard context.Context, o Options) *Dispatcher {
	d := &Dispatcher{
		hold: o.Hold, ledger: o.Ledger, frontier: o.Frontier, ack: o.Ack, commits: o.Committed, held: o.Held, grace: o.Grace, elsewhere: o.Elsewhere,
		log: o.Logger, recorded: o.Recorded, patience: time.Second, trace: o.Trace,
	}
	if d.held == nil {
		d.held = func() bool { return true }
	}
	if o.MaxEvents == 0 {
		o.MaxEvents = 8192
	}
	if o.MinEvents == 0 {
		o.MinEvents = 1024
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 16 << 20
	}
	d.hard = hard
	d.search.Store(o.Search)
	d.healing.Store(o.Healing)
	d.sendCtx, d.abort = context.WithCancelCause(hard)
	if o.LaneEvents == 0 {
		o.LaneEvents = 1024
	}
	d.laneEvents = o.LaneEvents
	if d.laneKeys = o.LaneKeys; d.laneKeys == 0 {
		d.laneKeys = 2 * MostKeys
	}
	if d.recordPause = o.RecordPause; d.recordPause == 0 {
		d.recordPause = defaultRecordPause
	}
	if d.unblockEvery = o.UnblockEvery; d.unblockEvery == 0 {
		d.unblockEvery = 10 * time.Minute
	}
	d.budget = newBudget(o.MinEvents, o.MaxEvents, o.MaxBytes)
	d.gate = newGate(o.MaxYoung)
	d.recorder = newRecorder(d)
	d.loader = newLoader(d)
	d.nobody = &lane{d: d, id: Everyone}
	d.routing.Store(&routing{table: route.New(nil)})
	d.places.byID, d.places.left = make(map[string]int, len(o.Endpoints)), make(map[string]*lane)
	changes := make([]change, len(o.Endpoints))
	for i := range o.Endpoints {
		changes[i] = change{id: o.Endpoints[i].Config.ID, endpoint: &o.Endpoints[i]}
	}
	d.apply(changes, nil)
	return d
}

// Run delivers until ctx is done, then parks what waits, lets requests in flight end within the
// grace, records their outcomes and returns nil. A ctx that ends with a cause of its own means that
// the hold broke, unless the cause is ErrOrderly: then the grace is short, for nothing is delivered
// to anybody until the slot is taken again. A ledger that refuses ends Run with its error. Run may
// be called once.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer d.abort(nil)
	for l := range d.routing.Load().all() {
		l.resume()
	}
	loading, endLoading := context.WithCancel(ctx)
	defer endLoading()
	var loader sync.WaitGroup
	if d.elsewhere == nil {
		loader.Go(func() { d.loader.run(loading) })
	}

	drained := make(chan struct{})
	recording := make(chan error, 1)
	go func() { recording <- d.recorder.run(d.hard, drained) }()

	var err error
	failed := false
	select {
	case <-ctx.Done():
	case err = <-recording:
		failed = true
		d.abort(errAborted)
	}
	grace := d.grace
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, ErrOrderly) {
		grace = min(grace, brokenGrace)
	}
	d.drain(grace)
	endLoading()
	loader.Wait()
	close(drained)
	if !failed {
		err = <-recording
	}
	return err
}

// brokenGrace is the grace of a hold that broke.
const brokenGrace = 500 * time.Millisecond

// drain stops every lane and returns when no request is in flight.
func (d *Dispatcher) drain(grace time.Duration) {
	d.stopping.Store(true)
	for l := range d.routing.Load().all() {
		l.close()
	}
	idle := make(chan struct{})
	go func() {
		d.workers.Wait()
		close(idle)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-idle:
		return
	case <-timer.C:
		d.abort(errAborted)
	case <-d.sendCtx.Done():
	}
	<-idle
}

// Dispatch routes an event of the stream and hands it to the lanes of the endpoints that want it.
// It never blocks: the caller asks Ready before it reads on. tx is the event's transaction.
func (d *Dispatcher) Dispatch(ev outbox.Event, tx *source.Unsettled) {
	r := d.routing.Load()
	e := &event{Event: ev, tx: tx, committed: tx.At()}
	d.matches = r.table.Match(d.matches[:0], &e.Event)
	n := len(d.matches)
	if n == 0 {
		return
	}
	e.cost = overhead + int64((len(ev.Payload)+len(ev.Extra))/n)
	if d.elsewhere != nil {
		e.cost = overhead + int64(len(ev.Payload)+len(ev.Extra))
		d.passOn(e, r.lanes)
		return
	}
	now := time.Now()
	for _, m := range d.matches {
		l := r.lanes[m.Index]
		if d.skip(ev.ID, l.id) {
			continue
		}
		tx.Add(1)
		d.budget.charge(1, e.cost)
		l.accept(&delivery{ev: e, lane: l, body: m.Body, since: now})
	}
}

// passOn hands an event to those who deliver it.
func (d *Dispatcher) passOn(e *event, lanes []*lane) {
	ids := make([]string, 0, len(d.matches))
	for _, m := range d.matches {
		ids = append(ids, lanes[m.Index].id)
	}
	d.elsewhere.Event(&e.Event, ids, d.pending(e))
}

// Pending has a transaction unsettled until settle is called, once, from any goroutine. Like Take
// it belongs to the stream's goroutine.
func (d *Dispatcher) Pending(tx *source.Unsettled) (settle func()) {
	return d.pending(&event{tx: tx, cost: overhead})
}

func (d *Dispatcher) pending(e *event) (settle func()) {
	e.tx.Add(1)
	d.budget.charge(1, e.cost)
	dl := &delivery{ev: e, lane: d.nobody, phase: gone}
	return func() { d.recorder.add(item{kind: itemPassedOn, dl: dl}) }
}

// SetSearch has the events of later attempts found by something else; nil: by nothing. It is safe
// for concurrent use.
func (d *Dispatcher) SetSearch(s *config.Search) { d.search.Store(s) }

// Everyone is the endpoint of a delivery that stands for all that might have wanted its event.
const Everyone = "*"

// Reject records an event that cannot be decoded as one dead delivery, to Everyone. tx is the
// event's transaction.
func (d *Dispatcher) Reject(ev outbox.Event, problem string, tx *source.Unsettled) {
	if d.skip(ev.ID, Everyone) {
		return
	}
	e := &event{Event: ev, tx: tx, cost: overhead}
	tx.Add(1)
	d.budget.charge(1, e.cost)
	dl := &delivery{ev: e, lane: d.nobody, phase: gone, since: time.Now()}
	d.recorder.add(item{kind: itemReject, dl: dl, reason: outbox.ReasonInvalid, attempt: outbox.Attempt{Error: problem}})
}

// overhead is about what a delivery takes in memory beside its payload.
const overhead = 512

// Known says which deliveries of what is taken next are recorded or parked, in place of what was
// known before. Like Take it belongs to the stream's goroutine.
func (d *Dispatcher) Known(recorded map[outbox.Pair]struct{}) { d.recorded = recorded }

// skip reports whether the delivery is one that the stream brings again.
func (d *Dispatcher) skip(eventID, endpointID string) bool {
	if len(d.recorded) == 0 {
		return false
	}
	p := outbox.Pair{EventID: eventID, EndpointID: endpointID}
	if _, ok := d.recorded[p]; !ok {
		return false
	}
	delete(d.recorded, p)
	return true
}

// Ready returns nil while there is room for more, else a channel that is closed when there is.
func (d *Dispatcher) Ready() <-chan struct{} { return d.budget.ready() }

// InMemory is how many deliveries of the stream are not settled, and about how many bytes they
// take. It may be called from any goroutine.
func (d *Dispatcher) InMemory() (deliveries int, bytes int64) { return d.budget.charged() }

// Await has it recorded that everything up to p is settled, once it is, also where nothing but WAL
// without events leads there: somebody waits for that. It may be called from any goroutine.
func (d *Dispatcher) Await(p source.Position) {
	for old := d.awaited.Load(); old < uint64(p) && !d.awaited.CompareAndSwap(old, uint64(p)); {
		old = d.awaited.Load()
	}
	d.recorder.notify()
}

// Advanced tells that the frontier may have moved without a record, after a transaction without
// deliveries.
func (d *Dispatcher) Advanced() { d.recorder.notify() }

// InFlight is how many requests wait for an answer. It may be called from any goroutine.
func (d *Dispatcher) InFlight() (n int) {
	for l := range d.routing.Load().all() {
		n += l.view().InFlight
	}
	return n
}

// Oldest returns the commit time of the oldest transaction that is not settled; zero: there is
// none. It may be called from any goroutine.
func (d *Dispatcher) Oldest() time.Time { return d.frontier.Oldest() }

// Admission is how much of an endpoint's concurrency is in use, and what it is left of it because
// its receiver has too much to do.
type Admission struct {
	Admitting   int       // requests that may wait for an answer at once
	Concurrency int       // of these
	InFlight    int       // that do now
	Rate        float64   // requests a second; 0: no limit
	PausedUntil time.Time // the receiver asked to be left alone; zero: it did not, or that is over
}

// Admission returns what an endpoint is admitted now; false: there is no such endpoint. It may be
// called from any goroutine.
func (d *Dispatcher) Admission(id string) (Admission, bool) {
	l := d.lane(id)
	if l == nil || d.elsewhere != nil {
		return Admission{}, false
	}
	return l.view(), true
}

// Limited returns the endpoints that are admitted less than they could have because their receivers
// have too much to do. It may be called from any goroutine.
func (d *Dispatcher) Limited() map[string]Admission {
	limited := make(map[string]Admission)
	for l := range d.routing.Load().all() {
		if a := l.view(); a.Rate > 0 { // one that is left alone has a rate too
			limited[l.id] = a
		}
	}
	return limited
}
