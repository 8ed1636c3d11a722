package integration_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

const (
	isolationEndpoints = 20
	isolationBad       = 4 // the first ones

	illTime = 10 * time.Second // after which one of them answers
)

// isolationRun is one relay with twenty endpoints.
type isolationRun struct {
	*testBundle

	ill atomic.Bool // the bad endpoints behave badly
}

// Among twenty endpoints one never answers, one answers after ten seconds, one refuses connections
// and one fails often. The others get everything all the same, WAL is let go, memory stays bounded.
func TestBadEndpointsHarmNoOthers(t *testing.T) {
	t.Parallel()
	r := &isolationRun{testBundle: setup(t)}
	good := kit.Statuses(200)
	ill := []kit.Behaviour{
		kit.Hang(), kit.Slow(illTime, good), good, // the third one refuses connections, see below
		kit.Random(1, good, good, good, good, good, good, good, kit.Statuses(500), kit.Statuses(500), kit.Statuses(500)),
	}
	var endpoints []kit.Endpoint
	for i := range isolationEndpoints {
		name := fmt.Sprintf("e%d", i)
		if i < isolationBad {
			r.receiver.On("/"+name, func(ctx context.Context, w http.ResponseWriter, q kit.Request) int {
				if r.ill.Load() {
					return ill[i](ctx, w, q)
				}
				return http.StatusOK
			})
		}
		endpoints = append(endpoints, r.endpoint(name, ""))
	}
	refusing := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer refusing.Close()
	endpoints[2].URL = refusing.URL
	relay := kit.StartDelivering(t, kit.Options{Config: r.db.Config(endpoints...), Args: []string{"--grace", "500ms"}, Plain: true})
	r.round(t) // connections are made, code and caches are warm
	alone, aloneLatency := r.round(t)
	memory := peakMemory(t, relay)
	began := time.Now()
	r.ill.Store(true)
	refusing.CloseClientConnections()
	refusing.Close()
	amid, amidLatency := r.round(t)
	grown := peakMemory(t, relay) - memory
	t.Logf("healthy endpoints, all well: %s, p50 %s, p99 %s", alone.Round(time.Millisecond), median(aloneLatency), percentile(aloneLatency, 99))
	t.Logf("healthy endpoints, %d of %d ill: %s, p50 %s, p99 %s; ratio of rates %.2f; memory grew by %d MiB", isolationBad, isolationEndpoints,
		amid.Round(time.Millisecond), median(amidLatency), percentile(amidLatency, 99), float64(alone)/float64(amid), grown>>20)
	// One endpoint has answered nothing since the round began, another one takes ten seconds. Had a
	// healthy one waited for either, it would have been for that long. Anything finer is for
	// benchmarks to judge.
	require.Less(t, slices.Max(amidLatency), illTime/2, "a healthy endpoint waited")
	for _, q := range r.receiver.Requests("/e0") {
		if q.At.After(began) {
			require.Zero(t, q.Status, "the endpoint that hangs has answered")
		}
	}
	// What the ill ones have not taken waits in the table. Measured: 0 to 1 MiB.
	require.Less(t, grown, int64(8<<20))
	r.db.AwaitConfirmed(t, r.db.LSN(t))
	requireOneHold(t, relay)
}

// round writes events at a steady pace, and says how long it took until the healthy endpoints had
// all of them, and how long each was on its way.
func (r *isolationRun) round(t *testing.T) (time.Duration, []time.Duration) {
	t.Helper()
	const transactions = 60
	began := time.Now()
	committed := make(map[string]time.Time)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for range transactions {
		at := time.Now()
		for _, id := range r.db.Insert(t, orders(4)...) {
			committed[id] = at
		}
		<-pace.C
	}
	var latencies []time.Duration
	kit.Eventually(t, 2*kit.Patience, func() error {
		latencies = latencies[:0]
		for _, q := range r.receiver.Requests("") {
			at, ok := committed[q.ID]
			var endpoint int
			if _, err := fmt.Sscanf(q.Path, "/e%d", &endpoint); err == nil && ok && endpoint >= isolationBad {
				latencies = append(latencies, q.At.Sub(at))
			}
		}
		if want := len(committed) * (isolationEndpoints - isolationBad); len(latencies) < want {
			return fmt.Errorf("%d of %d requests arrived at the healthy endpoints", len(latencies), want)
		}
		return nil
	})
	return time.Since(began), latencies
}

func median(d []time.Duration) time.Duration { return percentile(d, 50) }

func percentile(d []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)*p/100].Round(100 * time.Microsecond)
}

// What the relay learnt of an endpoint, and what people decided, is there after a restart.
func TestTheStateOfAnEndpointSurvivesARestart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.receiver.On("/failing", kit.Statuses(500))
	b.receiver.On("/gone", kit.Statuses(410))
	options := kit.Options{Config: b.db.Config(b.endpoint("failing", fast), b.endpoint("gone", fast), b.endpoint("paused", ""))}
	relay := kit.StartDelivering(t, options)
	b.db.Insert(t, orders(1)...)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'failing' AND failing_since IS NOT NULL")
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'gone' AND status = 'disabled'")
	b.db.AwaitAttempts(t, "paused", 1)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'failing' AND state = 'dead'")
	const state = "SELECT string_agg(concat_ws(' ', id, status, disabled_reason, failing_since), '; ' ORDER BY id) FROM tailpost.endpoint"
	require.Zero(t, relay.Stop(t))
	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'paused' WHERE id = 'paused'")
	was := b.db.Text(t, state)

	relay = kit.StartDelivering(t, options)
	ids := b.db.Insert(t, orders(3)...)
	b.db.AwaitCount(t, 3, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'paused' AND state = 'pending' AND reason = 'paused'")
	b.db.AwaitCount(t, 4, "SELECT count(*) FROM tailpost.delivery WHERE endpoint_id = 'gone' AND state = 'pending'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	require.Equal(t, was, b.db.Text(t, state))
	require.Len(t, b.receiver.Requests("/gone"), 1)
	require.Len(t, b.receiver.Requests("/paused"), 1)
	require.Zero(t, relay.Stop(t))

	b.db.Run(t, "UPDATE tailpost.endpoint SET status = 'active' WHERE id = 'paused'")
	b.receiver.On("/failing", kit.Statuses(200))
	kit.StartDelivering(t, options)
	b.receiver.AwaitIDs(t, "/paused", ids...)
	b.db.AwaitAttempts(t, "paused", 4)
	b.db.Insert(t, orders(1)...)
	b.db.AwaitCount(t, 1, "SELECT count(*) FROM tailpost.endpoint WHERE id = 'failing' AND failing_since IS NULL")
}
