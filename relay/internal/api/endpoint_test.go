package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/seal"
)

func TestEndpointsAreCreatedAndRead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := b.post(t, "/v1/endpoints", map[string]any{
		"url": "https://example.com/in", "events": []string{"order.*"}, "description": "ERP", "headers": map[string]string{"X-Source": "shop"},
	}).is(http.StatusCreated)
	id := made.text("id")
	require.True(t, strings.HasPrefix(id, "ep_"), id)
	require.GreaterOrEqual(t, len(id), 25)
	require.True(t, strings.HasPrefix(made.text("secret"), "whsec_"))
	require.Equal(t, made.text("secret")[:12], made.text("secret_prefix"))
	require.Equal(t, `"1"`, made.Header.Get("ETag"))

	got := b.get(t, "/v1/endpoints/"+id).is(http.StatusOK)
	require.Nil(t, got.at("secret"))
	require.Equal(t, made.at("secret_prefix"), got.at("secret_prefix"))
	require.Equal(t, []any{"order.*"}, got.at("events"))
	require.Equal(t, []any{"X-Source"}, got.at("header_names"))
	require.Equal(t, "15s", got.at("timeout"))
	require.Equal(t, "active", got.at("status"))
	require.Equal(t, "api", got.at("source"))

	page := b.get(t, "/v1/endpoints").is(http.StatusOK)
	require.Len(t, page.list("data"), 1)
	require.Nil(t, page.at("next_cursor"))
	require.Equal(t, id, page.at("data.0.id"))
}

func TestEndpointsInTroubleAreListedAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := func(name string) string {
		return b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com/" + name}).is(http.StatusCreated).text("id")
	}
	failing, paused, well := made("failing"), made("paused"), made("well")
	b.exec(t, "UPDATE tailpost.endpoint SET failing_since = now() WHERE id = $1", failing)
	b.post(t, "/v1/endpoints/"+paused+"/pause", nil).is(http.StatusOK)
	page := b.get(t, "/v1/endpoints?trouble=true").is(http.StatusOK)
	require.Len(t, page.list("data"), 2)
	require.Equal(t, []any{paused, failing}, []any{page.at("data.0.id"), page.at("data.1.id")})
	all := b.get(t, "/v1/endpoints?trouble=false").is(http.StatusOK)
	require.Len(t, all.list("data"), 3)
	require.Equal(t, well, all.at("data.0.id"))
}

func TestEndpointsAreListedWithoutTheirCounters(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com/in"}).is(http.StatusCreated).text("id")
	b.exec(t, `INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
		VALUES ($1, date_trunc('hour', now()), 5, 5, 0, 0, 1, '{}')`, id)
	for query, want := range map[string]float64{"": 5, "?stats=true": 5, "?stats=false": 0} {
		require.InDelta(t, want, b.get(t, "/v1/endpoints"+query).is(http.StatusOK).at("data.0.stats.successful"), 0, query)
	}
}

func TestValuesOfHeadersAreKeptWithoutBeingTold(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r := newReceiver(t)
	const token, next = "Bearer value-of-a-header", "Bearer next-value-of-a-header"
	made := b.post(t, "/v1/endpoints", map[string]any{
		"url": r.URL, "headers": map[string]string{"Authorization": token, "X-Source": "value-of-shop"},
	}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	change := func(method string, body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: method, path: path, body: body})
	}
	sent := func(want map[string]string) {
		t.Helper()
		b.post(t, path+"/test", nil).is(http.StatusOK)
		for _, name := range []string{"Authorization", "X-Source"} {
			require.Equal(t, want[name], r.last().header.Get(name))
		}
		names := []any{}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			names = append(names, name)
		}
		require.Equal(t, names, b.get(t, path).is(http.StatusOK).at("header_names"))
		b.hides(t, "value-of")
	}
	both := map[string]string{"Authorization": token, "X-Source": "value-of-shop"}
	sent(both)
	change(http.MethodPatch, map[string]any{"name": "renamed"}).is(http.StatusOK)
	sent(both)
	b.post(t, path+"/rotate-secret", nil).is(http.StatusOK)
	sent(both)
	change(http.MethodPatch, map[string]any{"headers": map[string]string{"authorization": "[redacted]", "X-Source": "value-of-site"}}).is(http.StatusOK)
	b.post(t, path+"/test", nil).is(http.StatusOK)
	require.Equal(t, token, r.last().header.Get("Authorization"), "names are the same in any case of letters")
	change(http.MethodPut, map[string]any{"url": r.URL, "headers": map[string]string{"Authorization": "[redacted]"}}).is(http.StatusOK)
	sent(map[string]string{"Authorization": token})
	refused := change(http.MethodPatch, map[string]any{"headers": map[string]string{"Authorization": next, "X-New": "[redacted]"}}).is(http.StatusUnprocessableEntity)
	require.Equal(t, "#/headers/X-New", refused.at("errors.0.pointer"))
	sent(map[string]string{"Authorization": token})
	change(http.MethodPatch, map[string]any{"headers": map[string]string{"Authorization": next}}).is(http.StatusOK)
	sent(map[string]string{"Authorization": next})
	change(http.MethodPatch, map[string]any{"headers": nil}).is(http.StatusOK)
	sent(nil)
	b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "headers": map[string]string{"X-A": "[redacted]"}}).is(http.StatusUnprocessableEntity)
}

