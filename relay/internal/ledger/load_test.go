package ledger_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
)

func TestRecorded_givesWhatIsSettledAtOrAboveThePosition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	dead := pending("dead", "erp", "", 10, time.Time{})
	dead.State, dead.Reason = outbox.StateDead, outbox.ReasonExhausted
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Attempts: []outbox.Attempt{
			attempt("below", "erp", outbox.Delivered, 9),
			attempt("at", "erp", outbox.Delivered, 10),
			attempt("at", "crm", outbox.Delivered, 10),
			attempt("dead", "erp", outbox.Dead, 10),
			attempt("discarded", "erp", outbox.Dead, 12),
			attempt("parked", "erp", outbox.Retry, 13),
			attempt("retried without a row", "erp", outbox.Retry, 14),
		},
		Park: []outbox.Delivery{
			dead, pending("parked", "erp", "", 13, noon), pending("parked at", "erp", "", 10, noon), pending("parked below", "erp", "", 9, noon),
		},
	}))
	got, _, err := b.ledger.Recorded(t.Context(), "s", 10, ledger.MostRecorded)
	require.NoError(t, err)
	require.Equal(t, map[outbox.Pair]struct{}{
		{EventID: "at", EndpointID: "erp"}:        {},
		{EventID: "at", EndpointID: "crm"}:        {},
		{EventID: "dead", EndpointID: "erp"}:      {},
		{EventID: "discarded", EndpointID: "erp"}: {},
		{EventID: "parked", EndpointID: "erp"}:    {},
		{EventID: "parked at", EndpointID: "erp"}: {},
	}, got)
}

func TestPage_isOrderedAndBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	second := pending("second of its transaction", "erp", "", 5, noon)
	second.Event.Seq, second.Event.Key = 1, "k"
	dead := pending("dead", "erp", "", 1, time.Time{})
	dead.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{
		second,
		pending("first", "erp", "", 5, noon),
		pending("overdue", "erp", "", 9, noon.Add(-time.Hour)),
		pending("not yet", "erp", "", 1, noon.Add(time.Second)),
		pending("waits", "erp", "k", 1, time.Time{}),
		pending("elsewhere", "crm", "", 1, noon),
		dead,
	}}))
	page := func(q ledger.PageQuery) ([]string, time.Time) {
		q.EndpointID, q.Now = "erp", noon
		p, err := b.ledger.Page(t.Context(), q)
		require.NoError(t, err)
		return ids(p.Deliveries), p.Next
	}
	for name, test := range map[string]struct {
		query ledger.PageQuery
		want  []string
		next  time.Time
	}{
		"all":           {ledger.PageQuery{Limit: 10}, []string{"overdue", "first", "second of its transaction"}, noon.Add(time.Second)},
		"limited":       {ledger.PageQuery{Limit: 2}, []string{"overdue", "first"}, noon},
		"leaving out":   {ledger.PageQuery{Limit: 1, Exclude: []string{"overdue", "unknown"}}, []string{"first"}, noon},
		"without a key": {ledger.PageQuery{Limit: 10, Unkeyed: true}, []string{"overdue", "first"}, noon.Add(time.Second)},
		"nothing is due": {
			ledger.PageQuery{Limit: 10, Exclude: []string{"overdue", "first", "second of its transaction"}},
			[]string{},
			noon.Add(time.Second),
		},
	} {
		got, next := page(test.query)
		require.Equal(t, test.want, got, name)
		require.Equal(t, test.next, next, name)
	}
	none, err := b.ledger.Page(t.Context(), ledger.PageQuery{EndpointID: "unknown", Now: noon, Limit: 1})
	require.NoError(t, err)
	require.Equal(t, ledger.Page{Deliveries: []outbox.Delivery{}}, none)
}

// A row of a hand or of an older release may be dead and have a time.
func TestPage_leavesTheDeadAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deadRows(t, 3, "erp")
	b.exec(t, "UPDATE tailpost.delivery SET next_attempt_at = $1", noon)
	require.Empty(t, b.due(t, "erp", noon))
}

