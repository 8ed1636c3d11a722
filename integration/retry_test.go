package integration_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

func TestAFailedDeliveryIsRetriedUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const delay = 100 * time.Millisecond
	b.receiver.On("/erp", kit.Statuses(500, 400, 204))
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", `retry { schedule = ["100ms", "100ms", "1h"] }`))})
	id := b.db.Insert(t, kit.Event("order.created", `{"id": 1}`))[0]

	attempts := b.db.AwaitAttempts(t, "erp", 3)
	b.db.AwaitEmptyQueue(t)
	for i, want := range []struct {
		outcome, trigger string
		status           int
	}{{"retry", "stream", 500}, {"retry", "retry", 400}, {"delivered", "retry", 204}} {
		got := attempts[i]
		require.Equal(t, id, got.EventID)
		require.Equal(t, i+1, got.Number)
		require.Equal(t, want.outcome, got.Outcome)
		require.Equal(t, want.trigger, got.Trigger)
		require.Equal(t, &want.status, got.StatusCode)
		if i > 0 {
			pause := got.AttemptedAt.Sub(attempts[i-1].AttemptedAt)
			require.GreaterOrEqual(t, pause, delay, "a retry is never early")
		}
	}

	requests := b.receiver.Requests("/erp")
	require.Len(t, requests, 3)
	for _, r := range requests {
		require.Equal(t, id, r.ID, "the id is that of the event, in every attempt")
		require.Equal(t, requests[0].Body, r.Body)
	}
	b.db.CheckStats(t, "erp")
	require.Zero(t, relay.Stop(t))
}

func TestWhatTheReceiverAnsweredIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Respond(http.StatusTeapot, "no \x00 coffee \xff here"))
	b.receiver.On("/broken", kit.Reset())
	refused := kit.Endpoint{ID: "refused", URL: "http://127.0.0.1:1/", Secret: b.endpoint("x", "").Secret}
	hanging := b.endpoint("hanging", `timeout = "100ms"`)
	b.receiver.On("/hanging", kit.Hang())
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""), b.endpoint("broken", ""), refused, hanging)})
	b.db.Insert(t, kit.Event("order.created", `{}`))

	answered := b.db.AwaitAttempts(t, "erp", 1)[0]
	require.Equal(t, new(http.StatusTeapot), answered.StatusCode)
	require.NotNil(t, answered.ResponseBody)
	require.Contains(t, *answered.ResponseBody, "coffee")
	require.False(t, answered.ResponseTruncated)
	require.Equal(t, "retry", answered.Outcome)

	for _, endpoint := range []string{"broken", "refused", "hanging"} {
		failed := b.db.AwaitAttempts(t, endpoint, 1)[0]
		require.Nil(t, failed.StatusCode, endpoint)
		require.NotNil(t, failed.Error, endpoint)
		require.NotEmpty(t, *failed.Error, endpoint)
		require.Equal(t, "retry", failed.Outcome, endpoint)
		require.Equal(t, *failed.Error, b.db.Text(t, "SELECT last_error FROM tailpost.undelivered WHERE endpoint_id = $1", endpoint))
	}
	require.Contains(t, *b.db.Attempts(t, "hanging")[0].Error, "100ms", "the deadline names itself")
	require.Contains(t, *b.db.Attempts(t, "refused")[0].Error, "refused")
}

func TestRetryAfterPutsTheNextAttemptOff(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Respond(http.StatusServiceUnavailable, "", "Retry-After", "3600"))
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", fast))})
	b.db.Insert(t, kit.Event("order.created", `{}`))

	b.db.AwaitCount(t, 1, `
		SELECT count(*) FROM tailpost.delivery
		WHERE next_attempt_at BETWEEN now() + interval '3500 seconds' AND now() + interval '3600 seconds' * 1.1`)
}

