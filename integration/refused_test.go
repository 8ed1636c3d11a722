package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// A database that refuses for good what is to be recorded, for example after a right was revoked,
// stops delivery until somebody mends it. What was sent before is not sent again meanwhile.
func TestWhatCannotBeRecordedIsNotSentAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	b.db.Run(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE 'permission denied for table attempt' USING ERRCODE = '42501'; END $$`)
	b.db.Run(t, `CREATE TRIGGER refuse BEFORE INSERT ON tailpost.attempt FOR EACH ROW EXECUTE FUNCTION refuse()`)
	ids := b.db.Insert(t, kit.Event("order.paid", `{}`))
	const tries = 5
	const waits = "Postgres refuses what is to be recorded, and delivery waits until that is mended: tailpost doctor may say how"
	record := relay.AwaitNth(t, tries, waits, nil)
	require.Equal(t, "ERROR: permission denied for table attempt (SQLSTATE 42501)", record["error"])
	require.Equal(t, ids, b.receiver.IDs("/erp"))

	b.db.Run(t, `DROP TRIGGER refuse ON tailpost.attempt`)
	attempts := b.db.AwaitAttempts(t, "erp", 1)
	require.Equal(t, "delivered", attempts[0].Outcome)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Equal(t, ids, b.receiver.IDs("/erp"), "once")
	requireOneHold(t, relay)
}
