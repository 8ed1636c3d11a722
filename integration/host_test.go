package integration_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// The slot must let go of WAL that holds no event, whoever wrote it.
func TestABusyNeighbourTableDoesNotGrowTheWAL(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.Run(t, "CREATE TABLE neighbour (n int)")
	kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	for range 3 {
		b.db.Run(t, "INSERT INTO neighbour SELECT generate_series(1, 10000)")
		b.db.AwaitConfirmed(t, b.db.LSN(t))
	}
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"))
}

// What `migrate --print` prints is all that a relay needs, which owns nothing and may do little.
func TestARelayWithTheLeastPrivilegesDelivers(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	config := b.db.Config(b.endpoint("erp", fast), b.endpoint("gone", fast))
	roles := map[string]string{"relay": "relay_" + b.db.Slot, "application": "application_" + b.db.Slot, "reader": "reader_" + b.db.Slot}
	args := []string{"migrate", "--print", "-c", writeConfig(t, config)}
	for kind, name := range roles {
		args = append(args, "--"+kind+"-role", name)
	}
	printed := kit.Run(t, kit.Command{Args: args, Env: config.Env()})
	require.Zero(t, printed.ExitCode(), printed.Stderr())
	conn := kit.Connect(t, b.db.URL)
	// Roles belong to the whole cluster; the relay's sessions are gone by then.
	t.Cleanup(func() {
		for _, name := range roles {
			_, err := conn.Exec(kit.Detached(t), "DROP OWNED BY "+name)
			require.NoError(t, err)
			_, err = conn.Exec(kit.Detached(t), "DROP ROLE "+name)
			require.NoError(t, err)
		}
	})
	_, err := conn.PgConn().Exec(t.Context(), printed.Stdout()).ReadAll()
	require.NoError(t, err)

	address, err := url.Parse(b.db.URL)
	require.NoError(t, err)
	address.User = url.User(roles["relay"])
	config.DatabaseURL = address.String()
	b.receiver.On("/erp", kit.Statuses(500, 200))
	b.receiver.On("/gone", kit.Statuses(410))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	_, err = conn.Exec(t.Context(), "SET ROLE "+roles["application"])
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `INSERT INTO outbox (type, payload) VALUES ('order.created', '{"id": 1}')`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "SELECT FROM outbox")
	require.Error(t, err, "the application's role writes events and sees nothing else")
	_, err = conn.Exec(t.Context(), "RESET ROLE")
	require.NoError(t, err)

	require.Equal(t, "delivered", b.db.AwaitAttempts(t, "erp", 2)[1].Outcome)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'gone' AND status = 'disabled'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Zero(t, relay.Stop(t))

	_, err = conn.Exec(t.Context(), "SET ROLE "+roles["reader"])
	require.NoError(t, err)
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM tailpost.attempt JOIN tailpost.undelivered USING (event_id)").Scan(&n))
	require.Error(t, conn.QueryRow(t.Context(), "SELECT count(payload) FROM tailpost.delivery").Scan(&n), "people see no payloads")
	require.Error(t, conn.QueryRow(t.Context(), "SELECT count(secrets) FROM tailpost.endpoint").Scan(&n), "people see no secrets")
	_, err = conn.Exec(t.Context(), "RESET ROLE")
	require.NoError(t, err)
}
