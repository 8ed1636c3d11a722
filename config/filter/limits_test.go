package filter_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/filter"
	"github.com/tailpost/tailpost/outbox"
)

// What somebody writes to keep the relay busy is refused, and refusing it takes no time either.
func TestExpressionsThatAreTooMuch(t *testing.T) {
	t.Parallel()
	nested := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	for name, tc := range map[string]struct{ src, want string }{
		"minus signs":        {nested("-", "event.data.a", "", 12_000) + " > 1", "Expression too deep"},
		"minus signs apart":  {nested("- ", "event.data.a", "", 65) + " > 1", "Expression too deep"},
		"negations":          {nested("!", "event.data.a", "", 65), "Expression too deep"},
		"parentheses":        {nested("(", "event.data.a", ")", 65), "Expression too deep"},
		"signs, parentheses": {nested("-(", "event.data.a", ")", 33) + " > 1", "Expression too deep"},
		"calls":              {nested("lower(", "event.type", ")", 65) + ` == ""`, "Expression too deep"},
		"templates":          {nested(`"${`, "event.type", `}"`, 65) + ` == ""`, "Expression too deep"},
		"conditions":         {strings.Repeat("event.data.a ? true : ", 65) + "false", "Expression too deep"},
		"a long one":         {nested("event.data.a && ", "event.data.a", "", 2000), "Expression too long"},
		"a long path":        {"event.data" + strings.Repeat(".a", 65) + " == 1", "Path too long"},
		"one character more": {"event.data.a ||" + strings.Repeat(" ", filter.MaxSize-len("event.data.a ||event.data.a")+1) + "event.data.a", "Expression too long"},
		"a repetition":       {`matches(event.type, "a{900}b{900}c{300}")`, "Regular expression too large"},
		"many patterns":      {strings.Repeat(`matches(event.type, "a{500}") || `, 5) + "false", "Regular expression too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			_, diags := filter.Compile(tc.src, "x.hcl", 1)
			require.Contains(t, diags.Error(), tc.want)
			require.Equal(t, "x.hcl", diags[0].File)
			_, diags = filter.CompileBody("["+tc.src+"]", "x.hcl", 1)
			require.Contains(t, diags.Error(), tc.want)
			for _, setting := range []string{"where", "body"} {
				_, diags = config.Parse(map[string][]byte{"x.hcl": []byte("endpoint \"a\" {\n subscription {\n " + setting + " = " + tc.src + "\n}\n}")}, config.Options{})
				require.Contains(t, diags.Error(), tc.want, setting)
			}
			require.Less(t, time.Since(begin), 30*time.Second)
		})
	}
}

// The bounds themselves may be reached, and what is within them is compiled in a time that grows
// with its length.
func TestExpressionsThatAreJustNotTooMuch(t *testing.T) {
	t.Parallel()
	for _, src := range []string{
		strings.Repeat("-", 63) + "event.data.a < 2",
		strings.Repeat("(", 64) + "event.data.b" + strings.Repeat(")", 64),
		strings.Repeat("event.data.b ? true : ", 64) + "false",
		strings.Repeat("event.data.b && ", 1000) + "event.data.b",
		"event.data.nested" + strings.Repeat(".a", 60) + " == null",
		`matches(event.type, "^(a|b){1,100}") || event.data.b`,
		strings.Repeat("1+", 8000) + "1 > event.data.a",
		strings.Repeat("-(", 32) + "event.data.a" + strings.Repeat(")", 32) + " > 0",
		strings.Repeat("!(event.data.a > 1) && ", 70) + "event.data.b", // beside each other is not within each other
		strings.Repeat(" ", filter.MaxSize-len("event.data.b")) + "event.data.b",
	} {
		ok, _ := compileFilter(t, src).Match(&outbox.Event{Payload: []byte(`{"a":1,"b":true}`)})
		require.True(t, ok, src[:40])
	}
}