func TestLoads_boundBytesButGiveAtLeastOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	var park []outbox.Delivery
	for i, id := range []string{"a", "b", "c", "d"} {
		d := pending(id, "erp", "k", outbox.LSN(i+1), noon)
		d.Event.Payload = []byte(strings.Repeat("x", 9<<20))
		park = append(park, d)
	}
	park[0].Event.Payload = []byte(strings.Repeat("x", 17<<20))
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: park}))
	page, err := b.ledger.Page(t.Context(), ledger.PageQuery{EndpointID: "erp", Now: noon, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, ids(page.Deliveries))
	require.Equal(t, noon, page.Next, "more is due")
	rows, whole, err := b.ledger.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, ids(rows))
	require.False(t, whole)
	rows, whole, err = b.ledger.InKeyOrder(t.Context(), "erp", []string{"k"}, 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, ids(rows))
	require.False(t, whole)
	page, err = b.ledger.Page(t.Context(), ledger.PageQuery{EndpointID: "erp", Now: noon, Limit: 10, Exclude: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, ids(page.Deliveries))
}

// TestLoads_orderPositionsAsNumbers: as text 0/1000 comes before 0/FF0.
func TestLoads_orderPositionsAsNumbers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{
		pending("second", "erp", "k", 0x1000, noon),
		pending("first", "erp", "k", 0xFF0, noon),
		pending("third", "erp", "k", 0x1_0000_0000, noon),
	}}))
	want := []string{"first", "second", "third"}
	require.Equal(t, want, ids(b.due(t, "erp", noon)))
	ds, _, err := b.ledger.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, want, ids(ds))
	ds, _, err = b.ledger.InKeyOrder(t.Context(), "erp", []string{"k"}, 10, false)
	require.NoError(t, err)
	require.Equal(t, want, ids(ds))
}

func TestOrderedLoads_followCommitOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{
		pending("k3", "erp", "k", 3, time.Time{}),
		pending("k1", "erp", "k", 1, noon.Add(time.Hour)),
		pending("j2", "erp", "j", 2, noon),
		pending("none", "erp", "", 4, noon),
		pending("other", "crm", "k", 1, noon.Add(time.Minute)),
		pending("more", "shop", "", 1, noon.Add(2*time.Minute)),
	}}))
	keys := []string{"k", "unknown", "j"}
	ds, whole, err := b.ledger.InKeyOrder(t.Context(), "erp", keys, 10, false)
	require.NoError(t, err)
	require.True(t, whole)
	require.Equal(t, []string{"k1", "k3", "j2"}, ids(ds))
	ds, _, err = b.ledger.InKeyOrder(t.Context(), "erp", keys, 1, false)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "j2"}, ids(ds))
	ds, _, err = b.ledger.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "j2", "k3", "none"}, ids(ds))
	ds, _, err = b.ledger.InOrder(t.Context(), "erp", 2, false)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "j2"}, ids(ds))

	// What is dead is named only where others wait for it.
	dead := pending("k2", "erp", "k", 2, time.Time{})
	dead.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{dead}}))
	ds, _, err = b.ledger.InKeyOrder(t.Context(), "erp", keys, 10, true)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "k2", "k3", "j2"}, ids(ds))
	ds, _, err = b.ledger.InOrder(t.Context(), "erp", 1, true)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"k1", "k2"}, ids(ds))
	all, err := b.ledger.KeyHeads(t.Context(), "erp", true, 100_000)
	require.NoError(t, err)
	require.Equal(t, []ledger.KeyHead{
		{Key: "j", EventID: "j2", NextAttemptAt: noon}, {Key: "k", EventID: "k1", NextAttemptAt: noon.Add(time.Hour)},
	}, all)
	all, err = b.ledger.First(t.Context(), "erp", true)
	require.NoError(t, err)
	require.Equal(t, []ledger.KeyHead{{EventID: "k1", NextAttemptAt: noon.Add(time.Hour)}}, all)

	heads, err := b.ledger.KeyHeads(t.Context(), "erp", false, 100_000)
	require.NoError(t, err)
	require.Equal(t, []ledger.KeyHead{
		{Key: "j", EventID: "j2", NextAttemptAt: noon},
		{Key: "k", EventID: "k1", NextAttemptAt: noon.Add(time.Hour)},
	}, heads)

	heads, err = b.ledger.First(t.Context(), "erp", false)
	require.NoError(t, err)
	require.Equal(t, []ledger.KeyHead{{EventID: "k1", NextAttemptAt: noon.Add(time.Hour)}}, heads)
	heads, err = b.ledger.First(t.Context(), "unknown", false)
	require.NoError(t, err)
	require.Empty(t, heads)

	queues, err := b.ledger.NextDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]ledger.Queue{
		"erp": {Next: noon, Unscheduled: true}, "crm": {Next: noon.Add(time.Minute)}, "shop": {Next: noon.Add(2 * time.Minute)},
	}, queues)
}

