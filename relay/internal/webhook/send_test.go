package webhook_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// received is one request as a receiver saw it.
type received struct {
	header http.Header
	host   string
	proto  string
	method string
	uri    string
	body   []byte
	peer   string
}

// receiver is an HTTP server that keeps what it gets.
type receiver struct {
	*httptest.Server

	requests chan received
	conns    atomic.Int64
	closed   chan struct{} // a value per closed connection, while there is room
}

func record(t *testing.T, r *http.Request) received {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Errorf("read the request: %v", err)
	}
	return received{r.Header.Clone(), r.Host, r.Proto, r.Method, r.RequestURI, body, r.RemoteAddr}
}

// newReceiver starts a receiver; answer may be nil for 200.
func newReceiver(t *testing.T, start func(*httptest.Server), answer http.HandlerFunc) *receiver {
	t.Helper()
	rec := &receiver{requests: make(chan received, 1000), closed: make(chan struct{}, 100)}
	rec.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec.requests <- record(t, r)
		if answer != nil {
			answer(w, r)
		}
	}))
	rec.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			rec.conns.Add(1)
		case http.StateClosed:
			select {
			case rec.closed <- struct{}{}:
			default:
			}
		case http.StateActive, http.StateIdle, http.StateHijacked:
		}
	}
	rec.Config.ErrorLog = quiet()
	start(rec.Server)
	t.Cleanup(rec.Close)
	return rec
}

// quiet is the log of a server whose complaints are the test's own doing.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func plainHTTP(s *httptest.Server) { s.Start() }
func tlsOnly(s *httptest.Server)   { s.StartTLS() }
func withH2(s *httptest.Server)    { s.EnableHTTP2 = true; s.StartTLS() }

// withoutALPN starts a server that settles on no protocol in the handshake, as old ones do.
func withoutALPN(s *httptest.Server) {
	s.StartTLS()
	s.TLS.NextProtos = nil
}

func loopback() config.Network {
	return config.Network{
		Allow:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		AllowHTTP: true,
	}
}

func newClient(tb testing.TB, o webhook.Options) *webhook.Client {
	tb.Helper()
	c, err := webhook.NewClient(o)
	require.NoError(tb, err)
	tb.Cleanup(c.Close)
	return c
}

// newEndpoint prepares an endpoint at url on a client that may reach the loopback.
func newEndpoint(tb testing.TB, url string, change ...func(*config.Endpoint)) *webhook.Endpoint {
	tb.Helper()
	return endpointOf(tb, newClient(tb, webhook.Options{Network: loopback(), UserAgent: "Tailpost/1.2.3"}), url, change...)
}

func endpointOf(tb testing.TB, c *webhook.Client, url string, change ...func(*config.Endpoint)) *webhook.Endpoint {
	tb.Helper()
	ep := config.Endpoint{
		ID: "erp", URL: url, Secrets: []config.Secret{config.NewSecret(testSecret)}, Timeout: 5 * time.Second,
		Signature: config.SignatureStandard, Format: config.FormatStandard,
	}
	for _, f := range change {
		f(&ep)
	}
	e, err := c.Endpoint(ep)
	require.NoError(tb, err)
	return e
}

func newRequest() *webhook.Request {
	return &webhook.Request{
		Event: &outbox.Event{
			ID: "evt_1", Type: "order.created", Key: "o-7", Tenant: "acme", Payload: json.RawMessage(`{"total": 10.50}`),
			Headers:   map[string]string{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "other": "no"},
			CreatedAt: time.Date(2026, 2, 3, 4, 5, 6, 700_000_000, time.FixedZone("", 3600)),
			CommitLSN: 77,
		},
		Number: 3, Trigger: outbox.TriggerRetry, Now: time.Now(),
	}
}

