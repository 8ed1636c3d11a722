package dispatch_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/ledger"
	"github.com/tailpost/tailpost/relay/internal/source"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// counter answers after a while and knows how many requests waited for it at once, over all
// endpoints.
type counter struct {
	alone

	answers  func(event string) time.Duration
	inFlight atomic.Int64
	done     atomic.Int64

	mu   sync.Mutex
	peak int64
}

func (c *counter) Send(ctx context.Context, q *webhook.Request) webhook.Result {
	n := c.inFlight.Add(1)
	c.mu.Lock()
	c.peak = max(c.peak, n)
	c.mu.Unlock()
	pause(ctx, c.answers(q.Event.ID))
	c.inFlight.Add(-1)
	c.done.Add(1)
	return webhook.Result{Attempt: outbox.Attempt{EventID: q.Event.ID, Number: q.Number, AttemptedAt: q.Now, StatusCode: 200}}
}

// accepts is a ledger that takes everything and has nothing parked.
type accepts struct{ dispatch.Ledger }

func (accepts) Record(context.Context, ledger.Hold, *ledger.Batch) error { return nil }

// flood gives a dispatcher as many endpoints, and each as many events in one transaction.
func flood(t *testing.T, sender dispatch.Sender, endpoints, events, young int) (run, stop func()) {
	t.Helper()
	list := make([]dispatch.Endpoint, endpoints)
	for i := range list {
		id := fmt.Sprintf("ep%d", i)
		list[i] = dispatch.Endpoint{Sender: sender, Config: config.Endpoint{
			ID: id, Concurrency: 64, ParkAfter: time.Hour,
			Subscriptions: []config.Subscription{{Events: []string{id}}},
		}}
	}
	tracker := source.NewFrontier(0)
	d := dispatch.New(t.Context(), dispatch.Options{
		Ledger: accepts{}, Frontier: tracker, Endpoints: list, Ack: func(source.Position) {}, MaxYoung: young,
		MaxEvents: endpoints * events, Grace: time.Second,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	run = func() {
		tx := tracker.Begin(time.Now())
		for i := range events {
			for _, e := range list {
				d.Dispatch(outbox.Event{ID: fmt.Sprintf("%s/%d", e.Config.ID, i), Type: e.Config.ID}, tx)
			}
		}
		tracker.Commit(tx, 1)
		go func() { ended <- d.Run(ctx) }()
		synctest.Wait()
	}
	return run, func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

func TestFewRequestsAtOnceServeManyFastReceivers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{answers: func(string) time.Duration { return time.Millisecond }}
		run, stop := flood(t, c, 100, 50, 32)
		run()
		pause(t.Context(), time.Second) // virtual: 5,000 requests of 1 ms, 32 at once, need 157 ms
		require.EqualValues(t, 5000, c.done.Load())
		require.LessOrEqual(t, c.peak, int64(32))
		stop()
	})
}

func TestRequestsThatHangKeepNobodyElseFromStarting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{answers: func(event string) time.Duration {
			if event[:4] == "ep0/" {
				return time.Millisecond
			}
			return time.Hour
		}}
		run, stop := flood(t, c, 20, 64, 32)
		run()
		pause(t.Context(), time.Second) // virtual: 1,216 requests that hang start, 32 in every one or two windows
		require.EqualValues(t, 64, c.done.Load(), "the healthy endpoint")
		require.EqualValues(t, 19*64, c.inFlight.Load(), "every endpoint may use its concurrency")
		stop()
	})
}

// Who was let through and has nothing to send any more keeps nobody else waiting.
func TestRequestsThatAreNotNeededAnyMoreTakeNoPlace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		expire    time.Duration
		meanwhile func(l *life)
	}{
		"paused":  {0, func(l *life) { l.SetState("ep_1", ledger.EndpointState{Status: ledger.StatusPaused}) }},
		"expired": {time.Millisecond, func(*life) {}},
	} {
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			l := newLife(t, func(l *life, o *dispatch.Options) {
				other := l.endpoint()
				other.Streamed, other.Config.ID, other.Config.Subscriptions = false, "other", []config.Subscription{{Events: []string{"b"}}}
				other.Sender = sender(func(ctx context.Context, r *webhook.Request) webhook.Result {
					sent++
					pause(ctx, 3*time.Millisecond)
					return answer(r, 200)
				})
				o.MaxYoung, o.Endpoints = 1, []dispatch.Endpoint{*other}
			})
			other := func() {
				l.commit(func(tx *source.Unsettled) {
					l.Dispatch(outbox.Event{ID: "b", Type: "b", Payload: []byte("{}"), CommitLSN: outbox.LSN(l.at)}, tx)
				})
			}
			e := l.endpoint()
			e.Config.Subscriptions = []config.Subscription{{Events: []string{"a"}}}
			l.change(e)
			other()
			synctest.Wait()
			l.timed("waits", "", 0, test.expire)
			synctest.Wait()
			test.meanwhile(l)
			l.later(time.Second)
			require.Zero(t, l.gate.sent(), name)
			require.Len(t, l.tables.rows, 1)
			other()
			l.later(time.Second)
			require.Equal(t, 2, sent, name)
			l.stop()
		})
	}
}
