package route

import (
	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// versioned holds an event as the versions have it that endpoints pin, so that each version of it
// is made once, however many endpoints have filters.
type versioned struct {
	event *outbox.Event // as the application wrote it
	made  []madeVersion
}

type madeVersion struct {
	steps config.Steps
	event *outbox.Event // nil: there is none
}

// of returns the event as an endpoint gets it; nil: it cannot be made.
func (v *versioned) of(ep *endpoint) *outbox.Event {
	if ep.steps.None() {
		return v.event
	}
	for i := range v.made {
		if v.made[i].steps.Same(ep.steps) {
			return v.made[i].event
		}
	}
	e, err := ep.steps.Event(v.event)
	if err != nil {
		e = nil
	}
	v.made = append(v.made, madeVersion{ep.steps, e})
	return e
}

// passes reports whether an endpoint's filter takes an event, and whether it met a null or missing
// value. An event that cannot be brought to the endpoint's version passes: the attempt says what is
// wrong with it, and it is not lost without a word.
func passes(where *config.Filter, ep *endpoint, v *versioned) (ok, missing bool) {
	if where == nil {
		return true, false
	}
	e := v.of(ep)
	if e == nil {
		return true, false
	}
	return where.Match(e)
}
