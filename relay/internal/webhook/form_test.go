package webhook_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// TestForm: the members of the payload are the fields of a form, as a browser would send them.
func TestForm(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]url.Values{
		`{"order":"A 1&b=c","total":12345678901234567890.10,"paid":true,"note":null,"é":"ü漢"}`: {
			"order": {"A 1&b=c"}, "total": {"12345678901234567890.10"}, "paid": {"true"}, "note": {""}, "é": {"ü漢"},
		},
		`{"customer":{"name":"Zoë","tags":["a","b"]},"lines":[{"sku":1},{"sku":2e400}],"none":{},"empty":[]}`: {
			"customer[name]": {"Zoë"}, "customer[tags][0]": {"a"}, "customer[tags][1]": {"b"}, "lines[0][sku]": {"1"}, "lines[1][sku]": {"2e400"},
		},
		`{"a":"first","a":"last"}`: {"a": {"last"}},
		`{}`:                       {},
	} {
		r := newRequest()
		r.Event.Payload = json.RawMessage(payload)
		got := deliver(t, r, formatted(config.FormatForm))
		require.Equal(t, "application/x-www-form-urlencoded", got.header.Get("Content-Type"))
		fields, err := url.ParseQuery(string(got.body))
		require.NoError(t, err)
		require.Equal(t, want, fields)
		v, err := signature.NewVerifier(testSecret)
		require.NoError(t, err)
		require.NoError(t, v.Verify(got.header, got.body))
	}
	body, diags := config.CompileBody(`{ id = event.data.id, kind = event.type }`, "x.hcl", 1)
	require.Empty(t, diags)
	r := newRequest()
	r.Event.Payload, r.Body = json.RawMessage(`{"id":7}`), body
	require.Equal(t, "id=7&kind=order.created", string(deliver(t, r, formatted(config.FormatForm)).body))
}

// TestFormOfWhatIsNone: what has no fields is dead at once, with the reason, and nothing is sent.
func TestFormOfWhatIsNone(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"`+strings.Repeat("n", 1000)+`":`, 100) + `["` + strings.Repeat(`","`, 1000) + `"]` + strings.Repeat("}", 100)
	for payload, want := range map[string]string{
		``: "not a JSON object", `null`: "not a JSON object", `[1]`: "not a JSON object", `"x"`: "not a JSON object", `{"a":1} {}`: "not a JSON object",
		`{"a":`: "not a JSON object", "{\"a\":\"\xff\"}": "not valid UTF-8", deep: "the form is larger than 16 MiB",
	} {
		rec := newReceiver(t, plainHTTP, nil)
		r := newRequest()
		r.Event.Payload = json.RawMessage(payload)
		res := newEndpoint(t, rec.URL, formatted(config.FormatForm)).Send(t.Context(), r)
		require.Contains(t, res.Attempt.Error, want)
		require.True(t, res.Permanent)
		require.Empty(t, rec.requests)
	}
}

// TestGzip: a large body is compressed where that makes it smaller, and the signature is that of
// the bytes as they arrive, which the public library of Standard Webhooks verifies.
func TestGzip(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(rand.IntN(256))
	}
	for name, test := range map[string]struct {
		payload string
		packed  bool
	}{
		"large":         {`"` + strings.Repeat("order ", 1000) + `"`, true},
		"very large":    {`"` + strings.Repeat("order ", 300_000) + `"`, true},
		"just enough":   {`"` + strings.Repeat("x", 1022) + `"`, true},
		"small":         {`"` + strings.Repeat("x", 1021) + `"`, false},
		"without order": {string(noise), false},
		"empty":         {"", false},
	} {
		for protocol, start := range map[string]func(*httptest.Server){"HTTP/1.1": plainHTTP, "HTTP/2": withH2} {
			rec := newReceiver(t, start, nil)
			o := webhook.Options{Network: loopback()}
			if protocol == "HTTP/2" {
				o.Roots = rootsOf(t, rec)
			}
			e := endpointOf(t, newClient(t, o), rec.URL, func(ep *config.Endpoint) { ep.Format, ep.Gzip = config.FormatRaw, true })
			r := newRequest()
			r.Event.Payload = json.RawMessage(test.payload)
			for range 2 { // buffers are used again
				require.Empty(t, e.Send(t.Context(), r).Attempt.Error, name)
				got := <-rec.requests
				if test.packed {
					require.Equal(t, "gzip", got.header.Get("Content-Encoding"), name)
					require.Less(t, len(got.body), len(test.payload))
				} else {
					require.Empty(t, got.header.Get("Content-Encoding"), name)
				}
				verifier, err := standardwebhooks.NewWebhook(testSecret)
				require.NoError(t, err)
				require.NoError(t, verifier.VerifyIgnoringTimestamp(got.body, got.header), "%s by %s", name, protocol)
				body := got.body
				if test.packed {
					unpacked, err := gzip.NewReader(bytes.NewReader(body))
					require.NoError(t, err)
					body, err = io.ReadAll(unpacked)
					require.NoError(t, err)
				}
				require.Equal(t, test.payload, string(body), name)
			}
		}
	}
}
