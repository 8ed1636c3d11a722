package filter

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/tailpost/tailpost/config/diag"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/payload"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// form is what is known of an expression's value before it runs.
type form uint8

const (
	formAny       form = iota // something of the payload
	formBool                  // true or false
	formNumber                // a number
	formString                // a string
	formTime                  // event.created_at
	formNull                  // the literal null
	formComposite             // an object or list; only bodies and contains take one
)

func (f form) String() string {
	switch f {
	case formBool:
		return "true or false"
	case formNumber:
		return "a number"
	case formString:
		return "a string"
	case formTime:
		return "a time"
	case formNull:
		return "null"
	case formComposite:
		return "an object or list"
	case formAny:
		return "any value"
	default:
		return "unknown"
	}
}

// node is a compiled expression.
type node struct {
	form     form
	run      evaluate
	test     test         // what run answers, for a node that can only be true, false or missing; else nil
	constant bool         // the same for every event
	path     payload.Path // of a payload path; nil: something else
	payload  bool         // a payload path, perhaps an empty one
	headers  bool         // all headers of the event, which only bodies can write
	extra    bool         // all extra columns of the event, which only bodies can write
	failed   bool         // reported already
}

// compiler turns one expression into closures, and reports what it cannot.
type compiler struct {
	source   *diag.Source
	diags    diag.Diagnostics
	patterns int      // instructions of the regular expressions so far
	extras   []string // names behind event.extra
	reads    bool     // event.data
}

// fail reports a problem, and returns a node that draws no further ones.
func (c *compiler) fail(at hcl.Range, summary, detail string, args ...any) node {
	if len(c.diags) < maxProblems {
		c.diags = append(c.diags, c.source.Diagnose(diag.SeverityError, at, summary, fmt.Sprintf(detail, args...)))
	}
	return node{failed: true, run: func(*outbox.Event) value { return missing() }}
}

// compile compiles any expression whose value is a scalar or a path.
func (c *compiler) compile(expr hclsyntax.Expression) node {
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.compile(e.Expression)
	case *hclsyntax.TemplateWrapExpr:
		return c.compile(e.Wrapped)
	case *hclsyntax.LiteralValueExpr:
		return c.literal(e)
	case *hclsyntax.TemplateExpr:
		return c.template(e)
	case *hclsyntax.ScopeTraversalExpr:
		return c.traversal(e)
	case *hclsyntax.UnaryOpExpr:
		return c.unary(e)
	case *hclsyntax.BinaryOpExpr:
		return c.binary(e)
	case *hclsyntax.ConditionalExpr:
		return c.conditional(e)
	case *hclsyntax.FunctionCallExpr:
		return c.call(e)
	case *hclsyntax.ObjectConsExpr, *hclsyntax.TupleConsExpr:
		return c.fail(expr.Range(), "Object or list as an operand",
			"Compare single values, or use contains([…], value) to look a value up in a list.")
	case *hclsyntax.IndexExpr:
		return c.fail(expr.Range(), "Computed index", "Write the index as a literal, such as event.data.items[0] or event.headers[\"x-source\"].")
	default:
		return c.fail(expr.Range(), "Unsupported expression",
			"Write it with event paths, literals, operators, conditions and functions (%s).", functionNames())
	}
}

func (c *compiler) literal(e *hclsyntax.LiteralValueExpr) node {
	switch {
	case e.Val.IsNull():
		return constant(formNull, missing())
	case e.Val.Type() == cty.Bool:
		return constant(formBool, boolean(e.Val.True()))
	case e.Val.Type() == cty.String:
		return constant(formString, textual(e.Val.AsString()))
	case e.Val.Type() == cty.Number:
		return c.number(e.Val.AsBigFloat(), e.Range())
	default:
		return c.fail(e.Range(), "Unsupported literal", "Write a string, a number, true, false or null.")
	}
}

func (c *compiler) number(f *big.Float, at hcl.Range) node {
	n, ok := payload.ParseNumber(f.Text('g', -1))
	if !ok {
		return c.fail(at, "Unsupported number", "Write a finite number.")
	}
	return constant(formNumber, numeric(n))
}

