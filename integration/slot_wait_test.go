package integration_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

const (
	logSlotWaits   = "the slot is being created: that waits until the transactions that are open now have ended"
	logSlotUnready = "the slot is still being created by a connection whose relay may be gone, standing by"
)

// A first start waits for the transactions that are open, and says which. A relay that comes after
// a kill -9 meanwhile does not take the dead one's connection for a relay that delivers.
func TestAFirstStartSaysWhichTransactionItWaitsFor(t *testing.T) {
	t.Parallel()
	// A server of the test's own: no slot of another test waits for its transaction.
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: pgserver.FastSettings()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := &testBundle{db: kit.OpenDatabase(t, server.URL("postgres")+"&application_name=importer", "tailpost"), receiver: kit.NewReceiver(t)}
	b.db.Migrate(t, outbox.DefaultMapping())
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }() // has an effect only after a failure
	_, err = outbox.Insert(t.Context(), tx, orders(1)...)
	require.NoError(t, err)
	config := b.db.Config(b.endpoint("erp", ""))
	config.DatabaseURL = server.URL("postgres")
	relay := kit.StartRelay(t, kit.Options{Config: config})
	waits := fmt.Sprint(relay.Await(t, logSlotWaits, nil)["for"])
	blocker := fmt.Sprintf("process %d of role \"postgres\", application \"importer\", open for ", tx.Conn().PgConn().PID())
	require.Contains(t, waits, blocker)

	relay.Kill()
	relay = kit.StartRelay(t, kit.Options{Config: config})
	require.Contains(t, relay.Await(t, logSlotUnready, nil)["error"], blocker)
	for _, record := range relay.Log() {
		require.NotEqual(t, kit.LogStandby, record["message"], "nobody delivers")
	}
	require.NoError(t, tx.Commit(t.Context()))
	relay.Await(t, kit.LogDelivering, nil)
	later := b.db.Insert(t, orders(1)...)
	b.receiver.AwaitIDs(t, "/erp", later...)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Zero(t, relay.Stop(t))
}
