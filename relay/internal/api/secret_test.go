package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestSecretsAreNowhere looks for every secret that a walk used in the database, in the log, and in
// the answers after the one that shows it.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r := newReceiver(t)
	const header = "Bearer value-of-a-header-of-the-test"
	secrets := []string{adminKey, sealKey, strings.TrimPrefix(header, "Bearer ")}
	note := func(a *answer) *answer {
		secrets = append(secrets, a.text("secret"))
		return a
	}
	own := "whsec_" + strings.Repeat("bXlv", 11)
	idempotent := http.Header{"Idempotency-Key": {"an-idempotency-key-of-the-test"}}
	made := note(b.do(t, call{key: adminKey, method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": r.URL}, headers: idempotent}).is(http.StatusCreated))
	path := "/v1/endpoints/" + made.text("id")
	b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "secret": own, "evnts": 1}).is(http.StatusUnprocessableEntity)
	b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "secret": []string{own}}).is(http.StatusUnprocessableEntity)
	b.post(t, "/v1/endpoints", `{"secret": "`+own+`"`).is(http.StatusBadRequest)
	note(b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "secret": own}).is(http.StatusCreated))
	note(b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "secret_type": "whsk", "headers": map[string]string{"Authorization": header}}).is(http.StatusCreated))
	note(b.do(t, call{key: adminKey, method: http.MethodPost, path: path + "/rotate-secret", headers: idempotent}).is(http.StatusOK))
	key := note(b.do(t, call{key: adminKey, method: http.MethodPost, path: "/v1/keys", body: map[string]any{"name": "k"}, headers: idempotent}).is(http.StatusCreated))
	secrets = append(secrets, "an-idempotency-key-of-the-test")

	b.mu.Lock()
	b.answers.Reset()
	b.mu.Unlock()
	for _, c := range []call{
		{method: http.MethodGet, path: "/v1/endpoints"},
		{method: http.MethodGet, path: path},
		{method: http.MethodPost, path: path + "/test"},
		{method: http.MethodPost, path: path + "/pause"},
		{method: http.MethodPatch, path: path, body: map[string]any{"name": "x"}},
		{method: http.MethodGet, path: "/v1/keys"},
		{method: http.MethodGet, path: "/v1/attempts"},
		{method: http.MethodGet, path: "/v1/relay"},
		{method: http.MethodGet, path: "/.well-known/jwks.json"},
		{method: http.MethodDelete, path: path},
	} {
		c.key = key.text("secret")
		require.Less(t, b.do(t, c).Status, 300, "%s %s", c.method, c.path)
	}

	places := kit.OpenDatabase(t, b.db.URL, "").Everything(t)
	require.Contains(t, places, "table tailpost.audit")
	places["the log"], places["the answers"] = b.log.String(), b.answers.String()
	kit.AssertNowhere(t, secrets, places)
}
