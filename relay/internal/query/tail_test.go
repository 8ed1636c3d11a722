package query_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
)

// record inserts attempts of which each says how long ago it was.
func (b *bundle) record(t *testing.T, ago map[string]time.Duration, ids ...string) {
	t.Helper()
	for _, id := range ids {
		b.insert(t.Context(), t, []outbox.Attempt{{
			EventID: id, EventType: "order.created", EndpointID: "ep_a", Number: 1, Outcome: outbox.Delivered, StatusCode: 200,
			AttemptedAt: b.now.Add(-ago[id]),
		}})
	}
}

func eventIDs(attempts []outbox.Attempt) []string {
	ids := make([]string, len(attempts))
	for i := range attempts {
		ids[i] = attempts[i].EventID
	}
	return ids
}

// What was recorded between two looks is shown by time, however Postgres has put it on its pages:
// an attempt that took long is recorded behind those that began after it.
func TestTail_showsWhatIsNewByItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// In a day of millions the rows are read by their places, and come in the order of those.
	_, err := b.conn.Exec(t.Context(), `
		DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET enable_indexscan = off', current_database());
			EXECUTE format('ALTER DATABASE %I SET enable_bitmapscan = off', current_database());
		END $$`)
	require.NoError(t, err)
	tail, err := b.store.Tail(t.Context(), query.AttemptQuery{}, nil, b.now)
	require.NoError(t, err)
	ago := map[string]time.Duration{"e1": 3 * time.Second, "e2": 2 * time.Second, "e3": time.Second, "e4": 0}
	b.record(t, ago, "e3", "e1", "e4", "e2")
	found, err := tail.Next(t.Context(), b.now)
	require.NoError(t, err)
	require.Equal(t, []string{"e1", "e2", "e3", "e4"}, eventIDs(found))

	// What is recorded after that comes after it, though it began before.
	ago["e0"] = time.Minute
	b.record(t, ago, "e0")
	found, err = tail.Next(t.Context(), b.now)
	require.NoError(t, err)
	require.Equal(t, []string{"e0"}, eventIDs(found))
}

// The last pages are looked at again each time: nothing of them is shown twice, and nothing is left
// out, however many pages there are.
func TestTail_showsEachAttemptOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tail, err := b.store.Tail(t.Context(), query.AttemptQuery{}, nil, b.now)
	require.NoError(t, err)
	const looks, each = 12, 150 // some two pages a look: more than are looked at again
	seen := make(map[string]int)
	for look := range looks {
		attempts := make([]outbox.Attempt, each)
		for i := range attempts {
			attempts[i] = outbox.Attempt{
				EventID: fmt.Sprintf("%d-%d", look, i), EventType: "order.created", EndpointID: "ep_a", Number: 1, Outcome: outbox.Delivered,
				StatusCode: 200, AttemptedAt: b.now,
			}
		}
		b.insert(t.Context(), t, attempts)
		found, err := tail.Next(t.Context(), b.now)
		require.NoError(t, err)
		require.Len(t, found, each)
		for _, id := range eventIDs(found) {
			seen[id]++
		}
	}
	require.Len(t, seen, looks*each)
	found, err := tail.Next(t.Context(), b.now)
	require.NoError(t, err)
	require.Empty(t, found)
}

// What is there when a tail begins is not sent, however many pages it fills: those that are looked
// at again are those that were read.
func TestTail_beginsBehindWhatIsThere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(t, "old", 2500) // more pages than are looked at again
	tail, err := b.store.Tail(t.Context(), query.AttemptQuery{}, nil, b.now)
	require.NoError(t, err)
	found, err := tail.Next(t.Context(), b.now)
	require.NoError(t, err)
	require.Empty(t, found)

	// So it is where a page ended, and what is recorded after the page comes once.
	page, err := b.store.Attempts(t.Context(), query.AttemptQuery{Limit: 10, Follow: b.now})
	require.NoError(t, err)
	require.Len(t, page.Attempts, 10)
	b.fill(t, "between", 20)
	tail, err = b.store.Tail(t.Context(), query.AttemptQuery{}, page.Tail, b.now)
	require.NoError(t, err)
	seen := make(map[string]int)
	for range 8 { // more than one look passes what was there
		found, err = tail.Next(t.Context(), b.now)
		require.NoError(t, err)
		for _, id := range eventIDs(found) {
			seen[id]++
		}
	}
	require.Len(t, seen, 20)
	for id, times := range seen {
		require.Regexp(t, "^between", id)
		require.Equal(t, 1, times, id)
	}
}

// fill records as many attempts as stand on many pages.
func (b *bundle) fill(t *testing.T, name string, n int) {
	t.Helper()
	attempts := make([]outbox.Attempt, n)
	for i := range attempts {
		attempts[i] = outbox.Attempt{
			EventID: fmt.Sprintf("%s-%d", name, i), EventType: "order.created", EndpointID: "ep_a", Number: 1, Outcome: outbox.Delivered,
			StatusCode: 200, AttemptedAt: b.now,
		}
	}
	b.insert(t.Context(), t, attempts)
}

