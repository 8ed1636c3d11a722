package upkeep

import (
	"context"

	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// Task runs beside delivery for as long as a relay holds the slot.
type Task struct {
	// Name says what it does, for logs and tests.
	Name string
	// Wake has it look for work. nil: it looks now and then by itself.
	Wake Signal
	// Run works until ctx is done, or until another relay is in charge. What fails is logged and
	// tried again.
	Run func(ctx context.Context)
}

// Signal wakes a task. Signals that come while it works are one.
type Signal chan struct{}

// NewSignal returns a signal that is not set.
func NewSignal() Signal { return make(Signal, 1) }

// Set wakes whoever waits for the signal, or who will next. It never blocks, and may be called from
// any goroutine.
func (s Signal) Set() (set bool) {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// Options are the dependencies of the tasks of one hold.
type Options struct {
	Ledger     *ledger.Ledger
	Dispatcher *dispatch.Dispatcher
	Hold       ledger.Hold
	Barriers   *source.Barriers
	Outbox     config.Outbox
	// Terms returns what an event is found by, of the present configuration; nil: by nothing.
	Terms func(ev *outbox.Event) []string
	// Retention returns that of the present configuration.
	Retention func() config.Retention
	// Healed is closed once no gap waits to be healed: what is deleted cannot be healed any more.
	Healed <-chan struct{}
	// Publication is the identity of publication and outbox table that the stream was set up with,
	// Endpoints that of what publishes the endpoints, Standbys which standbys commits waited for.
	Publication, Endpoints, Standbys string
	// End breaks the hold.
	End    func(error)
	Logger zerolog.Logger
}

// Upkeep is the upkeep of one hold.
type Upkeep struct {
	tasks            []Task
	summaries        *summaries
	publication      *publication
	replays, resends Signal
	rejected         Signal
}

// New returns the upkeep of a hold. Nothing runs yet.
func New(o Options) *Upkeep {
	if o.Terms == nil {
		o.Terms = func(*outbox.Event) []string { return nil }
	}
	u := &Upkeep{
		summaries: newSummaries(o.Ledger, o.Logger), publication: newPublication(&o), replays: NewSignal(), resends: NewSignal(),
		rejected: NewSignal(),
	}
	u.tasks = []Task{
		retention(&o),
		u.summaries.task(),
		u.publication.task(),
		replays(&o, u.replays),
		resends(&o, u.resends, u.rejected),
		rejected(&o, u.rejected),
	}
	return u
}

// Tasks returns what is to be run.
func (u *Upkeep) Tasks() []Task { return u.tasks }

// WakeOperations has the tasks look for new replays and resends, and for events that are to be read
// again.
func (u *Upkeep) WakeOperations() {
	u.replays.Set()
	u.resends.Set()
	u.rejected.Set()
}

// Committed notes a batch that was recorded. It belongs to the recorder's goroutine.
func (u *Upkeep) Committed(b *ledger.Batch) { u.summaries.committed(len(b.Attempts)) }

// Moved notes how far the source has come. It belongs to the source's goroutine.
func (u *Upkeep) Moved(p source.Position) { u.publication.moved(p) }
