// Package http1 is the wire of HTTP/1.1 as a client speaks it: it writes a request, reads the
// answer, and keeps connections for the next request.
//
//	Pool.Take ─▶ Conn.Begin ─▶ Exchange.Do: write ∥ head ─▶ body ─▶ Conn.End ─▶ Pool.Put, or Conn.Close
//
// One goroutine writes and reads, in one write per request; only a large body is written beside the
// reading. An idle connection costs no goroutine and no buffer.
//
// What is not understood to its last byte costs the connection, so no answer is ever taken for
// another request's. The whole head of an answer counts as the answer, whatever becomes of its
// body. Whether a connection is used again is decided as strictly as net/http reads; a fuzz target
// compares the two.
//
// The package never dials, retries or logs, and knows nothing of events. HTTP/2 is package http2.
package http1
