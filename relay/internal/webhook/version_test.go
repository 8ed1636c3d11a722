package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
	"github.com/tailpost/tailpost/relay/signature"
)

// pins has an endpoint pin a version, of two.
func pins(t *testing.T, version string) func(*config.Endpoint) {
	t.Helper()
	before, diags := config.CompileBody(`{ total = event.data.total.amount }`, "test.hcl", 1)
	require.False(t, diags.HasErrors())
	cfg, err := config.Config{
		Database: config.Database{URL: config.NewSecret("postgres://localhost/app")},
		API:      config.API{Listen: "127.0.0.1:0"},
		Versions: config.Versions{{Name: "2025-01-01"}, {Name: "2026-09-20", Events: []config.VersionEvent{{Events: "order.*", Body: before}}}},
	}.Complete()
	require.NoError(t, err)
	return func(ep *config.Endpoint) {
		ep.Version = version
		cfg.Versions.Pin(ep, "")
	}
}

func TestARequestHasTheDataOfTheVersionThatItsEndpointPins(t *testing.T) {
	t.Parallel()
	const old = `{"total":9.50}`
	const written = `{"total": {"amount": 9.50, "currency": "EUR"}}`
	for format, want := range map[config.Format]string{
		config.FormatStandard:          `{"id":"evt_1","type":"order.created","timestamp":"2026-02-03T03:05:06.7Z","data":` + old + `}`,
		config.FormatRaw:               old,
		config.FormatCloudEventsBinary: old,
		config.FormatForm:              "total=9.50",
	} {
		r := newRequest()
		r.Event.Payload = json.RawMessage(written)
		got := deliver(t, r, formatted(format), pins(t, "2025-01-01"))
		require.Equal(t, want, string(got.body), format)
		require.Equal(t, "2025-01-01", got.header.Get("webhook-version"), format)
		v, err := signature.NewVerifier(testSecret)
		require.NoError(t, err)
		require.NoError(t, v.Verify(got.header, got.body), format)
		require.JSONEq(t, written, string(r.Event.Payload), "other endpoints have the event too")
	}

	r := newRequest()
	r.Event.Payload = json.RawMessage(written)
	own, diags := config.CompileBody(`{ own = event.data.total }`, "test.hcl", 1)
	require.False(t, diags.HasErrors())
	r.Body = own
	require.JSONEq(t, `{"own":9.50}`, string(deliver(t, r, formatted(config.FormatRaw), pins(t, "2025-01-01")).body), "the subscription's body comes last")
	r.Body = nil
	newest := deliver(t, r, formatted(config.FormatRaw), pins(t, "2026-09-20"))
	require.True(t, bytes.Equal(newest.body, []byte(written)), "byte for byte: %s", newest.body)
	require.Equal(t, "2026-09-20", newest.header.Get("webhook-version"))
	require.Empty(t, deliver(t, r).header.Values("webhook-version"), "there are no versions")
	r.Event.ID, r.Event.Type = "op_1", "webhook.failed"
	require.Empty(t, deliver(t, r, pins(t, "2025-01-01")).header.Values("webhook-version"), "Tailpost's own events have none")
}

// The address of a batch, as that of a request, follows from the data in the version that its
// endpoint pins.
func TestAnAddressIsOfTheVersionThatItsEndpointPins(t *testing.T) {
	t.Parallel()
	const written = `{"total": {"amount": 9, "currency": "EUR"}}`
	rec := newReceiver(t, plainHTTP, nil)
	e := newEndpoint(t, rec.URL, batched(false), pins(t, "2025-01-01"), func(ep *config.Endpoint) {
		ep.URL += "/${event.data.total}"
		ep.Headers = map[string]string{"X-Total": "${event.data.total}"}
	})
	var left int
	for _, res := range e.SendBatch(t.Context(), newBatch(&left, written, written)) {
		require.True(t, res.Delivered, res.Attempt.Error)
	}
	require.Zero(t, left)
	got := <-rec.requests
	require.Equal(t, []string{"/9", "9"}, []string{got.uri, got.header.Get("X-Total")})
}

