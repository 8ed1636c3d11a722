package dispatch

import (
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

// An index that an endpoint has left holds nobody back, and whoever looks for one lane may stop.
func TestRouting_namesEachOfItsLanes(t *testing.T) {
	t.Parallel()
	a, b, c := &lane{id: "a"}, &lane{id: "b"}, &lane{id: "c"}
	r := &routing{lanes: []*lane{nil, a, nil, b, c, nil}}
	var all []*lane
	for l := range r.all() {
		all = append(all, l)
	}
	require.Equal(t, []*lane{a, b, c}, all)
	seen := 0
	for l := range r.all() {
		if seen++; l == b {
			break
		}
	}
	require.Equal(t, 2, seen)
}

// What comes from the table for an endpoint that has left, or that has another's index by now, has
// no body of the other one.
func TestRouting_hasNoBodyForALaneThatLeft(t *testing.T) {
	t.Parallel()
	r := &routing{lanes: []*lane{{id: "a"}}}
	for _, left := range []*lane{{id: "b", index: 0}, {id: "b", index: 1}, {id: "b", index: 7}} {
		require.Nil(t, r.body(left, &outbox.Event{Type: "x"}))
	}
}

// An endpoint that is gone for good takes nothing: neither a lane nor a place.
func TestRouting_forgetsWhoIsGone(t *testing.T) {
	t.Parallel()
	d := New(t.Context(), Options{Logger: zerolog.Nop()})
	for i := range 100 {
		d.Reload([]Endpoint{{Config: config.Endpoint{ID: strconv.Itoa(i), Concurrency: 1, ParkAfter: time.Hour}}})
	}
	require.LessOrEqual(t, len(d.routing.Load().lanes), 2)
	require.LessOrEqual(t, len(d.places.left), 2)
}

// Of a chain that has several rows after a request, the first says when it goes on.
func TestBatch_aChainGoesOnWithTheFirstOfItsRows(t *testing.T) {
	t.Parallel()
	var e end
	e.row(noon, true)
	e.row(after(1), false)
	e.row(after(-1), false)
	require.Equal(t, end{rows: 3, next: noon, written: true}, e)
}

// A row that the ledger tells of later than another one makes the chain due no later.
func TestChains_rereadKeepTheSoonest(t *testing.T) {
	t.Parallel()
	for name, heads := range map[string][]ledger.KeyHead{
		"soonest first": {{Key: "k", NextAttemptAt: noon}, {Key: "k", NextAttemptAt: after(1)}},
		"soonest last":  {{Key: "k", NextAttemptAt: after(1)}, {Key: "k", NextAttemptAt: noon}},
	} {
		cs := newChains()
		cs.reread(heads, noon)
		require.Equal(t, noon, cs.of("k").next, name)
		require.Equal(t, 2, cs.of("k").rows, name)
	}
}
