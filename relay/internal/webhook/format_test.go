package webhook_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

func formatted(f config.Format) func(*config.Endpoint) {
	return func(ep *config.Endpoint) { ep.Format = f }
}

// deliver sends r to a new receiver and gives the request it got.
func deliver(t *testing.T, r *webhook.Request, change ...func(*config.Endpoint)) received {
	t.Helper()
	rec := newReceiver(t, plainHTTP, nil)
	res := newEndpoint(t, rec.URL, change...).Send(t.Context(), r)
	require.Empty(t, res.Attempt.Error)
	require.Equal(t, 200, res.Attempt.StatusCode)
	return <-rec.requests
}

func TestBodies(t *testing.T) {
	t.Parallel()
	const envelope = `{"id":"evt_1","type":"order.created","timestamp":"2026-02-03T03:05:06.7Z","data":`
	const cloud = `{"specversion":"1.0","id":"evt_1","source":"tailpost","type":"order.created","time":"2026-02-03T03:05:06.7Z","partitionkey":"o-7","datacontenttype":"application/json","data":`
	const jsonType, cloudType = "application/json", "application/cloudevents+json; charset=utf-8"
	payload := " {\"n\": 1.000, \"é\":\"\\u0000\" }\n"
	for name, test := range map[string]struct {
		format      config.Format
		payload     json.RawMessage
		body        string
		contentType string
	}{
		"standard":                    {config.FormatStandard, json.RawMessage(payload), envelope + payload + "}", jsonType},
		"no format is standard":       {"", json.RawMessage("1"), envelope + "1}", jsonType},
		"standard null":               {config.FormatStandard, nil, envelope + "null}", jsonType},
		"raw":                         {config.FormatRaw, json.RawMessage(payload), payload, jsonType},
		"raw null":                    {config.FormatRaw, nil, "null", jsonType},
		"raw that is not JSON":        {config.FormatRaw, json.RawMessage("a\x00\xff"), "a\x00\xff", "application/octet-stream"},
		"raw and empty":               {config.FormatRaw, json.RawMessage{}, "", "application/octet-stream"},
		"cloudevents":                 {config.FormatCloudEvents, json.RawMessage(payload), cloud + payload + "}", cloudType},
		"cloudevents null":            {config.FormatCloudEvents, nil, cloud + "null}", cloudType},
		"cloudevents-binary":          {config.FormatCloudEventsBinary, json.RawMessage(payload), payload, jsonType},
		"cloudevents-binary null":     {config.FormatCloudEventsBinary, nil, "null", jsonType},
		"cloudevents-binary no JSON":  {config.FormatCloudEventsBinary, json.RawMessage("<x/>"), "<x/>", "application/octet-stream"},
		"standard, below one write":   {config.FormatStandard, quoted(30_000), envelope + string(quoted(30_000)) + "}", jsonType},
		"standard, in several writes": {config.FormatStandard, quoted(3_000_000), envelope + string(quoted(3_000_000)) + "}", jsonType},
		"raw, in several writes":      {config.FormatRaw, quoted(3_000_000), string(quoted(3_000_000)), jsonType},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRequest()
			r.Event.Payload = test.payload
			got := deliver(t, r, formatted(test.format))
			require.Equal(t, test.body, string(got.body))
			require.Equal(t, test.contentType, got.header.Get("Content-Type"))
			v, err := signature.NewVerifier(testSecret)
			require.NoError(t, err)
			require.NoError(t, v.Verify(got.header, got.body))
		})
	}
}

func quoted(n int) json.RawMessage {
	return json.RawMessage(`"` + strings.Repeat("x", n) + `"`)
}

// TestEnvelopeStrings: whatever an id or a type holds, the envelope is JSON and says the same.
func TestEnvelopeStrings(t *testing.T) {
	t.Parallel()
	r := newRequest()
	r.Event.ID, r.Event.Type = `a"b\c/<é日>`, "x\x00\n\x7f\u2028\"\\\xff😀"
	for _, f := range []config.Format{config.FormatStandard, config.FormatCloudEvents} {
		got := deliver(t, r, formatted(f))
		var envelope struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		}
		require.NoError(t, json.Unmarshal(got.body, &envelope))
		require.Equal(t, r.Event.ID, envelope.ID)
		require.Equal(t, strings.ToValidUTF8(r.Event.Type, "\uFFFD"), envelope.Type)
		id, err := url.PathUnescape(got.header.Get("Webhook-Id"))
		require.NoError(t, err)
		require.Equal(t, r.Event.ID, id)
	}
}

