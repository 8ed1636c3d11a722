package integration_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// locked runs sql in a transaction that stays open, and its locks with it, until release.
func (b *testBundle) locked(t *testing.T, sql string, args ...any) (release func()) {
	t.Helper()
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }
}

// awaitLocked waits until somebody else waits for a lock.
func (b *testBundle) awaitLocked(t *testing.T) {
	t.Helper()
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM (SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() LIMIT 1) AS w")
}

// A reload that comes while the slot is being taken is not lost, whichever endpoints come and go by
// it.
func TestAReloadWhileTheSlotIsTakenTakesEffect(t *testing.T) {
	t.Parallel()
	for name, blocks := range map[string]string{
		"before the endpoints are known": "SELECT FROM tailpost.relay FOR UPDATE",
		"when they are":                  "LOCK TABLE tailpost.delivery IN ACCESS EXCLUSIVE MODE",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			stays, goes, comes := b.endpoint("stays", ""), b.endpoint("goes", ""), b.endpoint("comes", "")
			config := b.db.Config(stays, goes)
			env := b.db.Config(stays, goes, comes).Env()
			relay := kit.StartDelivering(t, kit.Options{Config: config, Env: env})
			require.Zero(t, relay.Stop(t))

			release := b.locked(t, blocks)
			relay = kit.StartRelay(t, kit.Options{Config: config, Env: env})
			b.awaitLocked(t)
			config.Endpoints = []kit.Endpoint{stays, comes}
			relay.Reload(t, config.HCL())
			relay.Await(t, kit.LogReloaded, nil)
			release()
			relay.Await(t, kit.LogDelivering, nil)
			ids := b.db.Insert(t, orders(3)...)
			b.exactlyOnce(t, "stays", ids)
			b.exactlyOnce(t, "comes", ids)
			require.Empty(t, b.receiver.Requests("/goes"))
			require.Zero(t, relay.Stop(t))
		})
	}
}

// The row of an endpoint says whether it is paused, whatever a reload has read before.
func TestAReloadUndoesNoPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.exactlyOnce(t, "erp", b.db.Insert(t, orders(1)...))

	release := b.locked(t, "LOCK TABLE tailpost.delivery IN ACCESS EXCLUSIVE MODE")
	config.Endpoints[0].HCL = `description = "another"`
	relay.Reload(t, config.HCL())
	b.awaitLocked(t)
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused', updated_at = now() WHERE id = 'erp'")
	release()
	relay.Await(t, kit.LogReloaded, nil)
	relay.Await(t, "endpoint changed its status", kit.Record{"status": "paused"})
	b.db.Insert(t, orders(2)...)
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'paused'")
	require.Len(t, b.receiver.Requests("/erp"), 1)
	require.Equal(t, "paused", b.db.Text(t, "SELECT status FROM tailpost.endpoint"))
	require.Zero(t, relay.Stop(t))
}

// An endpoint that was paused, and that a deploy leaves out and the next one has again, gets
// nothing before somebody resumes it.
func TestAPauseOutlivesADeployThatLeavesTheEndpointOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	erp, crm := b.endpoint("erp", ""), b.endpoint("crm", "")
	config := b.db.Config(erp, crm)
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'erp'")
	relay.Await(t, "endpoint changed its status", kit.Record{"status": "paused"})
	before := b.db.Insert(t, orders(2)...)
	b.db.AwaitCount(t, len(before), "SELECT count(*) FROM tailpost.delivery WHERE reason = 'paused'")
	for n, endpoints := range [][]kit.Endpoint{{crm}, {erp, crm}} {
		config.Endpoints = endpoints
		relay.Reload(t, config.HCL())
		relay.AwaitNth(t, n+1, kit.LogReloaded, nil)
	}
	after := b.db.Insert(t, orders(2)...)
	b.receiver.AwaitIDs(t, "/crm", append(before, after...)...)
	b.db.AwaitCount(t, len(before)+len(after), "SELECT count(*) FROM tailpost.delivery WHERE reason = 'paused'")
	require.Empty(t, b.receiver.Requests("/erp"))
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'erp'")
	b.exactlyOnce(t, "erp", append(before, after...))
	require.Zero(t, relay.Stop(t))
}

// A reload that cannot be written changes nothing.
func TestAReloadThatFailsChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	erp, crm, taken := b.endpoint("erp", ""), b.endpoint("crm", ""), b.endpoint("taken", "")
	config := b.db.Config(erp)
	relay := kit.StartDelivering(t, kit.Options{Config: config, Env: b.db.Config(erp, crm, taken).Env()})
	b.db.Tx(t, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `
			INSERT INTO tailpost.endpoint (id, name, url, description, subscriptions, policy, status, source, created_at, updated_at)
			VALUES ('taken', 'taken', 'https://example.com', '', '[{"events": ["nothing"]}]', '{}', 'disabled', 'api', now(), now())`)
		return err
	})
	for n, ordering := range []string{"none", "strict"} { // the second one would have the hold begin again
		changed := erp
		changed.HCL = fmt.Sprintf("ordering = %q", ordering)
		config.Endpoints = []kit.Endpoint{changed, crm, taken}
		relay.Reload(t, config.HCL())
		relay.AwaitNth(t, n+1, "configuration not reloaded, the old one stays", nil)
	}
	// Nor what the next hold begins with.
	b.db.Run(t, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", b.db.Slot)
	relay.AwaitNth(t, 2, kit.LogDelivering, nil)
	b.exactlyOnce(t, "erp", b.db.Insert(t, orders(2)...))
	require.Empty(t, b.receiver.Requests("/crm"))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'crm'"))
	require.Zero(t, relay.Stop(t))
}

// What only a restart can change is named, and the rest of the file takes effect.
func TestAReloadTakesWhatItCan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	erp, crm := b.endpoint("erp", ""), b.endpoint("crm", "")
	config := b.db.Config(erp)
	relay := kit.StartDelivering(t, kit.Options{Config: config, Env: b.db.Config(erp, crm).Env()})
	config.Endpoints = append(config.Endpoints, crm)
	config.Outbox = `retention = "24h"`
	relay.Reload(t, config.HCL())
	record := relay.Await(t, "configuration reloaded, but for what only a restart can change", nil)
	require.Contains(t, record["error"], "the outbox block changed: restart tailpost")
	ids := b.db.Insert(t, orders(2)...)
	b.exactlyOnce(t, "erp", ids)
	b.exactlyOnce(t, "crm", ids)
	require.Zero(t, relay.Stop(t))
}
