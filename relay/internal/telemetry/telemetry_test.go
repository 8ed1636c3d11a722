package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
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

	sizing  time.Duration // how long it takes
	leaving func()        // whoever asks leaves meanwhile; nil: nobody does

	sizes       schema.Sizes
	sizesErr    error
	countErr    error // of the unaccounted ones
	sized       int   // how often it was asked for sizes
	unaccounted int
}

func (d *database) Sizes(_ context.Context, retention time.Duration, _ time.Time) (schema.Sizes, error) {
	if retention != 720*time.Hour {
		return schema.Sizes{}, errors.New("not the configuration's")
	}
	d.sized++
	if d.leaving != nil {
		d.leaving()
	}
	d.bundle.now = d.bundle.now.Add(d.sizing)
	return d.sizes, d.sizesErr
}

func (d *database) Measure(_ context.Context, slot string, known []string) (query.Measures, error) {
	if slot != "tailpost" {
		return query.Measures{}, errors.New("not the configuration's")
	}
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
	rare     telemetry.Rare

	certificates telemetry.Certificates
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{now: time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC), status: telemetry.Status{State: "delivering", Epoch: 3}}
	b.database.bundle = b
	b.clocks = telemetry.NewClocks(zerolog.Nop())
	b.Metrics = telemetry.New(telemetry.Options{
		Store: &b.database, Slot: "tailpost", Version: "v1", States: []string{"standby", "delivering"},
		Status: func() telemetry.Status { return b.status }, Now: func() time.Time { return b.now },
		LogDropped: func() uint64 { return 7 }, Clocks: b.clocks, Certificates: &b.certificates, Rare: &b.rare,
		Settings: func() telemetry.Settings {
			return telemetry.Settings{AuditInterval: time.Hour, Retention: 720 * time.Hour, LoadedAt: time.Unix(1_700_000_000, 0)}
		},
		Unaccounted: func(context.Context) (int, error) { return b.database.unaccounted, b.database.countErr },
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
	b.Committed(telemetry.Recorded{
		Batch: &ledger.Batch{
			Attempts: append(append(attempts("erp", outbox.Delivered, time.Millisecond, 3*time.Millisecond),
				attempts("crm", outbox.Dead, time.Minute)...), attempts("erp", outbox.Retry, 2*time.Second)...),
			Park: make([]outbox.Delivery, 2), Update: make([]outbox.Delivery, 1), Remove: make([]ledger.QueueRow, 3),
		},
		Took: 3 * time.Millisecond, Waited: []time.Duration{4 * time.Millisecond, 2 * time.Hour, -time.Second},
	})
	b.Committed(telemetry.Recorded{Batch: &ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)}})
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
	require.Len(t, erp.GetBucket(), 15, "1 ms to 30 s, and what takes longer")
	for _, bucket := range erp.GetBucket() {
		want := map[bool]uint64{true: 2, false: 3}[bucket.GetUpperBound() < 0.005]
		if bucket.GetUpperBound() >= 2 {
			want = 4
		}
		require.Equal(t, want, bucket.GetCumulativeCount(), "up to %v s", bucket.GetUpperBound())
	}
	took := got["tailpost_recording_duration_seconds"].GetHistogram()
	require.EqualValues(t, 2, took.GetSampleCount())
	require.InDelta(t, 0.003, took.GetSampleSum(), 1e-9)
	rows := got["tailpost_recording_rows"].GetHistogram()
	require.EqualValues(t, 2, rows.GetSampleCount())
	require.InDelta(t, 11, rows.GetSampleSum(), 0)
	waited := got["tailpost_delivery_latency_seconds"].GetHistogram()
	require.EqualValues(t, 3, waited.GetSampleCount())
	require.InDelta(t, 7200.004, waited.GetSampleSum(), 1e-9, "a clock that is behind takes nothing away")
	for _, bucket := range waited.GetBucket() {
		want := uint64(1)
		switch bound := bucket.GetUpperBound(); {
		case bound >= 2*3600:
			want = 3
		case bound >= 0.004:
			want = 2
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
	batch := telemetry.Recorded{Batch: &ledger.Batch{}, Waited: make([]time.Duration, 2048)}
	for i := range 2048 {
		batch.Attempts = append(batch.Attempts, attempts("ep_"+strconv.Itoa(i%100), outbox.Delivered, time.Millisecond)...)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() { b.Committed(batch) }))
}

