package filter

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
)

// Filter is a compiled `where` expression. It is immutable and safe for concurrent use.
//
// An expression sees event.id, .type, .key, .tenant, .headers, .extra, .created_at and .data. Of
// the payload it reads only the paths that it names. Its logic is that of SQL, with three truths: a
// comparison that touches a null or missing value, or orders values of different kinds, is neither
// true nor false but missing; so is its negation, so that event.data.a != 1 and !(event.data.a ==
// 1) say the same; missing || true is true, missing && false is false. Only true passes. A
// comparison with the literal null asks whether a value is there, and coalesce(value, default)
// replaces one that is not. Values of different kinds are not equal. Numbers compare exactly,
// however many digits they have.
type Filter struct {
	text   string
	test   test
	extras []string
}

// Compile compiles an expression that stands at line of filename. It returns nil where the
// Diagnostics have errors.
func Compile(src, filename string, line int) (*Filter, diag.Diagnostics) {
	s, expr, diags := parseExpression(src, filename, line)
	if diags.HasErrors() {
		return nil, diags
	}
	return CompileSyntax(s, expr, strings.TrimSpace(src))
}

// CompileSyntax is Compile for an expression that is parsed already, out of s; text is how it is
// written there.
func CompileSyntax(s *diag.Source, expr hclsyntax.Expression, text string) (*Filter, diag.Diagnostics) {
	if diags := tooMuch(s, expr.Range(), text); len(diags) > 0 {
		return nil, diags
	}
	c := compiler{source: s}
	n := c.compile(expr)
	if !n.failed && n.form == formString && n.constant {
		c.fail(expr.Range(), "Quoted filter", "Write the expression without quotes around it.")
	} else if c.want(n, formBool, expr.Range(), "A filter") && n.constant && len(c.diags) == 0 {
		c.fail(expr.Range(), "Constant filter", "It says the same of every event. Leave it out, or name something of the event.")
	}
	if len(c.diags) > 0 {
		return nil, c.diags.Sorted()
	}
	return &Filter{text: text, test: n.asTest(), extras: c.extras}, nil
}

// parseExpression parses src as if it stood at the start of a line of a file.
func parseExpression(src, filename string, line int) (*diag.Source, hclsyntax.Expression, diag.Diagnostics) {
	s := diag.NewSource(filename, []byte(src))
	start := hcl.Pos{Line: max(line, 1), Column: 1}
	if diags := tooMuch(s, hcl.Range{Filename: filename, Start: start, End: start}, src); len(diags) > 0 {
		return s, nil, diags
	}
	// Diagnostics of the lexer come again from the parser.
	tokens, _ := hclsyntax.LexExpression(s.Text(), filename, start)
	if diags := s.Oversized(tokens); len(diags) > 0 {
		return s, nil, diags
	}
	expr, diags := hclsyntax.ParseExpression(s.Text(), filename, start)
	return s, expr, s.Adopt(diags[:min(len(diags), maxProblems)])
}

// Match reports whether the event passes, and whether the expression met a null or missing value on
// the way. It never fails.
func (f *Filter) Match(e *outbox.Event) (ok, missing bool) {
	t := f.test(e)
	return t.holds(), t.missed()
}

// Extras returns the names of the extra columns that it reads; nil Filters read none.
func (f *Filter) Extras() []string {
	if f == nil {
		return nil
	}
	return f.extras
}

// Source returns the expression as it was written.
func (f *Filter) Source() string {
	return f.text
}
