package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	receiverurl "github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// redirecting answers with status and the Location that next gives.
func redirecting(status int, next func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", next())
		w.WriteHeader(status)
	}
}

func constant(s string) func() string { return func() string { return s } }

func follows(n int) func(*config.Endpoint) {
	return func(ep *config.Endpoint) {
		ep.Redirects = n
		ep.Headers = map[string]string{"X-Key": "k3y", "Content-Type": "application/vnd.shop+json"}
	}
}

// TestRedirectFollowed: the same request goes to the next place, signature and all, but the
// endpoint's own headers only to the same one.
func TestRedirectFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		elsewhere := newReceiver(t, plainHTTP, nil)
		first := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/start":
				redirecting(status, constant("second?x=1#frag"))(w, r)
			case "/second":
				redirecting(status, constant(strings.Replace(elsewhere.URL, "http://", "http://evil:pw@", 1)+"/third"))(w, r)
			}
		})
		e := newEndpoint(t, strings.Replace(first.URL, "http://", "http://user:pw@", 1)+"/start", follows(2))
		for range 2 {
			res := e.Send(t.Context(), newRequest())
			require.Empty(t, res.Attempt.Error)
			require.Equal(t, 200, res.Attempt.StatusCode)
			require.Equal(t, first.URL+"/start", res.Attempt.URL)
			a, b, c := <-first.requests, <-first.requests, <-elsewhere.requests
			require.Equal(t, []string{"/start", "/second?x=1", "/third"}, []string{a.uri, b.uri, c.uri})
			v, err := signature.NewVerifier(testSecret)
			require.NoError(t, err)
			for _, got := range []received{a, b, c} {
				require.Equal(t, http.MethodPost, got.method)
				require.Equal(t, a.body, got.body)
				require.Equal(t, a.header["Webhook-Signature"], got.header["Webhook-Signature"])
				require.NoError(t, v.Verify(got.header, got.body))
				require.Equal(t, "Tailpost/1.2.3", got.header.Get("User-Agent"))
				require.Equal(t, "application/vnd.shop+json", got.header.Get("Content-Type"), "it describes the body")
			}
			require.Equal(t, "k3y", a.header.Get("X-Key"))
			require.Equal(t, "k3y", b.header.Get("X-Key"))
			require.Equal(t, "Basic dXNlcjpwdw==", b.header.Get("Authorization"))
			require.Empty(t, c.header.Get("X-Key"))
			require.Empty(t, c.header.Get("Authorization"))
		}
		require.EqualValues(t, 1, first.conns.Load())
		require.EqualValues(t, 1, elsewhere.conns.Load())
	}
}

// TestRedirectKeepsSecretsFromWhoLeadsOn: who was led to somebody else's place is still there after
// it is led on from there, and has the endpoint's own headers again back at the first.
func TestRedirectKeepsSecretsFromWhoLeadsOn(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"back": true, "on": false} {
		var first, elsewhere *receiver
		elsewhere = newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/leads" {
				redirecting(307, constant(map[bool]string{true: first.URL, false: elsewhere.URL}[ends]+"/end"))(w, r)
			}
		})
		first = newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/start" {
				redirecting(307, constant(elsewhere.URL+"/leads"))(w, r)
			}
		})
		require.True(t, newEndpoint(t, first.URL+"/start", follows(2)).Send(t.Context(), newRequest()).Delivered, name)
		require.Equal(t, "k3y", (<-first.requests).header.Get("X-Key"), name)
		require.Empty(t, (<-elsewhere.requests).header.Get("X-Key"), name)
		if ends {
			require.Equal(t, "k3y", (<-first.requests).header.Get("X-Key"), name)
		} else {
			require.Empty(t, (<-elsewhere.requests).header.Get("X-Key"), name)
		}
	}
}

// TestRedirectHidesTheUserAgent that is the endpoint's own: it may be a credential, and somebody
// else sees who the relay is.
func TestRedirectHidesTheUserAgent(t *testing.T) {
	t.Parallel()
	elsewhere := newReceiver(t, plainHTTP, nil)
	first := newReceiver(t, plainHTTP, redirecting(http.StatusTemporaryRedirect, constant(elsewhere.URL)))
	e := newEndpoint(t, first.URL, func(ep *config.Endpoint) { ep.Redirects, ep.Headers = 1, map[string]string{"User-Agent": "Shop/1"} })
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	require.Equal(t, "Shop/1", (<-first.requests).header.Get("User-Agent"))
	require.Equal(t, "Tailpost/1.2.3", (<-elsewhere.requests).header.Get("User-Agent"))
}

// TestRedirectOverHTTP2 has the body sent three times over one connection.
func TestRedirectOverHTTP2(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, withH2, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/start":
			redirecting(307, constant("/second"))(w, r)
		case "/second":
			redirecting(308, constant("/third"))(w, r)
		}
	})
	e := endpointOf(t, clientFor(t, rec), rec.URL+"/start", follows(2))
	r := newRequest()
	r.Event.Payload = quoted(100_000)
	res := e.Send(t.Context(), r)
	require.Empty(t, res.Attempt.Error)
	for range 3 {
		got := <-rec.requests
		require.Equal(t, "HTTP/2.0", got.proto)
		v, err := signature.NewVerifier(testSecret)
		require.NoError(t, err)
		require.NoError(t, v.Verify(got.header, got.body))
	}
	require.EqualValues(t, 1, rec.conns.Load())
}