func TestFewProblemsOfAnExpressionAreReported(t *testing.T) {
	t.Parallel()
	for _, src := range []string{strings.Repeat("@", 4000), "[" + strings.Repeat("nope, ", 2000) + "1]"} {
		_, diags := filter.CompileBody(src, "x.hcl", 1)
		require.True(t, diags.HasErrors())
		require.LessOrEqual(t, len(diags), 10)
	}
	for _, src := range []string{strings.Repeat("${@}", 4000), strings.Repeat("${nope}", 2000)} {
		_, diags := filter.CompileTemplate(src, "x.hcl", 1)
		require.True(t, diags.HasErrors())
		require.LessOrEqual(t, len(diags), 10)
	}
}

// A body that would be far larger than its event is refused before it is built.
func TestBodiesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	e := &outbox.Event{
		Type: "order.created", Payload: []byte(`{"text":"` + strings.Repeat("x", 100_000) + `"}`),
		Headers: map[string]string{"h": strings.Repeat("y", 20_000)}, Extra: []byte(`{"text":"` + strings.Repeat("z", 1_300_000) + `"}`),
	}
	require.Equal(t, 1<<20+2*len(e.Payload), filter.MostOf(e))
	doubled := "event.data.text"
	for range 8 {
		doubled = fmt.Sprintf(`"${%s}${%s}"`, doubled, doubled)
	}
	for name, src := range map[string]string{
		"the payload again and again": "[" + strings.Repeat("event.data, ", 1000) + "1]",
		"in objects":                  "{ a = [" + strings.Repeat("{ b = event.data }, ", 600) + "1] }",
		"a text":                      "[" + strings.Repeat("event.data.text, ", 900) + "1]",
		"the extra columns":           "event.extra",
		"an extra column":             "coalesce(event.extra.text)",
		"headers":                     "[" + strings.Repeat("event.headers, ", 900) + "1]",
		"a text made of texts":        doubled,
		"one that is changed then":    "{ a = upper(" + doubled + ") }",
		"one that a condition takes":  `{ a = upper(contains([event.data.gone, "order.created"], event.type) ? ` + doubled + ` : "") }`,
	} {
		dst, err := compileBody(t, src).Append([]byte("x"), e)
		require.ErrorIs(t, err, filter.ErrTooLarge, name)
		require.Equal(t, "x", string(dst), name)
		require.Less(t, cap(dst), 1<<20, name)
	}
	dst, err := compileBody(t, "[event.data, event.data, { a = event.data.text }, event.data]").Append(nil, e)
	require.NoError(t, err)
	require.Greater(t, len(dst), 400_000)

	for _, src := range []string{doubled, `"` + strings.Repeat("${event.data.text}", 11) + `"`} {
		ok, missing := compileFilter(t, src+` != ""`).Match(e)
		require.False(t, ok)
		require.True(t, missing)
	}
}

func TestBodiesThatAreTooLargeAreNotBuilt(t *testing.T) { //nolint:paralleltest // what it counts is of the whole process
	e := &outbox.Event{Payload: []byte(`{"text":"` + strings.Repeat("x", 100_000) + `"}`)}
	body := compileBody(t, "["+strings.Repeat("event.data, ", 1000)+"1]")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := body.Append(nil, e)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, filter.ErrTooLarge)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(20<<20))
}

// A regular expression is not tried on a text that would take it long.
func TestPatternsAreTriedOnShortTexts(t *testing.T) {
	t.Parallel()
	where := compileFilter(t, `matches(event.data.a, "x$")`)
	for n, want := range map[int]bool{1: true, 64 << 10: true, 64<<10 + 1: false} {
		ok, missing := where.Match(&outbox.Event{Payload: []byte(`{"a":"` + strings.Repeat("x", n) + `"}`)})
		require.Equal(t, want, ok, n)
		require.Equal(t, !want, missing, n)
	}
}
