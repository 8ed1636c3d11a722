package api_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/signature"
)

// putNamed puts the endpoint of a name.
func putNamed(tb testing.TB, b *bundle, key, query string, body map[string]any, headers ...string) *answer {
	tb.Helper()
	c := call{key: key, method: http.MethodPut, path: "/v1/endpoints?" + query, body: body, headers: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		c.headers.Set(headers[i], headers[i+1])
	}
	return b.do(tb, c)
}

// TestASetUpScriptCanRunTwice: the first run makes the endpoint of a name, the next one finds it,
// changes what is not as it says, and nothing where all is.
func TestASetUpScriptCanRunTwice(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	secret := signature.GenerateSecret()
	body := map[string]any{
		"url": "https://example.com/in", "events": []string{"order.*"}, "headers": map[string]string{"X-Key": "one"}, "secret": secret,
		"auth": map[string]any{"type": "bearer", "token": "t"},
	}
	made := putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusCreated)
	require.Equal(t, "ERP", made.text("name"))
	require.Equal(t, secret, made.text("secret"))
	again := putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusOK)
	require.Equal(t, made.text("id"), again.text("id"))
	require.Nil(t, again.at("secret"))
	require.Equal(t, `"1"`, again.Header.Get("ETag"), "nothing has changed")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action LIKE 'endpoint.%'"))

	for n, change := range []func(){
		func() { body["headers"] = map[string]string{"X-Key": "two"} },
		func() { body["auth"] = map[string]any{"type": "bearer", "token": "u"} },
		func() { body["timeout"] = "3s" },
		func() { delete(body, "timeout") },
		func() { body["status"] = "paused" },
		func() { body["url"] = "https://example.com/other" },
	} {
		change()
		got := putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusOK)
		require.Equal(t, made.text("id"), got.text("id"))
		require.EqualValues(t, n+2, got.at("version"), "change %d", n)
		putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusOK)
	}
	require.Equal(t, 7, b.count(t, "SELECT count(*) FROM tailpost.audit WHERE action LIKE 'endpoint.%'"))
	got := b.get(t, "/v1/endpoints/"+made.text("id")).is(http.StatusOK)
	require.Equal(t, []any{"15s", "paused"}, []any{got.at("timeout"), got.at("status")})
	require.Equal(t, made.text("secret_prefix"), got.text("secret_prefix"), "its secret stays")
	off := putNamed(t, b, adminKey, "name=Later", map[string]any{"url": "https://example.com/in", "status": "disabled"}).is(http.StatusCreated)
	require.Equal(t, "disabled through the API", b.get(t, "/v1/endpoints/"+off.text("id")).is(http.StatusOK).text("disabled_reason"))

	body["secret"] = signature.GenerateSecret()
	require.Equal(t, "#/secret", putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	delete(body, "secret")
	putNamed(t, b, adminKey, "name=ERP", body, "If-Match", `"1"`).is(http.StatusPreconditionFailed)
	putNamed(t, b, adminKey, "name=ERP", body, "If-Match", `"7"`).is(http.StatusOK)
	putNamed(t, b, adminKey, "name=another", body, "If-Match", `"7"`).is(http.StatusPreconditionFailed)
}

// TestANameIsATenantsOwn: two tenants have endpoints of one name, and none reaches the other's.
func TestANameIsATenantsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, acme := b.key(t, "acme", "endpoints:write")
	body := map[string]any{"url": "https://example.com/in"}
	everybodys := putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusCreated).text("id")
	own := putNamed(t, b, acme, "name=ERP", body).is(http.StatusCreated).text("id")
	other := putNamed(t, b, adminKey, "name=ERP&tenant=other", body).is(http.StatusCreated).text("id")
	require.Equal(t, own, putNamed(t, b, acme, "name=ERP&tenant=acme", body).is(http.StatusOK).text("id"))
	require.Equal(t, own, putNamed(t, b, adminKey, "name=ERP&tenant=acme", body).is(http.StatusOK).text("id"))
	require.Equal(t, everybodys, putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusOK).text("id"))
	require.Len(t, map[string]bool{everybodys: true, own: true, other: true}, 3)
	require.Equal(t, "tenant", putNamed(t, b, acme, "name=ERP&tenant=other", body).is(http.StatusUnprocessableEntity).at("errors.0.parameter"))

	putNamed(t, b, adminKey, "", body).is(http.StatusUnprocessableEntity)
	body["name"] = "another"
	require.Equal(t, "#/name", putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))

	// Names are for people: two endpoints may share one, and then none of them is meant.
	b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com", "name": "ERP"}).is(http.StatusCreated)
	delete(body, "name")
	require.Contains(t, putNamed(t, b, adminKey, "name=ERP", body).is(http.StatusConflict).text("detail"), everybodys)
}

// TestOneOfTwoScriptsMakesTheEndpoint: they run at the same time.
func TestOneOfTwoScriptsMakesTheEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	const scripts = 8
	ids := make([]string, scripts)
	atOnce(t, b, scripts, func(i int) {
		ids[i] = putNamed(t, b, adminKey, "name="+url.QueryEscape("Köln & Bonn"), map[string]any{"url": "https://example.com/in"}).text("id")
	})
	require.NotEmpty(t, ids[0])
	require.Len(t, slices.Compact(ids), 1)
}
