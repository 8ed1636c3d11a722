package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

func TestWhatIsWrongIsPointedAt(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for name, c := range map[string]struct {
		body    any
		status  int
		pointer string
		detail  string
	}{
		"unknown field":          {map[string]any{"url": "https://a.example", "evnts": []string{}}, 422, "#/evnts", `Did you mean "events"?`},
		"unknown field within":   {map[string]any{"url": "https://a.example", "retry": map[string]any{"shedule": []string{}}}, 422, "#/retry/shedule", `Did you mean "schedule"?`},
		"no URL":                 {map[string]any{}, 422, "#", "url"},
		"wrong type":             {map[string]any{"url": 7}, 422, "#/url", "string"},
		"bad URL":                {map[string]any{"url": "ftp://a.example"}, 422, "#/url", "https"},
		"bad pattern":            {map[string]any{"url": "https://a.example", "events": []string{"a", "b..c"}}, 422, "#/events/1", "pattern"},
		"bad filter":             {map[string]any{"url": "https://a.example", "where": "event.dta.x > 1"}, 422, "#/where", "Did you mean"},
		"bad filter within":      {map[string]any{"url": "https://a.example", "subscriptions": []any{map[string]any{}, map[string]any{"where": "1 +"}}}, 422, "#/subscriptions/1/where", "line 1"},
		"bad body":               {map[string]any{"url": "https://a.example", "body": "{ a = nothing }"}, 422, "#/body", "nothing"},
		"both forms":             {map[string]any{"url": "https://a.example", "where": "event.tenant == \"a\"", "subscriptions": []any{}}, 422, "#/subscriptions", "either"},
		"bad duration":           {map[string]any{"url": "https://a.example", "timeout": "5 parsecs"}, 422, "#/timeout", "15s"},
		"bad delay":              {map[string]any{"url": "https://a.example", "retry": map[string]any{"schedule": []string{"1s", "x"}}}, 422, "#/retry/schedule/1", "unit"},
		"bad rate":               {map[string]any{"url": "https://a.example", "rate": "fast"}, 422, "#/rate", "100/s"},
		"bad header":             {map[string]any{"url": "https://a.example", "headers": map[string]string{"webhook-id": "x"}}, 422, "#/headers/webhook-id", "Reserved"},
		"short secret":           {map[string]any{"url": "https://a.example", "secret": "whsec_c2hvcnQ="}, 422, "#/secret", "24 to 64"},
		"secret in a list":       {map[string]any{"url": "https://a.example", "secret": []string{"whsec_c2hvcnQ="}}, 422, "#/secret", "string"},
		"secret and type":        {map[string]any{"url": "https://a.example", "secret": "whsec_" + strings.Repeat("QUFB", 11), "secret_type": "whsk"}, 422, "#/secret_type", "either"},
		"redirects out of range": {map[string]any{"url": "https://a.example", "redirects": 3}, 422, "#/redirects", "2"},
		"no JSON":                {`{"url": `, 400, "#", "not valid JSON"},
		"more after the JSON":    {`{"url": "https://a.example"} {}`, 400, "#", "not valid JSON"},
		"a list":                 {`[]`, 422, "#", "object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := b.post(t, "/v1/endpoints", c.body).is(c.status)
			found := false
			for _, e := range a.list("errors") {
				problem, _ := e.(map[string]any)
				text, _ := problem["detail"].(string)
				found = found || problem["pointer"] == c.pointer && strings.Contains(text, c.detail)
			}
			require.True(t, found, "want %s %q in %s", c.pointer, c.detail, a.Body)
			require.NotContains(t, string(a.Body), "c2hvcnQ=")
		})
	}
	require.Equal(t, 0, b.count(t, "SELECT count(*) FROM tailpost.endpoint"))
}

func TestParametersAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	a := b.get(t, "/v1/endpoints?limt=5").is(http.StatusUnprocessableEntity)
	require.Equal(t, "limt", a.at("errors.0.parameter"))
	require.Contains(t, a.text("errors.0.detail"), `Did you mean "limit"?`)
	b.get(t, "/v1/endpoints?limit=251").is(http.StatusUnprocessableEntity)
	b.get(t, "/v1/endpoints?limit=0").is(http.StatusUnprocessableEntity)
	require.Equal(t, "cursor", b.get(t, "/v1/attempts?cursor=abc").is(http.StatusUnprocessableEntity).at("errors.0.parameter"))
	b.get(t, "/v1/attempts?since=yesterday").is(http.StatusUnprocessableEntity)

	nowhere := b.get(t, "/v1/endpoint").is(http.StatusNotFound)
	require.Equal(t, "application/problem+json", nowhere.Header.Get("Content-Type"))
	method := b.do(t, call{key: adminKey, method: http.MethodDelete, path: "/v1/endpoints"}).is(http.StatusMethodNotAllowed)
	require.Contains(t, method.Header.Get("Allow"), "POST")
	b.do(t, call{key: adminKey, method: http.MethodPost, path: "/v1/endpoints", body: `url=x`, headers: http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"},
	}}).is(http.StatusUnsupportedMediaType)
	b.post(t, "/v1/endpoints", `{"url":"`+strings.Repeat("x", 600<<10)+`"}`).is(http.StatusRequestEntityTooLarge)
}

