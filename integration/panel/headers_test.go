package panel_test

import (
	"encoding/json"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// An attempt's page shows the headers of both sides, where the configuration keeps them, and to
// nobody a secret; a test event's attempt has them too.
func TestAnAttemptShowsItsHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL+`attempts { headers = true }`)
	id := w.endpoint("Good", "/good", map[string]any{"events": []string{"order.*"}, "headers": map[string]any{"X-Source": "hunter2"}})
	w.insert("order.created", "", `{}`)
	w.attempts(id, 1)
	tested := w.call("POST", "/v1/endpoints/"+id+"/test", map[string]any{})
	require.Equal(t, "[redacted]", object(tested["request_headers"])["x-source"])
	require.Equal(t, 2, w.count("SELECT count(*) FROM tailpost.attempt WHERE request_headers ->> 'webhook-signature' = '[redacted]' AND response_headers ->> 'content-length' IS NOT NULL"))

	list := w.call("GET", "/v1/attempts", nil)
	text, err := json.Marshal(list)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2")
	rows, _ := list["data"].([]any)
	require.Len(t, rows, 2)
	first := object(rows[1])
	event, _ := first["event_id"].(string)
	at, _ := first["attempted_at"].(string)
	v := loggedIn(t, w, adminKey)
	page := v.get("/panel/attempt?" + url.Values{
		"event": {event}, "endpoint": {id}, "at": {at}, "n": {"1"},
	}.Encode()).body
	require.Contains(t, page, "<dt>webhook-signature</dt><dd>[redacted]</dd>")
	require.Contains(t, page, "<dt>user-agent</dt><dd>Tailpost/test</dd>")
	require.Contains(t, page, "<dt>content-length</dt><dd>0</dd>")
	require.NotContains(t, page, "hunter2")

	blind := w.key("blind", "", "endpoints:read", "deliveries:read")
	rows, _ = w.call("GET", "/v1/attempts", nil, blind)["data"].([]any)
	require.NotEmpty(t, rows)
	for _, row := range rows {
		require.Nil(t, object(row)["request_headers"])
		require.Nil(t, object(row)["response_headers"])
	}
}

// object is a JSON object, empty where there is none.
func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}