// template compiles a string with parts in ${…}.
func (c *compiler) template(e *hclsyntax.TemplateExpr) node {
	if len(e.Parts) == 0 {
		return constant(formString, textual(""))
	}
	parts := make([]node, 0, len(e.Parts))
	for _, p := range e.Parts {
		n := c.compile(p)
		if n.form == formComposite {
			n = c.fail(p.Range(), "Object or list in a string", "Name one value of it.")
		}
		parts = append(parts, n)
	}
	run := func(event *outbox.Event) value {
		var b strings.Builder
		missed := false
		for i := range parts {
			v := toText(parts[i].run(event))
			if v.kind == kindMissing {
				return v
			}
			if b.Len()+len(v.text) > maxText {
				return tooLarge()
			}
			missed = missed || v.missed()
			b.WriteString(v.text)
		}
		return textual(b.String()).note(missed)
	}
	return folded(node{form: formString, run: run}, parts...)
}

// traversal compiles a path such as event.data.items[0].id.
func (c *compiler) traversal(e *hclsyntax.ScopeTraversalExpr) node {
	root := e.Traversal.RootName()
	if root != "event" {
		return c.fail(e.Range(), "Unknown variable", "There is no %q here; only event is known.%s", root, suggest.DidYouMean(root, []string{"event"}))
	}
	if len(e.Traversal) == 1 {
		return c.fail(e.Range(), "Whole event", "Name an attribute of it: %s.", diag.List(eventAttributes(), "or"))
	}
	steps, ok := c.steps(e.Traversal[1:])
	if !ok {
		return node{failed: true, run: func(*outbox.Event) value { return missing() }}
	}
	name, isName := steps[0].Name()
	if !isName {
		return c.fail(e.Traversal[1].SourceRange(), "Index of the event", "Name an attribute of it: %s.", diag.List(eventAttributes(), "or"))
	}
	rest := steps[1:]
	switch name {
	case "data":
		c.reads = true
		return node{form: formAny, run: readPath(rest), path: rest, payload: true}
	case "headers":
		return c.headers(e.Range(), rest)
	case "extra":
		return c.extra(e.Range(), rest)
	}
	n, known := attribute(name)
	switch {
	case !known:
		hint := suggest.DidYouMean(name, eventAttributes())
		if name == "payload" || name == "body" {
			hint = " The payload is event.data."
		}
		return c.fail(e.Traversal[1].SourceRange(), "Unknown event attribute", "An event has %s, no %q.%s",
			diag.List(eventAttributes(), "and"), name, hint)
	case len(rest) > 0:
		return c.fail(e.Range(), "Attribute of a single value", "event.%s is %s and has no attributes. The payload is event.data.", name, n.form)
	default:
		return n
	}
}

// steps turns what stands behind a root into a path.
func (c *compiler) steps(traversal hcl.Traversal) (payload.Path, bool) {
	if len(traversal) > maxSteps {
		c.fail(traversal[maxSteps].SourceRange(), "Path too long", "Write at most %d names and indexes.", maxSteps)
		return nil, false
	}
	path := make(payload.Path, 0, len(traversal))
	for _, t := range traversal {
		switch t := t.(type) {
		case hcl.TraverseAttr:
			path = append(path, payload.Member(t.Name))
			continue
		case hcl.TraverseIndex:
			if t.Key.IsNull() || !t.Key.IsKnown() {
				break
			}
			if t.Key.Type() == cty.String {
				path = append(path, payload.Member(t.Key.AsString()))
				continue
			}
			if i, ok := WholeNumber(t.Key); ok && i >= 0 {
				path = append(path, payload.Element(i))
				continue
			}
		default:
		}
		c.fail(t.SourceRange(), "Unsupported index", "Use a name, or an index from 0.")
		return nil, false
	}
	return path, true
}

// WholeNumber returns a number without a fraction that fits 32 bits.
func WholeNumber(v cty.Value) (int, bool) {
	if v.Type() != cty.Number {
		return 0, false
	}
	i, accuracy := v.AsBigFloat().Int64()
	return int(i), accuracy == big.Exact && i >= math.MinInt32 && i <= math.MaxInt32
}

