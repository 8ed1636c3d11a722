package webhook_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// TestSend_goesWhereTheEventSays: path, query and headers follow from each event, on one
// connection, signed as ever.
func TestSend_goesWhereTheEventSays(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	s := newEndpoint(t, rec.URL+"/orders/${event.key}/hook?x=1", func(e *config.Endpoint) {
		e.Query = map[string]string{"tenant": "${event.tenant}"}
		e.Headers = map[string]string{"X-Fixed": "f", "X-Region": "r-${event.extra.region}"}
	})
	verifier, err := signature.NewVerifier(testSecret)
	require.NoError(t, err)
	for key, path := range map[string]string{"a/b": "a%2Fb", "..c": "..c", "ü ?#": "%C3%BC%20%3F%23"} {
		res := s.Send(t.Context(), requestOf(func(e *outbox.Event) {
			e.Key, e.Tenant, e.Extra = key, "acme&co", []byte(`{"region":"eu"}`)
		}))
		require.True(t, res.Delivered, res.Attempt.Error)
		require.Equal(t, rec.URL+"/orders/${event.key}/hook?[redacted]", res.Attempt.URL, "the value is the event's, and the query may be a secret")
		got := <-rec.requests
		require.Equal(t, "/orders/"+path+"/hook?x=1&tenant=acme%26co", got.uri)
		require.Equal(t, "r-eu", got.header.Get("X-Region"))
		require.Equal(t, "f", got.header.Get("X-Fixed"))
		require.NoError(t, verifier.Verify(got.header, got.body))
	}
	require.EqualValues(t, 1, rec.conns.Load())
}

// TestSend_sendsNothingWithoutAValue: no connection is made for an event that has not what the
// address names, and no retry will help.
func TestSend_sendsNothingWithoutAValue(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	for name, change := range map[string]func(*config.Endpoint){
		"url":    func(e *config.Endpoint) { e.URL = rec.URL + "/${event.key}" },
		"query":  func(e *config.Endpoint) { e.URL, e.Query = rec.URL, map[string]string{"k": "${event.key}"} },
		"header": func(e *config.Endpoint) { e.URL, e.Headers = rec.URL, map[string]string{"X-K": "${event.key}"} },
	} {
		s := newEndpoint(t, rec.URL, change)
		res := s.Send(t.Context(), requestOf(func(e *outbox.Event) { e.Key = "" }))
		require.True(t, res.Unaddressable, name)
		require.True(t, res.Permanent, name)
		require.Contains(t, res.Attempt.Error, "event.key is missing, null or empty", name)
		require.Zero(t, res.Attempt.StatusCode)
		require.True(t, s.Send(t.Context(), requestOf(func(e *outbox.Event) { e.Key = "k" })).Delivered, name)
		<-rec.requests
	}
	require.Empty(t, rec.requests)
}

// TestSend_redirectsFromWhereTheEventWent: a relative Location is relative to the event's own URL,
// and what follows from the event goes along only to the same receiver.
func TestSend_redirectsFromWhereTheEventWent(t *testing.T) {
	t.Parallel()
	other := newReceiver(t, plainHTTP, nil)
	to := "next"
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") == "k1" && r.URL.Path == "/a/k1/b" || r.URL.EscapedPath() == "//b/k1" {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	s := newEndpoint(t, rec.URL+"/a/${event.key}/b", func(e *config.Endpoint) {
		e.Redirects, e.Headers = 1, map[string]string{"X-Key": "${event.key}"}
	})
	key := func(e *outbox.Event) { e.Key = "k1" }
	require.True(t, s.Send(t.Context(), requestOf(key)).Delivered)
	require.Equal(t, "/a/k1/b", (<-rec.requests).uri)
	got := <-rec.requests
	require.Equal(t, "/a/k1/next", got.uri)
	require.Equal(t, "k1", got.header.Get("X-Key"))

	to = other.URL + "/elsewhere"
	require.True(t, s.Send(t.Context(), requestOf(key)).Delivered)
	require.Equal(t, "/a/k1/b", (<-rec.requests).uri)
	got = <-other.requests
	require.Equal(t, "/elsewhere", got.uri)
	require.Empty(t, got.header.Get("X-Key"))

	// A path that begins with two slashes names no other host.
	to = "next"
	s = newEndpoint(t, rec.URL+"//b/${event.key}", func(e *config.Endpoint) { e.Redirects = 1 })
	require.True(t, s.Send(t.Context(), requestOf(key)).Delivered)
	require.Equal(t, "//b/k1", (<-rec.requests).uri)
	require.Equal(t, "//b/next", (<-rec.requests).uri)
}

// requestOf is a request of an event that is changed.
func requestOf(change func(*outbox.Event)) *webhook.Request {
	r := newRequest()
	ev := *r.Event
	change(&ev)
	r.Event = &ev
	return r
}

// TestABatchHasOneAddress: events that go elsewhere, or nowhere, begin the next request.
func TestABatchHasOneAddress(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Endpoint){
		"path":   func(e *config.Endpoint) { e.URL += "/${event.key}" },
		"query":  func(e *config.Endpoint) { e.Query = map[string]string{"k": "${event.key}"} },
		"header": func(e *config.Endpoint) { e.Headers = map[string]string{"X-Key": "${event.key}"} },
	} {
		for _, third := range []string{"other", ""} {
			rec := newReceiver(t, plainHTTP, nil)
			s := newEndpoint(t, rec.URL, batched(false), change)
			var left int
			b := newBatch(&left, "1", "2", "3", "4")
			b.Requests[2].Event.Key = third
			require.Len(t, s.SendBatch(t.Context(), b), 2, name)
			require.Equal(t, 2, left, name)
			require.Contains(t, string((<-rec.requests).body), `"e2"`)
			b = newBatch(&left, "1", "2")
			b.Requests[0].Event.Key = ""
			results := s.SendBatch(t.Context(), b)
			require.Len(t, results, 1, name)
			require.Equal(t, 1, left)
			require.True(t, results[0].Unaddressable, name)
			require.Empty(t, rec.requests)
		}
	}
}
