package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// section is a block that is being decoded. Its getters report what is wrong and return the zero
// value then; they note where each setting stands, for what the rules have to say later.
type section struct {
	d         *decoder
	src       *diag.Source
	body      *hclsyntax.Body
	functions map[string]function.Function
	endpoint  int    // index, global or defaults
	prefix    string // of the names of its settings, such as "retry."
	what      string // for people, such as "an endpoint"
}

// nested is the section of a block within.
func (s *section) nested(b *hclsyntax.Block, prefix, what string) *section {
	inner := *s
	inner.body, inner.prefix, inner.what = b.Body, prefix, what
	return &inner
}

func (s *section) fail(at hcl.Range, summary, detail string, args ...any) {
	s.d.diags = append(s.d.diags, s.src.Diagnose(SeverityError, at, summary, fmt.Sprintf(detail, args...)))
}

// check reports attributes and blocks that the section does not know.
func (s *section) check(attributes, blocks []string) {
	known := slices.Concat(attributes, blocks)
	for name, attr := range s.body.Attributes {
		switch {
		case slices.Contains(attributes, name):
		case slices.Contains(blocks, name):
			s.fail(attr.NameRange, "Block written as an attribute", "Write %s { … } without the equals sign.", name)
		default:
			s.fail(attr.NameRange, "Unknown attribute", "There is no %q in %s.%s", name, s.what, s.hint(name, known))
		}
	}
	for _, b := range s.body.Blocks {
		switch {
		case slices.Contains(blocks, b.Type):
			s.labels(b)
		case slices.Contains(attributes, b.Type):
			s.fail(b.TypeRange, "Attribute written as a block", "Write %s = …, with an equals sign.", b.Type)
		default:
			s.fail(b.TypeRange, "Unknown block", "There is no %q in %s.%s", b.Type, s.what, s.hint(b.Type, known))
		}
	}
}

// hint says what the writer may have meant.
func (s *section) hint(name string, known []string) string {
	if s.endpoint == defaults && slices.Contains(endpointAttributes(), name) {
		return " It belongs in each endpoint block."
	}
	if h := suggest.DidYouMean(name, known); h != "" {
		return h
	}
	return " It has " + diag.List(known, "and") + "."
}

// labels reports labels that are missing or too many.
func (s *section) labels(b *hclsyntax.Block) {
	switch {
	case b.Type == "endpoint" && len(b.Labels) != 1:
		s.fail(b.DefRange(), "Wrong number of labels", "Write endpoint \"name\" { … }.")
	case b.Type == "fanout" && len(b.Labels) != 1:
		s.fail(b.DefRange(), "Wrong number of labels", "Write fanout %q { … }.", EngineNATS)
	case (b.Type == "version" || b.Type == "event") && len(b.Labels) != 1:
		example := map[string]string{"version": "2026-09-20", "event": "order.*"}[b.Type]
		s.fail(b.DefRange(), "Wrong number of labels", "Write %s %q { … }.", b.Type, example)
	case !slices.Contains([]string{"endpoint", "key", "version", "event", "fanout"}, b.Type) && len(b.Labels) > 0:
		s.fail(b.LabelRanges[0], "Label on a block that has none", "Write %s { … }.", b.Type)
	}
}

// single returns the one block of a type, or nil.
func (s *section) single(blockType string) *hclsyntax.Block {
	var first *hclsyntax.Block
	for _, b := range s.body.Blocks {
		if b.Type != blockType {
			continue
		}
		if first != nil {
			s.fail(b.DefRange(), "Repeated block", "Another %s block stands at line %d. Merge the two.", blockType, first.DefRange().Start.Line)
			continue
		}
		first = b
		s.d.place(s.endpoint, s.prefix+blockType, b.DefRange())
	}
	return first
}

