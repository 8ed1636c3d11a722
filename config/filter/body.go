package filter

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/payload"
)

// Body is a compiled `body` expression. It is immutable and safe for concurrent use.
//
// It writes objects and lists as they are laid out, with the event's values in their places. A path
// of the payload is copied byte for byte, so that no number changes; a missing one is null. HTML is
// not escaped.
type Body struct {
	text   string
	run    render
	reads  bool // the payload
	extras []string
}

// render appends a JSON value to dst, which must not become longer than most.
type render func(dst []byte, e *outbox.Event, most int) ([]byte, error)

// What a body meets in a payload that is not JSON.
var (
	errNoJSON = errors.New("payload is not valid JSON")
	errNoUTF8 = errors.New("payload is not valid UTF-8, which JSON must be")
)

// CompileBody compiles an expression that stands at line of filename. It returns nil where the
// Diagnostics have errors.
func CompileBody(src, filename string, line int) (*Body, diag.Diagnostics) {
	s, expr, diags := parseExpression(src, filename, line)
	if diags.HasErrors() {
		return nil, diags
	}
	return CompileBodySyntax(s, expr, strings.TrimSpace(src))
}

// CompileBodySyntax is CompileBody for an expression that is parsed already, out of s; text is how
// it is written there.
func CompileBodySyntax(s *diag.Source, expr hclsyntax.Expression, text string) (*Body, diag.Diagnostics) {
	if diags := tooMuch(s, expr.Range(), text); len(diags) > 0 {
		return nil, diags
	}
	c := compiler{source: s}
	run := c.render(expr)
	if len(c.diags) > 0 {
		return nil, c.diags.Sorted()
	}
	return &Body{text: text, run: run, reads: c.reads, extras: c.extras}, nil
}

// Append appends the body for e to dst as JSON. It fails only if the payload is not JSON and the
// body reads it, wherever the fault is, or with ErrTooLarge if the body would have more than 1 MiB
// beside twice the payload; dst is then as it was.
func (b *Body) Append(dst []byte, e *outbox.Event) ([]byte, error) {
	full, err := dst, error(nil)
	if b.reads {
		err = readable(e)
	}
	if err == nil {
		full, err = b.run(dst, e, len(dst)+MostOf(e))
	}
	if err != nil {
		return dst, fmt.Errorf("build body: %w", err)
	}
	return full, nil
}

// readable returns why nothing may be made of the payload of e. What was found in one that ends too
// early, or goes on behind its end, is not what the application wrote.
func readable(e *outbox.Event) error {
	switch {
	case e.Payload == nil:
		return nil
	case !payload.Valid(e.Payload):
		return errNoJSON
	case !utf8.Valid(e.Payload):
		return errNoUTF8
	}
	return nil
}

// Extras returns the names of the extra columns that it reads; nil Bodies read none.
func (b *Body) Extras() []string {
	if b == nil {
		return nil
	}
	return b.extras
}

// Source returns the expression as it was written.
func (b *Body) Source() string {
	return b.text
}

// render compiles an expression that may be an object or a list.
func (c *compiler) render(expr hclsyntax.Expression) render {
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.render(e.Expression)
	case *hclsyntax.ObjectConsExpr:
		return c.renderObject(e)
	case *hclsyntax.TupleConsExpr:
		return c.renderList(e)
	case *hclsyntax.ConditionalExpr:
		return c.renderChoice(e)
	}
	n := c.compile(expr)
	switch {
	case n.headers:
		return renderHeaders
	case n.extra:
		return renderExtra
	case n.payload:
		return renderPath(n.path)
	default:
		return renderValue(n.run)
	}
}

