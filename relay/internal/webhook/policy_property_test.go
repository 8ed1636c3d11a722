package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// policyCase is an endpoint's policy, and what its events are.
type policyCase struct {
	ep       config.Endpoint
	body     *config.Body // of the subscription
	old      bool         // the version of before is pinned
	amounts  []string
	pad      string
	payloads []string
}

// policyVersions has the total an object since 2026-09-20.
func policyVersions(tb testing.TB) config.Versions {
	tb.Helper()
	before, diags := config.CompileBody(`{ total = event.data.total.amount, pad = event.data.pad }`, "test.hcl", 1)
	require.False(tb, diags.HasErrors())
	cfg, err := config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://localhost/app")},
		API:      config.API{Listen: "127.0.0.1:0"},
		Versions: config.Versions{{Name: "2025-01-01"}, {Name: "2026-09-20", Events: []config.VersionEvent{{Events: "**", Body: before}}}},
	}.Complete()
	require.NoError(tb, err)
	return cfg.Versions
}

func drawPolicy(t *rapid.T, at string, versions config.Versions, own *config.Body) policyCase {
	c := policyCase{ep: config.Endpoint{ID: "erp", URL: at, Timeout: 5 * time.Second}}
	c.ep.Format = rapid.SampledFrom([]config.Format{
		config.FormatStandard, config.FormatRaw, config.FormatCloudEvents, config.FormatCloudEventsBinary, config.FormatForm,
	}).Draw(t, "format")
	c.ep.Signature = rapid.SampledFrom([]config.Signature{config.SignatureStandard, config.SignatureStripe, config.SignatureGitHub}).Draw(t, "signature")
	for i := range rapid.IntRange(1, 3).Draw(t, "secrets") {
		c.ep.Secrets = append(c.ep.Secrets, config.NewSecret("whsec_"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(i + 1)}, 32))))
	}
	c.ep.Method = rapid.SampledFrom([]string{"POST", "PUT", "PATCH", "DELETE"}).Draw(t, "method")
	c.ep.Gzip = rapid.Bool().Draw(t, "gzip")
	if rapid.Bool().Draw(t, "content type") {
		c.ep.Headers = map[string]string{"Content-Type": "application/x-shop"}
	}
	events := 1
	if batches := c.ep.Format == config.FormatStandard || c.ep.Format == config.FormatCloudEvents; batches && rapid.Bool().Draw(t, "batch") {
		c.ep.Batch = config.DefaultBatch()
		c.ep.Batch.Bytes = 10 << 20 // room for all
		events = rapid.IntRange(1, 9).Draw(t, "events")
	}
	if name := rapid.SampledFrom([]string{"", "2025-01-01", "2026-09-20"}).Draw(t, "version"); name != "" {
		c.ep.Version, c.old = name, name == "2025-01-01"
		versions.Pin(&c.ep, "")
	}
	if rapid.Bool().Draw(t, "body") {
		c.body = own
	}
	c.pad = strings.Repeat(rapid.SampledFrom([]string{"", "x", "é", "<&>", "\u2028", "😀", "\"\\\n"}).Draw(t, "pad"), rapid.SampledFrom([]int{1, 400, 3000}).Draw(t, "times"))
	for range events {
		amount := rapid.SampledFrom([]string{"0", "-1.50", "12345678901234567890.25", "1e3"}).Draw(t, "amount")
		pad, err := json.Marshal(c.pad)
		if err != nil {
			t.Fatal(err)
		}
		c.amounts = append(c.amounts, amount)
		c.payloads = append(c.payloads, `{"pad": `+string(pad)+`, "total": {"amount": `+amount+`, "currency": "EUR"}}`)
	}
	return c
}

// want is the data that the receiver is to find of an event.
func (c *policyCase) want(i int) string {
	pad, _ := json.Marshal(c.pad)
	total := `{"amount": ` + c.amounts[i] + `, "currency": "EUR"}`
	if c.old {
		total = c.amounts[i]
	}
	if c.body != nil {
		return `{"own": ` + total + `, "pad": ` + string(pad) + `}`
	}
	return `{"total": ` + total + `, "pad": ` + string(pad) + `}`
}

// requests are the attempts to be made.
func (c *policyCase) requests() []webhook.Request {
	rs := make([]webhook.Request, len(c.payloads))
	for i, p := range c.payloads {
		rs[i] = webhook.Request{
			Event: &outbox.Event{ID: fmt.Sprintf("evt_%dé", i), Type: "order.paid", Key: "k ü", Payload: json.RawMessage(p), CreatedAt: time.Now().UTC()},
			Body:  c.body, Number: 1, Trigger: outbox.TriggerStream, Now: time.Now().UTC(),
		}
	}
	return rs
}