// value evaluates an attribute as a type. It is false if there is none, or it is null, or wrong,
// which it reports.
func (s *section) value(name string, want cty.Type) (v cty.Value, marked, ok bool) {
	attr := s.body.Attributes[name]
	if attr == nil {
		return cty.NilVal, false, false
	}
	s.d.place(s.endpoint, s.prefix+name, attr.Expr.Range())
	v, ok = s.evaluate(attr.Expr)
	if !ok {
		s.d.spoil(s.endpoint, s.prefix+name)
		return cty.NilVal, false, false
	}
	v, marks := v.UnmarkDeep()
	if v.IsNull() {
		return cty.NilVal, false, false
	}
	v, err := convert.Convert(v, want)
	if err != nil {
		s.wrong(name, attr.Expr.Range(), "Wrong kind of value", "Write %s.", kindName(want))
		return cty.NilVal, false, false
	}
	return v, len(marks) > 0, true
}

// wrong reports a value, and keeps the rules from reporting it once more.
func (s *section) wrong(name string, at hcl.Range, summary, detail string, args ...any) {
	s.d.spoil(s.endpoint, s.prefix+name)
	s.fail(at, summary, detail, args...)
}

func kindName(t cty.Type) string {
	switch {
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsListType():
		return `a list of strings, such as ["a", "b"]`
	case t.IsMapType():
		return `an object of strings, such as { "name" = "value" }`
	default:
		return `a string, such as "text"`
	}
}

// evaluate evaluates an expression.
func (s *section) evaluate(expr hclsyntax.Expression) (cty.Value, bool) {
	if !s.references(expr) {
		return cty.NilVal, false
	}
	v, diags := expr.Value(&hcl.EvalContext{Functions: s.functions})
	for _, d := range diags {
		// The library would say the error of the function in a frame of its own.
		if extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
			if failure := (*callError)(nil); errors.As(extra.FunctionCallError(), &failure) {
				d.Summary, d.Detail = failure.summary, failure.detail
			}
		}
	}
	s.d.diags = append(s.d.diags, s.src.Adopt(diags)...)
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	// What did not parse evaluates to something unknown.
	if !v.IsWhollyKnown() {
		s.fail(expr.Range(), "Unknown value", "Write a literal, or a function with its arguments.")
		return cty.NilVal, false
	}
	return v, true
}

// references reports variables, of which there are none, and unknown functions.
func (s *section) references(expr hclsyntax.Expression) bool {
	if text, ok := expr.(*hclsyntax.TemplateExpr); ok && text.IsStringLiteral() {
		return true
	}
	known := true
	for _, t := range expr.Variables() {
		known = false
		name := t.RootName()
		hint := ` Put text in quotes; read the environment with env("NAME").`
		if attr, ok := secondName(t); ok && (name == "env" || name == "var") {
			hint = fmt.Sprintf(" Did you mean env(%q)?", attr)
		}
		if name == "event" {
			hint = " Only url, query, headers, where, body and search see an event."
		}
		s.fail(t.SourceRange(), "Unknown variable", "There is no variable %q here.%s", name, hint)
	}
	// The visitor reports by itself and never fails.
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok {
			return nil
		}
		if _, exists := s.functions[call.Name]; !exists {
			known = false
			s.fail(call.NameRange, "Unknown function", "There is no function %q here; there are %s.%s",
				call.Name, strings.Join(sortedKeys(s.functions), ", "), suggest.DidYouMean(call.Name, sortedKeys(s.functions)))
		}
		return nil
	})
	return known
}

func secondName(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	attr, ok := t[1].(hcl.TraverseAttr)
	return attr.Name, ok
}

// text returns a string.
func (s *section) text(name string) (string, bool) {
	v, _, ok := s.value(name, cty.String)
	if !ok {
		return "", false
	}
	return v.AsString(), true
}

// path returns the path of a file, which stands relative to the configuration's own.
func (s *section) path(name string) string {
	text, _ := s.text(name)
	if text != "" && !filepath.IsAbs(text) {
		text = filepath.Join(filepath.Dir(s.src.Name()), text)
	}
	return text
}

// flag returns true or false.
func (s *section) flag(name string) bool {
	v, _, ok := s.value(name, cty.Bool)
	return ok && v.True()
}

