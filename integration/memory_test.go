package integration_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/integration/kit"
)

// How much the relay's memory may grow. The bounds are far below what goes through it, and hold
// without the race detector, which multiplies memory.
const (
	// Events that nobody wants stay nowhere. Measured: 3 MiB.
	growthOfNoise = 8 << 20
	// Of wanted events 16 MiB may be in memory, and the heap may grow by 40 % of that before it is
	// collected. Measured: 25 to 30 MiB.
	growthOfWanted = 40 << 20
	// While 150 MB, and more, are parked, the same 16 MiB are also copied into statements.
	// Measured: 78 to 89 MiB for 50 as for 200 MB.
	growthOfParked = 128 << 20
)

// A giant transaction streams through in constant memory, whether its events are wanted or not. It
// is one of 100 MB; in a soak, one of 1 GB.
func TestAGiantTransactionTakesConstantMemory(t *testing.T) {
	t.Parallel()
	for name, tx := range map[string]struct {
		rows, size, every int // of how many rows one is wanted
		most              int64
	}{
		"of events that nobody wants": {rows: 200_000, size: 500, every: 200, most: growthOfNoise},
		"of events that are wanted":   {rows: 2_000, size: 50_000, every: 1, most: growthOfWanted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := tx.rows
			switch {
			case soaks():
				rows *= 10
			case testing.Short():
				rows /= 2
			}
			b := setup(t)
			// The receiver of the kit remembers every request; this one forgets it. It takes its
			// time, so that the relay reads faster than it sends.
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // the relay is there until the test ends
				timer := time.NewTimer(50 * time.Millisecond)
				defer timer.Stop()
				<-timer.C
			}))
			t.Cleanup(receiver.Close)
			endpoint := b.endpoint("erp", "concurrency = 16\npark_after = \"10m\"\nsubscription { events = [\"wanted\"] }")
			endpoint.URL = receiver.URL
			relay := kit.StartDelivering(t, kit.Options{Config: b.db.Config(endpoint), Plain: true})
			idle := peakMemory(t, relay)
			b.db.Run(t, `
				INSERT INTO outbox (type, payload)
				SELECT CASE WHEN n % $2 = 0 THEN 'wanted' ELSE 'noise' END, jsonb_build_object('n', n, 'text', repeat('x', $3))
				FROM generate_series(1, $1) AS n`, rows, tx.every, tx.size-100)
			kit.Eventually(t, 10*time.Minute, func() error {
				if n := b.db.Count(t, "SELECT count(*) FROM tailpost.attempt"); n < rows/tx.every {
					return fmt.Errorf("%d of %d events are delivered", n, rows/tx.every)
				}
				return nil
			})
			b.db.AwaitEmptyQueue(t)
			b.db.AwaitConfirmed(t, b.db.LSN(t))
			peak := peakMemory(t, relay)
			t.Logf("%d rows of %d B in one transaction: peak memory %d MiB, %d MiB when idle", rows, tx.size, peak>>20, idle>>20)
			require.Less(t, peak-idle, tx.most)
		})
	}
}

// What an endpoint does not take waits in the table and not in memory, however much it is.
func TestWhatWaitsForADeadEndpointTakesConstantMemory(t *testing.T) {
	t.Parallel()
	const rows = 30_000
	b := setup(t)
	b.receiver.On("/erp", kit.Hang())
	relay := kit.StartDelivering(t, kit.Options{
		Config: b.db.Config(b.endpoint("erp", "timeout = \"5m\"\npark_after = \"100ms\"")), Args: []string{"--grace", "100ms"}, Plain: true,
	})
	idle := peakMemory(t, relay)
	// In many transactions: each is settled by itself.
	for range 20 {
		b.db.Run(t, `
			INSERT INTO outbox (type, payload)
			SELECT 'order.created', jsonb_build_object('n', n, 'text', repeat('x', 4900))
			FROM generate_series(1, $1) AS n`, rows/20)
	}
	b.db.AwaitCount(t, rows, "SELECT count(*) FROM tailpost.delivery WHERE state = 'pending'")
	b.db.AwaitConfirmed(t, b.db.LSN(t))
	peak := peakMemory(t, relay)
	t.Logf("%d deliveries of 5 kB wait: peak memory %d MiB, %d MiB when idle", rows, peak>>20, idle>>20)
	require.Less(t, peak-idle, int64(growthOfParked))
}

// peakMemory returns the most memory that the process has had resident.
func peakMemory(t *testing.T, relay *kit.Relay) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(relay.PID()), "status"))
	if os.IsNotExist(err) {
		t.Skip("memory is read from /proc")
	}
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
