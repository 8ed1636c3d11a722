package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// Version is what changed in the data of events with a day: how to make, of the data since then,
// what receivers got before.
type Version struct {
	Name   string         // the day, such as 2026-09-20
	Events []VersionEvent // the first that takes an event counts; none in the oldest version
	Origin Origin
}

// VersionEvent makes the data of some events as it was before a version.
type VersionEvent struct {
	Events string  // exact or * per segment, ** for the rest
	Where  *Filter // nil: every event that Events takes; it sees the data since the version
	Body   *Body

	pattern Pattern
}

// Versions are the versions of a configuration; those of a complete one come newest first.
type Versions []Version

// The bounds of versions.
const (
	maxVersions      = 100
	maxVersionEvents = 1000 // of one version
	versionForm      = "2006-01-02"
	// versionless begins the types of Tailpost's own events, which have no versions.
	versionless = "webhook."
)

// Names returns the names of the versions, in their order.
func (v Versions) Names() []string {
	names := make([]string, len(v))
	for i := range v {
		names[i] = v[i].Name
	}
	return names
}

// Newest returns the name of the newest version, that of events as the application writes them;
// empty: there are no versions.
func (v Versions) Newest() string {
	if len(v) == 0 {
		return ""
	}
	return v[0].Name
}

// Oldest returns the name of the oldest version; empty: there are no versions.
func (v Versions) Oldest() string {
	if len(v) == 0 {
		return ""
	}
	return v[len(v)-1].Name
}

// Pin has an endpoint get events of the version that it names, or of otherwise if it names none,
// and reports whether there is such a version. Without it the endpoint gets nothing: Steps fail.
func (v Versions) Pin(e *Endpoint, otherwise string) bool {
	e.Version = cmp.Or(e.Version, otherwise)
	e.steps = Steps{}
	if e.Version == "" {
		return true
	}
	at := slices.IndexFunc(v, func(one Version) bool { return one.Name == e.Version })
	if at < 0 {
		e.steps.unknown = e.Version
		return false
	}
	e.steps.down = v[:at]
	return true
}

// Equal reports whether two sets of versions make the same of every event.
func (v Versions) Equal(others Versions) bool {
	return slices.EqualFunc(v, others, func(a, b Version) bool {
		return a.Name == b.Name && slices.EqualFunc(a.Events, b.Events, VersionEvent.equal)
	})
}

func (e VersionEvent) equal(other VersionEvent) bool {
	return e.Events == other.Events && e.whereText() == other.whereText() && e.Body.Source() == other.Body.Source()
}

// complete returns the versions newest first, ready to be used.
func (v Versions) complete() Versions {
	v = slices.Clone(v)
	slices.SortStableFunc(v, func(a, b Version) int { return cmp.Compare(b.Name, a.Name) })
	for i := range v {
		v[i].Events = slices.Clone(v[i].Events)
		for j := range v[i].Events {
			v[i].Events[j].pattern, _ = ParsePattern(v[i].Events[j].Events) // the rules report it
		}
	}
	return v
}

// Steps lead from the data of an event as the application writes it down to the version that an
// endpoint pins. The zero Steps change nothing. They are safe for concurrent use.
type Steps struct {
	down    []Version // those after the pinned one, newest first
	unknown string    // the pinned version, where the configuration has it no longer
}

// Steps returns the steps to the version that a complete endpoint pins.
func (e *Endpoint) Steps() Steps { return e.steps }

// None reports whether there are no steps: every event stays as it is.
func (s Steps) None() bool { return len(s.down) == 0 && s.unknown == "" }

// Same reports whether two Steps are the same.
func (s Steps) Same(other Steps) bool {
	return s.unknown == other.unknown && len(s.down) == len(other.down) && (len(s.down) == 0 || &s.down[0] == &other.down[0])
}

// Versioned reports whether events of the type have versions: Tailpost's own have none.
func Versioned(eventType string) bool { return !strings.HasPrefix(eventType, versionless) }

// Event returns the event with its data as the pinned version has it, or e itself where nothing
// changed since. An error says why there is no such data: the payload is not JSON, what a step
// makes of it is far larger than the payload, or the version is not known.
func (s Steps) Event(e *outbox.Event) (*outbox.Event, error) {
	switch {
	case s.None() || !Versioned(e.Type):
		return e, nil
	case s.unknown != "":
		return nil, fmt.Errorf("the configuration has no version %q", s.unknown)
	}
	most := filter.MostOf(e)
	for i := range s.down {
		step := s.down[i].step(e)
		if step == nil {
			continue
		}
		data, err := step.Body.Append(nil, e)
		if err == nil && len(data) > most {
			err = filter.ErrTooLarge
		}
		if err != nil {
			return nil, fmt.Errorf("go back before version %q: %w", s.down[i].Name, err)
		}
		before := *e
		before.Payload = data
		e = &before
	}
	return e, nil
}

