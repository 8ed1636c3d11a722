package dispatch_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/source"
)

// What is chosen for a request is about as much as its body has room for: the rest would only be
// put back.
func TestBatch_hasWhatItsBodyHasRoomFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size int // of a payload
		want int // events of the first request
	}{
		"small":                           {10, 20},
		"a few":                           {3000, 3},
		"one":                             {6000, 1},
		"one that is beyond it by itself": {20_000, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := &arrays{}
			l := newArrays(t, a, func(e *config.Endpoint) {
				e.Batch = config.Batch{Events: 20, Wait: 200 * time.Millisecond, Bytes: 10_000}
			})
			l.commit(func(tx *source.Unsettled) {
				for n := range 20 {
					l.Dispatch(outbox.Event{
						ID: fmt.Sprint("e", n), Type: "a", Payload: make([]byte, test.size), CommitLSN: outbox.LSN(l.at), Seq: int64(n),
					}, tx)
				}
			})
			l.later(time.Minute)
			for _, ids := range a.all[:20/test.want] {
				require.Len(t, ids, test.want, name)
			}
			l.stop()
		})
	}
}
