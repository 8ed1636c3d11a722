package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestANameCannotLookLikeAnother: characters that do not show, or that turn the writing around, are
// refused wherever a name is written; those of any language are not.
func TestANameCannotLookLikeAnother(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.do(t, call{key: adminKey, method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://example.com", "name": "before"}}).is(http.StatusCreated).text("id")
	writes := func(name string) map[string]call {
		body := map[string]any{"url": "https://example.com", "name": name}
		return map[string]call{
			"endpoint":           {key: adminKey, method: http.MethodPost, path: "/v1/endpoints", body: body},
			"change of endpoint": {key: adminKey, method: http.MethodPatch, path: "/v1/endpoints/" + id, body: map[string]any{"name": name}},
			"endpoint of a name": {key: adminKey, method: http.MethodPut, path: "/v1/endpoints?name=" + url.QueryEscape(name), body: map[string]any{"url": "https://example.com"}},
			"key":                {key: adminKey, method: http.MethodPost, path: "/v1/keys", body: map[string]any{"name": name}},
			"type":               {key: adminKey, method: http.MethodPut, path: "/v1/event-types/" + url.PathEscape(name), body: map[string]any{"description": "d"}},
		}
	}
	for _, name := range []string{"a\u202eb", "a\u2066b", "a\u200fb", "a\u200bb", "a\u0085b", "a\x1bb", "a\ufeffb", "a\tb"} {
		for what, c := range writes(name) {
			got := b.do(t, c)
			require.Equal(t, http.StatusUnprocessableEntity, got.Status, "%s %q: %s", what, name, got.Body)
		}
	}
	require.Equal(t, "before", b.get(t, "/v1/endpoints/"+id).text("name"))
	for _, name := range []string{"שלום", "مرحبا", "注文-é"} {
		for what, c := range writes(name) {
			if what == "endpoint of a name" { // there is one by now, or there are two
				continue
			}
			got := b.do(t, c)
			require.Less(t, got.Status, 300, "%s %q: %s", what, name, got.Body)
		}
	}
}
