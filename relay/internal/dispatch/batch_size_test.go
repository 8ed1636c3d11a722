package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// Once what was in a hurry is sent, the others wait for company again.
func TestBatch_aHurryIsOverWithWhatExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{}
		l := newArrays(t, a, func(e *config.Endpoint) { e.ParkAfter = time.Minute })
		l.commit(func(tx *source.Unsettled) {
			l.Dispatch(outbox.Event{ID: "soon", Type: "a", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at), ExpiresAt: time.Now().Add(100 * time.Millisecond)}, tx)
		})
		l.later(time.Second)
		require.Len(t, a.all, 1)
		l.event("e1")
		l.later(100 * time.Millisecond)
		require.Len(t, a.all, 1)
		l.event("e2")
		l.later(time.Second)
		require.Equal(t, [][]string{{"soon"}, {"e1", "e2"}}, a.all)
		l.stop()
	})
}

// A hurry is for as long as what is in a hurry waits, whoever goes before it.
func TestBatch_aHurryOutlastsWhoGoesBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{takes: 100 * time.Millisecond}
		l := newArrays(t, a, func(e *config.Endpoint) { e.ParkAfter = time.Minute })
		events(l, 1, 3)
		l.later(50 * time.Millisecond)
		events(l, 4, 6)
		l.timed("soon", "", 0, 170*time.Millisecond) // before its wait for company would be over
		l.later(time.Second)
		require.Equal(t, []string{"0s: e1 e2 e3", "100ms: e4 e5 e6", "200ms: soon"}, a.got)
		l.stop()
	})
}

// What a request says of an endpoint is noted once, however many events it had.
func TestBatch_whatItSaysOfTheEndpointIsNotedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &arrays{answers: func([]string) (int, []string) { return 410, nil }}
		l := newArrays(t, a, nil)
		events(l, 1, 3)
		l.later(time.Second)
		require.Equal(t, [][]string{{"e1", "e2", "e3"}}, a.all)
		require.Len(t, l.tables.changes, 1)
		require.Equal(t, ledger.StatusDisabled, l.tables.changes[0].Status)
		l.stop()
	})
}

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

// What a body has no room for goes with the next request, at the place that it had.
func TestBatch_whatHasNoRoomKeepsItsPlace(t *testing.T) {
	t.Parallel()
	for _, ordering := range []config.Ordering{config.OrderingNone, config.OrderingKey, config.OrderingStrict} {
		synctest.Test(t, func(t *testing.T) {
			a := &arrays{room: 1}
			l := newArrays(t, a, func(e *config.Endpoint) { e.Ordering = ordering })
			var want []string
			for n := range 7 {
				want = append(want, fmt.Sprint("e", n))
				l.keyed(want[n], "k")
			}
			l.later(time.Minute)
			require.Equal(t, want, slices.Concat(a.all...), ordering)
			l.stop()
		})
	}
}

// What a stop breaks off says nothing of the receiver: nobody's attempts are used up, and nobody is
// given up.
func TestBatch_thatAStopBreaksOffWaitsForTheNextRelay(t *testing.T) {
	t.Parallel()
	for name, events := range map[string]int{"a batch": 3, "single events": 0} {
		synctest.Test(t, func(t *testing.T) {
			l := newLife(t)
			e := l.endpoint()
			e.Config.Concurrency, e.Config.ParkAfter = 3, time.Hour
			e.Config.Batch = config.Batch{Events: events, Bytes: 10_000, Wait: time.Second}
			e.Config.Retry.Schedule = nil // a failure would be the last
			e.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
				<-ctx.Done()
				a := answer(r, 0)
				a.Attempt.Error, a.Reached = "aborted", true
				return a
			})
			l.change(e)
			for n := range 3 {
				l.event(fmt.Sprint("e", n))
			}
			l.later(10 * time.Second)
			l.stop()
			require.Len(t, l.tables.rows, 3, name)
			for n := range 3 {
				l.requireRow(fmt.Sprint("e", n), outbox.Pending, l.tables.rows[outbox.Pair{EventID: fmt.Sprint("e", n), EndpointID: "ep_1"}].Reason)
			}
			require.Empty(t, l.tables.changes, name)
		})
	}
}

// A delivery that comes back from the table has the body that it would have had at once, which is
// its own endpoint's.
func TestRetry_fromTheTableHasItsBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		sent := make(map[string][]*config.Body)
		bodies := make(map[string]*config.Body)
		for _, id := range []string{"ep_1", "ep_2"} {
			body, diags := config.CompileBody("{ to = \""+id+"\" }", "x.hcl", 1)
			require.Empty(t, diags)
			bodies[id] = body
			e := l.endpoint()
			e.Config.ID, e.Config.Subscriptions[0].Body = id, body
			e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
				sent[id] = append(sent[id], r.Body)
				return answer(r, map[int]int{1: 500, 2: 200}[r.Number])
			})
			l.change(e)
		}
		l.event("e1")
		l.later(10 * time.Second)
		l.requireRow("e1", outbox.Pending, outbox.ReasonFailed)
		l.later(2 * time.Minute)
		for id, body := range bodies {
			require.Len(t, sent[id], 2)
			require.Same(t, body, sent[id][0])
			require.Same(t, body, sent[id][1])
		}
		l.stop()
	})
}
