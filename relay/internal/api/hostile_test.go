package api_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/signature"
)

func TestAnotherReceiverInheritsNoHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first, second := newReceiver(t), newReceiver(t)
	const token = "Bearer value-for-the-first-receiver"
	made := b.post(t, "/v1/endpoints", map[string]any{"url": first.URL, "headers": map[string]string{"Authorization": token}}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	change := func(method string, body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: method, path: path, body: body})
	}
	// Another path of the same receiver is no other receiver.
	require.Equal(t, []any{"Authorization"}, change(http.MethodPatch, map[string]any{"url": first.URL + "/in?a=b"}).is(http.StatusOK).at("header_names"))
	kept := map[string]string{"Authorization": "[redacted]"}
	for _, method := range []string{http.MethodPatch, http.MethodPut} {
		refused := change(method, map[string]any{"url": second.URL, "headers": kept}).is(http.StatusUnprocessableEntity)
		require.Equal(t, "#/headers/Authorization", refused.at("errors.0.pointer"))
	}
	require.Equal(t, "#/headers", change(http.MethodPatch, map[string]any{"url": second.URL}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"), "not in silence")
	require.Empty(t, change(http.MethodPatch, map[string]any{"url": second.URL, "headers": nil}).is(http.StatusOK).list("header_names"))
	b.post(t, path+"/test", nil).is(http.StatusOK)
	require.Empty(t, second.last().header.Get("Authorization"))
	change(http.MethodPatch, map[string]any{"url": first.URL, "headers": map[string]string{"Authorization": token}}).is(http.StatusOK)
	b.post(t, path+"/test", nil).is(http.StatusOK)
	require.Equal(t, token, first.last().header.Get("Authorization"))
	// The scheme and the port count too.
	secure := strings.Replace(first.URL, "http:", "https:", 1)
	require.Equal(t, "#/headers", change(http.MethodPatch, map[string]any{"url": secure}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	require.Empty(t, change(http.MethodPut, map[string]any{"url": secure}).is(http.StatusOK).list("header_names"), "what a PUT leaves out is none")
}

func TestRotationTellsTheTruthWhereOneSignatureIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0)
	r := newReceiver(t)
	made := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "signature": "github"}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	signedBy := func(secret string) bool {
		t.Helper()
		b.post(t, path+"/test", nil).is(http.StatusOK)
		got := r.last()
		signer, err := signature.NewSignerFor(signature.GitHub, secret)
		require.NoError(t, err)
		name := signature.GitHub.Header()
		return got.header.Get(name) == signer.Sign("", time.Time{}, got.body).Get(name)
	}
	old := made.text("secret")
	require.True(t, signedBy(old))
	rotated := b.post(t, path+"/rotate-secret", map[string]any{"grace": "1h"}).is(http.StatusOK)
	require.Equal(t, rotated.at("previous_expires_at"), rotated.at("signs_from"))
	require.True(t, signedBy(old), "until the grace is over")
	b.advance(time.Hour + time.Second)
	require.True(t, signedBy(rotated.text("secret")))
	atOnce := b.post(t, path+"/rotate-secret", map[string]any{"grace": "0s"}).is(http.StatusOK)
	require.Equal(t, atOnce.at("rotated_at"), atOnce.at("signs_from"))
	require.True(t, signedBy(atOnce.text("secret")))

	other := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{"url": r.URL}).is(http.StatusCreated).text("id")
	both := b.post(t, other+"/rotate-secret", nil).is(http.StatusOK)
	require.Equal(t, both.at("rotated_at"), both.at("signs_from"))
	require.NotNil(t, both.at("previous_expires_at"))
}

