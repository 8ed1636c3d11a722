package config_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// problems completes a good configuration after a change, and returns the settings that it refuses
// then.
func problems(t *testing.T, change func(c *config.Config, e *config.Endpoint)) []string {
	t.Helper()
	c := config.Config{
		Database:  config.Database{URL: config.NewSecret("postgres://localhost/app")},
		Endpoints: []config.Endpoint{{ID: "a", URL: "https://a.example.com", Secrets: []config.Secret{config.NewSecret(hmacSecret)}}},
	}
	change(&c, &c.Endpoints[0])
	_, err := c.Complete()
	var diags config.Diagnostics
	if err != nil {
		require.ErrorAs(t, err, &diags)
	}
	fields := make([]string, 0, len(diags))
	for _, d := range diags {
		fields = append(fields, d.Field)
	}
	return fields
}

// The bounds themselves are taken, and what is next to them outside is not.
func TestDurationsWithinTheirBounds(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	for name, tc := range map[string]struct {
		field       string
		least, most time.Duration
		set         func(c *config.Config, e *config.Endpoint, d time.Duration)
	}{
		"timeout": {
			"endpoint.a.timeout", time.Millisecond, 10 * time.Minute,
			func(_ *config.Config, e *config.Endpoint, d time.Duration) { e.Timeout = d },
		},
		"park_after": {
			"endpoint.a.park_after", time.Millisecond, hour,
			func(_ *config.Config, e *config.Endpoint, d time.Duration) { e.ParkAfter = d },
		},
		"a retry's delay": {
			"endpoint.a.retry.schedule[1]", time.Millisecond, 30 * 24 * hour,
			func(_ *config.Config, e *config.Endpoint, d time.Duration) {
				e.Retry.Schedule = []time.Duration{time.Second, d}
			},
		},
		"reopen": {
			"endpoint.a.circuit.reopen", time.Millisecond, 24 * hour,
			func(_ *config.Config, e *config.Endpoint, d time.Duration) {
				e.Circuit = config.Circuit{Failures: 1, Reopen: d}
			},
		},
		"disable_after": {
			"endpoint.a.disable_after", time.Second, 365 * 24 * hour,
			func(_ *config.Config, e *config.Endpoint, d time.Duration) { e.DisableAfter = d },
		},
		"audit_interval": {
			"outbox.audit_interval", time.Second, 15 * 24 * hour, // half of what attempts are kept for by default
			func(c *config.Config, _ *config.Endpoint, d time.Duration) { c.Outbox.AuditInterval = d },
		},
		"audit_interval, attempts kept shorter": {
			"outbox.audit_interval", time.Second, 24 * hour,
			func(c *config.Config, _ *config.Endpoint, d time.Duration) {
				c.Outbox.AuditInterval, c.Retention.Attempts = d, 48*hour
			},
		},
		"outbox.retention": {
			"outbox.retention", time.Minute, 1 << 62,
			func(c *config.Config, _ *config.Endpoint, d time.Duration) { c.Outbox.Retention = d },
		},
		"retention.attempts": {
			"retention.attempts", 48 * hour, 1 << 62,
			func(c *config.Config, _ *config.Endpoint, d time.Duration) { c.Retention.Attempts = d },
		},
		"retention.dead": {
			"retention.dead", 48 * hour, 1 << 62,
			func(c *config.Config, _ *config.Endpoint, d time.Duration) { c.Retention.Dead = d },
		},
		"retention.stats": {
			"retention.stats", 48 * hour, 1 << 62,
			func(c *config.Config, _ *config.Endpoint, d time.Duration) { c.Retention.Stats = d },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try := func(d time.Duration) []string {
				return problems(t, func(c *config.Config, e *config.Endpoint) { tc.set(c, e, d) })
			}
			require.Empty(t, try(tc.least))
			require.Equal(t, []string{tc.field}, try(tc.least-1))
			require.Empty(t, try(tc.most))
			if tc.most < 1<<62 {
				require.Equal(t, []string{tc.field}, try(tc.most+1))
			}
		})
	}
}

