package filter

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/payload"
)

// headers compiles event.headers, whole or one by its name in any case.
func (c *compiler) headers(at hcl.Range, rest payload.Path) node {
	if len(rest) == 0 {
		return node{form: formComposite, headers: true, run: func(*outbox.Event) value { return missing() }}
	}
	name, isName := rest[0].Name()
	if len(rest) > 1 || !isName {
		return c.fail(at, "Path into a header", "A header is a single string: write event.headers[\"name\"].")
	}
	name = strings.ToLower(name)
	return node{form: formAny, run: func(e *outbox.Event) value {
		h, ok := e.Headers[name]
		if !ok {
			return missing()
		}
		return textual(h)
	}}
}

// extra compiles event.extra, whole or a path in it.
func (c *compiler) extra(at hcl.Range, rest payload.Path) node {
	if len(rest) == 0 {
		return node{form: formComposite, extra: true, run: func(*outbox.Event) value { return missing() }}
	}
	name, isName := rest[0].Name()
	if !isName {
		return c.fail(at, "Index of the extra columns", "Name one of them, such as event.extra.region.")
	}
	if !slices.Contains(c.extras, name) {
		c.extras = append(c.extras, name)
	}
	return node{form: formAny, run: func(e *outbox.Event) value { return readIn(e.Extra, rest) }}
}

func eventAttributes() []string {
	return []string{"id", "type", "key", "tenant", "headers", "extra", "created_at", "data"}
}

// attribute compiles an attribute of the event itself. It is never missing: one that the event has
// not is empty.
func attribute(name string) (node, bool) {
	switch name {
	case "id":
		return node{form: formString, run: func(e *outbox.Event) value { return textual(e.ID) }}, true
	case "type":
		return node{form: formString, run: func(e *outbox.Event) value { return textual(e.Type) }}, true
	case "key":
		return node{form: formString, run: func(e *outbox.Event) value { return textual(e.Key) }}, true
	case "tenant":
		return node{form: formString, run: func(e *outbox.Event) value { return textual(e.Tenant) }}, true
	case "created_at":
		return node{form: formTime, run: func(e *outbox.Event) value { return value{kind: kindTime, at: &e.CreatedAt} }}, true
	default:
		return node{}, false
	}
}
