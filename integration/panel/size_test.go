package panel_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestPagesStaySmall fills every list, and makes payload and answer as large as what is shown of
// them.
func TestPagesStaySmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, keyedHCL)
	large := make(map[string]any)
	for i := range 2000 {
		large[fmt.Sprintf(`key "%d"`, i)] = `<"&'>`
	}
	answer, err := json.Marshal(large)
	require.NoError(t, err)
	payload := string(answer)
	w.receiver.On("/a", kit.Respond(http.StatusInternalServerError, payload[:16<<10]))
	id := w.endpoint("A", "/a", nil)
	event := w.insert("order.created", "acme", payload)
	w.attempts(id, 1)
	s := &shop{world: w}
	at := s.attempt(event, id)
	w.exec(`
INSERT INTO tailpost.endpoint (id, tenant, name, url, description, subscriptions, policy, status, source, origin, version, created_at, updated_at)
SELECT 'ep_' || i, tenant, 'Endpoint number ' || i || ' with a long name for people', url || '/' || i, description, subscriptions, policy, 'paused',
       'config', '/etc/tailpost/conf.d/of-the-shop/endpoints-of-customers.hcl:' || 1000 + i, 1, created_at, updated_at
FROM tailpost.endpoint, generate_series(1, 400) AS i
WHERE id = $1`, id)
	w.exec(`
INSERT INTO tailpost.attempt (event_id, event_type, tenant, endpoint_id, number, trigger, url, outcome, error, duration_ms, response_truncated, attempted_at, commit_lsn)
SELECT $1, 'order.created', 'acme', 'ep_' || i, 1, 'retry', 'http://example.com/' || i, 'dead', repeat('connection refused <&> ', 20), 12.5, false, now() - i * interval '1 second', '0/1'
FROM generate_series(1, 400) AS i`, event)
	w.exec(`
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, tenant, key, event_created_at, commit_lsn, seq, last_error, created_at, updated_at)
SELECT $1, 'ep_' || i, 'dead', 'exhausted', 1, 'order.created', 'acme', repeat('k', 200), now(), '0/1', i, repeat('connection refused <&> ', 20), now(), now()
FROM generate_series(1, 400) AS i`, event)
	w.exec(`
INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
SELECT 'ep_' || i, date_trunc('hour', now()) - h * interval '1 hour', 2 * (1000000 + i * h), 1000000 + i * h, 1000000 + i * h, 1000000, 1234567, '{0,0,5,5,0,0,0,0,0,0,0,0,0,0,0}'
FROM generate_series(1, 400) AS i, generate_series(0, 30) AS h`)
	v := loggedIn(t, w, adminKey)
	const most = 200 << 10
	for _, path := range []string{
		"/panel/", "/panel/endpoints", "/panel/log", "/panel/endpoints/" + id + "/log", at, "/panel/events/" + event, "/panel/events", "/panel/undelivered", "/panel/replays/new", "/panel/endpoints/" + id,
	} {
		got := v.get(path)
		require.Equal(t, http.StatusOK, got.status, path)
		require.LessOrEqual(t, len(got.body), most, path)
		require.Greater(t, strings.Count(got.body, "<"), 100, path)
	}
}

// TestPicturesOfTheDocumentsAreSmall looks at what the README and the documents show.
func TestPicturesOfTheDocumentsAreSmall(t *testing.T) {
	t.Parallel()
	pictures, err := filepath.Glob(filepath.Join(kit.Root(), "docs", "images", "*.png"))
	require.NoError(t, err)
	require.NotEmpty(t, pictures)
	for _, path := range pictures {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(200<<10), path)
	}
}