// What waits behind an earlier delivery waits for nothing any more once the order is gone.
func TestLoosen_makesDueWhatWaitedBehindAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	dead := pending("dead", "erp", "k", 5, time.Time{})
	dead.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{
		pending("k1", "erp", "k", 1, noon.Add(time.Hour)),
		pending("k2", "erp", "k", 2, time.Time{}),
		pending("none", "erp", "", 3, time.Time{}),
		pending("elsewhere", "crm", "k", 4, time.Time{}),
		dead,
	}}))
	loosen := func(keyed bool) {
		more, err := b.ledger.Loosen(t.Context(), "erp", keyed, noon)
		require.NoError(t, err)
		require.False(t, more)
	}
	loosen(false)
	require.Equal(t, []string{"none"}, ids(b.due(t, "erp", noon)), "keys keep their order")
	loosen(true)
	require.Equal(t, []string{"k2", "none"}, ids(b.due(t, "erp", noon)))
	require.Equal(t, []string{"k2", "none", "k1"}, ids(b.due(t, "erp", noon.Add(time.Hour))), "a retry keeps its time")
	require.Empty(t, b.due(t, "crm", noon.Add(time.Hour)))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND next_attempt_at IS NULL"))
}

// explainPlan returns the plan of a statement of what waits, of which the planner knows nothing.
func explainPlan(t *testing.T, b *bundle, sql string, args pgx.NamedArgs) plan {
	t.Helper()
	text, err := b.ledger.Explain(t.Context(), sql, args)
	require.NoError(t, err)
	return parsePlan(t, text)
}

// TestPage_readsWhatHasNoKeyAlone: those who have a key are passed by, however many they are and
// whatever the planner knows of them.
func TestPage_readsWhatHasNoKeyAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const keys = 3000
	manyWait(t, b, keys, 1)
	b.exec(t, "UPDATE tailpost.delivery SET next_attempt_at = $1::timestamptz + '1 min'::interval * (length(key) - 4)", noon)
	b.exec(t, "UPDATE tailpost.delivery SET key = NULL WHERE key IN ('k7', 'k77', 'k777', 'k1777')")
	args := pgx.NamedArgs{
		"endpoint": "erp", "now": noon, "exclude": []string{}, "limit": 512, "bytes": 16 << 20, "unkeyed": true,
	}
	for _, known := range []bool{false, true} {
		if known {
			b.exec(t, "VACUUM (ANALYZE) tailpost.delivery")
		}
		for _, sql := range []string{ledger.PageSQL, ledger.NextSQL} {
			p := explainPlan(t, b, sql, args)
			require.LessOrEqual(t, p.read(), 5, "analysed: %t, %s: %+v", known, sql, p)
		}
	}
}

// manyWait has an endpoint wait for n deliveries of each key, the first of which is the last one
// written.
func manyWait(t *testing.T, b *bundle, keys, n int) {
	t.Helper()
	b.exec(t, `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, key, event_created_at, commit_lsn, seq, created_at, updated_at)
SELECT k || '/' || i, 'erp', 'pending', 'order', 0, 'a', 'k' || k, $3::timestamptz, '1/0'::pg_lsn - i, 0, $3, $3
FROM generate_series(1, $1::int) AS k, generate_series(1, $2::int) AS i`, keys, n, noon)
}

