package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/signature"
)

// postUnder sends a request with an Idempotency-Key.
func postUnder(t *testing.T, b *bundle, idempotencyKey, secret, path string, body any) *answer {
	t.Helper()
	return b.do(t, call{key: secret, method: http.MethodPost, path: path, body: body, headers: http.Header{"Idempotency-Key": {idempotencyKey}}})
}

func TestAnIdempotencyKeyIsItsCallersAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, other := b.key(t, "", "endpoints:write", "keys:write")
	body := map[string]any{"url": "https://a.example"}
	mine := postUnder(t, b, "order-42", adminKey, "/v1/endpoints", body).is(http.StatusCreated)
	theirs := postUnder(t, b, "order-42", other, "/v1/endpoints", body).is(http.StatusCreated)
	require.NotEqual(t, mine.text("id"), theirs.text("id"))
	require.NotEqual(t, mine.text("secret"), theirs.text("secret"))

	// At another call it is another request.
	postUnder(t, b, "order-42", adminKey, "/v1/keys", map[string]any{"name": "k"}).is(http.StatusCreated)
	postUnder(t, b, "order-42", adminKey, "/v1/endpoints/"+mine.text("id")+"/pause", nil).is(http.StatusOK)
	postUnder(t, b, "order-42", adminKey, "/v1/endpoints/"+mine.text("id")+"/resume", nil).is(http.StatusOK)
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.endpoint WHERE status = 'active'"))
}

func TestAnAnswerIsKeptForADay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0)
	body := map[string]any{"url": "https://a.example"}
	first := postUnder(t, b, "k", adminKey, "/v1/endpoints", body).is(http.StatusCreated)
	b.advance(24*time.Hour - time.Second)
	// What others do meanwhile makes nobody's answer forgotten.
	postUnder(t, b, "k2", adminKey, "/v1/endpoints", body).is(http.StatusCreated)
	again := postUnder(t, b, "k", adminKey, "/v1/endpoints", body).is(http.StatusCreated)
	require.JSONEq(t, string(first.Body), string(again.Body))
	b.advance(2 * time.Second)
	anew := postUnder(t, b, "k", adminKey, "/v1/endpoints", body).is(http.StatusCreated)
	require.NotEqual(t, first.text("id"), anew.text("id"))
}

// scopesOf returns the scope that an operation has to need, and one of the same things that is not
// enough, if there is one.
func scopesOf(method, path string) (needed, tooLittle string) {
	what := "deliveries"
	switch {
	case strings.HasPrefix(path, "/v1/keys"), path == "/v1/audit":
		return config.ScopeKeysWrite, ""
	case strings.HasPrefix(path, "/v1/portal-links"):
		return config.ScopePortalWrite, ""
	case strings.HasSuffix(path, "/rotate-secret"):
		return config.ScopeSecretsWrite, config.ScopeEndpointsRead
	case strings.HasSuffix(path, "/backtest"):
		return config.ScopeDeliveriesRead, "" // it changes nothing
	case strings.HasPrefix(path, "/v1/endpoints") && !strings.HasSuffix(path, "/attempts"), strings.HasPrefix(path, "/v1/event-types"), path == "/v1/versions":
		what = "endpoints"
	}
	if method == http.MethodGet {
		return what + ":read", ""
	}
	return what + ":write", what + ":read"
}

func TestEveryOperationNeedsItsScope(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	free := []string{"healthz", "readyz", "jwks"}
	keys := map[string]string{}
	for _, scope := range config.Scopes() {
		_, keys[scope] = b.key(t, "", scope)
	}
	for path, methods := range b.paths {
		for method, op := range methods {
			method = strings.ToUpper(method)
			c := call{method: method, path: strings.NewReplacer("{id}", "none", "{name}", "none").Replace(path)}
			if slices.Contains(free, op.OperationID) {
				b.do(t, c).is(http.StatusOK)
				continue
			}
			b.do(t, c).is(http.StatusUnauthorized)
			needed, tooLittle := scopesOf(method, path)
			for _, scope := range config.Scopes() {
				c.key = keys[scope]
				enough := scope == needed || strings.TrimSuffix(scope, ":write") == strings.TrimSuffix(needed, ":read")
				enough = enough || needed == config.ScopeSecretsWrite && scope == config.ScopeEndpointsWrite // includes it
				got := b.do(t, c).Status
				require.Equal(t, enough, got != http.StatusForbidden, "%s with %s: %d", op.OperationID, scope, got)
				require.False(t, enough && scope == tooLittle, "%s with %s", op.OperationID, scope)
			}
		}
	}
}

