package telemetry

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is written out is of one moment, whatever is counted meanwhile.
func TestACopyOfAHistogramStaysAsItIs(t *testing.T) {
	t.Parallel()
	h := newHistogram([]float64{1, 10})
	h.add(5)
	c := h.clone()
	h.add(5)
	h.add(50)
	require.Equal(t, []uint64{0, 1, 0}, c.counts)
	require.InDelta(t, 5, c.sum, 0)
	require.Equal(t, []uint64{0, 2, 1}, h.counts)
}
