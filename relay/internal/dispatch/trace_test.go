package dispatch_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/dispatch"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// spans notes what came of an attempt.
type spans func(made *outbox.Attempt, outcome outbox.Outcome)

func (spans) Headers() (traceparent, tracestate string) { return "00-ours", "k=v" }

func (s spans) End(made *outbox.Attempt, outcome outbox.Outcome) { s(made, outcome) }

// traced is a Sender that answers for each event, and leaves the third of a batch for later.
type traced func(r *webhook.Request) webhook.Result

func (s traced) Send(_ context.Context, r *webhook.Request) webhook.Result {
	if r.Traceparent != "00-ours" || r.Tracestate != "k=v" {
		panic("a request without the context of its spans")
	}
	return s(r)
}

func (s traced) SendBatch(_ context.Context, b *webhook.Batch) (results []webhook.Result) {
	if n := len(b.Requests); n > 2 {
		b.Left(n - 2)
		b.Requests = b.Requests[:2]
	}
	for i := range b.Requests {
		results = append(results, s(&b.Requests[i]))
		results[i].Delivered = results[i].Attempt.StatusCode == http.StatusOK
	}
	return results
}

// Each attempt has spans of its own, also of a batch: they end with what came of that event. What
// was not sent has no outcome. And each is found by its search terms.
func TestTrace_isOfEachAttempt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		events int // of a batch
		want   []string
	}{
		"single events": {0, []string{"e1 #1 stream 200 delivered", "e2 #1 stream 500 retry", "e3 #1 stream 200 delivered", "e2 #2 retry 500 dead"}},
		"a batch": {4, []string{
			"e1 #1 stream 200 delivered", "e2 #1 stream 500 retry", "e3 #1 stream 0 ", "e3 #1 stream 200 delivered", "e2 #2 retry 500 dead",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				search, diags := config.CompileSearch("{ id = event.id }", "x.hcl", 1)
				require.Empty(t, diags)
				var ended []string
				l := newLife(t, func(_ *life, o *dispatch.Options) {
					o.Search = search
					o.Trace = func(ev *outbox.Event, endpoint string, number int, trigger outbox.Trigger, at time.Time) dispatch.Trace {
						require.Equal(t, "ep_1", endpoint)
						require.Equal(t, time.Now(), at)
						return spans(func(made *outbox.Attempt, outcome outbox.Outcome) {
							ended = append(ended, fmt.Sprintf("%s #%d %s %d %s", ev.ID, number, trigger, made.StatusCode, outcome))
						})
					}
				})
				e := l.endpoint()
				e.Config.Batch = config.Batch{Events: test.events, Bytes: 10_000, Wait: time.Second}
				e.Sender = traced(func(r *webhook.Request) webhook.Result {
					if r.Event.ID == "e2" {
						return answer(r, 500)
					}
					return answer(r, 200)
				})
				l.change(e)
				events(l, 1, 3)
				l.later(5 * time.Minute)
				require.Equal(t, test.want, ended)
				for _, a := range l.tables.attempts {
					require.Equal(t, []string{"id=" + a.EventID}, a.Search)
				}
				l.stop()
			})
		})
	}
}

// What waits and was never attempted is found by its search terms too; once it was attempted, it is
// found by those of its attempt.
func TestTrace_whatWasNeverAttemptedIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		search, diags := config.CompileSearch("{ id = event.id }", "x.hcl", 1)
		require.Empty(t, diags)
		l := newLife(t, func(_ *life, o *dispatch.Options) { o.Search = search })
		e := l.endpoint()
		e.Config.Retry = config.Retry{Schedule: []time.Duration{time.Hour}}
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 500) })
		l.change(e)
		l.timed("later", "", time.Hour, 0)
		l.event("failed")
		l.later(time.Minute)
		require.Equal(t, []string{"id=later"}, l.requireRow("later", outbox.Pending, outbox.ReasonScheduled).Search)
		failed := l.requireRow("failed", outbox.Pending, outbox.ReasonFailed)
		require.Equal(t, 1, failed.Attempts)
		require.Empty(t, failed.Search)
		l.stop()
	})
}
