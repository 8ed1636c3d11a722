package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// written is an event as the outbox table has it: what is there is committed.
type written struct {
	id, kind, key string
	writer, n     int
}

func (f *faultRun) outbox(t *testing.T) map[string]written {
	t.Helper()
	rows, err := f.db.Query(t.Context(), `
		SELECT id::text, type, coalesce(key, ''), (payload ->> 'writer')::int, (payload ->> 'n')::int
		FROM outbox`)
	require.NoError(t, err)
	events := make(map[string]written)
	var w written
	_, err = pgx.ForEachRow(rows, []any{&w.id, &w.kind, &w.key, &w.writer, &w.n}, func() error {
		events[w.id] = w
		return nil
	})
	require.NoError(t, err)
	return events
}

// expected are the deliveries that must be made.
func (f *faultRun) expected(t *testing.T) map[pair]written {
	t.Helper()
	want := make(map[pair]written)
	for id, w := range f.outbox(t) {
		for _, endpoint := range []string{plainEndpoint, keyedEndpoint, hostileEndpoint} {
			want[pair{endpoint, id}] = w
		}
		if w.kind == auditedType {
			want[pair{strictEndpoint, id}] = w
		}
	}
	return want
}

// recordedAttempts are the attempts of one delivery.
type recordedAttempts struct {
	delivered, all, unanswered int
	numbers                    []int
	place                      string // of the commit, as text that sorts
}

func (f *faultRun) attempts(t *testing.T) map[pair]recordedAttempts {
	t.Helper()
	rows, err := f.db.Query(t.Context(), `
		SELECT endpoint_id, event_id, count(*) FILTER (WHERE outcome = 'delivered'), count(*),
		       count(*) FILTER (WHERE error IS NOT NULL), array_agg(number ORDER BY number),
		       lpad(max(commit_lsn - '0/0'::pg_lsn)::text, 20, '0')
		FROM tailpost.attempt
		GROUP BY endpoint_id, event_id`)
	require.NoError(t, err)
	attempts := make(map[pair]recordedAttempts)
	for rows.Next() {
		var (
			key pair
			a   recordedAttempts
		)
		require.NoError(t, rows.Scan(&key.endpoint, &key.event, &a.delivered, &a.all, &a.unanswered, &a.numbers, &a.place))
		attempts[key] = a
	}
	require.NoError(t, rows.Err())
	return attempts
}

// check holds all promises against what the receivers saw and what is recorded.
func (f *faultRun) check(t *testing.T) {
	t.Helper()
	want, attempts := f.expected(t), f.attempts(t)
	requests := f.receiver.Requests("")
	f.checkCommits(t, want, requests)
	f.checkRecords(t, want, attempts)
	f.checkOutcomes(t, attempts, requests)
	f.checkOrder(t, want, attempts, requests)
	if f.nats == nil { // else everybody is an owner of something
		f.checkOwners(t, requests)
	}
	for _, endpoint := range []string{plainEndpoint, keyedEndpoint, strictEndpoint, hostileEndpoint} {
		f.db.CheckStats(t, endpoint)
	}
	t.Logf("%d deliveries of %d events, %d attempts, %d requests", len(want), len(f.outbox(t)), f.db.Count(t, "SELECT count(*) FROM tailpost.attempt"), len(requests))
}

// requireKey is require.Contains for large maps, of which that looks at every key.
func requireKey[K comparable, V any](t *testing.T, m map[K]V, key K, complaint string) {
	t.Helper()
	if _, ok := m[key]; !ok {
		require.Fail(t, complaint, "%v", key)
	}
}

// checkCommits: an event is sent if, and only if, its transaction committed.
func (f *faultRun) checkCommits(t *testing.T, want map[pair]written, requests []kit.Request) {
	t.Helper()
	events := f.outbox(t)
	for id := range f.committed {
		requireKey(t, events, id, "an event that was committed is gone")
	}
	arrived := make(map[pair]bool)
	for _, r := range requests {
		requireKey(t, events, r.ID, "an event that was never committed was sent")
		require.False(t, f.rolledBack[r.ID], "an event that was rolled back was sent")
		if key := (pair{r.Path[1:], r.ID}); r.Status == 200 {
			requireKey(t, want, key, "an event was sent to an endpoint that does not want it")
			arrived[key] = true
		}
	}
	for key := range want {
		requireKey(t, arrived, key, "a delivery was never made")
	}
}

// checkRecords: every delivery ends once, and its attempts are numbered without a gap.
func (f *faultRun) checkRecords(t *testing.T, want map[pair]written, attempts map[pair]recordedAttempts) {
	t.Helper()
	for key, a := range attempts {
		requireKey(t, want, key, "a delivery is recorded that nobody asked for")
		require.Equal(t, 1, a.delivered, "delivered attempts of %v", key)
		for i, n := range a.numbers {
			require.Equal(t, i+1, n, "attempts of %v are numbered %v", key, a.numbers)
		}
	}
	require.Len(t, attempts, len(want))
}

// excused says whether the outcomes of what an incarnation had in flight may be lost: it was
// killed, or another took the slot before it could record them.
func (i *incarnation) excused() bool {
	return i.killed || i.relay.ExitCode() != 0 || strings.Contains(i.relay.Stderr(), "deposed")
}

