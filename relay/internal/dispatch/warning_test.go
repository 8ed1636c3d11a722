package dispatch_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// TestSomebodyHearsBeforeAnEndpointIsDisabled: at half of disable_after and at three quarters, once
// each, and again from the start after a success.
func TestSomebodyHearsBeforeAnEndpointIsDisabled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		began := time.Now()
		e := l.endpoint()
		e.Config.Retry.Schedule = slices.Repeat([]time.Duration{time.Minute}, 1000)
		e.Config.DisableAfter = 100 * time.Minute
		e.Config.Subscriptions = []config.Subscription{{}, {Events: []string{"webhook.disabling", "webhook.disabled"}}}
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result {
			if since := time.Since(began); since > 60*time.Minute && since < 70*time.Minute {
				return answer(r, 200)
			}
			return answer(r, 500)
		})
		l.change(e)
		l.event("e1")
		l.later(65 * time.Minute)
		l.event("e2") // arrives
		l.later(15 * time.Minute)
		l.event("e3")
		l.later(200 * time.Minute)
		require.Equal(t, []warning{
			{outbox.TypeDisabling, 50 * time.Minute}, // then it succeeds
			{outbox.TypeDisabling, 50 * time.Minute},
			{outbox.TypeDisabling, 75 * time.Minute},
			{outbox.TypeDisabled, 100 * time.Minute},
		}, warningsOf(t, l, 100*time.Minute))
		l.stop()
	})
}

// TestAnEndpointThatMayFailForLongerIsWarnedOfAgain: before the end that it has by now.
func TestAnEndpointThatMayFailForLongerIsWarnedOfAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		e := l.endpoint()
		e.Config.Retry.Schedule = slices.Repeat([]time.Duration{time.Minute}, 1000)
		e.Config.DisableAfter = 100 * time.Minute
		e.Config.Subscriptions = []config.Subscription{{}, {Events: []string{"webhook.disabling", "webhook.disabled"}}}
		e.Sender = sender(func(_ context.Context, r *webhook.Request) webhook.Result { return answer(r, 500) })
		l.change(e)
		l.event("e1")
		l.later(90 * time.Minute)
		require.Len(t, warningsOf(t, l, 100*time.Minute), 2)
		e.Config.DisableAfter = 400 * time.Minute
		l.change(e)
		l.tables.emitted = nil
		l.later(400 * time.Minute)
		require.Equal(t, []warning{
			{outbox.TypeDisabling, 200 * time.Minute}, {outbox.TypeDisabling, 300 * time.Minute}, {outbox.TypeDisabled, 400 * time.Minute},
		}, warningsOf(t, l, 400*time.Minute))
		l.stop()
	})
}

type warning struct {
	Type string
	At   time.Duration // since the first failure
}

// warningsOf returns what was told of an endpoint that is disabled after a time.
func warningsOf(t *testing.T, l *life, after time.Duration) (heard []warning) {
	t.Helper()
	for _, content := range l.tables.emitted {
		var told struct {
			Event struct {
				Type      string    `json:"type"`
				CreatedAt time.Time `json:"created_at"`
				Data      struct {
					Since    time.Time `json:"failing_since"`
					Disables time.Time `json:"disables_at"`
				} `json:"data"`
			} `json:"event"`
		}
		require.NoError(t, json.Unmarshal(content, &told))
		since := told.Event.Data.Since
		if told.Event.Type == outbox.TypeDisabling {
			require.Equal(t, after, told.Event.Data.Disables.Sub(since))
		}
		heard = append(heard, warning{told.Event.Type, told.Event.CreatedAt.Sub(since).Truncate(5 * time.Minute)})
	}
	return heard
}
