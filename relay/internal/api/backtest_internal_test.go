package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// subscribed is an endpoint with these settings.
func subscribed(t *testing.T, in *EndpointSettings) *config.Endpoint {
	t.Helper()
	e := new(config.Endpoint)
	set := settler{e: e}
	set.subscriptions(in)
	require.Empty(t, set.problems)
	return e
}

// Every event counts, and the newest of them are shown.
func TestATrialCountsAllAndShowsSome(t *testing.T) {
	t.Parallel()
	numbered := "{ n = event.data.n }"
	before := subscribed(t, &EndpointSettings{Events: &[]string{"a.*"}})
	after := subscribed(t, &EndpointSettings{Events: &[]string{"a.x", "b"}, Body: &numbered})
	newest := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	const each = 25
	for _, bodies := range []bool{true, false} {
		try := newTrial(before, after, bodies, "")
		for i := range each {
			for _, kind := range []string{"a.x", "a.y", "b", "c"} {
				try.event(&outbox.Event{
					ID: fmt.Sprint(kind, i), Type: kind, CreatedAt: newest.Add(-time.Duration(i) * time.Minute), Payload: json.RawMessage(fmt.Sprintf(`{"n":%d,"m":1}`, i)),
				})
			}
		}
		got := &try.out
		require.Equal(t, []int64{4 * each, 2 * each, 2 * each, 0}, []int64{got.LookedAt, got.MatchedBefore, got.Matched, got.Failed})
		require.Equal(t, newest.Add(-(each-1)*time.Minute), *got.From)
		require.Equal(t, newest, *got.To)
		for kind, events := range map[string]BacktestEvents{"b": got.NewlyMatched, "a.y": got.NoLongerMatched} {
			require.Equal(t, int64(each), events.Count, kind)
			require.Len(t, events.Events, 20, kind)
			require.Equal(t, BacktestEvent{ID: kind + "0", Type: kind, CreatedAt: &newest}, events.Events[0])
		}
		if !bodies {
			require.Empty(t, got.Bodies, "payloads are not for this key")
			continue
		}
		require.Len(t, got.Bodies, 10)
		whole, made := json.RawMessage(`{"n":0,"m":1}`), json.RawMessage(`{"n":0}`)
		require.JSONEq(t, string(made), fmt.Sprintf("%s", got.Bodies[0].After))
		require.Equal(t, BacktestBodies{EventID: "a.x0", Before: whole, After: got.Bodies[0].After, Differs: []string{"/m"}}, got.Bodies[0])
		require.Equal(t, BacktestBodies{EventID: "a.y0", Before: whole}, got.Bodies[1])
		require.Equal(t, BacktestBodies{EventID: "b0", After: got.Bodies[0].After}, got.Bodies[2])
	}
}

// A body that is too large to show, or that cannot be made, is left out, and the latter is counted;
// where an older version is tried, what the application writes is there to compare with.
func TestATrialShowsWhatCanBeShown(t *testing.T) {
	t.Parallel()
	numbered, copied := "{ n = event.data.n }", "{ d = event.data }"
	large := func(size int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", size-2) + `"`) }
	all := &[]string{"**"}
	whole, made := subscribed(t, &EndpointSettings{Events: all}), subscribed(t, &EndpointSettings{Events: all, Body: &numbered})
	pinned := subscribed(t, &EndpointSettings{Events: all, Body: &numbered})
	current, elsewhere := *pinned, subscribed(t, &EndpointSettings{Events: &[]string{"elsewhere"}})
	pinned.Version, elsewhere.Version, current.Version = "2026-01-01", "2026-01-01", "2026-09-20"
	small := json.RawMessage(`{"n":1,"m":2}`)
	for name, test := range map[string]struct {
		before, after *config.Endpoint
		payload       json.RawMessage
		want          BacktestBodies
		failed        int64
	}{
		"as large as can be shown": {whole, whole, large(shownBodySize), BacktestBodies{Before: large(shownBodySize), After: large(shownBodySize)}, 0},
		"too large":                {whole, whole, large(shownBodySize + 1), BacktestBodies{}, 0},
		"no JSON, as it is":        {nil, whole, json.RawMessage("{no"), BacktestBodies{}, 0},
		"no JSON, to be made":      {nil, subscribed(t, &EndpointSettings{Events: all, Body: &copied}), json.RawMessage("{no"), BacktestBodies{}, 1},
		"none there, none new":     {nil, whole, nil, BacktestBodies{}, 0},
		"an older version":         {nil, pinned, small, BacktestBodies{After: json.RawMessage(`{"n":1}`), Newest: small, Differs: []string{"/m"}}, 0},
		"instead of another one":   {made, pinned, small, BacktestBodies{Before: json.RawMessage(`{"n":1}`), After: json.RawMessage(`{"n":1}`), Newest: small}, 0},
		"the newest version":       {nil, &current, small, BacktestBodies{After: json.RawMessage(`{"n":1}`)}, 0},
		"none any more":            {whole, elsewhere, small, BacktestBodies{Before: small}, 0},
		"an older one, too large":  {nil, pinned, large(shownBodySize + 1), BacktestBodies{After: json.RawMessage(`{"n":null}`)}, 0},
	} {
		newest := ""
		if test.after.Version != "" {
			newest = "2026-09-20"
		}
		try := newTrial(test.before, test.after, true, newest)
		try.event(&outbox.Event{ID: "1", Type: "a", Payload: test.payload})
		test.want.EventID = "1"
		require.True(t, slices.EqualFunc([]BacktestBodies{test.want}, try.out.Bodies, func(a, b BacktestBodies) bool { return reflect.DeepEqual(a, b) }), "%s: %.200s", name, try.out.Bodies)
		require.Equal(t, test.failed, try.out.Failed, name)
		require.Equal(t, test.after.Version, try.out.Version, name)
	}
}
