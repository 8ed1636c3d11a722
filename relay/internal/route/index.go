package route

import (
	"strings"

	"github.com/tailpost/tailpost/config"
)

// index finds the subscriptions of one tenant's endpoints that want an event type.
type index struct {
	members  []int              // the tenant's endpoints, in order
	exact    map[string][]entry // by event type
	all      []entry
	patterns branch
}

// entry is a subscription.
type entry struct {
	endpoint     int
	subscription int
}

// branch is a node of the trie: what is left to match once the segments on the way to it have.
type branch struct {
	next map[string]*branch // by the next segment
	star *branch            // whatever the next segment
	here []entry            // nothing is left
	rest []entry            // one or more segments are left, whatever they are
}

// add enters a subscription under each of its patterns. Entries come in the order of their
// endpoints.
func (x *index) add(patterns []config.Pattern, en entry) {
	if len(patterns) == 0 {
		x.all = append(x.all, en)
	}
	for _, p := range patterns {
		if p.Exact() {
			name := strings.Join(p.Segments, ".")
			x.exact[name] = append(x.exact[name], en)
			continue
		}
		x.patterns.add(p, en)
	}
}

func (b *branch) add(p config.Pattern, en entry) {
	for _, segment := range p.Segments {
		b = b.child(segment)
	}
	if p.Rest {
		b.rest = append(b.rest, en)
	} else {
		b.here = append(b.here, en)
	}
}

func (b *branch) child(segment string) *branch {
	if segment == "*" {
		if b.star == nil {
			b.star = &branch{}
		}
		return b.star
	}
	if b.next == nil {
		b.next = make(map[string]*branch)
	}
	c := b.next[segment]
	if c == nil {
		c = &branch{}
		b.next[segment] = c
	}
	return c
}

// collect appends the subscriptions that want the event type, in no particular order; one with
// several patterns that match is appended several times. An operational event is wanted only by
// those that name it.
func (x *index) collect(dst []Match, eventType string, operational bool) []Match {
	if operational {
		return x.collectOperational(dst, eventType)
	}
	dst = appendEntries(dst, x.all)
	dst = appendEntries(dst, x.exact[eventType])
	return x.patterns.collect(dst, eventType)
}

// operationalSegment begins the types of operational events.
const operationalSegment = "webhook"

func (x *index) collectOperational(dst []Match, eventType string) []Match {
	dst = appendEntries(dst, x.exact[eventType])
	if named := x.patterns.next[operationalSegment]; named != nil {
		_, rest, _ := strings.Cut(eventType, ".")
		dst = named.collect(dst, rest)
	}
	return dst
}

func (b *branch) collect(dst []Match, rest string) []Match {
	dst = appendEntries(dst, b.rest)
	if b.star == nil && b.next == nil {
		return dst
	}
	segment, rest, more := strings.Cut(rest, ".")
	for _, c := range [...]*branch{b.star, b.next[segment]} {
		switch {
		case c == nil:
		case more:
			dst = c.collect(dst, rest)
		default:
			dst = appendEntries(dst, c.here)
		}
	}
	return dst
}

func appendEntries(dst []Match, entries []entry) []Match {
	for _, en := range entries {
		dst = append(dst, Match{Index: en.endpoint, subscription: en.subscription})
	}
	return dst
}
