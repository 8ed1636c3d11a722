// Package webhook makes attempts: it builds a request's body, signs it, sends it where the guard
// lets it go, and reads the answer. What came of it is data, a [Result]; an error means that an
// endpoint or a client cannot be set up.
//
//	Request ─▶ format ─▶ sign ─▶ origin: a kept connection, or egress: resolve ─▶ guard ─▶ dial
//	                               │                                                         │
//	                               └─────▶ http1 or http2: write ∥ read ◀──────── TLS ◀──────┘
//	                                              │
//	      307 or 308, as often as allowed ◀───────┴──────▶ Result
//
// Formats. Standard and cloudevents are envelopes around the payload's exact bytes; the payload
// must be JSON. Raw and cloudevents-binary send the payload as it is, whatever it is. A payload
// that is SQL NULL is sent as null. A body expression replaces the payload. CloudEvents carry
// Options.Source as their source and the event's key as partitionkey.
//
// Batches. An endpoint with batches gets arrays of envelopes, in requests that have an id of their
// own. An event that cannot be sent is alone in its batch, so that the others are as they would be
// without it. Where answers may name events that failed, one that cannot be read takes none.
//
// Neighbours. Package egress opens connections and knows where they may go; http1 and http2 speak
// on them; token fetches the access tokens that some endpoints want. This package knows what is
// sent, and to whom.
//
// Answers. A complete head is an answer, whatever becomes of its body: a body that stops early or
// goes on past the deadline is noted in Error beside the status. An answer longer than what is
// drained counts as read.
//
// Requests. There is an attempt for every request that may have reached the receiver. A request is
// sent again within an attempt only where the receiver says that it has not processed it: an HTTP/2
// stream refused or left out by a GOAWAY, and HTTP_1_1_REQUIRED.
//
// Connections are kept, up to Options.MaxAge. A connection that timed out without a byte is not
// used again, and neither are those that were idle beside it: they may all be dead.
//
// The package never retries, keeps no state of deliveries, and logs nothing.
package webhook
