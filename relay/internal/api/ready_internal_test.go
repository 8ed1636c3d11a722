package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/query"
)

func TestAnOwnerThatConfirmsIsNotStuck(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	var o owner
	for _, look := range []struct {
		after     time.Duration
		confirmed string
		lag       int64
		stuck     time.Duration
	}{
		{0, "0/1", stuckBytes, 0},
		{59 * time.Second, "0/1", stuckBytes, 0},
		{time.Minute, "0/1", stuckBytes, time.Minute},
		{2 * time.Minute, "0/2", stuckBytes, 0},     // it has moved
		{4 * time.Minute, "0/2", stuckBytes - 1, 0}, // nothing worth a word waits
		{5 * time.Minute, "0/2", stuckBytes, time.Minute},
	} {
		require.Equal(t, look.stuck, o.stuck(&query.RelayState{ConfirmedFlush: look.confirmed, LagBytes: look.lag}, noon.Add(look.after)), "after %s", look.after)
	}
}
