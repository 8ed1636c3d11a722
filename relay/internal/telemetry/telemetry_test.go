package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
)

// database answers with what a test has put there, and counts how often it is asked.
type database struct {
	answer query.Measures
	err    error
	asked  int
	known  []string
	takes  time.Duration
	bundle *bundle
}

func (d *database) Measure(_ context.Context, _ string, known []string) (query.Measures, error) {
	d.asked++
	d.known = known
	d.bundle.now = d.bundle.now.Add(d.takes)
	return d.answer, d.err
}

type bundle struct {
	*telemetry.Metrics

	database database
	now      time.Time
	status   telemetry.Status
	clocks   *telemetry.Clocks
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC), status: telemetry.Status{State: "delivering", Epoch: 3}}
	b.database.bundle = b
	b.clocks = telemetry.NewClocks(zerolog.Nop())
	b.Metrics = telemetry.New(telemetry.Options{
		Store: &b.database, Slot: "tailpost", Version: "v1", States: []string{"standby", "delivering"},
		Status: func() telemetry.Status { return b.status }, Now: func() time.Time { return b.now },
		LogDropped: func() uint64 { return 7 }, Clocks: b.clocks,
	})
	return b
}

// scrape returns every metric by its name and the values of its labels.
func (b *bundle) scrape(t *testing.T) map[string]*dto.Metric {
	t.Helper()
	text := b.Text(t.Context())
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	require.NoError(t, err)
	all := make(map[string]*dto.Metric)
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			key := name
			for _, label := range metric.GetLabel() {
				key += " " + label.GetValue()
			}
			all[key] = metric
		}
	}
	return all
}

func attempts(endpoint string, outcome outbox.Outcome, took ...time.Duration) []outbox.Attempt {
	all := make([]outbox.Attempt, len(took))
	for i := range took {
		all[i] = outbox.Attempt{EndpointID: endpoint, Outcome: outcome, Duration: took[i]}
	}
	return all
}

func TestBatchesAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Committed(&ledger.Batch{
		Attempts: append(append(attempts("erp", outbox.Delivered, time.Millisecond, 3*time.Millisecond),
			attempts("crm", outbox.Dead, time.Minute)...), attempts("erp", outbox.Retry, 2*time.Second)...),
		Park: make([]outbox.Delivery, 2), Update: make([]outbox.Delivery, 1), Remove: make([]outbox.Pair, 3),
	})
	b.Committed(&ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)})
	got := b.scrape(t)
	for name, want := range map[string]float64{
		"tailpost_attempts_total erp delivered":            3,
		"tailpost_attempts_total erp retry":                1,
		"tailpost_attempts_total erp dead":                 0,
		"tailpost_attempts_total crm dead":                 1,
		"tailpost_recorded_batches_total":                  2,
		"tailpost_log_lines_dropped_total":                 7,
		"tailpost_recorded_rows_total attempt":             5,
		"tailpost_recorded_rows_total delivery":            6,
		"tailpost_state delivering":                        1,
		"tailpost_state standby":                           0,
		"tailpost_epoch":                                   3,
		"tailpost_build_info " + runtime.Version() + " v1": 1,
	} {
		require.Contains(t, got, name)
		require.InDelta(t, want, got[name].GetCounter().GetValue()+got[name].GetGauge().GetValue(), 0, name)
	}
	erp := got["tailpost_attempt_duration_seconds erp"].GetHistogram()
	require.EqualValues(t, 4, erp.GetSampleCount())
	require.InDelta(t, 2.004, erp.GetSampleSum(), 1e-9)
	for _, bucket := range erp.GetBucket() {
		want := map[bool]uint64{true: 2, false: 3}[bucket.GetUpperBound() < 0.005]
		if bucket.GetUpperBound() >= 2 {
			want = 4
		}
		require.Equal(t, want, bucket.GetCumulativeCount(), "up to %v s", bucket.GetUpperBound())
	}
	crm := got["tailpost_attempt_duration_seconds crm"].GetHistogram()
	require.EqualValues(t, 1, crm.GetSampleCount(), "longer than every bound")
	require.Contains(t, got, "go_goroutines")
	require.Contains(t, got, "process_start_time_seconds")
}

func TestCountingABatchAllocatesNothing(t *testing.T) { //nolint:paralleltest // It counts what the whole process allocates.
	b := setup(t)
	batch := &ledger.Batch{}
	for i := range 2048 {
		batch.Attempts = append(batch.Attempts, attempts("ep_"+strconv.Itoa(i%100), outbox.Delivered, time.Millisecond)...)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() { b.Committed(batch) }))
}

