package config_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

const (
	hmacSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	ed25519Secret = "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	password      = "hunter2"
	sealKey       = "c2VhbGVkIHdpdGggdGhpcnR5LXR3byBieXRlcyEhISE="
)

// getenv is the environment of all test configurations.
func getenv(name string) (string, bool) {
	value, ok := map[string]string{
		"DATABASE_URL":   "postgres://app:hunter2@db.example.com:5432/app",
		"DIRECT_URL":     "host=direct password=hunter2",
		"ERP_SECRET":     hmacSecret,
		"SHORT_SECRET":   "whsec_hunter2=",
		"ED25519_SECRET": ed25519Secret,
		"SECRETS":        hmacSecret + ", " + ed25519Secret,
		"TOKEN":          "hunter2",
		"SEAL_KEY":       sealKey,
		"SEAL_KEY_OLD":   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"EGRESS_PROXY":   "http://user:hunter2@proxy.example.com:3128",
		"NATS_URL":       "nats://app:hunter2@n1.example.com,tls://n2.example.com:4223",
		"NATS_HOST":      "nats://n1.example.com",
	}[name]
	return value, ok
}

func options() config.Options {
	return config.Options{Getenv: getenv, ReadFile: func(path string) ([]byte, error) {
		switch path {
		case filepath.Join("testdata", "valid", "secrets", "legacy"):
			return []byte("legacy-hunter2\r\n"), nil
		case filepath.Join("testdata", "valid", "secrets", "nats.creds"):
			return []byte(natsCredentials), nil
		}
		return os.ReadFile(path)
	}}
}

func parse(tb testing.TB, text string) (*config.Config, config.Diagnostics) {
	tb.Helper()
	return config.Parse(map[string][]byte{"test.hcl": []byte(text)}, options())
}

func TestOnlyTheDatabaseIsReadWhereNoMoreIsNeeded(t *testing.T) {
	t.Parallel()
	o := options()
	o.DatabaseOnly = true
	text := map[string][]byte{"test.hcl": []byte(`
		database { url = env("DATABASE_URL") }
		outbox { table = "events" }
		retention { attempts = "960h" }
		endpoint "erp" {
			url    = "https://erp.example.com"
			secret = env("NOBODY_KNOWS")
		}
		secrets { keys = [env("NOBODY_KNOWS")] }`)}
	cfg, diags := config.Parse(text, o)
	require.Empty(t, diags)
	require.Equal(t, "public.events", cfg.Outbox.Mapping.Table)
	require.Equal(t, 960*time.Hour, cfg.Retention.Attempts)
	require.Empty(t, cfg.Endpoints)

	text["test.hcl"] = []byte(`
		database { url = env("NOBODY_KNOWS") }
		endpiont "erp" {}`)
	_, diags = config.Parse(text, o)
	require.Len(t, diags, 2, "what is read is checked as ever, and so are the names of blocks")
}

// expectation is a `# ERROR "regex"` comment.
type expectation struct {
	line     int
	severity config.Severity
	pattern  string
}