// integer returns a whole number.
func (s *section) integer(name string) (int, bool) {
	v, _, ok := s.value(name, cty.Number)
	if !ok {
		return 0, false
	}
	i, whole := filter.WholeNumber(v)
	if !whole {
		s.wrong(name, s.body.Attributes[name].Expr.Range(), "Wrong kind of number", "Write a whole number.")
	}
	return i, whole
}

// duration returns a string such as "15s" as a duration.
func (s *section) duration(name string) (time.Duration, bool) {
	text, ok := s.text(name)
	if !ok {
		return 0, false
	}
	d, detail := parseDuration(text)
	if detail != "" {
		s.wrong(name, s.body.Attributes[name].Expr.Range(), "Invalid duration", "%s", detail)
		return 0, false
	}
	return d, true
}

// parseDuration reads a positive duration, or says what to write.
func parseDuration(text string) (d time.Duration, detail string) {
	const remedy = `Write a number and a unit, such as "500ms", "15s", "30m" or "24h".`
	d, err := time.ParseDuration(text)
	switch {
	case err == nil && d > 0:
		return d, ""
	case err == nil:
		return 0, "Write a duration above zero."
	}
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 10_000 {
			return 0, fmt.Sprintf("Write days as hours: \"%dh\".", 24*n)
		}
	}
	return 0, remedy
}

// texts returns a list of strings, or of one where a single string stands.
func (s *section) texts(name string) (elements []string, ok bool) {
	attr := s.body.Attributes[name]
	if attr == nil {
		return nil, false
	}
	v, _, ok := s.value(name, cty.List(cty.String))
	if !ok {
		return nil, false
	}
	s.placeElements(name, attr.Expr)
	elements = []string{}
	for _, element := range v.AsValueSlice() {
		if element.IsNull() {
			s.wrong(name, attr.Expr.Range(), "Wrong kind of value", "Write strings only; null is none.")
			return nil, false
		}
		elements = append(elements, element.AsString())
	}
	return elements, true
}

// placeElements notes where the elements of a list stand.
func (s *section) placeElements(name string, expr hclsyntax.Expression) {
	if tuple, ok := filter.Unwrap(expr).(*hclsyntax.TupleConsExpr); ok {
		for i, element := range tuple.Exprs {
			s.d.place(s.endpoint, fmt.Sprintf("%s%s[%d]", s.prefix, name, i), element.Range())
		}
	}
}

// table returns an object of strings. A null stays in it as nil.
func (s *section) table(name string) (members map[string]*string, ok bool) {
	if attr := s.body.Attributes[name]; attr != nil && s.secretNames(name, attr.Expr) {
		return nil, false
	}
	v, _, ok := s.value(name, cty.Map(cty.String))
	if !ok {
		return nil, false
	}
	if object, isObject := filter.Unwrap(s.body.Attributes[name].Expr).(*hclsyntax.ObjectConsExpr); isObject {
		s.placeMembers(name, object)
	}
	members = make(map[string]*string)
	for it := v.ElementIterator(); it.Next(); {
		key, value := it.Element()
		members[key.AsString()] = nil
		if !value.IsNull() {
			text := value.AsString()
			members[key.AsString()] = &text
		}
	}
	return members, true
}

// secretNames reports names of an object that are secret: what is wrong with a member is said by
// its name.
func (s *section) secretNames(name string, expr hclsyntax.Expression) bool {
	object, isObject := filter.Unwrap(expr).(*hclsyntax.ObjectConsExpr)
	if !isObject {
		return false
	}
	found := false
	for _, item := range object.Items {
		key, _ := item.KeyExpr.Value(&hcl.EvalContext{Functions: s.functions}) // value reports what is wrong with it
		if key.ContainsMarked() {
			s.wrong(name, item.KeyExpr.Range(), "Secret as a name", "Write the name as it is; only values may come from the environment or a file.")
			found = true
		}
	}
	return found
}

