package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/tailpost/tailpost/outbox"
)

const (
	bucketCount = 15
	hourSeconds = 3600
)

// hourKey names a row of tailpost.endpoint_stats.
type hourKey struct {
	endpoint string
	hour     int64 // Unix time of its start
}

type hourStats struct {
	hourKey

	attempts, delivered, failed, dead int64
	durationMS                        float64
	buckets                           [bucketCount]int64
}

// counters sums attempts by endpoint and UTC hour. Its memory is reused.
type counters struct {
	index map[hourKey]int
	rows  []hourStats
}

// count returns the sums of attempts, in the order in which every relay locks their rows.
func (c *counters) count(attempts []outbox.Attempt) []hourStats {
	if c.index == nil {
		c.index = make(map[hourKey]int)
	}
	clear(c.index)
	c.rows = c.rows[:0]
	for i := range attempts {
		c.add(&attempts[i])
	}
	slices.SortFunc(c.rows, func(a, b hourStats) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.hour, b.hour))
	})
	return c.rows
}

func (c *counters) add(a *outbox.Attempt) {
	at := a.AttemptedAt.Unix()
	key := hourKey{a.EndpointID, at - ((at%hourSeconds)+hourSeconds)%hourSeconds}
	// Attempts of one endpoint come in runs.
	i := len(c.rows) - 1
	if i < 0 || c.rows[i].hourKey != key {
		var ok bool
		if i, ok = c.index[key]; !ok {
			i = len(c.rows)
			c.index[key] = i
			c.rows = append(c.rows, hourStats{hourKey: key})
		}
	}
	s := &c.rows[i]
	s.attempts++
	switch a.Outcome {
	case outbox.Delivered:
		s.delivered++
	case outbox.Dead:
		s.failed++
		s.dead++
	case outbox.Retry:
		s.failed++
	}
	ms := milliseconds(a.Duration)
	s.durationMS += ms
	s.buckets[bucket(ms)]++
}

func milliseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Millisecond)
}

// bucket is the place of a duration in endpoint_stats.buckets; the bounds are those of the column's
// comment.
func bucket(ms float64) int {
	bounds := [bucketCount - 1]float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000}
	for i, bound := range bounds {
		if ms <= bound {
			return i
		}
	}
	return bucketCount - 1
}
