package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/integration/pgserver"
	"github.com/tailpost/tailpost/outbox"
)

// senderTimeout is after how long the test's server gives up a silent relay.
const senderTimeout = 2 * time.Second

// unknowing is how many requests of a process that was stopped may go out when it wakes: one for
// each processor whose thread was between its last look and the write. They cannot know.
const unknowing = 2

// fenceBundle is a server with two relays on it, each behind a proxy of its own; the first one
// holds the slot.
type fenceBundle struct {
	*testBundle

	server  *pgserver.Server
	relays  [2]*kit.Relay
	proxies [2]*kit.Proxy
}

func newFenceBundle(t *testing.T, endpoint string) *fenceBundle {
	t.Helper()
	settings := pgserver.FastSettings()
	settings["wal_sender_timeout"] = senderTimeout.String()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Settings: settings})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	b := &fenceBundle{server: server, testBundle: &testBundle{db: kit.OpenDatabase(t, server.URL("postgres"), "tailpost"), receiver: kit.NewReceiver(t)}}
	b.db.Migrate(t, outbox.DefaultMapping())
	for i := range b.relays {
		config := b.db.Config(b.endpoint("erp", fmt.Sprintf("headers = { %q = \"%d\" }\n", relayHeader, i)+endpoint))
		b.proxies[i], config.DatabaseURL = kit.NewProxy(t, b.db.URL, uint64(i))
		b.relays[i] = kit.StartRelay(t, kit.Options{Config: config})
		b.relays[i].Await(t, []string{kit.LogDelivering, kit.LogStandby}[i], nil)
	}
	return b
}

// takeover waits until the second relay delivers, and says when that was.
func (b *fenceBundle) takeover(t *testing.T) time.Time {
	t.Helper()
	return b.relays[1].Await(t, kit.LogDelivering, nil).ReadAt()
}

// finish waits until all is delivered, and checks that the first relay sent nothing after the
// second one took over.
func (b *fenceBundle) finish(t *testing.T, ids []string, taken time.Time) {
	t.Helper()
	b.receiver.AwaitIDs(t, "/erp", ids...)
	b.db.AwaitCount(t, len(ids), "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE outcome = 'delivered'")
	b.db.AwaitEmptyQueue(t)
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Zero(t, b.db.Count(t, `
		SELECT count(*)
		FROM (SELECT FROM tailpost.attempt WHERE outcome = 'delivered' GROUP BY event_id HAVING count(*) > 1) AS twice`),
		"deliveries recorded twice")
	late := 0
	for _, r := range b.receiver.Requests("/erp") {
		if r.Header.Get(relayHeader) == "0" && r.At.After(taken) {
			late++
		}
	}
	require.LessOrEqual(t, late, unknowing, "requests of the former owner after it was replaced")
	b.db.CheckStats(t, "erp")
}

// A relay that was stopped for longer than Postgres waits finds itself replaced. What it had in
// memory it neither sends nor records, though on waking its socket is full of what Postgres sent
// before it lost patience.
func TestAStoppedRelayThatWakesSendsAndRecordsNothing(t *testing.T) {
	t.Parallel()
	b := newFenceBundle(t, "concurrency = 2\npark_after = \"30s\"")
	slow := kit.Slow(20*time.Millisecond, kit.Statuses(200))
	b.receiver.On("/erp", slow)
	ids := b.db.Insert(t, orders(300)...)
	b.receiver.Await(t, "/erp", 20)
	b.relays[0].Signal(t, syscall.SIGSTOP)
	stopped := time.Now()
	ids = append(ids, b.db.Insert(t, orders(50)...)...)
	taken := b.takeover(t)
	require.Less(t, taken.Sub(stopped), senderTimeout+30*time.Second)
	t.Logf("takeover %s after the stop, at a wal_sender_timeout of %s", taken.Sub(stopped).Round(time.Millisecond), senderTimeout)
	b.relays[0].Signal(t, syscall.SIGCONT)
	b.finish(t, ids, taken)
	b.relays[0].Await(t, kit.LogStandby, nil)
	require.Zero(t, b.relays[0].Stop(t))
}

// A crash of Postgres frees the slot at once, long before a silent relay would be given up: one
// that was stopped for just so long has no reason to doubt by the clock. What it had begun, and has
// not sent, stays unsent.
func TestAStoppedRelayThatWakesAfterACrashSendsNothing(t *testing.T) {
	t.Parallel()
	b := newFenceBundle(t, "concurrency = 64\npark_after = \"30s\"")
	// Each request takes a connection of its own, and so has begun for long before it is sent.
	b.receiver.On("/erp", func(_ context.Context, w http.ResponseWriter, _ kit.Request) int {
		w.Header().Set("Connection", "close")
		return http.StatusOK
	})
	ids := b.db.Insert(t, orders(1000)...)
	b.receiver.Await(t, "/erp", 100)
	b.relays[0].Signal(t, syscall.SIGSTOP)
	stopped := time.Now()
	require.NoError(t, b.server.Restart(t.Context(), pgserver.Immediate))
	b.db.Reset()
	taken := b.takeover(t)
	t.Logf("takeover %s after the crash", taken.Sub(stopped).Round(time.Millisecond))
	b.relays[0].Signal(t, syscall.SIGCONT)
	b.relays[0].Await(t, kit.LogStandby, nil)
	b.receiver.On("/erp", kit.Statuses(200)) // the rest is nothing new
	b.finish(t, ids, taken)
}

// A relay that is cut off from Postgres stops sending before another one can have the slot.
func TestARelayCutOffFromPostgresStopsSending(t *testing.T) {
	t.Parallel()
	b := newFenceBundle(t, "concurrency = 2\npark_after = \"30s\"")
	b.receiver.On("/erp", kit.Slow(20*time.Millisecond, kit.Statuses(200)))
	ids := b.db.Insert(t, orders(600)...)
	b.receiver.Await(t, "/erp", 20)
	b.proxies[0].Block()
	cut := time.Now()
	taken := b.takeover(t)
	t.Logf("takeover %s after the network was cut, at a wal_sender_timeout of %s", taken.Sub(cut).Round(time.Millisecond), senderTimeout)
	require.Less(t, taken.Sub(cut), senderTimeout+30*time.Second)
	kit.Eventually(t, kit.Patience, func() error {
		if n := len(b.receiver.IDs("/erp")); n < len(ids)/2 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	b.proxies[0].Unblock()
	b.finish(t, ids, taken)
}

// A rolling restart repeats nothing and loses nothing: who goes records all it sent, who comes
// skips that.
func TestARollingRestartRepeatsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/erp", kit.Slow(5*time.Millisecond, kit.Statuses(200)))
	options := kit.Options{Config: b.db.Config(b.endpoint("erp", ""))}
	relay := kit.StartDelivering(t, options)
	var ids []string
	var longest time.Duration
	for range 4 {
		next := kit.StartRelay(t, options)
		next.Await(t, kit.LogStandby, nil)
		ids = append(ids, b.db.Insert(t, orders(100)...)...)
		b.receiver.Await(t, "/erp", len(ids)-80)
		began := time.Now()
		require.Zero(t, relay.Stop(t))
		next.Await(t, kit.LogDelivering, nil)
		longest = max(longest, time.Since(began))
		relay = next
	}
	b.receiver.AwaitIDs(t, "/erp", ids...)
	b.db.AwaitAttempts(t, "erp", len(ids))
	require.Len(t, b.receiver.Requests("/erp"), len(ids))
	t.Logf("longest handover of a rolling restart: %s", longest.Round(time.Millisecond))
	require.Less(t, longest, 30*time.Second)
}