func TestSendStandard(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "tls": tlsOnly, "h2": withH2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, start, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") })
			o := webhook.Options{Network: loopback(), UserAgent: "Tailpost/1.2.3"}
			if name != "http/1.1" {
				o.Roots = rootsOf(t, rec)
			}
			e := endpointOf(t, newClient(t, o), rec.URL+"/in?x=1", func(ep *config.Endpoint) {
				ep.Headers = map[string]string{"X-Source": "shop"}
			})
			r := newRequest()
			res := e.Send(t.Context(), r)
			require.Empty(t, res.Attempt.Error)
			require.Positive(t, res.Attempt.Duration)
			res.Attempt.Duration = 0
			require.Equal(t, webhook.Result{Attempt: outbox.Attempt{
				EventID: "evt_1", EventType: "order.created", Tenant: "acme", EndpointID: "erp", Number: 3,
				Trigger: outbox.TriggerRetry, URL: rec.URL + "/in?[redacted]", StatusCode: 200, ResponseBody: []byte("thanks"),
				AttemptedAt: r.Now, CommitLSN: 77,
			}, Delivered: true, Reached: true}, res)

			got := <-rec.requests
			require.Equal(t, http.MethodPost, got.method)
			require.Equal(t, "/in?x=1", got.uri)
			require.Equal(t, strings.TrimPrefix(strings.TrimPrefix(rec.URL, "https://"), "http://"), got.host)
			require.Equal(t, map[string]string{"http/1.1": "HTTP/1.1", "tls": "HTTP/1.1", "h2": "HTTP/2.0"}[name], got.proto)
			require.JSONEq(t, `{"id":"evt_1","type":"order.created","timestamp":"2026-02-03T03:05:06.7Z","data":{"total":10.5}}`, string(got.body))
			require.Contains(t, string(got.body), `"data":{"total": 10.50}}`, "the payload keeps its bytes")
			for header, want := range map[string]string{
				"Content-Type": "application/json", "User-Agent": "Tailpost/1.2.3", "Webhook-Id": "evt_1", "X-Source": "shop",
				"Traceparent": r.Event.Headers["traceparent"], "Other": "", "Accept-Encoding": "",
			} {
				require.Equal(t, want, got.header.Get(header), header)
			}
			v, err := signature.NewVerifier(testSecret)
			require.NoError(t, err)
			require.NoError(t, v.Verify(got.header, got.body))
		})
	}
}

// TestReuse: a connection is used again whatever the receiver answers.
func TestReuse(t *testing.T) {
	t.Parallel()
	answers := []http.HandlerFunc{
		func(http.ResponseWriter, *http.Request) {},
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 200_000)) },
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "30000")
			_, _ = io.WriteString(w, strings.Repeat("x", 30000))
		},
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "chunk")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("X-Sum", "1")
		},
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints) },
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
	}
	var n atomic.Int64
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		answers[int(n.Add(1)-1)%len(answers)](w, r)
	})
	e := newEndpoint(t, rec.URL)
	for i := range 2 * len(answers) {
		res := e.Send(t.Context(), newRequest())
		require.NotZero(t, res.Attempt.StatusCode, "answer %d: %s", i%len(answers), res.Attempt.Error)
	}
	require.EqualValues(t, 1, rec.conns.Load())
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	rec := newReceiver(t, plainHTTP, func(_ http.ResponseWriter, _ *http.Request) { <-block })
	t.Cleanup(func() { close(block) })
	e := newEndpoint(t, rec.URL, func(ep *config.Endpoint) { ep.Timeout = 10 * time.Second })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-rec.requests; cancel() }()
	res := e.Send(ctx, newRequest())
	require.Equal(t, "canceled while waiting for headers", res.Attempt.Error)
	require.True(t, res.Local)
	require.True(t, res.Reached, "the receiver may have it")
	require.Less(t, res.Attempt.Duration, 8*time.Second, "at once, not at the end of the timeout")
	res = e.Send(ctx, newRequest())
	require.Contains(t, res.Attempt.Error, "canceled while")
}

// TestTheTimeoutIsTheReceivers: what the relay itself takes to make a request, here with a schema
// that takes long to look at, is neither the receiver's time nor the attempt's.
func TestTheTimeoutIsTheReceivers(t *testing.T) {
	t.Parallel()
	const timeout = 5 * time.Second
	for name, batched := range map[string]bool{"alone": false, "batch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, plainHTTP, nil)
			slow := func(*outbox.Event) error { <-time.After(timeout + time.Second); return nil }
			e := endpointOf(t, newClient(t, webhook.Options{Network: loopback(), Check: slow}), rec.URL,
				func(ep *config.Endpoint) { ep.Timeout, ep.Batch = timeout, config.Batch{Events: 2, Bytes: 1 << 20} })
			var res webhook.Result
			if batched {
				res = e.SendBatch(t.Context(), &webhook.Batch{ID: "req_1", Requests: []webhook.Request{*newRequest()}})[0]
			} else {
				res = e.Send(t.Context(), newRequest())
			}
			require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
			require.Less(t, res.Attempt.Duration, timeout)
		})
	}
}

// TestNewClient_takesNoHeaderThatEndsItself: what every request says of the relay is one line.
func TestNewClient_takesNoHeaderThatEndsItself(t *testing.T) {
	t.Parallel()
	for _, o := range []webhook.Options{{UserAgent: "a\r\nX-Key: b"}, {Source: "a\r\nX-Key: b"}, {UserAgent: "a\x00"}, {Source: "a\n"}} {
		_, err := webhook.NewClient(o)
		require.ErrorContains(t, err, "the user agent or the source holds control characters", "%q", o)
	}
}
