package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

func TestEveryMutantHasItsPlace(t *testing.T) {
	t.Parallel()
	for _, err := range check(all(), kit.Root()) {
		t.Error(err)
	}
}

func TestAMutantWhosePlaceIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "a.go"), []byte("one two two"), 0o600))
	sound := mutant{name: "a", file: "a.go", old: "one", new: "1", promise: "p", pkg: ".", run: "T"}
	require.Empty(t, check([]mutant{sound}, root))

	for problem, change := range map[string]func(*mutant){
		"not in a.go any more": func(m *mutant) { m.old = "three" },
		"stands 2 times":       func(m *mutant) { m.old = "two" },
		"changes nothing":      func(m *mutant) { m.new = m.old },
		"read its file":        func(m *mutant) { m.file = "b.go" },
		"must be there":        func(m *mutant) { m.promise = "" },
	} {
		m := sound
		change(&m)
		problems := check([]mutant{m}, root)
		require.Len(t, problems, 1, problem)
		require.ErrorContains(t, problems[0], problem)
	}
	require.Len(t, check([]mutant{sound, sound}, root), 1, "a name that is taken twice")
}

func TestATrialTellsKilledFromSurvived(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":      "module example.com/m\n\ngo 1.26\n",
		"m.go":        "package m\n\nfunc Double(n int) int { return 2 * n }\n\nfunc Half(n int) int { return n / 2 }\n",
		"m_test.go":   "package m\n\nimport \"testing\"\n\nfunc TestDouble(t *testing.T) {\n\tif Double(3) != 6 {\n\t\tt.Fatal()\n\t}\n}\n",
		"bad_test.go": "package m\n\nimport \"testing\"\n\nfunc TestBad(t *testing.T) { t.Fatal(\"always\") }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	in := &tree{dir: dir}
	killed := mutant{name: "killed", file: "m.go", old: "2 * n", new: "3 * n", pkg: ".", run: "TestDouble"}
	survives := mutant{name: "survives", file: "m.go", old: "n / 2", new: "n / 3", pkg: ".", run: "TestDouble"}
	broken := mutant{name: "broken", file: "m.go", old: "2 * n", new: "2 * m", pkg: ".", run: "TestDouble"}

	var out strings.Builder
	tr := &trial{out: &out}
	for _, m := range []mutant{killed, survives, broken} {
		require.NoError(t, tr.try(t.Context(), in, m))
	}
	require.Equal(t, 1, tr.killed, out.String())
	require.Equal(t, []string{"survives"}, tr.survived)
	require.Len(t, tr.broken, 1)
	require.ErrorContains(t, tr.sum(3, 1), "no test noticed survives")
	require.Contains(t, out.String(), "3 tried, 1 killed, 1 survived, 1 in error (seed 1)")

	require.NoError(t, in.sound(t.Context(), []mutant{killed}))
	bad := mutant{name: "bad", pkg: ".", run: "TestBad"}
	require.ErrorContains(t, in.sound(t.Context(), []mutant{bad}), "fails without a mutant")
	missing := mutant{name: "missing", pkg: ".", run: "TestMissing"}
	require.ErrorContains(t, in.sound(t.Context(), []mutant{missing}), "no test of . is named TestMissing")

	content, err := os.ReadFile(filepath.Join(dir, "m.go"))
	require.NoError(t, err)
	require.Contains(t, string(content), "2 * n", "every change is taken out again")
}

func TestASeedPicksTheSameMutants(t *testing.T) {
	t.Parallel()
	list := make([]mutant, 100)
	for i := range list {
		list[i].name = strings.Repeat("m", i+1)
	}
	first := choose(list, 12, 7)
	require.Equal(t, first, choose(list, 12, 7))
	require.NotEqual(t, choose(list, 12, 7), choose(list, 12, 8))
	require.Len(t, choose(list, 12, 7), 12)
	require.Len(t, choose(list, 0, 7), 100)
}
