package alerts_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/signature"
)

// seen is which alerts fired, and which of these ended, in any test, and what was scraped.
var seen struct {
	sync.Mutex
	fired, cleared map[string]bool
	shown          map[string]bool // metrics that relays showed
}

// world is a database, relays and a Prometheus of its own.
type world struct {
	*prometheus

	db       *kit.Database
	receiver *kit.Receiver
	endpoint kit.Endpoint
	outbox   string            // attributes of the outbox block
	more     string            // further blocks
	env      map[string]string // of the relay's process
}

func setup(t *testing.T) *world {
	t.Helper()
	w := &world{prometheus: newPrometheus(t), db: kit.NewDatabase(t), receiver: kit.NewReceiver(t)}
	w.endpoint = kit.Endpoint{ID: "erp", URL: w.receiver.URL("/erp"), Secret: []string{signature.GenerateSecret()}}
	return w
}

// relay runs a relay that Prometheus scrapes. Stream is the address of the stream, if another.
func (w *world) relay(t *testing.T, name, stream string) *kit.Relay {
	t.Helper()
	config := w.db.Config(w.endpoint)
	config.Outbox = w.outbox
	config.More = "metrics { listen = \"127.0.0.1:0\" }\n" + w.more
	options := kit.Options{Config: config, Env: w.env}
	if stream != "" {
		options.Env = map[string]string{"DIRECT_URL": stream}
		options.HCL = strings.Replace(config.HCL(), "database {", "database {\n  replication_url = env(\"DIRECT_URL\")", 1)
	}
	relay := kit.StartRelay(t, options)
	w.scrapes(name, fmt.Sprintf("http://%v/metrics", relay.Await(t, "metrics are served", nil)["address"]))
	return relay
}

func events(n int) []outbox.Event {
	all := make([]outbox.Event, n)
	for i := range all {
		all[i] = kit.Event("order.paid", `{}`)
	}
	return all
}

func TestNothingFiresWhereAllIsWell(t *testing.T) {
	w := setup(t)
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.relay(t, "b", "").Await(t, kit.LogStandby, nil)
	for range 75 { // more than the longest window
		w.db.Insert(t, events(1)...)
		w.minutes(t, 1)
		require.Empty(t, w.active(), "at %s", w.now)
	}
}

func TestNobodyIsScraped(t *testing.T) {
	w := setup(t)
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	address := w.targets["a"]
	w.scrapes("a", "")
	w.fires(t, "TailpostAbsent", "", 7)
	w.scrapes("a", address)
	w.clears(t, "TailpostAbsent", 1)
}

func TestTheDatabaseIsOutOfReach(t *testing.T) {
	w := setup(t)
	proxy, through := kit.NewProxy(t, w.db.URL, 1)
	direct := w.db.URL
	w.db.URL = through
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	proxy.Refuse(true)
	proxy.Cut()
	w.shows(t, func(m samples) bool { return m["tailpost_database_up"] == 0 })
	w.fires(t, "TailpostDatabaseUnreachable", "", 7)
	proxy.Refuse(false)
	w.shows(t, func(m samples) bool { return m["tailpost_database_up"] == 1 })
	w.clears(t, "TailpostDatabaseUnreachable", 1)
	w.db.URL = direct
}

func TestNobodyReadsTheSlot(t *testing.T) {
	w := setup(t)
	proxy, through := kit.NewProxy(t, w.db.URL, 1)
	relay := w.relay(t, "a", through)
	relay.Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	proxy.Refuse(true)
	proxy.Cut()
	w.shows(t, func(m samples) bool { return m["tailpost_slot_active"] == 0 && m["tailpost_database_up"] == 1 })
	w.fires(t, "TailpostSlotInactive", "", 4)
	proxy.Refuse(false)
	w.shows(t, func(m samples) bool { return m["tailpost_slot_active"] == 1 })
	w.clears(t, "TailpostSlotInactive", 1)
}