// signedByHand checks a request with the standard library, or Standard Webhooks' own, by what the
// schemes' documents say.
func signedByHand(c *policyCase, got *received) error {
	hexed := func(secret config.Secret, signed string) string {
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		mac.Write([]byte(signed))
		return hex.EncodeToString(mac.Sum(nil))
	}
	for i, secret := range c.ep.Secrets {
		switch c.ep.Signature {
		case config.SignatureStandard:
			theirs, err := standardwebhooks.NewWebhook(secret.Reveal())
			if err == nil {
				err = theirs.Verify(got.body, got.header)
			}
			if err != nil {
				return fmt.Errorf("secret %d: %w", i, err)
			}
		case config.SignatureStripe:
			parts := strings.Split(got.header.Get("Stripe-Signature"), ",")
			if !slices.Contains(parts, "v1="+hexed(secret, strings.TrimPrefix(parts[0], "t=")+"."+string(got.body))) {
				return fmt.Errorf("secret %d: not among %q", i, parts)
			}
		case config.SignatureGitHub: // it has room for one
			last := c.ep.Secrets[len(c.ep.Secrets)-1]
			if has := got.header.Get("X-Hub-Signature-256"); has != "sha256="+hexed(last, string(got.body)) {
				return fmt.Errorf("it is %q", has)
			}
		}
	}
	return nil
}

// read returns the data of the events in a request.
func (c *policyCase) read(t *rapid.T, got *received) []string {
	body := got.body
	if got.header.Get("Content-Encoding") == "gzip" {
		require.True(t, c.ep.Gzip)
		unpacked, err := gzip.NewReader(bytes.NewReader(body))
		require.NoError(t, err)
		body, err = io.ReadAll(unpacked)
		require.NoError(t, err)
	}
	type envelope struct {
		Data json.RawMessage `json:"data"`
	}
	switch c.ep.Format { //nolint:exhaustive // the others are the data alone
	case config.FormatStandard, config.FormatCloudEvents:
		list := make([]envelope, 1)
		var err error
		if c.ep.Batch.On() {
			err = json.Unmarshal(body, &list)
		} else {
			err = json.Unmarshal(body, &list[0])
		}
		require.NoError(t, err)
		data := make([]string, len(list))
		for i := range list {
			data[i] = string(list[i].Data)
		}
		return data
	case config.FormatForm:
		fields, err := url.ParseQuery(string(body))
		require.NoError(t, err)
		require.Equal(t, c.pad, fields.Get("pad"))
		return nil
	default:
		return []string{string(body)}
	}
}

// TestWhateverThePolicyWhatIsSignedArrives: for any format, scheme, number of secrets, method,
// coding, version, body and size of a batch the bytes that a receiver gets are those that were
// signed, and say what the policy asks for.
func TestWhateverThePolicyWhatIsSignedArrives(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	client := newClient(t, webhook.Options{Network: loopback()})
	versions := policyVersions(t)
	own, diags := config.CompileBody(`{ own = event.data.total, pad = event.data.pad }`, "test.hcl", 1)
	require.False(t, diags.HasErrors())
	rapid.Check(t, func(t *rapid.T) {
		c := drawPolicy(t, rec.URL, versions, own)
		ep := c.ep
		ep.Secrets = webhook.Signing(ep.Signature, ep.Secrets)
		e, err := client.Endpoint(ep)
		require.NoError(t, err)
		defer e.Close()
		results := []webhook.Result{{}}
		if rs := c.requests(); c.ep.Batch.On() {
			results = e.SendBatch(context.Background(), &webhook.Batch{ID: requestID, Requests: rs, Left: func(int) { t.Error("some were left") }})
		} else {
			results[0] = e.Send(context.Background(), &rs[0])
		}
		for i := range results {
			require.True(t, results[i].Delivered, results[i].Attempt.Error)
		}
		got := <-rec.requests
		require.NoError(t, signedByHand(&c, &got))
		require.Equal(t, c.ep.Method, got.method)
		require.Equal(t, c.ep.Version, got.header.Get("Webhook-Version"))
		if c.ep.Headers != nil {
			require.Equal(t, []string{"application/x-shop"}, got.header.Values("Content-Type"))
		}
		data := c.read(t, &got)
		if c.ep.Format == config.FormatForm {
			return
		}
		require.Equal(t, len(c.payloads), len(data)) //nolint:testifylint // Len would print them
		for i := range data {
			require.JSONEq(t, c.want(i), data[i])
		}
		if c.ep.Format == config.FormatRaw && !c.old && c.body == nil && got.header.Get("Content-Encoding") == "" {
			require.Equal(t, c.payloads[0], string(got.body), "byte for byte")
		}
	})
}
