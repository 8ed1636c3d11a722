package integration_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// TestExtraColumns: an event has the extra columns of its row however it comes: from the stream,
// from the queue after a crash, from a replay, found by the audit, in a message.
func TestExtraColumns(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	b.db.Run(t, `CREATE TYPE mood AS ENUM ('glad', 'sad');
		CREATE TABLE events (id int PRIMARY KEY, type text NOT NULL, payload json, region_code text, size float8, mood mood, flags jsonb, created_at timestamptz)`)
	endpoint := b.endpoint("erp", `format = "raw"
		retry { schedule = ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"] }
		subscription {
			where = event.extra.region != "us" || event.extra.message
			body  = [event.extra.region, event.extra.size, event.extra.mood, event.extra.flags.a, event.extra.at]
		}`)
	config := b.db.Config(endpoint)
	config.Outbox = `
		table    = "public.events"
		columns  = { extra = { region = "region_code", size = "size", mood = "mood", flags = "flags", at = "created_at" } }
		messages = "app"
		search   = { region = event.extra.region }
		start    = "beginning"`
	migrate := kit.Run(t, kit.Command{Args: []string{"migrate", "-c", writeConfig(t, config)}, Env: config.Env()})
	require.Zero(t, migrate.ExitCode(), migrate.Output())
	const insert = `INSERT INTO events VALUES ($1, 'a', '{}', $2, 1e20, 'glad', '{"a": [1, 2]}', date_trunc('day', now()))`
	want := `["eu",1e+20,"glad",[1, 2],"` + b.db.Text(t, `SELECT to_char(date_trunc('day', now()) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`) + `"]`

	b.db.Run(t, insert, 1, "eu") // before the slot: the audit brings it
	b.receiver.On("/erp", kit.Statuses(http.StatusInternalServerError))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, insert, 2, "eu")
	b.db.Run(t, insert, 3, "us")
	b.receiver.AwaitIDs(t, "/erp", "1", "2")
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.delivery WHERE attempts > 0")
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE event_id = '1' AND search = ARRAY['region=eu']"), "what an audit queues is found too")
	relay.Kill()
	b.receiver.On("/erp", kit.Statuses(http.StatusOK))
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered' AND number > 1")
	b.db.AwaitEmptyQueue(t)

	before := len(b.receiver.Requests("/erp"))
	b.db.Run(t, `INSERT INTO tailpost.replay (id, endpoint_id, types, since, until, state, created_at, updated_at)
		VALUES ('r', 'erp', '{}', now() - interval '3 days', now() + interval '1 hour', 'pending', now(), now())`)
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'tailpost', '{"due": {"endpoint": "erp"}}')`)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.replay WHERE state = 'done'")
	b.receiver.Await(t, "/erp", before+2)
	b.db.AwaitEmptyQueue(t)
	for _, r := range b.receiver.Requests("/erp") {
		require.Equal(t, want, string(r.Body), r.ID)
	}

	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'app', '{"id": "m", "type": "a", "data": {}, "extra": {"region": "us", "message": true}}')`)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE event_id = 'm' AND outcome = 'delivered'")
	require.NotContains(t, b.receiver.IDs("/erp"), "3")
	require.Zero(t, relay.Stop(t))
}
