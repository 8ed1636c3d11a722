package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