// A queue of millions is made due piece by piece: what was done stays, and others may load in
// between.
func TestLoosen_doesSomeAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	manyWait(t, b, 1, 9000)
	calls := 0
	for more := true; more; calls++ {
		var err error
		more, err = b.ledger.Loosen(t.Context(), "erp", true, noon)
		require.NoError(t, err)
	}
	require.Zero(t, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE next_attempt_at IS NULL"))
	require.LessOrEqual(t, b.count(t, "SELECT max(n) FROM (SELECT count(*) AS n FROM tailpost.delivery GROUP BY xmin::text) AS x"), 2000,
		"rows that a transaction changed")
	require.LessOrEqual(t, calls, 5)
}

func TestHolds_isTrueForTheLastHoldOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	slot := b.db.Slot()
	hold, err := b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: slot, SystemID: "7", Timeline: 1, Now: noon})
	require.NoError(t, err)
	holds := func(hold ledger.Hold, pid int) bool {
		holds, err := b.ledger.Holds(t.Context(), hold, pid)
		require.NoError(t, err)
		return holds
	}
	b.exec(t, "CREATE PUBLICATION p")
	b.exec(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot)
	require.False(t, holds(hold, 1), "nobody streams from the slot")

	stream, err := pgconn.Connect(t.Context(), b.db.URL+"&replication=database")
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close(context.WithoutCancel(t.Context())) })
	stream.Exec(t.Context(), "START_REPLICATION SLOT "+slot+" LOGICAL 0/0 (proto_version '1', publication_names 'p')")
	pid := int(stream.PID())
	require.Eventually(t, func() bool { return holds(hold, pid) }, 30*time.Second, 10*time.Millisecond)
	require.False(t, holds(hold, pid+1), "another relay's process streams")
	_, err = b.ledger.Take(t.Context(), ledger.TakeOptions{Slot: slot, SystemID: "7", Timeline: 1, Now: noon})
	require.NoError(t, err)
	require.False(t, holds(hold, pid), "another has taken the hold")
}

// A later delivery of a key may be due earlier: somebody resent it.
func TestOrderedLoads_beginWithTheFirstCommitWhateverIsDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: []outbox.Delivery{
		pending("k2", "erp", "k", 2, noon), pending("k1", "erp", "k", 1, noon.Add(time.Hour)), pending("k3", "erp", "k", 3, noon),
	}}))
	ds, _, err := b.ledger.InKeyOrder(t.Context(), "erp", []string{"k"}, 2, false)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "k2"}, ids(ds))
	ds, _, err = b.ledger.InOrder(t.Context(), "erp", 2, false)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "k2"}, ids(ds))
	heads, err := b.ledger.KeyHeads(t.Context(), "erp", false, 100_000)
	require.NoError(t, err)
	require.Equal(t, []ledger.KeyHead{{Key: "k", EventID: "k1", NextAttemptAt: noon.Add(time.Hour)}}, heads)
	heads, err = b.ledger.First(t.Context(), "erp", false)
	require.NoError(t, err)
	require.Equal(t, "k1", heads[0].EventID)
}

// All that follows the first dead one of a key waits for it, however many die before somebody
// looks, and what others have holds nothing.
// The first of the dead comes where it was committed, be it in the transaction of what waits.
func TestOrderedLoads_haveTheFirstOfTheDead(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]outbox.LSN{"of several transactions": 1, "of one": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loadTheFirstOfTheDead(t, setup(t), step)
		})
	}
}

