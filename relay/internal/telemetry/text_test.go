package telemetry_test

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/outbox/schema"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/query"
	"github.com/tailpost/tailpost/relay/internal/telemetry"
)

// TestNothingIsOlderThanNow: a time in the future, of another clock or before this one was set
// back, is no negative age, and what never was has none.
func TestNothingIsOlderThanNow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	is := func(lag, rest float64) {
		t.Helper()
		got := b.scrape(t)
		for name, want := range map[string]float64{
			"tailpost_lag_seconds": lag, "tailpost_audit_age_seconds": rest, "tailpost_oldest_pending_seconds crm": rest,
		} {
			require.Contains(t, got, name)
			require.InDelta(t, want, got[name].GetGauge().GetValue(), 0, name)
		}
	}
	at := b.now.Add(time.Minute)
	b.database.answer = query.Measures{AuditedAt: &at, Queues: []query.QueueLength{{EndpointID: "crm", Pending: 1, Oldest: &at}}}
	is(0, 0)
	b.status.Oldest = at
	is(0, 0)
	b.now = b.now.Add(2 * time.Minute)
	is(60, 60)
}

// TestWhatThereIsNothingOfIsNotMentioned: no metric has a type and a meaning alone.
func TestWhatThereIsNothingOfIsNotMentioned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text := b.Text(t.Context())
	named := regexp.MustCompile(`(?m)^# HELP (\w+) `).FindAllSubmatch(text, -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		require.Regexp(t, `(?m)^`+string(name[1])+`(_count)?[{ ]`, string(text))
	}
}

// TestNewTakesTheTimeOfDayAndNoLog: what Options allow to leave out.
func TestNewTakesTheTimeOfDayAndNoLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Metrics = telemetry.New(telemetry.Options{
		Store: &b.database, Slot: "tailpost", Status: func() telemetry.Status { return telemetry.Status{Oldest: time.Now().Add(-time.Hour)} },
		Settings:    func() telemetry.Settings { return telemetry.Settings{AuditInterval: -1, Retention: 720 * time.Hour} },
		Unaccounted: func(context.Context) (int, error) { return 0, nil },
		Clocks:      telemetry.NewClocks(zerolog.Nop()), Certificates: &b.certificates, Rare: &b.rare,
	})
	got := b.scrape(t)
	require.InDelta(t, 3600, got["tailpost_lag_seconds"].GetGauge().GetValue(), 60)
	require.NotContains(t, got, "tailpost_log_lines_dropped_total")
	require.Zero(t, got["tailpost_audit_interval_seconds"].GetGauge().GetValue(), "there are no audits")
}

// TestAScrapeIsOfOneMoment: counting goes on meanwhile.
func TestAScrapeIsOfOneMoment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := telemetry.Recorded{Batch: &ledger.Batch{Attempts: attempts("erp", outbox.Delivered, 0)}, Waited: make([]time.Duration, 1)}
	b.Committed(batch)
	var all sync.WaitGroup
	ctx, done := context.WithCancel(t.Context())
	all.Go(func() {
		for ctx.Err() == nil {
			b.Committed(batch)
		}
	})
	for range 10 {
		got := b.scrape(t)
		batches := uint64(got["tailpost_recorded_batches_total"].GetCounter().GetValue())
		for _, name := range []string{"tailpost_recording_rows", "tailpost_recording_duration_seconds", "tailpost_delivery_latency_seconds", "tailpost_attempt_duration_seconds erp"} {
			if batches != got[name].GetHistogram().GetSampleCount() {
				t.Errorf("%s has %d of %d batches", name, got[name].GetHistogram().GetSampleCount(), batches)
			}
		}
	}
	done()
	all.Wait()
}

// TestWhoLeavesTakesNoMeasuresAlong: what was measured before is shown to the next one, as it is
// where the database answers nobody else either.
func TestWhoLeavesTakesNoMeasuresAlong(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.database.sizes, b.database.unaccounted = schema.Sizes{Attempts: 1}, 6
	b.scrape(t)
	ctx, leave := context.WithCancel(t.Context())
	b.now, b.database.leaving = b.now.Add(time.Minute), leave
	b.database.sizesErr, b.database.countErr = context.Canceled, context.Canceled
	b.Text(ctx)
	require.Equal(t, 2, b.database.sized)
	got := b.scrape(t)
	require.InDelta(t, 1, got["tailpost_table_bytes attempt"].GetGauge().GetValue(), 0)
	require.InDelta(t, 6, got["tailpost_unaccounted_events"].GetGauge().GetValue(), 0)
}

// TestWhatCannotBeMeasuredHidesNothingElse: a lock on the one keeps nobody from counting the other.
func TestWhatCannotBeMeasuredHidesNothingElse(t *testing.T) {
	t.Parallel()
	for name, locked := range map[string]func(*database){
		"tailpost_table_bytes attempt": func(d *database) { d.sizesErr = errors.New("the table is locked") },
		"tailpost_unaccounted_events":  func(d *database) { d.countErr = errors.New("the table is locked") },
	} {
		b := setup(t)
		locked(&b.database)
		got := b.scrape(t)
		for _, each := range []string{"tailpost_table_bytes attempt", "tailpost_unaccounted_events"} {
			require.Equal(t, each != name, got[each] != nil, "%s without %s", each, name)
		}
	}
}
