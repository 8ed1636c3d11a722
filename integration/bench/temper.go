package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// temper is what a path refuses. It refuses at once, as receivers do that have too much to do.
type temper struct {
	status     int
	retryAfter string  // sent with it; empty: none
	share      float64 // of requests that are refused, however few there are
	capacity   float64 // requests a second that are taken; 0: all
}

func (t temper) answer() []byte {
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Length: 2\r\n", t.status, http.StatusText(t.status))
	if t.retryAfter != "" {
		b = fmt.Appendf(b, "Retry-After: %s\r\n", t.retryAfter)
	}
	return append(b, "\r\nno"...)
}

// bucket holds what a receiver of some capacity may still take, a tenth of a second's worth at
// most.
type bucket struct {
	tokens float64
	filled time.Time
}

func (b *bucket) take(capacity float64, now time.Time) bool {
	b.tokens = min(capacity/10, b.tokens+now.Sub(b.filled).Seconds()*capacity)
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// refuses decides on a request and remembers when it was.
func (in *inbox) refuses(t *temper) bool {
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	refused := t.share > 0 && rand.Float64() < t.share || t.capacity > 0 && !in.bucket.take(t.capacity, now) //nolint:gosec // no secret
	in.history.note(now, refused)
	return refused
}

// history counts requests by tenths of a second.
type history struct {
	began          time.Time // of the first request
	arrived, taken []int
}

const historyStep = 100 * time.Millisecond

func (h *history) note(now time.Time, refused bool) {
	if h.began.IsZero() {
		h.began = now
	}
	n := int(now.Sub(h.began) / historyStep)
	for n >= len(h.arrived) {
		h.arrived, h.taken = append(h.arrived, 0), append(h.taken, 0)
	}
	h.arrived[n]++
	if !refused {
		h.taken[n]++
	}
}

// past returns a copy of what has happened at a path.
func (in *inbox) past() history {
	in.mu.Lock()
	defer in.mu.Unlock()
	h := in.history
	h.arrived, h.taken = append([]int(nil), h.arrived...), append([]int(nil), h.taken...)
	return h
}

// perSecond returns the rate between two moments after the first request.
func perSecond(counts []int, from, to time.Duration) float64 {
	first, end := int(from/historyStep), min(int(to/historyStep), len(counts))
	sum := 0
	for _, n := range counts[min(first, end):end] {
		sum += n
	}
	return float64(sum) / (to - from).Seconds()
}

// most returns the busiest second.
func most(counts []int) float64 {
	const window = int(time.Second / historyStep)
	best, sum := 0, 0
	for i, n := range counts {
		sum += n
		if i >= window {
			sum -= counts[i-window]
		}
		best = max(best, sum)
	}
	return float64(best)
}

// extremes returns the rates of the slowest and the busiest window of a length that lies wholly
// within the history.
func extremes(counts []int, length time.Duration) (least, highest float64) {
	steps := int(length / historyStep)
	for i := 0; i+steps < len(counts); i++ { // the last step may not be whole
		rate := perSecond(counts, time.Duration(i)*historyStep, time.Duration(i+steps)*historyStep)
		if i == 0 || rate < least {
			least = rate
		}
		highest = max(highest, rate)
	}
	return least, highest
}

// reaches returns how long after from a whole second at the rate ends for the first time.
func reaches(counts []int, from time.Duration, rate float64) (time.Duration, bool) {
	const window = int(time.Second / historyStep)
	first := int((from + historyStep - 1) / historyStep)
	for end := first + window; end <= len(counts); end++ {
		sum := 0
		for _, n := range counts[end-window : end] {
			sum += n
		}
		if float64(sum) >= rate {
			return time.Duration(end)*historyStep - from, true
		}
	}
	return 0, false
}