// placeMembers notes where the members of an object stand, and reports names that occur twice.
func (s *section) placeMembers(name string, object *hclsyntax.ObjectConsExpr) {
	first := make(map[string]hcl.Range, len(object.Items))
	for _, item := range object.Items {
		key, diags := item.KeyExpr.Value(&hcl.EvalContext{Functions: s.functions})
		key, _ = key.UnmarkDeep()
		if diags.HasErrors() || key.IsNull() || !key.IsKnown() || key.Type() != cty.String {
			continue // value reported it
		}
		at := item.KeyExpr.Range()
		if before, twice := first[key.AsString()]; twice {
			s.fail(at, "Repeated attribute", "%q is set at line %d already. Remove one of the two.", key.AsString(), before.Start.Line)
		}
		first[key.AsString()] = at
		s.d.place(s.endpoint, s.prefix+name+"."+key.AsString(), at)
	}
}

// secret returns a secret, and warns of one that stands in the file.
func (s *section) secret(name string, isSecret func(string) bool) Secret {
	v, marked, ok := s.value(name, cty.String)
	if !ok {
		return Secret{}
	}
	if !marked && isSecret(v.AsString()) {
		s.literal(s.body.Attributes[name].Expr.Range())
	}
	return trimmed(v.AsString())
}

// trimmed makes a secret without the white space around it, which files and secret stores tend to
// add.
func trimmed(text string) Secret {
	return NewSecret(strings.TrimSpace(text))
}

func (s *section) literal(at hcl.Range) {
	s.d.diags = append(s.d.diags, s.src.Diagnose(SeverityWarning, at, "Literal secret",
		`Keep it out of the file: read it with env("NAME") or file("path").`))
}

// secrets returns one secret or a list of them.
func (s *section) secrets(name string) []Secret {
	attr := s.body.Attributes[name]
	if attr == nil {
		return nil
	}
	tuple, isTuple := filter.Unwrap(attr.Expr).(*hclsyntax.TupleConsExpr)
	if !isTuple {
		return s.secretList(name, attr.Expr)
	}
	s.d.place(s.endpoint, s.prefix+name, attr.Expr.Range())
	secrets := make([]Secret, 0, len(tuple.Exprs))
	for i, expr := range tuple.Exprs {
		element := fmt.Sprintf("%s[%d]", name, i)
		s.d.place(s.endpoint, s.prefix+element, expr.Range())
		v, ok := s.evaluate(expr)
		if !ok {
			s.d.spoil(s.endpoint, s.prefix+element)
			secrets = append(secrets, Secret{})
			continue
		}
		v, marks := v.UnmarkDeep()
		if v.IsNull() || v.Type() != cty.String {
			s.wrong(element, expr.Range(), "Wrong kind of value", "Write %s.", kindName(cty.String))
			secrets = append(secrets, Secret{})
			continue
		}
		if len(marks) == 0 {
			s.literal(expr.Range())
		}
		secrets = append(secrets, trimmed(v.AsString()))
	}
	return secrets
}

// secretList returns the secrets of an expression that is no list written out: a string, or what
// split() returns.
func (s *section) secretList(name string, expr hclsyntax.Expression) []Secret {
	s.d.place(s.endpoint, s.prefix+name, expr.Range())
	v, ok := s.evaluate(expr)
	if !ok {
		s.d.spoil(s.endpoint, s.prefix+name)
		return nil
	}
	v, marks := v.UnmarkDeep()
	if v.IsNull() {
		return nil
	}
	if v.Type() == cty.String {
		if len(marks) == 0 {
			s.literal(expr.Range())
		}
		return []Secret{trimmed(v.AsString())}
	}
	v, err := convert.Convert(v, cty.List(cty.String))
	if err != nil {
		s.wrong(name, expr.Range(), "Wrong kind of value", "Write a secret, or a list of them while rotating.")
		return nil
	}
	if len(marks) == 0 {
		s.literal(expr.Range())
	}
	var secrets []Secret
	for _, element := range v.AsValueSlice() {
		text := ""
		if !element.IsNull() {
			text = element.AsString()
		}
		secrets = append(secrets, trimmed(text))
	}
	return secrets
}
