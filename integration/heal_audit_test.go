package integration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// audited waits until an audit that began after now has ended.
func audited(t *testing.T, b *testBundle) {
	t.Helper()
	now := b.db.Text(t, "SELECT clock_timestamp()::text")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE slot = $1 AND audited_at > $2::text::timestamptz", b.db.Slot, now)
}

// lateAudits leave a test the time to take attempts away before what they were for is settled,
// which two audits in a row do.
const lateAudits = `audit_interval = "4s"`

func TestAnAuditFindsWhatNobodyGotAndNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("paid", `subscription {
    events = ["order.paid"]
    where  = event.data.n > 0
  }`))
	config.Outbox = lateAudits
	later := b.endpoint("new", "")
	env := kit.Config{Endpoints: []kit.Endpoint{later}}.Env()
	delete(env, "DATABASE_URL")
	relay := kit.StartDelivering(t, kit.Options{Config: config, Env: env})
	ids := b.db.Insert(t, orders(50)...)
	paid := b.db.Insert(t, kit.Event("order.paid", `{"n": 1}`), kit.Event("order.paid", `{"n": 0}`))
	ids = append(ids, paid...)
	b.exactlyOnce(t, "erp", ids)
	b.exactlyOnce(t, "paid", paid[:1])
	audited(t, b)
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.gap"), "a sound table has nothing to heal")

	// Nothing but a fault of the stream brings this about; to the audit it looks the same.
	b.db.Run(t, "INSERT INTO tailpost.discarded VALUES ($1, 'erp', now())", ids[3])
	b.db.Run(t, "DELETE FROM tailpost.attempt WHERE endpoint_id = 'paid' OR event_id = ANY ($1)", ids[:4])
	relay.Await(t, logHealed, kit.Record{"events": 4, "deliveries": 4})
	b.db.AwaitAttempts(t, "erp", len(ids)-1)
	b.db.AwaitAttempts(t, "paid", 1)
	require.Len(t, b.receiver.Requests("/erp"), len(ids)+3, "what is discarded stays so")
	require.Len(t, b.receiver.Requests("/paid"), 2)

	// A new endpoint, and one that wants more now, get what comes from now on.
	config.Endpoints[1].HCL = `subscription { events = ["order.**"] }`
	config.Endpoints = append(config.Endpoints, later)
	relay.Reload(t, config.HCL())
	relay.Await(t, kit.LogReloaded, nil)
	audited(t, b)
	audited(t, b)
	require.Empty(t, b.receiver.Requests("/new"))
	require.Len(t, b.receiver.Requests("/paid"), 2)
	require.Zero(t, relay.Stop(t))
}

func TestWhatAuditsFindCountsAsGapsOverRestarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = lateAudits
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.exactlyOnce(t, "erp", b.db.Insert(t, orders(5)...))
	for n := range 3 {
		b.db.Run(t, "DELETE FROM tailpost.attempt")
		relay.AwaitNth(t, n+1, logHealed, kit.Record{"events": 5})
		b.db.AwaitAttempts(t, "erp", 5)
	}
	b.db.Run(t, "DELETE FROM tailpost.attempt")
	for range 2 {
		require.Equal(t, 1, relay.Wait(t, kit.Patience))
		require.Contains(t, relay.Stderr(), "too many gaps in the stream: 4 within an hour, the last because an audit found events")
		relay = kit.StartRelay(t, kit.Options{Config: config})
	}
}

func TestAnAuditUnderLoadSendsNothingTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/slow", kit.Slow(20*time.Millisecond, kit.Statuses(503, 200)))
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("slow", "concurrency = 8\n"+fast), b.endpoint("down", "concurrency = 2\n timeout = \"1s\""))
	b.receiver.On("/down", kit.Hang())
	config.Outbox = `audit_interval = "1s"`
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	var ids []string
	for range 150 {
		ids = append(ids, b.db.Insert(t, orders(20)...)...)
	}
	audited(t, b)
	b.receiver.AwaitIDs(t, "/erp", ids...)
	b.db.AwaitAttempts(t, "erp", len(ids))
	require.Len(t, b.receiver.Requests("/erp"), len(ids))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.gap"))
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'audit'"))
	t.Logf("%d events", len(ids))
	relay.Kill()
}

func TestTheSlotMovedByAnotherIsHealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(5)...)
	b.db.AwaitAttempts(t, "erp", 5)
	require.Zero(t, relay.Stop(t))
	ids = append(ids, b.db.Insert(t, orders(5)...)...)
	b.db.Run(t, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", b.db.Slot)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	relay.Await(t, logHealed, kit.Record{"events": 5})
	b.exactlyOnce(t, "erp", ids)
	require.Equal(t, 1, b.gaps(t, "ahead of what was recorded"))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE audited_at IS NOT NULL")
	require.Zero(t, relay.Stop(t))

	// A clean stop leaves no doubt: the next audit is that of the interval, none comes with the
	// start.
	const last = "SELECT audited_at::text FROM tailpost.relay"
	before := b.db.Text(t, last)
	config.Outbox = `audit_interval = "4s"`
	kit.StartDelivering(t, kit.Options{Config: config})
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(1)...)...))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.relay WHERE audited_at > $1::text::timestamptz", before)
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.relay WHERE audited_at >= $1::text::timestamptz + interval '4 seconds'", before),
		"the start was audited: %s after %s", b.db.Text(t, last), before)
}

// A relay that was killed had let go of WAL without events beyond what it had recorded. Nothing can
// have been missed, so nothing is swept.
func TestAPlainCrashIsFollowedByNoAudit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(1)...)
	b.db.AwaitAttempts(t, "erp", 1)
	b.db.Run(t, "CREATE TABLE other AS SELECT generate_series(1, 1000) AS n")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	relay.Kill()
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM pg_replication_slots AS s JOIN tailpost.relay AS r ON r.slot = s.slot_name WHERE s.confirmed_flush_lsn > r.settled_lsn"),
		"otherwise this shows nothing")
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	for range 5 {
		ids = append(ids, b.db.Insert(t, orders(1)...)...)
		b.db.AwaitConfirmed(t, b.db.LSN(t))
	}
	b.exactlyOnce(t, "erp", ids)
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.relay WHERE audited_at IS NOT NULL"), "an audit was made")
	require.Zero(t, relay.Stop(t))
}

// Within what a relay lets go of without a record, a slot that somebody moves looks like one after
// a plain crash: an index of the rows' times finds at once what it has passed, without a sweep.
func TestASlotThatIsMovedAfterACrashIsHealedWithoutASweep(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(b *testBundle){
		"advanced": func(b *testBundle) {
			b.db.Run(t, "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())", b.db.Slot)
		},
		"made anew": func(b *testBundle) {
			dropSlot(t, b.db)
			b.db.Run(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", b.db.Slot)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			config := b.db.Config(b.endpoint("erp", ""))
			relay := kit.StartDelivering(t, kit.Options{Config: config})
			ids := b.db.Insert(t, orders(5)...)
			b.db.AwaitAttempts(t, "erp", 5)
			relay.Kill()
			ids = append(ids, b.db.Insert(t, orders(5)...)...)
			b.db.AwaitCount(t, 0, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active", b.db.Slot)
			test(b)
			require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM pg_replication_slots AS s JOIN tailpost.relay AS r ON r.slot = s.slot_name WHERE s.confirmed_flush_lsn > r.settled_lsn AND s.confirmed_flush_lsn <= r.released_lsn"),
				"otherwise this shows nothing")
			relay = kit.StartDelivering(t, kit.Options{Config: config})
			relay.Await(t, logHealed, kit.Record{"events": 5})
			b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(5)...)...))
			require.Equal(t, 1, b.gaps(t, "ahead of what was recorded"))
			require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.relay WHERE audited_at IS NOT NULL"), "the whole table was swept")
			require.Zero(t, relay.Stop(t))
		})
	}
}

func TestAPublicationThatIsDroppedOrChangedIsHealed(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(b *testBundle) string{
		"dropped": func(b *testBundle) string { return fmt.Sprintf(`DROP PUBLICATION %q`, b.db.Slot) },
		"created anew": func(b *testBundle) string {
			return fmt.Sprintf(`DROP PUBLICATION %[1]q; CREATE PUBLICATION %[1]q FOR TABLE outbox WITH (publish = 'insert', publish_via_partition_root = true)`, b.db.Slot)
		},
		"without the table": func(b *testBundle) string { return fmt.Sprintf(`ALTER PUBLICATION %q DROP TABLE outbox`, b.db.Slot) },
		"without inserts": func(b *testBundle) string {
			return fmt.Sprintf(`ALTER PUBLICATION %q SET (publish = 'delete')`, b.db.Slot)
		},
	} {
		for _, running := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, running %t", name, running), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				config := b.db.Config(b.endpoint("erp", ""))
				relay := kit.StartDelivering(t, kit.Options{Config: config})
				ids := b.db.Insert(t, orders(5)...)
				b.db.AwaitAttempts(t, "erp", 5)
				if !running {
					require.Zero(t, relay.Stop(t))
				}
				ids = append(ids, b.db.Insert(t, orders(1)...)...)
				for statement := range strings.SplitSeq(breakIt(b), ";") {
					b.db.Run(t, statement)
					ids = append(ids, b.db.Insert(t, orders(2)...)...)
				}
				began := time.Now()
				if !running {
					relay = kit.StartDelivering(t, kit.Options{Config: config})
				}
				relay.Await(t, logHealed, nil)
				ids = append(ids, b.db.Insert(t, orders(3)...)...)
				b.exactlyOnce(t, "erp", ids)
				t.Logf("healed after %s", time.Since(began).Round(time.Millisecond))
				require.Equal(t, 1, b.gaps(t, "publication"), b.db.Text(t, "SELECT string_agg(why, ' | ') FROM tailpost.gap"))
				require.Zero(t, relay.Stop(t))
			})
		}
	}
}

