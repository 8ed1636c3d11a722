package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// TestABadConfigurationForgetsNoFileOfTheGoodOne: what it names may be what mends it, and somebody
// watches that. A good one forgets what only those before it named.
func TestABadConfigurationForgetsNoFileOfTheGoodOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := &app{configPath: filepath.Join(dir, "tailpost.hcl"), getenv: func(string) string { return "" }}
	reads := func(valid bool, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(a.configPath, []byte(text), 0o600))
		_, diagnostics := a.readConfig(config.Options{DatabaseOnly: true})
		require.Equal(t, valid, !diagnostics.HasErrors(), "%v", diagnostics)
	}
	url := filepath.Join(dir, "url")
	require.NoError(t, os.WriteFile(url, []byte("postgres://db/app"), 0o600))
	reads(true, `database { url = file("url") }`)
	require.Contains(t, a.read, url)
	for range 2 {
		reads(false, "database {")
		require.Contains(t, a.read, url)
	}
	reads(true, `database { url = "postgres://db/app" }`)
	require.NotContains(t, a.read, url)
}