func TestRotationEndsOlderSecretsToo(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0)
	r := newReceiver(t)
	path := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{"url": r.URL}).is(http.StatusCreated).text("id")
	signatures := func() int {
		b.post(t, path+"/test", nil).is(http.StatusOK)
		return len(strings.Fields(r.last().header.Get("webhook-signature")))
	}
	rotate := func(grace string) *answer {
		return b.post(t, path+"/rotate-secret", map[string]any{"grace": grace}).is(http.StatusOK)
	}
	require.Equal(t, 1, signatures())
	for i := range 7 {
		rotate("168h")
		require.Equal(t, min(i+2, 5), signatures(), "a new secret and the old ones, five at most")
	}
	rotate("1h")
	require.Equal(t, 5, signatures())
	b.advance(59 * time.Minute)
	require.Equal(t, 5, signatures())
	b.advance(2 * time.Minute)
	require.Equal(t, 1, signatures(), "none of the old ones outlives the last grace")
	after := rotate("2h")
	require.Equal(t, 2, signatures())
	require.Nil(t, rotate("0s").at("previous_expires_at"), "it is forgotten")
	require.Equal(t, 1, signatures())
	b.post(t, path+"/rotate-secret", map[string]any{"secret": after.text("secret")}).is(http.StatusOK)
	require.Equal(t, 2, signatures())
	b.post(t, path+"/rotate-secret", map[string]any{"secret": after.text("secret")}).is(http.StatusConflict)
}

// By the prefix people tell which secret their receiver is to have: it is that of the newest.
func TestARotatedSecretIsKnownByItsOwnPrefix(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	rotated := b.post(t, path+"/rotate-secret", nil).is(http.StatusOK)
	prefix := rotated.text("secret")[:12]
	require.NotEqual(t, made.text("secret")[:12], prefix)
	require.Equal(t, prefix, rotated.at("secret_prefix"))
	require.Equal(t, prefix, b.get(t, path).is(http.StatusOK).at("secret_prefix"))
	require.Equal(t, prefix, b.get(t, "/v1/endpoints").is(http.StatusOK).at("data.0.secret_prefix"))
}

func TestPublicKeysLeaveWithTheirGrace(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0)
	path := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "secret_type": "whsk"}).is(http.StatusCreated).text("id")
	published := func() int {
		b.advance(11 * time.Second) // the set is kept for ten
		return len(b.do(t, call{method: http.MethodGet, path: "/.well-known/jwks.json"}).is(http.StatusOK).list("keys"))
	}
	require.Equal(t, 1, published())
	shared, _ := signature.GenerateKeyPair()
	for _, at := range []string{"https://b.example", "https://c.example"} {
		b.post(t, "/v1/endpoints", map[string]any{"url": at, "secret": shared}).is(http.StatusCreated)
	}
	require.Equal(t, 2, published(), "a key that several endpoints have is one")
	b.post(t, path+"/rotate-secret", map[string]any{"grace": "1h"}).is(http.StatusOK)
	require.Equal(t, 3, published())
	b.advance(time.Hour)
	require.Equal(t, 2, published())
}

func TestTheUseOfAKeyIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0)
	id, secret := b.key(t, "", "endpoints:read")
	used := func() (at time.Time) {
		b.do(t, call{key: secret, method: http.MethodGet, path: "/v1/endpoints"}).is(http.StatusOK)
		require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT last_used_at FROM tailpost.api_key WHERE id = $1", id).Scan(&at))
		return at
	}
	first := used()
	b.advance(59 * time.Second)
	require.Equal(t, first, used())
	b.advance(time.Second)
	require.Equal(t, first.Add(time.Minute), used())

	// A session of the panel uses its key too.
	session, err := b.server.Login(t.Context(), "192.0.2.1", secret)
	require.NoError(t, err)
	b.advance(time.Minute)
	_, err = b.server.Renew(t.Context(), session.KeyID(), session.Fingerprint(), "192.0.2.1")
	require.NoError(t, err)
	var at time.Time
	require.NoError(t, b.conn.QueryRow(t.Context(), "SELECT last_used_at FROM tailpost.api_key WHERE id = $1", id).Scan(&at))
	require.Equal(t, first.Add(2*time.Minute), at)
}

func TestPagesHaveEachEntryOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.advance(0) // everything of one moment
	first := b.endpoint(t, "")
	for i := range 5 {
		b.endpoint(t, "")
		b.key(t, "", "endpoints:read")
		beginReplay(t, b, first)
		b.post(t, "/v1/deliveries/resend", map[string]any{"endpoint_id": first}).is(http.StatusAccepted)
		b.do(t, call{key: adminKey, method: http.MethodPut, path: fmt.Sprintf("/v1/event-types/type.%d", i), body: map[string]any{}}).is(http.StatusOK)
		b.insertDelivery(t, fmt.Sprintf("e%d", i), first, "dead", 16)
	}
	b.insertDelivery(t, "e5", first, "dead", 16)
	for path, c := range map[string]struct {
		identity string
		all      int
	}{
		"/v1/endpoints": {"id", 6}, "/v1/keys": {"id", 6}, "/v1/replays": {"id", 5}, "/v1/resends": {"id", 5},
		"/v1/event-types": {"name", 5}, "/v1/deliveries": {"event_id", 6},
	} {
		for limit := range 4 {
			seen := map[string]bool{}
			cursor, pages := "", 0
			for more := true; more; pages++ {
				page := b.get(t, fmt.Sprintf("%s?limit=%d%s", path, limit+1, cursor)).is(http.StatusOK)
				for i := range page.list("data") {
					id := page.text(fmt.Sprintf("data.%d.%s", i, c.identity))
					require.False(t, seen[id], "%s: %s comes twice", path, id)
					seen[id] = true
				}
				cursor = "&cursor=" + page.text("next_cursor")
				more = page.text("next_cursor") != ""
			}
			require.Len(t, seen, c.all, path)
			require.Equal(t, (c.all+limit)/(limit+1), pages, "%s: no page but the last is short", path)
		}
	}
}

func TestTenantsAreToldNothingOfTheRelay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, tenant := b.key(t, "acme")
	for _, path := range []string{"/v1/relay", "/metrics"} {
		b.do(t, call{key: tenant, method: http.MethodGet, path: path}).is(http.StatusNotFound)
		b.get(t, path).is(http.StatusOK)
	}
}

func TestTenantsDoNotChangeTheCatalogue(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	_, tenant := b.key(t, "acme")
	const path = "/v1/event-types/order.created"
	b.do(t, call{key: adminKey, method: http.MethodPut, path: path, body: map[string]any{"description": "ours"}}).is(http.StatusOK)
	b.do(t, call{key: tenant, method: http.MethodPut, path: path, body: map[string]any{"description": "mine"}}).is(http.StatusForbidden)
	b.do(t, call{key: tenant, method: http.MethodDelete, path: path}).is(http.StatusForbidden)
	require.Equal(t, "ours", b.do(t, call{key: tenant, method: http.MethodGet, path: path}).is(http.StatusOK).at("description"))
}

func TestAnEnabledEndpointBeginsAnew(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	path := "/v1/endpoints/" + b.endpoint(t, "")
	b.exec(t, "UPDATE tailpost.endpoint SET status = 'disabled', disabled_reason = 'failing', failing_since = now() - interval '10 days'")
	require.NotNil(t, b.get(t, path).is(http.StatusOK).at("failing_since"))
	enabled := b.post(t, path+"/enable", nil).is(http.StatusOK)
	require.Nil(t, enabled.at("failing_since"))
	require.Nil(t, enabled.at("disabled_reason"))
	require.Nil(t, b.get(t, path).is(http.StatusOK).at("failing_since"))
}

