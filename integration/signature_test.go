package integration_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/signature"
)

// requireVerified requires that a library takes the request, and refuses it with another body or
// another secret.
func requireVerified(t *testing.T, libraries *kit.Libraries, library, secret, stranger string, r kit.Request) kit.Verdict {
	t.Helper()
	verdict := libraries.Verify(t, library, secret, r)
	require.True(t, verdict.OK, "%s: %s", library, verdict.Error)
	require.False(t, libraries.Verify(t, library, secret, r.Tampered()).OK, "%s took a body that was tampered with", library)
	require.False(t, libraries.Verify(t, library, stranger, r).OK, "%s took another's secret", library)
	return verdict
}

func TestPublicLibrariesVerifyEveryScheme(t *testing.T) {
	t.Parallel()
	b, libraries := setup(t), kit.StartLibraries(t)
	private, public := signature.GenerateKeyPair()
	_, strangerPublic := signature.GenerateKeyPair()
	stranger := signature.GenerateSecret()

	standard := b.endpoint("standard", "")
	raw := b.endpoint("raw", `format = "raw"`)
	asymmetric := b.endpoint("asymmetric", "")
	asymmetric.Secret = []string{private}
	stripe := b.endpoint("stripe", `signature = "stripe"`)
	github := b.endpoint("github", `signature = "github"`)
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(standard, raw, asymmetric, stripe, github)})

	// Long, with characters of every width of UTF-8, and with what HTML and JSON escape.
	payload := `{"n": 12345, "text": "é 漢 😀 <&> \" \\ ` + strings.Repeat("x", 5000) + `"}`
	b.db.Insert(t, kit.Event("order.created", payload))
	request := func(endpoint kit.Endpoint) kit.Request {
		return b.receiver.Await(t, "/"+endpoint.ID, 1)[0]
	}

	for _, endpoint := range []kit.Endpoint{standard, raw} {
		r := request(endpoint)
		for _, library := range []string{kit.StandardWebhooksJS, kit.SvixJS} {
			verdict := requireVerified(t, libraries, library, endpoint.Secret[0], stranger, r)
			require.JSONEq(t, string(r.Body), string(verdict.Parsed))
		}
		webhook, err := standardwebhooks.NewWebhook(endpoint.Secret[0])
		require.NoError(t, err)
		require.NoError(t, webhook.Verify(r.Body, r.Header))
		require.Error(t, webhook.Verify(r.Tampered().Body, r.Header))
	}
	require.Equal(t, payload, string(request(raw).Body), "raw is the payload, byte for byte")

	requireVerified(t, libraries, kit.Ed25519JS, public, strangerPublic, request(asymmetric))
	requireVerified(t, libraries, kit.StripeJS, stripe.Secret[0], stranger, request(stripe))
	requireVerified(t, libraries, kit.OctokitJS, github.Secret[0], stranger, request(github))
}

func TestPublicLibrariesReadCloudEvents(t *testing.T) {
	t.Parallel()
	b, libraries := setup(t), kit.StartLibraries(t)
	endpoints := map[string]kit.Endpoint{
		"structured": b.endpoint("structured", `format = "cloudevents"`),
		"binary":     b.endpoint("binary", `format = "cloudevents-binary"`),
	}
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(endpoints["structured"], endpoints["binary"])})
	created := time.Date(2026, 1, 31, 10, 0, 0, 123456000, time.UTC)
	ids := b.db.Insert(t, outbox.Event{Type: "order.created", Key: "order-7", Payload: []byte(`{"id": 7, "name": "Zoë"}`), CreatedAt: created})

	for mode, endpoint := range endpoints {
		r := b.receiver.Await(t, "/"+mode, 1)[0]

		httpRequest, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(string(r.Body)))
		require.NoError(t, err)
		httpRequest.Header = r.Header
		event, err := cloudevents.NewEventFromHTTPRequest(httpRequest)
		require.NoError(t, err, mode)
		require.NoError(t, event.Validate(), mode)
		require.Equal(t, "1.0", event.SpecVersion(), mode)
		require.Equal(t, ids[0], event.ID(), mode)
		require.Equal(t, "order.created", event.Type(), mode)
		require.NotEmpty(t, event.Source(), mode)
		require.True(t, created.Equal(event.Time()), mode)
		require.Equal(t, "order-7", event.Extensions()["partitionkey"], mode)
		require.JSONEq(t, `{"id": 7, "name": "Zoë"}`, string(event.Data()), mode)

		verdict := libraries.Verify(t, kit.CloudEventsJS, "", r)
		require.True(t, verdict.OK, "%s: %s", mode, verdict.Error)
		var parsed struct {
			ID, Type, Time, PartitionKey string
			Data                         json.RawMessage
		}
		decode(t, verdict.Parsed, &parsed)
		require.Equal(t, []string{ids[0], "order.created", "order-7"}, []string{parsed.ID, parsed.Type, parsed.PartitionKey}, mode)
		require.JSONEq(t, `{"id": 7, "name": "Zoë"}`, string(parsed.Data), mode)

		// A CloudEvent is signed as any other request is.
		require.True(t, libraries.Verify(t, kit.StandardWebhooksJS, endpoint.Secret[0], r).OK, mode)
	}

	// Attributes that do not fit a header are percent-encoded (section 3.1.3.2 of the HTTP
	// binding); the libraries hand them on as they come.
	b.db.Insert(t, outbox.Event{Type: "order.created", Key: "order 7 ü%", Payload: []byte(`{}`)})
	require.Equal(t, "order%207%20%C3%BC%25", b.receiver.Await(t, "/binary", 2)[1].Header.Get("Ce-Partitionkey"))
}

