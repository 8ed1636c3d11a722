package panel_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// finding is what axe-core says of a page.
type finding struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"`
}

const axeRun = `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"]})
  .then((r) => r.violations.map((v) => ({id: v.id, help: v.help, nodes: v.nodes.map((n) => n.html + " " + (n.failureSummary || ""))})))`

// TestEveryPageIsAccessible looks for violations of WCAG 2.2, level AA, on every page in both
// themes and on a small screen.
func TestEveryPageIsAccessible(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile(filepath.Join(kit.Root(), "integration", "receivers", "node_modules", "axe-core", "axe.min.js"))
	if os.IsNotExist(err) && os.Getenv("CI") == "" {
		t.Skip("axe-core is not here: run .ci/node.sh")
	}
	require.NoError(t, err)
	s := newShop(t)
	for name, look := range map[string]tabOptions{"light": {}, "dark": {dark: true}, "small": {width: 360, height: 740}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTab(t, s.url, look)
			run := func() []finding {
				b.run(chromedp.Evaluate[chromedp.Void](string(axe) + "; undefined"))
				return get(b, chromedp.Evaluate[[]finding](axeRun, chromedp.EvalAwaitPromise))
			}
			check := func(page string) {
				t.Helper()
				require.Empty(t, run(), "%s, %s", page, name)
			}
			b.open("/panel/login")
			check("login")
			eval[string](b, "document.querySelector('label').remove(), ''")
			require.NotEmpty(t, run(), "a field without a name is noticed")
			b.login()
			for page, path := range s.pages() {
				b.open(path)
				b.settled()
				check(page)
			}
			b.open("/panel/log")
			b.click(".drop > summary")
			check("copy as")
		})
	}
}
