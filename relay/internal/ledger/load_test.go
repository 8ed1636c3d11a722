package ledger_test

import (
	"strings"
	"testing"
	"time"

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
			dead, pending("parked", "erp", "", 13, noon), pending("parked below", "erp", "", 9, noon),
		},
	}))
	got, err := b.ledger.Recorded(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, map[outbox.Pair]struct{}{
		{EventID: "at", EndpointID: "erp"}:        {},
		{EventID: "at", EndpointID: "crm"}:        {},
		{EventID: "dead", EndpointID: "erp"}:      {},
		{EventID: "discarded", EndpointID: "erp"}: {},
		{EventID: "parked", EndpointID: "erp"}:    {},
	}, got)
}

func TestDue_isOrderedAndBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hold := take(t, b.ledger)
	second := pending("second of its transaction", "erp", "", 5, noon)
	second.Event.Seq = 1
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
	due := func(exclude []string, limit int) []string {
		ds, err := b.ledger.Due(t.Context(), "erp", noon, exclude, limit)
		require.NoError(t, err)
		return ids(ds)
	}
	require.Equal(t, []string{"overdue", "first", "second of its transaction"}, due(nil, 10))
	require.Equal(t, []string{"overdue", "first"}, due(nil, 2))
	require.Equal(t, []string{"first"}, due([]string{"overdue", "unknown"}, 1))
	require.Empty(t, due([]string{"overdue", "first", "second of its transaction"}, 10))
}

func TestDue_boundsBytesButGivesAtLeastOne(t *testing.T) {
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
	for name, load := range map[string]func() ([]outbox.Delivery, error){
		"due":    func() ([]outbox.Delivery, error) { return b.ledger.Due(t.Context(), "erp", noon, nil, 10) },
		"key":    func() ([]outbox.Delivery, error) { return b.ledger.DueKey(t.Context(), "erp", "k", 10) },
		"strict": func() ([]outbox.Delivery, error) { return b.ledger.DueStrict(t.Context(), "erp", 10) },
	} {
		ds, err := load()
		require.NoError(t, err, name)
		require.Equal(t, []string{"a"}, ids(ds), name)
	}
	ds, err := b.ledger.Due(t.Context(), "erp", noon, []string{"a"}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"b", "c"}, ids(ds))
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
	}}))
	ds, err := b.ledger.DueKey(t.Context(), "erp", "k", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "k3"}, ids(ds))
	ds, err = b.ledger.DueKey(t.Context(), "erp", "k", 1)
	require.NoError(t, err)
	require.Equal(t, []string{"k1"}, ids(ds))
	ds, err = b.ledger.DueStrict(t.Context(), "erp", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"k1", "j2", "k3", "none"}, ids(ds))

	heads, err := b.ledger.Heads(t.Context(), "erp")
	require.NoError(t, err)
	require.Equal(t, []ledger.Head{
		{Key: "j", EventID: "j2", NextAttemptAt: noon, Count: 1},
		{Key: "k", EventID: "k1", NextAttemptAt: noon.Add(time.Hour), Count: 2},
	}, heads)

	queues, err := b.ledger.NextDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]ledger.Queue{
		"erp": {Next: noon, Count: 4}, "crm": {Next: noon.Add(time.Minute), Count: 1},
	}, queues)
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
