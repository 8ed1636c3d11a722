package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// spelled is an endpoint that can be compared: compiled filters and bodies are replaced by what
// they were compiled from.
func spelled(e config.Endpoint) (config.Endpoint, []string) {
	var sources []string
	subs := make([]config.Subscription, len(e.Subscriptions))
	for i, s := range e.Subscriptions {
		where, body := "", ""
		if s.Where != nil {
			where = s.Where.Source()
		}
		if s.Body != nil {
			body = s.Body.Source()
		}
		sources = append(sources, where, body)
		subs[i] = config.Subscription{Events: append([]string{}, s.Events...)}
	}
	e.Subscriptions = subs
	return e, sources
}

func TestEncodedEndpointsDecodeToThemselves(t *testing.T) {
	t.Parallel()
	filter, diags := config.CompileFilter("event.data.total > 100 &&\n  event.tenant != \"test\"", "t", 1)
	require.Empty(t, diags)
	body, diags := config.CompileBody(`{ order = event.data.id, "a b" = [1, "ü"] }`, "t", 1)
	require.Empty(t, diags)
	text := rapid.StringOfN(rapid.RuneFrom([]rune(`ab"\<>&'ü漢 {}`)), 0, 12, -1)
	delay := rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(30*24*time.Hour)).Draw(t, "delay"))
	})
	rapid.Check(t, func(t *rapid.T) {
		e := config.Endpoint{
			ID: "ep_1", Name: text.Draw(t, "name"), Description: text.Draw(t, "description"), URL: "https://a.example/in?x=<1>",
			Tenant: text.Draw(t, "tenant"), Signature: config.SignatureStripe, Format: config.FormatRaw,
			Headers: rapid.MapOfN(rapid.StringMatching(`X-[a-z]{1,3}`), text, 1, 3).Draw(t, "headers"),
			Query:   rapid.MapOfN(text, text, 1, 3).Draw(t, "query"),
			Timeout: delay.Draw(t, "timeout"), Concurrency: rapid.IntRange(1, 10_000).Draw(t, "concurrency"),
			Rate: rapid.Float64Range(0, 1e6).Draw(t, "rate"), Ordering: config.OrderingKey,
			Redirects: rapid.IntRange(0, 2).Draw(t, "redirects"),
			Method:    rapid.SampledFrom([]string{"POST", "PUT", "PATCH", "DELETE"}).Draw(t, "method"),
			HTTP:      rapid.SampledFrom([]string{"", config.HTTP1, config.HTTP2}).Draw(t, "http"),
			Gzip:      rapid.Bool().Draw(t, "gzip"),
			Answer:    rapid.SampledFrom([]config.Answer{"", config.AnswerComplete}).Draw(t, "answer"),
			Verify:    rapid.SampledFrom([]config.Verify{"", config.VerifyEcho, config.VerifyCloudEvents}).Draw(t, "verify"),
			Retry: config.Retry{
				Schedule: rapid.SliceOfN(delay, 0, 5).Draw(t, "schedule"), Success: config.Statuses{"2xx", "409"},
				Permanent: config.Statuses{rapid.SampledFrom([]string{"4xx", "400"}).Draw(t, "permanent")},
			},
			Auth: config.Auth{
				Kind: config.AuthOAuth2, TokenURL: "https://login.example/token", ClientID: text.Draw(t, "client"), Scopes: []string{"a", "b"},
				Audience: text.Draw(t, "audience"), Style: config.OAuth2Body, Secret: config.NewSecret("hunter2"),
				Assertion: config.Assertion{
					Use: config.AssertGrant, Key: config.NewSecret("hunter2"), KeyID: text.Draw(t, "kid"), Algorithm: config.ES256, Issuer: text.Draw(t, "issuer"),
					Subject: text.Draw(t, "subject"), Audience: text.Draw(t, "assertion audience"),
				},
			},
			TLS: config.ClientTLS{Cert: "cert", Key: config.NewSecret("hunter2"), CA: "ca"},
			Batch: config.Batch{
				Events: 7, Wait: delay.Draw(t, "wait"), Bytes: rapid.IntRange(1000, 10_000_000).Draw(t, "bytes"), Partial: rapid.Bool().Draw(t, "partial"),
			},
			Circuit:   config.Circuit{Failures: 3, Reopen: delay.Draw(t, "reopen")},
			ParkAfter: delay.Draw(t, "park"), DisableAfter: delay.Draw(t, "disable"),
			Subscriptions: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) config.Subscription {
				return config.Subscription{
					Events: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "a.*", "b.**"}), 0, 3).Draw(t, "events"),
					Where:  rapid.SampledFrom([]*config.Filter{nil, filter}).Draw(t, "where"),
					Body:   rapid.SampledFrom([]*config.Body{nil, body}).Draw(t, "body"),
				}
			}), 1, 3).Draw(t, "subscriptions"),
		}
		if e.Retry.Schedule == nil {
			e.Retry.Schedule = []time.Duration{}
		}
		subs, policy, err := ledger.EncodeEndpoint(e)
		require.NoError(t, err)
		require.NotContains(t, string(policy), "hunter2")
		for name := range e.Headers {
			e.Headers[name] = "" // the values are sealed, elsewhere
		}
		e.Auth.Secret, e.Auth.Assertion.Key, e.TLS.Key = config.Secret{}, config.Secret{}, config.Secret{}
		got, err := ledger.DecodeEndpoint(ledger.EndpointRow{
			ID: e.ID, Name: e.Name, Description: e.Description, URL: e.URL, Tenant: e.Tenant, Subscriptions: subs, Policy: policy,
		})
		require.NoError(t, err)
		wantPlain, wantSources := spelled(e)
		gotPlain, gotSources := spelled(got)
		require.Equal(t, wantPlain, gotPlain)
		require.Equal(t, wantSources, gotSources)
	})
}

