package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// FuzzParse feeds anything to the language: it never panics, tells no secret of the environment, and a configuration it
// takes keeps its own rules.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("testdata/*/*.hcl")
	require.NoError(f, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(text)
	}
	opts := config.Options{
		Getenv:   getenv,
		ReadFile: func(string) ([]byte, error) { return []byte("hunter2\n"), nil },
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, diags := config.Parse(map[string][]byte{"fuzz.hcl": text}, opts)
		require.Equal(t, cfg == nil, diags.HasErrors())
		for _, d := range diags {
			require.NotEmpty(t, d.Summary)
			require.NotEmpty(t, d.Detail)
			require.True(t, json.Valid([]byte(mustJSON(t, d))))
		}
		for _, secret := range []string{hmacSecret[6:], ed25519Secret[5:], "app:" + password} {
			require.NotContains(t, diags.Error(), secret)
		}
		if cfg == nil {
			return
		}
		require.NotContains(t, mustJSON(t, cfg), hmacSecret[6:])
		_, err := cfg.Complete()
		require.NoError(t, err)
	})
}

func mustJSON(tb testing.TB, v any) string {
	tb.Helper()
	text, err := json.Marshal(v)
	require.NoError(tb, err)
	return string(text)
}