func TestAUsedUpScheduleLeavesADeadDelivery(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Statuses(500))
	config := b.db.Config(b.endpoint("erp", `retry { schedule = ["20ms", "20ms"] }`), b.endpoint("healthy", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	id := b.db.Insert(t, kit.Event("order.created", `{"id": 1}`))[0]

	attempts := b.db.AwaitAttempts(t, "erp", 3)
	require.Equal(t, []string{"retry", "retry", "dead"}, []string{attempts[0].Outcome, attempts[1].Outcome, attempts[2].Outcome})
	requireDead := func() {
		t.Helper()
		var state, reason string
		var made, status int
		var next *time.Time
		err := b.db.QueryRow(t.Context(), `
			SELECT state, reason, attempts, last_status, next_attempt_at
			FROM tailpost.undelivered
			WHERE event_id = $1 AND endpoint_id = 'erp'`, id).Scan(&state, &reason, &made, &status, &next)
		require.NoError(t, err)
		require.Equal(t, []any{"dead", "exhausted", 3, 500, (*time.Time)(nil)}, []any{state, reason, made, status, next})
	}
	requireDead()
	b.db.CheckStats(t, "erp")
	b.db.AwaitConfirmed(t, b.db.LSN(t))

	// It stays dead when the relay starts anew, and is in nobody's way.
	require.Zero(t, relay.Stop(t))
	kit.StartDelivering(t, kit.Options{Config: config})
	last := b.db.Insert(t, kit.Event("order.created", `{"id": 2}`))[0]
	b.receiver.AwaitIDs(t, "/healthy", last)
	b.receiver.AwaitIDs(t, "/erp", last)
	requireDead()
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE event_id = $1 AND endpoint_id = 'healthy'", id))
}

func TestGoneDisablesTheEndpointAndKeepsItsDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Statuses(410))
	config := b.db.Config(b.endpoint("erp", fast), b.endpoint("healthy", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	first := b.db.Insert(t, kit.Event("order.created", `{}`))[0]
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'erp' AND status = 'disabled' AND disabled_reason LIKE '%410%'")

	undelivered := "SELECT count(*) FROM tailpost.undelivered WHERE endpoint_id = 'erp' AND state = 'pending' AND reason = 'disabled'"
	second := b.db.Insert(t, kit.Event("order.created", `{}`))[0]
	b.receiver.AwaitIDs(t, "/healthy", first, second)
	b.db.AwaitCount(t, 2, undelivered)

	// The endpoint's state survives.
	require.Zero(t, relay.Stop(t))
	kit.StartDelivering(t, kit.Options{Config: config})
	third := b.db.Insert(t, kit.Event("order.created", `{}`))[0]
	b.receiver.AwaitIDs(t, "/healthy", third)
	b.db.AwaitCount(t, 3, undelivered)
	require.Equal(t, []string{first}, b.receiver.IDs("/erp"))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
}

func TestAHangingEndpointHoldsNeitherTheSlotNorItsNeighbour(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 50
	gate, open := kit.Gate()
	b.receiver.On("/hanging", gate)
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(
		b.endpoint("hanging", "concurrency = 4\n timeout = \"60s\"\n park_after = \"200ms\"\n"+fast),
		b.endpoint("healthy", ""),
	)})
	var events []outbox.Event
	for i := range n {
		events = append(events, kit.Event("order.created", fmt.Sprintf(`{"n": %d}`, i)))
	}
	ids := b.db.Insert(t, events...)

	b.receiver.AwaitIDs(t, "/healthy", ids...)
	b.db.AwaitCount(t, n, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'hanging' AND state = 'pending'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.LessOrEqual(t, len(b.receiver.Requests("/hanging")), 4, "no more at once than the endpoint's concurrency")
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'hanging'"))

	// What was parked while in flight is settled by its answer; nothing is sent twice.
	open()
	b.db.AwaitEmptyQueue(t)
	require.Len(t, b.receiver.Requests("/hanging"), n)
	require.Equal(t, n, b.db.Count(t, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE endpoint_id = 'hanging' AND outcome = 'delivered'"))
	b.db.CheckStats(t, "hanging")
	b.db.CheckStats(t, "healthy")
}
