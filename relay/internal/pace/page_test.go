package pace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/pace"
)

func TestPagesAreSizedByWhatTheLastOneTook(t *testing.T) {
	t.Parallel()
	var p pace.Page
	require.EqualValues(t, 8, p.Size())
	p.Took(time.Millisecond)
	require.EqualValues(t, 16, p.Size(), "a quick one is followed by a larger one")
	p.Took(40 * time.Millisecond)
	require.EqualValues(t, 16, p.Size())
	for _, same := range []time.Duration{20 * time.Millisecond, 80 * time.Millisecond} {
		p.Took(same)
		require.EqualValues(t, 16, p.Size(), "%s is within the bounds", same)
	}
	p.Took(time.Second)
	require.EqualValues(t, 8, p.Size(), "a slow one by a smaller one")
	for range 20 {
		p.Took(time.Second)
	}
	require.EqualValues(t, 1, p.Size(), "but never by an empty one")
	for range 20 {
		p.Took(0)
	}
	require.EqualValues(t, 4096, p.Size(), "nor by one without a bound")
}