// A row of before the values of headers were sealed works, and its next change seals them.
func TestValuesOfHeadersInThePolicyAreSealedAtTheNextChange(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]call{
		"PATCH":  {method: http.MethodPatch, body: map[string]any{"name": "renamed"}},
		"rotate": {method: http.MethodPost, path: "/rotate-secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			r := newReceiver(t)
			made := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL}).is(http.StatusCreated)
			id := made.text("id")
			keys, err := seal.New(b.cfg.Secrets)
			require.NoError(t, err)
			sealed, err := keys.Seal([]byte(`[{"secret":"`+made.text("secret")+`","expires_at":null}]`), []byte(id))
			require.NoError(t, err)
			b.exec(t, `UPDATE tailpost.endpoint SET secrets = $1, policy = jsonb_set(policy, '{headers}', '{"Authorization": "value-of-before"}')`, sealed)
			change.key, change.path = adminKey, "/v1/endpoints/"+id+change.path
			for range 2 {
				b.post(t, "/v1/endpoints/"+id+"/test", nil).is(http.StatusOK)
				require.Equal(t, "value-of-before", r.last().header.Get("Authorization"))
				require.Equal(t, []any{"Authorization"}, b.get(t, "/v1/endpoints/"+id).is(http.StatusOK).at("header_names"))
				b.do(t, change).is(http.StatusOK)
				require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.endpoint AS e WHERE e::text LIKE '%value-of%'"))
			}
			require.NotContains(t, b.answers.String(), "value-of")
		})
	}
}

// TestStatusesOfAnEndpoint: what its answers mean is a setting like others: kept, shown, brought
// back to its default, and refused in the words of the configuration.
func TestStatusesOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := b.post(t, "/v1/endpoints", map[string]any{
		"url": "https://example.com/in", "method": "PUT", "success": []string{"2xx", "409"}, "permanent": []string{"422"},
		"http": "1.1", "gzip": true, "format": "form", "answer": "complete",
	}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	got := b.get(t, path).is(http.StatusOK)
	require.Equal(t, "PUT", got.at("method"))
	require.Equal(t, "1.1", got.at("http"))
	require.Equal(t, true, got.at("gzip"))
	require.Equal(t, "complete", got.at("answer"))
	require.Equal(t, "form", got.at("format"))
	require.Equal(t, []any{"2xx", "409"}, got.at("success"))
	require.Equal(t, []any{"422"}, got.at("permanent"))
	change := func(body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: body})
	}
	for pointer, body := range map[string]map[string]any{
		"#/permanent/1": {"permanent": []string{"422", "409"}},
		"#/success/0":   {"success": []string{"307"}},
		"#/permanent/0": {"permanent": []string{"410"}},
		"#/http":        {"http": "2", "url": "http://example.com/in"},
	} {
		require.Equal(t, pointer, change(body).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	}
	change(map[string]any{"retry": nil}).is(http.StatusOK)
	require.Equal(t, []any{"422"}, b.get(t, path).at("permanent"), "the schedule's default is not that of the statuses")
	change(map[string]any{"method": nil, "success": nil, "permanent": nil, "http": nil, "gzip": nil, "answer": nil}).is(http.StatusOK)
	require.Nil(t, b.get(t, path).at("http"))
	require.Equal(t, false, b.get(t, path).at("gzip"))
	require.Equal(t, "status", b.get(t, path).at("answer"))
	got = b.get(t, path).is(http.StatusOK)
	require.Equal(t, []any{"POST", nil, nil}, []any{got.at("method"), got.at("success"), got.at("permanent")})
}

