package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// A tenant's keys may make as many endpoints, with as much concurrency and as large expressions, as
// its quotas say, and no more; the answer says what to do. The operator's keys are not bound.
func TestATenantHasNoMoreThanItsQuotas(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) {
		c.API.Quotas = config.Quotas{Endpoints: 3, Concurrency: 40, Expressions: 100}
	})
	key := b.post(t, "/v1/keys", map[string]any{"name": "acme", "tenant": "acme"}).is(http.StatusCreated).text("secret")
	other := b.post(t, "/v1/keys", map[string]any{"name": "other", "tenant": "other"}).is(http.StatusCreated).text("secret")
	create := func(key string, more map[string]any) *answer {
		body := map[string]any{"url": "https://example.com/in", "concurrency": 10}
		maps.Copy(body, more)
		return b.do(t, call{key: key, method: http.MethodPost, path: "/v1/endpoints", body: body})
	}
	// What the configuration has for the tenant is the operator's own.
	b.exec(t, `INSERT INTO tailpost.endpoint (id, tenant, name, url, subscriptions, policy, status, source, created_at, updated_at)
		VALUES ('erp', 'acme', 'erp', 'https://example.com/in', '[{"events":[]}]', '{"concurrency":32}', 'active', 'config', now(), now())`)
	first := create(key, nil).is(http.StatusCreated).text("id")
	got := create(key, map[string]any{"concurrency": 31}).is(http.StatusUnprocessableEntity)
	require.Contains(t, string(got.Body), "#/concurrency")
	require.Contains(t, string(got.Body), "the others have 10: write less")
	create(key, map[string]any{"concurrency": 20}).is(http.StatusCreated)
	got = create(key, map[string]any{"where": "event.data.x == \"" + strings.Repeat("y", 83) + "\""}).is(http.StatusUnprocessableEntity)
	require.Contains(t, string(got.Body), "may have 100 bytes together")
	create(key, map[string]any{"where": "event.data.x == \"" + strings.Repeat("y", 82) + "\""}).is(http.StatusCreated)
	got = create(key, map[string]any{"concurrency": 1}).is(http.StatusUnprocessableEntity)
	require.Contains(t, string(got.Body), "may have 3 endpoints: delete one")
	change := func(body map[string]any) *answer {
		return b.do(t, call{key: key, method: http.MethodPatch, path: "/v1/endpoints/" + first, body: body})
	}
	change(map[string]any{"name": "still mine"}).is(http.StatusOK)
	change(map[string]any{"concurrency": 11}).is(http.StatusUnprocessableEntity)
	change(map[string]any{"body": "{ a = \"" + strings.Repeat("z", 200) + "\" }"}).is(http.StatusUnprocessableEntity)
	change(map[string]any{"concurrency": 9}).is(http.StatusOK)
	create(other, map[string]any{"concurrency": 40}).is(http.StatusCreated) // each for itself
	b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com/in", "tenant": "acme", "concurrency": 500}).is(http.StatusCreated)
	b.change(func(c *config.Config) { c.API.Quotas = config.Quotas{Endpoints: 1} })
	change(map[string]any{"name": "still mine, though they are too many now"}).is(http.StatusOK)
	create(key, nil).is(http.StatusUnprocessableEntity)
	b.do(t, call{key: key, method: http.MethodDelete, path: "/v1/endpoints/" + first}).is(http.StatusOK)
}

// Calls that come at once share the quota.
func TestQuotasHoldForCallsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.API.Quotas = config.Quotas{Endpoints: 3} })
	key := b.post(t, "/v1/keys", map[string]any{"name": "acme", "tenant": "acme"}).is(http.StatusCreated).text("secret")
	atOnce(t, b, 8, func(i int) {
		b.do(t, call{key: key, method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": fmt.Sprintf("https://example.com/%d", i)}})
	})
	require.Equal(t, 3, b.count(t, "SELECT count(*) FROM tailpost.endpoint WHERE tenant = 'acme'"))
}

// atOnce makes calls that write endpoints, of which none does before four of them wait: for that,
// or for each other.
func atOnce(t *testing.T, b *bundle, calls int, do func(i int)) {
	t.Helper()
	tx, err := b.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE tailpost.endpoint IN SHARE ROW EXCLUSIVE MODE") // reading goes on
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() { do(i) })
	}
	require.Eventually(t, func() bool {
		var waiting int
		_, err := tx.Exec(t.Context(), "SELECT pg_stat_clear_snapshot()") // else a transaction sees the first one
		require.NoError(t, err)
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting))
		return waiting >= 4
	}, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	wg.Wait()
}

// A tenant's keys send as many test events a minute as its quota says.
func TestATenantSendsNoMoreTestsThanItsQuota(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.API.Quotas = config.Quotas{Tests: 2} })
	key := b.post(t, "/v1/keys", map[string]any{"name": "acme", "tenant": "acme"}).is(http.StatusCreated).text("secret")
	b.advance(0)
	id := b.do(t, call{key: key, method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "http://127.0.0.1:9/in"}}).is(http.StatusCreated).text("id")
	test := func(key string) *answer {
		return b.do(t, call{key: key, method: http.MethodPost, path: "/v1/endpoints/" + id + "/test"})
	}
	test(key).is(http.StatusOK)
	b.advance(20 * time.Second)
	test(key).is(http.StatusOK)
	got := test(key).is(http.StatusTooManyRequests)
	require.Equal(t, "41", got.Header.Get("Retry-After"))
	require.Contains(t, string(got.Body), "2 test events a minute")
	test(adminKey).is(http.StatusOK)
	b.advance(40 * time.Second)
	test(key).is(http.StatusOK)
	test(key).is(http.StatusTooManyRequests)
}
