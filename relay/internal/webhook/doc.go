// Package webhook makes attempts: it builds a request's body, signs it, sends it where the guard lets it go, and reads
// the answer. What came of it is data, a [Result]; an error means that an endpoint or a client cannot be set up.
//
//	Request ─▶ format ─▶ sign ─▶ origin: idle connection, or resolve ─▶ guard ─▶ dial ─▶ TLS ─▶ write ─▶ read ─▶ Result
//	                               ▲                                                                 │
//	                               └────────────── 307 or 308, as often as the endpoint allows ◀─────┘
//
// Formats. Standard and cloudevents are envelopes around the payload's exact bytes; the payload must be JSON. Raw and
// cloudevents-binary send the payload as it is, whatever it is. A payload that is SQL NULL is sent as null. A body
// expression replaces the payload. CloudEvents carry Options.Source as their source and the event's key as partitionkey.
//
// The guard judges addresses, at the moment they are dialled, on every hop. See proxy for what a proxy changes.
//
// The client speaks HTTP/1.1 itself, on plain connections and where TLS settles on it: one goroutine writes and reads,
// one write per request, no goroutine and no buffer per idle connection. HTTP/2 is net/http's. An answer
// that is not understood to its last byte costs the connection, so no answer is ever taken for another request's.
// The whole head of an answer is the answer, whatever becomes of its body: one that stops early or goes on past the deadline
// is noted in Error beside the status. An answer longer than what is drained counts as read.
//
// The package never retries an attempt (except once, at once, on a new connection, when an idle connection turns out to
// be closed before any byte of an answer), keeps no state of deliveries, and logs nothing.
package webhook