// A type that was deleted meanwhile is not made anew by whoever meant to change it.
func TestATypeThatIsGoneIsNotChanged(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	const path = "/v1/event-types/order.paid"
	put := func(headers http.Header) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPut, path: path, body: map[string]any{"description": "paid"}, headers: headers})
	}
	tag := http.Header{"If-Match": {put(nil).is(http.StatusOK).Header.Get("ETag")}}
	put(tag).is(http.StatusOK)
	put(tag).is(http.StatusPreconditionFailed)
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: path, headers: tag}).is(http.StatusPreconditionFailed)
	tag = http.Header{"If-Match": {put(nil).is(http.StatusOK).Header.Get("ETag")}}
	b.do(t, call{key: adminKey, method: http.MethodDelete, path: path}).is(http.StatusOK)
	put(tag).is(http.StatusPreconditionFailed)
	b.get(t, path).is(http.StatusNotFound)
	put(nil).is(http.StatusOK)
}

func TestVersionsKeepChangesFromBeingLost(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example", "timeout": "3s", "where": `event.tenant == "x"`}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	change := func(method, tag string, body any) *answer {
		return b.do(t, call{key: adminKey, method: method, path: path, body: body, headers: http.Header{"If-Match": {tag}}})
	}
	change(http.MethodPatch, `"1"`, map[string]any{"name": "first"}).is(http.StatusOK)
	change(http.MethodPatch, `"1"`, map[string]any{"name": "second"}).is(http.StatusPreconditionFailed)
	change(http.MethodPut, `"1"`, map[string]any{"url": "https://b.example"}).is(http.StatusPreconditionFailed)
	change(http.MethodDelete, `W/"2"`, nil).is(http.StatusPreconditionFailed)
	got := b.get(t, path).is(http.StatusOK)
	require.Equal(t, "first", got.at("name"))
	require.Equal(t, "3s", got.at("timeout"))
	reset := change(http.MethodPatch, `"1", "2"`, map[string]any{"timeout": nil, "where": nil, "name": nil}).is(http.StatusOK)
	require.Equal(t, "15s", reset.at("timeout"))
	require.Equal(t, got.at("id"), reset.at("name"))
	require.Nil(t, reset.at("subscriptions.0.where"))
	b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: map[string]any{"url": nil}}).is(http.StatusUnprocessableEntity)
	change(http.MethodDelete, `*`, nil).is(http.StatusOK)
}

func TestRequestsAreSafeToRepeat(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	create := func(key, url string) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": url}, headers: http.Header{
			"Idempotency-Key": {key},
		}})
	}
	first := create("k1", "https://a.example").is(http.StatusCreated)
	again := create("k1", "https://a.example").is(http.StatusCreated)
	require.JSONEq(t, string(first.Body), string(again.Body), "the secret too")
	require.Equal(t, first.Header.Get("ETag"), again.Header.Get("ETag"))
	reused := create("k1", "https://b.example").is(http.StatusUnprocessableEntity)
	require.Equal(t, "Idempotency-Key", reused.at("errors.0.parameter"))
	create("k2", "ftp://nowhere").is(http.StatusUnprocessableEntity)
	create("k2", "https://c.example").is(http.StatusCreated)
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.endpoint"))

	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { create("k3", "https://d.example").is(http.StatusCreated) })
	}
	group.Wait()
	require.Equal(t, 3, b.count(t, "SELECT count(*) FROM tailpost.endpoint"))

	r := newReceiver(t)
	made := b.post(t, "/v1/endpoints", map[string]any{"url": r.URL}).is(http.StatusCreated)
	for range 2 {
		b.do(t, call{key: adminKey, method: http.MethodPost, path: "/v1/endpoints/" + made.text("id") + "/test", headers: http.Header{
			"Idempotency-Key": {"k4"},
		}}).is(http.StatusOK)
	}
	require.Len(t, r.got, 1)

	b.mu.Lock()
	b.now = time.Now().Add(25 * time.Hour)
	b.mu.Unlock()
	create("k5", "https://e.example").is(http.StatusCreated)
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.idempotency"), "old answers are forgotten")
}