// TestAPauseForgetsNoFailure: a failing endpoint that somebody pauses and resumes is no healthier
// for it, and is disabled when it would have been.
func TestAPauseForgetsNoFailure(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	path := "/v1/endpoints/" + b.endpoint(t, "")
	b.exec(t, "UPDATE tailpost.endpoint SET failing_since = now() - interval '10 days'")
	since := b.get(t, path).is(http.StatusOK).at("failing_since")
	require.NotNil(t, since)
	b.post(t, path+"/pause", nil).is(http.StatusOK)
	require.Equal(t, since, b.post(t, path+"/resume", nil).is(http.StatusOK).at("failing_since"))
}

func TestABusyDatabaseIsNoBug(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, "ALTER TABLE tailpost.endpoint RENAME TO really")
	fails := func(state string) {
		b.exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION busy() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'busy' USING ERRCODE = '%s'; END $$`, state))
	}
	fails("53300")
	b.exec(t, "CREATE VIEW tailpost.endpoint AS SELECT r.* FROM tailpost.really AS r WHERE busy()")
	b.exec(t, `INSERT INTO tailpost.really (id, name, url, subscriptions, policy, status, source, created_at, updated_at)
		VALUES ('ep', 'ep', 'https://a.example', '[]', '{}', 'active', 'api', now(), now())`)
	// Conflicts, too many connections, locks, a server that starts, its disk.
	for _, state := range []string{"40001", "53300", "55P03", "57P03", "58030"} {
		fails(state)
		busy := b.get(t, "/v1/endpoints").is(http.StatusServiceUnavailable)
		require.Equal(t, "1", busy.Header.Get("Retry-After"), state)
	}
}

func TestEventsOfOtherTenantsAreNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.insertRows(t)
	_, acme := b.key(t, "acme")
	_, other := b.key(t, "other")
	get := func(secret, id string) *answer {
		return b.do(t, call{key: secret, method: http.MethodGet, path: "/v1/events/" + id})
	}
	get(acme, rowOfAcme).is(http.StatusOK)
	get(other, rowOfAcme).is(http.StatusNotFound)
	get(acme, rowOfNone).is(http.StatusNotFound)
}

func TestWhatIsUndeliveredGoesWithItsEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	gone, stays := b.endpoint(t, ""), b.endpoint(t, "")
	for _, id := range []string{gone, stays} {
		b.insertDelivery(t, "e1", id, "dead", 16)
		b.insertDelivery(t, "e2", id, "pending", 16)
	}
	b.attempted(t, "e3", gone, "stream")
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/endpoints/" + gone}).is(http.StatusOK)
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.delivery"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.attempt"), "its attempts stay on record")
}

func TestStatsOfATimeHaveNothingFromBefore(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.mu.Lock()
	b.now = time.Date(2026, 3, 14, 12, 30, 0, 0, time.UTC)
	b.mu.Unlock()
	id := b.endpoint(t, "")
	for i, hour := range []string{"2026-03-14 12:00", "2026-03-13 13:00", "2026-03-13 12:00", "2026-03-01 00:00", "2026-01-01 00:00"} {
		b.exec(t, `INSERT INTO tailpost.endpoint_stats (endpoint_id, hour, attempts, delivered, failed, dead, duration_ms_sum, buckets)
			VALUES ($1, ($2::text || '+00')::timestamptz, $3::int, $3, 0, 0, 1, array_fill(0::bigint, ARRAY[15]))`, id, hour, 1<<i)
	}
	stats := b.get(t, "/v1/endpoints/"+id+"/stats").is(http.StatusOK)
	require.Equal(t, 3, stats.at("last_24h.attempts"), "from the first whole hour within it")
	require.Equal(t, 7, stats.at("last_7d.attempts"))
	require.Equal(t, 15, stats.at("last_30d.attempts"))
	require.Equal(t, 31, stats.at("all_time.attempts"))
}
