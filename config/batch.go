package config

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Batch is how many events share a request.
type Batch struct {
	Events  int           // at most; 0: each event has a request of its own
	Wait    time.Duration // how long an event waits for company at most; 0: it does not
	Bytes   int           // of the body before it is compressed, at most; an event that is larger goes alone
	Partial bool          // the answer may name the events that failed
}

// On reports whether events share requests.
func (b *Batch) On() bool { return b.Events > 0 }

// DefaultBatch returns the batch block that says nothing.
func DefaultBatch() Batch {
	return Batch{Events: 100, Wait: 200 * time.Millisecond, Bytes: defaultBatchBytes}
}

// The bounds of a batch.
const (
	maxBatchEvents    = 1000
	maxBatchWait      = 10 * time.Second
	minBatchBytes     = 1000
	maxBatchBytes     = 10_000_000
	defaultBatchBytes = 1_000_000
)

// decodeBatch decodes a batch block, if there is one, over what the endpoint has already.
func decodeBatch(s *section, to *Batch) {
	b := s.single("batch")
	if b == nil {
		return
	}
	inner := s.nested(b, "batch.", "a batch block")
	inner.check([]string{"events", "wait", "bytes", "partial"}, nil)
	if !to.On() {
		*to = DefaultBatch()
	}
	inner.count("events", &to.Events, 0)
	if text, ok := inner.text("wait"); ok {
		if wait, ok := ParseWait(text); ok {
			to.Wait = wait
		} else {
			inner.wrong("wait", inner.body.Attributes["wait"].Expr.Range(), "Invalid duration",
				`Write "0s" or a number and a unit, such as "200ms" or "1s".`)
		}
	}
	if text, ok := inner.text("bytes"); ok {
		if n, ok := ParseSize(text); ok {
			to.Bytes = n
		} else {
			inner.wrong("bytes", inner.body.Attributes["bytes"].Expr.Range(), "Invalid size",
				`Write a number and a unit, such as "500KB", "1MB" or "256KiB".`)
		}
	}
	if inner.body.Attributes["partial"] != nil {
		to.Partial = inner.flag("partial")
	}
	if to.Events == 0 { // against the defaults
		*to = Batch{}
	}
}

// ParseWait reads a duration that may be zero.
func ParseWait(text string) (d time.Duration, ok bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// sizeUnits are the units of a size, the longer ones first: every size ends with B.
func sizeUnits() []struct {
	name  string
	bytes int
} {
	return []struct {
		name  string
		bytes int
	}{{"MiB", 1 << 20}, {"KiB", 1 << 10}, {"MB", 1_000_000}, {"KB", 1000}, {"kB", 1000}, {"B", 1}}
}

// ParseSize reads a size such as "500KB", "1MB" or "256KiB" as bytes.
func ParseSize(text string) (n int, ok bool) {
	const most = 1 << 31 // of any unit
	for _, u := range sizeUnits() {
		number, is := strings.CutSuffix(text, u.name)
		if !is {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
		if err != nil || n <= 0 || n*int64(u.bytes) > most {
			return 0, false
		}
		return int(n) * u.bytes, true
	}
	return 0, false
}

// SpellSize writes a size as ParseSize reads it.
func SpellSize(n int) string {
	for _, unit := range []struct {
		name  string
		bytes int
	}{{"MB", 1_000_000}, {"MiB", 1 << 20}, {"KB", 1000}, {"KiB", 1 << 10}} {
		if n%unit.bytes == 0 {
			return strconv.Itoa(n/unit.bytes) + unit.name
		}
	}
	return strconv.Itoa(n) + "B"
}

// completeBatch fills in what a batch that Go code made leaves out.
func completeBatch(b *Batch) {
	if b.On() {
		b.Bytes = cmp.Or(b.Bytes, defaultBatchBytes)
	}
}

// checkBatch checks how events share requests.
func checkBatch(c *checker, e *Endpoint) {
	b := &e.Batch
	if b.Events < 0 || b.Events > maxBatchEvents {
		c.fail("batch.events", "Number out of range", "Write a number from 1 to %d, or 0 for a request each.", maxBatchEvents)
	}
	if !b.On() {
		return
	}
	if b.Wait < 0 || b.Wait > maxBatchWait {
		c.fail("batch.wait", "Duration out of range", "Write a duration from 0s to %s.", maxBatchWait)
	} else if b.Wait >= e.ParkAfter {
		c.fail("batch.wait", "Longer than park_after", "Write a shorter wait, or a longer park_after: after %s a delivery is parked, and waits no more.", e.ParkAfter)
	}
	if b.Bytes < minBatchBytes || b.Bytes > maxBatchBytes {
		c.fail("batch.bytes", "Size out of range", "Write a size from %s to %s.", SpellSize(minBatchBytes), SpellSize(maxBatchBytes))
	}
	switch e.Format {
	case FormatStandard, FormatCloudEvents:
	case FormatRaw, FormatCloudEventsBinary, FormatForm, FormatSlack, FormatTeams:
		c.fail("batch", "Format without batches", "Format %q has no place for several events. Set format = \"standard\" or \"cloudevents\", or leave batch out, with events = 0 if the defaults have it.", e.Format)
	}
}
