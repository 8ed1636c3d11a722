package relay_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
)

// setupTimes has an outbox table with the times of events, deliver_at without a zone.
func setupTimes(t *testing.T) *queueBundle {
	t.Helper()
	return setupQueue(t, func(c *config.Config) {
		conn, err := pgx.Connect(t.Context(), c.Database.URL.Reveal())
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), "ALTER TABLE outbox ADD COLUMN due timestamp, ADD COLUMN until timestamptz")
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		c.Outbox.Mapping = outbox.DefaultMapping()
		c.Outbox.Mapping.DeliverAt, c.Outbox.Mapping.ExpiresAt, c.Outbox.Mapping.TimeZone = "due", "until", "Asia/Tokyo"
	})
}

const ofReason = "SELECT count(*) FROM tailpost.delivery WHERE event_id = $1 AND reason = $2 AND state = $3"

// TestAResend_doesNotKeepToTheTimesOfAnEvent: who sends one event again wants it now. A replay is
// of a range, and keeps to them.
func TestAResend_doesNotKeepToTheTimesOfAnEvent(t *testing.T) {
	t.Parallel()
	b := setupTimes(t)
	b.endpoint(t, "")
	endpoint := b.endpoint(t, "")
	now := time.Now().Truncate(time.Microsecond)
	expired, later := b.timed(t, nil, now.Add(-time.Hour)), b.timed(t, now.Add(time.Hour), now.Add(2*time.Hour))
	b.awaitCount(t, 2, ofReason, expired, "expired", "dead")
	b.awaitCount(t, 2, ofReason, later, "scheduled", "pending")

	status, got := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/deliveries?event_id="+later+"&endpoint_id="+endpoint, "")
	require.Equal(t, http.StatusOK, status)
	rows, _ := got["data"].([]any)
	row, _ := rows[0].(map[string]any)
	for name, want := range map[string]time.Time{"deliver_at": now.Add(time.Hour), "next_attempt_at": now.Add(time.Hour), "expires_at": now.Add(2 * time.Hour)} {
		text, _ := row[name].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err, name)
		require.True(t, want.Equal(at), "%s %s, want %s", name, at, want)
	}
	require.Contains(t, row["explanation"], "not to be delivered before "+now.Add(time.Hour).UTC().Format("2006-01-02 15:04:05"))
	_, event := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/events/"+later, "")
	require.Equal(t, row["deliver_at"], event["deliver_at"], "a time without a zone is in that of the configuration here too")
	_, state := ask(t, http.DefaultClient, http.MethodGet, b.url+"/v1/relay", "")
	require.NotContains(t, state["queue"], "oldest_pending_at", "nothing that is due waits")

	for id, state := range map[string]string{expired: "dead", later: "pending"} {
		b.post(t, "/v1/deliveries/resend", `{"event_id": "`+id+`", "endpoint_id": "`+endpoint+`", "state": "`+state+`"}`)
		require.Equal(t, id, b.next(t))
		b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE event_id = $1", id)
		b.post(t, "/v1/deliveries/resend", `{"event_id": "`+id+`", "endpoint_id": "`+endpoint+`"}`)
		require.Equal(t, id, b.next(t), "once more, from its row")
		b.awaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE event_id = $1", id)
	}
	b.post(t, "/v1/replays", `{"endpoint_id": "`+endpoint+`", "until": "`+now.Add(time.Minute).UTC().Format(time.RFC3339)+`"}`)
	b.awaitCount(t, 2, ofReason, expired, "expired", "dead")
	b.awaitCount(t, 2, ofReason, later, "scheduled", "pending")
	require.Empty(t, b.got)
}

// TestATimeThatCannotBeMeant_isRefused: the event is dead with the reason, and is not forgotten.
func TestATimeThatCannotBeMeant_isRefused(t *testing.T) {
	t.Parallel()
	b := setupTimes(t)
	b.endpoint(t, "")
	never := b.timed(t, "infinity", nil)
	b.awaitCount(t, 1, ofReason+" AND last_error LIKE '%\"due\" is infinite%'", never, "invalid", "dead")
	id := b.timed(t, "-infinity", "infinity")
	require.Equal(t, id, b.next(t))
}
