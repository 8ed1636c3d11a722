package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
)

// TestEverySettingIsShownAndGoesBackToItsDefault: each as it was written, and null makes it that of
// an endpoint which never had it.
func TestEverySettingIsShownAndGoesBackToItsDefault(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	where, body := "event.data.total > 1", "{ id = event.data.id }"
	settings := []struct {
		name  string
		value any
		at    string // where it is shown, if not under its name
		shown any    // what is, if not the value
	}{
		{name: "description", value: "ERP"},
		{name: "body", value: body, at: "subscriptions.0.body"},
		{name: "where", value: where, at: "subscriptions.0.where"},
		{name: "events", value: []any{"order.*"}},
		{name: "signature", value: "github"},
		{name: "format", value: "raw"},
		{name: "query", value: map[string]any{"via": "tailpost"}},
		{name: "timeout", value: "7s"},
		{name: "concurrency", value: 3},
		{name: "rate", value: "90/m"},
		{name: "on_dead", value: "hold"},
		{name: "ordering", value: "key"},
		{name: "redirects", value: 1},
		{name: "retry", value: map[string]any{"schedule": []any{"1s", "1m0s"}}},
		{name: "circuit", value: map[string]any{"failures": 3, "reopen": "45s"}, at: "circuit.reopen", shown: "45s"},
		{name: "park_after", value: "2s"},
		{name: "disable_after", value: "never"},
		{name: "disable_after", value: "36h0m0s"},
	}
	plain := b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com/in"}).is(http.StatusCreated)
	all := map[string]any{"url": "https://example.com/in", "name": "ERP"}
	for _, s := range settings {
		all[s.name] = s.value
	}
	made := b.post(t, "/v1/endpoints", all).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	for _, s := range settings {
		if s.at == "" {
			s.at = s.name
		}
		if s.shown == nil {
			s.shown = s.value
		}
		b.patch(t, path, map[string]any{s.name: s.value}).is(http.StatusOK)
		require.EqualValues(t, s.shown, b.get(t, path).is(http.StatusOK).at(s.at), s.name)
		back := b.patch(t, path, map[string]any{s.name: nil}).is(http.StatusOK)
		require.Equal(t, plain.at(s.at), back.at(s.at), "%s goes back to its default", s.name)
	}
	require.Equal(t, made.at("id"), b.patch(t, path, map[string]any{"name": nil}).is(http.StatusOK).at("name"), "an endpoint without a name has its id")
}