func TestDecodeEndpoint_saysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ subs, policy, want string }{
		"subscriptions that are no list":    {`{}`, `{}`, "read subscriptions"},
		"an event pattern":                  {`[{"events":["a..b"]}]`, `{}`, "event pattern"},
		"a filter":                          {`[{"events":[],"where":"event.data.x >"}]`, `{}`, "compile its filter"},
		"a body":                            {`[{"events":[],"body":"{"}]`, `{}`, "compile its body"},
		"a policy that is no object":        {`[]`, `[]`, "read policy"},
		"a duration":                        {`[]`, `{"timeout":"soon"}`, "timeout"},
		"a delay":                           {`[]`, `{"retry":["soon"]}`, "retry"},
		"both, of which it says everything": {`x`, `x`, "read policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := ledger.DecodeEndpoint(ledger.EndpointRow{ID: "ep_1", URL: "u", Subscriptions: []byte(row.subs), Policy: []byte(row.policy)})
			require.ErrorContains(t, err, row.want)
			require.Equal(t, "ep_1", e.ID)
		})
	}
	// What a later version added is left alone.
	e, err := ledger.DecodeEndpoint(ledger.EndpointRow{ID: "erp", Subscriptions: []byte(`[]`), Policy: []byte(`{"headers":["X-A"],"unknown":1}`)})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"X-A": ""}, e.Headers)
}

func TestSealedEncodesAndDecodes(t *testing.T) {
	t.Parallel()
	secrets := []ledger.EndpointSecret{
		{Secret: config.NewSecret("whsec_new")},
		{Secret: config.NewSecret("whsec_old"), ExpiresAt: noon.Add(1234567 * time.Microsecond)},
	}
	const list = `[{"secret":"whsec_new","expires_at":null},{"secret":"whsec_old","expires_at":"2026-03-14T12:00:01.234567Z"}]`
	before := ledger.EndpointRow{ID: "ep_1", Policy: []byte(`{"timeout":"3s","headers":{"X-B":"hunter2","X-A":"hunter3"},"later":[1]}`)}
	now := before
	require.True(t, now.Clear())
	require.NoError(t, now.HideHeaders())
	require.False(t, now.Clear())
	require.JSONEq(t, `{"timeout":"3s","headers":["X-A","X-B"],"later":[1]}`, string(now.Policy))

	headers := map[string]string{"X-A": "hunter3", "X-B": "hunter2"}
	text, err := ledger.EncodeSealed(ledger.Sealed{Secrets: secrets, Headers: headers})
	require.NoError(t, err)
	require.JSONEq(t, `{"secrets":`+list+`,"headers":{"X-A":"hunter3","X-B":"hunter2"}}`, string(text))
	none, err := ledger.EncodeSealed(ledger.Sealed{Secrets: secrets})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		row  *ledger.EndpointRow
		text string
		want map[string]string
	}{
		"sealed":                          {&now, string(text), headers},
		"sealed, without headers":         {&before, string(none), map[string]string{}},
		"before the sealing":              {&before, list, headers},
		"before the sealing, of no names": {&ledger.EndpointRow{Policy: []byte(`{"headers":{}}`)}, list, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ledger.DecodeSealed(c.row, []byte(c.text))
			require.NoError(t, err)
			require.Equal(t, c.want, got.Headers)
			require.Len(t, got.Secrets, 2)
			for i := range secrets {
				require.True(t, secrets[i].Secret.Equal(got.Secrets[i].Secret))
				require.True(t, secrets[i].ExpiresAt.Equal(got.Secrets[i].ExpiresAt))
			}
		})
	}
	for _, bad := range []string{``, `[]`, `{"secret":"hunter2"}`, `{"secrets":[],"headers":{"a":"hunter2"}}`, `"hunter2"`} {
		_, err := ledger.DecodeSealed(&now, []byte(bad))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// TestTokenURLs: what a token's URL may have of a secret is sealed with the others, and stands
// nowhere else.
func TestTokenURLs(t *testing.T) {
	t.Parallel()
	const url = "https://login.example/token?api_key=hunter2"
	e := config.Endpoint{ID: "ep_1", Auth: config.Auth{Kind: config.AuthOAuth2, TokenURL: url, ClientID: "shop", Secret: config.NewSecret("hunter3"), Assertion: config.Assertion{Use: config.AssertGrant, Key: config.NewSecret("hunter4")}}}
	subs, policy, err := ledger.EncodeEndpoint(e)
	require.NoError(t, err)
	require.NotContains(t, string(policy), "hunter")
	require.Contains(t, string(policy), "https://login.example/token?[redacted]")
	sealed, err := ledger.EncodeSealed(ledger.Sealed{Secrets: []ledger.EndpointSecret{{Secret: config.NewSecret("whsec_new")}}, Auth: e.Auth})
	require.NoError(t, err)
	row := &ledger.EndpointRow{ID: "ep_1", Subscriptions: subs, Policy: policy}
	got, err := ledger.DecodeEndpoint(*row)
	require.NoError(t, err)
	opened, err := ledger.DecodeSealed(row, sealed)
	require.NoError(t, err)
	opened.Give(&got)
	require.Equal(t, url, got.Auth.TokenURL)
	require.Equal(t, "hunter3", got.Auth.Secret.Reveal())
	require.Equal(t, "hunter4", got.Auth.Assertion.Key.Reveal())
}

func TestSecretPrefixTellsNothingOfAShortSecret(t *testing.T) {
	t.Parallel()
	require.Equal(t, "whsec_MfKQ9r", ledger.SecretPrefix(config.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")))
	require.Empty(t, ledger.SecretPrefix(config.NewSecret(strings.Repeat("x", 23))))
}
