package integration_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestAnEventIsNotDeliveredBeforeItsTimeNorAfterItExpired: from the table and as a message, through
// kill -9 and a restart, while the WAL is let go of.
func TestAnEventIsNotDeliveredBeforeItsTimeNorAfterItExpired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.Run(t, "ALTER TABLE outbox ADD COLUMN deliver_at timestamptz, ADD COLUMN expires_at timestamptz")
	config := b.db.Config(b.endpoint("erp", `ordering = "key"`), b.endpoint("paused", ""))
	config.Outbox = `messages = "app"
columns = { deliver_at = "deliver_at", expires_at = "expires_at" }`
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'paused'")
	const insert = "INSERT INTO outbox (id, type, key, payload, deliver_at, expires_at) VALUES ($1, 'a', $2, '{}', $3, $4)"
	const first, second, third = "0198c7a2-0000-7000-8000-000000000001", "0198c7a2-0000-7000-8000-000000000002", "0198c7a2-0000-7000-8000-000000000003"
	due := time.Now().Add(6 * time.Second)
	b.db.Run(t, insert, first, "k", due, nil)
	b.db.Run(t, insert, second, "k", nil, nil)
	b.db.Run(t, insert, third, "other", nil, due.Add(-3*time.Second))
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'app', json_build_object('id', 'message', 'type', 'a', 'deliver_at', $1::timestamptz)::text)`, due)
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'app', '{"id": "over", "type": "a", "expires_at": "2026-01-31T00:00:00Z"}')`)
	b.receiver.AwaitIDs(t, "/erp", third)
	waits := "SELECT count(*) FROM tailpost.undelivered WHERE endpoint_id = 'erp' AND state = 'pending' AND reason = 'scheduled' AND next_attempt_at = $1 AND deliver_at = $1"
	b.db.AwaitCount(t, 2, waits, due)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.undelivered WHERE endpoint_id = 'erp' AND event_id = 'over' AND state = 'dead' AND reason = 'expired' AND attempts = 0")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	relay.Kill()

	relay = kit.StartDelivering(t, kit.Options{Config: config})
	for _, r := range b.receiver.Await(t, "/erp", 4) {
		if r.ID != third {
			require.False(t, r.At.Before(due), "%s came %s too early", r.ID, due.Sub(r.At))
		}
	}
	b.receiver.AwaitIDs(t, "/erp", third, first, second, "message")
	order := b.receiver.IDs("/erp")
	require.Less(t, slices.Index(order, first), slices.Index(order, second), "what is behind it waits")
	b.db.AwaitCount(t, 0, "SELECT count(*) FROM tailpost.undelivered WHERE endpoint_id = 'erp' AND state = 'pending'")

	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'paused'")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.undelivered WHERE endpoint_id = 'paused' AND event_id = $1 AND state = 'dead' AND reason = 'expired'", third)
	b.receiver.AwaitIDs(t, "/paused", first, second, "message")
	require.NotContains(t, b.receiver.IDs("/paused"), third)
	require.Zero(t, relay.Stop(t))
}
