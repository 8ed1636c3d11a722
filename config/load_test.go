package config_test

import (
	"encoding/json"
	"io/fs"
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

// An editor ends a file's last line, on some systems with two characters.
func TestAFileIsReadWithoutItsLastLineBreak(t *testing.T) {
	t.Parallel()
	const text = `database { url = "postgres://localhost/app" }
		endpoint "a" {
			url     = "https://a.example.com"
			secret  = env("ERP_SECRET")
			headers = { X-Key = file("key") }
		}`
	for _, end := range []string{"", "\n", "\r\n"} {
		cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte(text)}, config.Options{
			Getenv: getenv, ReadFile: func(string) ([]byte, error) { return []byte("k3y" + end), nil },
		})
		require.Empty(t, diags)
		require.Equal(t, "k3y", cfg.Endpoints[0].Headers["X-Key"])
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

// Values of headers and queries of URLs may be secrets, and so may all of a URL that came from the
// environment.
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

// What came from the environment or a file is never taken for a name: diagnostics show names.
func TestSecretsAreNoNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`database { url = env(env("ERP_SECRET")) }`:                                                                "Secret as a name",
		`database { url = env(file("x")) }`:                                                                        "Secret as a name",
		`database { url = env("${env("ERP_SECRET")}_URL") }`:                                                       "Secret as a name",
		`database { url = env("NOT_SET", env(env("ERP_SECRET"))) }`:                                                "Secret as a name",
		`database { url = file(env("ERP_SECRET")) }`:                                                               "Unreadable file: .*no such file.* It is the file\\.",
		`database { url = file("${file("x")}/y") }`:                                                                "Unreadable file",
		`outbox { columns = { (env("ERP_SECRET")) = "id" } }`:                                                      "Secret as a name",
		`endpoint "a" { headers = { (env("ERP_SECRET")) = "a", (env("ERP_SECRET")) = "b" } }`:                      "Secret as a name",
		`endpoint "a" { headers = { "X-${env("ERP_SECRET")}" = "a" } }`:                                            "Secret as a name",
		`endpoint "a" { headers = ({ (split(",", env("SECRETS"))[0]) = "a" }) }`:                                   "Secret as a name",
		`endpoint "a" { secret = split(",", env("SECRETS"))[env("ERP_SECRET")] }`:                                  "Invalid index",
		`endpoint "a" { secret = { a = 1 }[env("ERP_SECRET")] }`:                                                   "Invalid index",
		`endpoint "a" { secret = env("ERP_SECRET").whsec }`:                                                        "Unsupported attribute",
		`endpoint "a" { timeout = env("ERP_SECRET") }`:                                                             "Invalid duration",
		`endpoint "a" { signature = env("ERP_SECRET") }`:                                                           "Unknown signature",
		`endpoint "a" { rate = env("ERP_SECRET") }`:                                                                "Invalid rate",
		`endpoint "a" { concurrency = env("ERP_SECRET") }`:                                                         "Wrong kind of value",
		`endpoint "a" { secret = env("ERP_SECRET") + 1 }`:                                                          "Invalid operand",
		`endpoint "a" { secret = env("ERP_SECRET") ? "a" : "b" }`:                                                  "Incorrect condition type",
		`network { allow = [env("ERP_SECRET")] }`:                                                                  "Invalid network",
		`log { level = env("ERP_SECRET") }`:                                                                        "Unknown log level",
		`outbox { start = env("ERP_SECRET") }`:                                                                     "Invalid start",
		"endpoint \"a\" {\n subscription {\n events = [env(\"ERP_SECRET\"), \"${env(\"ERP_SECRET\")}..a\"]\n }\n}": "Invalid event pattern",
	} {
		cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte(text)}, config.Options{
			Getenv: getenv,
			ReadFile: func(path string) ([]byte, error) {
				if path == "x" {
					return []byte(hmacSecret), nil
				}
				return nil, fs.ErrNotExist
			},
		})
		require.Nil(t, cfg, text)
		require.Regexp(t, want, strings.ReplaceAll(diags.Error(), "file does not exist", "no such file"), text)
		requireNoSecret(t, cfg, diags)
	}
}