// want reports a node that cannot be of the wanted form.
func (c *compiler) want(n node, f form, at hcl.Range, what string) bool {
	if n.failed || n.form == f || n.form == formAny {
		return !n.failed
	}
	c.fail(at, "Wrong kind of value", "%s must be %s, not %s.", what, f, n.form)
	return false
}

func (c *compiler) unary(e *hclsyntax.UnaryOpExpr) node {
	n := c.compile(e.Val)
	if e.Op == hclsyntax.OpLogicalNot {
		c.want(n, formBool, e.Val.Range(), "What stands behind !")
		t := n.asTest()
		return question(n.failed, func(ev *outbox.Event) truth { return not(t(ev)) }, n)
	}
	c.want(n, formNumber, e.Val.Range(), "What stands behind -")
	run := n.run
	return folded(node{form: formNumber, failed: n.failed, run: func(ev *outbox.Event) value { return negated(run(ev)) }}, n)
}

func (c *compiler) binary(e *hclsyntax.BinaryOpExpr) node {
	left, right := c.compile(e.LHS), c.compile(e.RHS)
	var n node
	switch e.Op {
	case hclsyntax.OpLogicalAnd, hclsyntax.OpLogicalOr:
		okLeft := c.want(left, formBool, e.LHS.Range(), "The left side")
		okRight := c.want(right, formBool, e.RHS.Range(), "The right side")
		operator := and
		if e.Op == hclsyntax.OpLogicalOr {
			operator = or
		}
		n = question(!okLeft || !okRight, operator(left.asTest(), right.asTest()))
	case hclsyntax.OpEqual, hclsyntax.OpNotEqual:
		n = c.equality(e, left, right)
	case hclsyntax.OpGreaterThan, hclsyntax.OpGreaterThanOrEqual, hclsyntax.OpLessThan, hclsyntax.OpLessThanOrEqual:
		n = c.order(e, left, right)
	default:
		return c.arithmetic(e, left, right)
	}
	return folded(n, left, right)
}

// equality compiles == and !=. A comparison with the literal null asks whether the other side is
// there.
func (c *compiler) equality(e *hclsyntax.BinaryOpExpr, left, right node) node {
	if left.failed || right.failed {
		return node{failed: true, form: formBool, run: left.run}
	}
	negate := e.Op == hclsyntax.OpNotEqual
	if left.form == formNull || right.form == formNull {
		return c.presence(e, left, right, negate)
	}
	left, right, ok := c.comparable(e, left, right)
	if !ok {
		return node{failed: true, form: formBool, run: left.run}
	}
	same := equal(left, right)
	if negate {
		return question(false, func(ev *outbox.Event) truth { return not(same(ev)) })
	}
	return question(false, same)
}

func (c *compiler) presence(e *hclsyntax.BinaryOpExpr, left, right node, negate bool) node {
	other, at := left, e.LHS.Range()
	if left.form == formNull {
		other, at = right, e.RHS.Range()
	}
	if other.form != formAny {
		return c.fail(at, "Comparison with null", "Only event.data, event.headers and event.extra have values that may be null; this one is %s, empty where there is none.", other.form)
	}
	run := other.run
	return question(false, func(ev *outbox.Event) truth {
		return truthOf((run(ev).kind == kindMissing) != negate, false)
	})
}

// comparable checks that two sides can be compared at all, and turns a text beside a time into a
// time.
func (c *compiler) comparable(e *hclsyntax.BinaryOpExpr, left, right node) (l, r node, ok bool) {
	if left.form == formTime {
		right, ok = c.asTime(right, e.RHS.Range())
		return left, right, ok
	}
	if right.form == formTime {
		left, ok = c.asTime(left, e.LHS.Range())
		return left, right, ok
	}
	wholePayload := (left.payload && len(left.path) == 0) || (right.payload && len(right.path) == 0)
	if left.form == formComposite || right.form == formComposite || wholePayload {
		c.fail(e.Range(), "Comparison of an object", "Compare single values of it, such as event.data.id.")
		return left, right, false
	}
	if left.form != right.form && left.form != formAny && right.form != formAny {
		c.fail(e.Range(), "Comparison of different kinds", "The left side is %s, the right side %s; the answer never changes.", left.form, right.form)
		return left, right, false
	}
	return left, right, true
}

