package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// TestAnEndpointGoesWhereItsEventsSay: the API takes the expressions of the configuration as text,
// shows them, keeps the values of headers, and says where one is wrong.
func TestAnEndpointGoesWhereItsEventsSay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r := newReceiver(t)
	url := r.URL + "/orders/${event.data.id}/hook?a=${event.data.a}"
	made := b.post(t, "/v1/endpoints", map[string]any{
		"url": url, "query": map[string]string{"type": "${event.type}", "lit": "a b"}, "headers": map[string]string{"X-Id": "id-${event.data.id}"},
	}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	shown := b.get(t, path).is(http.StatusOK)
	require.Equal(t, url, shown.at("url"))
	require.Equal(t, map[string]any{"type": "${event.type}", "lit": "a b"}, shown.at("query"))
	require.Equal(t, []any{"X-Id"}, shown.at("header_names"))
	require.NotContains(t, string(shown.Body), "id-$")

	tested := b.post(t, path+"/test", map[string]any{"type": "order.paid", "data": map[string]any{"id": "1/2", "a": "b&c"}}).is(http.StatusOK)
	require.Equal(t, "delivered", tested.at("outcome"))
	got := r.last()
	require.Equal(t, "/orders/1%2F2/hook?a=b%26c&lit=a%20b&type=order.paid", got.uri)
	require.Equal(t, "id-1/2", got.header.Get("X-Id"))
	tested = b.post(t, path+"/test", map[string]any{"data": map[string]any{"id": "..", "a": "b"}}).is(http.StatusOK)
	require.Equal(t, "dead", tested.at("outcome"))
	require.Contains(t, tested.text("error"), "would lead elsewhere")
	require.Equal(t, got.uri, r.last().uri, "nothing was sent")

	change := func(method string, body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: method, path: path, body: body})
	}
	require.Equal(t, "renamed", change(http.MethodPatch, map[string]any{"name": "renamed"}).is(http.StatusOK).at("name"))
	require.Equal(t, "${event.type}", b.get(t, path).is(http.StatusOK).at("query.type"), "what is left out stays")
	require.Nil(t, change(http.MethodPatch, map[string]any{"query": nil}).is(http.StatusOK).at("query"))
	change(http.MethodPatch, map[string]any{"query": map[string]string{"k": "1"}}).is(http.StatusOK)
	same := change(http.MethodPatch, map[string]any{"url": r.URL + "/${event.data.id}"}).is(http.StatusOK)
	require.Equal(t, "1", same.at("query.k"))
	require.Equal(t, []any{"X-Id"}, same.at("header_names"), "it is the same receiver")
	elsewhere := map[string]any{"url": "https://elsewhere.example/${event.data.id}"}
	lost := change(http.MethodPatch, elsewhere).is(http.StatusUnprocessableEntity)
	require.Equal(t, "#/headers", lost.at("errors.0.pointer"), "nothing is lost in silence")
	require.Equal(t, "#/query", lost.at("errors.1.pointer"))
	elsewhere["headers"], elsewhere["query"] = nil, nil
	moved := change(http.MethodPatch, elsewhere).is(http.StatusOK)
	require.Nil(t, moved.at("query"), "another receiver inherits nothing")
	require.Empty(t, moved.list("header_names"))

	for name, wrong := range map[string]struct {
		body    map[string]any
		pointer string
	}{
		"host":   {map[string]any{"url": "https://${event.tenant}.example/"}, "#/url"},
		"url":    {map[string]any{"url": r.URL + "/${event.nope}"}, "#/url"},
		"env":    {map[string]any{"url": r.URL + "/${env(\"HOME\")}"}, "#/url"},
		"extra":  {map[string]any{"url": r.URL + "/${event.extra.region}"}, "#/url"},
		"query":  {map[string]any{"url": r.URL, "query": map[string]string{"a/b": "${event.nope}"}}, "#/query/a~1b"},
		"header": {map[string]any{"url": r.URL, "headers": map[string]string{"X-A": "${event.nope}"}}, "#/headers/X-A"},
	} {
		refused := b.post(t, "/v1/endpoints", wrong.body).is(http.StatusUnprocessableEntity)
		require.Equal(t, wrong.pointer, refused.at("errors.0.pointer"), name)
	}
}

// TestExpressionsOfAnAddressCount: a tenant's quota of expressions covers those of where requests
// go.
func TestExpressionsOfAnAddressCount(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.API.Quotas.Expressions = 60 })
	_, acme := b.key(t, "acme")
	post := func(body map[string]any) *answer {
		body["url"] = "https://example.com/in"
		return b.do(t, call{key: acme, method: http.MethodPost, path: "/v1/endpoints", body: body})
	}
	post(map[string]any{"query": map[string]string{"a": "${lower(event.key)}"}}).is(http.StatusCreated)
	refused := post(map[string]any{
		"query": map[string]string{"a": "${lower(lower(lower(event.key)))}"}, "headers": map[string]string{"X-A": "${lower(lower(lower(event.key)))}"},
	}).is(http.StatusUnprocessableEntity)
	require.Contains(t, refused.text("errors.0.detail"), "where, body, url, query and headers")
}
