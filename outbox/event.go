package outbox

import (
	"encoding/json"
	"time"
)

// Event is one row of the outbox table, or one logical message. An Event that the relay decoded owns its bytes and is
// immutable: it may be shared between goroutines.
type Event struct {
	// ID identifies the event and is sent as webhook-id. It is the outbox primary key as text.
	ID string
	// Type names what happened, in dot-separated segments, for example "order.created".
	Type string
	// Key groups events whose order matters, for example an aggregate's id. Empty: none.
	Key string
	// Tenant is the customer the event belongs to. Empty: none.
	Tenant string
	// Payload is the JSON document that receivers get, byte for byte. Nil: the row held NULL.
	Payload json.RawMessage
	// Headers travel with the event, for example traceparent. Names are in lower case. Nil: none.
	Headers map[string]string
	// CreatedAt is when the application created the event.
	CreatedAt time.Time

	// CommitLSN is the LSN of the commit record of the event's transaction. Zero before the event is committed.
	CommitLSN LSN
	// Seq is the event's position among its transaction's events, from 0.
	Seq int64
}
