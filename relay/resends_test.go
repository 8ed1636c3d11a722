package relay_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// deadSQL writes dead deliveries, their commits in the opposite order of their ids, so that the ids
// say in what order they arrive.
const deadSQL = `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, key, payload, event_created_at, commit_lsn, seq,
    created_at, updated_at)
SELECT i::text, $1, 'dead', 'exhausted', 30, 'order.created', 'k' || i % 7, '{}', now(), '0/10000'::pg_lsn - i / 2, -i, now(), now()
FROM generate_series(1, $2::int) AS i`

// pages is how many rows a page of a resend has.
const pages = 1000

// locked keeps a page that has a delivery from being done until it is released.
func locked(t *testing.T, conn *pgx.Conn, event int) (release func()) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT FROM tailpost.delivery WHERE event_id = $1 FOR UPDATE", strconv.Itoa(event))
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback(t.Context())) }
}

// resent asks for a resend of all that is dead and returns its path.
func (b *queueBundle) resent(t *testing.T, total int) string {
	t.Helper()
	status, made := ask(t, http.DefaultClient, http.MethodPost, b.url+"/v1/deliveries/resend", `{"all": true}`)
	require.Equal(t, http.StatusAccepted, status)
	require.InDelta(t, total, made["total"], 0)
	id, _ := made["id"].(string)
	return "/v1/resends/" + id
}

// done waits for the end of a resend.
func (b *queueBundle) done(t *testing.T, path string, queued int) {
	t.Helper()
	var resend map[string]any
	require.Eventually(t, func() bool {
		_, resend = ask(t, http.DefaultClient, http.MethodGet, b.url+path, "")
		return resend["state"] == "done"
	}, time.Minute, 20*time.Millisecond)
	require.InDelta(t, queued, resend["queued"], 0)
}

func TestResendOfManyKeepsTheOrderOfAnEndpoint(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	id := b.endpoint(t, `, "ordering": "strict"`)
	const dead = 2*pages + 500
	b.exec(t, deadSQL, id, dead)
	path := b.resent(t, dead)
	for want := dead; want > 0; want-- {
		require.Equal(t, strconv.Itoa(want), b.next(t))
	}
	b.done(t, path, dead)
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery")
	require.Equal(t, dead, b.count(t, "SELECT count(*) FROM tailpost.attempt WHERE trigger = 'resend' AND outcome = 'delivered'"))
}

func TestResendOfManyStopsWhereItIsCancelled(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	const dead = 3*pages + 500
	b.exec(t, deadSQL, b.endpoint(t, `, "ordering": "key"`), dead)
	conn, err := pgx.ConnectConfig(t.Context(), b.conn.Config())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	release := locked(t, conn, 1)
	path := b.resent(t, dead)
	b.awaitCount(t, 3*pages, "SELECT queued FROM tailpost.resend")
	require.Equal(t, "cancelled", b.post(t, path+"/cancel", "")["state"])
	release()
	// What was queued is still delivered.
	for range 3 * pages {
		b.next(t)
	}
	// Another one, of nothing, shows that the relay has gone on.
	made := b.post(t, "/v1/deliveries/resend", `{"event_types": ["none"]}`)
	require.InDelta(t, 0, made["total"], 0)
	b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.resend WHERE state = 'done' AND queued = 0")
	b.awaitCount(t, 0, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending'")
	require.Equal(t, 500, b.count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
	require.Equal(t, 1, b.count(t, "SELECT count(*) FROM tailpost.resend WHERE state = 'cancelled' AND queued = $1", 3*pages))
}

func TestResendOfManyResendsNothingThatDiesAgain(t *testing.T) {
	t.Parallel()
	b := setupQueue(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer receiver.Close()
	b.hook = receiver.URL
	const dead = pages + 500
	id := b.endpoint(t, "")
	b.exec(t, deadSQL, id, dead)
	b.done(t, b.resent(t, dead), dead)
	b.awaitCount(t, dead, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND attempts = 31")
	require.Equal(t, dead, b.count(t, "SELECT count(*) FROM tailpost.attempt"))
	// Who asks once more gets them once more.
	b.done(t, b.resent(t, dead), dead)
	b.awaitCount(t, dead, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead' AND attempts = 32")
}

func TestResendOfManyGoesOnWithAnotherRelay(t *testing.T) {
	t.Parallel()
	b := setupRows(t)
	relay := kit.StartDelivering(t, b.options)
	b.put(t, b.row(t, "ep_1", nil))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	const dead = 3*pages + 500
	b.db.Run(t, deadSQL, "ep_1", dead)
	conn, err := pgx.Connect(t.Context(), b.db.URL)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	release := locked(t, conn, pages)
	b.db.Run(t, `INSERT INTO tailpost.resend (id, selection, state, created_at, updated_at) VALUES ('rs', '{"state": "dead"}', 'pending', now(), now())`)
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'tailpost', '{"due": {"endpoint": ""}}')`)
	b.db.AwaitCount(t, 2*pages, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE trigger = 'resend'")
	relay.Kill()
	require.Equal(t, 2*pages, b.db.Count(t, "SELECT queued FROM tailpost.resend WHERE state = 'running'"))
	relay = kit.StartDelivering(t, b.options)
	release()
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.resend WHERE state = 'done'")
	b.db.AwaitEmptyQueue(t)
	require.Equal(t, dead, b.db.Count(t, "SELECT queued FROM tailpost.resend"))
	require.Equal(t, dead, b.db.Count(t, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE trigger = 'resend' AND outcome = 'delivered'"))
	require.Zero(t, relay.Stop(t))
}
