package telemetry

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Certificates holds until when receivers' certificates are valid. Its methods are safe for
// concurrent use, and so is the zero value.
type Certificates struct {
	mu    sync.Mutex
	until map[string]time.Time // by endpoint
}

// Presented takes in until when the certificates are valid that the receiver of an endpoint
// presented last.
func (c *Certificates) Presented(endpoint string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.until == nil {
		c.until = make(map[string]time.Time)
	}
	if _, known := c.until[endpoint]; known || len(c.until) < mostRemembered {
		c.until[endpoint] = until
	}
}

// known lists the endpoints that something is held of.
func (c *Certificates) known() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.until))
}

// forget drops what is held of endpoints that are gone.
func (c *Certificates) forget(gone []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range gone {
		delete(c.until, id)
	}
}

// expiry is until when the certificates of an endpoint's receiver are valid.
type expiry struct {
	endpoint string
	until    time.Time
}

// write shows those that expire first.
func (c *Certificates) write(p page) {
	c.mu.Lock()
	var all []expiry
	for id, until := range c.until {
		all = append(all, expiry{id, until})
	}
	c.mu.Unlock()
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b expiry) int {
		return cmp.Or(a.until.Compare(b.until), strings.Compare(a.endpoint, b.endpoint))
	})
	f := p.gauge("certificate_expiry_timestamp_seconds", "When the first of the certificates expires that an endpoint's receiver presented last.")
	for _, e := range all[:min(len(all), ownLabels)] {
		f.add(unix(e.until), "endpoint", e.endpoint)
	}
}