// TestBodyExpression: the expression's value takes the payload's place in every format.
func TestBodyExpression(t *testing.T) {
	t.Parallel()
	body, diags := config.CompileBody("{ order = event.data.id, kind = event.type }", "x.hcl", 1)
	require.Empty(t, diags)
	r := newRequest()
	r.Event.Payload, r.Body = json.RawMessage(`{"id":12345678901234567890}`), body
	const data = `{"order":12345678901234567890,"kind":"order.created"}`
	for f, want := range map[config.Format]string{
		config.FormatStandard: `{"id":"evt_1","type":"order.created","timestamp":"2026-02-03T03:05:06.7Z","data":` + data + `}`,
		config.FormatRaw:      data,
		config.FormatCloudEvents: `{"specversion":"1.0","id":"evt_1","source":"tailpost","type":"order.created","time":"2026-02-03T03:05:06.7Z",` +
			`"partitionkey":"o-7","datacontenttype":"application/json","data":` + data + `}`,
		config.FormatCloudEventsBinary: data,
	} {
		got := deliver(t, r, formatted(f))
		require.JSONEq(t, want, string(got.body), f)
	}
	r.Event.Payload = json.RawMessage(`{"id":x}`)
	for _, f := range []config.Format{config.FormatStandard, config.FormatRaw} {
		res := newEndpoint(t, "http://127.0.0.1:1", formatted(f)).Send(t.Context(), r)
		require.True(t, res.Permanent)
		require.Equal(t, "build body: payload is not valid JSON", res.Attempt.Error)
	}
}

// TestIDsBeyondASCIIVerify: receivers read the bytes of a header as Latin-1 or refuse them, so an
// id that holds more than ASCII is percent-encoded there, and signed as it is sent. One of ASCII
// alone stays as it is.
func TestIDsBeyondASCIIVerify(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"Größe-7": "Gr%C3%B6%C3%9Fe-7", "日本": "%E6%97%A5%E6%9C%AC", "100%é": "100%25%C3%A9", "100% sure": "100% sure", "a\xffb": "a%EF%BF%BDb",
	} {
		r := newRequest()
		r.Event.ID = id
		got := deliver(t, r)
		require.Equal(t, want, got.header.Get("Webhook-Id"))
		v, err := signature.NewVerifier(testSecret)
		require.NoError(t, err)
		require.NoError(t, v.Verify(got.header, got.body))
		require.Contains(t, string(got.body), `{"id":"`+strings.ToValidUTF8(id, "\uFFFD")+`"`, "the body has it as it is")
	}
}

// TestPayloadThatIsNotUTF8: JSON is UTF-8. Bytes that are not never verify at a receiver that reads
// the body as text, so no envelope carries them, and raw says that they are bytes.
func TestPayloadThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	r := newRequest()
	r.Event.Payload = json.RawMessage("{\"name\":\"Gr\xf6\xdfe\"}") // Latin-1
	rec := newReceiver(t, plainHTTP, nil)
	for _, f := range []config.Format{config.FormatStandard, config.FormatCloudEvents} {
		res := newEndpoint(t, rec.URL, formatted(f)).Send(t.Context(), r)
		require.True(t, res.Permanent)
		require.Contains(t, res.Attempt.Error, "not valid UTF-8")
	}
	require.Empty(t, rec.requests)
	for _, f := range []config.Format{config.FormatRaw, config.FormatCloudEventsBinary} {
		got := deliver(t, r, formatted(f))
		require.Equal(t, string(r.Event.Payload), string(got.body))
		require.Equal(t, "application/octet-stream", got.header.Get("Content-Type"))
	}
}

// TestStripeNamesTheCharset: so does Stripe, and readers that go by the type alone take the body
// for Latin-1 otherwise.
func TestStripeNamesTheCharset(t *testing.T) {
	t.Parallel()
	for _, f := range []config.Format{config.FormatStandard, config.FormatRaw} {
		got := deliver(t, newRequest(), formatted(f), func(ep *config.Endpoint) { ep.Signature = config.SignatureStripe })
		require.Equal(t, "application/json; charset=utf-8", got.header.Get("Content-Type"))
	}
}

// TestTimesThatRFC3339HasNoFormFor are left out: Postgres holds years that receivers' parsers do
// not read.
func TestTimesThatRFC3339HasNoFormFor(t *testing.T) {
	t.Parallel()
	for year, written := range map[int]bool{2026: true, 9999: true, 1: true, 10000: false, 20231: false, 294276: false, -1: false} {
		r := newRequest()
		r.Event.CreatedAt = time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC)
		for f, name := range map[config.Format]string{config.FormatStandard: "timestamp", config.FormatCloudEvents: "time"} {
			var envelope map[string]any
			require.NoError(t, json.Unmarshal(deliver(t, r, formatted(f)).body, &envelope))
			text, ok := envelope[name].(string)
			require.Equal(t, written, ok, "%d", year)
			if ok {
				at, err := time.Parse(time.RFC3339Nano, text)
				require.NoError(t, err)
				require.True(t, at.Equal(r.Event.CreatedAt))
			}
		}
		got := deliver(t, r, formatted(config.FormatCloudEventsBinary))
		require.Equal(t, written, got.header.Get("Ce-Time") != "")
	}
}

