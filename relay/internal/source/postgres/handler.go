package postgres

import (
	"time"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// Op is a change of a row.
type Op byte

// The operations.
const (
	Insert   Op = 'I'
	Update   Op = 'U'
	Delete   Op = 'D'
	Truncate Op = 'T'
)

// Tx describes a committed transaction.
type Tx struct {
	XID       uint32
	CommitLSN outbox.LSN // LSN of the commit record, known from the start
	EndLSN    outbox.LSN // LSN after the commit record, known at Commit only
	Time      time.Time  // when it committed
}

// Handler takes the stream's contents in commit order. Every method is called on the goroutine of
// Stream.Run and must not block; an error ends Run. Byte slices alias the read buffer and are valid
// during the call only.
type Handler interface {
	// Begin starts a transaction. Its changes and messages follow, then Commit.
	Begin(tx Tx) error
	// Change is one row: the new one for Insert and Update, the old key for Delete, nil for
	// Truncate. Of a table with REPLICA IDENTITY FULL the old row is whole, and so is an updated
	// one: no value in it is UnchangedTOAST.
	Change(op Op, rel *source.Table, row []outbox.Value) error
	// Message is a transactional logical message.
	Message(prefix string, content []byte) error
	// NonTransactional is a logical message that was sent at once, whether or not the transaction
	// that sent it commits. It may come within another transaction.
	NonTransactional(prefix string)
	// Commit ends the transaction that Begin started.
	Commit(tx Tx) error
	// Keepalive says, outside a transaction, that nothing below lsn is still to come.
	Keepalive(lsn outbox.LSN) error
	// Ready returns nil to go on reading, else a channel that is closed when there is room again.
	// While it waits, the stream keeps answering keepalives and reads nothing.
	Ready() <-chan struct{}
}
