package route

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// Table routes events to a set of endpoints. It never changes, but for its counters, and is safe
// for concurrent use.
type Table struct {
	endpoints []*endpoint       // nil: the index is free
	tenants   map[string]*index // by tenant; "" holds the endpoints of every tenant
}

// Match is an endpoint that an event goes to.
type Match struct {
	Index int          // of the endpoint among those given to New
	Body  *config.Body // replaces data; nil: the payload as it is

	subscription int // of the endpoint, the one that matched
}

// endpoint is an endpoint as a Table keeps it.
type endpoint struct {
	tenant        string
	subscriptions []subscription
	steps         config.Steps // to the version that its filters are about
	missing       atomic.Uint64
}

// subscription is a config.Subscription with its patterns parsed.
type subscription struct {
	patterns []config.Pattern // none: every event
	where    *config.Filter
	body     *config.Body
}

// Change puts an endpoint at an index, or takes it away from there.
type Change struct {
	Index    int
	Endpoint *config.Endpoint // nil: none
}

// New makes a table of endpoints that a complete configuration holds. It panics on an event pattern
// that is none, which config.Config.Complete refuses.
func New(endpoints []config.Endpoint) *Table {
	changes := make([]Change, len(endpoints))
	for i := range endpoints {
		changes[i] = Change{Index: i, Endpoint: &endpoints[i]}
	}
	return (&Table{}).Change(changes)
}

// Change makes a table that differs by the changes; of several of one index the last one counts. It
// costs what the endpoints of the tenants concerned cost, and a copy of a few bytes for each other
// one. It panics as New does.
func (t *Table) Change(changes []Change) *Table {
	n := &Table{endpoints: slices.Clone(t.endpoints), tenants: maps.Clone(t.tenants)}
	if n.tenants == nil {
		n.tenants = make(map[string]*index)
	}
	touched := make(map[string]struct{}, 1)
	for _, c := range changes {
		for c.Index >= len(n.endpoints) {
			n.endpoints = append(n.endpoints, nil)
		}
		if old := n.endpoints[c.Index]; old != nil {
			touched[old.tenant] = struct{}{}
		}
		if c.Endpoint == nil {
			n.endpoints[c.Index] = nil
			continue
		}
		ep := &endpoint{tenant: c.Endpoint.Tenant, steps: c.Endpoint.Steps(), subscriptions: make([]subscription, 0, len(c.Endpoint.Subscriptions))}
		for i := range c.Endpoint.Subscriptions {
			ep.subscriptions = append(ep.subscriptions, newSubscription(&c.Endpoint.Subscriptions[i]))
		}
		n.endpoints[c.Index] = ep
		touched[ep.tenant] = struct{}{}
	}
	n.rebuild(changes, touched)
	return n
}

// rebuild makes the indexes of the tenants that were touched.
func (t *Table) rebuild(changes []Change, touched map[string]struct{}) {
	members := make(map[string][]int, len(touched))
	changed := make(map[int]struct{}, len(changes))
	for _, c := range changes {
		if _, again := changed[c.Index]; again {
			continue
		}
		changed[c.Index] = struct{}{}
		if ep := t.endpoints[c.Index]; ep != nil {
			members[ep.tenant] = append(members[ep.tenant], c.Index)
		}
	}
	for tenant := range touched {
		those := members[tenant]
		if old := t.tenants[tenant]; old != nil {
			for _, i := range old.members {
				if _, is := changed[i]; !is {
					those = append(those, i)
				}
			}
		}
		if len(those) == 0 {
			delete(t.tenants, tenant)
			continue
		}
		slices.Sort(those)
		t.tenants[tenant] = t.index(those)
	}
}

// index makes the index of a tenant's endpoints.
func (t *Table) index(members []int) *index {
	x := &index{exact: make(map[string][]entry), members: members}
	for _, i := range members {
		for j := range t.endpoints[i].subscriptions {
			x.add(t.endpoints[i].subscriptions[j].patterns, entry{endpoint: i, subscription: j})
		}
	}
	return x
}

