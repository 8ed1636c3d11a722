package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Clients that write every member write null for what there is not.
func TestATypeThatIsPutWithNullHasNoSchemaAndNoExample(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	put := call{key: adminKey, method: http.MethodPut, path: "/v1/event-types/order.paid", body: `{"schema": {"type": "object"}, "example": {"id": 1}}`}
	require.Equal(t, 1, b.do(t, put).is(http.StatusOK).at("example.id"))
	put.body = `{"example": null}`
	require.NotContains(t, string(b.do(t, put).is(http.StatusOK).Body), "example")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.event_type WHERE schema IS NULL AND example IS NULL"))
}