// loadTheFirstOfTheDead loads deliveries that are so far from each other.
func loadTheFirstOfTheDead(t *testing.T, b *bundle, step outbox.LSN) {
	t.Helper()
	hold := take(t, b.ledger)
	var park []outbox.Delivery
	for i, id := range []string{"d1", "p2", "d3", "p4"} {
		d := pending(id, "erp", "k", 2+step*outbox.LSN(i), time.Time{})
		if step == 0 {
			d.Event.Seq = int64(i)
		}
		if id[0] == 'd' {
			d.State = outbox.StateDead
		}
		park = append(park, d)
	}
	foreign := pending("d0", "crm", "k", 1, time.Time{})
	foreign.State = outbox.StateDead
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{Park: append(park, foreign)}))
	ds, _, err := b.ledger.InKeyOrder(t.Context(), "erp", []string{"k"}, 10, true)
	require.NoError(t, err)
	require.Equal(t, []string{"d1", "p2", "p4"}, ids(ds))
	ds, _, err = b.ledger.InOrder(t.Context(), "erp", 10, true)
	require.NoError(t, err)
	require.Equal(t, []string{"d1", "p2", "p4"}, ids(ds))
	// Where the dead hold nobody they are not asked for.
	ds, _, err = b.ledger.InKeyOrder(t.Context(), "erp", []string{"k"}, 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"p2", "p4"}, ids(ds))
	ds, _, err = b.ledger.InOrder(t.Context(), "erp", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"p2", "p4"}, ids(ds))
	for name, heads := range map[string]func(context.Context, string, bool) ([]ledger.KeyHead, error){
		"of keys": func(ctx context.Context, id string, dead bool) ([]ledger.KeyHead, error) {
			return b.ledger.KeyHeads(ctx, id, dead, 10)
		},
		"of all": b.ledger.First,
	} {
		head, err := heads(t.Context(), "erp", true)
		require.NoError(t, err)
		require.Len(t, head, 1, name)
		require.Equal(t, "d1", head[0].EventID, name)
	}
}

func TestEnsurePartitions_asksOnceADay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	partitions := `SELECT count(*) FROM pg_inherits WHERE inhparent = 'tailpost.attempt'::regclass`
	n := b.count(t, partitions)
	require.GreaterOrEqual(t, n, 7)
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon.Add(time.Hour)))
	require.Equal(t, n, b.count(t, partitions))
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon.AddDate(0, 0, 1)))
	require.Equal(t, n+1, b.count(t, partitions))
	require.NoError(t, b.ledger.EnsurePartitions(t.Context(), noon.AddDate(0, 0, 30)))
	require.Equal(t, n+8, b.count(t, partitions))
}

func TestCheck_saysWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.ledger.Check(t.Context(), outbox.Mapping{})
	require.NoError(t, err)
	_, err = b.conn.Exec(t.Context(), `
		CREATE TABLE public.outbox (id uuid PRIMARY KEY, type text, key text, tenant text, payload jsonb, headers jsonb, created_at timestamptz)`)
	require.NoError(t, err)
	_, err = b.ledger.Check(t.Context(), outbox.DefaultMapping())
	require.NoError(t, err)
	m := outbox.DefaultMapping()
	m.Table = "public.nowhere"
	_, err = b.ledger.Check(t.Context(), m)
	require.ErrorContains(t, err, "nowhere")
}

// More than anybody should keep in memory is not loaded: the last place of it is known, and what is
// recorded of some events.
func TestRecorded_isBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	require.NoError(t, b.ledger.Record(t.Context(), hold, &ledger.Batch{
		Attempts: []outbox.Attempt{attempt("e1", "erp", outbox.Delivered, 3), attempt("e2", "erp", outbox.Delivered, 5), attempt("e2", "crm", outbox.Retry, 5)},
		Park:     []outbox.Delivery{pending("e2", "crm", "", 5, noon), pending("e3", "erp", "", 4, noon), pending("e4", "erp", "", 9, noon)},
	}))
	got, until, err := b.ledger.Recorded(t.Context(), "s", 3, 5)
	require.NoError(t, err)
	require.Len(t, got, 5)
	require.Zero(t, until)
	got, until, err = b.ledger.Recorded(t.Context(), "s", 3, 2)
	require.NoError(t, err)
	require.Empty(t, got)
	require.EqualValues(t, 9, until, "of all that is recorded, not of what was read before it was too much")
	got, err = b.ledger.RecordedOf(t.Context(), "s", 4, []string{"e1", "e2", "e9"})
	require.NoError(t, err)
	require.Equal(t, map[outbox.Pair]struct{}{{EventID: "e2", EndpointID: "erp"}: {}, {EventID: "e2", EndpointID: "crm"}: {}}, got, "e1 was before that")
}
