package config_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// Each of these is refused by the name of its setting, and what is just within is taken.
func TestWhatAConfigurationCannotSay(t *testing.T) {
	t.Parallel()
	type change = func(c *config.Config, e *config.Endpoint)
	secret := config.NewSecret("hunter2-hunter2")
	api := func(c *config.Config) *config.APIKey {
		c.API = config.API{Listen: "127.0.0.1:0", Keys: []config.APIKey{{Name: "ci", Secret: config.NewSecret(strings.Repeat("x", 40))}}}
		return &c.API.Keys[0]
	}
	batch := func(b config.Batch) change {
		return func(_ *config.Config, e *config.Endpoint) { e.Batch, e.ParkAfter = b, time.Hour }
	}
	oauth := func(url string, scopes int) change {
		return func(_ *config.Config, e *config.Endpoint) {
			e.Auth = config.Auth{Kind: config.AuthOAuth2, TokenURL: url, ClientID: "c", Secret: secret, Scopes: slices.Repeat([]string{"s"}, scopes)}
		}
	}
	portal := func(p config.Portal) change {
		return func(c *config.Config, _ *config.Endpoint) { c.Panel.Portal = p }
	}
	for want, changes := range map[string][]change{
		"": {
			func(_ *config.Config, e *config.Endpoint) { e.Query = parameters(32) },
			func(_ *config.Config, e *config.Endpoint) { e.Retry.Success = statuses(50) },
			func(c *config.Config, e *config.Endpoint) { c.Network.AllowHTTP, e.URL = true, "http://a.example.com/" },
			func(c *config.Config, e *config.Endpoint) {
				c.Network.AllowHTTP = true
				oauth("http://login.example.com/token", 1)(c, e)
			},
			func(_ *config.Config, e *config.Endpoint) {
				e.Auth, e.Headers = config.Auth{Kind: config.AuthBearer, Secret: secret}, map[string]string{"X-A": "x"}
			},
			batch(config.Batch{Events: 2}), batch(config.Batch{Events: 1000, Wait: 10 * time.Second, Bytes: 10_000_000}), batch(config.Batch{Events: 2, Bytes: 1000}), oauth("https://login.example.com/token", 50),
			func(c *config.Config, _ *config.Endpoint) { api(c).Name = "a_B-9" },
			portal(config.Portal{Name: strings.Repeat("é", 60), Color: "#595959", RefreshURL: "http://localhost:3000/x"}),
			func(_ *config.Config, e *config.Endpoint) {
				e.Auth = config.Auth{Kind: config.AuthBasic, User: "u", Secret: secret}
			},
		},
		"endpoint.a.query":   {func(_ *config.Config, e *config.Endpoint) { e.Query = parameters(33) }},
		"endpoint.a.success": {func(_ *config.Config, e *config.Endpoint) { e.Retry.Success = statuses(51) }},
		"api.quotas": {
			func(c *config.Config, _ *config.Endpoint) { c.API.Quotas.Endpoints = -1 },
			func(c *config.Config, _ *config.Endpoint) { c.API.Quotas.Concurrency = -1 },
			func(c *config.Config, _ *config.Endpoint) { c.API.Quotas.Tests = -1 },
			func(c *config.Config, _ *config.Endpoint) { c.API.Quotas.Expressions = -1 },
		},
		"api.network.proxy": {
			func(c *config.Config, _ *config.Endpoint) { c.API.Network.CA = "x" },
			func(c *config.Config, _ *config.Endpoint) { c.API.Network.ProxyResolves = true },
			func(c *config.Config, _ *config.Endpoint) { c.API.Network.NoProxy = []string{"a"} },
		},
		"api.key[0]":              {func(c *config.Config, _ *config.Endpoint) { api(c).Name = "a b" }, func(c *config.Config, _ *config.Endpoint) { api(c).Name = "" }},
		"api.listen":              {func(c *config.Config, _ *config.Endpoint) { c.API.Listen = "127.0.0.1:-1" }, func(c *config.Config, _ *config.Endpoint) { c.API.Listen = "127.0.0.1:x" }},
		"endpoint.a.batch.events": {batch(config.Batch{Events: -1}), batch(config.Batch{Events: 1001})},
		"endpoint.a.batch.wait":   {batch(config.Batch{Events: 2, Wait: -1}), batch(config.Batch{Events: 2, Wait: 10*time.Second + 1})},
		"endpoint.a.batch.bytes":  {batch(config.Batch{Events: 2, Bytes: 999}), batch(config.Batch{Events: 2, Bytes: 10_000_001})},
		"endpoint.a.verify":       {func(_ *config.Config, e *config.Endpoint) { e.Verify = "x" }},
		"endpoint.a.answer":       {func(_ *config.Config, e *config.Endpoint) { e.Answer = "x" }},
		"endpoint.a.auth.basic.user": {func(_ *config.Config, e *config.Endpoint) {
			e.Auth = config.Auth{Kind: config.AuthBasic, Secret: secret}
		}, func(_ *config.Config, e *config.Endpoint) {
			e.Auth = config.Auth{Kind: config.AuthBasic, User: "a:b", Secret: secret}
		}, func(_ *config.Config, e *config.Endpoint) {
			e.Auth = config.Auth{Kind: config.AuthBasic, User: strings.Repeat("u", 3000), Secret: secret}
		}},
		"endpoint.a.auth.basic.password": {func(_ *config.Config, e *config.Endpoint) { e.Auth = config.Auth{Kind: config.AuthBasic, User: "u"} }},
		"endpoint.a.auth.bearer":         {func(_ *config.Config, e *config.Endpoint) { e.Auth = config.Auth{Kind: config.AuthBearer} }},
		"endpoint.a.auth.oauth2.token_url": {
			oauth("", 1), oauth("/token", 1), oauth("https:///token", 1), oauth("https://u@login.example.com/token", 1), oauth("http://login.example.com/token", 1), oauth("https://127.0.0.1/token", 1),
			func(c *config.Config, e *config.Endpoint) {
				c.Network.AllowHTTP, c.Network.Proxy = true, config.NewSecret("http://proxy.example:3128")
				oauth("http://login.example.com/token", 1)(c, e)
			},
		},
		"endpoint.a.auth.oauth2.scopes": {oauth("https://login.example.com/token", 51)},
		"endpoint.a.headers.AUTHORIZATION": {func(_ *config.Config, e *config.Endpoint) {
			e.Auth, e.Headers = config.Auth{Kind: config.AuthBearer, Secret: secret}, map[string]string{"AUTHORIZATION": "x"}
		}},
		"endpoint.a.tls.cert": {func(_ *config.Config, e *config.Endpoint) { e.TLS = config.ClientTLS{Cert: "x", Key: secret} }},
		"panel.portal.name":   {portal(config.Portal{Name: strings.Repeat("é", 61)}), portal(config.Portal{Name: "a\nb"})},
		"panel.portal.color":  {portal(config.Portal{Color: "767676x"}), portal(config.Portal{Color: "#f00000f"}), portal(config.Portal{Color: "#ffff00"})},
		"panel.portal.refresh_url": {
			portal(config.Portal{RefreshURL: "http://app.example.com/"}), portal(config.Portal{RefreshURL: "https://"}), portal(config.Portal{RefreshURL: "https://u@app.example.com/"}),
			portal(config.Portal{RefreshURL: "https://app.example.com:0/"}), portal(config.Portal{RefreshURL: "https://app.example.com/\x7f"}), portal(config.Portal{RefreshURL: "https://a_b.example.com/"}),
		},
		"database.replication_url": {
			func(c *config.Config, _ *config.Endpoint) {
				c.Database.ReplicationURL = config.NewSecret("db.example.com/app")
			},
			func(c *config.Config, _ *config.Endpoint) {
				c.Database.ReplicationURL = config.NewSecret("postgres://db.example.com/app?sslmode=perhaps")
			},
		},
		"outbox.messages":      {func(c *config.Config, _ *config.Endpoint) { c.Outbox.Messages = strings.Repeat("x", 64) }, func(c *config.Config, _ *config.Endpoint) { c.Outbox.Messages = "a b" }},
		"endpoint.a.secret[0]": {func(_ *config.Config, e *config.Endpoint) { e.Secrets = []config.Secret{{}} }},
		"version": {func(c *config.Config, _ *config.Endpoint) {
			for i := range 101 {
				c.Versions = append(c.Versions, config.Version{Name: time.Date(2020, 1, i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)})
			}
		}},
	} {
		for i, change := range changes {
			require.Equal(t, want, strings.Join(problems(t, change), ", "), "the change %d of %q", i, want)
		}
	}
}

