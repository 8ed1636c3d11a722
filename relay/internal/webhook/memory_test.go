package webhook_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// TestEndpoint_takesLittleMemory: there may be ten thousand endpoints that are sent to in the same
// manner, most of them without a connection.
func TestEndpoint_takesLittleMemory(t *testing.T) { //nolint:paralleltest // it counts for the whole process
	for scheme, most := range map[string]int64{"http": 900, "https": 900} {
		const n = 1000
		c := newClient(t, webhook.Options{Network: loopback()})
		eps, endpoints := make([]config.Endpoint, n), make([]*webhook.Endpoint, n)
		for i := range eps {
			eps[i] = config.Endpoint{
				ID: fmt.Sprint("endpoint_", i), URL: fmt.Sprintf("%s://127.0.0.1:9/endpoint_%d", scheme, i),
				Secrets: []config.Secret{config.NewSecret(testSecret)}, Retry: config.Retry{Schedule: config.DefaultSchedule()},
			}
		}
		before := held()
		for i := range eps {
			var err error
			endpoints[i], err = c.Endpoint(eps[i])
			require.NoError(t, err)
		}
		require.Less(t, (held()-before)/n, most, scheme)
		runtime.KeepAlive(endpoints)
		runtime.KeepAlive(eps)
	}
}

// held returns how many bytes of the heap are in use.
func held() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
