package dispatch_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// What a transaction brought for an endpoint before it took that away goes with it, and what it
// brought after it made that anew stays.
func TestChange_dropsRowsOfItsOwnTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		blocked := l.endpoint()
		blocked.Sender, blocked.Blocked = nil, true
		l.change(blocked)
		l.commit(func(tx *source.Unsettled) {
			version := ledger.EndpointVersion{EndpointID: "ep_1", CommitLSN: outbox.LSN(l.at)}
			brings := func(id string, seq int64) {
				l.Dispatch(outbox.Event{ID: id, Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), Seq: seq}, tx)
			}
			brings("before", 3)
			l.Change([]dispatch.Change{{ID: "ep_1", Version: version, Seq: 4}}, tx)
			version.Row = []byte("{}")
			l.Change([]dispatch.Change{{ID: "ep_1", Endpoint: blocked, Version: version, Seq: 4}}, tx)
			brings("after", 4)
		})
		l.later(time.Second)
		require.Len(t, l.tables.rows, 1)
		l.requireRow("after", outbox.Pending, outbox.ReasonUnusable)
		l.stop()
	})
}