// Editors, echo and secret stores add a line break or a blank: it is no part of the secret.
func TestWhiteSpaceAroundSecretsIsNoPartOfThem(t *testing.T) {
	t.Parallel()
	const around = " \t\r\n"
	cfg, diags := config.Parse(map[string][]byte{"test.hcl": []byte(`
		database { url = env("URL") }
		secrets { keys = [env("SEAL")] }
		api {
			key "a" { secret = env("KEY") }
		}
		endpoint "stripe" {
			url       = "https://a.example.com"
			signature = "stripe"
			secret    = [env("TEXT"), file("old")]
		}
		endpoint "github" {
			url       = "https://a.example.com"
			signature = "github"
			secret    = env("TEXT")
		}
		endpoint "standard" {
			url    = "https://a.example.com"
			secret = split(",", env("LIST"))
		}`)}, config.Options{
		Getenv: func(name string) (string, bool) {
			value, ok := map[string]string{
				"URL": "postgres://localhost/app", "SEAL": sealKey, "KEY": strings.Repeat("k", 20), "TEXT": "a text", "LIST": hmacSecret + around + "," + ed25519Secret,
			}[name]
			return around + value + around, ok
		},
		ReadFile: func(string) ([]byte, error) { return []byte(around + "another text" + around), nil },
	})
	require.Empty(t, diags)
	require.Equal(t, "postgres://localhost/app", cfg.Database.URL.Reveal())
	require.Equal(t, strings.Repeat("k", 20), cfg.API.Keys[0].Secret.Reveal())
	require.Equal(t, sealKey, cfg.Secrets.Keys[0].Reveal())
	require.Equal(t, "a text", cfg.Endpoints[0].Secrets[0].Reveal())
	require.Equal(t, "another text", cfg.Endpoints[0].Secrets[1].Reveal())
	require.Equal(t, "a text", cfg.Endpoints[1].Secrets[0].Reveal())
	require.Equal(t, hmacSecret, cfg.Endpoints[2].Secrets[0].Reveal())
	require.Equal(t, ed25519Secret, cfg.Endpoints[2].Secrets[1].Reveal())

	// Where Go code makes the configuration, or a customer the endpoint, it is refused instead of
	// changed.
	for _, signature := range []config.Signature{config.SignatureStripe, config.SignatureGitHub, config.SignatureStandard} {
		require.Equal(t, []string{"endpoint.a.secret[0]"}, problems(t, func(_ *config.Config, e *config.Endpoint) {
			e.Signature, e.Secrets = signature, []config.Secret{config.NewSecret(hmacSecret + "\n")}
		}))
	}
	require.Equal(t, []string{"api.key[0].secret"}, problems(t, func(c *config.Config, _ *config.Endpoint) {
		c.API = config.API{Listen: ":1", Keys: []config.APIKey{{Name: "a", Secret: config.NewSecret(strings.Repeat("k", 20) + " ")}}}
	}))
}

// A header's value is sent as it is, so white space around it, which no receiver would see, is
// refused with its line.
func TestWhiteSpaceInHeadersIsRefused(t *testing.T) {
	t.Parallel()
	_, diags := config.Parse(map[string][]byte{"test.hcl": []byte(`database { url = "postgres://localhost/app" }
		endpoint "a" {
			url     = "https://a.example.com"
			secret  = env("ERP_SECRET")
			headers = {
				Authorization = "Bearer ${env("TOKEN")}"
			}
		}`)}, config.Options{Getenv: func(name string) (string, bool) {
		if name == "TOKEN" {
			return "hunter2\n", true
		}
		return getenv(name)
	}})
	require.Len(t, diags, 1)
	require.Equal(t, 6, diags[0].Line)
	require.Equal(t, "Invalid header value", diags[0].Summary)
}

// What endpoints of the configuration may reach is not what a customer's may.
func TestNetworkOfTheAPI(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, `database { url = env("DATABASE_URL") }
		network {
			allow      = ["10.0.0.0/8"]
			allow_http = true
			proxy      = env("EGRESS_PROXY")
		}
		api {
			network { allow = ["192.168.1.1"] }
		}`+anEndpoint)
	require.Empty(t, diags)
	require.Equal(t, "192.168.1.1/32", cfg.API.Network.Allow[0].String())
	n := cfg.TenantNetwork()
	require.Len(t, n.Allow, 1)
	require.False(t, n.AllowHTTP)
	require.True(t, n.Proxy.Equal(cfg.Network.Proxy), "all requests leave by the same way")
	require.Contains(t, mustJSON(t, cfg), `"network":{"allow":["192.168.1.1/32"],"allow_http":false}`)

	_, diags = parse(t, `api {
			network {
				allow = ["10.1"]
				proxy = "http://p"
			}
		}`)
	require.Contains(t, diags.Error(), "test.hcl:3:14: Invalid network")
	require.Contains(t, diags.Error(), `There is no "proxy" in the network block of the API`)
}

// A diagnostic shows where a URL leads, but neither its path nor its query, which may hold tokens.
func TestSnippetsShowNoFullURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://example.com/hunter2/x?y=hunter2", "https://10.0.0.1/hunter2", "https://example.com:0/hunter2#hunter2"} {
		cfg, diags := parse(t, "endpoint \"a\" {\n  url    = \""+url+"\"\n  secret = env(\"ERP_SECRET\")\n}\n")
		require.True(t, diags.HasErrors())
		requireNoSecret(t, cfg, diags)
		require.Contains(t, diags[len(diags)-1].Snippet, "://", url)
		require.Contains(t, diags[len(diags)-1].Snippet, "[redacted]", url)
	}
}

// A secret that stands in the file is not in the line that a diagnostic shows of it.
func TestSnippetsShowNoLiteralSecret(t *testing.T) {
	t.Parallel()
	const endpoint = "endpoint \"a\" {\n url = \"https://a.example.com\"\n secret = env(\"ERP_SECRET\")\n "
	for name, around := range map[string][2]string{
		"bearer":        {endpoint + "auth {\n", "}\n}\n"},
		"client_secret": {endpoint + "auth {\n oauth2 {\n", "}\n}\n}\n"},
		"credentials":   {"fanout \"nats\" {\n", "}\n"},
		"token":         {"fanout \"nats\" {\n", "}\n"},
	} {
		_, diags := parse(t, around[0]+name+" = \"hunter2\" + 1\n"+around[1])
		require.True(t, diags.HasErrors(), name)
		require.Contains(t, mustJSON(t, diags), name+" = ", "the line is shown")
		requireNoSecret(t, nil, diags)
	}
}

// A list that is made of another may have null in it: that is an empty secret, and refused.
func TestASecretOfAListThatIsNullIsRefused(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, `database { url = env("DATABASE_URL") }
		endpoint "a" {
			url    = "https://a.example.com"
			secret = [for s in [env("ERP_SECRET"), null] : s]
		}`)
	require.Nil(t, cfg)
	require.Contains(t, diags.Error(), "Empty secret")
}
