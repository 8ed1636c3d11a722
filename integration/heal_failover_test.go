package integration_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// replicated is a primary and its streaming standby.
type replicated struct {
	primary, standby *pgserver.Server
	b                *testBundle
}

func newPair(t *testing.T) *replicated {
	t.Helper()
	settings := pgserver.FastSettings()
	settings["full_page_writes"] = "on" // the base backup needs it
	primary, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, primary.Close()) })
	b := &testBundle{db: kit.OpenDatabase(t, primary.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}
	b.db.Migrate(t, outbox.DefaultMapping())
	standby, err := primary.Standby(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, standby.Close()) })
	return &replicated{primary: primary, standby: standby, b: b}
}

// url is a connection string that finds whichever of the two is the primary.
func (p *replicated) url() string {
	return fmt.Sprintf("postgres://postgres@%s,%s/postgres?sslmode=disable&target_session_attrs=read-write", p.primary.Address(), p.standby.Address())
}

func TestAPromotedStandbyLosesNothingThatItHas(t *testing.T) {
	t.Parallel()
	t.Run("one relay", func(t *testing.T) {
		t.Parallel()
		losesNothing(t, "")
	})
	t.Run("a fleet", func(t *testing.T) {
		t.Parallel()
		losesNothing(t, kit.StartNATS(t, 1).Fanout(4, ""))
	})
}

// losesNothing has a primary crash under load and its standby promoted. fanout is the block by
// which two relays deliver together; empty: one does alone.
func losesNothing(t *testing.T, fanout string) {
	t.Helper()
	p := newPair(t)
	b := p.b
	config := b.db.Config(b.endpoint("erp", fast), b.endpoint("flaky", fast), b.endpoint("keyed", `ordering = "key"`))
	b.receiver.On("/flaky", kit.Random(7, kit.Statuses(200), kit.Statuses(500), kit.Slow(5*time.Millisecond, kit.Statuses(200))))
	config.DatabaseURL, config.More = p.url(), fanout
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	relays := []*kit.Relay{relay}
	if fanout != "" {
		relay.Await(t, logPartition, nil)
		second := kit.StartRelay(t, kit.Options{Config: config})
		second.Await(t, logPartition, nil)
		relays = append(relays, second)
	}
	version := b.db.Count(t, "SELECT current_setting('server_version_num')::int")

	// Under load, and the crash comes between two inserts or within one.
	writing, stop := context.WithCancel(t.Context())
	defer stop()
	var writer sync.WaitGroup
	writer.Go(func() {
		conn, err := pgx.Connect(writing, p.primary.URL("postgres"))
		if err != nil {
			return
		}
		defer conn.Close(context.WithoutCancel(writing))
		tick := time.NewTicker(4 * time.Millisecond) // slow enough for a busy machine to keep up
		defer tick.Stop()
		for n := 0; writing.Err() == nil; n++ {
			<-tick.C
			ev := kit.Event("order.created", fmt.Sprintf(`{"n": %d}`, n))
			ev.Key = fmt.Sprintf("k%d", n%5)
			if _, err := outbox.Insert(writing, conn, ev); err != nil {
				return // the primary is gone
			}
		}
	})
	b.db.AwaitCount(t, 300, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'erp'")
	if version >= 170000 {
		// What a failover slot is worth, its copy tells: it must have been synchronised.
		standby := kit.OpenDatabase(t, p.standby.URL("postgres"), "tailpost")
		kit.Eventually(t, 2*kit.Patience, func() error {
			b.db.Run(t, "SELECT pg_log_standby_snapshot()") // lets the slot's oldest WAL move on, which the copy waits for
			if standby.Count(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'tailpost' AND failover AND NOT temporary") == 0 {
				return errors.New("the standby has no copy of the slot")
			}
			return nil
		})
		b.db.AwaitCount(t, 600, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = 'erp'")
	}
	require.NoError(t, p.primary.Stop(t.Context(), pgserver.Immediate))
	crashed := time.Now()
	stop()
	writer.Wait()
	require.NoError(t, p.standby.Promote(t.Context()))
	b.db = kit.OpenDatabase(t, p.standby.URL("postgres"), "tailpost")
	if fanout == "" { // else any may have it
		relay.AwaitNth(t, 2, kit.LogDelivering, nil)
	}
	live := b.db.Insert(t, orders(5)...)
	b.receiver.AwaitIDs(t, "/erp", live...)
	t.Logf("delivering %s after the crash", time.Since(crashed).Round(time.Millisecond))
	kit.Eventually(t, kit.Patience, func() error {
		if n := b.gaps(t, "timeline"); n != 1 {
			return fmt.Errorf("%d gaps", n)
		}
		return nil
	})
	const undelivered = `SELECT count(*)
		FROM outbox AS o CROSS JOIN unnest(ARRAY['erp', 'flaky', 'keyed']) AS e (id)
		WHERE NOT EXISTS (SELECT FROM tailpost.attempt AS a WHERE a.event_id = o.id::text AND a.endpoint_id = e.id AND a.outcome = 'delivered')`
	kit.Eventually(t, kit.Patience, func() error {
		if n := b.db.Count(t, undelivered); n > 0 {
			return fmt.Errorf("%d deliveries are missing", n)
		}
		return nil
	})
	b.db.AwaitEmptyQueue(t)
	rows := b.db.Count(t, "SELECT count(*) FROM outbox")
	for _, endpoint := range []string{"erp", "flaky", "keyed"} {
		// A sender of a fleet may have had an event whose row the standby never got.
		require.Equal(t, rows, b.db.Count(t, `SELECT count(*)
			FROM outbox AS o
			JOIN tailpost.attempt AS a ON a.event_id = o.id::text
			WHERE a.endpoint_id = $1 AND a.outcome = 'delivered'`, endpoint), "one delivered attempt for each row at %s", endpoint)
		b.db.CheckStats(t, endpoint)
	}
	t.Logf("%d rows on the new primary; gap: %s", rows, b.db.Text(t, "SELECT why || ', ' || events || ' events' FROM tailpost.gap"))
	for _, relay := range relays {
		require.Zero(t, relay.Stop(t))
	}
}

func TestARelayWaitsForAStandbyToBePromoted(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	b := p.b
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(5)...)
	b.db.AwaitAttempts(t, "erp", 5)
	require.Zero(t, relay.Stop(t))
	require.NoError(t, p.primary.Stop(t.Context(), pgserver.Fast))

	config.DatabaseURL = p.standby.URL("postgres")
	relay = kit.StartRelay(t, kit.Options{Config: config})
	waiting := relay.Await(t, "stream ended, taking the slot again", nil)
	require.Contains(t, waiting["error"], "the server is a standby")
	require.NoError(t, p.standby.Promote(t.Context()))
	relay.Await(t, kit.LogDelivering, nil)
	b.db = kit.OpenDatabase(t, p.standby.URL("postgres"), "tailpost")
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(5)...)...))
	require.Zero(t, relay.Stop(t))
}
