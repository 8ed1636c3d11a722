package intake

import (
	"github.com/rs/zerolog"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// Dispatcher is where events go; *dispatch.Dispatcher is one.
type Dispatcher interface {
	Dispatch(ev outbox.Event, tx *source.Unsettled)
	Reject(ev outbox.Event, problem string, tx *source.Unsettled)
	// Known says which deliveries of what is taken next are recorded or parked.
	Known(recorded map[outbox.Pair]struct{})
	Change(cs []dispatch.Change, tx *source.Unsettled)
	SetState(endpointID string, state ledger.EndpointState)
	SetVerified(endpointID, verified string)
	Due(endpointID string)
	// Advanced tells that the frontier may have moved without a record.
	Advanced()
	Ready() <-chan struct{}
}

// Upkeep runs beside delivery; *upkeep.Upkeep is one.
type Upkeep interface {
	// Moved notes how far the source has come.
	Moved(p source.Position)
	// WakeOperations has the tasks look for new replays and resends.
	WakeOperations()
}

// Options are the dependencies of an Intake.
type Options struct {
	Dispatcher Dispatcher
	Frontier   *source.Frontier
	Endpoints  *Feed // nil: there are none but those of the configuration
	Upkeep     Upkeep
	Again      *Again // nil: the dispatcher knows what is recorded
	// Elsewhere takes what others deliver, and Pending has a transaction unsettled until it is
	// there. nil: the dispatcher delivers.
	Elsewhere Elsewhere
	Pending   func(tx *source.Unsettled) (settle func())
	// Stopping is closed once nothing more is to be taken in: the source stays up for the last
	// acknowledgement.
	Stopping <-chan struct{}
	Logger   zerolog.Logger
}

// Intake is a source.Handler. It belongs to the source's goroutine.
type Intake struct {
	dispatcher Dispatcher
	frontier   *source.Frontier
	endpoints  *Feed
	upkeep     Upkeep
	elsewhere  Elsewhere // nil: there is nobody else
	pending    func(tx *source.Unsettled) (settle func())
	stopping   <-chan struct{}
	log        zerolog.Logger

	lookup lookup
	tx     source.Tx
	counts *source.Unsettled
	due    []string // endpoints to look at once the transaction is over
}

var _ source.Handler = (*Intake)(nil)

// New returns an Intake.
func New(o Options) *Intake {
	i := &Intake{
		dispatcher: o.Dispatcher, frontier: o.Frontier, endpoints: o.Endpoints, upkeep: o.Upkeep, stopping: o.Stopping, log: o.Logger,
		lookup: lookup{Again: o.Again}, elsewhere: o.Elsewhere, pending: o.Pending,
	}
	if i.endpoints != nil {
		i.endpoints.dispatcher = o.Dispatcher
	}
	return i
}

// Begin implements source.Handler.
func (i *Intake) Begin(tx source.Tx) {
	i.tx, i.due = tx, i.due[:0]
	i.counts = i.frontier.Begin(tx.At)
	if i.elsewhere != nil {
		i.elsewhere.Begin(tx)
	}
}

// Event implements source.Handler.
func (i *Intake) Event(ev outbox.Event) {
	i.endpoints.flush(i.counts)
	if i.lookup.wants(i.tx) {
		i.collect(ev, nil)
		return
	}
	i.dispatcher.Dispatch(ev, i.counts)
}

// Invalid implements source.Handler.
func (i *Intake) Invalid(ev outbox.Event, problem error) {
	if i.lookup.wants(i.tx) {
		i.collect(ev, problem)
		return
	}
	i.reject(ev, problem)
}

func (i *Intake) reject(ev outbox.Event, problem error) {
	i.log.Error().Err(problem).Str("event_id", ev.ID).Stringer("lsn", ev.CommitLSN).Msg("event cannot be delivered, recorded as dead")
	i.dispatcher.Reject(ev, problem.Error(), i.counts)
}

// Endpoint implements source.Handler.
func (i *Intake) Endpoint(row source.Row) {
	i.flush()
	if i.endpoints != nil {
		i.endpoints.change(row, i.tx, i.counts)
	}
	if id := i.endpoints.id(row); i.elsewhere != nil && id != "" {
		i.elsewhere.Row(id, row, i.pending(i.counts))
	}
}

// Due implements source.Handler.
func (i *Intake) Due(endpoint string) {
	if i.counts == nil {
		i.dispatcher.Due(endpoint) // outside a transaction: of nobody whose endpoint it makes
		return
	}
	i.due = append(i.due, endpoint)
}

// Commit implements source.Handler.
func (i *Intake) Commit(tx source.Tx) {
	i.flush()
	if i.lookup.failed {
		return // the frontier must not pass what was not taken
	}
	i.upkeep.Moved(tx.End)
	i.endpoints.flush(i.counts)
	// Only now: what is due may be an endpoint's of this transaction.
	for _, id := range i.due {
		switch {
		case i.elsewhere == nil:
			i.dispatcher.Due(id)
		case id != "":
			i.elsewhere.Due(id, i.pending(i.counts))
		}
	}
	if len(i.due) > 0 {
		i.upkeep.WakeOperations()
	}
	i.passOn(tx)
	i.frontier.Commit(i.counts, tx.End)
	i.counts = nil
	i.dispatcher.Advanced()
}

// passOn has others know that a transaction is whole.
func (i *Intake) passOn(tx source.Tx) {
	switch {
	case i.elsewhere == nil:
	case i.elsewhere.Touched():
		i.elsewhere.Commit(tx, i.pending(i.counts))
	default:
		i.elsewhere.Commit(tx, nil)
	}
}

// Keepalive implements source.Handler.
func (i *Intake) Keepalive(p source.Position) {
	if i.lookup.failed {
		return
	}
	i.upkeep.Moved(p)
	i.frontier.Keepalive(p)
	if i.elsewhere != nil {
		i.elsewhere.Keepalive(p)
	}
	i.dispatcher.Advanced()
}

// Ready implements source.Handler.
func (i *Intake) Ready() <-chan struct{} {
	select {
	case <-i.stopping:
		return make(chan struct{}) // never: draining
	default:
	}
	room := i.dispatcher.Ready()
	if room != nil && i.elsewhere != nil {
		i.elsewhere.Flush()
	}
	return room
}
