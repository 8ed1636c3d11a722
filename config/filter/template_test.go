package filter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config/filter"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		``:                         "",
		`/orders`:                  "/orders",
		`${event.key}`:             "k<event.key>",
		`/a/${event.key}/b`:        "/a/k<event.key>/b",
		`$${a}/${event.type}`:      "${a}/order.created<event.type>",
		`a${1}b`:                   "a1<1>b",
		`${"a"}`:                   `a<"a">`,
		`a${event.created_at}`:     "a2026-01-31T12:00:00Z<event.created_at>",
		`a${event.data.total}b`:    "a100.50<event.data.total>b",
		"a\n${event.extra.region}": "a\neu<event.extra.region>",
	} {
		template, diags := filter.CompileTemplate(src, "test.hcl", 3)
		require.Empty(t, diags, src)
		require.Equal(t, src, template.Source())
		e := order()
		e.Key = "k"
		got := ""
		for _, p := range template.Parts() {
			got += p.Literal
			if p.Source == "" {
				continue
			}
			text, err := p.Value(e)
			require.NoError(t, err, src)
			got += text + "<" + p.Source + ">"
		}
		require.Equal(t, want, got, src)
		if strings.Contains(src, "extra") {
			require.Equal(t, []string{"region"}, template.Extras())
		}
	}
}

func TestTemplate_valueThatIsNone(t *testing.T) {
	t.Parallel()
	long := "event.data." + strings.Repeat("a", 80)
	text := strings.Repeat("x", 600_000)
	for src, want := range map[string]string{
		`event.data.nope`:                    "event.data.nope is missing, null or empty",
		`event.data.nothing`:                 "event.data.nothing is missing, null or empty",
		`event.key`:                          "event.key is missing, null or empty",
		`event.data.tags`:                    "event.data.tags is an object or a list",
		`"${event.extra.a}${event.extra.a}"`: `"${event.extra.a}${event.extra.a}" is too large`,
		long[:80]:                            long[:80] + " is missing, null or empty",
		long:                                 "an expression is missing, null or empty",
	} {
		template, diags := filter.CompileTemplate("/${"+src+"}", "test.hcl", 3)
		require.Empty(t, diags, src)
		require.Len(t, template.Parts(), 2)
		e := order()
		e.Extra = []byte(`{"a":"` + text + `"}`)
		got, err := template.Parts()[1].Value(e)
		require.ErrorIs(t, err, filter.ErrNoText, src)
		require.EqualError(t, err, want)
		require.Empty(t, got)
	}
}

func TestTemplate_refuses(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`${event.data}`:               "Object or list in a text",
		`a${event.headers}`:           "Object or list in a text",
		`${event.extra}b`:             "Object or list in a text",
		`${evnt.key}`:                 "Unknown variable",
		`${event.key`:                 "Unclosed template interpolation sequence",
		strings.Repeat("a", 16<<10+1): "Expression too long",
		"${" + strings.Repeat("(", 64) + "1" + strings.Repeat(")", 64) + "}": "Expression too deep",
	} {
		template, diags := filter.CompileTemplate(src, "test.hcl", 3)
		require.Nil(t, template, src)
		require.Len(t, diags, 1, src)
		require.Equal(t, want, diags[0].Summary)
		require.Equal(t, "test.hcl", diags[0].File)
		require.Equal(t, 3, diags[0].Line)
	}
	template, diags := filter.CompileTemplate("a\nb$${c", "", 1)
	require.Empty(t, diags)
	require.Len(t, template.Parts(), 1, "literals that stand beside each other are one")
	for _, src := range []string{strings.Repeat("a", 16<<10), "${" + strings.Repeat("(", 63) + "event.key" + strings.Repeat(")", 63) + "}"} {
		_, diags := filter.CompileTemplate(src, "test.hcl", 0)
		require.Empty(t, diags, "what is just not too much is taken")
	}
}