func TestARotatedSecretVerifiesBeforeWithinAndAfterTheRotation(t *testing.T) {
	t.Parallel()
	b, libraries := setup(t), kit.StartLibraries(t)
	dir := t.TempDir()
	older, newer := signature.GenerateSecret(), signature.GenerateSecret()
	private, public := signature.GenerateKeyPair()
	for name, secret := range map[string]string{"older": older, "newer": newer, "private": private} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600))
	}
	config := func(secrets ...string) string {
		var files []string
		for _, name := range secrets {
			files = append(files, `file("`+filepath.Join(dir, name)+`")`)
		}
		return b.db.Config(kit.Endpoint{ID: "erp", URL: b.receiver.URL("/erp"), HCL: "secret = [" + strings.Join(files, ", ") + "]"}).HCL()
	}
	relay := kit.StartDelivering(t, kit.Options{
		Config: b.db.Config(), HCL: config("older"), Args: []string{"--watch=false"}, Secrets: []string{older, newer, private},
	})
	verified := func(n int, library, secret string) bool {
		return libraries.Verify(t, library, secret, b.receiver.Await(t, "/erp", n)[n-1]).OK
	}

	b.db.Insert(t, kit.Event("before", `1`))
	require.True(t, verified(1, kit.SvixJS, older))
	require.False(t, verified(1, kit.SvixJS, newer))

	relay.Reload(t, config("newer", "older", "private"))
	relay.Await(t, kit.LogReloaded, nil)
	b.db.Insert(t, kit.Event("within", `1`))
	for _, library := range []string{kit.SvixJS, kit.StandardWebhooksJS} {
		require.True(t, verified(2, library, older), library)
		require.True(t, verified(2, library, newer), library)
	}
	require.True(t, verified(2, kit.Ed25519JS, public))
	signatures := strings.Fields(b.receiver.Requests("/erp")[1].Header.Get("Webhook-Signature"))
	require.Len(t, signatures, 3)
	require.True(t, strings.HasPrefix(signatures[2], "v1a,"))

	relay.Reload(t, config("newer"))
	relay.AwaitNth(t, 2, kit.LogReloaded, nil)
	b.db.Insert(t, kit.Event("after", `1`))
	require.False(t, verified(3, kit.SvixJS, older))
	require.True(t, verified(3, kit.SvixJS, newer))
}

// The vector that Standard Webhooks' reference implementations are tested with.
func TestThePublicVectorOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	const (
		secret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		id        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
		unix      = 1614265330
		timestamp = "1614265330"
		body      = `{"test": 2432232314}`
		want      = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	)
	signer, err := signature.NewSigner(secret)
	require.NoError(t, err)
	require.Equal(t, want, signer.Sign(id, time.Unix(unix, 0), []byte(body)).Get("Webhook-Signature"))

	theirs, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	got, err := theirs.Sign(id, time.Unix(unix, 0), []byte(body))
	require.NoError(t, err)
	require.Equal(t, want, got)

	header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {want}}
	libraries := kit.StartLibraries(t)
	for _, library := range []string{kit.StandardWebhooksJS, kit.SvixJS} {
		verdict := libraries.VerifyAt(t, library, secret, kit.Request{Header: header, Body: []byte(body)}, time.Unix(unix, 0))
		require.True(t, verdict.OK, "%s: %s", library, verdict.Error)
	}

	file := filepath.Join(t.TempDir(), "body.json")
	require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
	verify := kit.Run(t, kit.Command{
		Args: []string{"verify", "-H", "webhook-id: " + id, "-H", "webhook-timestamp: " + timestamp, "-H", "webhook-signature: " + want, file},
		Env:  map[string]string{"TAILPOST_SECRET": secret},
	})
	require.Zero(t, verify.ExitCode(), verify.Output())
}

// What the relay sends is what the signer of the public package makes, so that the vector speaks
// for the relay too.
func TestTheRelaySignsTheVectorsWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.Run(t, "DROP TABLE outbox")
	b.db.Run(t, "CREATE TABLE outbox (id text PRIMARY KEY, type text NOT NULL, payload json)")
	endpoint := b.endpoint("erp", `format = "raw"`)
	config := b.db.Config(endpoint)
	config.Outbox = `columns = { id = "id", type = "type", payload = "payload", key = null, tenant = null, headers = null, created_at = null }`
	kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, `INSERT INTO outbox VALUES ('msg_p5jXN8AQM9LWM0D4loKWxJek', 'test', '{"test": 2432232314}')`)

	r := b.receiver.Await(t, "/erp", 1)[0]
	require.Equal(t, "msg_p5jXN8AQM9LWM0D4loKWxJek", r.Header.Get("Webhook-Id"))
	require.Equal(t, `{"test": 2432232314}`, string(r.Body))
	webhook, err := standardwebhooks.NewWebhook(endpoint.Secret[0])
	require.NoError(t, err)
	require.NoError(t, webhook.Verify(r.Body, r.Header))
}
