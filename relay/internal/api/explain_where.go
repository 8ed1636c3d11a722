package api

import (
	"regexp"
	"strings"
	"sync"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// tryFilter reports whether an event passes, and what decided it: the first part of an and that is
// not true, with the values that it looked at where these may be shown.
func tryFilter(filter *config.Filter, ev *outbox.Event, shown bool) (ok bool, detail string) {
	source := filter.Source()
	values := func(part string) string {
		if !shown {
			return ""
		}
		return values(part, ev)
	}
	if ok, _ = filter.Match(ev); ok {
		return true, source + " is true"
	}
	for _, part := range conjuncts(source) {
		compiled, diags := config.CompileFilter(part, "where", 1)
		if diags.HasErrors() {
			break // a part that says nothing by itself
		}
		if passes, missing := compiled.Match(ev); !passes {
			return false, strings.TrimSpace(part) + " is " + truth(missing) + values(part)
		}
	}
	_, missing := filter.Match(ev)
	return false, source + " is " + truth(missing) + values(source)
}

func truth(missing bool) string {
	if missing {
		return "not true, for want of a value"
	}
	return "false"
}

// conjuncts splits an expression at the ands that join all of it. One that is no such row of ands
// is returned whole.
func conjuncts(source string) []string {
	var parts []string
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case depth > 0:
		case c == '?' || strings.HasPrefix(source[i:], "||"), c == '#' || strings.HasPrefix(source[i:], "//"), strings.HasPrefix(source[i:], "/*"):
			return []string{source}
		case strings.HasPrefix(source[i:], "&&"):
			parts = append(parts, source[start:i])
			start = i + 2
			i++
		}
	}
	return append(parts, source[start:])
}

// reference finds what an expression reads of an event.
var reference = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // compiled once
	return regexp.MustCompile(`\bevent(?:\.[A-Za-z_][A-Za-z0-9_-]*|\[(?:[0-9]+|"[^"\\]*")\])+`)
})

// maxShownValue bounds a value that is shown.
const maxShownValue = 80

// values shows what an expression reads of an event.
func values(source string, ev *outbox.Event) string {
	var shown []string
	seen := make(map[string]bool)
	for _, name := range reference().FindAllString(source, -1) {
		if seen[name] {
			continue
		}
		seen[name] = true
		body, diags := config.CompileBody(name, "where", 1)
		if diags.HasErrors() {
			continue
		}
		value, err := body.Append(nil, ev)
		if err != nil {
			continue
		}
		text := string(value)
		if len(text) > maxShownValue {
			text = strings.ToValidUTF8(text[:maxShownValue], "") + "…"
		}
		shown = append(shown, name+" is "+text)
	}
	if len(shown) == 0 {
		return ""
	}
	return ": " + strings.Join(shown, ", ")
}
