package integration_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// In a database without an encoding any column may have any bytes. A row with one that is not UTF-8
// is delivered or dead with a reason, and the stream goes on behind it, also after a restart.
func TestBytesOfADatabaseWithoutEncodingStopNothing(t *testing.T) {
	t.Parallel()
	whole := kit.NewEmptyDatabase(t)
	name := "ascii_" + whole.Slot[max(0, len(whole.Slot)-12):]
	whole.Run(t, "CREATE DATABASE "+name+" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	at := strings.LastIndex(whole.URL, "/")
	_, parameters, _ := strings.Cut(whole.URL, "?")
	b := &testBundle{db: kit.OpenDatabase(t, whole.URL[:at+1]+name+"?"+parameters, whole.Slot), receiver: kit.NewReceiver(t)}
	t.Cleanup(func() {
		b.db.Close()
		ctx := context.WithoutCancel(t.Context())
		_, _ = whole.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1", name)
		_, _ = whole.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)") // the server is thrown away anyway
	})
	b.db.Run(t, "CREATE SCHEMA app; CREATE TABLE app.events (id text PRIMARY KEY, type text NOT NULL, key text, tenant text, payload text, headers text, created_at timestamptz DEFAULT now())")
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = "table = \"app.events\"\ncolumns = { id = \"id\", type = \"type\", key = \"key\", tenant = \"tenant\", payload = \"payload\", headers = \"headers\", created_at = \"created_at\" }"
	relay := kit.StartDelivering(t, kit.Options{Config: withSchema(t, config)})
	columns := []string{"id", "type", "key", "tenant", "payload", "headers"}
	insert := func(round string) (good []string) {
		for _, bad := range columns {
			values := map[string]string{"id": "'" + round + bad + "'", "type": "'a'", "key": "'k'", "tenant": "'t'", "payload": "'{}'", "headers": "'{}'"}
			values[bad] = `E'` + round + bad + `\xff'`
			if bad == "payload" || bad == "headers" {
				values[bad] = `E'{"x": "\xff"}'`
			}
			var list []string
			for _, c := range columns {
				list = append(list, values[c])
			}
			b.db.Run(t, "INSERT INTO app.events (id, type, key, tenant, payload, headers) VALUES ("+strings.Join(list, ", ")+")")
			good = append(good, round+"after."+bad)
			b.db.Run(t, "INSERT INTO app.events (id, type, payload) VALUES ('"+round+"after."+bad+"', 'a', '{}')")
		}
		return good
	}
	good := insert("one.")
	b.receiver.AwaitIDs(t, "/erp", good...)
	require.Zero(t, relay.Stop(t))
	good = append(good, insert("two.")...) // read at the start
	kit.StartDelivering(t, kit.Options{Config: config})
	b.receiver.AwaitIDs(t, "/erp", good...)
	const settled = `
		SELECT count(*) FROM (
			SELECT event_id FROM tailpost.attempt WHERE outcome = 'delivered'
			UNION
			SELECT event_id FROM tailpost.delivery WHERE state = 'dead' AND last_error <> ''
		) AS s`
	b.db.AwaitCount(t, 4*len(columns), settled)
	require.Equal(t, 4*len(columns), b.db.Count(t, "SELECT count(*) FROM app.events"))
	require.NotZero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE state = 'dead'"))
}
