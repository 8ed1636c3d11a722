package alerts_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
)

// named lists the metrics of Tailpost that an expression names.
func named(t *testing.T, text string) []string {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	require.NoError(t, err, text)
	var names []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, is := node.(*parser.VectorSelector); is && strings.HasPrefix(selector.Name, "tailpost_") {
			names = append(names, regexp.MustCompile(`_seconds_(bucket|sum|count)$`).ReplaceAllString(selector.Name, "_seconds"))
		}
		return nil
	})
	return names
}

// expressions are those of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Type, Title, Description string
			Targets                  []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
		Templating  struct {
			List []struct{ Query json.RawMessage }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join("examples", "grafana", "tailpost.json"))), &dashboard))
	var all []string
	for _, panel := range dashboard.Panels {
		if panel.Type == "row" {
			continue
		}
		require.NotEmpty(t, panel.Description, panel.Title)
		require.NotEmpty(t, panel.Targets, panel.Title)
		for _, target := range panel.Targets {
			all = append(all, target.Expr)
		}
	}
	for _, annotation := range dashboard.Annotations.List {
		all = append(all, annotation.Expr)
	}
	require.Greater(t, len(all), 20)
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], "$__rate_interval", "5m")
	}
	return all
}

// TestZEveryMetricIsShown comes after those that run relays: what they showed is what there is.
func TestZEveryMetricIsShown(t *testing.T) {
	if seen.shown == nil {
		t.Skip("the other tests did not run")
	}
	// docs/metrics.md has all of them, and nothing else but what only some relays show.
	table := make(map[string]bool)
	for _, match := range regexp.MustCompile("(?m)^\\| `(tailpost_[a-z_]+)` \\|").FindAllStringSubmatch(read(t, filepath.Join("docs", "metrics.md")), -1) {
		table[match[1]] = true
	}
	p := newPrometheus(t)
	for _, rule := range p.rules {
		for _, name := range named(t, rule.Query().String()) {
			require.Contains(t, seen.shown, name, rule.Name())
		}
	}
	for _, text := range expressions(t) {
		require.NotEmpty(t, named(t, text), text)
		for _, name := range named(t, text) {
			if !table[name] { // of an endpoint that is overloaded, for example
				require.Contains(t, seen.shown, name, text)
			}
		}
	}
	for name := range seen.shown {
		require.Contains(t, table, name, "docs/metrics.md")
	}
}
