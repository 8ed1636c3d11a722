package dispatch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// What the stream brings again is recorded already, and is skipped; what comes after it with the
// same id is an event of its own.
func TestWhatIsRecorded_isSkippedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		l.change(l.endpoint())
		l.Known(map[outbox.Pair]struct{}{{EventID: "e1", EndpointID: "ep_1"}: {}})
		l.gate.answer <- 200
		l.event("e1")
		l.later(10 * time.Millisecond)
		require.Empty(t, l.tables.attempts)
		l.event("e1")
		l.later(10 * time.Millisecond)
		require.Len(t, l.tables.attempts, 1)

		l.Known(map[outbox.Pair]struct{}{{EventID: "e2", EndpointID: dispatch.Everyone}: {}})
		for again := range 2 {
			l.commit(func(tx *source.Unsettled) {
				l.Reject(outbox.Event{ID: "e2", CommitLSN: outbox.LSN(l.at)}, "its type is null", tx)
			})
			l.later(10 * time.Millisecond)
			require.Len(t, l.tables.rows, again, "it is not recorded again as dead")
		}
		l.stop()
	})
}
