// Package http2 is the wire of HTTP/2 as a client speaks it: it sends requests on one connection,
// many at a time, and returns their answers.
//
//	New ─▶ Reserve ─▶ Do: head and body ─▶ answer      Retire ─▶ closed once nothing is in flight
//
// A connection costs two goroutines, a request none beside its caller's. One reads frames and files
// what they say with the requests; the other writes what has gathered while it wrote, so that
// requests that come together share a record of TLS and a call of the kernel.
//
//	Do ──frames──▶ out ──▶ writer ──▶ peer ──▶ reader ──▶ stream ──▶ Do returns
//
// Frames and the compression of headers are golang.org/x/net's. A request's own head is written
// without the dynamic table: most of it is different each time.
//
// A body is sent as far as the peer's windows allow, and no further once the answer is whole. Of an
// answer's body the beginning is kept and some more read; then the stream is reset, and the
// connection lives on. A peer that breaks the protocol, or does not answer a ping, loses the
// connection with all that is in flight.
//
// The package never dials, retries or logs, and knows nothing of events.
package http2