// TestRedirectsShareOneTimeout: the timeout is the attempt's. A receiver that spends half of it on
// every hop runs out of it.
func TestRedirectsShareOneTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(timeout / 2)
		defer timer.Stop()
		<-timer.C
		if r.URL.Path != "/third" {
			redirecting(307, constant(map[string]string{"/start": "/second", "/second": "/third"}[r.URL.Path]))(w, r)
		}
	})
	e := newEndpoint(t, rec.URL+"/start", follows(2), func(ep *config.Endpoint) { ep.Timeout = timeout })
	res := e.Send(t.Context(), newRequest())
	require.Contains(t, res.Attempt.Error, "timeout after 2s")
	require.Zero(t, res.Attempt.StatusCode, "the last hop had no answer")
}

func TestRedirectNotFollowed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		allowed  int
		status   int
		location string
		secure   bool
		err      string
		sent     int
	}{
		"none allowed":         {0, 307, "/next", false, "redirect not followed: the endpoint allows 0", 1},
		"one more than two":    {2, 308, "/next", false, "redirect not followed: the endpoint allows 2", 3},
		"another method":       {2, 302, "/next", false, "", 1},
		"see other":            {2, 303, "/next", false, "", 1},
		"moved permanently":    {2, 301, "/next", false, "", 1},
		"no location":          {2, 307, "", false, "redirect not followed: without a Location", 1},
		"a bad location":       {2, 307, "http://[::1", false, "redirect not followed: the Location is not a valid URL", 1},
		"another scheme":       {2, 307, "ftp://x.example/", false, `redirect not followed: the Location's scheme "ftp" is not supported: want https`, 1},
		"an unusual address":   {2, 307, "http://0x7f.1/", false, "redirect not followed: the Location's host is an IPv4 address in an unusual notation: write four decimal numbers, like 192.0.2.1", 1},
		"a denied address":     {2, 307, "http://10.0.0.1/?s3cret", false, "redirect 307 not followed: address 10.0.0.1 is not allowed (private)", 1},
		"the metadata service": {2, 308, "http://169.254.169.254/latest", false, "redirect 308 not followed: address 169.254.169.254 is not allowed (metadata)", 1},
		"https to plain http":  {2, 307, "http://127.0.0.1:1/", true, "redirect not followed: from https to plain http", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := map[bool]func(*httptest.Server){false: plainHTTP, true: tlsOnly}[test.secure]
			rec := newReceiver(t, start, redirecting(test.status, constant(test.location)))
			o := webhook.Options{Network: loopback()}
			if test.secure {
				o.Roots = rootsOf(t, rec)
			}
			res := endpointOf(t, newClient(t, o), rec.URL, follows(test.allowed)).Send(t.Context(), newRequest())
			require.Equal(t, test.err, res.Attempt.Error)
			if strings.Contains(test.err, ": address") {
				require.Zero(t, res.Attempt.StatusCode, "the last hop had no answer")
				require.Regexp(t, `^redirect 30[78] not followed: the receiver's address is not allowed$`, receiverurl.PublicError(test.err))
			} else {
				require.Equal(t, test.status, res.Attempt.StatusCode)
			}
			require.Len(t, rec.requests, test.sent)
		})
	}
}

// TestRedirect_keepsConnectionsToFewReceivers: of the places that an endpoint is led to, those that
// were needed last keep their connections; none keeps one once the endpoint is closed.
func TestRedirect_keepsConnectionsToFewReceivers(t *testing.T) {
	t.Parallel()
	var places [4]*receiver
	for i := range places {
		places[i] = newReceiver(t, plainHTTP, nil)
	}
	next := 0
	first := newReceiver(t, plainHTTP, redirecting(http.StatusTemporaryRedirect, func() string { return places[next].URL }))
	e := newEndpoint(t, first.URL, follows(1))
	for _, step := range []struct {
		to    int
		conns [len(places)]int64 // that each place has seen
		ends  int                // the place whose connection is closed for it; none if it is to itself
	}{
		{0, [4]int64{1, 0, 0, 0}, 0},
		{1, [4]int64{1, 1, 0, 0}, 1},
		{2, [4]int64{1, 1, 1, 0}, 2},
		{0, [4]int64{1, 1, 1, 0}, 0}, // now 1 is the one that was not needed for longest
		{3, [4]int64{1, 1, 1, 1}, 1},
		{0, [4]int64{1, 1, 1, 1}, 0},
		{2, [4]int64{1, 1, 1, 1}, 2},
		{1, [4]int64{1, 2, 1, 1}, 3},
	} {
		next = step.to
		require.True(t, e.Send(t.Context(), newRequest()).Delivered)
		if step.ends != step.to {
			awaitClosed(t, places[step.ends], 1)
			<-places[step.ends].closed
		}
		for i, place := range places {
			require.Equal(t, step.conns[i], place.conns.Load(), "%d after %+v", i, step)
			require.Empty(t, place.closed)
		}
	}
	e.Close()
	for i, open := range []int{1, 1, 1, 0} {
		awaitClosed(t, places[i], open)
	}
	next = 3
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	awaitClosed(t, places[next], 1)
}
