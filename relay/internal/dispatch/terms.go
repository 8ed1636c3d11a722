package dispatch

import (
	"reflect"
	"time"
	"unique"

	"github.com/tailpost/tailpost/config"
)

// policy is the part of an endpoint's configuration that its lane needs. All of that would be a
// good part of what an idle endpoint costs.
type policy struct {
	*terms

	name, tenant string
	url          unique.Handle[string]
	ordering     config.Ordering // that of the lane, which may change before its terms do
}

// terms are what many endpoints have in common. They never change.
type terms struct {
	config.Batch

	concurrency  int
	onDead       config.OnDead
	retry        config.Retry
	circuit      config.Circuit
	timeout      time.Duration
	parkAfter    time.Duration
	disableAfter time.Duration
}

// holds reports whether a dead delivery holds what follows in its order.
func (t *terms) holds() bool { return t.onDead == config.OnDeadHold }

// lastTerms has endpoints share terms with the one that was made before them, if they can: those of
// a file follow each other and mostly say the same. Its zero value is ready.
type lastTerms struct{ last *terms }

// of returns the terms of an endpoint.
func (s *lastTerms) of(e *config.Endpoint) *terms {
	t := &terms{
		Batch: e.Batch, concurrency: e.Concurrency, onDead: e.OnDead, retry: e.Retry, circuit: e.Circuit,
		timeout: e.Timeout, parkAfter: e.ParkAfter, disableAfter: e.DisableAfter,
	}
	if !reflect.DeepEqual(s.last, t) {
		s.last = t
	}
	return s.last
}
