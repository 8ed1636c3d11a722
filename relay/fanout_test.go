package relay_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/internal/heal"
)

// keptSpans keeps spans over the end of a relay.
type keptSpans struct{ *tracetest.InMemoryExporter }

func (keptSpans) Shutdown(context.Context) error { return nil }

// fannedBundle is a fleet of one process, and what it sends to.
type fannedBundle struct {
	*rowsBundle

	cfg   config.Config
	spans keptSpans
}

// setupFanned prepares a fleet of two partitions with endpoints of the configuration, each at the
// receiver's path of its name, that want events of type a.
func setupFanned(t *testing.T, endpoints ...string) *fannedBundle {
	t.Helper()
	b := &fannedBundle{rowsBundle: setupRows(t), spans: keptSpans{tracetest.NewInMemoryExporter()}}
	b.cfg = config.Config{
		Database: config.Database{URL: config.NewSecret(b.db.URL), Slot: b.db.Slot}, Outbox: config.Outbox{Mapping: outbox.DefaultMapping()},
		Secrets: config.Secrets{Keys: []config.Secret{config.NewSecret(sealKey)}}, Network: onLoopback,
		API:     config.API{Network: onLoopback, Listen: "127.0.0.1:0", Keys: []config.APIKey{{Name: "test", Secret: config.NewSecret(apiKey)}}},
		Metrics: config.Metrics{Listen: "127.0.0.1:0"},
		Fanout:  config.Fanout{Engine: config.EngineNATS, URL: config.NewSecret(kit.StartNATS(t, 1).URL()), Partitions: 2},
	}
	for _, id := range endpoints {
		b.cfg.Endpoints = append(b.cfg.Endpoints, config.Endpoint{
			ID: id, URL: b.receiver.URL("/" + id), Secrets: []config.Secret{config.NewSecret(b.secret)}, Subscriptions: []config.Subscription{{Events: []string{"a"}}},
		})
	}
	return b
}

