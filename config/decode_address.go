package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/tailpost/tailpost/config/filter"
)

// seesEvent reports whether an expression reads the event.
func seesEvent(expr hclsyntax.Expression) bool {
	return slices.ContainsFunc(expr.Variables(), func(t hcl.Traversal) bool { return t.RootName() == "event" })
}

// address decodes an attribute that may have expressions over the event as the text that Address
// compiles: what reads the event stays as it is written, all else is evaluated now, env() for
// example.
func (s *section) address(name string) (text string, marked, ok bool) {
	attr := s.body.Attributes[name]
	if attr == nil {
		return "", false, false
	}
	if !seesEvent(attr.Expr) {
		v, marked, ok := s.value(name, cty.String)
		if !ok {
			return "", false, false
		}
		return literalText(v.AsString()), marked, true
	}
	s.d.place(s.endpoint, s.prefix+name, attr.Expr.Range())
	text, marked, ok = s.template(attr.Expr)
	if !ok {
		s.d.spoil(s.endpoint, s.prefix+name)
	}
	return text, marked, ok
}

// template returns an expression that reads the event as a text.
func (s *section) template(expr hclsyntax.Expression) (text string, marked, ok bool) {
	parts := []hclsyntax.Expression{expr}
	if t, isTemplate := expr.(*hclsyntax.TemplateExpr); isTemplate {
		parts = t.Parts
	}
	if t, isWrapped := expr.(*hclsyntax.TemplateWrapExpr); isWrapped {
		parts = []hclsyntax.Expression{t.Wrapped}
	}
	var b strings.Builder
	ok = true
	for i, part := range parts {
		if seesEvent(part) {
			b.WriteString("${" + string(part.Range().SliceBytes(s.src.Text())) + "}")
			continue
		}
		v, evaluated := s.evaluate(part)
		if !evaluated {
			ok = false
			continue
		}
		v, marks := v.UnmarkDeep()
		v, err := convert.Convert(v, cty.String)
		if err != nil || v.IsNull() {
			s.fail(part.Range(), "Wrong kind of value", "Write %s.", kindName(cty.String))
			ok = false
			continue
		}
		marked = marked || len(marks) > 0
		literal := v.AsString()
		// A $ in front of ${ would escape it.
		last := ""
		if n := len(literal); n > 0 && i+1 < len(parts) && (literal[n-1] == '$' || literal[n-1] == '%') {
			literal, last = literal[:n-1], `${"`+literal[n-1:]+`"}`
		}
		b.WriteString(escapeTemplate(literal) + last)
	}
	return b.String(), marked, ok
}

// addresses decodes an object whose members address does. A null member stays out.
func (s *section) addresses(name string) (members map[string]string, marked, ok bool) {
	attr := s.body.Attributes[name]
	if attr == nil {
		return nil, false, false
	}
	inner, texts := *s, make(map[string]string)
	ok = true
	object, isObject := filter.Unwrap(attr.Expr).(*hclsyntax.ObjectConsExpr)
	if isObject && seesEvent(attr.Expr) {
		// What reads the event is taken out, and the rest decoded as ever.
		rest := *object
		rest.Items = slices.Clone(object.Items)
		for i := range rest.Items {
			item := &rest.Items[i]
			key, diags := item.KeyExpr.Value(&hcl.EvalContext{Functions: s.functions})
			if !seesEvent(item.ValueExpr) || diags.HasErrors() || key.IsMarked() || !key.IsKnown() || key.IsNull() || key.Type() != cty.String {
				continue
			}
			text, secret, right := s.template(item.ValueExpr)
			texts[key.AsString()] = text
			marked, ok = marked || secret, ok && right
			item.ValueExpr = &hclsyntax.LiteralValueExpr{Val: cty.StringVal(""), SrcRange: item.ValueExpr.Range()}
		}
		body, changed := *s.body, *attr
		changed.Expr = &rest
		body.Attributes = maps.Clone(s.body.Attributes)
		body.Attributes[name] = &changed
		inner.body = &body
	}
	if !ok {
		s.d.spoil(s.endpoint, s.prefix+name)
		return nil, false, false
	}
	named, found := inner.table(name)
	if !found {
		return nil, false, false
	}
	members = make(map[string]string, len(named))
	for key, value := range named {
		switch text, reads := texts[key]; {
		case reads:
			members[key] = text
		case value != nil:
			members[key] = literalText(*value)
		}
	}
	return members, marked || s.secretMembers(name), true
}

// secretMembers reports whether a member of an object came from the environment or a file.
func (s *section) secretMembers(name string) bool {
	found := false
	expr := s.body.Attributes[name].Expr
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if ok && !seesEvent(call) {
			v, diags := call.Value(&hcl.EvalContext{Functions: s.functions})
			found = found || !diags.HasErrors() && v.ContainsMarked()
		}
		return nil
	})
	return found
}