func parameters(n int) map[string]string {
	query := make(map[string]string, n)
	for i := range n {
		query["q"+strconv.Itoa(i)] = "x"
	}
	return query
}

func statuses(n int) (all config.Statuses) {
	for i := range n {
		all = append(all, strconv.Itoa(430+i))
	}
	return all
}

// What is written out counts before its class, and where successes are named nothing else is one.
func TestRetry_Means(t *testing.T) {
	t.Parallel()
	const success, refusal, failure = config.MeansSuccess, config.MeansRefusal, config.MeansFailure
	for _, tc := range []struct {
		success, permanent config.Statuses
		want               map[int]config.Meaning
	}{
		{nil, nil, map[int]config.Meaning{199: failure, 200: success, 299: success, 300: failure, 422: failure}},
		{config.Statuses{"409"}, nil, map[int]config.Meaning{200: failure, 409: success, 408: failure}},
		{config.Statuses{"2xx", "409"}, config.Statuses{"4xx", "204"}, map[int]config.Meaning{200: success, 204: refusal, 409: success, 404: refusal, 500: failure}},
		{config.Statuses{"404"}, config.Statuses{"404", "4xx"}, map[int]config.Meaning{404: success, 400: refusal}},
	} {
		r := config.Retry{Success: tc.success, Permanent: tc.permanent}
		for status, want := range tc.want {
			require.Equal(t, want, r.Means(status), "%d of %v, %v", status, tc.success, tc.permanent)
		}
	}
}