// A tail shows the answers of the class that it is asked for, and of no other.
func TestTail_ofAClassOfAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	statuses := []int{0, 199, 200, 299, 301, 400, 499, 500, 503}
	tails := make(map[int]*query.Tail)
	for class := range 6 {
		tail, err := b.store.Tail(t.Context(), query.AttemptQuery{StatusClass: class}, nil, b.now)
		require.NoError(t, err)
		tails[class] = tail
	}
	attempts := make([]outbox.Attempt, len(statuses))
	for i, status := range statuses {
		attempts[i] = outbox.Attempt{
			EventID: fmt.Sprint(status), EventType: "order.created", EndpointID: "ep_a", Number: 1, Outcome: outbox.Retry, StatusCode: status, AttemptedAt: b.now,
		}
	}
	b.insert(t.Context(), t, attempts)
	for class, tail := range tails {
		found, err := tail.Next(t.Context(), b.now)
		require.NoError(t, err)
		var want []string
		for _, status := range statuses {
			if class == 0 || status/100 == class {
				want = append(want, fmt.Sprint(status))
			}
		}
		require.ElementsMatch(t, want, eventIDs(found), "class %d", class)
	}
}

// Whoever follows attempts sees those that a page of the same query has, and nobody else's.
func TestTail_choosesWhatAPageHas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request, earlier := ledger.NewRequestID(b.now), ledger.NewRequestID(b.now.Add(-time.Second))
	attempts := []outbox.Attempt{{
		EventID: "e1", EventType: "t1", Tenant: "x", EndpointID: "ep_a", Number: 1, Outcome: outbox.Delivered, StatusCode: 200, AttemptedAt: b.now,
		Search: []string{"a=1"}, RequestID: request,
	}}
	// Each of the others differs in one thing.
	for i, change := range []func(a *outbox.Attempt){
		func(a *outbox.Attempt) { a.EventID = "e2" }, func(a *outbox.Attempt) { a.EventType = "t2" }, func(a *outbox.Attempt) { a.Tenant = "y" },
		func(a *outbox.Attempt) { a.EndpointID = "ep_b" }, func(a *outbox.Attempt) { a.EndpointID = "ep_c" }, func(a *outbox.Attempt) { a.EndpointID = "ep_d" },
		func(a *outbox.Attempt) { a.Outcome = outbox.Retry }, func(a *outbox.Attempt) { a.Search = []string{"a=2"} },
		func(a *outbox.Attempt) { a.Search = []string{"a=1", "b=1"} }, func(a *outbox.Attempt) { a.Search = nil },
		func(a *outbox.Attempt) { a.AttemptedAt, a.RequestID = b.now.Add(-time.Second), earlier },
	} {
		a := attempts[0]
		a.Number = i + 2
		change(&a)
		attempts = append(attempts, a)
	}
	queries := []query.AttemptQuery{
		{},
		{Tenant: "one"},
		{Tenant: "two"},
		{Tenant: "nobody"},
		{EndpointID: "ep_a"},
		{Tenant: "two", EndpointID: "ep_b"},
		{Tenant: "one", EndpointID: "ep_b"},
		{EventID: "e2"},
		{EventType: "t2"},
		{EventTenant: "y"},
		{Outcome: "retry"},
		{Outcome: "delivered"},
		{Search: []query.Term{{"a=1"}}},
		{Search: []query.Term{{"a=2", "b=1"}}},
		{Search: []query.Term{{"a=1"}, {"b=1"}}},
		{Since: b.now},
		{Until: b.now},
		{RequestID: request},
		{RequestID: earlier},
		{RequestID: request, Until: b.now},
		{RequestID: request, Since: b.now.Add(time.Microsecond)},
		{RequestID: "none"},
	}
	tails := make([]*query.Tail, len(queries))
	for i, q := range queries {
		var err error
		tails[i], err = b.store.Tail(t.Context(), q, nil, b.now)
		require.NoError(t, err)
	}
	b.insert(t.Context(), t, attempts)
	keys := func(of []outbox.Attempt) []string {
		list := []string{}
		for i := range of {
			list = append(list, key(&of[i]))
		}
		return list
	}
	for i, q := range queries {
		found, err := tails[i].Next(t.Context(), b.now)
		require.NoError(t, err)
		require.ElementsMatch(t, chosen(attempts, q), keys(found), "%+v", q)
		q.Limit = 100
		page, err := b.store.Attempts(t.Context(), q)
		require.NoError(t, err)
		require.ElementsMatch(t, chosen(attempts, q), keys(page.Attempts), "%+v", q)
	}
}

// A day that begins is followed from its first attempt on, with what is over of the day before;
// the place of what is older is of no use to anybody.
func TestTail_goesOnOverMidnight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.record(t, nil, "there")
	tail, err := b.store.Tail(t.Context(), query.AttemptQuery{}, nil, b.now)
	require.NoError(t, err)
	tomorrow := b.now.Add(24 * time.Hour)
	b.record(t, map[string]time.Duration{"late": 0, "early": -24 * time.Hour}, "late", "early")
	found, err := tail.Next(t.Context(), tomorrow)
	require.NoError(t, err)
	require.Equal(t, []string{"late", "early"}, eventIDs(found))
	require.ElementsMatch(t, []string{b.now.Format("20060102"), tomorrow.Format("20060102")}, slices.Collect(maps.Keys(tail.Position())))
}