func newSubscription(s *config.Subscription) subscription {
	patterns := make([]config.Pattern, 0, len(s.Events))
	for _, text := range s.Events {
		p, err := config.ParsePattern(text)
		if err != nil {
			panic(fmt.Sprintf("route: incomplete configuration: event pattern %q: %v", text, err))
		}
		patterns = append(patterns, p)
	}
	return subscription{patterns: patterns, where: s.Where, body: s.Body}
}

// Match appends to dst the endpoints that the event goes to, each once, in the order of their
// indexes. The first subscription of an endpoint that takes the event decides the body. Filters see
// the event as the version has it that their endpoint pins. It allocates only for an older version,
// or if dst has no room for the subscriptions that want the event's type.
func (t *Table) Match(dst []Match, e *outbox.Event) []Match {
	start := len(dst)
	dst = t.collect(dst, e)
	found := dst[start:]
	kept := 0
	versions := versioned{event: e}
	for i := range found {
		if kept > 0 && found[kept-1].Index == found[i].Index {
			continue // matched already
		}
		s := &t.endpoints[found[i].Index].subscriptions[found[i].subscription]
		if !t.passes(s.where, found[i].Index, &versions) {
			continue
		}
		found[kept] = Match{Index: found[i].Index, Body: s.body, subscription: found[i].subscription}
		kept++
	}
	return dst[:start+kept]
}

// Wanting appends to dst the endpoints that an event of this id, type and tenant may go to, each
// once: those of Match, and those whose filters would turn it away.
func (t *Table) Wanting(dst []Match, e *outbox.Event) []Match {
	start := len(dst)
	dst = t.collect(dst, e)
	found := slices.CompactFunc(dst[start:], func(a, b Match) bool { return a.Index == b.Index })
	return dst[:start+len(found)]
}

// collect appends the subscriptions that want the type, by endpoint.
func (t *Table) collect(dst []Match, e *outbox.Event) []Match {
	start := len(dst)
	operational := e.Operational()
	if x := t.tenants[""]; x != nil {
		dst = x.collect(dst, e.Type, operational)
	}
	if e.Tenant != "" {
		if x := t.tenants[e.Tenant]; x != nil {
			dst = x.collect(dst, e.Type, operational)
		}
	}
	if found := dst[start:]; !slices.IsSortedFunc(found, compare) {
		slices.SortFunc(found, compare)
	}
	return dst
}

func compare(a, b Match) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.subscription, b.subscription))
}

func (t *Table) passes(where *config.Filter, index int, v *versioned) bool {
	ok, missing := passes(where, t.endpoints[index], v)
	if missing {
		t.endpoints[index].missing.Add(1)
	}
	return ok
}

// Body returns the body of an event for one endpoint, as Match does, for a delivery that was
// parked. Nil also stands for an event that the endpoint would not get any more.
func (t *Table) Body(index int, e *outbox.Event) *config.Body {
	ep, versions := t.endpoints[index], versioned{event: e}
	for i := range ep.subscriptions {
		s := &ep.subscriptions[i]
		if !s.wants(e) {
			continue
		}
		if ok, _ := passes(s.where, ep, &versions); !ok {
			continue
		}
		return s.body
	}
	return nil
}

func (s *subscription) wants(e *outbox.Event) bool {
	operational := e.Operational()
	if len(s.patterns) == 0 {
		return !operational
	}
	return slices.ContainsFunc(s.patterns, func(p config.Pattern) bool {
		return p.Match(e.Type) && (!operational || len(p.Segments) > 0 && p.Segments[0] == operationalSegment)
	})
}

// MissingOf returns how many evaluations of an endpoint's filters met a null or missing value.
func (t *Table) MissingOf(index int) uint64 {
	return t.endpoints[index].missing.Load()
}
