package api_test

import (
	"encoding/hex"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/pgtest"
)

// TestSecretsAreNowhere looks for every secret that a walk used in the database, in the log, and in the answers after the
// one that shows it.
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

	bin, err := pgtest.Find()
	require.NoError(t, err)
	dump, err := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_dump"), "--inserts", b.db.URL).Output()
	require.NoError(t, err)
	require.Contains(t, string(dump), "tailpost.audit")
	places := map[string]string{"the database": string(dump), "the log": b.log.String(), "the answers": b.answers.String()}
	for _, secret := range secrets {
		bare := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(secret, "whsec_"), "whsk_"), "tp_")
		require.Greater(t, len(bare), 20)
		for place, text := range places {
			require.NotContains(t, text, bare, "in %s", place)
			require.NotContains(t, text, hex.EncodeToString([]byte(bare)), "in %s, as bytea", place)
		}
	}
}
