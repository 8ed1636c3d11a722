package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/api"
)

func TestMetricsAreForKeysThatMaySeeEveryTenant(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for name, c := range map[string]struct {
		key    map[string]any // nil: none
		status int
	}{
		"no key":              {nil, http.StatusUnauthorized},
		"all deliveries":      {map[string]any{"name": "a", "scopes": []string{"deliveries:read"}}, http.StatusOK},
		"endpoints only":      {map[string]any{"name": "b", "scopes": []string{"endpoints:read"}}, http.StatusForbidden},
		"those of one tenant": {map[string]any{"name": "c", "tenant": "acme"}, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := ""
			if c.key != nil {
				key = b.post(t, "/v1/keys", c.key).is(http.StatusCreated).text("secret")
			}
			got := b.do(t, call{key: key, method: http.MethodGet, path: "/metrics"}).is(c.status)
			require.Equal(t, c.status == http.StatusOK, string(got.Body) == metricsText)
		})
	}
}

func TestWithoutAMetricsBlockThereAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, func(o *api.Options) { o.Metrics = nil })
	require.Contains(t, b.get(t, "/metrics").is(http.StatusNotFound).text("detail"), "metrics block")
}
