package panel

import (
	"io/fs"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoFieldHidesWhatTheScriptAsksAFormFor: in a browser a field stands in the place of the form's
// own property of that name.
func TestNoFieldHidesWhatTheScriptAsksAFormFor(t *testing.T) {
	t.Parallel()
	named := make(map[string]string)
	pages, err := fs.Glob(files, "templates/*.html")
	require.NoError(t, err)
	for _, page := range pages {
		text, err := files.ReadFile(page)
		require.NoError(t, err)
		for _, field := range regexp.MustCompile(`\bname="([^"{]+)"`).FindAllSubmatch(text, -1) {
			named[string(field[1])] = page
		}
	}
	require.Contains(t, named, "method")
	script, err := files.ReadFile("assets/panel.js")
	require.NoError(t, err)
	asked := regexp.MustCompile(`\bform\.(\w+)`).FindAllSubmatch(script, -1)
	require.NotEmpty(t, asked)
	for _, property := range asked {
		require.NotContains(t, named, string(property[1]), "a field has that name")
	}
}