// What is changed of an endpoint comes through a publication of its own. Postgres 18 goes on in
// silence where that is gone, and every version where it publishes less.
func TestAPublicationOfEndpointsThatIsChangedIsMended(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	b.exactlyOnce(t, "erp", b.db.Insert(t, orders(2)...))
	publication := b.db.Slot + "_endpoint"
	b.db.Run(t, fmt.Sprintf("ALTER PUBLICATION %q SET (publish = 'insert')", publication))
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'erp'")
	relay.Await(t, "stream ended, taking the slot again", nil)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM pg_publication WHERE pubname = $1 AND pubupdate", publication)
	b.db.Insert(t, orders(3)...)
	b.db.AwaitCount(t, 3, "SELECT count(*) FROM tailpost.delivery WHERE reason = 'paused'")
	require.Zero(t, b.db.Count(t, "SELECT count(*) FROM tailpost.gap"), "no event was missed")
	require.Zero(t, relay.Stop(t))
}

// A start refuses an outbox table that another one inherits from. If that happens while the relay
// runs, it ends with the same reason, and once that is mended nothing is lost.
func TestAnOutboxThatIsInheritedEndsTheRelayWithTheReason(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(3)...)
	b.db.AwaitAttempts(t, "erp", 3)
	b.db.Run(t, `CREATE TABLE child () INHERITS (outbox)`)
	require.Equal(t, 1, relay.Wait(t, kit.Patience))
	require.Contains(t, relay.Stderr(), "NO INHERIT")
	b.db.Run(t, `ALTER TABLE child NO INHERIT outbox`)
	ids = append(ids, b.db.Insert(t, orders(3)...)...)
	kit.StartDelivering(t, kit.Options{Config: config})
	b.exactlyOnce(t, "erp", ids)
}

// WAL from a time without publication ends the stream at once, maybe before the relay has loaded
// what it needs: to the relay that must not look like another one that has taken the slot, or it
// would try the same again for ever.
func TestWALThatEndsTheStreamBeforeItDeliversIsHealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.db.Count(t, "SELECT current_setting('server_version_num')::int") >= 180000 {
		t.Skip("Postgres 18 warns, and streams on")
	}
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(5)...)
	b.db.AwaitAttempts(t, "erp", 5)
	require.Zero(t, relay.Stop(t))
	b.db.Run(t, fmt.Sprintf("DROP PUBLICATION %q", b.db.Slot))
	ids = append(ids, b.db.Insert(t, orders(2)...)...)
	b.db.Run(t, fmt.Sprintf("CREATE PUBLICATION %q FOR TABLE outbox WITH (publish = 'insert', publish_via_partition_root = true)", b.db.Slot))

	// It takes the slot, and then waits for its row.
	lock, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = lock.Rollback(kit.Detached(t)) })
	_, err = lock.Exec(t.Context(), "SELECT FROM tailpost.relay WHERE slot = $1 FOR UPDATE", b.db.Slot)
	require.NoError(t, err)
	relay = kit.StartRelay(t, kit.Options{Config: config})
	b.db.AwaitCount(t, 1, `SELECT count(*) FROM pg_stat_activity, pg_replication_slots
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND slot_name = $1 AND active_pid IS NULL`, b.db.Slot)
	require.NoError(t, lock.Rollback(t.Context()))
	relay.Await(t, logHealed, nil)
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(3)...)...))
	require.Equal(t, 1, b.gaps(t, "publication"))
	require.Zero(t, relay.Stop(t))
}

func TestATableCreatedAnewIsStreamedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	ids := b.db.Insert(t, orders(5)...)
	b.db.AwaitAttempts(t, "erp", 5)
	b.db.Run(t, "ALTER TABLE outbox RENAME TO outbox_old")
	b.db.Run(t, "CREATE TABLE outbox (LIKE outbox_old INCLUDING ALL)")
	ids = append(ids, b.db.Insert(t, orders(5)...)...)
	relay.Await(t, logHealed, kit.Record{"events": 5})
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(5)...)...))
	require.Equal(t, 1, b.gaps(t, "the outbox table was created anew"))
}

