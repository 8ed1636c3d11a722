package dispatch

import (
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/route"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// routing is an immutable set of endpoints: the table's index is the lane's, as long as the lane
// lives.
type routing struct {
	table *route.Table
	lanes []*lane // nil: the index is free
}

// all returns the lanes.
func (r *routing) all() iter.Seq[*lane] {
	return func(yield func(*lane) bool) {
		for _, l := range r.lanes {
			if l != nil && !yield(l) {
				return
			}
		}
	}
}

// body finds the body of a delivery that comes from the table.
func (r *routing) body(l *lane, e *outbox.Event) *config.Body {
	if l.index < len(r.lanes) && r.lanes[l.index] == l {
		return r.table.Body(l.index, e)
	}
	return nil
}

// places says where the routing has which endpoint. It changes with the routing.
type places struct {
	mu   sync.Mutex
	byID map[string]int
	free []int
	left map[string]*lane // of endpoints that are gone, as long as something of them is in flight or not recorded
}

// change puts an endpoint into the routing, or takes one away.
type change struct {
	id       string
	endpoint *Endpoint // nil: it goes
}

// apply changes the routing for the events that are taken afterwards, and returns the lanes that
// are new or changed and those whose endpoints are gone. An endpoint that existed keeps its lane.
// leave, if it is set, ends a lane as soon as its endpoint is gone: the same endpoint may be back
// in the next change, and must not get the lane that is about to end.
func (d *Dispatcher) apply(changes []change, leave func(*lane)) (here, gone []*lane) {
	d.places.mu.Lock()
	defer d.places.mu.Unlock()
	if len(changes) == 0 {
		return nil, nil
	}
	d.places.forget()
	old := d.routing.Load()
	r := &routing{lanes: slices.Clone(old.lanes)}
	routes := make([]route.Change, 0, len(changes))
	for _, c := range changes {
		at, known := d.places.byID[c.id]
		switch {
		case c.endpoint == nil && !known:
			continue
		case c.endpoint == nil:
			gone = append(gone, r.lanes[at])
			if leave != nil {
				leave(r.lanes[at])
			}
			d.places.left[c.id] = r.lanes[at]
			r.lanes[at] = nil
			delete(d.places.byID, c.id)
			d.places.free = append(d.places.free, at)
			routes = append(routes, route.Change{Index: at})
			continue
		case known:
			r.lanes[at].reconfigure(*c.endpoint)
		default:
			at = d.places.next(len(r.lanes))
			if at == len(r.lanes) {
				r.lanes = append(r.lanes, nil)
			}
			d.places.byID[c.id] = at
			r.lanes[at] = d.open(*c.endpoint)
			r.lanes[at].index = at
		}
		here = append(here, r.lanes[at])
		routes = append(routes, route.Change{Index: at, Endpoint: &c.endpoint.Config})
	}
	r.table = old.table.Change(routes)
	d.routing.Store(r)
	return here, gone
}

// open returns a lane for an endpoint that is new, or back. One that comes back while requests of
// before are in flight gets its lane again: another one would know nothing of them, and send beside
// them.
func (d *Dispatcher) open(e Endpoint) *lane {
	l := d.places.left[e.Config.ID]
	delete(d.places.left, e.Config.ID)
	if l == nil || !l.reopen(e) {
		return newLane(d, e)
	}
	return l
}

// forget drops the lanes of which nothing is left.
func (p *places) forget() {
	for id, l := range p.left {
		if l.over() {
			delete(p.left, id)
		}
	}
}

// next returns an index that is free, of so many.
func (p *places) next(size int) int {
	if n := len(p.free); n > 0 {
		at := p.free[n-1]
		p.free = p.free[:n-1]
		return at
	}
	return size
}

// lane returns the lane of an endpoint, or nil.
func (d *Dispatcher) lane(id string) *lane {
	d.places.mu.Lock()
	defer d.places.mu.Unlock()
	if at, ok := d.places.byID[id]; ok {
		return d.routing.Load().lanes[at]
	}
	return nil
}

// Reload swaps the endpoints that are not Streamed. Events taken afterwards are routed by the new
// ones; a delivery that waits for a removed endpoint is parked. One that is there keeps its status:
// SetState changes that, at its place in the stream. Safe beside everything else, but not twice at
// once.
func (d *Dispatcher) Reload(endpoints []Endpoint) {
	changes := make([]change, 0, len(endpoints))
	kept := make(map[string]struct{}, len(endpoints))
	for i := range endpoints {
		kept[endpoints[i].Config.ID] = struct{}{}
		changes = append(changes, change{id: endpoints[i].Config.ID, endpoint: &endpoints[i]})
	}
	for l := range d.routing.Load().all() {
		if _, ok := kept[l.id]; !ok && !l.streamed {
			changes = append(changes, change{id: l.id})
		}
	}
	here, gone := d.apply(changes, nil)
	for _, l := range gone {
		l.close()
	}
	for _, l := range here {
		l.resume()
	}
}

// Change is a change of a Streamed endpoint at a place in the stream.
type Change struct {
	ID string
	// Endpoint is the endpoint from there on, nil where it is gone: what waits for it is forgotten,
	// and what the table has of it is removed. The status of one that exists stays as it is.
	Endpoint *Endpoint
	// Version is to be noted before the frontier passes tx; its EndpointID empty: nothing is.
	Version ledger.EndpointVersion
	// Seq is that of the next event of the transaction.
	Seq int64
}

// Change changes the endpoints that events are routed to that are taken from now on. Like Take it
// belongs to the stream's goroutine and never blocks.
func (d *Dispatcher) Change(cs []Change, tx *source.Unsettled) {
	changes := make([]change, len(cs))
	for i := range cs {
		changes[i] = change{id: cs[i].ID, endpoint: cs[i].Endpoint}
	}
	here, _ := d.apply(changes, (*lane).drop)
	for i := range cs {
		if cs[i].Version.EndpointID != "" {
			d.note(&cs[i], tx)
		}
	}
	for _, l := range here {
		l.resume()
	}
}

// note hands a version to the recorder.
func (d *Dispatcher) note(c *Change, tx *source.Unsettled) {
	version := c.Version // the caller uses its memory again
	it := item{kind: itemVersion, version: &version}
	if c.Endpoint == nil {
		it.dropped = &ledger.Dropped{EndpointID: c.ID, CommitLSN: c.Version.CommitLSN, Seq: c.Seq}
	}
	e := &event{tx: tx, cost: overhead}
	it.dl = &delivery{ev: e, lane: d.nobody, phase: gone}
	tx.Add(1)
	d.budget.charge(1, e.cost)
	d.recorder.add(it)
}

// Tenant returns the tenant of an endpoint, empty for one that gets every tenant's events; false:
// there is no such endpoint.
func (d *Dispatcher) Tenant(id string) (string, bool) {
	l := d.lane(id)
	if l == nil {
		return "", false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.policy.tenant, true
}

// Ordered reports whether an endpoint gets its events in an order; false also where there is no
// such endpoint.
func (d *Dispatcher) Ordered(id string) bool {
	l := d.lane(id)
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.policy.ordering != config.OrderingNone
}

// SetState applies the status that a person gave an endpoint.
func (d *Dispatcher) SetState(id string, s ledger.EndpointState) {
	l := d.lane(id)
	if l == nil || d.elsewhere != nil {
		return
	}
	l.mu.Lock()
	l.health.assign(s)
	l.shed(time.Now())
	l.mu.Unlock()
	l.resume()
}

// SetVerified notes what is on record of an endpoint, see Endpoint.Proof.
func (d *Dispatcher) SetVerified(id, verified string) {
	l := d.lane(id)
	if l == nil || d.elsewhere != nil {
		return
	}
	l.mu.Lock()
	l.health.verified = verified
	l.noteDue(time.Now())
	l.shed(time.Now())
	l.mu.Unlock()
	l.resume()
}

// Due says that somebody else changed an endpoint's rows in the table.
func (d *Dispatcher) Due(id string) {
	if d.elsewhere != nil {
		d.elsewhere.Due(id)
		return
	}
	l := d.lane(id)
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stir(time.Now())
}
