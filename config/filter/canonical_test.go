package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config/filter"
)

func canonicalBody(t require.TestingT, text string) string {
	body, diags := filter.CompileBody(text, "test.hcl", 1)
	require.False(t, diags.HasErrors(), "%s: %v", text, diags)
	return body.Canonical()
}

func TestTheCanonicalFormIsThatOfTheMeaning(t *testing.T) {
	t.Parallel()
	// Those of a line do the same; no two lines do.
	lines := [][]string{
		{`{ a = event.data.a, b = 1 }`, `{a=event.data.a,b=1.0}`, "{\n  \"a\" = event.data[\"a\"] # of old\n  b: (1) // one\n}", `{ a = "${event.data.a}", b = 1e0, }`},
		{`{ b = 1, a = event.data.a }`},
		{`{ a = event.data.a, b = "1" }`, `{ a = event.data.a, b = "${"1"}" }`},
		{`{ a = event.data.a, b = 2 }`},
		{`{ a = event.data.a }`},
		{`{ a = event.data.b }`},
		{`{ a = event.data.a.b }`, `{ a = event.data["a"].b }`},
		{`{ a = event.data["a.b"] }`},
		{`{ a = event.data.a[0] }`, `{ a = event.data.a.0 }`, `{ a = event.data.a[00] }`},
		{`{ a = event.data.a["0"] }`},
		{`{ a = event.data.a[1] }`},
		{`[event.data.a, event.data.b]`, "[\n  event.data.a, # one\n  event.data.b,\n]"},
		{`[event.data.b, event.data.a]`},
		{`[[event.data.a], event.data.b]`},
		{`[[event.data.a, event.data.b]]`},
		{`[]`},
		{`{}`},
		{`null`},
		{`true`, `(true)`},
		{`false`, `(false)`},
		{`"null"`},
		{`""`},
		{`" "`},
		{`"a${event.data.a}b"`},
		{`"a${event.data.a} b"`},
		{`"a$${event.data.a}b"`},
		{`event.data.a == null ? 1 : 2`, `(event.data.a) == null ? (1) : 2`},
		{`event.data.a == null ? 2 : 1`},
		{`event.data.a != null ? 1 : 2`},
		{`1 + event.data.a * 2`, `1 + (event.data.a * 2)`},
		{`(1 + event.data.a) * 2`},
		{`1 - event.data.a * 2`},
		{`1 + event.data.a / 2`},
		{`1 + event.data.a % 2`},
		{`-event.data.a`},
		{`0 - event.data.a`},
		{`- -event.data.a`, `-(-event.data.a)`},
		{`!event.data.a && event.data.b`},
		{`!(event.data.a && event.data.b)`},
		{`!event.data.a || event.data.b`},
		{`event.data.a < 1`},
		{`event.data.a <= 1`},
		{`event.data.a > 1`},
		{`event.data.a >= 1`},
		{`lower(event.data.a)`, `lower( event . data . a )`},
		{`upper(event.data.a)`},
		{`coalesce(event.data.a, event.data.b)`},
		{`coalesce(event.data.b, event.data.a)`},
		{`contains(["a", "b"], event.data.a)`},
		{`contains(["a b"], event.data.a)`},
		{`contains(["a\", \"b"], event.data.a)`},
		{`event.headers`},
		{`event.extra`},
		{`event.headers.a`},
		{`event.extra.a`},
		{`event.key`},
		{`event.data`},
		{`12345678901234567890123456789.5`},
		{`12345678901234567890123456789.6`},
	}
	seen := map[string]string{}
	for _, line := range lines {
		form := canonicalBody(t, line[0])
		for _, text := range line[1:] {
			require.Equal(t, form, canonicalBody(t, text), "%s and %s do the same", line[0], text)
		}
		require.Empty(t, seen[form], "does the same as %s", line[0])
		seen[form] = line[0]
	}
	where, diags := filter.Compile("event.data.a  ==  1 # one", "test.hcl", 1)
	require.False(t, diags.HasErrors())
	require.Equal(t, `(== event."data"."a" 1)`, where.Canonical())
	search, diags := filter.CompileSearch("{ order=event.data.a }", "test.hcl", 1)
	require.False(t, diags.HasErrors())
	require.Equal(t, `({} "order"=event."data"."a")`, search.Canonical())
	require.Empty(t, (*filter.Filter)(nil).Canonical())
	require.Empty(t, (*filter.Body)(nil).Canonical())
	require.Empty(t, (*filter.Search)(nil).Canonical())
}

// loose writes a body with blanks, lines and comments wherever they may stand.
type loose struct {
	t     *rapid.T
	plain bool
}

func (l loose) gap() string {
	if l.plain {
		return " "
	}
	return rapid.SampledFrom([]string{"", " ", "\n", "  # why\n", " // why\n\n", "/* why */"}).Draw(l.t, "gap")
}

func (l loose) name(n string) string {
	if !l.plain && rapid.Bool().Draw(l.t, "quoted") {
		return `"` + n + `"`
	}
	return n
}

// tree is a body: an object, a list, a path or a number.
type tree struct {
	path     string
	children []tree
	object   bool
}

func drawTree(t *rapid.T, depth int) tree {
	if depth == 0 || rapid.IntRange(0, 2).Draw(t, "leaf") == 0 {
		return tree{path: rapid.SampledFrom([]string{"event.data.a", "event.data.b", "event.id", "1", `"x # y"`}).Draw(t, "path")}
	}
	made := tree{object: rapid.Bool().Draw(t, "object"), children: []tree{}}
	for range rapid.IntRange(0, 3).Draw(t, "children") {
		made.children = append(made.children, drawTree(t, depth-1))
	}
	return made
}

func (l loose) write(made tree) string {
	if made.children == nil {
		return made.path
	}
	parts := make([]string, len(made.children))
	for i, child := range made.children {
		parts[i] = l.gap() + l.write(child) + " "
		if made.object {
			parts[i] = l.gap() + l.name(fmt.Sprintf("n%d", i)) + " = " + l.write(child) + " "
		}
	}
	if made.object {
		return "{" + strings.Join(parts, ",") + l.gap() + "}"
	}
	return "[" + strings.Join(parts, ",") + l.gap() + "]"
}

// However a body is laid out, its form is the same, and that of another body is another.
func TestTheCanonicalFormDoesNotDependOnTheLayout(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		made, other := drawTree(t, 3), drawTree(t, 3)
		plain := loose{t, true}.write(made)
		text := loose{t, false}.write(made)
		require.Equal(t, canonicalBody(t, plain), canonicalBody(t, text))
		require.Equal(t, canonicalBody(t, plain), canonicalBody(t, string(hclwrite.Format([]byte(text)))))
		same := plain == loose{t, true}.write(other)
		require.Equal(t, same, canonicalBody(t, plain) == canonicalBody(t, loose{t, true}.write(other)))
	})
}
