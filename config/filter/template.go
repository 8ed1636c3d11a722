package filter

import (
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
)

// Template is a text with expressions in ${…}, such as /orders/${event.key}. It is immutable and
// safe for concurrent use.
type Template struct {
	text   string
	parts  []TemplatePart
	extras []string
}

// TemplatePart is a part of a Template: a literal text, or an expression.
type TemplatePart struct {
	Literal string
	Source  string // of an expression, as it is written; empty: it is a literal
	run     evaluate
	reads   bool // the payload
}

// CompileTemplate compiles a text that stands at line of filename. It returns nil where the
// Diagnostics have errors.
func CompileTemplate(src, filename string, line int) (*Template, diag.Diagnostics) {
	s := diag.NewSource(filename, []byte(src))
	start := hcl.Pos{Line: max(line, 1), Column: 1}
	at := hcl.Range{Filename: filename, Start: start, End: start}
	if len(src) > MaxSize {
		return nil, diag.Diagnostics{s.Diagnose(diag.SeverityError, at, "Expression too long", fmt.Sprintf("Write at most %d characters.", MaxSize))}
	}
	tokens, _ := hclsyntax.LexTemplate(s.Text(), filename, start) // its diagnostics come again from the parser
	if nesting(tokens) > maxNesting {
		return nil, diag.Diagnostics{s.Diagnose(diag.SeverityError, at, "Expression too deep",
			fmt.Sprintf("Put at most %d brackets, signs and conditions within each other.", maxNesting))}
	}
	if diags := s.Oversized(tokens); len(diags) > 0 {
		return nil, diags
	}
	expr, parsed := hclsyntax.ParseTemplate(s.Text(), filename, start)
	if diags := s.Adopt(parsed[:min(len(parsed), maxProblems)]); diags.HasErrors() {
		return nil, diags
	}
	c := compiler{source: s}
	t := &Template{text: src}
	switch e := expr.(type) {
	case *hclsyntax.TemplateExpr:
		for _, p := range e.Parts {
			t.add(&c, p)
		}
	case *hclsyntax.TemplateWrapExpr:
		t.add(&c, e.Wrapped)
	default:
		t.add(&c, expr)
	}
	if len(c.diags) > 0 {
		return nil, c.diags.Sorted()
	}
	t.extras = c.extras
	return t, nil
}

// add compiles one part. Literals that stand beside each other become one.
func (t *Template) add(c *compiler, expr hclsyntax.Expression) {
	if l, ok := expr.(*hclsyntax.LiteralValueExpr); ok && l.Val.Type() == cty.String && !l.Val.IsNull() {
		if n := len(t.parts); n > 0 && t.parts[n-1].Source == "" {
			t.parts[n-1].Literal += l.Val.AsString()
			return
		}
		t.parts = append(t.parts, TemplatePart{Literal: l.Val.AsString()})
		return
	}
	c.reads = false
	n := c.compile(expr)
	if !n.failed && (n.form == formComposite || n.payload && len(n.path) == 0) {
		c.fail(expr.Range(), "Object or list in a text", "Name one value of it, such as event.data.id.")
		return
	}
	source := "the expression"
	if at := expr.Range(); at.CanSliceBytes(c.source.Text()) && at.End.Byte > at.Start.Byte {
		source = string(at.SliceBytes(c.source.Text()))
	}
	t.parts = append(t.parts, TemplatePart{Source: source, run: n.run, reads: c.reads})
}

// Parts returns the parts, which nobody changes.
func (t *Template) Parts() []TemplatePart { return t.parts }

// Extras returns the names of the extra columns that it reads.
func (t *Template) Extras() []string { return t.extras }

// Source returns the text as it was written.
func (t *Template) Source() string { return t.text }

// ErrNoText is what Value's errors wrap: the expression has no text for this event.
var ErrNoText = errors.New("no text")

type noTextError struct{ problem string }

func (e *noTextError) Error() string { return e.problem }

func (e *noTextError) Unwrap() error { return ErrNoText }

// maxSource is how much of an expression an error quotes.
const maxSource = 80

// Value returns the text of an expression for an event: never an empty one. The error quotes
// nothing of the event.
func (p *TemplatePart) Value(e *outbox.Event) (string, error) {
	v := p.run(e)
	text := toText(v)
	var problem string
	switch {
	case p.reads && readable(e) != nil:
		problem = "is in a payload that is not valid JSON"
	case v.kind == kindComposite:
		problem = "is an object or a list"
	case v.lack == lackTooLarge && v.kind == kindMissing:
		problem = "is too large"
	case text.kind == kindMissing || text.text == "":
		problem = "is missing, null or empty"
	default:
		return text.text, nil
	}
	source := p.Source
	if len(source) > maxSource {
		source = "an expression"
	}
	return "", &noTextError{source + " " + problem}
}
