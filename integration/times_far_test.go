package integration_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestManyEventsForTimesFarAheadKeepNobodyWaiting: whatever clock the database shows, and however
// far ahead the times are, what is due goes out, on its time, and nothing else does. They raise no
// alarm.
func TestManyEventsForTimesFarAheadKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name := b.db.Text(t, "SELECT current_database()")
	b.db.Run(t, fmt.Sprintf("ALTER DATABASE %q SET timezone = 'Asia/Kolkata'", name))
	b.db.Run(t, "ALTER TABLE outbox ADD COLUMN due timestamp, ADD COLUMN until timestamp")
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = `columns = { deliver_at = "due", expires_at = "until" }`
	config.More = `metrics { listen = "127.0.0.1:0" }`
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	const many = 20_000
	b.db.Run(t, `INSERT INTO outbox (type, payload, due)
		SELECT 'far', '{}', CASE WHEN n % 3 = 0 THEN timestamp '9998-12-31' ELSE (now() AT TIME ZONE 'Asia/Kolkata') + interval '60 days' END
		FROM generate_series(1, $1) AS n`, many)
	const soon, over = "0198c7a2-0000-7000-8000-00000000000a", "0198c7a2-0000-7000-8000-00000000000b"
	due := time.Now().Add(3 * time.Second)
	b.db.Run(t, "INSERT INTO outbox (id, type, payload, due) VALUES ($1, 'soon', '{}', $2::timestamptz AT TIME ZONE 'Asia/Kolkata')", soon, due)
	b.db.Run(t, "INSERT INTO outbox (id, type, payload, until) VALUES ($1, 'over', '{}', $2::timestamptz AT TIME ZONE 'Asia/Kolkata')", over, due.Add(-time.Minute))
	now := b.db.Insert(t, orders(20)...)
	b.receiver.AwaitIDs(t, "/erp", now...)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.undelivered WHERE event_id = $1 AND reason = 'expired'", over)
	b.receiver.AwaitIDs(t, "/erp", soon)
	for _, r := range b.receiver.Requests("/erp") {
		if r.ID == soon {
			require.False(t, r.At.Before(due), "%s too early", due.Sub(r.At))
			require.Less(t, r.At.Sub(due), 30*time.Second)
		}
	}
	b.db.AwaitCount(t, many, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending' AND reason = 'scheduled'")
	require.Len(t, b.receiver.Requests("/erp"), 21)
	b.db.AwaitConfirmed(t, b.db.LSN(t))

	address := fmt.Sprint(relay.Await(t, "metrics are served", nil)["address"])
	seen := scrape(t, "http://"+address+"/metrics", "")
	require.Zero(t, seen.number("tailpost_oldest_pending_seconds erp"))
	require.InDelta(t, many, seen.number("tailpost_deliveries_by_reason scheduled pending"), 0)
	require.Zero(t, relay.Stop(t))
}