func TestNumbersWithinTheirBounds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		field       string
		least, most int
		set         func(e *config.Endpoint, n int)
	}{
		"concurrency": {"endpoint.a.concurrency", 1, 10_000, func(e *config.Endpoint, n int) { e.Concurrency = n }},
		"redirects":   {"endpoint.a.redirects", 0, 2, func(e *config.Endpoint, n int) { e.Redirects = n }},
		"failures":    {"endpoint.a.circuit.failures", 0, 1_000_000, func(e *config.Endpoint, n int) { e.Circuit.Failures = n }},
		"rate":        {"endpoint.a.rate", 0, 1_000_000, func(e *config.Endpoint, n int) { e.Rate = float64(n) }},
		"retries": {
			"endpoint.a.retry.schedule", 1, 100,
			func(e *config.Endpoint, n int) {
				e.Retry.Schedule = nil
				for range n {
					e.Retry.Schedule = append(e.Retry.Schedule, time.Second)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			try := func(n int) []string {
				return problems(t, func(_ *config.Config, e *config.Endpoint) { tc.set(e, n) })
			}
			require.Empty(t, try(tc.least))
			require.Empty(t, try(tc.most))
			require.Equal(t, []string{tc.field}, try(tc.most+1))
			if tc.least == 0 {
				require.Equal(t, []string{tc.field}, try(-1))
			}
		})
	}
}

func TestSecretsOfTheRightSize(t *testing.T) {
	t.Parallel()
	key := func(prefix string, size int) string {
		return prefix + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", size)))
	}
	private := "whsk_" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32))))
	for secret, good := range map[string]bool{
		key("whsec_", 23): false, key("whsec_", 24): true, key("whsec_", 64): true, key("whsec_", 65): false,
		key("whsk_", 31): false, key("whsk_", 32): true, key("whsk_", 33): false, key("whsk_", 64): false, private: true,
		// The last character has bits that stand for nothing: other libraries read another key, or
		// none.
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=": false, key("whsec_", 25)[:38] + "Z=": false,
		key("", 32): false, key("WHSEC_", 32): false,
	} {
		fields := problems(t, func(_ *config.Config, e *config.Endpoint) {
			e.Secrets = []config.Secret{config.NewSecret(secret)}
		})
		require.Equal(t, good, len(fields) == 0, "%s: %v", secret, fields)
	}
}

// What Tailpost or HTTP itself sets cannot be set by an endpoint, in whatever case it is written.
func TestHeadersThatAreReserved(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"Webhook-Id": false, "webhook-anything": false, "Content-Length": false, "content-encoding": false, "Ce-Id": false,
		"Proxy-Authorization": false, "Traceparent": false, "tracestate": false, "proxy-connection": false, "Host": false, "Connection": false, "Keep-Alive": false, "TE": false,
		"Trailer": false, "Transfer-Encoding": false, "Upgrade": false, "Expect": false, "Stripe-Signature": false,
		"X-Hub-Signature": false, "X-Hub-Signature-256": false,
		"Authorization": true, "Content-Type": true, "X-Proxy-Authorization": true, "User-Agent": true, "Accept": true, "X-Webhook-Id": true, "Hostname": true,
	} {
		fields := problems(t, func(_ *config.Config, e *config.Endpoint) { e.Headers = map[string]string{name: "x"} })
		want := []string{}
		if !good {
			want = []string{"endpoint.a.headers." + name}
		}
		require.Equal(t, want, fields, name)
	}
}

// A value that would end its line or that receivers would cut is refused.
func TestHeaderValuesAreOneLine(t *testing.T) {
	t.Parallel()
	for value, good := range map[string]bool{
		"": true, "a\tb": true, "é": true, strings.Repeat("x", 4096): true, strings.Repeat("x", 4097): false,
		"a\r\nX: y": false, "a\nb": false, "a\rb": false, "a\x00": false, "a\x7f": false, " a": false, "a ": false, "a\n": false,
	} {
		fields := problems(t, func(_ *config.Config, e *config.Endpoint) { e.Headers = map[string]string{"X-A": value} })
		require.Equal(t, good, len(fields) == 0, "%q", value)
	}
}

