package api

import (
	"context"
	"strconv"
	"time"

	"github.com/tailpost/tailpost/relay/internal/query"
)

func itoa(i int) string { return strconv.Itoa(i) }

// Stats counts what was sent to an endpoint over a time.
type Stats struct {
	EndpointStats

	Attempts       int64   `json:"attempts" doc:"Requests made."`
	FailedAttempts int64   `json:"failed_attempts" doc:"Requests that did not deliver."`
	Latency        Latency `json:"latency_ms"`
}

// Latency is how long requests took, in milliseconds. Percentiles are interpolated within the
// buckets of the counters.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
}

// StatsByTime counts what was sent to an endpoint.
type StatsByTime struct {
	AllTime Stats `json:"all_time"`
	Day     Stats `json:"last_24h"`
	Week    Stats `json:"last_7d"`
	Month   Stats `json:"last_30d"`
}

type statsOutput struct {
	Body StatsByTime
}

func getEndpointStats(ctx context.Context, s *Server, p *principal, in *EndpointID) (*statsOutput, error) {
	row, err := s.store.Endpoint(ctx, p.tenant(), in.ID)
	if err != nil {
		return nil, err
	}
	const day = 24 * time.Hour
	// The first whole hour within the time.
	since := func(d time.Duration) time.Time { return s.now().UTC().Add(-d).Truncate(time.Hour).Add(time.Hour) }
	sums, err := s.store.Stats(ctx, row.ID, []time.Time{{}, since(day), since(7 * day), since(30 * day)})
	if err != nil {
		return nil, err
	}
	return &statsOutput{Body: StatsByTime{
		AllTime: showStats(sums[0]), Day: showStats(sums[1]), Week: showStats(sums[2]), Month: showStats(sums[3]),
	}}, nil
}

func showStats(sum query.Stats) Stats {
	shown := Stats{EndpointStats: totals(sum), Attempts: sum.Attempts, FailedAttempts: sum.Failed}
	if sum.Attempts > 0 {
		shown.Latency = Latency{
			Mean: sum.DurationMS / float64(sum.Attempts), P50: percentile(sum.Buckets, 0.50), P90: percentile(sum.Buckets, 0.90),
			P95: percentile(sum.Buckets, 0.95), P99: percentile(sum.Buckets, 0.99),
		}
	}
	return shown
}

// percentile interpolates within the bucket that holds it. Beyond the last bound nothing is known:
// that is given.
func percentile(buckets []int64, q float64) float64 {
	bounds := query.BucketBounds()
	var total int64
	for _, n := range buckets {
		total += n
	}
	rank, before := q*float64(total), 0.0
	low := 0.0
	for i, n := range buckets {
		if i >= len(bounds) {
			break
		}
		if n > 0 && before+float64(n) >= rank {
			return low + (bounds[i]-low)*(rank-before)/float64(n)
		}
		before += float64(n)
		low = bounds[i]
	}
	return low
}
