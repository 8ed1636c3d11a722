package webhook_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// challengeOf returns the challenge of a request in the standard format.
func challengeOf(t *testing.T, r *http.Request) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	assert.NoError(t, err)
	var ev struct {
		Type string `json:"type"`
		Data struct {
			Challenge string `json:"challenge"`
		} `json:"data"`
	}
	assert.NoError(t, json.Unmarshal(body, &ev))
	assert.Equal(t, webhook.VerificationType, ev.Type)
	assert.GreaterOrEqual(t, len(ev.Data.Challenge), 26)
	return ev.Data.Challenge
}

func TestVerify_echo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter, challenge string)
		passes bool
		why    string
	}{
		"its text":       {func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, c+"\n") }, true, ""},
		"in an object":   {func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, `{"ok":true,"challenge":"`+c+`"}`) }, true, ""},
		"a JSON text":    {func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, `"`+c+`"`) }, true, ""},
		"behind a BOM":   {func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, "\ufeff"+`{"challenge":"`+c+`"}`) }, true, ""},
		"nothing":        {func(http.ResponseWriter, string) {}, false, "does not hold the challenge"},
		"another":        {func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, c+"x") }, false, "does not hold the challenge"},
		"somewhere else": {func(w http.ResponseWriter, c string) { _, _ = io.WriteString(w, `{"data":{"challenge":"`+c+`"}}`) }, false, "does not hold the challenge"},
		"with a failure": {func(w http.ResponseWriter, c string) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, c)
		}, false, ""},
	} {
		for protocol, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "h2": withH2} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					assert.Equal(t, http.MethodPost, r.Method)
					assert.Equal(t, "shop", r.Header.Get("X-Source"))
					assert.Equal(t, "identity", r.Header.Get("Accept-Encoding"), "its answer is read")
					at, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
					assert.NoError(t, err)
					assert.WithinDuration(t, time.Now(), time.Unix(at, 0), time.Minute)
					assert.NotEmpty(t, r.Header.Get("webhook-signature"))
					test.answer(w, challengeOf(t, r))
				}))
				server.Config.ErrorLog = quiet()
				start(server)
				t.Cleanup(server.Close)
				o := webhook.Options{Network: loopback()}
				if protocol == "h2" {
					o.Roots = rootsOf(t, &receiver{Server: server})
				}
				e := endpointOf(t, newClient(t, o), server.URL, func(ep *config.Endpoint) {
					ep.Verify, ep.Headers = config.VerifyEcho, map[string]string{"X-Source": "shop"}
				})
				res := e.Verify(t.Context(), nil)
				require.Equal(t, test.passes, res.Delivered, "%+v", res)
				require.Contains(t, res.Attempt.Error, test.why)
				require.Equal(t, test.passes || test.why == "", res.Attempt.Error == "")
			})
		}
	}
}

func TestVerify_cloudEvents(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rate    float64
		headers map[string]string
		status  int
		why     string // empty: it passes
	}{
		"our origin":        {0, map[string]string{"WebHook-Allowed-Origin": "Shop.example"}, 200, ""},
		"any":               {0, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "*"}, 204, ""},
		"another":           {0, map[string]string{"WebHook-Allowed-Origin": "other.example"}, 200, "is not our WebHook-Request-Origin"},
		"none":              {0, map[string]string{"Allow": "POST"}, 200, "has no WebHook-Allowed-Origin"},
		"a failure":         {0, map[string]string{"WebHook-Allowed-Origin": "*"}, 405, ""},
		"less than one":     {0.01, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "1"}, 200, ""},
		"enough":            {2, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "120"}, 200, ""},
		"less":              {2, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "119"}, 200, "set the rate of the endpoint to 119/m or less"},
		"a rate, none here": {0, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "60"}, 200, "set the rate of the endpoint to 60/m or less"},
		"no rate":           {2, map[string]string{"WebHook-Allowed-Origin": "*"}, 200, "no WebHook-Allowed-Rate"},
		"no number":         {2, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "many"}, 200, "no number"},
		"a rate of nothing": {2, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "0"}, 200, "no number"},
		"below nothing":     {2, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "-5"}, 200, "no number"},
		"beyond numbers":    {2, map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "99999999999999999999"}, 200, "no number"},
	} {
		for protocol, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "h2": withH2} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				rec := newReceiver(t, start, func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodOptions {
						return
					}
					for name, value := range test.headers {
						w.Header().Set(name, value)
					}
					w.WriteHeader(test.status)
				})
				o := webhook.Options{Network: loopback(), Source: "shop.example"}
				if protocol == "h2" {
					o.Roots = rootsOf(t, rec)
				}
				c := newClient(t, o)
				e := endpointOf(t, c, rec.URL+"/in?x=1", func(ep *config.Endpoint) {
					ep.Verify, ep.Rate, ep.Method = config.VerifyCloudEvents, test.rate, http.MethodPut
					ep.Auth = config.Auth{Kind: config.AuthBearer, Secret: config.NewSecret("hunter2")}
					ep.Retry.Success = config.Statuses{"200", "405"} // of events, not of the question
				})
				res := e.Verify(t.Context(), nil)
				require.Equal(t, test.why == "" && test.status < 300, res.Delivered, "%+v", res)
				require.Contains(t, res.Attempt.Error, test.why)
				require.Nil(t, res.Attempt.ResponseHeaders, "they are kept for those who want that")
				got := <-rec.requests
				require.Equal(t, http.MethodOptions, got.method)
				require.Equal(t, "/in?x=1", got.uri)
				require.Equal(t, "shop.example", got.header.Get("WebHook-Request-Origin"))
				require.Equal(t, map[float64]string{2: "120", 0.01: "1"}[test.rate], got.header.Get("WebHook-Request-Rate"))
				require.Equal(t, "Bearer hunter2", got.header.Get("Authorization"))
				require.Empty(t, got.body)

				require.True(t, e.Send(t.Context(), newRequest()).Delivered)
				require.Equal(t, http.MethodPut, (<-rec.requests).method, "events go as before")
				e.Close()
			})
		}
	}
}

// TestVerify_isNotSentByWhoDoesNotHoldTheSlot: it asks in the relay's name.
func TestVerify_isNotSentByWhoDoesNotHoldTheSlot(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	e := newEndpoint(t, rec.URL, func(ep *config.Endpoint) { ep.Verify, ep.Timeout = config.VerifyEcho, time.Second })
	require.True(t, e.Verify(t.Context(), func() bool { return false }).Unsent)
	require.Empty(t, rec.requests)
}

// TestVerify_isSignedByTheSecretsOfNow: who is asked after a rotation need not know the secret of
// before it.
func TestVerify_isSignedByTheSecretsOfNow(t *testing.T) {
	t.Parallel()
	for _, verify := range []config.Verify{config.VerifyEcho, config.VerifyCloudEvents} {
		rec := newReceiver(t, plainHTTP, nil)
		e := newEndpoint(t, rec.URL, func(ep *config.Endpoint) { ep.Verify = verify })
		secret := signature.GenerateSecret()
		require.NoError(t, e.SetSecrets([]config.Secret{config.NewSecret(secret)}))
		e.Verify(t.Context(), nil)
		v, err := signature.NewVerifier(secret)
		require.NoError(t, err)
		got := <-rec.requests
		require.NoError(t, v.Verify(got.header, got.body), verify)
	}
}
