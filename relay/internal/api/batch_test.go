package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBatchesOfAnEndpoint: how many events share a request is a setting like others: kept, shown,
// brought back to its default, and refused in the words of the configuration.
func TestBatchesOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	made := b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com/in", "batch": map[string]any{}}).is(http.StatusCreated)
	path := "/v1/endpoints/" + made.text("id")
	require.Equal(t, map[string]any{"events": json.Number("100"), "wait": "200ms", "bytes": "1MB", "partial": false}, b.get(t, path).at("batch"), "the defaults")
	change := func(body map[string]any) *answer {
		return b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: body})
	}
	change(map[string]any{"batch": map[string]any{"events": 7, "wait": "0s", "bytes": "256KiB", "partial": true}}).is(http.StatusOK)
	want := map[string]any{"events": json.Number("7"), "wait": "0s", "bytes": "256KiB", "partial": true}
	require.Equal(t, want, b.get(t, path).at("batch"))
	for pointer, batch := range map[string]map[string]any{
		"#/batch/wait": {"wait": "1s"}, "#/batch/bytes": {"bytes": "100MB"}, "#/batch/events": {"events": 1001},
	} {
		require.Equal(t, pointer, change(map[string]any{"batch": batch}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	}
	for pointer, batch := range map[string]map[string]any{"#/batch/wait": {"wait": "-1s"}, "#/batch/bytes": {"bytes": "1"}} {
		require.Equal(t, pointer, change(map[string]any{"batch": batch}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"))
	}
	for _, format := range []string{"raw", "form", "cloudevents-binary"} {
		require.Equal(t, "#/batch", change(map[string]any{"format": format}).is(http.StatusUnprocessableEntity).at("errors.0.pointer"), format)
	}
	require.Equal(t, want, b.get(t, path).at("batch"))
	part := func(name string, value, is any) {
		change(map[string]any{"batch": map[string]any{name: value}}).is(http.StatusOK)
		want[name] = is
		require.Equal(t, want, b.get(t, path).at("batch"), name)
	}
	part("events", 8, json.Number("8")) // the rest stays
	part("wait", "1ms", "1ms")
	part("events", nil, json.Number("100"))
	part("bytes", nil, "1MB")
	part("wait", nil, "200ms")
	part("partial", nil, false)
	change(map[string]any{"batch": nil}).is(http.StatusOK)
	require.Nil(t, b.get(t, path).at("batch"))
}

// TestACircuitKeepsWhatAChangeLeavesOut: a change of how many failures open it says nothing of when
// it is tried again.
func TestACircuitKeepsWhatAChangeLeavesOut(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	circuit := map[string]any{"failures": 5, "reopen": "2m"}
	path := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{"url": "https://example.com/in", "circuit": circuit}).is(http.StatusCreated).text("id")
	for _, step := range []struct {
		circuit map[string]any
		reopen  string
	}{{map[string]any{"failures": 7}, "2m0s"}, {map[string]any{"failures": 7, "reopen": nil}, "30s"}} {
		b.do(t, call{key: adminKey, method: http.MethodPatch, path: path, body: map[string]any{"circuit": step.circuit}}).is(http.StatusOK)
		require.Equal(t, map[string]any{"failures": json.Number("7"), "reopen": step.reopen}, b.get(t, path).at("circuit"))
	}
}

// TestATestEventOfABatch: a receiver of arrays gets an array, and the attempt says in which request
// it was; its list has the others of it.
func TestATestEventOfABatch(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	r := newReceiver(t)
	path := "/v1/endpoints/" + b.post(t, "/v1/endpoints", map[string]any{"url": r.URL, "batch": map[string]any{"events": 2}}).is(http.StatusCreated).text("id")
	one := b.post(t, path+"/test", nil).is(http.StatusOK)
	request := one.text("request_id")
	require.Regexp(t, `^req_[0-9a-v]{26}$`, request)
	got := r.last()
	require.Equal(t, request, got.header.Get("webhook-id"))
	require.Regexp(t, `^\[\{"id":"test_[^]]*\}\]$`, string(got.body))
	other := b.post(t, path+"/test", nil).is(http.StatusOK).text("request_id")
	require.NotEqual(t, request, other)

	list := b.get(t, "/v1/attempts?request_id="+request).is(http.StatusOK)
	require.Len(t, list.at("data"), 1)
	require.Equal(t, one.text("event_id"), list.text("data.0.event_id"))
	require.Empty(t, b.get(t, "/v1/attempts?request_id="+request+"&since=2100-01-01T00:00:00Z").is(http.StatusOK).at("data"))
	for _, wrong := range []string{"req_1", strings.ToUpper(request), one.text("event_id")} {
		b.get(t, "/v1/attempts?request_id="+wrong).is(http.StatusUnprocessableEntity)
	}
}
