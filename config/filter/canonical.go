package filter

import (
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Canonical returns the expression as it is understood, in one way of writing: blanks, comments,
// parentheses that change nothing, 1.0 for 1 and event.data["a"] for event.data.a make no
// difference, and neither do quotes around the name of an attribute. Expressions with the same
// canonical form do the same; those that do the same in another way, such as a && b and b && a,
// have two. It is for comparing, and no expression itself.
func (f *Filter) Canonical() string {
	if f == nil {
		return ""
	}
	return canonical(f.text)
}

// Canonical is that of Filter.
func (b *Body) Canonical() string {
	if b == nil {
		return ""
	}
	return canonical(b.text)
}

// Canonical is that of Filter.
func (s *Search) Canonical() string {
	if s == nil {
		return ""
	}
	return canonical(s.text)
}

// canonical is of an expression that was compiled. It is parsed again, for a tree of each would
// take much more memory than its text.
func canonical(text string) string {
	_, expr, diags := parseExpression(text, "", 1)
	if diags.HasErrors() {
		return text
	}
	written, ok := appendCanonical(nil, expr)
	if !ok {
		return text
	}
	return string(written)
}

// appendCanonical writes operators before their operands, in brackets. It is false for what the
// compiler does not take.
func appendCanonical(dst []byte, expr hclsyntax.Expression) (written []byte, ok bool) {
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return appendCanonical(dst, e.Expression)
	case *hclsyntax.TemplateWrapExpr:
		return appendCanonical(dst, e.Wrapped)
	case *hclsyntax.LiteralValueExpr:
		return appendLiteral(dst, e.Val)
	case *hclsyntax.TemplateExpr:
		return appendTemplate(dst, e)
	case *hclsyntax.ScopeTraversalExpr:
		return appendPath(dst, e.Traversal)
	case *hclsyntax.UnaryOpExpr:
		return appendCall(dst, "unary "+symbol(e.Op), e.Val)
	case *hclsyntax.BinaryOpExpr:
		return appendCall(dst, symbol(e.Op), e.LHS, e.RHS)
	case *hclsyntax.ConditionalExpr:
		return appendCall(dst, "?", e.Condition, e.TrueResult, e.FalseResult)
	case *hclsyntax.FunctionCallExpr:
		return appendCall(dst, e.Name, e.Args...)
	case *hclsyntax.TupleConsExpr:
		return appendCall(dst, "[]", e.Exprs...)
	case *hclsyntax.ObjectConsExpr:
		return appendObject(dst, e)
	default:
		return dst, false
	}
}

func appendCall(dst []byte, what string, operands ...hclsyntax.Expression) (written []byte, ok bool) {
	dst = append(append(dst, '('), what...)
	for _, operand := range operands {
		if dst, ok = appendCanonical(append(dst, ' '), operand); !ok {
			return dst, false
		}
	}
	return append(dst, ')'), true
}

func appendLiteral(dst []byte, v cty.Value) (written []byte, ok bool) {
	switch {
	case v.IsNull():
		return append(dst, "null"...), true
	case v.Type() == cty.Bool:
		return strconv.AppendBool(dst, v.True()), true
	case v.Type() == cty.String:
		return strconv.AppendQuote(dst, v.AsString()), true
	case v.Type() == cty.Number:
		return v.AsBigFloat().Append(dst, 'g', -1), true
	default:
		return dst, false
	}
}

// appendTemplate writes literals that stand beside each other as one: a text of several lines has
// one for each.
func appendTemplate(dst []byte, e *hclsyntax.TemplateExpr) (written []byte, ok bool) {
	var literal string
	var operands []hclsyntax.Expression
	flush := func() {
		if literal != "" {
			operands = append(operands, &hclsyntax.LiteralValueExpr{Val: cty.StringVal(literal)})
			literal = ""
		}
	}
	for _, part := range e.Parts {
		if l, is := part.(*hclsyntax.LiteralValueExpr); is && !l.Val.IsNull() && l.Val.Type() == cty.String {
			literal += l.Val.AsString()
			continue
		}
		flush()
		operands = append(operands, part)
	}
	if len(operands) == 0 {
		return appendLiteral(dst, cty.StringVal(literal))
	}
	flush()
	return appendCall(dst, "text", operands...)
}

func appendPath(dst []byte, path hcl.Traversal) (written []byte, ok bool) {
	for _, step := range path {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			dst = append(dst, s.Name...)
			continue
		case hcl.TraverseAttr:
			dst = strconv.AppendQuote(append(dst, '.'), s.Name)
			continue
		case hcl.TraverseIndex:
			if dst, ok = appendLiteral(append(dst, '.'), s.Key); ok {
				continue
			}
		}
		return dst, false
	}
	return dst, true
}

// appendObject writes the attributes in their order, which is that of what is sent.
func appendObject(dst []byte, e *hclsyntax.ObjectConsExpr) (written []byte, ok bool) {
	dst = append(dst, "({}"...)
	for _, item := range e.Items {
		name, diags := item.KeyExpr.Value(nil)
		if diags.HasErrors() || !name.IsWhollyKnown() || name.IsNull() || name.Type() != cty.String {
			return dst, false
		}
		dst = append(strconv.AppendQuote(append(dst, ' '), name.AsString()), '=')
		if dst, ok = appendCanonical(dst, item.ValueExpr); !ok {
			return dst, false
		}
	}
	return append(dst, ')'), true
}

// symbol is how an operator is written.
func symbol(op *hclsyntax.Operation) string {
	switch op {
	case hclsyntax.OpLogicalAnd:
		return "&&"
	case hclsyntax.OpLogicalOr:
		return "||"
	case hclsyntax.OpLogicalNot:
		return "!"
	case hclsyntax.OpEqual:
		return "=="
	case hclsyntax.OpNotEqual:
		return "!="
	case hclsyntax.OpGreaterThan:
		return ">"
	case hclsyntax.OpGreaterThanOrEqual:
		return ">="
	case hclsyntax.OpLessThan:
		return "<"
	case hclsyntax.OpLessThanOrEqual:
		return "<="
	case hclsyntax.OpAdd:
		return "+"
	case hclsyntax.OpSubtract, hclsyntax.OpNegate:
		return "-"
	case hclsyntax.OpMultiply:
		return "*"
	case hclsyntax.OpDivide:
		return "/"
	default:
		return "%" // OpModulo: there is no other
	}
}
