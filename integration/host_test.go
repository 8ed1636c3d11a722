package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
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
	const noted = "SELECT count(*) FROM tailpost.configuration JOIN tailpost.relay USING (slot, epoch)"
	require.Equal(t, 1, b.db.Count(t, noted))

	// A role of an earlier release's script lacks what only a plan reads, and delivers without it.
	_, err = conn.Exec(t.Context(), "REVOKE ALL ON tailpost.configuration FROM "+roles["relay"])
	require.NoError(t, err)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	require.Contains(t, relay.Stderr(), "the role lacks grants that tailpost migrate --print has")
	require.Zero(t, b.db.Count(t, noted), "what an earlier hold noted is not taken for this one's")
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

// relaySessions are the connections of relays, with when each last began and ended a statement.
const relaySessions = `
	SELECT coalesce(string_agg(concat_ws(' ', pid, backend_type, query_start, state_change), '; ' ORDER BY pid), '')
	FROM pg_stat_activity
	WHERE application_name LIKE 'tailpost%'`

const relayConnections = `SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tailpost%'`

// A relay has three connections, whatever it does: one streams, one records, one does all else.
// Without anything to do it runs no statement, writes no WAL and takes no CPU, even with deliveries
// parked for later.
func TestAnIdleRelayDoesNothing(t *testing.T) {
	t.Parallel()
	settings := pgserver.FastSettings()
	settings["autovacuum"] = "off"
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := &testBundle{db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}
	b.db.Migrate(t, outbox.DefaultMapping())
	b.receiver.On("/later", kit.Statuses(500))
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""), b.endpoint("later", "")), Plain: true})
	b.db.Insert(t, orders(50)...)
	b.db.AwaitAttempts(t, "erp", 50)
	b.db.AwaitAttempts(t, "later", 50)
	require.Equal(t, 4, b.db.Count(t, relayConnections))

	// What the work left to do comes to an end first: Postgres' own records of it, a look at the
	// publication.
	const idle = 3 * time.Second
	look := func() string {
		return b.db.Text(t, "SELECT pg_current_wal_insert_lsn()::text") + " " + b.db.Text(t, relaySessions)
	}
	var before, after time.Duration
	kit.Eventually(t, 90*time.Second, func() error {
		was := look()
		before = processorTime(t, relay)
		timer := time.NewTimer(idle)
		defer timer.Stop()
		<-timer.C
		after = processorTime(t, relay)
		if is := look(); is != was {
			return fmt.Errorf("idle for %s, something went on: %s, then %s", idle, was, is)
		}
		return nil
	})
	t.Logf("CPU in %s of idling: %s", idle, after-before)
	// Measured: 0, and a tick of the kernel's clock, 10 ms, now and then.
	require.LessOrEqual(t, after-before, idle/100)
	require.Equal(t, 4, b.db.Count(t, relayConnections))
}

// processorTime is what the process has used of the processors.
func processorTime(t *testing.T, relay *kit.Relay) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(relay.PID()), "stat"))
	if os.IsNotExist(err) {
		t.Skip("processor time is read from /proc")
	}
	require.NoError(t, err)
	// The name, in parentheses, may hold blanks; user and system time are the 12th and 13th field
	// after it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Somebody's long lock on our tables holds up no more than what needs them: every statement gives
// up its turn after some seconds, so that nobody queues behind it, and asks again.
func TestALockOnOurTablesIsNotQueuedForWithoutEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(b.endpoint("erp", ""))})
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }() // has an effect only after a failure
	_, err = tx.Exec(t.Context(), "LOCK TABLE tailpost.attempt IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	ids := b.db.Insert(t, orders(10)...)
	b.receiver.AwaitIDs(t, "/erp", ids...)
	relay.Await(t, "recording waits for the database", nil)
	require.NoError(t, tx.Rollback(t.Context()))
	b.db.AwaitAttempts(t, "erp", len(ids))
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Len(t, b.receiver.Requests("/erp"), len(ids))
	require.LessOrEqual(t, b.db.Count(t, relayConnections+" AND datname = current_database()"), 4)
}

// So does everything else that Tailpost runs: what waits for a lock gives up, says so, and is in
// nobody's way any more.
func TestNothingOfOursWaitsLongForALock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.db.Config(b.endpoint("erp", ""))
	config.More = "api {\n  listen = \"127.0.0.1:0\"\n}"
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	address := fmt.Sprint("http://", relay.Await(t, "the API listens", nil)["address"])
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }() // has an effect only after a failure
	_, err = tx.Exec(t.Context(), "LOCK TABLE public.outbox, tailpost.endpoint, tailpost.attempt, tailpost.migration IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)

	path := writeConfig(t, config)
	for _, args := range [][]string{{"trigger", "order.created"}, {"migrate"}} {
		command := kit.Run(t, kit.Command{Args: append(args, "-c", path), Env: config.Env(), Secrets: config.Secrets()})
		require.Equal(t, 1, command.ExitCode(), command.Output())
		require.Contains(t, command.Stderr(), "lock", args)
	}
	for _, path := range []string{"/v1/endpoints", "/v1/attempts"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, http.NoBody)
		require.NoError(t, err)
		require.Equal(t, http.StatusServiceUnavailable, do(t, request), path)
	}
	require.NoError(t, tx.Rollback(t.Context()))
	ids := b.db.Insert(t, orders(3)...)
	b.exactlyOnce(t, "erp", ids)
	requireOneHold(t, relay)
	require.Zero(t, relay.Stop(t))
}

// A database that replays the changes of another one fires only triggers that always fire. The
// relay needs its own, which note since when endpoints want what, and works there as elsewhere.
func TestADatabaseThatReplaysChangesOfAnotherIsServed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.db.Run(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', current_database()); END $$`)
	b.db.Reset() // the application's sessions too
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	b.exactlyOnce(t, "erp", b.db.Insert(t, orders(3)...))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'erp' AND routed_since > now() - interval '1 hour'")
	require.Zero(t, relay.Stop(t))

	dropSlot(t, b.db)
	lost := b.db.Insert(t, orders(2)...)
	relay = kit.StartDelivering(t, kit.Options{Config: config})
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.gap WHERE events = 2")
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE event_id = ANY ($1)", lost)
	require.Zero(t, relay.Stop(t))
}

// A server that is told to have commits wait for any standby takes the relay for one. The relay,
// which confirms what it has delivered and recorded, would wait for itself.
func TestARelayThatCommitsWouldWaitForLetsGo(t *testing.T) {
	t.Parallel()
	b, _ := ownServer(t)
	b.db.Migrate(t, outbox.DefaultMapping())
	config := b.db.Config(b.endpoint("erp", ""))
	relay := kit.StartDelivering(t, kit.Options{Config: config})
	ids := b.db.Insert(t, orders(2)...)
	b.db.AwaitAttempts(t, "erp", 2)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	standbys := func(names string) {
		b.db.Run(t, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
		b.db.Run(t, "SELECT pg_reload_conf()")
	}
	standbys("*")
	b.db.Run(t, "SELECT pg_logical_emit_message(false, 'neighbour', 'x')") // no commit, which would wait
	kit.Eventually(t, kit.Patience, func() error {
		if !strings.Contains(relay.Stderr(), "with the standbys by their names") {
			return errors.New("the relay goes on")
		}
		return nil
	})
	b.db.AwaitCount(t, 0, "SELECT count(*) FROM pg_stat_replication")
	standbys("")
	b.exactlyOnce(t, "erp", append(ids, b.db.Insert(t, orders(2)...)...))
	require.Zero(t, relay.Stop(t))
}
