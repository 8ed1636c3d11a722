package relay_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// queueBundle is a relay that serves its API, a receiver, and the database.
type queueBundle struct {
	url  string // of the API
	conn *pgx.Conn
	got  chan string // ids of events in the order in which they arrive
	hook string
}

func setupQueue(t *testing.T, changes ...func(*config.Config)) *queueBundle {
	t.Helper()
	b := &queueBundle{got: make(chan string, 10_000)}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { b.got <- req.Header.Get("webhook-id") }))
	t.Cleanup(receiver.Close)
	b.hook = receiver.URL
	var database string
	r := serving(t, func(c *config.Config) {
		database = c.Database.URL.Reveal()
		for _, change := range changes {
			change(c)
		}
	})
	b.url = "http://" + r.APIAddress()
	var err error
	b.conn, err = pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.conn.Close(context.WithoutCancel(t.Context()))) })
	return b
}

// endpoint makes one and returns its id.
func (b *queueBundle) endpoint(t *testing.T, policy string) string {
	t.Helper()
	status, made := ask(t, http.DefaultClient, http.MethodPost, b.url+"/v1/endpoints", `{"url": "`+b.hook+`"`+policy+`}`)
	require.Equal(t, http.StatusCreated, status, "%v", made)
	id, _ := made["id"].(string)
	return id
}

// post makes a call that must succeed.
func (b *queueBundle) post(t *testing.T, path, body string) map[string]any {
	t.Helper()
	status, answer := ask(t, http.DefaultClient, http.MethodPost, b.url+path, body)
	require.Less(t, status, 300, "%v", answer)
	return answer
}

func (b *queueBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *queueBundle) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.conn.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// awaitCount waits until a query counts n.
func (b *queueBundle) awaitCount(t *testing.T, n int, sql string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool { return b.count(t, sql, args...) == n }, time.Minute, 20*time.Millisecond, sql)
}

// timed inserts an event and returns its id.
func (b *queueBundle) timed(t *testing.T, due, until any) (id string) {
	t.Helper()
	require.NoError(t, b.conn.QueryRow(t.Context(),
		"INSERT INTO outbox (type, payload, due, until) VALUES ('a', '{}', $1::timestamptz AT TIME ZONE 'Asia/Tokyo', $2::timestamptz) RETURNING id::text", due, until).Scan(&id))
	return id
}

// ids returns the ids of all events, in the order of their commits.
func (b *queueBundle) ids(t *testing.T) (ids []string) {
	t.Helper()
	rows, err := b.conn.Query(t.Context(), "SELECT id::text FROM outbox ORDER BY created_at")
	require.NoError(t, err)
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(t, rows.Err())
	return ids
}

// next is the id of the next event that arrives.
func (b *queueBundle) next(t *testing.T) string {
	t.Helper()
	select {
	case id := <-b.got:
		return id
	case <-time.After(time.Minute):
		t.Fatal("nothing arrived")
		return ""
	}
}

func eventID(n int) string { return fmt.Sprintf("018f0000-0000-7000-8000-%012d", n) }

// insert commits one event of the key k.
func (b *queueBundle) insert(t *testing.T, n int) string {
	t.Helper()
	b.exec(t, "INSERT INTO public.outbox (id, type, key, payload) VALUES ($1, 'order.created', 'k', '{}')", eventID(n))
	return eventID(n)
}

func TestResendComesLastInItsOrder(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, `, "ordering": "key"`)
	first := b.insert(t, 1)
	require.Equal(t, first, b.next(t))
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE event_id = $1 AND outcome = 'delivered'", first)

	b.post(t, "/v1/endpoints/"+id+"/pause", "")
	second := b.insert(t, 2)
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE event_id = $1", second)
	require.InDelta(t, 1, b.post(t, "/v1/deliveries/resend", `{"event_id": "`+first+`", "endpoint_id": "`+id+`"}`)["changed"], 0)
	third := b.insert(t, 3)
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE event_id = $1", third)
	b.post(t, "/v1/endpoints/"+id+"/resume", "")
	for _, want := range []string{second, first, third} {
		require.Equal(t, want, b.next(t))
	}
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.attempt WHERE event_id = $1 AND trigger = 'resend' AND number = 1 AND outcome = 'delivered'", first))

	// Nothing is left behind that would keep it from being sent once more.
	b.post(t, "/v1/deliveries/resend", `{"event_id": "`+first+`", "endpoint_id": "`+id+`"}`)
	require.Equal(t, first, b.next(t))
}

