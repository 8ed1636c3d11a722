package dispatch

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// strain is what this relay's machine lacks: requests failed for want of descriptors, ports,
// buffers or memory. That is no receiver's fault, so it costs neither attempts nor health; somebody
// has to hear of it.
type strain struct {
	count atomic.Uint64

	mu       sync.Mutex
	reported time.Time
}

// reportEvery is how often the log says so at most.
const reportEvery = time.Minute

// met notes that a request failed for want of something.
func (s *strain) met(log *zerolog.Logger, endpoint, problem string, now time.Time) {
	s.count.Add(1)
	s.mu.Lock()
	tell := now.Sub(s.reported) >= reportEvery
	if tell {
		s.reported = now
	}
	s.mu.Unlock()
	if tell {
		log.Error().Str("endpoint", endpoint).Str("error", problem).Uint64("requests", s.count.Load()).
			Msg("this machine is short of something that requests need, they wait; raise its limits or lower the concurrency")
	}
}

// LocalFailures returns how many requests failed for want of descriptors, ports, buffers or memory
// of this machine. It may be called from any goroutine.
func (d *Dispatcher) LocalFailures() uint64 { return d.strain.count.Load() }