// An API that others reach has keys, each long enough not to be guessed, and unlike any other.
func TestKeysOfAnAPI(t *testing.T) {
	t.Parallel()
	secret := func(n int) config.Secret { return config.NewSecret(strings.Repeat("k", n)) }
	for name, tc := range map[string]struct {
		api  config.API
		want []string
	}{
		"open to this machine alone": {config.API{Listen: "127.0.0.1:8080"}, []string{}},
		"open by IPv6":               {config.API{Listen: "[::1]:8080"}, []string{}},
		"open to all":                {config.API{Listen: "0.0.0.0:8080"}, []string{"api.listen"}},
		"open without a host":        {config.API{Listen: ":8080"}, []string{"api.listen"}},
		"open to a network":          {config.API{Listen: "10.0.0.1:8080"}, []string{"api.listen"}},
		"with a key":                 {config.API{Listen: ":8080", Keys: []config.APIKey{{Name: "a", Secret: secret(20)}}}, []string{}},
		"a short key":                {config.API{Listen: ":8080", Keys: []config.APIKey{{Name: "a", Secret: secret(19)}}}, []string{"api.key[0].secret"}},
		"no secret":                  {config.API{Listen: ":8080", Keys: []config.APIKey{{Name: "a"}}}, []string{"api.key[0].secret"}},
		"one secret for two": {
			config.API{Listen: ":8080", Keys: []config.APIKey{{Name: "a", Secret: secret(20)}, {Name: "b", Secret: secret(20)}}},
			[]string{"api.key[1].secret"},
		},
		"one name for two": {
			config.API{Listen: ":8080", Keys: []config.APIKey{{Name: "a", Secret: secret(20)}, {Name: "a", Secret: secret(21)}}},
			[]string{"api.key[1]"},
		},
		"no scopes":        {config.API{Listen: ":8080", Keys: []config.APIKey{{Name: "a", Secret: secret(20), Scopes: []string{}}}}, []string{"api.key[0].scopes"}},
		"an unknown scope": {config.API{Listen: ":8080", Keys: []config.APIKey{{Name: "a", Secret: secret(20), Scopes: []string{"all"}}}}, []string{"api.key[0].scopes[0]"}},
		"keys for nothing": {config.API{Keys: []config.APIKey{{Name: "a", Secret: secret(20)}}}, []string{"api.listen"}},
		"half of TLS":      {config.API{Listen: "127.0.0.1:1", TLS: config.TLS{Cert: "cert.pem"}}, []string{"api.tls"}},
		"a port too high":  {config.API{Listen: "127.0.0.1:65536"}, []string{"api.listen"}},
		"a name as a host": {config.API{Listen: "example.com:80"}, []string{"api.listen"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, problems(t, func(c *config.Config, _ *config.Endpoint) { c.API = tc.api }))
		})
	}
}

// Metrics have no keys of their own, so only this machine may read them.
func TestMetricsAreForThisMachine(t *testing.T) {
	t.Parallel()
	for listen, good := range map[string]bool{
		"127.0.0.1:9090": true, "127.9.9.9:9090": true, "[::1]:9090": true, "localhost:0": true, "[::ffff:127.0.0.1]:1": true,
		":9090": false, "0.0.0.0:9090": false, "[::]:9090": false, "10.0.0.1:9090": false, "127.0.0.1": false, "127.0.0.1:8080": false,
	} {
		fields := problems(t, func(c *config.Config, _ *config.Endpoint) {
			c.API.Listen, c.Metrics.Listen = "127.0.0.1:8080", listen
		})
		require.Equal(t, good, len(fields) == 0, "%s: %v", listen, fields)
	}
}

