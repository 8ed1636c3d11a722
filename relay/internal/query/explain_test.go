package query_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// What is known of an event is said at the endpoint where it is known.
func TestExplain_saysWhatIsKnownAtEachEndpoint(t *testing.T) {
	t.Parallel()
	store, conn := neighbouringEvents(t)
	_, err := conn.Exec(t.Context(), `
		INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, commit_lsn, seq, event_created_at, created_at, updated_at)
		SELECT '018f0000-0000-7000-8000-00000000000' || n, '*', 'dead', 'invalid', 0, 'order.created', '0/30', n, now(), now(), now() FROM unnest('{1,3}'::int[]) AS n`)
	require.NoError(t, err)
	for n, want := range map[int]map[string]string{
		1: {"ep-1": "delivered", "ep-2": "dead at *", "ep-3": "dead at ep-3, dead"},
		3: {"ep-1": "discarded", "ep-2": "dead at *", "ep-3": "pending at ep-3"},
	} {
		got, err := store.Explain(t.Context(), query.ExplainQuery{EventID: ev(n), Limit: 100})
		require.NoError(t, err)
		require.True(t, got.HasRow)
		require.Len(t, got.Endpoints, 8)
		for i := range got.Endpoints {
			e := &got.Endpoints[i]
			require.Equal(t, e.Row.CreatedAt.UTC(), e.RoutedSince, "it is as it was made")
			known := ""
			if d := e.Delivery; d != nil {
				known = string(d.State) + " at " + d.EndpointID
			}
			if e.Last != nil {
				if known != "" {
					known += ", "
				}
				known += string(e.Last.Outcome)
				require.Equal(t, map[string]int{"ep-1": 59, "ep-3": 58}[e.Row.ID], int(noon.Sub(e.Last.At).Minutes()))
			}
			if e.DiscardedAt != nil {
				known += "discarded"
			}
			if want := want[e.Row.ID]; want != "" {
				require.Equal(t, want, known, "event %d at %s", n, e.Row.ID)
			}
		}
	}
	_, err = store.Explain(t.Context(), query.ExplainQuery{EventID: ev(1), EndpointID: "none", Limit: 1})
	require.ErrorIs(t, err, query.ErrNotFound)
	_, err = store.Explain(t.Context(), query.ExplainQuery{EventID: ev(1), Tenant: "alpha", EndpointID: "ep-2", Limit: 1})
	require.ErrorIs(t, err, query.ErrNotFound, "another tenant's endpoint")
	got, err := store.Explain(t.Context(), query.ExplainQuery{EventID: ev(2), Tenant: "bravo", Limit: 10})
	require.NoError(t, err)
	require.Len(t, got.Endpoints, 1)
	require.Nil(t, got.Endpoints[0].Last, "a test says nothing of it")
}

// A delivery waits for the first one before it in the order of its endpoint: that of the same key
// or any, and one that is dead only where that holds the order.
func TestExplain_saysWhatADeliveryWaitsFor(t *testing.T) {
	t.Parallel()
	store, conn := neighbouringEvents(t)
	_, err := conn.Exec(t.Context(), "DELETE FROM tailpost.delivery WHERE event_id LIKE 'event-%'")
	require.NoError(t, err)
	// Before event 4 in the queue of ep-3: 1, which is dead, and 3.
	for name, test := range map[string]struct{ policy, keys, state, want string }{
		"without an order":          {`{}`, "kkk", "pending", ""},
		"strict":                    {`{"ordering": "strict"}`, "kll", "pending", ev(3)},
		"strict, held by the dead":  {`{"ordering": "strict", "on_dead": "hold"}`, "klm", "pending", ev(1)},
		"of the same key":           {`{"ordering": "key"}`, "kkk", "pending", ev(3)},
		"of another key":            {`{"ordering": "key"}`, "kkl", "pending", ""},
		"without a key":             {`{"ordering": "key"}`, "   ", "pending", ""},
		"of a key that a dead held": {`{"ordering": "key", "on_dead": "hold"}`, "klk", "pending", ev(1)},
		"of a key that is free":     {`{"ordering": "key", "on_dead": "hold"}`, "lkk", "pending", ev(3)},
		"dead itself":               {`{"ordering": "strict"}`, "kkk", "dead", ""},
		"of a policy that is none":  {`{"ordering": "nothing", "timeout": 5}`, "kkk", "pending", ""},
	} {
		_, err = conn.Exec(t.Context(), "UPDATE tailpost.endpoint SET policy = $1::text::jsonb WHERE id = 'ep-3'", test.policy)
		require.NoError(t, err)
		for i, n := range []int{1, 3, 4} {
			_, err = conn.Exec(t.Context(), "UPDATE tailpost.delivery SET key = NULLIF($2, ' ') WHERE event_id = $1 AND endpoint_id = 'ep-3'", ev(n), test.keys[i:i+1])
			require.NoError(t, err)
		}
		_, err = conn.Exec(t.Context(), "UPDATE tailpost.delivery SET state = $2 WHERE event_id = $1", ev(4), test.state)
		require.NoError(t, err)
		got, err := store.Explain(t.Context(), query.ExplainQuery{EventID: ev(4), EndpointID: "ep-3", Limit: 1})
		require.NoError(t, err)
		require.Equal(t, outbox.State(test.state), got.Endpoints[0].Delivery.State)
		head := ""
		if d := got.Endpoints[0].Head; d != nil {
			head = d.Event.ID
		}
		require.Equal(t, test.want, head, name)
	}
}
