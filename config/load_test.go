package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

const anEndpoint = `
endpoint "a" {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
`

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`env("DATABASE_URL")`:                                 "postgres://app:hunter2@db.example.com:5432/app",
		`env("NOT_SET", "postgres://localhost/default")`:      "postgres://localhost/default",
		`env("DATABASE_URL", "postgres://localhost/default")`: "postgres://app:hunter2@db.example.com:5432/app",
		`env("EMPTY", "postgres://localhost/default")`:        "", // set, though to nothing
		`file("secrets/legacy")`:                              "",
	} {
		cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte("database { url = " + text + " }" + anEndpoint)}, config.Options{
			Getenv: func(name string) (string, bool) {
				if name == "EMPTY" {
					return "", true
				}
				return getenv(name)
			},
			ReadFile: func(string) ([]byte, error) { return []byte("\n"), nil },
		})
		if want == "" {
			require.Nil(t, cfg, text)
			require.Contains(t, diags.Error(), "Missing database URL", text)
			continue
		}
		require.Empty(t, diags, text)
		require.Equal(t, want, cfg.Database.URL.Reveal(), text)
	}
}

func TestNetworksInEveryForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "10.1.2.3/8": "10.0.0.0/8", "fd00::1": "fd00::1/128", "fd00::1/8": "fd00::/8",
		"::ffff:10.1.2.3": "10.1.2.3/32", "::ffff:10.1.0.0/112": "10.1.0.0/16", "0.0.0.0/0": "0.0.0.0/0",
	} {
		cfg, diags := parse(t, `database { url = env("DATABASE_URL") }`+anEndpoint+`network { allow = ["`+text+`"] }`)
		require.Empty(t, diags, text)
		require.Equal(t, want, cfg.Network.Allow[0].String(), text)
	}
	for _, text := range []string{"", "10.1", "10.1.0.0/33", "fe80::1%eth0", "example.com", "10.0.0.1-10.0.0.9"} {
		_, diags := parse(t, `database { url = env("DATABASE_URL") }`+anEndpoint+`network { allow = ["`+text+`"] }`)
		require.Contains(t, diags.Error(), "Invalid network", text)
	}
}

// A table may lack a column that nobody asked for; one that the configuration names must be there.
func TestNamedColumnsAreNotOptional(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, `database { url = env("DATABASE_URL") }
		outbox { columns = { key = "aggregate_id", tenant = null, headers = "headers" } }`+anEndpoint)
	require.Empty(t, diags)
	require.Equal(t, outbox.Optional{CreatedAt: true}, cfg.Outbox.Mapping.Optional)
	require.Equal(t, "aggregate_id", cfg.Outbox.Mapping.Key)
	require.Empty(t, cfg.Outbox.Mapping.Tenant)

	cfg, diags = parse(t, `database { url = env("DATABASE_URL") }
		outbox { table = "events" }`+anEndpoint)
	require.Empty(t, diags)
	require.Equal(t, outbox.Optional{Key: true, Tenant: true, Headers: true, CreatedAt: true}, cfg.Outbox.Mapping.Optional)
}

// Values of headers and queries of URLs may be secrets, and so may all of a URL that came from the environment.
func TestPrintedConfigurationShowsNoSecret(t *testing.T) {
	t.Parallel()
	cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte(`
		database { url = env("DATABASE_URL") }
		endpoint "literal" {
			url     = "https://a.example.com/path?token=hunter2"
			secret  = env("ERP_SECRET")
			headers = { X-Token = env("TOKEN") }
		}
		endpoint "environment" {
			url    = env("URL")
			secret = env("ERP_SECRET")
		}`)}, config.Options{Getenv: func(name string) (string, bool) {
		if name == "URL" {
			return "https://b.example.com/hunter2/x?y=hunter2", true
		}
		return getenv(name)
	}})
	require.Empty(t, diags)
	requireNoSecret(t, cfg, diags)
	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	for _, shown := range []string{`"https://a.example.com/path?[redacted]"`, `"https://b.example.com/[redacted]"`, `"X-Token":"[redacted]"`} {
		require.Contains(t, string(text), shown)
	}
}

// The HCL library would spend seconds on these.
func TestNumbersTooLongToParse(t *testing.T) {
	t.Parallel()
	for _, number := range []string{strings.Repeat("1", 129), "0." + strings.Repeat("1", 127), "1e1001", "1e-1001", "1E+99999999"} {
		_, diags := parse(t, "outbox { retention = "+number+" }")
		require.Contains(t, diags.Error(), "Unsupported number", number)
		require.Len(t, diags, 1, "what follows it is not read")
	}
	_, diags := parse(t, "outbox { retention = "+strings.Repeat("1", 128)+" }")
	require.NotContains(t, diags.Error(), "Unsupported number")
}
