package api_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a caller sends, it is answered with what is wrong with it, and never by a bug.
func FuzzBody(f *testing.F) {
	b := setup(f, nil)
	id := b.endpoint(f, "")
	for _, body := range []string{
		"", `{}`, `[]`, `null`, `"x"`, `{"url":"https://a.example"}`, `{"url":"https://a.example","tenant":"a","Tenant":"b"}`, `{"name":"\u0000"}`, "{\"name\":\"\xff\"}",
		`{"where":"event.data.a > 1 && !(event.key == null)"}`, `{"body":"{ a = event.data }"}`, `{"subscriptions":[{"events":["a.*"],"where":"true"}]}`,
		`{"retry":{"schedule":["1s"]},"circuit":{"failures":1}}`, `{"endpoint_id":"x","since":"9999-12-31T23:59:59-23:59"}`, `{"all":true,"dry_run":true}`,
		`{"scopes":["keys:write"],"name":"k"}`, `{"example":1e999999}`, `{"grace":"-1s"}`, `{"headers":{"":""}}`, `{"rate":"1/s","timeout":"1ns"}`, `{"most":1}`,
		`{"circuit":{}}`, `{"retry":{}}`, `{"auth":{}}`, `{"tls":{"x":1}}`, `{"circuit":null,"retry":null,"auth":null,"tls":null}`,
	} {
		for call := range uint8(len(bodies(id))) {
			f.Add(call, body)
		}
	}
	f.Fuzz(func(t *testing.T, call uint8, body string) {
		calls := bodies(id)
		c := calls[int(call)%len(calls)]
		// The library takes no body for none only where nothing says what type it is of.
		c.key, c.body, c.odd = adminKey, body, body == ""
		got := b.do(t, c)
		require.Less(t, got.Status, 500, "%s %s: %s", c.method, c.path, got.Body)
	})
}

// bodies are the calls that take one.
func bodies(id string) []call {
	endpoint := "/v1/endpoints/" + id
	return []call{
		{method: http.MethodPost, path: "/v1/endpoints"},
		{method: http.MethodPatch, path: endpoint},
		{method: http.MethodPut, path: endpoint},
		{method: http.MethodPost, path: endpoint + "/rotate-secret"},
		{method: http.MethodPost, path: "/v1/endpoints/backtest"},
		{method: http.MethodPost, path: endpoint + "/backtest"},
		{method: http.MethodPost, path: resendPath},
		{method: http.MethodPost, path: "/v1/deliveries/discard"},
		{method: http.MethodPost, path: "/v1/replays"},
		{method: http.MethodPost, path: "/v1/keys"},
		{method: http.MethodPut, path: "/v1/event-types/a.b"},
	}
}

// FuzzQuery tries parameters and cursors.
func FuzzQuery(f *testing.F) {
	b := setup(f, nil)
	b.insertRows(f)
	id := b.endpoint(f, "")
	b.attempted(f, rowOfAcme, id, "stream")
	paths := []string{
		"/v1/endpoints", "/v1/endpoints/" + id, "/v1/endpoints/" + id + "/attempts", "/v1/attempts", "/v1/deliveries", "/v1/events", "/v1/events/" + rowOfAcme,
		"/v1/events/" + rowOfAcme + "/explain", "/v1/stats", "/v1/replays", "/v1/resends", "/v1/keys", "/v1/event-types", "/v1/relay/completeness",
	}
	for path := range uint8(len(paths)) {
		for _, parameters := range []string{
			"", "limit=1", "limit=-1", "cursor=" + encoded(`{}`), "cursor=" + encoded(`{"At":"2026-01-01T00:00:00Z","ID":"x"}`), "cursor=" + encoded(`{"part":"gone"}`),
			"cursor=" + encoded(`{"at":"x","id":"1"}`), "cursor=" + encoded(`{"At":"9999-12-31T23:59:59Z","EventID":"e","Window":9223372036854775807}`),
			"cursor=" + encoded(`{"CommitLSN":18446744073709551615,"Seq":-1,"EventID":"\u0000"}`), "cursor=%00", "type=%ff", "since=0001-01-01T00:00:00Z", "until=9999-12-31T23:59:59Z",
			"step=1000000h", "from=0001-01-01T00:00:00Z", "key=%00", "id=x", "tenant=%ed%a0%80", "status_class=5xx&outcome=dead", "events=10000", "status", "outcome=",
		} {
			f.Add(path, parameters)
		}
	}
	f.Fuzz(func(t *testing.T, path uint8, parameters string) {
		values, err := url.ParseQuery(parameters)
		if err != nil || strings.Contains(parameters, "#") {
			t.Skip()
		}
		at := paths[int(path)%len(paths)]
		// A parameter without a value is left out, which a document cannot say of an enum.
		odd := at == "/v1/stats"
		for _, of := range values {
			odd = odd || slices.Contains(of, "")
		}
		got := b.do(t, call{key: adminKey, method: http.MethodGet, path: at + "?" + values.Encode(), odd: odd})
		require.Less(t, got.Status, 500, "%s: %s", parameters, got.Body)
	})
}
