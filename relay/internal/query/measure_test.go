package query_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/pgtest/pgschema"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/query"
)

const parkSQL = `
INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, payload, event_created_at, commit_lsn, seq, created_at, updated_at)
SELECT $2 || n, $2, $3, $4, 0, 'a', convert_to(repeat('x', $5), 'UTF8'), now(), '0/0'::pg_lsn + n, 0, now() - n * interval '1 minute', now()
FROM generate_series(1, $1) AS n`

// migrated returns a store over a database with Tailpost's tables, and a connection to it.
func migrated(t *testing.T) (*query.Store, *pgx.Conn) {
	t.Helper()
	db := pgschema.NewDB(t)
	conn := db.Conn(t)
	_, err := schema.Migrate(t.Context(), conn, schema.MigrateOptions{Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	store, err := query.Open(t.Context(), query.Options{URL: config.NewSecret(db.URL), Mapping: outbox.DefaultMapping()})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return store, conn
}

// A queue of millions of deliveries is not read at each scrape: what is rare in it is exact all the
// same, and what is much is about right.
func TestALongQueueIsEstimatedAndWhatIsRareIsExact(t *testing.T) {
	t.Parallel()
	store, conn := migrated(t)
	park := func(n int, endpoint, state, reason string, size int) {
		_, err := conn.Exec(t.Context(), parkSQL, n, endpoint, state, reason, size)
		require.NoError(t, err)
	}
	measure := func() (query.Measures, map[string]query.QueueLength) {
		m, err := store.Measure(t.Context(), "s", nil)
		require.NoError(t, err)
		queues := make(map[string]query.QueueLength)
		for _, q := range m.Queues {
			queues[q.EndpointID] = q
		}
		return m, queues
	}
	park(3, "rare", "pending", "paused", 1)
	park(2, "given-up", "dead", "exhausted", 1)
	park(1, "later", "pending", "scheduled", 1)
	_, err := conn.Exec(t.Context(), "UPDATE tailpost.delivery SET created_at = '2019-01-01', event_created_at = '2019-01-01', deliver_at = now() + interval '1 hour' WHERE endpoint_id = 'later'")
	require.NoError(t, err)
	m, queues := measure()
	require.Equal(t, []query.ReasonCount{
		{State: "dead", Reason: "exhausted", Count: 2}, {State: "pending", Reason: "paused", Count: 3}, {State: "pending", Reason: "scheduled", Count: 1},
	}, m.Reasons)
	require.True(t, queues["later"].Oldest.After(time.Now()), "it does not wait before its time")
	require.WithinDuration(t, time.Now().Add(-3*time.Minute), *queues["rare"].Oldest, time.Minute)
	require.Nil(t, queues["given-up"].Oldest)
	require.EqualValues(t, 2, queues["given-up"].Dead)
	st, err := store.RelayState(t.Context(), "s")
	require.NoError(t, err)
	require.EqualValues(t, 4, st.Pending)
	require.EqualValues(t, 2, st.Dead)
	require.WithinDuration(t, time.Now(), *st.Oldest, time.Minute)

	const many = 12_000
	_, err = conn.Exec(t.Context(), "ALTER TABLE tailpost.delivery ALTER payload SET STORAGE PLAIN")
	require.NoError(t, err)
	park(many, "much", "pending", "retry", 7000) // one on a page
	_, err = conn.Exec(t.Context(), "UPDATE tailpost.delivery SET event_created_at = CASE state WHEN 'dead' THEN '2020-01-01'::timestamptz ELSE '2021-01-01' END WHERE endpoint_id IN ('rare', 'given-up')")
	require.NoError(t, err)
	guesses, states := make(map[int64]bool), make(map[int64]bool)
	for range 5 {
		m, queues = measure()
		require.Len(t, queues, 4)
		require.True(t, queues["later"].Oldest.After(time.Now()))
		of := make(map[string]int64)
		for _, r := range m.Reasons {
			of[r.Reason] = r.Count
		}
		require.InEpsilon(t, many, of["retry"], 0.1, "a reason is estimated as its queue is")
		require.EqualValues(t, 3, queues["rare"].Pending)
		require.EqualValues(t, 2, queues["given-up"].Dead)
		require.Zero(t, queues["given-up"].Pending)
		require.InEpsilon(t, many, queues["much"].Pending, 0.1)
		require.WithinDuration(t, time.Now().Add(-3*time.Minute), *queues["rare"].Oldest, time.Minute)
		guesses[queues["much"].Pending] = true

		st, err = store.RelayState(t.Context(), "s")
		require.NoError(t, err)
		require.EqualValues(t, 2, st.Dead)
		require.InEpsilon(t, many+4, st.Pending, 0.1)
		require.Equal(t, 2021, st.Oldest.UTC().Year(), "of what waits, and of that the oldest")
		states[st.Pending] = true
	}
	require.Greater(t, len(guesses), 1, "it is counted whole")
	require.Greater(t, len(states), 1, "it is counted whole for the state of the relay")
}

// What the connections of a slot's relays write to the WAL is known where the server counts it,
// from Postgres 18 on: of theirs alone.
func TestTheWALOfTheRelaysIsTheirs(t *testing.T) {
	t.Parallel()
	store, conn := migrated(t)
	measure := func() []query.Written {
		m, err := store.Measure(t.Context(), "s", nil)
		require.NoError(t, err)
		return m.Written
	}
	var version int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version))
	if version < 180000 {
		require.Nil(t, measure())
		return
	}
	_, err := conn.Exec(t.Context(), "CREATE TABLE filler (t text)")
	require.NoError(t, err)
	require.NotNil(t, measure())
	require.Empty(t, measure(), "no relay is connected")
	_, err = conn.Exec(t.Context(), "SET application_name = 'tailpost s'")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT 1") // counts are told once a transaction is over
	require.NoError(t, err)
	got := measure()
	require.Len(t, got, 1)
	require.Greater(t, got[0].Bytes, int64(1e6))
	require.EqualValues(t, conn.PgConn().PID(), got[0].PID)
	_, err = conn.Exec(t.Context(), "SET application_name = 'tailpost another'")
	require.NoError(t, err)
	require.Empty(t, measure(), "another slot's")
}

// Until an audit has ended, the last one counts from when the slot was first taken.
func TestWithoutAnAuditItsTimeIsThatOfTheFirstHold(t *testing.T) {
	t.Parallel()
	store, conn := neighbouringEvents(t)
	for audited, want := range map[any]time.Time{nil: ago(120), ago(600): ago(120), ago(60): ago(60)} {
		_, err := conn.Exec(t.Context(), "UPDATE tailpost.relay SET audited_at = $1 WHERE slot = 'slot-1'", audited)
		require.NoError(t, err)
		m, err := store.Measure(t.Context(), "slot-1", nil)
		require.NoError(t, err)
		require.NotNil(t, m.AuditedAt)
		require.Equal(t, want, m.AuditedAt.UTC())
	}
}