// A relay that is stopped holds the slot, as one does that hangs, until the server gives it up.
func TestARelayThatHangs(t *testing.T) {
	w := setup(t)
	const interval = 5.0
	w.outbox = `audit_interval = "5s"`
	w.lower(t, "TailpostSlotRetainsWAL", "10 * 1024 * 1024 * 1024", "16 * 1024 * 1024")
	w.db.Run(t, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET wal_sender_timeout = 300000', current_database()); END $$")
	owner := w.relay(t, "owner", "")
	owner.Await(t, kit.LogDelivering, nil)
	w.relay(t, "standby", "").Await(t, kit.LogStandby, nil)
	w.minutes(t, 12)
	w.scrapes("owner", "")
	owner.Signal(t, syscall.SIGSTOP)
	resumed := false
	defer func() {
		if !resumed {
			owner.Signal(t, syscall.SIGCONT)
		}
	}()
	w.db.Run(t, "CREATE TABLE busy AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, 40000)")
	w.shows(t, func(m samples) bool { return m["tailpost_slot_lag_bytes"] > 32<<20 })
	w.fires(t, "TailpostNoProgress", "", 13)
	w.fires(t, "TailpostSlotRetainsWAL", "", 1)
	w.shows(t, func(m samples) bool { return m["tailpost_audit_age_seconds"] > 3*interval })
	w.fires(t, "TailpostAuditOverdue", "", 7)
	owner.Signal(t, syscall.SIGCONT)
	resumed = true
	w.shows(t, func(m samples) bool {
		w.db.Run(t, "CHECKPOINT") // says to the slot that nothing older is open
		return m["tailpost_slot_retained_bytes"] < 16<<20
	})
	w.clears(t, "TailpostNoProgress", 1)
	w.clears(t, "TailpostSlotRetainsWAL", 1)
	w.shows(t, func(m samples) bool { return m["tailpost_audit_age_seconds"] < 3*interval })
	w.clears(t, "TailpostAuditOverdue", 1)
}

func TestNATSTakesNothing(t *testing.T) {
	w := setup(t)
	nats := kit.StartNATS(t, 1)
	w.more = nats.Fanout(2, `hold = "3s"`)
	w.lower(t, "TailpostFanoutAway", "> 60", "> 1")
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	nats.Stop(0)
	w.db.Insert(t, events(1)...)
	w.shows(t, func(m samples) bool { return m["tailpost_fanout_unpublished_seconds"] > 4 }) // it delivers alone
	w.fires(t, "TailpostFanoutAway", "", 3)
	nats.Start(t, 0)
	w.shows(t, func(m samples) bool {
		return m["tailpost_fanout_unpublished_seconds"] == 0 && m["tailpost_fanout_partitions_owned"] == 2
	})
	w.clears(t, "TailpostFanoutAway", 1)
}

func TestAnEndpointFails(t *testing.T) {
	w := setup(t)
	w.endpoint.HCL = `retry { schedule = ["10ms"] }`
	w.receiver.On("/erp", kit.Statuses(200))
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	sent := 0
	minutes := func(n int) {
		for range n {
			w.db.Insert(t, events(1)...)
			sent++
			w.db.AwaitCount(t, sent, "SELECT count(DISTINCT event_id) FROM tailpost.attempt WHERE outcome <> 'retry'")
			w.minutes(t, 1)
		}
	}
	minutes(12)
	require.Empty(t, w.active())
	w.receiver.On("/erp", kit.Statuses(500))
	minutes(20)
	w.fires(t, "TailpostEndpointFailing", "erp", 0)
	w.shows(t, func(m samples) bool { return m[`tailpost_deliveries endpoint="erp" state="dead"`] > 0 })
	w.fires(t, "TailpostDeadDeliveries", "erp", 2)
	w.receiver.On("/erp", kit.Statuses(200))
	minutes(11)
	w.clears(t, "TailpostEndpointFailing", 0)
	w.db.Run(t, "DELETE FROM tailpost.delivery") // as a person discards them
	w.shows(t, func(m samples) bool { _, there := m[`tailpost_deliveries endpoint="erp" state="dead"`]; return !there })
	w.clears(t, "TailpostDeadDeliveries", 1)
}

func TestABacklog(t *testing.T) {
	w := setup(t)
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	w.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'erp'")
	w.db.Run(t, "INSERT INTO outbox (type, payload) SELECT 'order.paid', '{}' FROM generate_series(1, 10001)")
	w.shows(t, func(m samples) bool { return m[`tailpost_deliveries endpoint="erp" state="pending"`] > 10000 })
	w.fires(t, "TailpostBacklog", "erp", 17)
	w.db.Run(t, "DELETE FROM tailpost.delivery")
	w.shows(t, func(m samples) bool { return m[`tailpost_deliveries endpoint="erp" state="pending"`] < 10000 })
	w.clears(t, "TailpostBacklog", 1)
}

func TestADeliveryWaitsForLong(t *testing.T) {
	w := setup(t)
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	w.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'erp'")
	w.db.Insert(t, events(2)...)
	w.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.delivery")
	w.db.Run(t, "UPDATE tailpost.delivery SET created_at = created_at - interval '2 hours' WHERE event_id = (SELECT max(event_id) FROM tailpost.delivery)")
	w.shows(t, func(m samples) bool { return m[`tailpost_oldest_pending_seconds endpoint="erp"`] > 7200 })
	w.fires(t, "TailpostOldestUndelivered", "erp", 7)
	w.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'erp'")
	w.shows(t, func(m samples) bool { _, there := m[`tailpost_oldest_pending_seconds endpoint="erp"`]; return !there })
	w.clears(t, "TailpostOldestUndelivered", 1)
}

func TestTheTablesFillTheDisk(t *testing.T) {
	w := setup(t)
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.db.Run(t, "SELECT tailpost.ensure_attempt_partitions((now() AT TIME ZONE 'UTC')::date - 1, 1)")
	w.db.Run(t, `INSERT INTO tailpost.attempt (event_id, event_type, endpoint_id, number, trigger, url, outcome, duration_ms, attempted_at, commit_lsn)
		SELECT n::text, 'a', 'erp', 1, 'stream', repeat('u', 1000), 'delivered', 1, now() - interval '24 hours', '0/0' FROM generate_series(1, 20000) AS n`)
	w.lower(t, "TailpostDiskDaysLeft", "100 * 1024 * 1024 * 1024", "100 * 1024 * 1024")
	w.shows(t, func(m samples) bool {
		return m["tailpost_attempt_growth_bytes"] > 20<<20 && m[`tailpost_table_bytes table="attempt"`] > 20<<20
	})
	w.fires(t, "TailpostDiskDaysLeft", "", 17)
	w.db.Run(t, "DO $$ BEGIN EXECUTE 'TRUNCATE tailpost.attempt_' || to_char((now() - interval '24 hours') AT TIME ZONE 'UTC', 'YYYYMMDD'); END $$")
	w.shows(t, func(m samples) bool { return m["tailpost_attempt_growth_bytes"] < 1<<20 })
	w.clears(t, "TailpostDiskDaysLeft", 1)
}

func TestAGapIsTold(t *testing.T) {
	w := setup(t)
	relay := w.relay(t, "a", "")
	relay.Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	require.Zero(t, relay.Stop(t))
	w.db.Run(t, "SELECT pg_drop_replication_slot($1)", w.db.Slot)
	w.db.Insert(t, events(1)...)
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.shows(t, func(m samples) bool { return m["tailpost_gaps_total"] == 1 })
	w.fires(t, "TailpostGap", "", 1)
	w.clears(t, "TailpostGap", 62)
}

// What takes another machine or a broken clock is put into what the relay shows.
func TestAConfigurationIsRefused(t *testing.T) {
	w := setup(t)
	relay := w.relay(t, "a", "")
	relay.Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	good, err := os.ReadFile(relay.Path)
	require.NoError(t, err)
	relay.Reload(t, "database {")
	w.shows(t, func(m samples) bool { return m["tailpost_config_last_reload_successful"] == 0 })
	w.fires(t, "TailpostConfigRefused", "", 7)
	relay.Reload(t, string(good))
	w.shows(t, func(m samples) bool { return m["tailpost_config_last_reload_successful"] == 1 })
	w.clears(t, "TailpostConfigRefused", 1)
}

// TestACertificateExpires pretends that the certificate of a real receiver is about to expire.
func TestACertificateExpires(t *testing.T) {
	w := setup(t)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	pemBlock := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})
	require.NoError(t, os.WriteFile(authority, pemBlock, 0o600))
	w.env = map[string]string{"SSL_CERT_FILE": authority}
	w.endpoint.URL = receiver.URL
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.db.Insert(t, events(1)...)
	const name = "tailpost_certificate_expiry_timestamp_seconds"
	w.shows(t, func(m samples) bool {
		return m[name+` endpoint="erp"`] == float64(receiver.Certificate().NotAfter.Unix())
	})
	w.minutes(t, 20)
	require.Empty(t, w.active())
	w.pretend = map[string]float64{name: float64(w.now.Add(13 * 24 * time.Hour).Unix())}
	w.fires(t, "TailpostCertificateExpires", "erp", 17)
	w.pretend = nil
	w.clears(t, "TailpostCertificateExpires", 1)
}