func (c *compiler) renderObject(e *hclsyntax.ObjectConsExpr) render {
	type member struct {
		name  []byte // quoted, with its colon
		value render
	}
	members := make([]member, 0, len(e.Items))
	seen := make(map[string]hcl.Range, len(e.Items))
	for _, item := range e.Items {
		key, diags := item.KeyExpr.Value(nil)
		if diags.HasErrors() || !key.IsWhollyKnown() || key.IsNull() || key.Type() != cty.String {
			c.fail(item.KeyExpr.Range(), "Computed attribute name", "Write the name as it is, or in quotes.")
			continue
		}
		name := key.AsString()
		if first, twice := seen[name]; twice {
			c.fail(item.KeyExpr.Range(), "Repeated attribute", "%q is set at line %d already. Remove one of the two.", name, first.Start.Line)
		}
		seen[name] = item.KeyExpr.Range()
		members = append(members, member{append(payload.AppendString(nil, name), ':'), c.render(item.ValueExpr)})
	}
	return func(dst []byte, ev *outbox.Event, most int) ([]byte, error) {
		var err error
		dst = append(dst, '{')
		for i := range members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, members[i].name...)
			if dst, err = members[i].value(dst, ev, most); err != nil {
				return dst, err
			}
		}
		dst = append(dst, '}')
		return dst, within(dst, most)
	}
}

func (c *compiler) renderList(e *hclsyntax.TupleConsExpr) render {
	elements := make([]render, 0, len(e.Exprs))
	for _, expr := range e.Exprs {
		elements = append(elements, c.render(expr))
	}
	return func(dst []byte, ev *outbox.Event, most int) ([]byte, error) {
		var err error
		dst = append(dst, '[')
		for i, element := range elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = element(dst, ev, most); err != nil {
				return dst, err
			}
		}
		dst = append(dst, ']')
		return dst, within(dst, most)
	}
}

// within reports a body that has become too large. Objects and lists look for it when they end:
// what they hold looks itself.
func within(dst []byte, most int) error {
	if len(dst) > most {
		return ErrTooLarge
	}
	return nil
}

// renderChoice writes one of two values; null where the condition is missing.
func (c *compiler) renderChoice(e *hclsyntax.ConditionalExpr) render {
	condition := c.compile(e.Condition)
	c.want(condition, formBool, e.Condition.Range(), "A condition")
	yes, no := c.render(e.TrueResult), c.render(e.FalseResult)
	holds := condition.asTest()
	return func(dst []byte, ev *outbox.Event, most int) ([]byte, error) {
		switch t := holds(ev); {
		case t.holds():
			return yes(dst, ev, most)
		case t.fails():
			return no(dst, ev, most)
		default:
			return append(dst, "null"...), nil
		}
	}
}

// renderPath copies a value of the payload.
func renderPath(path payload.Path) render {
	return func(dst []byte, e *outbox.Event, most int) ([]byte, error) {
		at := path.Find(e.Payload)
		if at == payload.Absent {
			return append(dst, "null"...), nil
		}
		return appendRaw(dst, e.Payload, at, most)
	}
}

// appendRaw copies the value at doc[at].
func appendRaw(dst, doc []byte, at, most int) ([]byte, error) {
	end := payload.End(doc, at)
	switch {
	case end == payload.Absent:
		return dst, errNoJSON
	case len(dst)+end-at > most:
		return dst, ErrTooLarge
	case !payload.Valid(doc[at:end]):
		return dst, errNoJSON
	}
	return append(dst, doc[at:end]...), nil
}

func renderExtra(dst []byte, e *outbox.Event, most int) ([]byte, error) {
	if e.Extra == nil {
		return append(dst, "{}"...), nil
	}
	return appendRaw(dst, e.Extra, 0, most)
}

func renderHeaders(dst []byte, e *outbox.Event, most int) ([]byte, error) {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(e.Headers)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(payload.AppendString(dst, name), ':')
		dst = payload.AppendString(dst, e.Headers[name])
	}
	dst = append(dst, '}')
	return dst, within(dst, most)
}

func renderValue(run evaluate) render {
	return func(dst []byte, e *outbox.Event, most int) ([]byte, error) {
		switch v := run(e); v.kind {
		case kindBool:
			return strconv.AppendBool(dst, v.flag), nil
		case kindNumber:
			return append(dst, v.number().String()...), nil
		case kindString:
			dst = payload.AppendString(dst, v.text)
			return dst, within(dst, most)
		case kindTime:
			return payload.AppendString(dst, timeText(*v.at)), nil
		case kindComposite:
			return appendRaw(dst, unalias(v.text), 0, most)
		case kindMissing:
			if v.lack == lackTooLarge {
				return dst, ErrTooLarge
			}
			return append(dst, "null"...), nil
		default:
			return append(dst, "null"...), nil
		}
	}
}
