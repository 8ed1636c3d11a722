package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrInvalidEvent says that an event cannot be written as it is. Nothing was sent to the database:
// the transaction is still usable.
var ErrInvalidEvent = errors.New("invalid event")

// Event is one row of the outbox table, or one logical message. An Event that the relay decoded
// owns its bytes and is immutable: it may be shared between goroutines.
type Event struct {
	// ID identifies the event and is sent as webhook-id. It is the outbox primary key as text.
	ID string
	// Type names what happened, in dot-separated segments, for example "order.created".
	Type string
	// Key groups events whose order matters, for example an aggregate's id. Empty: none.
	Key string
	// Tenant is the customer the event belongs to. Empty: none.
	Tenant string
	// Payload is the JSON document that receivers get, byte for byte. Nil: the row held NULL. A
	// text or bytea column may hold what is not JSON; a decoded event then has those bytes, and the
	// body format decides what to do.
	Payload json.RawMessage
	// Headers travel with the event, for example traceparent. Names are in lower case. Nil: none.
	Headers map[string]string
	// Extra has the values of Mapping.Extra by their names: a JSON object. Nil: none. Receivers get
	// of it what an endpoint's expressions name.
	Extra json.RawMessage
	// CreatedAt is when the application created the event.
	CreatedAt time.Time
	// DeliverAt is the time before which the event is not delivered. Zero: at once.
	DeliverAt time.Time
	// ExpiresAt is the time from which on the event is not delivered any more. Zero: it never
	// expires.
	ExpiresAt time.Time

	// CommitLSN is the LSN of the commit record of the event's transaction. Zero before the event
	// is committed.
	CommitLSN LSN
	// Seq is the event's position among its transaction's events, from 0.
	Seq int64
}

// NewEvent makes an event of the given type with data as its payload: encoding/json's form of data,
// without escaping HTML. A json.RawMessage is kept byte for byte and a nil data is no payload. The
// caller may set the other fields; the ID is made when the event is written.
func NewEvent(eventType string, data any) (Event, error) {
	e := Event{Type: eventType}
	switch d := data.(type) {
	case nil:
	case json.RawMessage:
		e.Payload = bytes.Clone(d)
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(data); err != nil {
			return Event{}, fmt.Errorf("encode the payload of a %q event: %w", eventType, err)
		}
		e.Payload = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	}
	if problem := e.problem(); problem != "" {
		return Event{}, fmt.Errorf("%w: %s", ErrInvalidEvent, problem)
	}
	return e, nil
}

// problem says why the event cannot be written. Empty: it can.
func (e *Event) problem() string {
	if e.Type == "" {
		return "its type is empty"
	}
	for _, s := range [...]struct{ name, value string }{
		{"id", e.ID}, {"type", e.Type}, {"key", e.Key}, {"tenant", e.Tenant},
	} {
		if problem := textProblem(s.value); problem != "" {
			return "its " + s.name + " " + problem
		}
	}
	if e.Payload != nil {
		// Valid lets broken UTF-8 pass, but no NUL.
		if !utf8.Valid(e.Payload) || !json.Valid(e.Payload) {
			return "its payload is not JSON"
		}
	}
	if problem := e.extraProblem(); problem != "" {
		return problem
	}
	seen := make(map[string]struct{}, len(e.Headers))
	for name, value := range e.Headers {
		if name == "" {
			return "a header has no name"
		}
		if textProblem(name) != "" || textProblem(value) != "" {
			return fmt.Sprintf("its header %q holds a NUL character or is not UTF-8", name)
		}
		lower := strings.ToLower(name)
		if _, twice := seen[lower]; twice {
			return fmt.Sprintf("its header %q is there twice, in different case", lower)
		}
		seen[lower] = struct{}{}
	}
	return ""
}

// textProblem says why Postgres would not take s as text. Empty: it would.
func textProblem(s string) string {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return "holds a NUL character, which Postgres cannot store"
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	}
	return ""
}

// prepare checks all events and settles their ids: an ID that is missing is made.
func prepare(events []Event) (ids []string, err error) {
	ids = make([]string, len(events))
	for i := range events {
		if problem := events[i].problem(); problem != "" {
			return nil, invalid(i, len(events), problem)
		}
		ids[i] = events[i].ID
		if ids[i] == "" {
			ids[i] = newID(time.Now())
		}
	}
	return ids, nil
}

func invalid(i, n int, problem string) error {
	return fmt.Errorf("%w: event %d of %d: %s", ErrInvalidEvent, i+1, n, problem)
}

// headersJSON is the headers as a JSON object with names in lower case. Empty: none.
func (e *Event) headersJSON() (string, error) {
	if len(e.Headers) == 0 {
		return "", nil
	}
	lower := make(map[string]string, len(e.Headers))
	for name, value := range e.Headers {
		lower[strings.ToLower(name)] = value
	}
	b, err := json.Marshal(lower)
	if err != nil {
		return "", fmt.Errorf("encode headers: %w", err)
	}
	return string(b), nil
}
