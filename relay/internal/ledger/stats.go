package ledger

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tailpost/tailpost/outbox"
)

const (
	bucketCount = 15
	classCount  = 6 // no answer, 1xx to 5xx
	hourSeconds = 3600
	maxType     = 200 // bytes of a type that it is counted by
)

// hourKey names a row of tailpost.endpoint_stats.
type hourKey struct {
	endpoint string
	hour     int64 // Unix time of its start
}

type hourStats struct {
	hourKey

	tally

	durationMS float64
	buckets    [bucketCount]int64
}

// tally counts attempts.
type tally struct {
	attempts, delivered, failed, dead int64
	classes                           [classCount]int64
}

func (s *tally) add(a *outbox.Attempt) {
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
	s.classes[class(a.StatusCode)]++
}

// counters sums attempts by endpoint and UTC hour. Its memory is reused.
type counters struct {
	index map[hourKey]int
	rows  []hourStats
	types typeCounters
}

// typeKey names a row of tailpost.type_stats; an empty endpoint is all of them.
type typeKey struct {
	hourKey

	kind string
}

type typeStats struct {
	typeKey
	tally
}

// typeCounters sums attempts by endpoint, UTC hour and type, and over all endpoints.
type typeCounters struct {
	index map[typeKey]int
	rows  []typeStats
	raw   bool // the database has no encoding
}

// count returns the sums of attempts, in the order in which every relay locks their rows.
func (c *typeCounters) count(attempts []outbox.Attempt) []typeStats {
	if c.index == nil {
		c.index = make(map[typeKey]int)
	}
	clear(c.index)
	c.rows = c.rows[:0]
	for i := range attempts {
		a := &attempts[i]
		key := typeKey{hourKey{a.EndpointID, hourOf(a.AttemptedAt)}, c.kind(a.EventType)}
		c.row(key).add(a)
		key.endpoint = ""
		c.row(key).add(a)
	}
	slices.SortFunc(c.rows, func(a, b typeStats) int {
		return cmp.Or(cmp.Compare(a.endpoint, b.endpoint), cmp.Compare(a.hour, b.hour), cmp.Compare(a.kind, b.kind))
	})
	return c.rows
}

func (c *typeCounters) row(key typeKey) *typeStats {
	i, ok := c.index[key]
	if !ok {
		i = len(c.rows)
		c.index[key] = i
		c.rows = append(c.rows, typeStats{typeKey: key})
	}
	return &c.rows[i]
}

// CountedType is the type that attempts of events of a type are counted by.
func CountedType(name string) string {
	return (&typeCounters{}).kind(name)
}

// kind is a type as it is counted: short enough for an index, and as the database will have it, for
// two that it takes for one must not be two rows of a statement.
func (c *typeCounters) kind(name string) string {
	if strings.IndexByte(name, 0) >= 0 {
		name = strings.ReplaceAll(name, "\x00", "")
	}
	if !c.raw && !utf8.ValidString(name) {
		name = strings.ToValidUTF8(name, "\uFFFD")
	}
	if len(name) <= maxType {
		return name
	}
	end := maxType
	for !c.raw && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

// class is the place of an answer in the classes of the counters.
func class(status int) int {
	return min(max(status/100, 0), classCount-1)
}

func hourOf(t time.Time) int64 {
	at := t.Unix()
	return at - ((at%hourSeconds)+hourSeconds)%hourSeconds
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
	key := hourKey{a.EndpointID, hourOf(a.AttemptedAt)}
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
	s.add(a)
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