// start runs the fleet until stop, which returns what Run does, and waits until it has the slot.
func (b *fannedBundle) start(t *testing.T) (r *relay.Relay, stop context.CancelFunc, done <-chan error) {
	t.Helper()
	r, err := relay.New(complete(t, &b.cfg), relay.Options{Owner: "me", Grace: kit.Patience, Spans: b.spans})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- r.Run(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	requireDelivering(t, r)
	return r, stop, ended
}

// holds counts how often partitions were taken, by processes of the fleet's name.
func (b *fannedBundle) holds(t *testing.T) int {
	t.Helper()
	return b.db.Count(t, "SELECT COALESCE(sum(epoch), 0) FROM tailpost.relay WHERE partition_of = $1 AND owner = 'me'", b.db.Slot)
}

// What a partition sends is sent, counted, traced and recorded as by a relay that delivers what it
// reads, to endpoints of either kind, in the state that they have had since before it was taken.
func TestAPartitionIsDeliveredAsASlotIs(t *testing.T) {
	t.Parallel()
	b := setupFanned(t, "erp", "paused")
	b.put(t, b.row(t, "ep_1", events("a")))
	b.cfg.Endpoints[1].Subscriptions[0].Events = []string{"*"}
	b.cfg.Endpoints[1].Retry.Schedule = slices.Repeat([]time.Duration{10 * time.Millisecond}, 20)
	b.receiver.On("/paused", kit.Statuses(http.StatusServiceUnavailable))
	_, stop, done := b.start(t)
	b.receiver.AwaitIDs(t, "/paused", b.db.Insert(t, kit.Event("b", `{}`))...)
	stop()
	require.NoError(t, <-done)
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'paused'")
	tried := len(b.receiver.Requests("/paused"))

	answer, open := kit.Gate()
	b.receiver.On("/erp", answer)
	r, stop, done := b.start(t)
	ids := b.db.Insert(t, kit.Event("a", `{}`))
	b.receiver.AwaitIDs(t, "/ep_1", ids...)
	b.receiver.AwaitIDs(t, "/erp", ids...)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'paused' AND reason = 'paused' AND event_type = 'a'")
	require.Positive(t, b.holds(t))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	status, metrics, _ := read(t, "http://"+r.MetricsAddress()+"/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, metrics, `tailpost_attempts_total{endpoint="ep_1",outcome="delivered"} 1`)
	_, erp := ask(t, http.DefaultClient, http.MethodGet, "http://"+r.APIAddress()+"/v1/endpoints/erp", "")
	admission, _ := erp["admission"].(map[string]any)
	require.InDelta(t, 1, admission["in_flight"], 0)
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'erp'") // its row's first change since it was taken
	b.receiver.AwaitIDs(t, "/ep_1", append(ids, b.db.Insert(t, kit.Event("a", `{}`))...)...)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'erp' AND reason = 'paused'")
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	stop()
	open()
	require.NoError(t, <-done)
	require.Equal(t, 3, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'"), "what was in flight is recorded")
	require.Len(t, b.receiver.Requests("/paused"), tried)
	var traced []string
	for _, span := range b.spans.GetSpans() {
		for _, is := range span.Attributes {
			if is.Key == "tailpost.endpoint" {
				traced = append(traced, is.Value.AsString())
			}
		}
	}
	slices.Sort(traced)
	require.Equal(t, []string{"ep_1", "erp", "paused"}, slices.Compact(traced))
}

// A reload has partitions go on with the endpoints of then. Only where it concerns what they have
// in memory they begin anew.
func TestAReloadReachesPartitions(t *testing.T) {
	t.Parallel()
	b := setupFanned(t, "erp", "crm")
	r, _, _ := b.start(t)
	b.db.AwaitCount(t, 2, "SELECT count(*) FROM tailpost.relay WHERE partition_of = $1 AND epoch > 0", b.db.Slot)
	first := b.db.Insert(t, kit.Event("a", `{}`))
	b.receiver.AwaitIDs(t, "/erp", first...)
	b.receiver.AwaitIDs(t, "/crm", first...)
	begun, held := b.holds(t), r.Status().Epoch

	b.cfg.Endpoints = slices.Clone(b.cfg.Endpoints)
	b.cfg.Endpoints[0].URL, b.cfg.Endpoints[1].Subscriptions = b.receiver.URL("/elsewhere"), []config.Subscription{{Events: []string{"b"}}}
	require.NoError(t, r.Reload(t.Context(), complete(t, &b.cfg)))
	second := b.db.Insert(t, kit.Event("a", `{}`), kit.Event("b", `{}`))
	b.receiver.AwaitIDs(t, "/elsewhere", second[0])
	b.receiver.AwaitIDs(t, "/crm", first[0], second[1])
	require.Equal(t, begun, b.holds(t), "they went on")
	require.Equal(t, held, r.Status().Epoch, "and so did who publishes to them")

	b.cfg.Endpoints = slices.Clone(b.cfg.Endpoints)
	b.cfg.Endpoints[0].Ordering = config.OrderingKey
	require.NoError(t, r.Reload(t.Context(), complete(t, &b.cfg)))
	third := b.db.Insert(t, kit.Event("a", `{}`))
	b.receiver.AwaitIDs(t, "/elsewhere", second[0], third[0])
	require.Greater(t, b.holds(t), begun, "they began anew")
	require.Len(t, b.receiver.Requests("/erp"), 1)
}

// What a fan-out that is given up has published and not recorded is looked for, and that is said:
// its partitions stand at several places, so that no one place tells what is missing. However often
// that is, it ends no relay.
func TestWhatAFanoutLeavesBehindIsLookedFor(t *testing.T) {
	t.Parallel()
	b := setupFanned(t, "erp")
	_, stop, done := b.start(t)
	ids := b.db.Insert(t, kit.Event("a", `{}`))
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	stop()
	require.NoError(t, <-done)
	b.db.Run(t, "UPDATE tailpost.relay SET settled_lsn = '0/1' WHERE partition_of = $1", b.db.Slot) // as where the process was killed
	const often = 5
	b.db.Run(t, `
INSERT INTO tailpost.gap (slot, at, detected_at, why, from_lsn, to_lsn, events, deliveries, note)
SELECT $1, now(), now(), $2, '0/1', '0/2', 0, 0, '' FROM generate_series(1, $3::int)`, b.db.Slot, heal.WhyPartitions, often)
	b.cfg.Fanout = config.Fanout{}
	r, _, _ := b.start(t)
	b.db.AwaitCount(t, often+1, "SELECT count(*) FROM tailpost.gap WHERE why = $1", heal.WhyPartitions)
	kit.Eventually(t, kit.Patience, func() error {
		if is := numbers(t, r); is["tailpost_audits_total"] == 0 {
			return fmt.Errorf("no audit is counted: %v", is)
		}
		return nil
	})
	require.Equal(t, ids, b.receiver.IDs("/erp"), "once: it is recorded")
}

// While something is known to be missing, what a partition has for an endpoint with an order waits
// for the audit to find it, and then goes on.
func TestAPartitionKeepsItsOrderOverAGap(t *testing.T) {
	t.Parallel()
	b := setupFanned(t, "erp")
	b.cfg.Endpoints[0].Ordering = config.OrderingKey
	insert := func() string {
		ev := kit.Event("a", `{}`)
		ev.Key = "k"
		return b.db.Insert(t, ev)[0]
	}
	_, stop, done := b.start(t)
	want := []string{insert()}
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'")
	stop()
	require.NoError(t, <-done)
	b.db.Run(t, "SELECT pg_drop_replication_slot($1)", b.db.Slot)
	want = append(want, insert())
	b.start(t)
	want = append(want, insert())
	b.receiver.AwaitIDs(t, "/erp", want...)
	require.Equal(t, want, b.receiver.IDs("/erp"))
}
