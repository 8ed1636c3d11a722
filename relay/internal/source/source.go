package source

import (
	"context"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

// Source is an ordered stream of committed transactions. Run belongs to one goroutine; the other
// methods may be called from any.
type Source interface {
	// Run brings h what was committed and not acknowledged, until ctx is done, which is no error,
	// or until something goes wrong. It is called once.
	Run(ctx context.Context, h Handler) error
	// Ack lets go of everything below p, which is settled and recorded. It never goes back.
	Ack(p Position)
	// Held reports whether the source may still be believed to be ours alone.
	Held() bool
	// Close ends the connection. It is safe to call twice.
	Close()
}

// Tx is a committed transaction.
type Tx struct {
	Commit Position  // of its commit
	End    Position  // behind its commit; known to Handler.Commit only
	At     time.Time // when it committed
}

// Row is a row of the table of endpoints that a transaction wrote or deleted.
type Row struct {
	Table   *Table         // the same pointer as long as its columns are the same
	Values  []outbox.Value // valid during the call only; of a deleted row those of its key
	Deleted bool
	Place   int64 // among the rows of its transaction
	Seq     int64 // of the first event behind it in its transaction
}

// Table is a table as the source has it. It is immutable.
type Table struct {
	OID     uint32
	Schema  string
	Name    string
	Columns []outbox.Column
}

// Names are those of the columns.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// Handler takes what a source brings, in commit order. Every method is called on the goroutine of
// Source.Run and must not block. Between Begin and Commit come the transaction's events and rows; a
// transaction that is settled already has none.
type Handler interface {
	// Begin starts a transaction.
	Begin(tx Tx)
	// Event is an event. It has its identity and its place, which stay the same however often the
	// source brings it.
	Event(ev outbox.Event)
	// Invalid is a row that cannot be made an event, with what could be read of it.
	Invalid(ev outbox.Event, problem error)
	// Endpoint is a changed row of the table of endpoints.
	Endpoint(row Row)
	// Due says that somebody changed what waits for an endpoint, or asked for something that is to
	// be carried out.
	Due(endpoint string)
	// Commit ends the transaction that Begin started.
	Commit(tx Tx)
	// Keepalive says, outside a transaction, that nothing below p is still to come.
	Keepalive(p Position)
	// Ready returns nil to go on, else a channel that is closed when there is room again.
	Ready() <-chan struct{}
}
