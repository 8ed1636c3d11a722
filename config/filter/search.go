package filter

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
)

// The bounds of what attempts are found by.
const (
	maxTerms    = 4
	maxTermName = 32
	maxTermText = 120 // bytes of a value
)

// Search is a compiled `search` object: the values of an event by which its attempts are found. It
// is immutable and safe for concurrent use; a nil Search has no values.
type Search struct {
	text  string
	names []string
	runs  []evaluate

	extras []string
}

// CompileSearch compiles an object that stands at line of filename, such as { order =
// event.data.order_id }. It returns nil where the Diagnostics have errors, or the object is empty.
func CompileSearch(src, filename string, line int) (*Search, diag.Diagnostics) {
	s, expr, diags := parseExpression(src, filename, line)
	if diags.HasErrors() {
		return nil, diags
	}
	return CompileSearchSyntax(s, expr, strings.TrimSpace(src))
}

// CompileSearchSyntax is CompileSearch for an object that is parsed already, out of s; text is how
// it is written there.
func CompileSearchSyntax(s *diag.Source, expr hclsyntax.Expression, text string) (*Search, diag.Diagnostics) {
	if diags := tooMuch(s, expr.Range(), text); len(diags) > 0 {
		return nil, diags
	}
	c := compiler{source: s}
	search := &Search{text: text}
	object, isObject := Unwrap(expr).(*hclsyntax.ObjectConsExpr)
	if !isObject {
		c.fail(expr.Range(), "Wrong kind of value", "Write an object of names and what they stand for, such as { order = event.data.order_id }.")
		return nil, c.diags
	}
	for i, item := range object.Items {
		if i == maxTerms {
			c.fail(item.KeyExpr.Range(), "Too many search values", "Name at most %d: each is written with every attempt.", maxTerms)
			break
		}
		search.add(&c, item)
	}
	if len(c.diags) > 0 {
		return nil, c.diags.Sorted()
	}
	if len(search.names) == 0 {
		return nil, nil
	}
	search.extras = c.extras
	return search, nil
}

// add compiles one name with its expression.
func (s *Search) add(c *compiler, item hclsyntax.ObjectConsItem) {
	at := item.KeyExpr.Range()
	key, diags := item.KeyExpr.Value(nil)
	if diags.HasErrors() || !key.IsWhollyKnown() || key.IsNull() || key.Type() != cty.String {
		c.fail(at, "Computed attribute name", "Write the name as it is, or in quotes.")
		return
	}
	name := key.AsString()
	switch {
	case !isTermName(name):
		c.fail(at, "Invalid search name", "Write up to %d letters, digits, _ and -, beginning with a letter.", maxTermName)
	case slices.Contains(s.names, name):
		c.fail(at, "Repeated attribute", "%q is there already. Remove one of the two.", name)
	}
	n := c.compile(item.ValueExpr)
	switch {
	case n.failed:
	case n.headers || n.extra || n.payload && len(n.path) == 0:
		c.fail(item.ValueExpr.Range(), "Object as a search value", "Name one value of it, such as event.data.order_id.")
	case n.constant:
		c.fail(item.ValueExpr.Range(), "Constant search value", "It is the same for every event. Name something of the event.")
	}
	s.names, s.runs = append(s.names, name), append(s.runs, n.run)
}

func isTermName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '_' && r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return name != "" && len(name) <= maxTermName
}

// Names returns the names of the values, in the order in which they are written.
func (s *Search) Names() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.names)
}

// Extras returns the names of the extra columns that it reads.
func (s *Search) Extras() []string {
	if s == nil {
		return nil
	}
	return s.extras
}

// Source returns the object as it was written; empty: there is none.
func (s *Search) Source() string {
	if s == nil {
		return ""
	}
	return s.text
}

// Terms returns what an event is found by, as Term writes it. A value that is missing, null, empty,
// an object or a list has no term.
func (s *Search) Terms(e *outbox.Event) []string {
	if s == nil {
		return nil
	}
	var terms []string
	for i, run := range s.runs {
		if text := termText(run(e)); text != "" {
			terms = append(terms, Term(s.names[i], text))
		}
	}
	return terms
}

// termText is a single value as people write it; empty: it is none.
func termText(v value) string {
	switch v.kind {
	case kindBool:
		return strconv.FormatBool(v.flag)
	case kindNumber:
		return v.number().String()
	case kindString:
		return v.text
	case kindTime:
		return timeText(*v.at)
	case kindMissing, kindComposite:
	}
	return ""
}

// Term returns a name with a value of it as an attempt has them: "order=42". A value is cut after
// 120 bytes, and what Postgres cannot store in it is replaced, both when it is written and when it
// is looked for.
func Term(name, value string) string {
	if !utf8.ValidString(value) || strings.IndexByte(value, 0) >= 0 {
		value = strings.ReplaceAll(strings.ToValidUTF8(value, "\uFFFD"), "\x00", "")
	}
	if len(value) > maxTermText {
		end := maxTermText
		for !utf8.RuneStart(value[end]) {
			end--
		}
		value = value[:end]
	}
	return name + "=" + value
}

// SplitTerm returns the name and the value of a term. A text that does not begin with a name and an
// equals sign is a value alone.
func SplitTerm(text string) (name, value string) {
	name, value, found := strings.Cut(text, "=")
	if !found || !isTermName(name) {
		return "", text
	}
	return name, value
}
