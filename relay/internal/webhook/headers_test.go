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
		w.Header().Set("A-Long", strings.Repeat("é", 300))
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
	require.Equal(t, strings.Repeat("é", 256)+"…", large["a-long"])
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
