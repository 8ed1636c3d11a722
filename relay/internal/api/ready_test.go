package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/api"
)

// TestReadyWhereEventsAreDelivered: by this process, or by one that it stands by for and that makes
// progress; the answer says why not.
func TestReadyWhereEventsAreDelivered(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	state := "starting"
	var unrecorded, unpublished time.Time
	b := setup(t, nil, func(o *api.Options) {
		own := o.Status
		o.Status = func() api.Status {
			mu.Lock()
			defer mu.Unlock()
			s := own()
			s.State, s.Unrecorded, s.Unpublished = state, unrecorded, unpublished
			return s
		}
	})
	is := func(next string, status int, reason string) {
		t.Helper()
		mu.Lock()
		state = next
		mu.Unlock()
		a := b.do(t, call{method: http.MethodGet, path: "/readyz"}).is(status)
		require.Contains(t, string(a.Body), reason)
		b.do(t, call{method: http.MethodGet, path: "/healthz"}).is(http.StatusOK)
	}
	later := func(d time.Duration) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.now.IsZero() {
			b.now = time.Now()
		}
		b.now = b.now.Add(d)
	}
	later(0) // from here on the test says how late it is
	is("delivering", http.StatusOK, `"state":"delivering"`)
	mu.Lock()
	unrecorded = b.now
	mu.Unlock()
	is("delivering", http.StatusOK, "delivering") // a lock or a restart of the server passes
	later(time.Minute)
	is("delivering", http.StatusServiceUnavailable, "could not be recorded for 1m0s")
	mu.Lock()
	unrecorded, unpublished = time.Time{}, b.now
	mu.Unlock()
	is("delivering", http.StatusOK, "delivering")
	later(time.Minute)
	is("delivering", http.StatusServiceUnavailable, "NATS has not taken what senders are to get for 1m0s")
	is("starting", http.StatusServiceUnavailable, "taking the slot")
	is("draining", http.StatusServiceUnavailable, "The relay is draining.")
	is("standby", http.StatusServiceUnavailable, "no other one streams from the slot")

	slot := b.cfg.Database.Slot
	cfg, err := pgconn.ParseConfig(b.cfg.Database.URL.Reveal())
	require.NoError(t, err)
	cfg.RuntimeParams["replication"] = "database"
	stream, err := pgconn.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = stream.Close(t.Context()) })
	_, err = pglogrepl.CreateReplicationSlot(t.Context(), stream, slot, "test_decoding", pglogrepl.CreateReplicationSlotOptions{Temporary: true})
	require.NoError(t, err)
	require.NoError(t, pglogrepl.StartReplication(t.Context(), stream, slot, 0, pglogrepl.StartReplicationOptions{}))
	is("standby", http.StatusOK, `"state":"standby"`)

	_, err = b.conn.Exec(t.Context(), "SELECT pg_logical_emit_message(false, 'test', $1::text)", strings.Repeat("x", 17<<20))
	require.NoError(t, err)
	_, err = b.conn.Exec(t.Context(), "SELECT pg_switch_wal()")
	require.NoError(t, err)
	is("standby", http.StatusOK, "standby") // it has a minute to confirm
	later(59 * time.Second)
	is("standby", http.StatusOK, "standby")
	later(time.Second)
	is("standby", http.StatusServiceUnavailable, "has confirmed nothing for 1m0s")
}
