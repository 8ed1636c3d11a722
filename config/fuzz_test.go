package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
)

// FuzzParse feeds anything to the language: it never panics, tells no secret of the environment,
// and a configuration it takes keeps its own rules.
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

// FuzzURL: whatever is written for a URL, what is taken leads to one host that requests may go to,
// and what is refused is not repeated.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/a?b=c", "http://127.0.0.1:8080", "https://[::1]/", "https://a..b/", "https://127.1/", "https://0x7f000001/", "https://u:p@h/#f", "https://bücher.example",
		"https://[fe80::1%25eth0]/", "https://[2000::%25A00000]", "//x", "https://%31/", "https://exa\x00mple",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := config.Endpoint{ID: "a", URL: text, Secrets: []config.Secret{config.NewSecret(hmacSecret)}}
		diags := config.ValidateEndpoint(&e, config.Network{}, nil)
		if len(diags) > 0 {
			for _, d := range diags {
				require.True(t, utf8.ValidString(d.Detail))
				require.True(t, len(text) < 12 || !strings.Contains(d.Detail, text))
			}
			return
		}
		u, place, err := receiver.Parse(text)
		require.NoError(t, err)
		require.True(t, place.Secure)
		require.Nil(t, u.User)
		require.NotEmpty(t, place.Host)
		require.NotContains(t, place.Host, "..")
		if place.Addr.IsValid() {
			require.True(t, place.Addr.IsGlobalUnicast())
			require.False(t, place.Addr.Unmap().IsPrivate() || place.Addr.Unmap().IsLoopback())
		}
		require.Equal(t, strings.ToLower(place.Host), place.Host)
	})
}
