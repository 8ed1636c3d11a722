package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/signature"
)

// TestARelaySaysThatAnEndpointsColumnIsGone: while it runs, when the first row comes without the
// column, and at each start, with how many endpoints get nothing or keep no order.
func TestARelaySaysThatAnEndpointsColumnIsGone(t *testing.T) {
	t.Parallel()
	db, receiver := kit.NewDatabase(t), kit.NewReceiver(t)
	o := kit.Options{Config: db.Config(
		kit.Endpoint{ID: "acme", URL: receiver.URL("/acme"), Secret: []string{signature.GenerateSecret()}, HCL: `tenant = "acme"`},
		kit.Endpoint{ID: "keyed", URL: receiver.URL("/keyed"), Secret: []string{signature.GenerateSecret()}, HCL: `ordering = "key"`},
	)}
	relay := kit.StartDelivering(t, o)
	const lost = "the outbox table has lost a column, and events come without what it held: those without a tenant go to no endpoint that has one, " +
		"those without a key are in no order of keys. Name the column that has it now in outbox.columns, or rename it back"
	const noTenant = "events have no tenant, so endpoints that have one get nothing: name the column that has it in outbox.columns"
	const noKey = "events have no key, so endpoints with ordering = \"key\" keep no order: name the column that has it in outbox.columns"
	for _, record := range relay.Log() {
		require.NotContains(t, []any{lost, noTenant, noKey}, record["message"])
	}
	// No row has come yet: what the table had at the start is what it loses.
	db.Run(t, "ALTER TABLE outbox RENAME tenant TO tenant_id")
	db.Run(t, "ALTER TABLE outbox RENAME key TO k")
	db.Run(t, "INSERT INTO outbox (type, payload, tenant_id, k) VALUES ('a.b', '{}', 'acme', 'one')")
	for _, column := range []string{"key", "tenant"} {
		require.Equal(t, "error", relay.Await(t, lost, kit.Record{"column": column})["level"])
	}
	db.AwaitAttempts(t, "keyed", 1)
	relay.Kill()
	relay = kit.StartDelivering(t, o)
	for _, text := range []string{noTenant, noKey} {
		require.EqualValues(t, 1, relay.Await(t, text, kit.Record{"table": "public.outbox"})["endpoints"])
	}

	db.Run(t, "ALTER TABLE outbox RENAME tenant_id TO tenant")
	db.Run(t, "ALTER TABLE outbox RENAME k TO key")
	db.Insert(t, outbox.Event{Type: "a.b", Tenant: "acme", Payload: []byte("{}")})
	db.AwaitAttempts(t, "acme", 1)
}
