package integration_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
)

// age fills the tables with what is old and what is not.
func (b *testBundle) age(t *testing.T) {
	t.Helper()
	b.db.Run(t, "INSERT INTO outbox (type, payload, created_at) SELECT 'old', '{}', now() - interval '2 hours' FROM generate_series(1, 5000)")
	b.db.Run(t, "INSERT INTO outbox (type, payload, created_at) SELECT 'young', '{}', now() - interval '5 minutes' FROM generate_series(1, 7)")
	b.db.Run(t, "SELECT tailpost.ensure_attempt_partitions((now() - interval '40 days')::date, 20)")
	b.db.Run(t, `INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT n::text, 'a', 'gone', 1, 'stream', 'http://x', 'delivered', 1, now() - n * interval '1 day', '0/1' FROM generate_series(21, 40) AS n`)
	b.db.Run(t, `INSERT INTO tailpost.delivery (event_id, endpoint_id, state, reason, attempts, event_type, event_created_at, commit_lsn, seq, created_at, updated_at)
		SELECT n::text, 'gone', CASE WHEN n % 2 = 0 THEN 'dead' ELSE 'pending' END, 'failed', 1, 'a', now(), '0/1', 0, now(), now() - n * interval '1 day'
		FROM generate_series(25, 34) AS n`)
	b.db.Run(t, `INSERT INTO tailpost.endpoint_stats
		SELECT e, date_trunc('hour', now()) - n * interval '1 day', n, n - 1, 1, 0, n, ARRAY[n, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]
		FROM generate_series(80, 100) AS n, unnest(ARRAY['gone', 'too']) AS e`)
}

func (b *testBundle) requireAged(t *testing.T) {
	t.Helper()
	today := b.db.Text(t, "SELECT to_char((now() - interval '30 days') AT TIME ZONE 'UTC', 'YYYYMMDD')")
	sums := "SELECT sum(attempts)::int * 1000 + sum(buckets[1])::int + sum(buckets[15])::int FROM tailpost.endpoint_stats WHERE endpoint_id = 'gone'"
	kit.Eventually(t, kit.Patience, func() error {
		if n := b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint_stats WHERE hour < now() - interval '91 days' AND hour > 'epoch'"); n > 0 {
			return fmt.Errorf("%d old hours of counters", n)
		}
		return nil
	})
	require.Equal(t, 1890*1000+1890+42, b.db.Count(t, sums), "sums over all time stay")
	require.Equal(t, 2, b.db.Count(t, "SELECT count(*) FROM tailpost.endpoint_stats WHERE hour = 'epoch'"))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM outbox WHERE type = 'old'"))
	require.Equal(t, 7, b.db.Count(t, "SELECT count(*) FROM outbox WHERE type = 'young'"))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM pg_class WHERE relname ~ '^attempt_[0-9]{8}$' AND relname < 'attempt_' || $1", today))
	require.Positive(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'gone'"))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'gone' AND state = 'dead' AND updated_at < now() - interval '31 days'"))
	require.Equal(t, 5, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'gone' AND state = 'pending'"), "what is pending is never too old")
	require.Equal(t, 2, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'gone' AND state = 'dead'"))
}

func TestWhatIsOldIsRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.age(t)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = `retention = "1h"`
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(5)...)
	b.onceAtERP(t, ids)
	b.requireAged(t)
	relay.Await(t, "settled events deleted from the outbox table", kit.Record{"events": 5000})
	require.Zero(t, relay.Stop(t))
}

// onceAtERP is exactlyOnce where other endpoints have a queue.
func (b *testBundle) onceAtERP(t *testing.T, ids []string) {
	t.Helper()
	b.receiver.AwaitIDs(t, "/erp", ids...)
	b.db.AwaitAttempts(t, "erp", len(ids))
	require.ElementsMatch(t, ids, b.receiver.IDs("/erp"))
}

func TestThePrintedRolesSufficeToHealAndToRemove(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: kit.NewEmptyDatabase(t), receiver: kit.NewReceiver(t)}
	role := "relay_" + b.db.Slot
	var script strings.Builder
	require.NoError(t, schema.Print(&script, schema.PrintOptions{
		Mapping: outbox.DefaultMapping(), Slot: b.db.Slot, Relay: role, Application: "app_" + b.db.Slot, Reader: "reader_" + b.db.Slot,
	}))
	conn, err := pgx.Connect(t.Context(), b.db.URL)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = conn.Exec(kit.Detached(t), "DROP OWNED BY "+role+" CASCADE; DROP OWNED BY app_"+b.db.Slot+" CASCADE; DROP OWNED BY reader_"+b.db.Slot+" CASCADE")
		_, _ = conn.Exec(kit.Detached(t), "DROP ROLE "+role+", app_"+b.db.Slot+", reader_"+b.db.Slot)
		_ = conn.Close(kit.Detached(t))
	})
	_, err = conn.PgConn().Exec(t.Context(), "BEGIN;"+script.String()+"; GRANT DELETE ON outbox TO "+role+"; COMMIT").ReadAll()
	require.NoError(t, err)
	b.age(t)
	u, err := url.Parse(b.db.URL)
	require.NoError(t, err)
	u.User = url.User(role)
	config := b.db.Config(b.endpoint("erp", ""))
	config.DatabaseURL = u.String()
	config.Outbox = `retention = "1h"`
	b.db.Run(t, "INSERT INTO tailpost.discarded (event_id, endpoint_id, at) VALUES ('of long ago', 'erp', now() - interval '1 year')")
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(5)...)
	b.onceAtERP(t, ids)
	b.requireAged(t)
	b.db.AwaitCount(t, 1, "SELECT count(*) WHERE NOT EXISTS (SELECT FROM tailpost.discarded)")
	require.Zero(t, relay.Stop(t))
	ids = append(ids, b.db.Insert(t, orders(5)...)...)
	dropSlot(t, b.db)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	relay.Await(t, logHealed, kit.Record{"events": 5})
	b.onceAtERP(t, ids)
	require.Zero(t, relay.Stop(t))
	require.NotContains(t, relay.Stderr(), `"level":"error"`)
}

func TestAReaderOfAttemptsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.age(t)
	reading, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = reading.Exec(t.Context(), "SELECT count(*) FROM tailpost.attempt")
	require.NoError(t, err)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	ids := b.db.Insert(t, orders(200)...)
	b.onceAtERP(t, ids)
	relay.Await(t, "not everything that is old could be removed, trying again later", kit.Record{"what": "attempts"})
	b.onceAtERP(t, append(ids, b.db.Insert(t, orders(200)...)...))
	require.NoError(t, reading.Rollback(t.Context()))
	require.Zero(t, relay.Stop(t))
	// The next relay goes on where this one was held up.
	relay = kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	relay.Await(t, "old attempts dropped", nil)
}