func TestPathsOfURLsAreForThoseWhoReadEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	b.attempted(t, "e1", id, "stream")
	b.exec(t, "UPDATE tailpost.attempt SET url = 'https://example.com:8443/token-in-the-path?token=in-the-query'")
	_, log := b.key(t, "", "deliveries:read")
	_, both := b.key(t, "", "deliveries:read", "endpoints:read")
	for _, path := range []string{"/v1/attempts", "/v1/events/e1", "/v1/endpoints/" + id + "/attempts"} {
		require.NotContains(t, string(b.do(t, call{key: log, method: http.MethodGet, path: path}).is(http.StatusOK).Body), "token")
		require.Contains(t, string(b.do(t, call{key: both, method: http.MethodGet, path: path}).is(http.StatusOK).Body), "token-in-the-path?token=in-the-query")
	}
	require.Equal(t, "https://example.com:8443/[redacted]", b.do(t, call{key: log, method: http.MethodGet, path: "/v1/attempts"}).at("data.0.url"))
}

func TestNoTextIsTooOddForAnAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	for _, odd := range []string{"%00", "%ff", "a%00b", "%c3%28", "%ed%a0%80", "..%2f..%2fetc", "%25", "%0a", "'%3b--"} {
		for _, path := range []string{
			"/v1/endpoints/" + odd, "/v1/endpoints/" + odd + "/attempts", "/v1/events/" + odd, "/v1/events/" + odd + "/explain", "/v1/event-types/" + odd,
			"/v1/replays/" + odd, "/v1/resends/" + odd, "/v1/endpoints?tenant=" + odd, "/v1/attempts?event_id=" + odd, "/v1/attempts?event_type=" + odd,
			"/v1/attempts?endpoint_id=" + odd + "&outcome=dead", "/v1/deliveries?event_id=" + odd, "/v1/deliveries?reason=" + odd, "/v1/events?key=" + odd,
			"/v1/events?id=" + odd, "/v1/events?type=" + odd, "/v1/events?tenant=" + odd, "/v1/stats?endpoint_id=" + odd, "/v1/attempts?cursor=" + odd,
			"/v1/events/e/explain?endpoint=" + odd,
		} {
			got := b.do(t, call{key: adminKey, method: http.MethodGet, path: path, odd: strings.HasPrefix(path, "/v1/stats")})
			require.Less(t, got.Status, 500, "%s: %s", path, got.Body)
		}
	}
	nul := "a\x00b"
	for _, c := range []call{
		{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://a.example", "name": nul}},
		{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://a.example", "tenant": nul}},
		{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://a.example/" + nul}},
		{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://a.example", "where": `event.key == "` + nul + `"`}},
		{method: http.MethodPatch, path: "/v1/endpoints/" + id, body: map[string]any{"description": nul}},
		{method: http.MethodPost, path: "/v1/keys", body: map[string]any{"name": nul}},
		{method: http.MethodPut, path: "/v1/event-types/a", body: map[string]any{"description": nul}},
		{method: http.MethodPut, path: "/v1/event-types/a", body: map[string]any{"example": nul}},
		{method: http.MethodPost, path: resendPath, body: pair(nul, id)},
		{method: http.MethodPost, path: "/v1/deliveries/discard", body: map[string]any{"event_types": []string{nul}}},
		{method: http.MethodPost, path: "/v1/replays", body: map[string]any{"endpoint_id": nul}},
		{method: http.MethodPost, path: "/v1/endpoints", body: "{\"url\": \"https://a.example\", \"name\": \"\xff\"}"},
		{method: http.MethodPost, path: "/v1/endpoints/" + id + "/pause", headers: http.Header{"Idempotency-Key": {"\xff"}}},
	} {
		c.key = adminKey
		got := b.do(t, c)
		require.Less(t, got.Status, 500, "%s %s: %s", c.method, c.path, got.Body)
		require.NotContains(t, string(got.Body), "\x00")
	}
	// A cursor that somebody made up.
	for _, cursor := range []string{`{"at":"a","id":"b"}`, `{"part":"gone","gone":{"At":"2026-01-01T00:00:00Z","EventID":"\u0000"}}`, `{"id":"\u0000"}`, `{"part":"untimed","id":"x"}`} {
		got := b.get(t, "/v1/events?cursor="+encoded(cursor))
		require.Less(t, got.Status, 500, "%s: %s", cursor, got.Body)
	}
}

func TestFieldsAreNamedExactlyAndOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for body, pointer := range map[string]string{
		`{"url":"https://a.example","tenant":"acme","Tenant":"other"}`:           "#/Tenant",
		`{"url":"https://a.example","TENANT":"other"}`:                           "#/TENANT",
		`{"url":"https://a.example","tenant":"acme","tenant":"other"}`:           "#",
		`{"url":"https://a.example","retry":{"schedule":[],"schedule":[]}}`:      "#",
		`{"url":"https://a.example","subscriptions":[{"where":"a","where":""}]}`: "#",
	} {
		got := b.post(t, "/v1/endpoints", body).is(http.StatusUnprocessableEntity)
		require.Equal(t, pointer, got.at("errors.0.pointer"), "%s", got.Body)
	}
	require.Equal(t, 0, b.count(t, "SELECT count(*) FROM tailpost.endpoint"))
	b.do(t, call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/a", body: `{"example":{"a":1,"b":{"a":[{"a":1},{"a":2}]}}}`}).is(http.StatusOK)
}

func TestEveryPageOfDeliveriesLists(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.endpoint(t, "")
	for i, at := range []string{"20231-01-01", "infinity", "-infinity", "0044-03-15 BC", "2026-03-14"} {
		b.insertDelivery(t, at, id, "dead", 16+i)
		b.exec(t, "UPDATE tailpost.delivery SET event_created_at = $1::text::timestamptz WHERE event_id = $1", at)
	}
	seen := 0
	for next := "/v1/deliveries?limit=2"; next != ""; {
		page := b.get(t, next).is(http.StatusOK)
		for i := range page.list("data") {
			at := "data." + string(rune('0'+i))
			seen++
			require.Equal(t, page.at(at+".event_id") == "2026-03-14", page.at(at+".event_created_at") != nil)
		}
		next = ""
		if c := page.text("next_cursor"); c != "" {
			next = "/v1/deliveries?limit=2&cursor=" + c
		}
	}
	require.Equal(t, 5, seen)
	b.get(t, "/v1/events/20231-01-01").is(http.StatusOK)
	b.get(t, "/v1/events/infinity/explain").is(http.StatusOK)
	b.get(t, "/v1/relay").is(http.StatusOK)
	require.NotContains(t, b.log.String(), "panicked")
}

func TestWithoutKeysNoProxyIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.API.Keys = nil })
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "x-forwarded-host"} {
		b.do(t, call{method: http.MethodGet, path: "/v1/endpoints", headers: http.Header{http.CanonicalHeaderKey(header): {"192.0.2.1"}}}).is(http.StatusForbidden)
	}
	b.do(t, call{method: http.MethodGet, path: "/v1/endpoints"}).is(http.StatusOK)
	b.do(t, call{method: http.MethodGet, path: "/healthz", headers: http.Header{"X-Forwarded-For": {"192.0.2.1"}}}).is(http.StatusOK)
}

func TestATenantsTestReachesNothingPrivate(t *testing.T) {
	t.Parallel()
	r := newReceiver(t) // on a loopback address, which network allows and the API's own network does not
	b := setup(t, func(c *config.Config) { c.API.Network = config.Network{AllowHTTP: true} })
	b.post(t, "/v1/endpoints", map[string]any{"url": r.URL}).is(http.StatusUnprocessableEntity)
	// One that was made when it was allowed, or that resolves to such an address by now.
	id := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusCreated).text("id")
	b.exec(t, "UPDATE tailpost.endpoint SET url = $1", strings.Replace(r.URL, "127.0.0.1", "localhost", 1))
	got := b.post(t, "/v1/endpoints/"+id+"/test", nil)
	require.Empty(t, r.got)
	require.NotEqual(t, "delivered", got.at("outcome"))
}

func encoded(cursor string) string { return base64.RawURLEncoding.EncodeToString([]byte(cursor)) }