// TestExpressionsOfSeveralSubscriptionsAreChangedThere: where, body and events alone would not say
// which of them is meant.
func TestExpressionsOfSeveralSubscriptionsAreChangedThere(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	subs := []any{map[string]any{"events": []any{"order.*", "user.*"}, "where": "event.data.a > 1"}, map[string]any{"events": []any{"user.*"}, "body": "{ a = 1 }"}}
	made := b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com/in", "subscriptions": subs}).is(http.StatusCreated)
	require.Equal(t, subs, made.at("subscriptions"))
	require.Equal(t, []any{"order.*", "user.*"}, made.at("events"), "each once")
	path := "/v1/endpoints/" + made.text("id")
	for _, body := range []map[string]any{{"where": nil}, {"body": nil}, {"events": []string{"order.*"}}, {"where": "event.data.a > 2"}} {
		require.Equal(t, "#/subscriptions", b.patch(t, path, body).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	}
	require.Equal(t, subs, b.get(t, path).at("subscriptions"))
	subs[0] = map[string]any{"events": []any{}}
	require.Equal(t, []any{}, b.patch(t, path, map[string]any{"subscriptions": subs}).is(http.StatusOK).at("events"), "one of them takes all")
	require.Equal(t, []any{}, b.patch(t, path, map[string]any{"subscriptions": nil}).is(http.StatusOK).at("events"))
	require.Len(t, b.get(t, path).list("subscriptions"), 1)
}

// TestWrongDurationsAreRefusedWhereTheyStand instead of being taken for the default.
func TestWrongDurationsAreRefusedWhereTheyStand(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	path := "/v1/endpoints/" + b.endpoint(t, "")
	before := b.get(t, path)
	for _, text := range []string{"0s", "-1s", "soon"} {
		for pointer, body := range map[string]map[string]any{
			"#/timeout": {"timeout": text}, "#/park_after": {"park_after": text}, "#/disable_after": {"disable_after": text},
			"#/circuit/reopen": {"circuit": map[string]any{"failures": 1, "reopen": text}}, "#/rate": {"rate": text},
			"#/retry/schedule/1": {"retry": map[string]any{"schedule": []string{"1s", text}}},
		} {
			require.Equal(t, pointer, b.patch(t, path, body).is(http.StatusUnprocessableEntity).at("errors.0.pointer"), text)
		}
	}
	for _, text := range []string{"-1s", "soon", "168h0m1s"} {
		require.Equal(t, "#/grace", b.post(t, path+"/rotate-secret", map[string]any{"grace": text}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"), text)
	}
	require.Equal(t, before.Body, b.get(t, path).Body)
}

// TestRatesAreShownInAUnitThatMakesThemWhole.
func TestRatesAreShownInAUnitThatMakesThemWhole(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	path := "/v1/endpoints/" + b.endpoint(t, "")
	for given, shown := range map[string]string{
		"100/s": "100/s", "60/m": "1/s", "1/m": "1/m", "90/m": "90/m", "80/m": "80/m", "3600/h": "1/s", "60/h": "1/m", "1000/h": "1000/h", "7/h": "7/h", "1/h": "1/h",
	} {
		require.Equal(t, shown, b.patch(t, path, map[string]any{"rate": given}).is(http.StatusOK).at("rate"))
	}
}

// TestCertificatesOfAnEndpoint: the key is kept over changes as long as its certificate is, never
// told, and not inherited by another receiver.
func TestCertificatesOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	cert, key := kit.Certificate(t)
	other, _ := kit.Certificate(t)
	type object = map[string]any
	made := b.post(t, "/v1/endpoints", object{"url": "https://example.com/in", "tls": object{"cert": cert, "key": key, "ca": other}}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	require.Equal(t, object{"cert": cert, "ca": other}, made.at("tls"))
	require.Equal(t, object{"cert": cert}, b.patch(t, path, object{"tls": object{"cert": cert}}).is(http.StatusOK).at("tls"))
	require.Equal(t, object{"cert": cert, "ca": other}, b.patch(t, path, object{"tls": object{"cert": cert, "key": "[redacted]", "ca": other}}).is(http.StatusOK).at("tls"))
	refused := func(body object, pointer, why string) {
		t.Helper()
		got := b.patch(t, path, body).is(http.StatusUnprocessableEntity)
		require.Equal(t, pointer, got.at("errors.0.pointer"))
		require.Contains(t, got.text("errors.0.detail"), why)
	}
	refused(object{"tls": object{"cert": other}}, "#/tls/key", "write it again")
	refused(object{"tls": object{"key": key}}, "#/tls/key", "certificate of the key")
	refused(object{"url": "https://other.example.com", "tls": object{"cert": cert}}, "#/tls/key", "write it again")
	refused(object{"tls": object{"ca": key}}, "#/tls/ca", "")
	require.Equal(t, object{"ca": other}, b.patch(t, path, object{"tls": object{"ca": other}}).is(http.StatusOK).at("tls"))
	refused(object{"tls": object{"cert": cert}}, "#/tls/key", "has none")
	b.patch(t, path, object{"tls": object{"cert": cert, "key": key}}).is(http.StatusOK)
	refused(object{"url": "https://other.example.com"}, "#/tls", "does not inherit this")
	require.Nil(t, b.patch(t, path, object{"url": "https://other.example.com", "tls": nil}).is(http.StatusOK).at("tls"))
	secret := strings.Split(key, "\n")[1]
	b.hides(t, secret)
}

// TestAuthIsShownWithoutItsSecrets: all else of it is, and a secret of another kind is refused.
func TestAuthIsShownWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, key := kit.Certificate(t)
	type object = map[string]any
	path := "/v1/endpoints/" + b.endpoint(t, "")
	shown := func(auth, secrets object) {
		t.Helper()
		given := maps.Clone(auth)
		maps.Copy(given, secrets)
		require.Equal(t, auth, b.patch(t, path, object{"auth": given}).is(http.StatusOK).at("auth"))
	}
	shown(object{"type": "basic", "user": "shop"}, object{"password": "hunter2"})
	client := object{
		"type": "oauth2", "client_id": "a", "token_url": "https://login.example.com/token", "scopes": []any{"x", "y"},
		"audience": "https://api.example.com", "style": "body",
	}
	shown(client, object{"client_secret": "hunter2"})
	const somewhere = "https://login.example.com/other"
	assertion := object{"use": "grant", "key_id": "k", "algorithm": "ES256", "issuer": "i", "subject": "s", "audience": somewhere}
	given := maps.Clone(assertion)
	given["key"] = key
	client["assertion"] = given
	answer := b.patch(t, path, object{"auth": client}).is(http.StatusOK)
	require.Equal(t, assertion, answer.at("auth.assertion"))

	// A grant may do without a secret: one that is for another authorization server is not needed.
	client["token_url"] = "https://other.example.com/token"
	b.patch(t, path, object{"auth": client}).is(http.StatusOK)

	for secret, auth := range map[string]object{
		"password": {"type": "bearer", "token": "t"}, "token": {"type": "basic", "user": "u", "password": "p"}, "client_secret": {"type": "bearer", "token": "t"},
	} {
		auth[secret] = "hunter2"
		got := b.patch(t, path, object{"auth": auth}).is(http.StatusUnprocessableEntity)
		require.Equal(t, "#/auth/"+secret, got.at("errors.0.pointer"))
	}
	require.NotContains(t, b.answers.String(), "hunter2")
}

// TestAReceiverIsAskedWhetherItWantsEvents by hand: what came of it is told, on record and in the
// audit, to a tenant without what is not theirs to know.
func TestAReceiverIsAskedWhetherItWantsEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	code, echo := http.StatusTeapot, false
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		if echo {
			var event struct {
				Data json.RawMessage `json:"data"`
			}
			_ = json.NewDecoder(r.Body).Decode(&event)
			_, _ = w.Write(event.Data)
		}
	}))
	t.Cleanup(receiver.Close)
	path := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{"url": receiver.URL, "verify": "echo"}).is(http.StatusCreated).text("id")
	require.Equal(t, true, b.get(t, path).at("unverified"))
	ask := func(verified bool, problem string) {
		t.Helper()
		got := b.post(t, path+"/verify", nil).is(http.StatusOK)
		require.Equal(t, verified, got.at("verified"), "%s", got.Body)
		require.Contains(t, got.text("problem"), problem)
		require.Equal(t, problem == "", got.text("problem") == "")
		require.Equal(t, code, got.at("attempt.status_code"))
		now := b.get(t, path).is(http.StatusOK)
		require.Equal(t, !verified, now.at("unverified") == true)
		require.Equal(t, got.text("problem"), now.text("verify_error"))
		require.Equal(t, got.at("attempt.event_id"), b.get(t, path+"/attempts?limit=1").is(http.StatusOK).at("data.0.event_id"))
	}
	ask(false, "the answer was status 418")
	code = http.StatusOK
	ask(false, "does not hold the challenge")
	echo = true
	ask(true, "")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action = 'endpoint.verify' AND after @> '{\"verified\": true, \"status_code\": 200}'"))

	// What a key may not read any more, an answer that is repeated does not tell it.
	const person = "a-key-of-the-configuration-of-a-person"
	scopes := func(scopes ...string) {
		b.change(func(c *config.Config) {
			c.API.Keys = append(c.API.Keys[:1], config.APIKey{Name: "person", Secret: config.NewSecret(person), Scopes: scopes})
		})
	}
	again := func() string {
		return string(b.do(t, call{key: person, method: http.MethodPost, path: path + "/verify", headers: http.Header{"Idempotency-Key": {"once"}}}).is(http.StatusOK).Body)
	}
	scopes("endpoints:write", "deliveries:read", "payloads:read")
	require.Contains(t, again(), "challenge")
	require.Contains(t, again(), "challenge")
	scopes("endpoints:write", "deliveries:read")
	require.NotContains(t, again(), "challenge")
}