// checkOutcomes: what a relay saw answered is recorded, unless the relay was killed or deposed
// meanwhile; and then no more is sent twice than was on its way.
func (f *faultRun) checkOutcomes(t *testing.T, attempts map[pair]recordedAttempts, requests []kit.Request) {
	t.Helper()
	excused := make(map[string]bool)
	for _, i := range f.retirements {
		excused[i.name] = i.excused()
	}
	type answers struct{ good, goodExcused, certain int }
	counts := make(map[pair]*answers)
	of := func(r kit.Request) *answers {
		key := pair{r.Path[1:], r.ID}
		if counts[key] == nil {
			counts[key] = &answers{}
		}
		return counts[key]
	}
	unrecorded := make(map[string]int) // by incarnation: at most so many answers may be lost
	for _, r := range requests {
		sender := r.Header.Get(relayHeader)
		if r.Status == 0 {
			continue
		}
		a := of(r)
		if !excused[sender] {
			a.certain++
		}
		if r.Status == 200 {
			a.good++
			if excused[sender] {
				a.goodExcused++
			}
		}
	}
	duplicates := 0
	for key, a := range counts {
		rec := attempts[key]
		require.GreaterOrEqual(t, rec.all, a.certain, "%v: attempts recorded, and requests that were answered to a relay that lived on", key)
		// An answer that came too late for the relay, which was stopped, counts as none.
		require.LessOrEqual(t, a.good, 1+a.goodExcused+rec.unanswered, "%v was repeated although its answer was recorded", key)
		duplicates += a.good - 1
	}
	for _, r := range requests {
		if sender := r.Header.Get(relayHeader); r.Status == 200 && excused[sender] && counts[pair{r.Path[1:], r.ID}].good > 1 {
			unrecorded[sender]++
		}
	}
	batch := f.db.Count(t, "SELECT max(n) FROM (SELECT count(*) AS n FROM tailpost.attempt GROUP BY xmin) AS batches")
	const inFlight = 4 * faultConcurrency
	for name, n := range unrecorded {
		// In flight, in the transaction under way, and gathered for the next meanwhile: while
		// Postgres is away that is all that was in flight when it went.
		require.LessOrEqual(t, n, inFlight+2*max(batch, inFlight), "deliveries of %s that were repeated", name)
	}
	t.Logf("duplicates: %d, at most by %v", duplicates, unrecorded)
}

// checkOrder: an event is not sent before all earlier ones of its key, or of its endpoint, have
// arrived.
func (f *faultRun) checkOrder(t *testing.T, want map[pair]written, attempts map[pair]recordedAttempts, requests []kit.Request) {
	t.Helper()
	orders := make(map[string][]pair) // deliveries that have one order, by its name
	for key, w := range want {
		switch {
		case key.endpoint == keyedEndpoint && w.key != "":
			orders[w.key] = append(orders[w.key], key)
		case key.endpoint == strictEndpoint:
			orders[strictEndpoint] = append(orders[strictEndpoint], key)
		}
	}
	first, arrived := make(map[pair]time.Time), make(map[pair]time.Time)
	for _, r := range requests {
		key := pair{r.Path[1:], r.ID}
		if _, ok := first[key]; !ok {
			first[key] = r.At
		}
		if _, ok := arrived[key]; !ok && r.Status == 200 {
			arrived[key] = r.Answered
		}
	}
	for name, keys := range orders {
		slices.SortFunc(keys, func(a, b pair) int {
			x, y := attempts[a].place+fmt.Sprintf("%09d", want[a].n), attempts[b].place+fmt.Sprintf("%09d", want[b].n)
			return strings.Compare(x, y)
		})
		for i := 1; i < len(keys); i++ {
			before, after := keys[i-1], keys[i]
			if name != strictEndpoint {
				require.Less(t, want[before].n, want[after].n, "the order of commits of %s", name)
			}
			require.False(t, first[after].Before(arrived[before]), "%s: %v was sent at %s, before %v arrived at %s",
				name, after, first[after], before, arrived[before])
		}
	}
}

// checkOwners: once another relay delivers, the former owner sends nothing but what it was sending
// at that moment.
func (f *faultRun) checkOwners(t *testing.T, requests []kit.Request) {
	t.Helper()
	type taking struct {
		name string
		at   time.Time
	}
	var takings []taking
	for _, i := range f.retirements {
		for _, record := range i.relay.Log() {
			if record["message"] == kit.LogDelivering {
				takings = append(takings, taking{i.name, record.ReadAt()})
			}
		}
	}
	slices.SortFunc(takings, func(a, b taking) int { return a.at.Compare(b.at) })
	strays := make(map[string]int)
	for _, r := range requests {
		owner, since := "", time.Time{}
		for _, taken := range takings {
			if taken.at.After(r.At) {
				break
			}
			owner, since = taken.name, taken.at
		}
		// The new owner begins before the line of its log is read, and a request takes a moment to
		// arrive.
		const moment = 200 * time.Millisecond
		sender := r.Header.Get(relayHeader)
		if sender != owner && r.At.Sub(since) > moment {
			next := slices.IndexFunc(takings, func(taken taking) bool { return taken.at.After(r.At) })
			if next >= 0 && takings[next].name == sender && takings[next].at.Sub(r.At) < moment {
				continue
			}
			strays[sender]++
		}
	}
	for name, n := range strays {
		require.LessOrEqual(t, n, unknowing, "requests of %s after another relay took over", name)
	}
	t.Logf("the slot was taken %d times; strays: %v", len(takings), strays)
}
