package relay_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// replayed has a replay done and gives what the API says of it.
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
	b.awaitCount(t, events, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
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