func TestNamesThatIdentify(t *testing.T) {
	t.Parallel()
	for id, good := range map[string]bool{
		"a": true, "A-z_09": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "": false, "a b": false, "a.b": false, "é": false, "a/b": false,
	} {
		fields := problems(t, func(_ *config.Config, e *config.Endpoint) { e.ID = id })
		require.Equal(t, good, len(fields) == 0, "%q: %v", id, fields)
	}
	for slot, good := range map[string]bool{
		"tailpost": true, "a_9": true, strings.Repeat("x", 54): true, strings.Repeat("x", 55): false, "A": false, "a-b": false, "a b": false,
	} {
		fields := problems(t, func(c *config.Config, _ *config.Endpoint) { c.Database.Slot = slot })
		require.Equal(t, good, len(fields) == 0, "%q: %v", slot, fields)
	}
}

// A URL that is taken is one that requests can go to: what the sender would refuse for ever is
// refused at once.
func TestURLsThatNothingCanBeSentTo(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://example.com": "", "https://example.com:8443/a?b=c": "", "https://exa_mple.internal/": "", "https://bücher.example/": "",
		"https://93.184.216.34/": "", "https://[2606:2800:220:1::1]/": "", "https://10.1.2.3/": "", "http://10.1.2.3/": "Plain http URL",
		"https://a..b/": "Invalid URL", "https://127.1/": "Invalid URL", "https://0x7f.1/": "Invalid URL", "https://2130706433/": "Invalid URL",
		"https://010.0.0.1/": "Invalid URL", "https://exa mple/": "Invalid URL", "https://example.com:0/": "Invalid URL", "https://example.com:99999/": "Invalid URL",
		"https:///path": "Invalid URL", "https:example.com": "Invalid URL", "example.com": "Invalid URL", "": "Missing URL", "ftp://example.com": "Unsupported URL scheme",
		"https://u:p@example.com/": "User information in the URL", "https://example.com/#": "Fragment in the URL",
		"https://127.0.0.1/": "Address not allowed", "https://[::1]/": "Address not allowed", "https://192.168.0.1/": "Address not allowed",
		"https://169.254.169.254/latest/meta-data": "Address not allowed", "https://[::ffff:127.0.0.1]/": "Address not allowed", "https://[64:ff9b::7f00:1]/": "Address not allowed",
	} {
		e := config.Endpoint{ID: "a", URL: url, Secrets: []config.Secret{config.NewSecret(hmacSecret)}}
		network := config.Network{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
		diags := config.ValidateEndpoint(&e, network, nil)
		c := config.Config{Database: config.Database{URL: config.NewSecret("postgres://localhost/app")}, Endpoints: []config.Endpoint{e}, Network: network}
		_, err := c.Complete()
		if want == "" {
			require.Empty(t, diags, url)
			require.NoError(t, err, url)
			continue
		}
		require.Len(t, diags, 1, url)
		require.Equal(t, want, diags[0].Summary, url)
		require.ErrorContains(t, err, "endpoint.a.url: "+want, url)
		require.NotContains(t, diags[0].Detail, "network", "a customer is told nothing of the operator's: %s", url)
	}
}

// A parameter that Tailpost cannot honour is told with its line, not at the first connection.
func TestParametersOfTheDatabaseURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://app@db/app?keepalives=1&connect_timeout=5": "",
		"postgres://app@db/app?sslmode=disable":                "",
		"host=db dbname=app":                                   "",
		"postgres://app@db/app?pgbouncer=true":                 "pgbouncer",
		"postgres://app@db/app?schema=public":                  "schema",
		"postgres://app@db/app?sslmode=sometimes":              "",
		"postgres://app:hunter2@db:x/app":                      "",
		"hunter2":                                              "",
	} {
		_, diags := config.Parse(map[string][]byte{"test.hcl": []byte("database {\n  url = env(\"URL\")\n}" + anEndpoint)}, config.Options{
			Getenv: func(name string) (string, bool) {
				if name == "URL" {
					return url, true
				}
				return getenv(name)
			},
		})
		if good := !strings.Contains(url, "hunter2") && !strings.Contains(url, "sometimes") && want == ""; good {
			require.Empty(t, diags, url)
			continue
		}
		require.Len(t, diags, 1, url)
		require.Equal(t, "Invalid database URL", diags[0].Summary)
		require.Equal(t, 2, diags[0].Line)
		require.Contains(t, diags[0].Detail, want)
		require.NotContains(t, diags.Error(), "hunter2")
	}
}
