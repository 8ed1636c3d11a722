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

// axeSource is the script that looks for violations.
func axeSource(t *testing.T) string {
	t.Helper()
	axe, err := os.ReadFile(filepath.Join(kit.Root(), "integration", "receivers", "node_modules", "axe-core", "axe.min.js"))
	if os.IsNotExist(err) && os.Getenv("CI") == "" {
		t.Skip("axe-core is not here: run .ci/node.sh")
	}
	require.NoError(t, err)
	return string(axe)
}

// violations are what axe-core finds on the page.
func (b *tab) violations(axe string) []finding {
	b.t.Helper()
	b.run(chromedp.Evaluate[chromedp.Void](axe + "; undefined"))
	return get(b, chromedp.Evaluate[[]finding](axeRun, chromedp.EvalAwaitPromise))
}

// TestEveryPageIsAccessible looks for violations of WCAG 2.2, level AA, on every page in both
// themes and on a small screen.
func TestEveryPageIsAccessible(t *testing.T) {
	t.Parallel()
	axe, s := axeSource(t), newShop(t)
	for name, look := range map[string]tabOptions{"light": {}, "dark": {dark: true}, "small": {width: 360, height: 740}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTab(t, s.url, look)
			check := func(page string) {
				t.Helper()
				require.Empty(t, b.violations(axe), "%s, %s", page, name)
			}
			b.open("/panel/login")
			check("login")
			eval[string](b, "document.querySelector('label').remove(), ''")
			require.NotEmpty(t, b.violations(axe), "a field without a name is noticed")
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

// TestThePortalIsAccessible looks for the same on every page of the portal, in colours of its
// owner.
func TestThePortalIsAccessible(t *testing.T) {
	t.Parallel()
	axe, m := axeSource(t), dressed(t)
	for name, look := range map[string]tabOptions{"light": {}, "dark": {dark: true}, "small": {width: 360, height: 740}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTab(t, m.url, look)
			b.open(m.link("acme", everything()...))
			b.at("/portal/endpoints")
			for page, path := range m.pages() {
				b.open(path)
				b.settled()
				require.Empty(t, b.violations(axe), "%s, %s", page, name)
			}
		})
	}
}

// TestTheRelayPageOfAFleetIsAccessible: it has a table more.
func TestTheRelayPageOfAFleetIsAccessible(t *testing.T) {
	t.Parallel()
	axe, w := axeSource(t), newWorld(t, keyedHCL+kit.StartNATS(t, 1).Fanout(4, ""))
	for name, look := range map[string]tabOptions{"light": {}, "dark": {dark: true}, "small": {width: 360, height: 740}} {
		b := newTab(t, w.url, look)
		b.open("/panel/login")
		b.login()
		b.open("/panel/relay")
		b.settled()
		require.EqualValues(t, 4, eval[int64](b, "document.querySelectorAll('#partitions tbody tr').length"))
		require.Empty(t, b.violations(axe), name)
		require.LessOrEqual(t, eval[float64](b, "document.documentElement.scrollWidth - innerWidth"), 0.0, name)
	}
}
