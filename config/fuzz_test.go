package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
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

// FuzzFilter runs any expression over any payload: it never panics, says the same twice, and what a body makes of a JSON
// payload is JSON.
func FuzzFilter(f *testing.F) {
	payload := order().Payload
	for _, src := range []string{
		`event.data.total > 100 && event.tenant != "test"`,
		`!(event.data.items[1].parts[1][0] == 3) || contains(event.data.tags, "vip")`,
		`coalesce(event.data.nope, -1.5e3) % 7 <= length(event.data.items) ? event.data.paid : can(event.headers.x)`,
		`matches("${event.data.name}-${event.type}", "^[a-z]+$") && event.created_at > "2026-01-01T00:00:00Z"`,
		`tonumber(event.data["price"]) * 12345678901234567 / 3 != event.data.huge`,
		`{ a = event.data, b = [event.headers, upper(event.key), null], c = event.data.x ? {} : [1] }`,
		`event.data[*].x == [for a in b : a]`,
	} {
		f.Add(src, []byte(payload))
	}
	f.Add(`event.data.a == 1`, []byte(`{"a":`))
	f.Fuzz(func(t *testing.T, src string, payload []byte) {
		e := &outbox.Event{
			ID: "1", Type: "order.created", Tenant: "acme", Payload: payload, Headers: map[string]string{"x": "y"},
		}
		if filter, diags := config.CompileFilter(src, "fuzz.hcl", 1); !diags.HasErrors() {
			ok, missing := filter.Match(e)
			okAgain, missingAgain := filter.Match(e)
			require.Equal(t, ok, okAgain)
			require.Equal(t, missing, missingAgain)
		}
		if body, diags := config.CompileBody(src, "fuzz.hcl", 1); !diags.HasErrors() {
			got, err := body.Append(nil, e)
			if err == nil {
				require.True(t, json.Valid(got), "%s", got)
			}
			require.True(t, err == nil || !json.Valid(payload))
		}
	})
}
