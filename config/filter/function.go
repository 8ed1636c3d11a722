package filter

import (
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/payload"
	"github.com/tailpost/tailpost/outbox/suggest"
)

// builtin is a function of filters and bodies.
type builtin struct {
	minArgs, maxArgs int // maxArgs -1: any number
	usage            string
	compile          func(c *compiler, e *hclsyntax.FunctionCallExpr) node
}

// builtins is every function of filters and bodies.
func builtins() map[string]builtin {
	return map[string]builtin{
		"lower":      {1, 1, "lower(text)", text1(strings.ToLower)},
		"upper":      {1, 1, "upper(text)", text1(strings.ToUpper)},
		"startswith": {2, 2, "startswith(text, start)", text2(strings.HasPrefix)},
		"endswith":   {2, 2, "endswith(text, end)", text2(strings.HasSuffix)},
		"matches":    {2, 2, `matches(text, "pattern")`, (*compiler).matches},
		"contains":   {2, 2, "contains(list, value)", (*compiler).contains},
		"length":     {1, 1, "length(value)", (*compiler).length},
		"coalesce":   {1, -1, "coalesce(value, …)", (*compiler).coalesce},
		"can":        {1, 1, "can(event.data.path)", (*compiler).can},
		"tonumber":   {1, 1, "tonumber(text)", (*compiler).toNumber},
		"tostring":   {1, 1, "tostring(value)", (*compiler).toString},
	}
}

func functionNames() string {
	return strings.Join(slices.Sorted(maps.Keys(builtins())), ", ")
}

func (c *compiler) call(e *hclsyntax.FunctionCallExpr) node {
	f, ok := builtins()[e.Name]
	if !ok {
		hint := suggest.DidYouMean(e.Name, slices.Sorted(maps.Keys(builtins())))
		switch e.Name {
		case "env", "file":
			hint = " An expression over events reads no environment and no files."
		case "regex":
			hint = ` Did you mean "matches"?`
		case "try":
			hint = ` Did you mean "coalesce"?`
		}
		return c.fail(e.NameRange, "Unknown function", "Filters and bodies have %s.%s", functionNames(), hint)
	}
	if len(e.Args) < f.minArgs || (f.maxArgs >= 0 && len(e.Args) > f.maxArgs) || e.ExpandFinal {
		return c.fail(e.Range(), "Wrong number of arguments", "Write %s.", f.usage)
	}
	return f.compile(c, e)
}

// scalar compiles an argument that is a single value.
func (c *compiler) scalar(expr hclsyntax.Expression) node {
	n := c.compile(expr)
	if n.form == formComposite {
		return c.fail(expr.Range(), "Object as an argument", "Name one value of it.")
	}
	return n
}

// text1 compiles a function from a text to a text.
func text1(f func(string) string) func(*compiler, *hclsyntax.FunctionCallExpr) node {
	return func(c *compiler, e *hclsyntax.FunctionCallExpr) node {
		n := c.compile(e.Args[0])
		ok := c.want(n, formString, e.Args[0].Range(), "The argument")
		run := n.run
		return folded(node{form: formString, failed: !ok, run: func(ev *outbox.Event) value {
			v := run(ev)
			if v.kind != kindString {
				return value{lack: max(v.lack, lackValue)}
			}
			return textual(f(v.text)).note(v.missed())
		}}, n)
	}
}

// text2 compiles a question about two texts.
func text2(f func(a, b string) bool) func(*compiler, *hclsyntax.FunctionCallExpr) node {
	return func(c *compiler, e *hclsyntax.FunctionCallExpr) node {
		a, b := c.compile(e.Args[0]), c.compile(e.Args[1])
		okA := c.want(a, formString, e.Args[0].Range(), "The first argument")
		okB := c.want(b, formString, e.Args[1].Range(), "The second argument")
		runA, runB := a.run, b.run
		return question(!okA || !okB, func(ev *outbox.Event) truth {
			x, y := runA(ev), runB(ev)
			if x.kind != kindString || y.kind != kindString {
				return missingTruth
			}
			return truthOf(f(x.text, y.text), x.missed() || y.missed())
		}, a, b)
	}
}

