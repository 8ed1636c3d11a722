package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// A log that has grown slowly for months may grow fast today: the minutes that are left are those
// of today.
func TestTheRateOfTheLogIsThatOfNow(t *testing.T) {
	t.Parallel()
	const average = 7.0
	var w walRate
	now := time.Now()
	require.InDelta(t, average, w.look(now, 1000, average), 0, "nothing is known yet but the average")
	require.InDelta(t, average, w.look(now.Add(walSample-1), 900_000, average), 0, "looks this close say nothing")
	require.InDelta(t, 200.0, w.look(now.Add(walSample), 2000, average), 0.001)
	require.InDelta(t, 200.0, w.look(now.Add(walSample+1), 900_000, average), 0.001)
	require.InDelta(t, 20.0, w.look(now.Add(3*walSample), 2200, average), 0.001, "since the look before, not since the first")
	require.InDelta(t, average, w.look(now.Add(4*walSample), 10, average), 0, "another server")
	require.InDelta(t, 2.0, w.look(now.Add(5*walSample), 20, average), 0.001)
}

// Every event is counted once, as what became of it; one that left no trace as nothing else.
func TestEventsAreCountedAsWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	c := query.Completeness{Whole: true, Listed: true, Unaccounted: []string{"lost"}}
	for n, state := range []string{
		query.EventDelivered, query.EventPending, query.EventDead, query.EventDiscarded, query.EventUnmatched, query.EventNew,
	} {
		for i := range n + 1 {
			e := query.ListedEvent{ID: fmt.Sprint(state, i), CreatedAt: noon.Add(-time.Duration(n) * time.Minute)}
			e.State = state
			c.Events = append(c.Events, e)
		}
	}
	lost := query.ListedEvent{ID: "lost", CreatedAt: noon.Add(-time.Hour)}
	lost.State = query.EventUnmatched
	c.Events = append(c.Events, lost)
	from := noon.Add(-time.Hour)
	require.Equal(t, EventCounts{
		Seen: 22, Whole: true, From: &from, To: &noon, Delivered: 1, Pending: 2, Dead: 3, Discarded: 4, FilteredOut: 5, New: 6, Unaccounted: 1, // and no note
	}, countEvents(&c))
	c.Whole = false
	require.False(t, countEvents(&c).Whole)
	none := countEvents(&query.Completeness{Whole: true})
	require.False(t, none.Whole, "nobody has looked")
	require.Contains(t, none.Note, "no outbox table")
}

// An endpoint wants what it subscribes to since it does; what has no time may be of then.
func TestWhatAnEndpointWantedWhenAnEventWasCreated(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	wants := wantingBy(func(row *ledger.EndpointRow) config.Endpoint {
		return config.Endpoint{ID: row.ID, Subscriptions: []config.Subscription{{Events: []string{row.ID}}}}
	})([]ledger.EndpointRow{{ID: "a"}, {ID: "b"}}, map[string]time.Time{"a": noon, "b": noon.Add(time.Hour)})
	for name, test := range map[string]struct {
		event outbox.Event
		want  bool
	}{
		"of then":            {outbox.Event{ID: "1", Type: "a", CreatedAt: noon}, true},
		"of before":          {outbox.Event{ID: "1", Type: "a", CreatedAt: noon.Add(-1)}, false},
		"before another one": {outbox.Event{ID: "1", Type: "b", CreatedAt: noon}, false},
		"without a time":     {outbox.Event{ID: "1", Type: "b"}, true},
		"of no interest":     {outbox.Event{ID: "1", Type: "c", CreatedAt: noon}, false},
		"under another id":   {outbox.Event{ID: strings.Repeat("1", 3000), Type: "a", CreatedAt: noon}, false},
	} {
		require.Equal(t, test.want, wants(&test.event), name)
	}
}

// How long it takes until the slot is lost is in minutes. Where there is no limit, or nothing is
// written, nobody knows of an end; one whose limit is passed has no time left, not less than none.
func TestTheMinutesUntilTheSlotIsLost(t *testing.T) {
	t.Parallel()
	bytes := func(n int64) *int64 { return &n }
	for _, test := range []struct {
		safe *int64
		rate float64
		want string
	}{
		{nil, 100, "unknown"},
		{bytes(60_000), 0, "unknown"},
		{bytes(60_000), 100, "10"},
		{bytes(15_000), 500, "0.5"},
		{bytes(0), 100, "0"},
		{bytes(-7), 100, "0"},
	} {
		w, got := WALState{SafeBytes: test.safe, BytesPerSecond: test.rate}, "unknown"
		w.estimate()
		if w.MinutesLeft != nil {
			got = fmt.Sprint(*w.MinutesLeft)
		}
		require.Equal(t, test.want, got)
	}
}