// TestAuthOfAnEndpoint: what shows a receiver who sends is used, kept over changes, never told, and
// not inherited by another receiver.
func TestAuthOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r, other := newReceiver(t), newReceiver(t)
	made := b.post(t, "/v1/endpoints", map[string]any{
		"url": r.URL, "auth": map[string]any{"type": "bearer", "token": "hunter2-token"},
	}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	change := func(body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: body})
	}
	sent := func(r *receiver, want string) {
		t.Helper()
		b.post(t, path+"/test", nil).is(http.StatusOK)
		require.Equal(t, want, r.last().header.Get("Authorization"))
	}
	sent(r, "Bearer hunter2-token")
	require.Equal(t, map[string]any{"type": "bearer"}, b.get(t, path).at("auth"))
	change(map[string]any{"name": "renamed"}).is(http.StatusOK)
	change(map[string]any{"auth": map[string]any{"type": "bearer", "token": "[redacted]"}}).is(http.StatusOK)
	change(map[string]any{"auth": map[string]any{"type": "bearer"}}).is(http.StatusOK)
	b.post(t, path+"/rotate-secret", nil).is(http.StatusOK)
	sent(r, "Bearer hunter2-token")
	for pointer, auth := range map[string]map[string]any{
		"#/auth/password":      {"type": "basic", "user": "shop"},
		"#/auth/user":          {"type": "basic", "user": "a:b", "password": "x"},
		"#/auth/token":         {"type": "bearer", "token": "two\nlines"},
		"#/auth/token_url":     {"type": "oauth2", "client_id": "a", "client_secret": "hunter2-client", "token_url": "ftp://x"},
		"#/auth/client_secret": {"type": "oauth2", "client_id": "a", "token_url": "https://login.example.com/token"},
	} {
		require.Equal(t, pointer, change(map[string]any{"auth": auth}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	}
	change(map[string]any{"auth": map[string]any{"type": "basic", "user": "shop", "password": "hunter2-password"}}).is(http.StatusOK)
	sent(r, "Basic c2hvcDpodW50ZXIyLXBhc3N3b3Jk")
	require.Equal(t, map[string]any{"type": "basic", "user": "shop"}, b.get(t, path).at("auth"))
	refused := change(map[string]any{"url": other.URL, "auth": map[string]any{"type": "basic", "user": "shop", "password": "[redacted]"}})
	require.Equal(t, "#/auth/password", refused.is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	require.Equal(t, "#/auth", change(map[string]any{"url": other.URL}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"), "not in silence")
	change(map[string]any{"url": other.URL, "auth": nil}).is(http.StatusOK)
	sent(other, "")
	require.Nil(t, b.get(t, path).at("auth"))
	change(map[string]any{"auth": map[string]any{"type": "oauth2", "client_id": "a", "client_secret": "hunter2-client", "token_url": "https://login.example.com/token"}}).is(http.StatusOK)
	refused = change(map[string]any{"auth": map[string]any{"type": "oauth2", "client_id": "a", "token_url": "https://evil.example.com/token"}})
	require.Equal(t, "#/auth/client_secret", refused.is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	change(map[string]any{"auth": nil}).is(http.StatusOK)
	require.Nil(t, b.get(t, path).at("auth"))
	b.hides(t, "hunter2")
}

// TestAssertionOfAnEndpoint: the key of an assertion is kept over changes, sealed, never told, and
// not inherited by another authorization server; a wrong one is refused where it stands.
func TestAssertionOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	require.NoError(t, err)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	key := block("PRIVATE KEY", der)
	oauth2 := func(assertion map[string]any, pairs ...any) map[string]any {
		auth := map[string]any{"type": "oauth2", "client_id": "shop", "token_url": "https://login.example.com/token"}
		if assertion != nil {
			auth["assertion"] = assertion
		}
		for i := 0; i < len(pairs); i += 2 {
			auth[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
		return map[string]any{"auth": auth}
	}
	path := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{
		"url": "https://example.com/in", "auth": oauth2(map[string]any{"key": key, "key_id": "2026"})["auth"],
	}).is(http.StatusCreated).text("id")
	change := func(body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: body})
	}
	shown := func() any { return b.get(t, path).is(http.StatusOK).at("auth") }
	require.Equal(t, oauth2(map[string]any{"use": "client", "key_id": "2026"})["auth"], shown())
	change(oauth2(map[string]any{"key_id": "2027", "key": "[redacted]"})).is(http.StatusOK)
	change(oauth2(map[string]any{"key_id": "2027", "use": "grant", "subject": "somebody"})).is(http.StatusOK)
	require.Equal(t, oauth2(map[string]any{"use": "grant", "key_id": "2027", "subject": "somebody"}, "style", "header")["auth"], shown())
	for _, c := range []struct {
		pointer string
		body    map[string]any
	}{
		{"#/auth/assertion/key", oauth2(map[string]any{}, "token_url", "https://evil.example.com/token")},
		{"#/auth/assertion/key", oauth2(map[string]any{"key": block("PUBLIC KEY", public)})},
		{"#/auth/assertion/algorithm", oauth2(map[string]any{"algorithm": "RS256"})},
		{"#/auth/assertion/algorithm", oauth2(map[string]any{"algorithm": "none"})},
		{"#/auth/assertion/use", oauth2(map[string]any{"use": "both"})},
		{"#/auth/assertion/subject", oauth2(map[string]any{"subject": "somebody"})},
		{"#/auth/assertion", map[string]any{"auth": map[string]any{"type": "bearer", "token": "a-token", "assertion": map[string]any{"key": key}}}},
		{"#/auth/client_secret", oauth2(map[string]any{}, "client_secret", "hunter2")},
		{"#/auth/client_secret", oauth2(nil)},
		{"#/auth/client_id", oauth2(map[string]any{"use": "grant", "issuer": "shop"}, "client_secret", "hunter2", "client_id", "")},
	} {
		require.Equal(t, c.pointer, change(c.body).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	}
	// One that is the grant may have a secret beside it, which stays with it, and goes with it.
	change(oauth2(map[string]any{"use": "grant"}, "client_secret", "hunter2")).is(http.StatusOK)
	change(oauth2(map[string]any{"use": "grant"})).is(http.StatusOK)
	change(oauth2(nil)).is(http.StatusOK)
	require.Equal(t, "#/auth/assertion/key", change(oauth2(map[string]any{"use": "grant"})).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	change(oauth2(map[string]any{"key": key})).is(http.StatusOK)
	secret := strings.Split(key, "\n")[1]
	b.hides(t, secret, "hunter2")
}

// What is refused of a new endpoint is refused of a change, and named alike.
func TestAChangeIsCheckedAsANewEndpointIs(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	for setting, value := range map[string]any{
		"circuit": map[string]any{}, "retry": map[string]any{"schedul": []string{"5s"}}, "auth": map[string]any{"type": "magic"},
		"tls": map[string]any{"key": 7}, "timeout": 5, "ordering": "always",
	} {
		var pointers []any
		for _, c := range []call{
			{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://example.com/in", setting: value}},
			{method: http.MethodPatch, path: "/v1/endpoints/" + id, body: map[string]any{setting: value}},
		} {
			c.key = adminKey
			pointers = append(pointers, b.do(t, c).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
		}
		require.Equal(t, pointers[0], pointers[1], setting)
		require.Contains(t, pointers[1], "#/"+setting)
		b.do(t, call{key: adminKey, method: http.MethodPatch, path: "/v1/endpoints/" + id, body: map[string]any{setting: nil}}).is(http.StatusOK)
	}
}

func TestATestEventCarriesWhatTheCallerWrote(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := setup(t, nil)
	id := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "format": "raw"}).is(http.StatusCreated).text("id")
	path := "/v1/endpoints/" + id + "/test"
	b.do(t, call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/order.created", body: `{"example": {"total": 1.50}}`}).is(http.StatusOK)
	for body, want := range map[string]string{
		`{"type": "order.created"}`: `{"total": 1.50}`, `{"type": "order.created", "data": {"total": 12345678901234567890.10}}`: `{"total": 12345678901234567890.10}`,
		`{"data": [1.00]}`: `[1.00]`, `{"type": "order.created", "data": null}`: `{"total": 1.50}`,
	} {
		b.do(t, call{key: adminKey, method: http.MethodPost, path: path, body: body}).is(http.StatusOK)
		require.Equal(t, want, string(r.last().body), body)
	}
}

// TestATestEventWaitsNoLongerThanItsEndpoint, which is told of a receiver that never answers.
func TestATestEventWaitsNoLongerThanItsEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then it is noticed that the caller left
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second): // it was waited for too long: an answer
		}
	}))
	t.Cleanup(silent.Close)
	id := b.post(t, "/v1/endpoints", map[string]any{"url": silent.URL, "timeout": "50ms"}).is(http.StatusCreated).text("id")
	got := b.post(t, "/v1/endpoints/"+id+"/test", nil).is(http.StatusOK)
	require.Equal(t, "dead", got.at("outcome"))
	require.Contains(t, got.text("error"), "50ms")
}

// TestTheSchemeOfAKeyHasNoCase, as that of no authorization has.
func TestTheSchemeOfAKeyHasNoCase(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for header, want := range map[string]int{
		"Bearer " + adminKey: http.StatusOK, "bearer " + adminKey: http.StatusOK, "BEARER  " + adminKey: http.StatusOK,
		"Basic " + adminKey: http.StatusUnauthorized, "Bearer": http.StatusUnauthorized, "Bearer" + adminKey: http.StatusUnauthorized,
	} {
		b.do(t, call{method: http.MethodGet, path: "/v1/endpoints", headers: http.Header{"Authorization": {header}}, odd: true}).is(want)
	}
}
