package http1_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

// TestExchange_hasNoBufferBeforeItsAnswer: many exchanges may wait for a connection at once, for
// example for its handshake.
func TestExchange_hasNoBufferBeforeItsAnswer(t *testing.T) { //nolint:paralleltest // it counts for the whole process
	const n = 1000
	held := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	exchanges, before := make([]*http1.Exchange, n), held()
	for i := range exchanges {
		exchanges[i] = http1.NewExchange()
	}
	require.Less(t, (held()-before)/n, int64(512))
	runtime.KeepAlive(exchanges)
}
