package dispatch

import (
	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// Wanting appends to dst the ids of the endpoints that an event of this id, type and tenant may go
// to, before filters. It may be called from any goroutine, like everything here.
func (d *Dispatcher) Wanting(dst []string, ev *outbox.Event) []string {
	r := d.routing.Load()
	for _, m := range r.table.Wanting(nil, ev) {
		dst = append(dst, r.lanes[m.Index].id)
	}
	return dst
}

// Route appends to dst the ids of the endpoints that an event goes to.
func (d *Dispatcher) Route(dst []string, ev *outbox.Event) []string {
	r := d.routing.Load()
	for _, m := range r.table.Match(nil, ev) {
		dst = append(dst, r.lanes[m.Index].id)
	}
	return dst
}

// Ordering returns the ordering of an endpoint; none where there is no such endpoint.
func (d *Dispatcher) Ordering(endpointID string) config.Ordering {
	l := d.lane(endpointID)
	if l == nil {
		return config.OrderingNone
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.policy.ordering
}

// Healed lets the endpoints with an order go on, see Options.Healing, after Due for each that got
// something in the table.
func (d *Dispatcher) Healed() {
	if !d.healing.Swap(false) {
		return
	}
	for l := range d.routing.Load().all() {
		l.resume()
	}
}