func expectations(t *testing.T, text string) []expectation {
	t.Helper()
	comment := regexp.MustCompile(`# (ERROR|WARNING)((?: "(?:[^"\\]|\\.)*")+)`)
	quoted := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	var found []expectation
	for i, line := range strings.Split(text, "\n") {
		for _, m := range comment.FindAllStringSubmatch(line, -1) {
			for _, q := range quoted.FindAllString(m[2], -1) {
				found = append(found, expectation{
					line: i + 1, severity: config.Severity(strings.ToLower(m[1])),
					pattern: strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`),
				})
			}
		}
	}
	return found
}

func TestFilesGiveTheDiagnosticsTheyState(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*/*.hcl")
	require.NoError(t, err)
	require.Greater(t, len(paths), 8)
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			cfg, diags := config.Load(path, options())
			left := diags
			for _, want := range expectations(t, string(text)) {
				at := -1
				for i, d := range left {
					words := d.Summary + ": " + d.Detail
					if d.Line == want.line && d.Severity == want.severity && regexp.MustCompile(want.pattern).MatchString(words) {
						at = i
						break
					}
				}
				require.GreaterOrEqual(t, at, 0, "%s:%d wants %s %q; left are:\n%v", path, want.line, want.severity, want.pattern, left)
				left = append(append(config.Diagnostics{}, left[:at]...), left[at+1:]...)
			}
			require.Empty(t, left, "not stated in %s", path)
			require.Equal(t, strings.Contains(path, "invalid"), cfg == nil)
			for _, d := range diags {
				require.Equal(t, path, d.File)
				require.Positive(t, d.Line)
				require.NotEmpty(t, d.Detail)
				require.NotContains(t, d.Summary, ".")
			}
			requireNoSecret(t, cfg, diags)
		})
	}
}

// requireNoSecret looks for every secret of the tests in all that is printed of a configuration.
func requireNoSecret(tb testing.TB, cfg *config.Config, diags config.Diagnostics) {
	tb.Helper()
	var printed bytes.Buffer
	require.NoError(tb, diags.Write(&printed, true))
	fmt.Fprintln(&printed, diags.Error(), diags)
	for _, v := range []any{cfg, diags} {
		text, err := json.Marshal(v)
		require.NoError(tb, err)
		printed.Write(text)
	}
	if cfg != nil {
		text, err := json.Marshal(*cfg)
		require.NoError(tb, err)
		printed.Write(text)
		fmt.Fprintf(&printed, "%v %+v %#v", cfg.Fanout, &cfg.Fanout, cfg.Fanout)
		fmt.Fprintf(&printed, "%v %+v %s %q %x", cfg.Database, cfg.Database, cfg.Database.URL, cfg.Database.URL, cfg.Database.URL)
		for i := range cfg.Endpoints {
			fmt.Fprintf(&printed, "%v %+v %#v", cfg.Endpoints[i].Secrets, cfg.Endpoints[i].Secrets, cfg.Endpoints[i].Secrets)
		}
	}
	for _, secret := range []string{hmacSecret[6:], ed25519Secret[5:], password, fmt.Sprintf("%x", "postgres://")} {
		require.NotContains(tb, printed.String(), secret)
	}
}

func TestLoadFull(t *testing.T) {
	t.Parallel()
	cfg, diags := config.Load("testdata/valid/full.hcl", options())
	require.False(t, diags.HasErrors(), diags.Error())
	require.Equal(t, "shop_events", cfg.Database.Slot)
	require.Equal(t, "host=direct password=hunter2", cfg.Database.ReplicationURL.Reveal())
	require.Equal(t, outbox.Mapping{
		Table: "public.outbox", ID: "id", Type: "type", Key: "aggregate_id", Tenant: "account_id", Payload: "payload",
		Extra: map[string]string{"region": "region_col", "shop-id": "shop"},
	}, cfg.Outbox.Mapping)
	require.Equal(t, "10.1.0.0/16", cfg.Network.Allow[0].String())
	require.Equal(t, "192.0.2.7/32", cfg.Network.Allow[1].String())
	require.True(t, cfg.Network.ProxyResolves)
	require.Equal(t, []string{"internal.example", "10.1.0.0/16"}, cfg.Network.NoProxy)
	require.Equal(t, cfg.Network.NoProxy, cfg.TenantNetwork().NoProxy)
	require.True(t, cfg.TenantNetwork().ProxyResolves)
	require.Empty(t, cfg.TenantNetwork().Allow, "that is the api block's")
	require.Len(t, cfg.Endpoints, 3)

	erp := cfg.Endpoints[0]
	require.Equal(t, config.Origin{File: "testdata/valid/full.hcl", Line: 25}, erp.Origin)
	require.Equal(t, []string{"order", "invoice-no"}, cfg.Outbox.Search.Names())
	require.Equal(t, []string{"order=7", "invoice-no=R1"}, cfg.Outbox.Search.Terms(&outbox.Event{
		Payload: []byte(`{"order_id":7}`), Headers: map[string]string{"x-invoice": "R1"},
	}))
	require.Contains(t, cfg.Outbox.Search.Source(), "{ order = event.data.order_id,")
	require.Equal(t, "erp", erp.Name)
	require.Equal(t, 10*time.Second, erp.Timeout)
	require.Equal(t, 8, erp.Concurrency)
	require.Equal(t, map[string]string{"X-Source": "erp", "Authorization": "Bearer hunter2"}, erp.Headers)
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, erp.Retry.Schedule)
	require.Len(t, erp.Secrets, 2)
	require.Equal(t, hmacSecret, erp.Secrets[0].Reveal())
	require.Equal(t, `event.data.total > 100 && event.tenant != "test"`, erp.Subscriptions[0].Where.Source())
	require.True(t, strings.HasPrefix(erp.Subscriptions[1].Where.Source(), "(\n"))
	ok, _ := erp.Subscriptions[0].Where.Match(&outbox.Event{Payload: []byte(`{"total": 101}`)})
	require.True(t, ok)

	legacy := cfg.Endpoints[1]
	require.Equal(t, 20*time.Second, legacy.Timeout)
	require.Equal(t, map[string]string{"X-Source": "shop"}, legacy.Headers)
	require.Empty(t, legacy.Retry.Schedule)
	require.Equal(t, "legacy-hunter2", legacy.Secrets[0].Reveal())
	require.Len(t, legacy.Subscriptions, 1)
	require.Equal(t, ed25519Secret, cfg.Endpoints[2].Secrets[1].Reveal())

	require.Equal(t, config.Retention{Attempts: 720 * time.Hour, Dead: -1, Stats: 2160 * time.Hour}, cfg.Retention)
	require.Equal(t, time.Hour, cfg.Outbox.AuditInterval)

	require.Len(t, cfg.Secrets.Keys, 2)
	key, ok := config.SealKey(cfg.Secrets.Keys[0])
	require.True(t, ok)
	require.Equal(t, "sealed with thirty-two bytes!!!!", string(key))
}

func TestNeverIsAnEndpointsWordAgainstTheDefaults(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, `
database {
  url = env("DATABASE_URL")
}
defaults {
  disable_after = "1h"
  verify        = "echo"
  batch {
    events = 7
  }
}
endpoint "never" {
  url           = "https://a.example.com/${event.id}"
  secret        = env("ERP_SECRET")
  format        = "raw"
  disable_after = "never"
  verify        = "none"
  batch {
    events = 0
  }
}
endpoint "default" {
  url    = "https://b.example.com"
  secret = env("ERP_SECRET")
}
`)
	require.Empty(t, diags)
	require.Zero(t, cfg.Endpoints[0].DisableAfter)
	require.Equal(t, time.Hour, cfg.Endpoints[1].DisableAfter)
	require.Equal(t, []config.Verify{"", config.VerifyEcho}, []config.Verify{cfg.Endpoints[0].Verify, cfg.Endpoints[1].Verify})
	require.Equal(t, []bool{false, true}, []bool{cfg.Endpoints[0].Batch.On(), cfg.Endpoints[1].Batch.On()})
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	cfg, diags := config.Load("testdata/valid/minimal.hcl", options())
	require.Empty(t, diags)
	require.Equal(t, "tailpost", cfg.Database.Slot)
	mapping := outbox.DefaultMapping()
	mapping.Optional = outbox.Optional{Key: true, Tenant: true, Headers: true, CreatedAt: true}
	require.Equal(t, mapping, cfg.Outbox.Mapping, "nobody asked for a column by name")
	require.Equal(t, config.Log{Level: "info", Format: "json"}, cfg.Log)
	e := cfg.Endpoints[0]
	require.Equal(t, 15*time.Second, e.Timeout)
	require.Equal(t, 32, e.Concurrency)
	require.Equal(t, time.Second, e.ParkAfter)
	require.Equal(t, config.SignatureStandard, e.Signature)
	require.Equal(t, config.FormatStandard, e.Format)
	require.Equal(t, config.OrderingNone, e.Ordering)
	require.Equal(t, config.DefaultSchedule(), e.Retry.Schedule)
	require.Equal(t, []config.Subscription{{}}, e.Subscriptions)

	cfg, _ = config.Load("testdata/valid/messages.hcl", options())
	require.Empty(t, cfg.Outbox.Mapping.Table)
}

func TestAnEndpointsOwnStatuses(t *testing.T) {
	t.Parallel()
	cfg, diags := config.Load("testdata/valid/policy.hcl", options())
	require.Empty(t, diags)
	e := cfg.Endpoints[0]
	require.Equal(t, "PUT", e.Method)
	require.Equal(t, config.Statuses{"2xx", "409"}, e.Retry.Success)
	require.Equal(t, config.Statuses{"400", "422"}, e.Retry.Permanent)
	for status, want := range map[int]config.Meaning{
		200: config.MeansSuccess, 409: config.MeansSuccess, 400: config.MeansRefusal, 422: config.MeansRefusal, 500: config.MeansFailure, 0: config.MeansFailure,
	} {
		require.Equal(t, want, e.Retry.Means(status), status)
	}
}

func TestMetricsAreOffUnlessThereIsABlock(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                                       "",
		"metrics {}":                             "127.0.0.1:9090",
		`metrics { listen = "[::1]:0" }`:         "[::1]:0",
		`metrics { listen = "localhost:19090" }`: "localhost:19090",
	} {
		cfg, diags := config.Parse(map[string][]byte{"tailpost.hcl": []byte("database { url = env(\"DATABASE_URL\") }\napi {}\n" + name)}, options())
		require.Empty(t, diags, name)
		require.Equal(t, want, cfg.Metrics.Listen)
		require.Equal(t, want != "", cfg.Metrics.Enabled())
	}
}

func TestCompleteFollowsTheRulesOfFiles(t *testing.T) {
	t.Parallel()
	given := config.Config{
		Database:  config.Database{URL: config.NewSecret("postgres://localhost/app")},
		Endpoints: []config.Endpoint{{ID: "a", URL: "https://a.example.com", Secrets: []config.Secret{config.NewSecret(hmacSecret)}}},
	}
	done, err := given.Complete()
	require.NoError(t, err)
	require.Equal(t, 15*time.Second, done.Endpoints[0].Timeout)
	require.Zero(t, given.Endpoints[0].Timeout, "the receiver is left alone")

	given.Endpoints = append(given.Endpoints, config.Endpoint{ID: "b", URL: "ftp://b", Redirects: 5})
	_, err = given.Complete()
	var diags config.Diagnostics
	require.ErrorAs(t, err, &diags)
	require.Len(t, diags, 3)
	require.ErrorContains(t, err, "endpoint.b.url: Unsupported URL scheme: Use https.")
	require.ErrorContains(t, err, "endpoint.b.secret: Missing secret: ")
	require.ErrorContains(t, err, "endpoint.b.redirects: Number out of range: ")
}

func TestDirectoryMergesInNameOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	endpoint := `endpoint %q {
  url    = "https://a.example.com"
  secret = env("ERP_SECRET")
}
`
	write("20-b.hcl", fmt.Sprintf(endpoint, "b"))
	write("10-a.hcl", fmt.Sprintf(endpoint, "a")+"database { url = env(\"DATABASE_URL\") }\n")
	write("99.hcl", `defaults { timeout = "3s" }`)
	write(".hidden.hcl", "nonsense")
	write("notes.txt", "nonsense")
	cfg, diags := config.Load(dir, options())
	require.Empty(t, diags)
	require.Equal(t, "a", cfg.Endpoints[0].ID)
	require.Equal(t, "b", cfg.Endpoints[1].ID)
	require.Equal(t, 3*time.Second, cfg.Endpoints[1].Timeout)

	write("30.hcl", fmt.Sprintf(endpoint, "a")+"defaults {}\n")
	_, diags = config.Load(dir, options())
	require.Len(t, diags, 2)
	require.Contains(t, diags.Error(), `Endpoint "a" is declared at `+filepath.Join(dir, "10-a.hcl")+":1 already")
	require.Contains(t, diags.Error(), `Another defaults block stands at `+filepath.Join(dir, "30.hcl")+":5")
}

func TestLoadWithoutFiles(t *testing.T) {
	t.Parallel()
	_, diags := config.Load(filepath.Join(t.TempDir(), "none.hcl"), config.Options{})
	require.Contains(t, diags.Error(), "Unreadable configuration: Check that the path is right and the file readable: no such file")
	_, diags = config.Load(t.TempDir(), config.Options{})
	require.Contains(t, diags.Error(), "no *.hcl file")
}

func TestSyntaxErrorShowsNoSecret(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"endpoint \"a\" {\n  secret = \"hunter2\n}",
		"endpoint \"a\" {\n  secret = [\n\"hunter2\", \"hunter2\n]\n}",
		"endpoint \"a\" {\n  secret = \"hunter2\" }} }",
		"database { url = \"postgres://app:hunter2@db/x }",
		"database {\n url = \"host=db password='hunter2'\n }",
		"x = \"whsec_hunter2",
		"endpoint \"a\" {\n headers = { A = \"hunter2\", \"B\" = \"hunter2 \n}",
		"endpoint \"a\" {\n secret = env(\"X\", \"hunter2\") + }",
		"secrets {\n keys = [\"hunter2\", \"hunter2\"]\n}",
		"secrets { keys = [\"hunter2\" }",
		"network {\n proxy = <<X\nhunter2\nX\n oops }",
	} {
		cfg, diags := parse(t, text)
		require.True(t, diags.HasErrors(), text)
		requireNoSecret(t, cfg, diags)
	}
}

func TestWriteMarksThePlace(t *testing.T) {
	t.Parallel()
	_, diags := parse(t, "database { url = env(\"DATABASE_URL\") }\nendpoint \"é\" {\n\turl = \"https://a.example.com\"\n\tsecret = env(\"ERP_SECRET\")\n\ttimeot = \"5s\"\n}\n")
	var b bytes.Buffer
	require.NoError(t, diags.Write(&b, false))
	require.Equal(t, `Error: Invalid endpoint name
  at test.hcl:2:1
    2 | endpoint "é" {
      | ^^^^^^^^^^^^
  Write 1 to 64 letters, digits, underscores and hyphens.

Error: Unknown attribute
  at test.hcl:5:2
    5 | 	timeot = "5s"
      | 	^^^^^^
  There is no "timeot" in an endpoint. Did you mean "timeout"?
`, b.String())
}

func TestSecretOfUnusualUnicodeIsRefused(t *testing.T) {
	t.Parallel()
	_, diags := config.Parse(map[string][]byte{"test.hcl": []byte(`database { url = env("X") }`)}, config.Options{
		Getenv: func(string) (string, bool) { return "postgres://e\u0301", true },
	})
	require.Contains(t, diags.Error(), "Unusual characters: Write the environment variable X in composed Unicode")
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s := config.NewSecret(password)
	require.Equal(t, password, s.Reveal())
	require.True(t, s.Equal(config.NewSecret(password)))
	require.False(t, s.Equal(config.Secret{}))
	require.False(t, s.IsZero())
	require.True(t, config.NewSecret("").IsZero())
	type holder struct{ inner config.Secret } // fmt calls no methods of unexported fields
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		require.NotContains(t, fmt.Sprintf(verb, s), password)
		require.NotContains(t, fmt.Sprintf(verb, &s), password)
		require.NotContains(t, fmt.Sprintf(verb, holder{s}), password)
		require.NotContains(t, fmt.Sprintf(verb, []config.Secret{s}), strconv.Quote(password))
	}
	require.Equal(t, "[redacted]", fmt.Sprint(s))
	text, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": config.Secret{}})
	require.NoError(t, err)
	require.JSONEq(t, `{"a":"[redacted]","b":"[redacted]","c":""}`, string(text))
}

// TestAuthoritiesOfTheNetwork: they are trusted beside the others, and those are left as they were.
func TestAuthoritiesOfTheNetwork(t *testing.T) {
	t.Parallel()
	first, second := httptest.NewTLSServer(nil), certificateOfAnother(t)
	t.Cleanup(first.Close)
	others := x509.NewCertPool()
	others.AddCert(first.Certificate())
	before := others.Clone()
	n := config.Network{CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: second.Raw}))}
	all, err := n.Roots(others)
	require.NoError(t, err)
	for _, cert := range []*x509.Certificate{first.Certificate(), second} {
		_, err := cert.Verify(x509.VerifyOptions{Roots: all})
		require.NoError(t, err)
	}
	require.True(t, before.Equal(others))
	system, err := n.Roots(nil)
	require.NoError(t, err)
	_, err = second.Verify(x509.VerifyOptions{Roots: system})
	require.NoError(t, err)
	none, err := new(config.Network).Roots(nil)
	require.NoError(t, err)
	require.Nil(t, none)
}

func certificateOfAnother(t *testing.T) *x509.Certificate {
	t.Helper()
	text, _ := kit.Certificate(t)
	block, _ := pem.Decode([]byte(text))
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}
