package webhook

import (
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// Request is one attempt to be made.
type Request struct {
	Event   *outbox.Event
	Body    *config.Body // replaces data; nil: the payload as it is
	Number  int
	Trigger outbox.Trigger
	Now     time.Time // becomes webhook-timestamp and Attempt.AttemptedAt
	// Traceparent and Tracestate replace the event's own. Empty: the event's.
	Traceparent, Tracestate string
	// Held, if set, is asked right before the request is written, when all that takes time before
	// it is done: false, and nothing is sent.
	Held func() bool

	note string // what is wrong with a payload that is sent all the same; empty: nothing
}

// Result is the result of a Request: the attempt's row, except for its Outcome, and what the retry
// policy needs beside it.
type Result struct {
	Attempt outbox.Attempt
	// RetryAfter is the receiver's hint, already turned into a delay from the end of the attempt.
	// 0: none.
	RetryAfter time.Duration
	// Delivered reports whether the receiver took the event: the head of its answer came whole,
	// with a status that means success, and, where the endpoint asks for that, the rest of it too.
	// Else Attempt.Error is a note on what was wrong with the rest.
	Delivered bool
	// Permanent says that no retry can help, for example because the body cannot be built.
	Permanent bool
	// Unaddressable says, of one that is Permanent, that the event has no value for the URL, the
	// query or a header of the endpoint, or one that cannot be sent there.
	Unaddressable bool
	// Word is the receiver's header webhook-delivery, sent beside the status.
	Word string
	// Unsent says that Request.Held forbade it: there was no attempt.
	Unsent bool
	// Local says that the relay or its machine failed the attempt, not the receiver: no
	// descriptors, ports, buffers or memory were left, or the context ended. It is to cost neither
	// one of the delivery's attempts nor any of the endpoint's health.
	Local bool
	// Reached reports whether the request, or a part of it, may have reached the receiver: then the
	// attempt is recorded, even if it is Local.
	Reached bool
	// Again says that the request failed for a reason that ended with it: it went out on a
	// connection that had been idle and that the receiver closed without a word, as at the end of
	// its keep-alive, or with an access token that the receiver no longer takes. That says nothing
	// about its health. A retry may follow at once.
	Again bool
	// Barred says that nothing was sent for what is between the relay and others than the receiver,
	// who had no part in it: the authorization server gave no access token, or the relay gets to
	// nobody through the egress proxy, see egress.IsBarred.
	Barred bool
}

// annotate has the attempt of an event that was delivered say what was wrong with its payload, if
// nothing was wrong with the answer.
func (res *Result) annotate(r *Request) {
	if res.Delivered && res.Attempt.Error == "" {
		res.Attempt.Error = r.note
	}
}
