package integration_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// scraped is the metrics of a relay, by name and values of labels.
type scraped map[string]*dto.Metric

// scrape reads the metrics as Prometheus does. Some change at every look: the caller says what it
// waits for.
func scrape(t *testing.T, url, key string) scraped {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, expfmt.TypeTextPlain, expfmt.ResponseFormat(res.Header).FormatType())
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	require.NoError(t, err)
	all := make(scraped)
	for name, family := range families {
		if strings.HasPrefix(name, "tailpost_") {
			require.NotEmpty(t, family.GetHelp(), name)
		}
		for _, metric := range family.GetMetric() {
			at := name
			for _, label := range metric.GetLabel() {
				at += " " + label.GetValue()
			}
			all[at] = metric
		}
	}
	return all
}

// number is the value of a counter or a gauge; -1: there is none.
func (s scraped) number(name string) float64 {
	m := s[name]
	if m == nil {
		return -1
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
}

func TestMetricsAgreeWithWhatIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/flaky", kit.Statuses(500, 200))
	b.receiver.On("/broken", kit.Statuses(500))
	config := b.db.Config(b.endpoint("erp", ""), b.endpoint("flaky", fast), b.endpoint("broken", `retry { schedule = ["50ms"] }`), b.endpoint("paused", ""))
	const key = "a-key-to-the-api-of-this-test"
	config.More = `
metrics { listen = "127.0.0.1:0" }
api {
  listen = "127.0.0.1:0"
  key "prometheus" {
    secret = env("API_KEY")
    scopes = ["deliveries:read"]
  }
}`
	options := kit.Options{Config: config, Env: map[string]string{"API_KEY": key}, Secrets: []string{key}}
	relay := kit.StartDelivering(t, options)
	own := fmt.Sprintf("http://%v/metrics", relay.Await(t, "metrics are served", nil)["address"])
	api := fmt.Sprintf("http://%v/metrics", relay.Await(t, "the API listens", nil)["address"])
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'paused'")
	relay.Await(t, "endpoint changed its status", kit.Record{"endpoint": "paused"})
	b.db.Run(t, `INSERT INTO tailpost.gap (slot, why, from_lsn, to_lsn, events, deliveries, detected_at, at)
		VALUES ($1, 'of the test', '0/0', '0/0', 0, 0, now(), now()), ('another', 'of another', '0/0', '0/0', 0, 0, now(), now())`, b.db.Slot)
	const events = 20
	for range events {
		b.db.Insert(t, kit.Event("order.paid", `{}`))
	}
	b.db.AwaitCount(t, events, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'broken' AND state = 'dead'")
	b.db.AwaitCount(t, 2*events, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id IN ('erp', 'flaky') AND outcome = 'delivered'")
	b.db.AwaitCount(t, events, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'paused'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))

	var got scraped
	kit.Eventually(t, kit.Patience, func() error {
		// What is committed is counted right after.
		if got = scrape(t, own, ""); got.number("tailpost_in_memory_deliveries") > 0 {
			return fmt.Errorf("%v deliveries in memory", got.number("tailpost_in_memory_deliveries"))
		}
		return nil
	})
	for _, metrics := range []scraped{got, scrape(t, api, key)} {
		for _, endpoint := range []string{"erp", "flaky", "broken", "paused"} {
			all := 0
			for _, outcome := range []string{"delivered", "retry", "dead"} {
				n := b.db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE endpoint_id = $1 AND outcome = $2", endpoint, outcome)
				if all += n; endpoint == "paused" {
					require.NotContains(t, metrics, "tailpost_attempts_total paused "+outcome)
					continue
				}
				require.InDelta(t, n, metrics.number("tailpost_attempts_total "+endpoint+" "+outcome), 0, "%s %s", endpoint, outcome)
			}
			histogram := metrics["tailpost_attempt_duration_seconds "+endpoint].GetHistogram()
			require.EqualValues(t, all, histogram.GetSampleCount())
			sum := b.db.Count(t, "SELECT COALESCE(round(sum(duration_ms) * 1000), 0)::bigint FROM tailpost.attempt WHERE endpoint_id = $1", endpoint)
			require.InDelta(t, float64(sum)/1e6, histogram.GetSampleSum(), 0.001, "the ledger rounds")
		}
		require.InDelta(t, b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"), metrics.number("tailpost_recorded_rows_total attempt"), 0)
		require.Positive(t, metrics.number("tailpost_recorded_batches_total"))
		require.EqualValues(t, 2*events, metrics["tailpost_delivery_latency_seconds"].GetHistogram().GetSampleCount(), "those that failed first too")
		rows := metrics["tailpost_recording_rows"].GetHistogram()
		require.InDelta(t, metrics.number("tailpost_recorded_rows_total attempt")+metrics.number("tailpost_recorded_rows_total delivery"), rows.GetSampleSum(), 0)
		require.Positive(t, metrics["tailpost_recording_duration_seconds"].GetHistogram().GetSampleSum())
		require.InDelta(t, b.db.Count(t, "SELECT (settled_lsn - '0/0')::bigint FROM tailpost.relay"), metrics.number("tailpost_settled_lsn"), 1<<16, "since then")
		for name, want := range map[string]float64{
			"tailpost_state delivering": 1, "tailpost_state standby": 0, "tailpost_epoch": 1, "tailpost_database_up": 1,
			"tailpost_slot_active": 1, "tailpost_gaps_total": 1, "tailpost_lag_seconds": 0, "tailpost_in_memory_bytes": 0,
			"tailpost_in_flight_requests": 0, "tailpost_reconnects_total": 0, "tailpost_audits_total complete": 0,
			"tailpost_reloads_total taken": 0, "tailpost_config_last_reload_successful": 1,
			"tailpost_deliveries broken dead": events, "tailpost_deliveries broken pending": 0, "tailpost_deliveries paused pending": events,
		} {
			require.InDelta(t, want, metrics.number(name), 0, name)
		}
		for _, name := range []string{
			"tailpost_settled_timestamp_seconds", "tailpost_config_loaded_timestamp_seconds", "tailpost_oldest_pending_seconds paused",
			"tailpost_audit_age_seconds", "tailpost_table_bytes attempt", "tailpost_table_bytes outbox", "tailpost_table_bytes other",
		} {
			require.Positive(t, metrics.number(name), name)
		}
		require.InDelta(t, 3600, metrics.number("tailpost_audit_interval_seconds"), 0)
		require.InDelta(t, events, metrics.number("tailpost_deliveries_by_reason paused pending"), 0)
		require.Zero(t, metrics.number("tailpost_unaccounted_events"))
		require.Positive(t, metrics.number("tailpost_slot_retained_bytes"))
		require.GreaterOrEqual(t, metrics.number("process_resident_memory_bytes"), 1e6)
	}

	relay.Reload(t, "database {")
	relay.Await(t, "configuration not reloaded: it is invalid, the old one stays", nil)
	b.db.Run(t, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1", b.db.Slot)
	kit.Eventually(t, kit.Patience, func() error {
		got := scrape(t, own, "")
		for name, want := range map[string]float64{
			"tailpost_reloads_total refused": 1, "tailpost_config_last_reload_successful": 0, "tailpost_reconnects_total": 1,
			"tailpost_epoch": 2,
		} {
			if got.number(name) != want {
				return fmt.Errorf("%s is %v", name, got.number(name))
			}
		}
		return nil
	})
	relay.Reload(t, config.HCL())
	relay.Await(t, kit.LogReloaded, nil)
	require.InDelta(t, 1, scrape(t, own, "").number("tailpost_config_last_reload_successful"), 0)
	require.Zero(t, relay.Stop(t))
}