// asTime turns a literal into a time.
func (c *compiler) asTime(n node, at hcl.Range) (node, bool) {
	if n.form == formTime {
		return n, true
	}
	if n.form == formString && n.constant {
		if t, err := time.Parse(time.RFC3339Nano, n.run(&outbox.Event{}).text); err == nil {
			return constant(formTime, value{kind: kindTime, at: &t}), true
		}
	}
	c.fail(at, "Comparison with a time", `Write the time as an RFC 3339 literal, such as "2026-01-31T00:00:00Z".`)
	return n, false
}

func (c *compiler) order(e *hclsyntax.BinaryOpExpr, left, right node) node {
	if left.failed || right.failed {
		return node{failed: true, form: formBool, run: left.run}
	}
	left, right, ok := c.comparable(e, left, right)
	for _, n := range []node{left, right} {
		if ok && (n.form == formBool || n.form == formNull) {
			c.fail(e.Range(), "Order of values that have none", "Use <, <=, > and >= on numbers, strings and times; %s has no order.", n.form)
			ok = false
		}
	}
	if !ok {
		return node{failed: true, form: formBool, run: left.run}
	}
	greater := e.Op == hclsyntax.OpGreaterThan || e.Op == hclsyntax.OpGreaterThanOrEqual
	orEqual := e.Op == hclsyntax.OpGreaterThanOrEqual || e.Op == hclsyntax.OpLessThanOrEqual
	sign := -1
	if greater {
		sign = 1
	}
	return question(false, order{sign, orEqual}.test(left, right))
}

func (c *compiler) arithmetic(e *hclsyntax.BinaryOpExpr, left, right node) node {
	okLeft := c.want(left, formNumber, e.LHS.Range(), "The left side")
	okRight := c.want(right, formNumber, e.RHS.Range(), "The right side")
	var operator byte
	switch e.Op {
	case hclsyntax.OpAdd:
		operator = '+'
	case hclsyntax.OpSubtract:
		operator = '-'
	case hclsyntax.OpMultiply:
		operator = '*'
	case hclsyntax.OpDivide:
		operator = '/'
	case hclsyntax.OpModulo:
		operator = '%'
	default:
		return c.fail(e.Range(), "Unsupported operator", "Use ==, !=, <, <=, >, >=, &&, ||, !, +, -, *, / or %%.")
	}
	n := node{form: formNumber, failed: !okLeft || !okRight, run: arithmetic(operator, left.run, right.run)}
	return folded(n, left, right)
}

// conditional compiles condition ? yes : no.
func (c *compiler) conditional(e *hclsyntax.ConditionalExpr) node {
	condition, yes, no := c.compile(e.Condition), c.compile(e.TrueResult), c.compile(e.FalseResult)
	c.want(condition, formBool, e.Condition.Range(), "A condition")
	n := node{form: common(yes, no), failed: condition.failed || yes.failed || no.failed}
	if yes.form == formComposite || no.form == formComposite {
		return c.fail(e.Range(), "Condition with an object", "Choose between single values.")
	}
	holds, a, b := condition.asTest(), yes.run, no.run
	n.run = func(ev *outbox.Event) value {
		t := holds(ev)
		switch {
		case t.holds():
			return a(ev).note(t.missed())
		case t.fails():
			return b(ev).note(t.missed())
		default:
			return missing()
		}
	}
	return folded(n, condition, yes, no)
}

// common is the form of what is one of several nodes.
func common(nodes ...node) form {
	result, first := formAny, true
	for _, n := range nodes {
		switch {
		case n.form == formNull: // fits any
		case first:
			result, first = n.form, false
		case n.form != result:
			return formAny
		}
	}
	return result
}
