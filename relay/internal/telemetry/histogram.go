package telemetry

import (
	"slices"
	"strconv"
)

// histogram counts values by size. It is not safe for concurrent use.
type histogram struct {
	bounds []float64 // upper ones, ascending
	counts []uint64  // of each bound, and of what is beyond the last
	sum    float64
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

func (h *histogram) add(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i]++
	h.sum += v
}

// clone returns a copy that shares nothing that changes.
func (h *histogram) clone() histogram {
	c := *h
	c.counts = slices.Clone(h.counts)
	return c
}

// write adds the histogram to a family, as Prometheus has it: each bucket counts those below it
// too.
func (h *histogram) write(f family, labels ...string) {
	below := uint64(0)
	for i, n := range h.counts {
		below += n
		bound := "+Inf"
		if i < len(h.bounds) {
			bound = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
		}
		f.part("_bucket", float64(below), append(slices.Clip(labels), "le", bound)...)
	}
	f.part("_sum", h.sum, labels...)
	f.part("_count", float64(below), labels...)
}
