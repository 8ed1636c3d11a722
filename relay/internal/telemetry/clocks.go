package telemetry

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// clocksApart is from where on clocks are apart. An answer's Date has whole seconds, and
	// receivers refuse timestamps that are off by five minutes, some by one.
	clocksApart = 30 * time.Second
	// mostRemembered bounds the receivers that something is remembered of.
	mostRemembered = 100_000
)

// Clocks notices where other clocks are apart from the relay's, and logs it when it begins and when
// it ends. Its methods are safe for concurrent use.
type Clocks struct {
	log zerolog.Logger

	mu        sync.Mutex
	database  time.Duration
	receivers map[string]struct{} // by endpoint: those whose clock is apart
}

// NewClocks makes Clocks that log.
func NewClocks(log zerolog.Logger) *Clocks {
	return &Clocks{log: log, receivers: make(map[string]struct{})}
}

// Apart returns how far a clock is from the relay's that showed there at some time between began
// and ended: ahead where that is positive. What the time between leaves open counts as none.
func Apart(there, began, ended time.Time) time.Duration {
	switch {
	case there.After(ended):
		return there.Sub(ended)
	case there.Before(began):
		return there.Sub(began)
	}
	return 0
}

// Database notes how far the database's clock is ahead of the relay's.
func (c *Clocks) Database(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.database.Abs() >= clocksApart
	c.database = ahead
	switch is := ahead.Abs() >= clocksApart; {
	case is && !was:
		c.log.Warn().Dur("ahead", ahead).
			Msg("the database's clock and the relay's are apart: times of retries and signatures are the relay's, and nothing is removed until it is old by both; synchronise them (NTP)")
	case was && !is:
		c.log.Info().Msg("the database's clock and the relay's agree again")
	}
}

// Receiver notes how far the clock of an endpoint's receiver is ahead of the relay's, as an answer
// that refuses a request says.
func (c *Clocks) Receiver(endpoint string, ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, was := c.receivers[endpoint]
	switch is := ahead.Abs() >= clocksApart; {
	case is && !was && len(c.receivers) < mostRemembered:
		c.receivers[endpoint] = struct{}{}
		c.log.Warn().Str("endpoint", endpoint).Dur("ahead", ahead).
			Msg("the receiver's clock and the relay's are apart: it may refuse signatures for their time; synchronise both (NTP)")
	case was && !is:
		delete(c.receivers, endpoint)
		c.log.Info().Str("endpoint", endpoint).Msg("the receiver's clock and the relay's agree again")
	}
}

// known lists the endpoints whose receivers' clocks are apart.
func (c *Clocks) known() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.receivers))
}

// forget drops what is held of endpoints that are gone.
func (c *Clocks) forget(gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range gone {
		delete(c.receivers, id)
	}
}

// now returns how far the database's clock is ahead, and how many receivers' clocks are apart.
func (c *Clocks) now() (database time.Duration, receivers int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.database, len(c.receivers)
}