func TestAnEventThatCannotBeBroughtToAVersionIsNotSent(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	r := newRequest()
	r.Event.Payload = json.RawMessage(`{"total": {"amount": oops`)
	res := newEndpoint(t, rec.URL, formatted(config.FormatRaw), pins(t, "2025-01-01")).Send(t.Context(), r)
	require.True(t, res.Permanent)
	require.False(t, res.Reached)
	require.Equal(t, `go back before version "2026-09-20": build body: payload is not valid JSON`, res.Attempt.Error)
	require.Empty(t, rec.requests)
}

func TestAPayloadThatItsSchemaDoesNotAllow(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	checked := 0
	check := func(e *outbox.Event) error {
		checked++
		if string(e.Payload) == `{"total": {"amount": 9.50}}` {
			return nil
		}
		return errors.New("#/required: missing property 'total'")
	}
	send := func(strict bool, payload string) webhook.Result {
		c, err := webhook.NewClient(webhook.Options{Network: only("127.0.0.0/8"), Check: check, Strict: strict})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		ep := config.Endpoint{ID: "erp", URL: rec.URL, Secrets: []config.Secret{config.NewSecret(testSecret)}, Format: config.FormatRaw}
		pins(t, "2025-01-01")(&ep)
		e, err := c.Endpoint(ep)
		require.NoError(t, err)
		r := newRequest()
		r.Event.Payload = json.RawMessage(payload)
		return e.Send(t.Context(), r)
	}
	good := send(true, `{"total": {"amount": 9.50}}`)
	require.True(t, good.Delivered)
	require.Empty(t, good.Attempt.Error)
	require.JSONEq(t, `{"total":9.50}`, string((<-rec.requests).body), "what is checked is what the application wrote")

	warned := send(false, `{"sum": 1}`)
	require.True(t, warned.Delivered)
	require.Equal(t, "the payload is not what its schema says: #/required: missing property 'total'", warned.Attempt.Error)
	<-rec.requests

	refused := send(true, `{"sum": 1}`)
	require.True(t, refused.Permanent)
	require.False(t, refused.Reached)
	require.Equal(t, warned.Attempt.Error, refused.Attempt.Error)
	require.Empty(t, rec.requests)
	require.Equal(t, 3, checked)
}

// Of a batch only the events that their schema does not allow have the note, and none of them goes
// along where it is not to be sent.
func TestSchemasHoldInBatches(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, plainHTTP, nil)
	check := func(e *outbox.Event) error {
		if string(e.Payload) == "2" {
			return errors.New("#/type: it breaks the rule const")
		}
		return nil
	}
	for _, strict := range []bool{false, true} {
		c, err := webhook.NewClient(webhook.Options{Network: only("127.0.0.0/8"), Check: check, Strict: strict})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		ep := config.Endpoint{ID: "erp", URL: rec.URL, Secrets: []config.Secret{config.NewSecret(testSecret)}}
		batched(false)(&ep)
		e, err := c.Endpoint(ep)
		require.NoError(t, err)
		var left int
		results := e.SendBatch(t.Context(), newBatch(&left, `1`, `2`, `3`))
		<-rec.requests
		if strict {
			require.Len(t, results, 1, "those before it")
			require.Equal(t, 2, left)
			alone := e.SendBatch(t.Context(), newBatch(&left, `2`, `3`))
			require.Len(t, alone, 1)
			require.True(t, alone[0].Permanent)
			require.Empty(t, rec.requests)
			continue
		}
		require.Len(t, results, 3)
		require.Equal(t, []string{"", "the payload is not what its schema says: #/type: it breaks the rule const", ""},
			[]string{results[0].Attempt.Error, results[1].Attempt.Error, results[2].Attempt.Error})
	}
}