// TestUnsendable: what no attempt can send is said at once, and for good.
func TestUnsendable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		format config.Format
		change func(*outbox.Event)
		want   string
	}{
		"no JSON":                   {config.FormatStandard, func(e *outbox.Event) { e.Payload = json.RawMessage("{") }, "the payload is not valid JSON"},
		"empty":                     {config.FormatStandard, func(e *outbox.Event) { e.Payload = json.RawMessage{} }, "the payload is not valid JSON"},
		"no JSON in a CloudEvent":   {config.FormatCloudEvents, func(e *outbox.Event) { e.Payload = json.RawMessage("{") }, "the payload is not valid JSON"},
		"injection by JSON":         {config.FormatStandard, func(e *outbox.Event) { e.Payload = json.RawMessage(`1},"id":"evil","x":{"a":1`) }, "the payload is not valid JSON"},
		"no id":                     {config.FormatRaw, func(e *outbox.Event) { e.ID = "" }, "id is empty"},
		"id with a line break":      {config.FormatRaw, func(e *outbox.Event) { e.ID = "a\r\nX-Evil: 1" }, "control characters"},
		"id with NUL":               {config.FormatRaw, func(e *outbox.Event) { e.ID = "a\x00" }, "control characters"},
		"id with a blank at end":    {config.FormatRaw, func(e *outbox.Event) { e.ID = "a " }, "blanks"},
		"a CloudEvent with no type": {config.FormatCloudEventsBinary, func(e *outbox.Event) { e.Type = "" }, "type is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, plainHTTP, nil)
			r := newRequest()
			test.change(r.Event)
			res := newEndpoint(t, rec.URL, formatted(test.format)).Send(t.Context(), r)
			require.True(t, res.Permanent)
			require.Contains(t, res.Attempt.Error, test.want)
			require.Zero(t, res.Attempt.StatusCode)
			require.Zero(t, rec.conns.Load())
		})
	}
}

