package integration_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

func TestOnlyCommittedRowsAreDeliveredInTheOrderOfTheirCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", inOrder))})

	insert := func(tx pgx.Tx, n int) (ids []string) {
		for i := range n {
			got, err := outbox.Insert(t.Context(), tx, kit.Event("order.created", fmt.Sprintf(`{"n": %d}`, i)))
			require.NoError(t, err)
			ids = append(ids, got...)
		}
		return ids
	}
	begin := func() pgx.Tx {
		tx, err := b.db.Begin(t.Context())
		require.NoError(t, err)
		return tx
	}

	// The first to begin is the last to commit.
	late := begin()
	last := insert(late, 2)

	first := b.db.Insert(t, kit.Event("order.created", `1`), kit.Event("order.created", `2`), kit.Event("order.created", `3`))

	aborted := begin()
	insert(aborted, 3)
	require.NoError(t, aborted.Rollback(t.Context()))

	// A rolled back savepoint takes its rows with it; what is around it stays.
	partial := begin()
	second := insert(partial, 1)
	savepoint, err := partial.Begin(t.Context())
	require.NoError(t, err)
	insert(savepoint, 2)
	require.NoError(t, savepoint.Rollback(t.Context()))
	second = append(second, insert(partial, 1)...)
	require.NoError(t, partial.Commit(t.Context()))

	require.NoError(t, late.Commit(t.Context()))
	end := b.db.Insert(t, kit.Event("order.created", `"the end"`))

	want := slices.Concat(first, second, last, end)
	b.receiver.Await(t, "/erp", len(want))
	require.Equal(t, want, b.receiver.IDs("/erp"))

	b.db.AwaitAttempts(t, "erp", len(want))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Equal(t, want, b.receiver.IDs("/erp"), "nothing came twice, nothing came of the rollbacks")
	b.db.CheckStats(t, "erp")
}

func TestALargeTransactionArrivesWholeAndInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", inOrder))})
	const n = 1500
	b.db.Run(t, `INSERT INTO outbox (type, payload) SELECT 'row', to_jsonb(i) FROM generate_series(1, $1::int) AS i`, n)

	requests := b.receiver.Await(t, "/erp", n)
	var got []string
	for _, r := range requests {
		var envelope struct{ Data int }
		decode(t, r.Body, &envelope)
		got = append(got, strconv.Itoa(envelope.Data))
	}
	var want []string
	for i := range n {
		want = append(want, strconv.Itoa(i+1))
	}
	require.Equal(t, want, got)
	b.db.AwaitAttempts(t, "erp", n)
}

func TestARequestIsWhatTheContractSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	began := time.Now()
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `headers = { "X-Source" = "shop" }`))})
	const (
		id          = "0198c7a2-7f3e-7c1e-9f6e-8f0d5a4b3c21"
		traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	)
	b.db.Insert(t, outbox.Event{
		ID: id, Type: "order.created", Key: "order-7", Tenant: "acme",
		// As jsonb prints it: the bytes of the column are the bytes that are sent.
		Payload:   []byte(`{"id": 7, "note": "<&> é 😀", "total": 120.50}`),
		Headers:   map[string]string{"Traceparent": traceparent, "X-Internal": "stays inside"},
		CreatedAt: time.Date(2026, 1, 31, 10, 0, 0, 123456000, time.UTC),
	})

	r := b.receiver.Await(t, "/erp", 1)[0]
	want := `{"id":"` + id + `","type":"order.created","timestamp":"2026-01-31T10:00:00.123456Z","data":{"id": 7, "note": "<&> é 😀", "total": 120.50}}`
	require.Equal(t, want, string(r.Body), "byte for byte")

	signed, err := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
	require.NoError(t, err)
	require.WithinRange(t, time.Unix(signed, 0), began.Truncate(time.Second), time.Now())
	require.Regexp(t, `^v1,[A-Za-z0-9+/]{43}=$`, r.Header.Get("Webhook-Signature"))
	require.Regexp(t, `^Tailpost/\S+$`, r.Header.Get("User-Agent"))
	for _, varying := range []string{"Webhook-Timestamp", "Webhook-Signature", "User-Agent"} {
		r.Header.Del(varying)
	}
	require.Equal(t, http.Header{
		"Content-Type":   {"application/json"},
		"Content-Length": {strconv.Itoa(len(r.Body))},
		"Webhook-Id":     {id},
		"Traceparent":    {traceparent},
		"X-Source":       {"shop"},
	}, r.Header)

	attempt := b.db.AwaitAttempts(t, "erp", 1)[0]
	require.Equal(t, "stream", attempt.Trigger)
	require.Equal(t, "delivered", attempt.Outcome)
	require.Equal(t, 1, attempt.Number)
	require.Equal(t, id, attempt.EventID)
	require.Equal(t, "order.created", attempt.EventType)
	require.Equal(t, b.receiver.URL("/erp"), attempt.URL)
	require.Equal(t, new(http.StatusOK), attempt.StatusCode)
	require.Nil(t, attempt.Error)
}

func TestSubscriptionsDecideWhoGetsWhat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(
		b.endpoint("everything", inOrder),
		b.endpoint("orders", inOrder+`subscription { events = ["order.*"] }`),
		b.endpoint("deep", inOrder+`subscription { events = ["order.**"] }`),
		b.endpoint("exact", inOrder+`subscription { events = ["order.paid", "user.created"] }`),
		b.endpoint("acme", inOrder+`tenant = "acme"`),
		b.endpoint("large", inOrder+`subscription { where = event.data.total > 100 && event.tenant != "test" }`),
		b.endpoint("twice", inOrder+`
  subscription { events = ["order.paid"] }
  subscription { events = ["order.*"] }`),
		b.endpoint("shaped", inOrder+`
  subscription {
    events = ["order.paid"]
    body   = { order = event.data.id, total = event.data.total }
  }`),
	)})
	events := []outbox.Event{
		{Type: "order.paid", Tenant: "acme", Payload: []byte(`{"id": 1, "total": 250}`)},
		{Type: "order.paid", Tenant: "test", Payload: []byte(`{"id": 2, "total": 300}`)},
		{Type: "order.item.added", Tenant: "acme", Payload: []byte(`{"id": 3}`)},
		{Type: "user.created", Payload: []byte(`{"id": 4, "total": "a lot"}`)},
		{Type: "order", Payload: nil},
	}
	ids := b.db.Insert(t, events...)

	want := map[string][]int{
		"everything": {0, 1, 2, 3, 4},
		"orders":     {0, 1},
		"deep":       {0, 1, 2},
		"exact":      {0, 1, 3},
		"acme":       {0, 2},
		"large":      {0},
		"twice":      {0, 1},
		"shaped":     {0, 1},
	}
	total := 0
	for _, indexes := range want {
		total += len(indexes)
	}
	b.db.AwaitCount(t, total, "SELECT count(*) FROM tailpost.attempt")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	for endpoint, indexes := range want {
		var wantIDs []string
		for _, i := range indexes {
			wantIDs = append(wantIDs, ids[i])
		}
		require.Equal(t, wantIDs, b.receiver.IDs("/"+endpoint), endpoint)
	}
	require.JSONEq(t, `{"order": 1, "total": 250}`, string(dataOf(t, b.receiver.Requests("/shaped")[0].Body)))
	require.JSONEq(t, `null`, string(dataOf(t, b.receiver.Requests("/everything")[4].Body)))
}