func TestReplayListsWhatRetentionTook(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, "")
	var ids []string
	for n := range 3 {
		ids = append(ids, b.insert(t, n+1))
		require.Equal(t, ids[n], b.next(t))
	}
	b.awaitCount(t, 3, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	b.exec(t, "DELETE FROM public.outbox WHERE id <> $1::text::uuid", ids[1])

	dry := b.post(t, "/v1/replays", `{"endpoint_id": "`+id+`", "dry_run": true}`)
	require.InDelta(t, 1, dry["total"], 0)
	require.InDelta(t, 2, dry["missing"], 0)
	made := b.post(t, "/v1/replays", `{"endpoint_id": "`+id+`"}`)
	require.Equal(t, ids[1], b.next(t))
	path := fmt.Sprintf("/v1/replays/%s", made["id"])
	var replay map[string]any
	require.Eventually(t, func() bool {
		_, replay = ask(t, http.DefaultClient, http.MethodGet, b.url+path, "")
		return replay["state"] == "done"
	}, time.Minute, 20*time.Millisecond)
	for name, want := range map[string]float64{"total": 1, "done": 1, "queued": 1, "missing": 2, "missing_listed": 2} {
		require.InDelta(t, want, replay[name], 0, name)
	}
	require.NotContains(t, replay, "note")
	status, missing := ask(t, http.DefaultClient, http.MethodGet, b.url+path+"/missing", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, true, missing["complete"])
	rows, _ := missing["data"].([]any)
	require.Len(t, rows, 2)
	for i, id := range []string{ids[0], ids[2]} {
		require.Subset(t, rows[i], map[string]any{"event_id": id, "event_type": "order.created", "outcome": "delivered"})
	}
}

func TestReplayOfATableWithoutTimes(t *testing.T) {
	t.Parallel()
	b := setupQueue(t, func(c *config.Config) {
		c.Outbox.Mapping = outbox.DefaultMapping()
		c.Outbox.Mapping.CreatedAt = ""
	})
	id := b.endpoint(t, "")
	event := b.insert(t, 1)
	require.Equal(t, event, b.next(t))
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	b.post(t, "/v1/endpoints/"+id+"/pause", "")
	b.post(t, "/v1/replays", `{"endpoint_id": "`+id+`"}`)
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE trigger = 'replay'")
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE event_created_at > now() - interval '1 hour'"))
}

func TestResendKeepsToRateAndOrder(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, `, "ordering": "key", "rate": "50/s"`)
	const dead, keys = 150, 10
	b.exec(t, `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, key, payload, event_created_at, commit_lsn, seq,
    created_at, updated_at)
SELECT i::text, $1, 'dead', 'exhausted', 10, 'order.created', 'k' || i % $3::integer, '{}', now(), '0/10', i, now(), now()
FROM generate_series(1, $2::integer) AS i`, id, dead, keys)
	require.InDelta(t, dead, b.post(t, "/v1/deliveries/resend", `{"endpoint_id": "`+id+`"}`)["total"], 0)
	last := make(map[int]int) // by key
	var began time.Time
	for n := range dead {
		event, err := strconv.Atoi(b.next(t))
		require.NoError(t, err)
		require.Less(t, last[event%keys], event, "the order of its key")
		last[event%keys] = event
		if n == 0 {
			began = time.Now()
		}
	}
	// At most a tenth of a second's worth may go at once.
	require.Greater(t, time.Since(began), 2500*time.Millisecond, "50 a second")
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery")
	require.Equal(t, dead, b.count(t, "SELECT count(*) FROM tailpost.attempt WHERE trigger = 'resend' AND number = 11"))
}

func TestReplayListsWhatWentMeanwhile(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, "")
	const all, page = 1205, 1000
	b.exec(t, `
INSERT INTO public.outbox (id, type, payload)
SELECT ('018f0000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid, 'order.created', '{}'
FROM generate_series(1, $1::integer) AS i`, all)
	b.awaitCount(t, all, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	b.exec(t, "DELETE FROM public.outbox WHERE id = $1::text::uuid", eventID(1))
	b.post(t, "/v1/endpoints/"+id+"/pause", "")
	path := fmt.Sprintf("/v1/replays/%s", b.post(t, "/v1/replays", `{"endpoint_id": "`+id+`"}`)["id"])
	// It waits with a page queued, and retention takes a part of what is queued and all that is
	// not, but for the last row.
	b.awaitCount(t, page, "SELECT count(*) FROM tailpost.delivery")
	b.exec(t, "DELETE FROM public.outbox WHERE id > $1::text::uuid AND id < $2::text::uuid", eventID(500), eventID(all))
	b.post(t, "/v1/endpoints/"+id+"/resume", "")
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.replay WHERE state = 'done'")
	_, replay := ask(t, http.DefaultClient, http.MethodGet, b.url+path, "")
	for name, want := range map[string]float64{"total": all - 1, "done": page + 1, "queued": page + 1, "missing": all - page - 1, "missing_listed": all - page - 1} {
		require.InDelta(t, want, replay[name], 0, name)
	}
	require.NotContains(t, replay, "note")
	require.Equal(t, all-page-1, b.count(t, "SELECT count(*) FROM tailpost.replay_missing WHERE event_id = $1 OR event_id > $2 AND event_id < $3",
		eventID(1), eventID(page+1), eventID(all)))
}
