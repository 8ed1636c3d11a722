package relay_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
)

func TestReplaysQueueWhatTheOutboxStillHas(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	b.options.Config.Outbox = "search = { type = event.type }"
	relay := kit.StartDelivering(t, b.options)
	b.put(t, b.row(t, "ep_1", func(e *config.Endpoint) {
		e.Tenant, e.Subscriptions = "acme", []config.Subscription{{Events: []string{"order.*", "user"}}}
	}))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	event := func(eventType, tenant string) outbox.Event {
		return outbox.Event{Type: eventType, Tenant: tenant, Payload: []byte(`{"n": 1}`)}
	}
	var want []string
	for range 3 {
		batch := make([]outbox.Event, 800)
		for i := range batch {
			batch[i] = event("order.paid", "acme")
		}
		want = append(want, b.db.Insert(t, batch...)...)
	}
	gone := b.db.Insert(t, event("order.lost", "acme"))
	b.db.Insert(t, event("order.paid", "other"), event("user", "acme"), event("other", "acme"))
	b.db.AwaitCount(t, len(want)+2, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'ep_1'")
	b.db.Run(t, "DELETE FROM public.outbox WHERE id = $1::text::uuid", gone[0])

	ask := func(id, endpoint string, types ...string) {
		b.db.Run(t, `INSERT INTO tailpost.replay (id, endpoint_id, types, since, until, state, created_at, updated_at)
			VALUES ($1, $2, $3, now() - interval '1 hour', now(), 'pending', now(), now())`, id, endpoint, append([]string{}, types...))
		b.db.Run(t, `SELECT pg_logical_emit_message(true, 'tailpost', json_build_object('due', json_build_object('endpoint', $1::text))::text)`, endpoint)
	}
	// The endpoint fails, so that the replay must wait with more than it may queue, and a kill must
	// not lose it.
	answer := kit.Statuses(200)
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'ep_1'")
	b.receiver.On("/ep_1", answer)
	ask("r1", "ep_1", "order.*")
	b.db.AwaitCount(t, 1000, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'ep_1' AND trigger = 'replay'")
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE search IS DISTINCT FROM ARRAY['type=order.paid']"), "whoever searches for it finds what waits")
	relay.Kill()
	relay = kit.StartDelivering(t, b.options)
	require.Less(t, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery"), len(want), "a replay does not flood the queue")
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'ep_1'")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.replay WHERE id = 'r1' AND state = 'done'")
	b.db.AwaitEmptyQueue(t)
	require.Equal(t, len(want), b.db.Count(t, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE trigger = 'replay'"))
	require.Equal(t, len(want), b.db.Count(t, "SELECT queued FROM tailpost.replay WHERE id = 'r1'"))
	require.Equal(t, len(want), b.db.Count(t, "SELECT done FROM tailpost.replay WHERE id = 'r1'"), "of its types only")
	require.Equal(t, len(want), b.db.Count(t, "SELECT total FROM tailpost.replay WHERE id = 'r1'"))
	require.Equal(t, 1, b.db.Count(t, "SELECT missing FROM tailpost.replay WHERE id = 'r1'"))
	require.Equal(t, gone[0], b.db.Text(t, "SELECT event_id FROM tailpost.replay_missing WHERE replay_id = 'r1' AND event_type = 'order.lost' AND tenant = 'acme' AND outcome = 'delivered'"))

	// One that is cancelled stops; one of an endpoint that is not there fails.
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'ep_1'")
	ask("r2", "ep_1")
	b.db.AwaitCount(t, 1000, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'ep_1' AND trigger = 'replay'")
	b.db.Run(t, "UPDATE tailpost.replay SET state = 'cancelled' WHERE id = 'r2'")
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'ep_1'")
	ask("r3", "ep_none")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.replay WHERE id = 'r3' AND state = 'failed' AND error = 'the endpoint is gone'")
	b.db.AwaitEmptyQueue(t)
	require.Equal(t, "cancelled", b.db.Text(t, "SELECT state FROM tailpost.replay WHERE id = 'r2'"))
	require.Zero(t, relay.Stop(t))
}

// replayed has a replay done and returns what the API says of it.
func (b *queueBundle) replayed(t *testing.T, endpoint string) (replay map[string]any) {
	t.Helper()
	made := b.post(t, "/v1/replays", `{"endpoint_id": "`+endpoint+`"}`)
	require.Eventually(t, func() bool {
		_, replay = ask(t, http.DefaultClient, http.MethodGet, fmt.Sprintf("%s/v1/replays/%s", b.url, made["id"]), "")
		return replay["state"] == "done"
	}, time.Minute, 20*time.Millisecond)
	return replay
}

// Keys say nothing of an order; times do, and where they are the same, keys.
func TestReplayKeepsTheOrderOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, `, "ordering": "strict"`)
	const events = 600 // more than are queued at once
	b.exec(t, `INSERT INTO public.outbox (id, type, key, payload, created_at)
		SELECT md5(i::text)::uuid, 'order.created', 'k', '{}', now() + i / 2 * interval '1 millisecond' - interval '1 hour'
		FROM generate_series(1, $1::int) AS i`, events)
	for range events {
		b.next(t)
	}
	recorded := 0
	// What has a row yet is not queued again.
	isRecorded := func() {
		recorded += events
		b.awaitCount(t, recorded, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	}
	isRecorded()
	inOrder := func() {
		t.Helper()
		replay := b.replayed(t, id)
		require.InDelta(t, events, replay["queued"], 0)
		require.NotContains(t, replay, "note")
		rows, err := b.conn.Query(t.Context(), "SELECT id::text FROM public.outbox ORDER BY created_at NULLS FIRST, id")
		require.NoError(t, err)
		wanted, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Len(t, wanted, events)
		for n, want := range wanted {
			require.Equal(t, want, b.next(t), "event %d", n)
		}
		isRecorded()
	}
	inOrder()
	// Without a time they come first.
	b.exec(t, "ALTER TABLE public.outbox ALTER created_at DROP NOT NULL")
	b.exec(t, "UPDATE public.outbox SET created_at = NULL WHERE id::text < '2'")
	inOrder()
}

func TestReplaySaysWhatItCannotRead(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, "")
	good := b.insert(t, 1)
	require.Equal(t, good, b.next(t))
	b.exec(t, "UPDATE public.outbox SET headers = '[1]'")
	b.insert(t, 2)
	b.next(t)
	b.awaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	replay := b.replayed(t, id)
	require.InDelta(t, 1, replay["queued"], 0)
	require.Equal(t, "Rows of the range that are no events, and not replayed: 1.", replay["note"])
}

// Rows whose time is none, or one that nobody else can read, keep no replay from its end, nor the
// next one from its beginning, in whatever order it reads rows.
func TestReplayOfTimesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"by key": "", "by time": `, "ordering": "strict"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupQueue(t)
			id := b.endpoint(t, policy)
			var past []string
			for n, at := range []string{"now", "-infinity", "0044-03-15 BC", "infinity", "20231-01-01"} {
				event := b.insert(t, n+1)
				require.Equal(t, event, b.next(t))
				b.exec(t, "UPDATE public.outbox SET created_at = $2::text::timestamptz WHERE id = $1::text::uuid", event, at)
				if n < 3 { // the others say that they are later than a replay can be
					past = append(past, event)
				}
			}
			b.awaitCount(t, 5, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
			for range 2 {
				replay := b.replayed(t, id)
				require.InDelta(t, len(past), replay["total"], 0)
				require.InDelta(t, len(past), replay["queued"], 0)
				var got []string
				for range past {
					got = append(got, b.next(t))
				}
				require.ElementsMatch(t, past, got)
			}
			require.Empty(t, b.got)
		})
	}
}

// A row that says its day is one of today, however a replay reads it.
func TestReplayOfRowsThatSayTheirDay(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, "")
	b.exec(t, "ALTER TABLE public.outbox ALTER created_at TYPE date USING created_at::date")
	event := b.insert(t, 1)
	require.Equal(t, event, b.next(t))
	far := b.insert(t, 2)
	require.Equal(t, far, b.next(t))
	b.exec(t, "UPDATE public.outbox SET created_at = 'infinity' WHERE id = $1::text::uuid", far)
	old := ""
	for n, day := range []string{"300000-01-01", "4714-11-24 BC"} { // no timestamp, and none in every zone
		old = b.insert(t, 3+n)
		require.Equal(t, old, b.next(t))
		b.exec(t, "UPDATE public.outbox SET created_at = $2::text::date WHERE id = $1::text::uuid", old, day)
	}
	b.awaitCount(t, 4, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	require.InDelta(t, 2, b.replayed(t, id)["queued"], 0)
	require.ElementsMatch(t, []string{event, old}, []string{b.next(t), b.next(t)})
}

// A replay without types delivers what the endpoint wants, filters and all, and nothing else.
func TestReplayDeliversWhatTheEndpointWants(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, `, "events": ["order.*"], "where": "event.data.total > 10"`)
	for n, row := range [][2]string{{"order.created", "11"}, {"order.created", "9"}, {"user.created", "11"}} {
		b.exec(t, "INSERT INTO public.outbox (id, type, payload) VALUES ($1, $2, json_build_object('total', $3::text::int)::jsonb)", eventID(n), row[0], row[1])
	}
	require.Equal(t, eventID(0), b.next(t))
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	replay := b.replayed(t, id)
	require.InDelta(t, 1, replay["queued"], 0)
	require.Equal(t, eventID(0), b.next(t))
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery")
	require.Equal(t, 2, b.count(t, "SELECT count(*) FROM tailpost.attempt"))
}
