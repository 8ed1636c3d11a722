package relay_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/integration/kit"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay"
	"github.com/tailpost/tailpost/relay/signature"
)

// numbers are those of the metrics that have no label but a result.
func numbers(t *testing.T, r *relay.Relay) map[string]float64 {
	t.Helper()
	status, text, _ := read(t, "http://"+r.MetricsAddress()+"/metrics")
	require.Equal(t, http.StatusOK, status, text)
	all := make(map[string]float64)
	for _, found := range regexp.MustCompile(`(?m)^(tailpost_[a-z_]+)(?:\{result="complete"\})? (\S+)$`).FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(found[2], 64)
		require.NoError(t, err)
		all[found[1]] = n
	}
	return all
}

// TestWhatAProcessDoesIsToldByItsMetricsAndItsAPI: what waits for an answer, how much of an
// endpoint's concurrency that is, what it takes in memory, how it is configured, and that it is
// about to stop.
func TestWhatAProcessDoesIsToldByItsMetricsAndItsAPI(t *testing.T) {
	t.Parallel()
	db, receiver := kit.NewDatabase(t), kit.NewReceiver(t)
	answer, open := kit.Gate()
	defer open()
	cfg := complete(t, &config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot}, Network: onLoopback,
		Outbox:  config.Outbox{Mapping: outbox.DefaultMapping(), AuditInterval: time.Minute},
		API:     config.API{Listen: "127.0.0.1:0", Keys: []config.APIKey{{Name: "test", Secret: config.NewSecret(apiKey)}}},
		Metrics: config.Metrics{Listen: "127.0.0.1:0"},
		Endpoints: []config.Endpoint{{
			ID: "erp", URL: receiver.On("/erp", answer), Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())}, Concurrency: 3,
		}},
	})
	r, err := relay.New(cfg, relay.Options{Owner: "me", LogDropped: func() uint64 { return 7 }})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	requireDelivering(t, r)
	receiver.AwaitIDs(t, "/erp", db.Insert(t, kit.Event("a", `{}`), kit.Event("a", `{}`))...)

	is := numbers(t, r)
	for name, want := range map[string]float64{
		"in_flight_requests": 2, "in_memory_deliveries": 2, "log_lines_dropped_total": 7, "audit_interval_seconds": 60, "epoch": 1, "database_up": 1,
	} {
		require.InDelta(t, want, is["tailpost_"+name], 0, name)
	}
	require.Positive(t, is["tailpost_in_memory_bytes"])
	require.NotContains(t, is, "tailpost_fanout_partitions_owned", "it has no part in a fleet")
	url := "http://" + r.APIAddress() + "/v1/"
	_, endpoint := ask(t, http.DefaultClient, http.MethodGet, url+"endpoints/erp", "")
	require.Equal(t, map[string]any{"admitting": 3.0, "concurrency": 3.0, "in_flight": 2.0}, endpoint["admission"])
	_, state := ask(t, http.DefaultClient, http.MethodGet, url+"relay", "")
	require.Equal(t, map[string]any{"owner": "me", "state": "delivering", "epoch": 1.0}, state["this"])

	stop()
	kit.Eventually(t, kit.Patience, func() error {
		if is := r.Status().State; is != relay.Draining {
			return fmt.Errorf("it is %s", is)
		}
		return nil
	})
	open()
	require.NoError(t, <-done)
	require.Equal(t, relay.Stopped, r.Status().State)
	require.Equal(t, 2, db.Count(t, "SELECT count(*) FROM tailpost.attempt WHERE outcome = 'delivered'"), "what was in flight had time to end")
}

// during is a log that calls do while a line with these words is written, before anybody can have
// read it.
type during struct {
	words string
	do    func()
}

func (d during) Write(line []byte) (int, error) {
	if strings.Contains(string(line), d.words) {
		d.do()
	}
	return len(line), nil
}

// TestWhoReadsOfAReloadFindsItInTheMetrics: a reload is counted when the log tells of it.
func TestWhoReadsOfAReloadFindsItInTheMetrics(t *testing.T) {
	t.Parallel()
	db := kit.NewDatabase(t)
	cfg := complete(t, &config.Config{
		Database: config.Database{URL: config.NewSecret(db.URL), Slot: db.Slot}, Network: onLoopback,
		Outbox:  config.Outbox{Mapping: outbox.DefaultMapping(), AuditInterval: time.Minute},
		Metrics: config.Metrics{Listen: "127.0.0.1:0"},
		Endpoints: []config.Endpoint{{
			ID: "erp", URL: "http://127.0.0.1:1/in", Secrets: []config.Secret{config.NewSecret(signature.GenerateSecret())},
		}},
	})
	var r *relay.Relay
	var metrics []string
	r = running(t, cfg, relay.Options{Logger: zerolog.New(during{"configuration reloaded", func() {
		_, text, _ := read(t, "http://"+r.MetricsAddress()+"/metrics")
		metrics = append(metrics, text)
	}})})
	r.ReloadRefused()
	require.NoError(t, r.Reload(t.Context(), cfg))
	require.Len(t, metrics, 1)
	require.Contains(t, metrics[0], "tailpost_reloads_total{result=\"taken\"} 1\n")
	require.Contains(t, metrics[0], "tailpost_config_last_reload_successful 1\n")
}