// matches compiles a regular expression once; RE2 keeps its time linear whatever the text; a text
// of more than 64 KiB is not tried, and its match is missing.
func (c *compiler) matches(e *hclsyntax.FunctionCallExpr) node {
	n, pattern := c.compile(e.Args[0]), c.compile(e.Args[1])
	ok := c.want(n, formString, e.Args[0].Range(), "The first argument")
	if pattern.failed {
		return pattern
	}
	if !pattern.constant || pattern.form != formString {
		return c.fail(e.Args[1].Range(), "Computed pattern", "Write the regular expression as a literal string.")
	}
	re, err := regexp.Compile(pattern.run(&outbox.Event{}).text)
	if err != nil {
		return c.fail(e.Args[1].Range(), "Invalid regular expression", "Write it in the syntax of RE2, with backslashes doubled: %v.", err)
	}
	if c.patterns += instructions(re); c.patterns > maxPattern {
		return c.fail(e.Args[1].Range(), "Regular expression too large", "Write shorter ones, and fewer repetitions of a part.")
	}
	run := n.run
	return question(!ok, func(ev *outbox.Event) truth {
		v := run(ev)
		if v.kind != kindString || len(v.text) > maxMatched {
			return missingTruth
		}
		return truthOf(re.MatchString(v.text), v.missed())
	}, n)
}

// instructions returns how many steps of the matching machine a regular expression takes for each
// character.
func instructions(re *regexp.Regexp) int {
	parsed, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return 0 // it was compiled with the same flags
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return len(program.Inst)
}

// contains compiles membership of a list, be it written out or in the payload, and a part of a
// text.
func (c *compiler) contains(e *hclsyntax.FunctionCallExpr) node {
	wanted := c.scalar(e.Args[1])
	if tuple, ok := Unwrap(e.Args[0]).(*hclsyntax.TupleConsExpr); ok {
		return c.listContains(tuple, wanted)
	}
	whole := c.compile(e.Args[0])
	if !whole.failed && whole.form != formAny && whole.form != formString {
		return c.fail(e.Args[0].Range(), "Wrong kind of value", "The first argument must be a list such as [\"a\", \"b\"], a list of the payload, or a string.")
	}
	runWhole, runWanted := whole.run, wanted.run
	return question(whole.failed || wanted.failed, func(ev *outbox.Event) truth {
		return contains(runWhole(ev), runWanted(ev))
	}, whole, wanted)
}

// Unwrap returns what stands in parentheses.
func Unwrap(expr hclsyntax.Expression) hclsyntax.Expression {
	for {
		p, ok := expr.(*hclsyntax.ParenthesesExpr)
		if !ok {
			return expr
		}
		expr = p.Expression
	}
}

func (c *compiler) listContains(tuple *hclsyntax.TupleConsExpr, wanted node) node {
	elements := make([]evaluate, 0, len(tuple.Exprs))
	failed := wanted.failed
	for _, expr := range tuple.Exprs {
		element := c.scalar(expr)
		failed = failed || element.failed
		if !element.failed && !wanted.failed && element.form != wanted.form && element.form != formAny && wanted.form != formAny {
			return c.fail(expr.Range(), "Comparison of different kinds", "The element is %s, the value looked for %s.", element.form, wanted.form)
		}
		elements = append(elements, element.run)
	}
	run := wanted.run
	return question(failed, func(ev *outbox.Event) truth {
		w := run(ev)
		if w.kind == kindMissing || w.kind == kindComposite {
			return missingTruth
		}
		missed := w.missed()
		for _, element := range elements {
			v := element(ev)
			same := equals(&v, &w)
			missed = missed || same.missed()
			if same.holds() {
				return truthOf(true, missed)
			}
		}
		return truthOf(false, missed)
	})
}