func TestEndpointsOfTheConfigurationAreReadOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.exec(t, `INSERT INTO tailpost.endpoint (id, name, url, subscriptions, policy, status, source, origin, created_at, updated_at)
		VALUES ('erp', 'erp', 'https://erp.example', '[{"events":[]}]', '{"signature":"standard","format":"standard","headers":["X-A"],"timeout":"15s",
		"concurrency":32,"rate":0,"ordering":"none","redirects":0,"retry":[],"circuit":{"failures":0,"reopen":"0s"},"park_after":"1s","disable_after":"0s"}',
		'active', 'config', 'tailpost.hcl:12', now(), now())`)
	got := b.get(t, "/v1/endpoints/erp").is(http.StatusOK)
	require.Equal(t, "tailpost.hcl:12", got.at("origin"))
	require.Nil(t, got.at("secret_prefix"))
	require.Equal(t, []any{"X-A"}, got.at("header_names"))
	for _, c := range []call{
		{method: http.MethodPatch, path: "/v1/endpoints/erp", body: map[string]any{"name": "x"}},
		{method: http.MethodPut, path: "/v1/endpoints/erp", body: map[string]any{"url": "https://x.example"}},
		{method: http.MethodDelete, path: "/v1/endpoints/erp"},
		{method: http.MethodPost, path: "/v1/endpoints/erp/rotate-secret"},
	} {
		c.key = adminKey
		require.Contains(t, b.do(t, c).is(http.StatusConflict).text("detail"), "tailpost.hcl:12")
	}
	require.Equal(t, "paused", b.post(t, "/v1/endpoints/erp/pause", nil).is(http.StatusOK).at("status"))
	b.exec(t, "UPDATE tailpost.endpoint SET status = 'disabled', disabled_reason = 'removed from the configuration'")
	b.post(t, "/v1/endpoints/erp/enable", nil).is(http.StatusConflict)
}

func TestWithoutSealingKeysNoEndpointIsMade(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.Secrets.Keys = nil })
	a := b.post(t, "/v1/endpoints", map[string]any{"url": "https://a.example"}).is(http.StatusConflict)
	require.Contains(t, a.text("detail"), "secrets block")
}

func TestKeysAreNeededAndGuessingIsLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	get := func(key string) *answer {
		return b.do(t, call{key: key, method: http.MethodGet, path: "/v1/endpoints"})
	}
	require.Equal(t, "Bearer", get("").is(http.StatusUnauthorized).Header.Get("WWW-Authenticate"))
	get(adminKey).is(http.StatusOK)
	statuses := map[int]int{}
	for range 15 {
		statuses[get("tp_wrong").Status]++
	}
	require.GreaterOrEqual(t, statuses[http.StatusUnauthorized], 10)
	require.Positive(t, statuses[http.StatusTooManyRequests])
	get(adminKey).is(http.StatusOK) // it was right from here before
	require.NotContains(t, b.log.String(), "tp_wrong")
}

func TestWithoutKeysOnlyThisMachineIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.API.Keys = nil })
	b.do(t, call{method: http.MethodGet, path: "/v1/endpoints"}).is(http.StatusOK)
	b.do(t, call{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://a.example"}}).is(http.StatusCreated)
	b.do(t, call{method: http.MethodPost, path: "/v1/endpoints", body: map[string]any{"url": "https://a.example"}, headers: http.Header{
		"Origin": {"https://evil.example"},
	}}).is(http.StatusForbidden)
	for host, want := range map[string]int{
		"localhost": http.StatusOK, "localhost:8080": http.StatusOK, "127.0.0.2": http.StatusOK, "[::1]:8080": http.StatusOK,
		"rebound.example": http.StatusForbidden, "192.168.1.7": http.StatusForbidden, "10.0.0.1:8080": http.StatusForbidden,
		"[fd00::1]": http.StatusForbidden, "0.0.0.0": http.StatusForbidden,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.http.URL+"/v1/endpoints", nil)
		require.NoError(t, err)
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, want, res.StatusCode, host)
		require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
	}
}

func TestKeysGiveNoMoreThanTheyHave(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	limited := b.post(t, "/v1/keys", map[string]any{"name": "limited", "scopes": []string{"keys:write", "endpoints:write"}, "tenant": "acme"}).is(http.StatusCreated).text("secret")
	child := func(body map[string]any) *answer {
		return b.do(t, call{key: limited, method: http.MethodPost, path: "/v1/keys", body: body})
	}
	child(map[string]any{"name": "x", "scopes": []string{"deliveries:read"}}).is(http.StatusForbidden)
	child(map[string]any{"name": "x", "tenant": "other"}).is(http.StatusUnprocessableEntity)
	made := child(map[string]any{"name": "x", "scopes": []string{"endpoints:write", "endpoints:read", "endpoints:write"}}).is(http.StatusCreated)
	require.Equal(t, "acme", made.at("tenant"))
	require.Equal(t, []any{"endpoints:read", "endpoints:write"}, made.list("scopes"), "each once")
	child(map[string]any{"name": "x", "scopes": []string{"everything"}}).is(http.StatusUnprocessableEntity)
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.api_key WHERE source = 'api'"))
	made = child(map[string]any{"name": "of which nothing is asked"}).is(http.StatusCreated)
	require.ElementsMatch(t, []any{"keys:write", "endpoints:write"}, made.list("scopes"))
}