func TestTheDatabaseIsAskedWhileSomebodyScrapesAndSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Committed(telemetry.Recorded{Batch: &ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)}})
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
	b.Committed(telemetry.Recorded{Batch: &ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)}})
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

// TestAThousandEndpointsHaveTheirOwnLabels: whoever scrapes a relay with a hundred thousand
// endpoints is not flooded, and sums stay right.
func TestAThousandEndpointsHaveTheirOwnLabels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const endpoints = 1100
	batch := &ledger.Batch{}
	for i := range endpoints {
		id := "ep_" + strconv.Itoa(i)
		batch.Attempts = append(batch.Attempts, attempts(id, outbox.Delivered, time.Second)...)
		b.status.Limited = append(b.status.Limited, telemetry.Limited{Endpoint: id})
		queue := query.QueueLength{EndpointID: id, Pending: int64(i + 1), Dead: 1}
		if at := b.now.Add(-time.Duration(37*i%100) * time.Second); i%2 == 1 {
			queue.Oldest = &at
		}
		b.database.answer.Queues = append(b.database.answer.Queues, queue)
	}
	b.database.answer.Queues[0] = query.QueueLength{EndpointID: "ep_0", Dead: 5000}
	b.Committed(telemetry.Recorded{Batch: batch})
	b.Committed(telemetry.Recorded{Batch: &ledger.Batch{Attempts: attempts("ep_7", outbox.Retry, 0)}})
	got := b.scrape(t)
	require.InDelta(t, 1, got["tailpost_attempts_total ep_7 retry"].GetCounter().GetValue(), 0, "who has a label keeps it")
	labelled, attempts, pending := make(map[string]int), 0.0, 0.0
	for name, metric := range got {
		family, _, _ := strings.Cut(name, " ")
		labelled[family]++
		attempts += metric.GetCounter().GetValue() * float64(strings.Count(family, "attempts_total"))
		pending += metric.GetGauge().GetValue() * float64(strings.Count(name, " pending"))
	}
	for family, most := range map[string]int{
		"tailpost_attempts_total": 3 * 1001, "tailpost_attempt_duration_seconds": 1001, "tailpost_deliveries": 2 * 1001,
		"tailpost_oldest_pending_seconds": 1001, "tailpost_endpoint_admitting": 1000, "tailpost_endpoint_concurrency": 1000,
	} {
		require.Equal(t, most, labelled[family], family)
	}
	require.InDelta(t, endpoints+1, attempts, 0)
	require.InDelta(t, endpoints*(endpoints+1)/2-1, pending, 0)
	require.InDelta(t, 100, got["tailpost_attempt_duration_seconds (other)"].GetHistogram().GetSampleSum(), 1e-9)
	// The longest queues are those that somebody looks for.
	require.InDelta(t, 5000, got["tailpost_deliveries ep_0 dead"].GetGauge().GetValue(), 0)
	require.InDelta(t, 101*102/2-1, got["tailpost_deliveries (other) pending"].GetGauge().GetValue(), 0)
	require.InDelta(t, 100, got["tailpost_deliveries (other) dead"].GetGauge().GetValue(), 0)
	require.InDelta(t, 99, got["tailpost_oldest_pending_seconds (other)"].GetGauge().GetValue(), 0)
	require.Len(t, b.database.known, 1000, "the others are no endpoint")
	require.Equal(t, "ep_1", b.database.answer.Queues[1].EndpointID, "other scrapes read the same answer")
	b.database.answer.Queues, b.now = b.database.answer.Queues[:1000], b.now.Add(time.Minute)
	require.NotContains(t, b.scrape(t), "tailpost_deliveries (other) pending", "there are no others")
}

func TestWhatIsSeldomIsCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.InDelta(t, 1, b.scrape(t)["tailpost_config_last_reload_successful"].GetGauge().GetValue(), 0)
	b.status.InFlight, b.status.Deliveries, b.status.Bytes = 12, 40, 4096
	b.rare.Reconnected()
	b.rare.Audited(nil)
	b.rare.Audited(nil)
	b.rare.Audited(errors.New("locked"))
	b.rare.Reloaded(false)
	b.rare.Reloaded(true)
	b.rare.Invalid()
	for name, want := range map[string]float64{
		"tailpost_reconnects_total": 1, "tailpost_audits_total complete": 2, "tailpost_audits_total failed": 1,
		"tailpost_reloads_total taken": 1, "tailpost_reloads_total refused": 1, "tailpost_config_last_reload_successful": 0,
		"tailpost_in_flight_requests": 12, "tailpost_in_memory_deliveries": 40, "tailpost_in_memory_bytes": 4096, "tailpost_invalid_payloads_total": 1,
	} {
		metric := b.scrape(t)[name]
		require.InDelta(t, want, metric.GetCounter().GetValue()+metric.GetGauge().GetValue(), 0, name)
	}
	b.rare.Reloaded(false)
	require.InDelta(t, 1, b.scrape(t)["tailpost_config_last_reload_successful"].GetGauge().GetValue(), 0)
}

func TestCertificatesAreShownUntilTheirEndpointsAreGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 1002 {
		b.certificates.Presented("ep_"+strconv.Itoa(i), b.now.Add(time.Duration(1002-i)*time.Hour))
	}
	b.certificates.Presented("ep_500", b.now.Add(time.Minute))
	const name = "tailpost_certificate_expiry_timestamp_seconds "
	got := b.scrape(t)
	require.InDelta(t, b.now.Add(time.Minute).Unix(), got[name+"ep_500"].GetGauge().GetValue(), 0, "the last one counts")
	require.InDelta(t, b.now.Add(time.Hour).Unix(), got[name+"ep_1001"].GetGauge().GetValue(), 0)
	require.NotContains(t, got, name+"ep_1", "a thousand are shown, those that expire first")
	require.Contains(t, got, name+"ep_2")
	require.Contains(t, b.database.known, "ep_500")
	b.database.answer.Gone, b.now = []string{"ep_500"}, b.now.Add(time.Minute)
	b.scrape(t)
	require.NotContains(t, b.scrape(t), name+"ep_500")
}

// TestTheWALOfASessionIsCountedOnce: a session counts what it wrote since it began, and another one
// may get its process id.
func TestTheWALOfASessionIsCountedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NotContains(t, b.scrape(t), "tailpost_wal_written_bytes_total", "an older server does not say")
	first, second := query.Session{PID: 1, Started: b.now}, query.Session{PID: 1, Started: b.now.Add(time.Minute)}
	for i, now := range [][]query.Written{
		{{Session: first, Bytes: 100}}, {{Session: first, Bytes: 150}}, {{Session: second, Bytes: 30}}, {}, {{Session: second, Bytes: 7}},
	} {
		b.now, b.database.answer.Written = b.now.Add(time.Minute), now
		want := []float64{100, 150, 180, 180, 187}[i]
		require.InDelta(t, want, b.scrape(t)["tailpost_wal_written_bytes_total"].GetCounter().GetValue(), 0)
	}
}

func TestEndpointsThatAreGoneAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Committed(telemetry.Recorded{Batch: &ledger.Batch{Attempts: append(attempts("kept", outbox.Delivered, 0), attempts("gone", outbox.Delivered, 0)...)}})
	b.database.answer.Gone = []string{"gone"}
	require.Contains(t, b.scrape(t), "tailpost_attempts_total kept delivered")
	require.NotContains(t, b.scrape(t), "tailpost_attempts_total gone delivered")
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

func TestWhatWaitsAndWhatGrowsIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	queued, audited, safe, growth := b.now.Add(-2*time.Hour), b.now.Add(-3*time.Hour), int64(5), int64(77)
	b.database.answer = query.Measures{
		AuditedAt: &audited, SafeBytes: &safe, Gaps: 2, Healed: 9,
		Queues:  []query.QueueLength{{EndpointID: "crm", Pending: 5, Dead: 1, Oldest: &queued}, {EndpointID: "erp", Dead: 1}},
		Reasons: []query.ReasonCount{{State: "pending", Reason: "paused", Count: 5}},
	}
	b.database.sizes = schema.Sizes{Attempts: 1, Deliveries: 2, Other: 3, Outbox: 4, Growth: &growth}
	b.database.unaccounted = 6
	got := b.scrape(t)
	for name, want := range map[string]float64{
		"tailpost_oldest_pending_seconds crm": 7200, "tailpost_oldest_pending_seconds erp": 0, "tailpost_audit_age_seconds": 10800,
		"tailpost_audit_interval_seconds": 3600, "tailpost_config_loaded_timestamp_seconds": 1_700_000_000, "tailpost_slot_safe_bytes": 5,
		"tailpost_deliveries_by_reason paused pending": 5, "tailpost_table_bytes attempt": 1, "tailpost_table_bytes delivery": 2,
		"tailpost_table_bytes other": 3, "tailpost_table_bytes outbox": 4, "tailpost_attempt_growth_bytes": 77, "tailpost_unaccounted_events": 6,
	} {
		require.Contains(t, got, name)
		require.InDelta(t, want, got[name].GetGauge().GetValue(), 1e-6, name)
	}
	require.InDelta(t, 9, got["tailpost_gap_events_total"].GetCounter().GetValue(), 0)

	// What takes reading files and rows is measured seldom, and what cannot be measured is not
	// shown.
	b.now = b.now.Add(29 * time.Second)
	b.scrape(t)
	require.Equal(t, 1, b.database.sized)
	b.database.sizesErr, b.database.countErr = errors.New("the table is locked"), errors.New("the table is locked")
	b.now = b.now.Add(5 * time.Second)
	got = b.scrape(t)
	require.Equal(t, 2, b.database.sized)
	require.InDelta(t, 1, got["tailpost_database_up"].GetGauge().GetValue(), 0)
	for _, name := range []string{"tailpost_table_bytes attempt", "tailpost_attempt_growth_bytes", "tailpost_unaccounted_events"} {
		require.NotContains(t, got, name)
	}
	b.now, b.database.sizing = b.now.Add(time.Minute), 10*time.Second
	b.scrape(t)
	for _, seconds := range []int{195, 5} { // since it ended: twenty times as long as it took
		require.Equal(t, 3, b.database.sized)
		b.now = b.now.Add(time.Duration(seconds) * time.Second)
		b.scrape(t)
	}
	require.Equal(t, 4, b.database.sized)
}

// fill has all metrics shown.
func (b *bundle) fill() {
	now, n := b.now, int64(1)
	b.Committed(telemetry.Recorded{Batch: &ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)}})
	b.status.Limited = []telemetry.Limited{{Endpoint: "erp"}}
	b.status.Fanout = new(telemetry.Fanout)
	b.certificates.Presented("erp", now)
	b.database.answer = query.Measures{
		SettledAt: &now, AuditedAt: &now, SafeBytes: &n, Written: []query.Written{},
		Queues: []query.QueueLength{{EndpointID: "erp"}}, Reasons: []query.ReasonCount{{State: "dead", Reason: "paused"}},
		Partitions: []query.Partition{{Number: 3}},
	}
	b.database.sizes.Growth = &n
}

// documented is a row of the table in docs/metrics.md, or what a scrape shows.
type documented struct{ Type, Labels string }

func TestTheTableOfMetricsIsWhatIsShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(b.Text(t.Context())))
	require.NoError(t, err)
	shown := make(map[string]documented)
	for name, family := range families {
		if strings.HasPrefix(name, "tailpost_") {
			var labels []string
			for _, label := range family.GetMetric()[0].GetLabel() {
				labels = append(labels, label.GetName())
			}
			slices.Sort(labels)
			shown[name] = documented{Type: strings.ToLower(family.GetType().String()), Labels: strings.Join(labels, ",")}
		}
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "metrics.md"))
	require.NoError(t, err)
	table := make(map[string]documented)
	for _, row := range regexp.MustCompile("(?m)^\\| `(tailpost_[a-z_]+)` \\| ([a-z]+) \\| ?([^|]*) ?\\|").FindAllStringSubmatch(string(page), -1) {
		labels := regexp.MustCompile("[a-z]+").FindAllString(row[3], -1)
		slices.Sort(labels)
		table[row[1]] = documented{Type: row[2], Labels: strings.Join(labels, ",")}
	}
	require.Equal(t, shown, table)
}