func TestWhatCannotBeBrokenHere(t *testing.T) {
	w := setup(t)
	w.relay(t, "a", "").Await(t, kit.LogDelivering, nil)
	w.minutes(t, 2)
	w.pretend = map[string]float64{"tailpost_database_clock_ahead_seconds": -45}
	w.fires(t, "TailpostClockSkew", "", 7)
	w.pretend = nil
	w.clears(t, "TailpostClockSkew", 1)
	for failures := range 8 {
		w.pretend = map[string]float64{"tailpost_local_failures_total": float64(failures)}
		w.minutes(t, 1)
	}
	w.fires(t, "TailpostShortOfResources", "", 0)
	w.clears(t, "TailpostShortOfResources", 12)
}

// TestZEveryRuleWasSeen comes last.
func TestZEveryRuleWasSeen(t *testing.T) {
	if testing.Short() || seen.fired == nil {
		t.Skip("the other tests did not run")
	}
	for _, rule := range newPrometheus(t).rules {
		require.True(t, seen.fired[rule.Name()], "%s never fired", rule.Name())
		require.True(t, seen.cleared[rule.Name()], "%s never ended", rule.Name())
	}
}

// TestEveryRuleHasARunbook looks for the section that runbook_url leads to.
func TestEveryRuleHasARunbook(t *testing.T) {
	document := read(t, filepath.Join("docs", "alerts.md"))
	for _, rule := range newPrometheus(t).rules {
		require.Contains(t, document, "\n## "+rule.Name()+"\n")
		require.Equal(t, "https://github.com/tailpost/tailpost/blob/main/docs/alerts.md#"+strings.ToLower(rule.Name()), rule.Annotations().Get("runbook_url"))
		require.NotEmpty(t, rule.Annotations().Get("summary"), rule.Name())
		require.Contains(t, []string{"critical", "warning"}, rule.Labels().Get("severity"), rule.Name())
		require.LessOrEqual(t, rule.HoldDuration(), time.Hour)
	}
}