// contains answers for a list of the payload, and for a text.
func contains(whole, wanted value) truth {
	missed := whole.missed() || wanted.missed()
	switch {
	case whole.kind == kindString && wanted.kind == kindString:
		return truthOf(strings.Contains(whole.text, wanted.text), missed)
	case whole.kind != kindComposite || whole.text[0] != '[' || wanted.kind == kindMissing || wanted.kind == kindComposite:
		return missingTruth
	}
	doc := unalias(whole.text)
	for pos := payload.First(doc, 0); pos != payload.Absent; pos = payload.Next(doc, pos) {
		if v := readValue(doc, pos); equals(&v, &wanted).holds() {
			return truthOf(true, missed)
		}
	}
	return truthOf(false, missed)
}

// length compiles the number of characters of a text, elements of a list or members of an object.
func (c *compiler) length(e *hclsyntax.FunctionCallExpr) node {
	n := c.compile(e.Args[0])
	if !n.failed && n.form != formAny && n.form != formString {
		return c.fail(e.Args[0].Range(), "Wrong kind of value", "The argument must be a string, or a list or object of the payload.")
	}
	run := n.run
	return folded(node{form: formNumber, failed: n.failed, run: func(ev *outbox.Event) value {
		v := run(ev)
		size := payload.Absent
		switch v.kind {
		case kindString:
			size = utf8.RuneCountInString(v.text)
		case kindComposite:
			size = payload.Count(unalias(v.text))
		case kindMissing, kindBool, kindNumber, kindTime:
		}
		if size == payload.Absent {
			return missing()
		}
		return numeric(payload.NumberOf(size)).note(v.missed())
	}}, n)
}

// coalesce compiles the first value that is there. That an earlier one is missing is what it is
// for, and not counted.
func (c *compiler) coalesce(e *hclsyntax.FunctionCallExpr) node {
	nodes := make([]node, 0, len(e.Args))
	n := node{}
	for _, expr := range e.Args {
		arg := c.scalar(expr)
		n.failed = n.failed || arg.failed
		nodes = append(nodes, arg)
	}
	n.form = common(nodes...)
	n.run = func(ev *outbox.Event) value {
		for i := range nodes {
			if v := nodes[i].run(ev); v.kind != kindMissing {
				v.lack = lackNothing
				return v
			}
		}
		return missing()
	}
	return folded(n, nodes...)
}

// can compiles the question whether a value is there.
func (c *compiler) can(e *hclsyntax.FunctionCallExpr) node {
	n := c.scalar(e.Args[0])
	run := n.run
	return question(n.failed, func(ev *outbox.Event) truth {
		return truthOf(run(ev).kind != kindMissing, false)
	}, n)
}

// toNumber compiles the number that a text spells, such as an amount of money in a JSON string.
func (c *compiler) toNumber(e *hclsyntax.FunctionCallExpr) node {
	n := c.compile(e.Args[0])
	if !n.failed && n.form != formAny && n.form != formString && n.form != formNumber {
		return c.fail(e.Args[0].Range(), "Wrong kind of value", "The argument must be a string or a number, not %s.", n.form)
	}
	run := n.run
	return folded(node{form: formNumber, failed: n.failed, run: func(ev *outbox.Event) value {
		v := run(ev)
		if v.kind == kindString {
			n, ok := payload.ParseNumber(v.text)
			if !ok {
				return missing()
			}
			return numeric(n).note(v.missed())
		}
		if v.kind != kindNumber {
			return missing()
		}
		return v
	}}, n)
}

func (c *compiler) toString(e *hclsyntax.FunctionCallExpr) node {
	n := c.scalar(e.Args[0])
	run := n.run
	return folded(node{form: formString, failed: n.failed, run: func(ev *outbox.Event) value { return toText(run(ev)) }}, n)
}

// toText returns a single value as a text: numbers as they were written, times as RFC 3339.
func toText(v value) value {
	switch v.kind {
	case kindString:
		return v
	case kindBool:
		return textual(strconv.FormatBool(v.flag)).note(v.missed())
	case kindNumber:
		return textual(v.number().String()).note(v.missed())
	case kindTime:
		return textual(timeText(*v.at)).note(v.missed())
	case kindMissing:
		return v
	case kindComposite:
		return missing()
	default:
		return missing()
	}
}
