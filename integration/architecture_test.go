package integration_test

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

const module = "github.com/tailpost/tailpost/"

// imports returns what each package of the product imports of the product, by path from the root.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`,
		"./outbox/...", "./config/...", "./relay/...", "./cmd/...")
	list.Dir = kit.Root()
	out, err := list.Output()
	require.NoError(t, err)
	graph := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from := strings.TrimPrefix(fields[0], module)
		graph[from] = nil
		for _, imported := range fields[1:] {
			if to, ok := strings.CutPrefix(imported, module); ok && !strings.HasPrefix(to, "integration/") {
				graph[from] = append(graph[from], to)
			}
		}
	}
	return graph
}

// reduced returns the arrows of a graph without circles that no longer way replaces, sorted.
func reduced(graph map[string][]string) []string {
	reach := make(map[string]map[string]bool, len(graph))
	var below func(from string) map[string]bool
	below = func(from string) map[string]bool {
		if all, ok := reach[from]; ok {
			return all
		}
		all := make(map[string]bool)
		for _, to := range graph[from] {
			all[to] = true
			maps.Copy(all, below(to))
		}
		reach[from] = all
		return all
	}
	var arrows []string
	for from, tos := range graph {
		for _, to := range tos {
			longer := slices.ContainsFunc(tos, func(other string) bool { return other != to && below(other)[to] })
			if !longer {
				arrows = append(arrows, from+" --> "+to)
			}
		}
	}
	slices.Sort(arrows)
	return arrows
}

func TestOnlyArrowsThatNoLongerWayReplacesAreDrawn(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"a --> b", "b --> c", "b --> d"}, reduced(map[string][]string{
		"a": {"b", "c", "d"}, "b": {"c", "d"}, "c": nil, "d": nil,
	}))
}

// TestThePictureOfTheArchitectureShowsTheImports compares the arrows of docs/architecture.md with
// the imports of the code. An import that another way implies is not drawn.
func TestThePictureOfTheArchitectureShowsTheImports(t *testing.T) {
	t.Parallel()
	var picture string
	for _, block := range fenced(readDocument(t, "docs/architecture.md"), "mermaid") {
		if strings.Contains(block, "%% imports") {
			picture = block
		}
	}
	require.NotEmpty(t, picture, "the picture marked %% imports")
	names := make(map[string]string) // of nodes -> paths of packages
	for _, node := range regexp.MustCompile(`(?m)(\w+)\["([\w/]+)"\]`).FindAllStringSubmatch(picture, -1) {
		names[node[1]] = node[2]
	}
	var drawn []string
	for _, arrow := range regexp.MustCompile(`(?m)^\s*(\w+) --> (\w+(?: & \w+)*)\s*$`).FindAllStringSubmatch(picture, -1) {
		for to := range strings.SplitSeq(arrow[2], " & ") {
			drawn = append(drawn, names[arrow[1]]+" --> "+names[to])
		}
	}
	slices.Sort(drawn)
	graph := imports(t)
	require.ElementsMatch(t, slices.Collect(maps.Keys(graph)), slices.Collect(maps.Values(names)), "packages")
	require.Equal(t, reduced(graph), drawn)
}