func TestTheDatabaseIsAskedWhileSomebodyScrapesAndSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Committed(&ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)})
	require.Zero(t, b.database.asked, "nobody has scraped")
	settled := time.Date(2026, 3, 14, 11, 59, 58, 500_000_000, time.UTC)
	b.database.answer = query.Measures{
		Settled: 1 << 40, SettledAt: &settled, SlotActive: true, LagBytes: 7, RetainedBytes: 8, Gaps: 2,
		Queues: []query.QueueLength{{EndpointID: "crm", Pending: 5, Dead: 1}},
	}
	b.status.Oldest = b.now.Add(-90 * time.Second)
	for range 3 {
		got := b.scrape(t)
		for name, want := range map[string]float64{
			"tailpost_database_up": 1, "tailpost_settled_lsn": 1 << 40, "tailpost_settled_timestamp_seconds": 1773489598.5,
			"tailpost_slot_active": 1, "tailpost_slot_lag_bytes": 7, "tailpost_slot_retained_bytes": 8,
			"tailpost_deliveries crm pending": 5, "tailpost_deliveries crm dead": 1, "tailpost_lag_seconds": 90,
		} {
			require.Contains(t, got, name)
			require.InDelta(t, want, got[name].GetGauge().GetValue(), 1e-6, name)
		}
		require.InDelta(t, 2, got["tailpost_gaps_total"].GetCounter().GetValue(), 0)
	}
	require.Equal(t, 1, b.database.asked)
	require.Equal(t, []string{"erp"}, b.database.known)

	// One that takes long is asked less often.
	b.now, b.database.takes = b.now.Add(5*time.Second), time.Second
	b.scrape(t)
	require.Equal(t, 2, b.database.asked)
	b.now = b.now.Add(19 * time.Second)
	b.scrape(t)
	require.Equal(t, 2, b.database.asked)
	b.now = b.now.Add(time.Second)
	b.scrape(t)
	require.Equal(t, 3, b.database.asked)
}

func TestWithoutTheDatabaseTheRestIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Committed(&ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)})
	b.database.err = errors.New("out of reach")
	for range 2 {
		got := b.scrape(t)
		require.Zero(t, got["tailpost_database_up"].GetGauge().GetValue())
		require.NotContains(t, got, "tailpost_settled_lsn")
		require.InDelta(t, 1, got["tailpost_attempts_total erp delivered"].GetCounter().GetValue(), 0)
	}
	require.Equal(t, 1, b.database.asked, "one that is out of reach is left alone too")
	left, leave := context.WithCancel(t.Context())
	leave()
	b.now = b.now.Add(time.Minute)
	b.Text(left)
	b.database.err = nil
	require.InDelta(t, 1, b.scrape(t)["tailpost_database_up"].GetGauge().GetValue(), 0, "who leaves says nothing of the database")
}

func TestEndpointsThatAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Committed(&ledger.Batch{Attempts: append(attempts("kept", outbox.Delivered, 0), attempts("gone", outbox.Delivered, 0)...)})
	b.database.answer.Gone = []string{"gone"}
	require.Contains(t, b.scrape(t), "tailpost_attempts_total kept delivered")
	require.NotContains(t, b.scrape(t), "tailpost_attempts_total gone delivered")
}

func TestOnlyThisMachineIsAnswered(t *testing.T) {
	t.Parallel()
	handler := setup(t).Handler()
	for host, want := range map[string]int{
		"127.0.0.1:9090": http.StatusOK, "localhost": http.StatusOK, "[::1]:9090": http.StatusOK,
		"rebound.example:9090": http.StatusForbidden, "10.0.0.1": http.StatusForbidden,
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
		req.Host = host
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, req)
		require.Equal(t, want, answer.Code, host)
		require.Equal(t, want == http.StatusOK, bytes.Contains(answer.Body.Bytes(), []byte("tailpost_state")), host)
	}
}

func TestMeasuresOfALostDatabaseAreNotShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.database.answer = query.Measures{Settled: 1 << 40}
	require.Contains(t, b.scrape(t), "tailpost_settled_lsn")
	b.now, b.database.err = b.now.Add(time.Minute), errors.New("out of reach")
	got := b.scrape(t)
	require.Zero(t, got["tailpost_database_up"].GetGauge().GetValue())
	require.NotContains(t, got, "tailpost_settled_lsn")
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	t.Parallel()
	listener, err := telemetry.Listen(t.Context(), &config.Metrics{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	_, err = telemetry.Listen(t.Context(), &config.Metrics{Listen: "0.0.0.0:0"})
	require.ErrorContains(t, err, "127.0.0.1")
}

func TestText_namesEndpointsThatGetLess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NotContains(t, b.scrape(t), "tailpost_endpoint_admitting erp", "one line for each of many endpoints that are well")
	b.status.LocalFailures = 9
	require.InDelta(t, 9, b.scrape(t)["tailpost_local_failures_total"].GetCounter().GetValue(), 0)
	b.status.Limited = []telemetry.Limited{{Endpoint: "erp", Admitting: 12, Concurrency: 32}, {Endpoint: "crm", Admitting: 0, Concurrency: 8}}
	all := b.scrape(t)
	require.InDelta(t, 12, all["tailpost_endpoint_admitting erp"].GetGauge().GetValue(), 0)
	require.InDelta(t, 32, all["tailpost_endpoint_concurrency erp"].GetGauge().GetValue(), 0)
	require.Zero(t, all["tailpost_endpoint_admitting crm"].GetGauge().GetValue())
}
