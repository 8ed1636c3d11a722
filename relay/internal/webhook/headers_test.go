package webhook_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// An attempt keeps the headers that went out and those that came back, where that is asked for, and
// none of what is secret in them.
func TestSendKeepsHeaders(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "h2": withH2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, start, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Date"] = nil
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Add("X-Request-Id", "r1")
				w.Header().Add("X-Request-Id", "r2")
				w.Header().Add("Set-Cookie", "session=hunter2")
				w.Header().Add("Set-Cookie", "b=hunter2")
				w.Header().Set("X-Auth-Token", "hunter2")
				w.WriteHeader(http.StatusTeapot)
			})
			o := webhook.Options{Network: loopback(), UserAgent: "Tailpost/1.2.3"}
			if name == "h2" {
				o.Roots = rootsOf(t, rec)
			}
			c := newClient(t, o)
			e := endpointOf(t, c, rec.URL+"/in?token=hunter2", func(ep *config.Endpoint) {
				ep.Headers = map[string]string{"Authorization": "Bearer hunter2", "X-Source": "hunter2"}
			})
			r := newRequest()
			res := e.Send(t.Context(), r)
			require.Nil(t, res.Attempt.RequestHeaders, "nobody asked for them")
			require.Nil(t, res.Attempt.ResponseHeaders)

			c.KeepHeaders(true)
			res = e.Send(t.Context(), r)
			<-rec.requests
			got := <-rec.requests
			require.Equal(t, map[string]string{
				"host": got.host, "user-agent": "Tailpost/1.2.3", "content-type": "application/json", "content-length": strconv.Itoa(len(got.body)),
				"webhook-id": "evt_1", "webhook-timestamp": strconv.FormatInt(r.Now.Unix(), 10), "webhook-signature": "[redacted]",
				"traceparent": r.Event.Headers["traceparent"], "authorization": "[redacted]", "x-source": "[redacted]",
			}, res.Attempt.RequestHeaders)
			require.NotContains(t, fmt.Sprint(res), "hunter2")
			delete(res.Attempt.ResponseHeaders, "content-length")
			require.Equal(t, map[string]string{
				"content-type": "text/plain", "x-request-id": "r1, r2", "set-cookie": "[redacted]", "x-auth-token": "[redacted]",
			}, res.Attempt.ResponseHeaders)
		})
	}
}

// Whatever a header of an answer is called, a name that sounds of a secret is enough to leave out
// its value.
func TestSendKeepsNoSecretsOfAnswers(t *testing.T) {
	t.Parallel()
	secrets := []string{"Set-Cookie", "Cookie", "WWW-Authenticate", "Authorization", "X-Auth", "X-CSRF-Token", "Client-Secret", "X-SECRET"}
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range secrets {
			w.Header()[name] = []string{"hunter2"}
		}
		w.Header().Set("X-Open", "seen")
	})
	c := newClient(t, webhook.Options{Network: loopback()})
	c.KeepHeaders(true)
	res := endpointOf(t, c, rec.URL).Send(t.Context(), newRequest())
	require.NotContains(t, fmt.Sprint(res), "hunter2")
	require.Equal(t, "seen", res.Attempt.ResponseHeaders["x-open"])
	for _, name := range secrets {
		require.Equal(t, "[redacted]", res.Attempt.ResponseHeaders[strings.ToLower(name)], name)
	}
}

// A header that the endpoint sets itself may be a credential, whatever it is called: also where the
// relay would have set it otherwise, and nothing of its own would be secret.
func TestSendKeepsNoValuesOfTheEndpointsOwn(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	c := newClient(t, webhook.Options{Network: loopback(), UserAgent: "Tailpost/1.2.3"})
	c.KeepHeaders(true)
	for _, name := range []string{"User-Agent", "Accept-Encoding", "Accept", "X-Source", "Cookie"} {
		res := endpointOf(t, c, rec.URL, func(ep *config.Endpoint) { ep.Headers = map[string]string{name: "hunter2"} }).Send(t.Context(), newRequest())
		require.Equal(t, "hunter2", (<-rec.requests).header.Get(name))
		require.Equal(t, "[redacted]", res.Attempt.RequestHeaders[strings.ToLower(name)], name)
		require.NotContains(t, fmt.Sprint(res), "hunter2")
	}
}

// The attributes of an event that go in headers are no secret.
func TestSendKeepsTheAttributesOfCloudEvents(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	c := newClient(t, webhook.Options{Network: loopback()})
	c.KeepHeaders(true)
	r := newRequest()
	r.Event.Key = "a b\x7f\"%é~"
	res := endpointOf(t, c, rec.URL, func(ep *config.Endpoint) { ep.Format = config.FormatCloudEventsBinary }).Send(t.Context(), r)
	require.Equal(t, "1.0", res.Attempt.RequestHeaders["ce-specversion"])
	require.Equal(t, "a%20b%7F%22%25%C3%A9~", res.Attempt.RequestHeaders["ce-partitionkey"])
	r.Event.Key = ""
	for _, format := range []config.Format{config.FormatCloudEventsBinary, config.FormatCloudEvents} {
		<-rec.requests
		res = endpointOf(t, c, rec.URL, func(ep *config.Endpoint) { ep.Format = format }).Send(t.Context(), r)
		require.True(t, res.Delivered)
		require.NotContains(t, res.Attempt.RequestHeaders, "ce-partitionkey")
	}
	require.NotContains(t, string((<-rec.requests).body), "partitionkey")
	r.Event.Payload = []byte(`"` + strings.Repeat("a", 2000) + `"`)
	res = endpointOf(t, c, rec.URL, func(ep *config.Endpoint) { ep.Gzip = true }).Send(t.Context(), r)
	require.Equal(t, "gzip", res.Attempt.RequestHeaders["content-encoding"], "nor is how the body is packed")
}

// However much a receiver answers, what is kept of its headers is bounded.
func TestSendKeepsFewHeaders(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		if r.URL.Path == "/many" {
			for i := range 200 {
				w.Header().Set(fmt.Sprintf("X-%03d", i), "v")
			}
			return
		}
		w.Header().Set("A-Long", "a"+strings.Repeat("é", 300))
		for i := range 40 {
			w.Header().Set(fmt.Sprintf("X-%03d", i), strings.Repeat("v", 500))
		}
	})
	c := newClient(t, webhook.Options{Network: loopback()})
	c.KeepHeaders(true)
	many := endpointOf(t, c, rec.URL+"/many").Send(t.Context(), newRequest()).Attempt.ResponseHeaders
	require.Len(t, many, 48)
	large := endpointOf(t, c, rec.URL+"/large").Send(t.Context(), newRequest()).Attempt.ResponseHeaders
	size := 0
	for name, value := range large {
		size += len(name) + len(value)
	}
	require.Equal(t, "a"+strings.Repeat("é", 255)+"…", large["a-long"], "no part of a character")
	require.Greater(t, size, 3000)
	require.LessOrEqual(t, size, 4096)
}

// What no receiver can have seen was not sent.
func TestSendKeepsNoHeadersOfWhatWasNotSent(t *testing.T) {
	t.Parallel()
	c := newClient(t, webhook.Options{Network: loopback()})
	c.KeepHeaders(true)
	rec := newReceiver(t, plainHTTP, nil)
	url := rec.URL
	rec.Close()
	res := endpointOf(t, c, url).Send(t.Context(), newRequest())
	require.NotEmpty(t, res.Attempt.Error)
	require.Nil(t, res.Attempt.RequestHeaders)
}
