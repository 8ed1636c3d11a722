package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// TestTheReceiversWordArrives: what a receiver says in the header webhook-delivery is in the
// result, by both protocols, and never that of an earlier answer.
func TestTheReceiversWordArrives(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "h2": withH2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words := []string{"disable", "", "abort-message", ""}
			said := 0
			rec := newReceiver(t, start, func(w http.ResponseWriter, _ *http.Request) {
				if words[said] != "" {
					w.Header().Set("Webhook-Delivery", words[said])
				}
				said++
				w.WriteHeader(http.StatusInternalServerError)
			})
			o := webhook.Options{Network: loopback()}
			if name != "http/1.1" {
				o.Roots = rootsOf(t, rec)
			}
			e := endpointOf(t, newClient(t, o), rec.URL)
			for _, word := range words {
				require.Equal(t, word, e.Send(t.Context(), newRequest()).Word)
			}
		})
	}
}

// TestWhatFollowsTheBodyIsNoWord: a trailer says nothing of the delivery.
func TestWhatFollowsTheBodyIsNoWord(t *testing.T) {
	t.Parallel()
	s := newScript(t, says("HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nWebhook-Delivery: disable\r\nRetry-After: 60\r\n\r\n", true))
	res := newEndpoint(t, s.url).Send(t.Context(), newRequest())
	require.Equal(t, "no", string(res.Attempt.ResponseBody))
	require.Empty(t, res.Word)
	require.Zero(t, res.RetryAfter)
}

// TestTheEndpointsMethod: requests have it by both protocols, on redirects too, and with it the
// body that is signed.
func TestTheEndpointsMethod(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "h2": withH2} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			t.Run(name+" "+method, func(t *testing.T) {
				t.Parallel()
				rec := newReceiver(t, start, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/from" {
						w.Header().Set("Location", "/to")
						w.WriteHeader(http.StatusPermanentRedirect)
					}
					_, _ = io.WriteString(w, "thanks")
				})
				o := webhook.Options{Network: loopback()}
				if name != "http/1.1" {
					o.Roots = rootsOf(t, rec)
				}
				e := endpointOf(t, newClient(t, o), rec.URL+"/from", func(ep *config.Endpoint) { ep.Method, ep.Redirects = method, 1 })
				res := e.Send(t.Context(), newRequest())
				require.True(t, res.Delivered, res.Attempt.Error)
				for _, path := range []string{"/from", "/to"} {
					got := <-rec.requests
					require.Equal(t, method, got.method)
					require.Equal(t, path, got.uri)
					require.NotEmpty(t, got.body)
				}
			})
		}
	}
}

// TestTheEndpointsSuccess: a status that the endpoint takes for success is one here too.
func TestTheEndpointsSuccess(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
	require.False(t, newEndpoint(t, rec.URL).Send(t.Context(), newRequest()).Delivered)
	e := newEndpoint(t, rec.URL, func(ep *config.Endpoint) { ep.Retry.Success = config.Statuses{"2xx", "409"} })
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
}