// step returns what made an event of before the version, or nil.
func (v *Version) step(e *outbox.Event) *VersionEvent {
	for i := range v.Events {
		s := &v.Events[i]
		if !s.pattern.Match(e.Type) {
			continue
		}
		if s.Where != nil {
			if ok, _ := s.Where.Match(e); !ok {
				continue
			}
		}
		return s
	}
	return nil
}

// version decodes a version block.
func (d *decoder) version(top *section, b *hclsyntax.Block) {
	if len(b.Labels) != 1 {
		return // check reported it
	}
	v := Version{Name: b.Labels[0], Origin: Origin{File: top.src.Name(), Line: b.TypeRange.Start.Line}}
	name := "version." + v.Name
	if first, twice := d.places[global][name]; twice {
		top.fail(b.DefRange(), "Repeated version", "Another one stands at %s:%d. Merge the two.", first.Filename, first.Start.Line)
		return
	}
	d.place(global, name, b.DefRange())
	s := top.nested(b, name+".", "a version block")
	s.check(nil, []string{"event"})
	for i, inner := range blocksOf(b.Body, "event") {
		prefix := fmt.Sprintf("%s.event[%d]", name, i)
		d.place(global, prefix, inner.DefRange())
		is := s.nested(inner, prefix+".", "an event block")
		is.check([]string{"where", "body"}, nil)
		var e VersionEvent
		if len(inner.Labels) == 1 {
			e.Events = inner.Labels[0]
		} else {
			d.spoil(global, prefix)
		}
		e.Where, e.Body = is.selection()
		if is.body.Attributes["body"] != nil && e.Body == nil {
			d.spoil(global, prefix+".body")
		}
		v.Events = append(v.Events, e)
	}
	d.config.Versions = append(d.config.Versions, v)
}

// versionJSON is a Version as Config.MarshalJSON writes it.
type versionJSON struct {
	Name   string             `json:"name"`
	Events []versionEventJSON `json:"events"`
}

type versionEventJSON struct {
	Events string `json:"events"`
	Where  string `json:"where,omitempty"`
	Body   string `json:"body"`
}

func newVersionsJSON(versions Versions) []versionJSON {
	all := make([]versionJSON, len(versions))
	for i := range versions {
		all[i] = versionJSON{Name: versions[i].Name, Events: make([]versionEventJSON, len(versions[i].Events))}
		for j, e := range versions[i].Events {
			all[i].Events[j] = versionEventJSON{Events: e.Events, Where: e.whereText(), Body: e.Body.Source()}
		}
	}
	return all
}

func (e VersionEvent) whereText() string {
	if e.Where == nil {
		return ""
	}
	return e.Where.Source()
}

// checkVersions checks the versions of a complete configuration.
func checkVersions(c *checker) {
	all := c.config.Versions
	if len(all) > maxVersions {
		c.fail("version", "Too many versions", "Declare at most %d: leave out old ones that no endpoint pins.", maxVersions)
	}
	for i := range all {
		v := &all[i]
		name := "version." + v.Name
		if _, err := time.Parse(versionForm, v.Name); err != nil {
			c.fail(name, "Invalid version", "Name it for the day of the change, such as \"2026-09-20\".")
		}
		if i > 0 && all[i-1].Name == v.Name {
			c.fail(name, "Repeated version", "Merge the two.")
		}
		if i == len(all)-1 && len(v.Events) > 0 {
			c.fail(name, "Nothing before the oldest version",
				"No endpoint can pin what was before it. Give it a name: declare version \"…\" {} with an earlier day. Or leave the event blocks out.")
		}
		if len(v.Events) > maxVersionEvents {
			c.fail(name, "Too many event blocks", "Write at most %d.", maxVersionEvents)
		}
		for j := range v.Events {
			checkVersionEvent(c, fmt.Sprintf("%s.event[%d]", name, j), &v.Events[j])
		}
	}
}

func checkVersionEvent(c *checker, name string, e *VersionEvent) {
	if _, err := ParsePattern(e.Events); err != nil {
		c.fail(name, "Invalid event pattern", "%s.", sentence(err.Error()))
	} else if !Versioned(e.Events) {
		c.fail(name, "Tailpost's own events", "They have no versions: leave the block out.")
	}
	c.known(name+".where", e.Where.Extras())
	c.known(name+".body", e.Body.Extras())
	if e.Body == nil {
		c.fail(name+".body", "Missing body", "Set body to what the data was before, such as { id = event.data.id }.")
	}
}

// checkPin checks the version that an endpoint pins.
func checkPin(c *checker, e *Endpoint) {
	if e.steps.unknown == "" {
		return
	}
	names := c.config.Versions.Names()
	const shown = 10
	switch n := len(names); {
	case n == 0:
		c.fail("version", "Unknown version", "The configuration has no version blocks: leave version out.")
	case n > shown:
		c.fail("version", "Unknown version", "There are %d, from %s to %s.%s", n, names[n-1], names[0], suggest.DidYouMean(e.Version, names))
	default:
		c.fail("version", "Unknown version", "Write %s.%s", diag.List(names, "or"), suggest.DidYouMean(e.Version, names))
	}
}
