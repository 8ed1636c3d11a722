package route

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// Table routes events to the endpoints of one configuration. It is safe for concurrent use.
type Table struct {
	endpoints []endpoint
	tenants   map[string]*index // by tenant; "" holds the endpoints of every tenant
	missing   []atomic.Uint64   // by endpoint
}

// Match is an endpoint that an event goes to.
type Match struct {
	Index int          // of the endpoint among those given to New
	Body  *config.Body // replaces data; nil: the payload as it is

	subscription int // of the endpoint, the one that matched
}

// endpoint is what a Table keeps of an endpoint.
type endpoint struct {
	subscriptions []subscription
}

// subscription is a config.Subscription with its patterns parsed.
type subscription struct {
	patterns []config.Pattern // none: every event
	where    *config.Filter
	body     *config.Body
}

// New makes a table of endpoints that a complete configuration holds. It panics on an event pattern that is none, which
// config.Config.Complete refuses.
func New(endpoints []config.Endpoint) *Table {
	t := &Table{
		endpoints: make([]endpoint, len(endpoints)),
		tenants:   make(map[string]*index),
		missing:   make([]atomic.Uint64, len(endpoints)),
	}
	for i := range endpoints {
		ep := &endpoints[i]
		subscriptions := make([]subscription, 0, len(ep.Subscriptions))
		for j := range ep.Subscriptions {
			s := newSubscription(&ep.Subscriptions[j])
			subscriptions = append(subscriptions, s)
			t.tenant(ep.Tenant).add(s.patterns, entry{endpoint: i, subscription: j})
		}
		t.endpoints[i].subscriptions = subscriptions
	}
	return t
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

// tenant gives the index of a tenant's endpoints.
func (t *Table) tenant(name string) *index {
	x := t.tenants[name]
	if x == nil {
		x = &index{exact: make(map[string][]entry)}
		t.tenants[name] = x
	}
	return x
}

// Match appends to dst the endpoints that the event goes to, each once, in the order of their indexes. The first
// subscription of an endpoint that takes the event gives the body. It allocates only if dst has no room for the
// subscriptions that want the event's type.
func (t *Table) Match(dst []Match, e *outbox.Event) []Match {
	start := len(dst)
	if x := t.tenants[""]; x != nil {
		dst = x.collect(dst, e.Type)
	}
	if e.Tenant != "" {
		if x := t.tenants[e.Tenant]; x != nil {
			dst = x.collect(dst, e.Type)
		}
	}
	found := dst[start:]
	if !slices.IsSortedFunc(found, compare) {
		slices.SortFunc(found, compare)
	}
	kept := 0
	for i := range found {
		if kept > 0 && found[kept-1].Index == found[i].Index {
			continue // matched already
		}
		s := &t.endpoints[found[i].Index].subscriptions[found[i].subscription]
		if s.where != nil && !t.passes(s.where, found[i].Index, e) {
			continue
		}
		found[kept] = Match{Index: found[i].Index, Body: s.body, subscription: found[i].subscription}
		kept++
	}
	return dst[:start+kept]
}

func compare(a, b Match) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.subscription, b.subscription))
}

func (t *Table) passes(where *config.Filter, index int, e *outbox.Event) bool {
	ok, missing := where.Match(e)
	if missing {
		t.missing[index].Add(1)
	}
	return ok
}

// Body gives the body of an event for one endpoint, as Match does, for a delivery that was parked. Nil also stands for an
// event that the endpoint would not get any more.
func (t *Table) Body(index int, e *outbox.Event) *config.Body {
	for i := range t.endpoints[index].subscriptions {
		s := &t.endpoints[index].subscriptions[i]
		if !s.takes(e.Type) {
			continue
		}
		if s.where != nil {
			if ok, _ := s.where.Match(e); !ok {
				continue
			}
		}
		return s.body
	}
	return nil
}

func (s *subscription) takes(eventType string) bool {
	if len(s.patterns) == 0 {
		return true
	}
	return slices.ContainsFunc(s.patterns, func(p config.Pattern) bool { return p.Match(eventType) })
}

// Missing gives how many evaluations of filters met a null or missing value.
func (t *Table) Missing() uint64 {
	var sum uint64
	for i := range t.missing {
		sum += t.missing[i].Load()
	}
	return sum
}

// MissingOf is Missing for one endpoint.
func (t *Table) MissingOf(index int) uint64 {
	return t.missing[index].Load()
}