func TestTheStartDecidesWhatIsOlderThanTheSlot(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{`"now"`: 0, `"beginning"`: 12, `"2026-02-01T00:00:00Z"`: 7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var ids []string
			for i := range 12 {
				ev := kit.Event("order.created", fmt.Sprintf(`{"n": %d}`, i))
				ev.CreatedAt = time.Date(2026, time.January, 27+i, 0, 0, 0, 0, time.UTC)
				ids = append(ids, b.db.Insert(t, ev)...)
			}
			config := b.db.Config(b.endpoint("erp", ""), b.endpoint("strict", `ordering = "strict"`))
			config.Outbox = "start = " + name
			relay := kit.StartDelivering(t, kit.Options{Config: config})
			live := b.db.Insert(t, orders(3)...)
			wanted := append(append([]string{}, ids[12-want:]...), live...)
			b.exactlyOnce(t, "erp", wanted)
			b.exactlyOnce(t, "strict", wanted)
			require.Equal(t, wanted, b.receiver.IDs("/strict"))
			require.Zero(t, relay.Stop(t))

			// Only the first start asks.
			config.Outbox = `start = "beginning"`
			config.Endpoints = append(config.Endpoints, b.endpoint("late", ""))
			relay = kit.StartDelivering(t, kit.Options{Config: config})
			more := b.db.Insert(t, orders(1)...)
			b.exactlyOnce(t, "late", more)
			b.exactlyOnce(t, "erp", append(wanted, more...))
			require.Zero(t, relay.Stop(t))
		})
	}
}

func TestASlotThatPostgresInvalidatesIsHealed(t *testing.T) {
	t.Parallel()
	settings := pgserver.FastSettings()
	settings["max_slot_wal_keep_size"], settings["max_wal_size"], settings["min_wal_size"] = "1MB", "32MB", "32MB"
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := &testBundle{db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}
	b.db.Migrate(t, outbox.DefaultMapping())
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(5)...)
	b.db.AwaitAttempts(t, "erp", 5)
	require.Zero(t, relay.Stop(t))
	ids = append(ids, b.db.Insert(t, orders(5)...)...)
	kit.Eventually(t, kit.Patience, func() error {
		b.db.Run(t, "SELECT pg_switch_wal()")
		b.db.Run(t, "CREATE TABLE IF NOT EXISTS filler AS SELECT 1")
		b.db.Run(t, "CHECKPOINT")
		if status := b.db.Text(t, "SELECT wal_status FROM pg_replication_slots"); status != "lost" {
			b.db.Run(t, "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000))")
			return fmt.Errorf("the slot is %s", status)
		}
		return nil
	})
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	relay.Await(t, logHealed, kit.Record{"events": 5, "why": "Postgres invalidated the slot"})
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(5)...)...))
	require.Zero(t, relay.Stop(t))
}

// Postgres 18 gives up slots that nobody uses.
func TestASlotThatWasIdleForTooLongIsHealed(t *testing.T) {
	t.Parallel()
	b, _ := ownServer(t)
	if b.db.Count(t, "SELECT current_setting('server_version_num')::int") < 180000 {
		t.Skip("slots are for ever before Postgres 18")
	}
	b.db.Run(t, "ALTER SYSTEM SET idle_replication_slot_timeout = '1s'")
	b.db.Run(t, "SELECT pg_reload_conf()")
	b.db.Migrate(t, outbox.DefaultMapping())
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(5)...)
	b.db.AwaitAttempts(t, "erp", 5)
	const lost = "SELECT count(*) FROM pg_replication_slots WHERE to_jsonb(pg_replication_slots) ->> 'invalidation_reason' = 'idle_timeout'"
	b.db.Run(t, "CHECKPOINT")
	require.Zero(t, b.db.Count(t, lost), "a relay that has nothing to do uses its slot")
	require.Zero(t, relay.Stop(t))
	ids = append(ids, b.db.Insert(t, orders(5)...)...)
	kit.Eventually(t, kit.Patience, func() error {
		b.db.Run(t, "CHECKPOINT")
		if b.db.Count(t, lost) == 0 {
			return errors.New("the slot is still there")
		}
		return nil
	})
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	relay.Await(t, logHealed, kit.Record{"events": 5, "why": "Postgres invalidated the slot"})
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(5)...)...))
	require.Zero(t, relay.Stop(t))
}

func TestLogicalMessagesOfAGapAreReportedAsLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	config.Outbox = "table = \"public.outbox\"\nmessages = \"shop\""
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.db.Run(t, `SELECT pg_logical_emit_message(true, 'shop', '{"type":"a","id":"one"}')`)
	b.db.AwaitAttempts(t, "erp", 1)
	require.Zero(t, relay.Stop(t))
	dropSlot(t, b.db)
	kit.StartDelivering(t, kit.Options{Config: config}).
		Await(t, "a gap in the stream is healed as far as the outbox table goes", kit.Record{"level": "error"})
	require.Equal(t, 1, b.db.Count(t, "SELECT count(*) FROM tailpost.gap WHERE note LIKE 'logical messages%'"))
}
