package config_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// What an endpoint says of itself has every setting, in the words of the file, and no secret.
func TestAnEndpointAsJSON(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, `
		database { url = env("DATABASE_URL") }
		version "2026-01-01" {}
		endpoint "all" {
			description   = "of Vienna"
			url           = "https://a.example.com/x"
			secret        = env("ERP_SECRET")
			tenant        = "acme"
			method        = "PUT"
			http          = "1.1"
			gzip          = true
			answer        = "complete"
			verify        = "echo"
			version       = "2026-01-01"
			timeout       = "20s"
			concurrency   = 7
			rate          = "50/s"
			ordering      = "key"
			on_dead       = "skip"
			redirects     = 1
			park_after    = "50s"
			disable_after = "72h"
			headers       = { X-Token = env("TOKEN") }
			query         = { token = env("TOKEN") }
			retry {
				schedule  = ["1s", "2m"]
			}
			success   = ["2xx", "409"]
			permanent = ["422"]
			circuit {
				failures = 3
				reopen   = "30s"
			}
			batch {
				events  = 20
				wait    = "200ms"
				bytes   = "500KB"
				partial = true
			}
			subscription {
				events = ["order.*"]
				where  = event.data.total > 1
				body   = { a = event.id }
			}
		}
		endpoint "few" {
			url    = "https://a.example.com/x"
			secret = env("ERP_SECRET")
			disable_after = "never"
		}`)
	require.Empty(t, diags)
	for i, want := range []string{
		`{
		"id": "all", "name": "all", "description": "of Vienna", "url": "https://a.example.com/[redacted]", "secrets": ["[redacted]"], "tenant": "acme", "signature": "standard",
		"format": "standard", "method": "PUT", "http": "1.1", "gzip": true, "answer": "complete", "verify": "echo", "version": "2026-01-01", "timeout": "20s",
		"concurrency": 7, "rate": 50, "ordering": "key", "on_dead": "skip", "redirects": 1, "park_after": "50s", "disable_after": "72h0m0s",
		"headers": {"X-Token": "[redacted]"}, "query": {"token": "[redacted]"}, "schedule": ["1s", "2m0s"], "success": ["2xx", "409"], "permanent": ["422"],
		"circuit": {"failures": 3, "reopen": "30s"}, "batch": {"events": 20, "wait": "200ms", "bytes": "500KB", "partial": true},
		"subscriptions": [{"events": ["order.*"], "where": "event.data.total > 1", "body": "{ a = event.id }"}], "file": "test.hcl", "line": 4}`,
		`{
		"id": "few", "name": "few", "url": "https://a.example.com/x", "secrets": ["[redacted]"], "signature": "standard", "format": "standard", "method": "POST",
		"answer": "status", "version": "2026-01-01", "timeout": "15s", "concurrency": 32, "ordering": "none", "on_dead": "skip", "redirects": 0, "park_after": "1s", "disable_after": "never",
		"schedule": ["5s", "5m0s", "30m0s", "2h0m0s", "5h0m0s", "10h0m0s", "14h0m0s", "20h0m0s", "24h0m0s"], "subscriptions": [{"events": []}], "file": "test.hcl", "line": 46}`,
	} {
		text, err := json.Marshal(cfg.Endpoints[i])
		require.NoError(t, err)
		require.JSONEq(t, want, string(text))
	}
}

// What a file says is what the configuration has.
func TestSettingsOfAFileAreRead(t *testing.T) {
	t.Parallel()
	cfg, diags := parse(t, `
		database { url = env("DATABASE_URL") }
		retention {
			attempts = "100h"
			dead     = "200h"
			stats    = "300h"
		}
		api {
			listen = "127.0.0.1:0"
			quotas {
				endpoints   = 1
				concurrency = 2
				tests       = 3
				expressions = 4
			}
		}
		defaults {
			answer = "complete"
			gzip   = true
			batch { events = 5 }
		}
		endpoint "a" {
			url    = "https://a.example.com/${event.key}"
			secret = env("ERP_SECRET")
			query  = { q = "x-${event.type}" }
			headers = { X-Id = "${event.id}", X-Of = "erp" }
		}
		endpoint "b" {
			url    = "https://a.example.com/"
			secret = env("ERP_SECRET")
			answer = "status"
			gzip   = false
			batch { events = 0 }
		}`)
	require.Empty(t, diags)
	require.Equal(t, config.Quotas{Endpoints: 1, Concurrency: 2, Tests: 3, Expressions: 4}, cfg.API.Quotas)
	require.Equal(t, config.Retention{Attempts: 100 * time.Hour, Dead: 200 * time.Hour, Stats: 300 * time.Hour}, cfg.Retention)
	for i, want := range []config.Endpoint{{Answer: config.AnswerComplete, Gzip: true, Batch: config.Batch{Events: 5, Wait: 200 * time.Millisecond, Bytes: 1_000_000}}, {Answer: config.AnswerStatus}} {
		got := &cfg.Endpoints[i]
		require.Equal(t, want, config.Endpoint{Answer: got.Answer, Gzip: got.Gzip, Batch: got.Batch}, got.ID)
	}
	require.Equal(t, len("https://a.example.com/${event.key}")+len("x-${event.type}")+len("${event.id}"), cfg.Endpoints[0].Expressions(), "what expressions cost")
	text, err := json.Marshal(cfg)
	require.NoError(t, err)
	require.Contains(t, string(text), `"quotas":{"concurrency":2,"endpoints":1,"expressions":4,"tests":3}`)
	require.NotContains(t, string(text), `"metrics":{`)
}

// Whether it has a certificate or authorities of its own is told, each for itself, and neither is
// shown.
func TestTheCertificatesOfAnEndpointAsJSON(t *testing.T) {
	t.Parallel()
	for want, tls := range map[string]config.ClientTLS{
		`"tls":{"cert":false,"ca":true}`: {CA: "of the authority"}, `"tls":{"cert":true,"ca":false}`: {Cert: "of the client", Key: config.NewSecret("hunter2")},
	} {
		text, err := json.Marshal(config.Endpoint{ID: "a", URL: "https://a.example.com", TLS: tls})
		require.NoError(t, err)
		require.Contains(t, string(text), want)
		require.NotRegexp(t, "of the|hunter2", string(text))
	}
}

// Whoever asks for it: a URL may name who logs in.
func TestAURLIsShownWithoutWhoLogsInThere(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://app:hunter2@a.example.com/in": "https://a.example.com/in", "https://app:hunter2@a.example.com/in?t=1": "https://a.example.com/in?[redacted]",
		"https://a.example.com/in": "https://a.example.com/in",
	} {
		require.Equal(t, want, config.ShownURL(url))
	}
}