// TestCloudEventsLibraryAgrees reads both modes with the CloudEvents project's own library.
func TestCloudEventsLibraryAgrees(t *testing.T) {
	t.Parallel()
	for _, f := range []config.Format{config.FormatCloudEvents, config.FormatCloudEventsBinary} {
		r := newRequest()
		r.Event.ID, r.Event.Type, r.Event.Key = `é "1" 100%`, "order.créé", "日本 7"
		got := deliver(t, r, formatted(f))
		ce, err := binding.ToEvent(t.Context(), cehttp.NewMessage(got.header, readCloser{strings.NewReader(string(got.body))}))
		require.NoError(t, err, f)
		require.NoError(t, ce.Validate())
		require.Equal(t, "1.0", ce.SpecVersion())
		decode := func(s string) string { return s }
		if f == config.FormatCloudEventsBinary { // the library leaves the percent-encoding of headers to its caller
			decode = func(s string) string {
				out, err := url.PathUnescape(s)
				require.NoError(t, err)
				return out
			}
		}
		require.Equal(t, r.Event.Type, decode(ce.Type()))
		require.Equal(t, r.Event.ID, decode(ce.ID()))
		require.Equal(t, "tailpost", ce.Source())
		require.True(t, r.Event.CreatedAt.Equal(ce.Time()))
		key, ok := ce.Extensions()["partitionkey"].(string)
		require.True(t, ok)
		require.Equal(t, r.Event.Key, decode(key))
		require.Equal(t, "application/json", ce.DataContentType())
		require.JSONEq(t, string(r.Event.Payload), string(ce.Data()))
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// TestSchemes: each scheme's requests verify, and carry the id and time in the open as well.
func TestSchemes(t *testing.T) {
	t.Parallel()
	for _, s := range []config.Signature{config.SignatureStandard, config.SignatureStripe, config.SignatureGitHub, ""} {
		r := newRequest()
		got := deliver(t, r, func(ep *config.Endpoint) {
			ep.Signature = s
			ep.Secrets = []config.Secret{config.NewSecret(testSecret), config.NewSecret(signature.GenerateSecret())}
		})
		scheme := signature.Scheme(s)
		if s == "" {
			scheme = signature.Standard
		}
		v, err := signature.NewVerifierFor(scheme, testSecret)
		require.NoError(t, err)
		require.NoError(t, v.Verify(got.header, got.body))
		require.Equal(t, "evt_1", got.header.Get("Webhook-Id"))
		require.NotEmpty(t, got.header.Get("Webhook-Timestamp"))
	}
}

// TestHeaders: the endpoint's own headers go along, a trace passes through, and nothing can be
// smuggled in.
func TestHeaders(t *testing.T) {
	t.Parallel()
	r := newRequest()
	r.Event.CreatedAt = time.Time{}
	r.Event.Headers = map[string]string{"traceparent": "00-x\r\nX-Evil: 1", "tracestate": "a=1,b=2", "x-custom": "not passed"}
	rec := newReceiver(t, plainHTTP, nil)
	address := strings.Replace(rec.URL, "http://", "http://us%65r:p%40ss@", 1)
	e := newEndpoint(t, address+"/a%2Fb/?q=%20x&y z=é#frag", func(ep *config.Endpoint) {
		ep.Headers = map[string]string{"X-Source": "shop", "user-agent": "Shop/1", "Content-Type": "application/vnd.shop+json"}
	})
	res := e.Send(t.Context(), r)
	require.Equal(t, rec.URL+"/a%2Fb/?[redacted]", res.Attempt.URL)
	got := <-rec.requests
	require.Equal(t, "/a%2Fb/?q=%20x&y%20z=%C3%A9", got.uri)
	require.Contains(t, string(got.body), `"timestamp":"`+r.Now.UTC().Format("2006-01-02T15:04:05"), "the attempt's time in place of the event's")
	delete(got.header, "Webhook-Signature")
	delete(got.header, "Webhook-Timestamp")
	delete(got.header, "Content-Length")
	require.Equal(t, http.Header{
		"X-Source": {"shop"}, "User-Agent": {"Shop/1"}, "Content-Type": {"application/vnd.shop+json"},
		"Authorization": {"Basic dXNlcjpwQHNz"}, "Webhook-Id": {"evt_1"}, "Tracestate": {"a=1,b=2"},
	}, got.header)
}

// TestHeaders_ofOneTrace: a span of the relay's own goes out with its own state, never with that of
// the span that wrote the event.
func TestHeaders_ofOneTrace(t *testing.T) {
	t.Parallel()
	r := newRequest()
	r.Event.Headers["tracestate"] = "event=1"
	r.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01"
	for _, state := range []string{"relay=1", ""} {
		r.Tracestate = state
		got := deliver(t, r)
		require.Equal(t, r.Traceparent, got.header.Get("traceparent"))
		require.Equal(t, state, got.header.Get("tracestate"))
	}
}

func TestEndpointErrors(t *testing.T) {
	t.Parallel()
	header := func(name, value string) func(*config.Endpoint) {
		return func(ep *config.Endpoint) { ep.Headers = map[string]string{name: value} }
	}
	for want, change := range map[string]func(*config.Endpoint){
		"the URL is not valid":               func(ep *config.Endpoint) { ep.URL = "https://x\x7f/s3cret" },
		"no scheme":                          func(ep *config.Endpoint) { ep.URL = "x.example/s3cret" },
		"no host":                            func(ep *config.Endpoint) { ep.URL = "https:///s3cret" },
		"allow_http":                         func(ep *config.Endpoint) { ep.URL = "http://x.example/s3cret" },
		"redirects is 3: want 0 to 2":        func(ep *config.Endpoint) { ep.Redirects = 3 },
		`unknown format "xml"`:               func(ep *config.Endpoint) { ep.Format = "xml" },
		`unknown signature scheme "md5"`:     func(ep *config.Endpoint) { ep.Signature = "md5" },
		"invalid secret":                     func(ep *config.Endpoint) { ep.Secrets = []config.Secret{config.NewSecret("s3cret")} },
		"none given":                         func(ep *config.Endpoint) { ep.Secrets = nil },
		"not a valid header name":            header("X Source", "x"),
		"the value holds control characters": header("X-Source", "x\r\nX-Evil: s3cret"),
		"blanks at an end":                   header("X-Source", "x "),
		`header "Host": set by Tailpost`:     header("Host", "x"),
		`"content-length"`:                   header("content-length", "1"),
		`"Webhook-Id"`:                       header("Webhook-Id", "1"),
		`"Proxy-Authorization"`:              header("Proxy-Authorization", "1"),
		"given twice":                        func(ep *config.Endpoint) { ep.Headers = map[string]string{"X-A": "1", "x-a": "2"} },
	} {
		ep := config.Endpoint{ID: "erp", URL: "https://x.example/", Secrets: []config.Secret{config.NewSecret(testSecret)}}
		change(&ep)
		_, err := newClient(t, webhook.Options{}).Endpoint(ep)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, `prepare endpoint "erp"`)
		require.NotContains(t, err.Error(), "s3cret")
	}
	c := newClient(t, webhook.Options{})
	c.Close()
	_, err := c.Endpoint(config.Endpoint{ID: "erp", URL: "https://x.example/", Secrets: []config.Secret{config.NewSecret(testSecret)}})
	require.ErrorContains(t, err, "closed")
	_, err = webhook.NewClient(webhook.Options{UserAgent: "x\r\ny"})
	require.ErrorContains(t, err, "control characters")
}
