// Package http1 is the wire of HTTP/1.1 as a client speaks it: it writes a request, reads the
// answer, and keeps connections for the next request.
//
//	Pool.Get ─▶ Conn.Begin ─▶ Exchange.Do: write ∥ head ─▶ body ─▶ Conn.End ─▶ Pool.Put, or Close
//
// One goroutine writes and reads, with one write per request; only a large body is written while
// the answer is read. An idle connection costs no goroutine and no buffer.
//
// A connection with an answer that is not understood to its last byte is closed, so that no answer
// is ever taken for another request's. A complete head is an answer, whatever becomes of its body.
// Whether a connection is used again is decided as strictly as net/http reads; a fuzz target
// compares the two.
//
// The package never dials, retries or logs, and knows nothing of events. HTTP/2 is package http2.
package http1
