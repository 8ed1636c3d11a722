package telemetry

import "github.com/tailpost/tailpost/relay/internal/query"

// written sums up the write-ahead log that sessions of the database write: each counts its own, and
// takes that with it when it ends.
type written struct {
	total int64
	last  map[query.Session]int64 // of those that were there at the last look
}

// add notes what the sessions that are there have written so far. What one wrote after the last
// look before it ended is not known.
func (w *written) add(now []query.Written) {
	last := make(map[query.Session]int64, len(now))
	for _, s := range now {
		w.total += max(0, s.Bytes-w.last[s.Session])
		last[s.Session] = s.Bytes
	}
	w.last = last
}

// walWritten returns the sum.
func walWritten(m *Metrics) int64 {
	m.measuring.Lock()
	defer m.measuring.Unlock()
	return m.written.total
}
