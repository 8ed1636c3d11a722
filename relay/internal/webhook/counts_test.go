package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/retry"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// TestAnswerCounts: by its status, with a note on what was wrong with the rest, or once all of it
// came, as the endpoint asks for.
func TestAnswerCounts(t *testing.T) {
	t.Parallel()
	whole := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") }
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	unended := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "chunk")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	late := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	conflict := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusConflict)
		unended(w, r)
	}
	for name, test := range map[string]struct {
		receiver http.HandlerFunc
		whole    bool
		timeout  time.Duration
	}{
		"whole": {whole, true, time.Minute}, "cut short": {cut, false, time.Minute}, "badly framed": {unended, false, time.Minute},
		"late": {late, false, 2 * time.Second}, "success of its own": {conflict, false, time.Minute},
	} {
		for protocol, start := range map[string]func(*httptest.Server){"http/1.1": plainHTTP, "h2": withH2} {
			for _, answer := range []config.Answer{"", config.AnswerStatus, config.AnswerComplete} {
				t.Run(name+" "+protocol+" "+string(answer), func(t *testing.T) {
					t.Parallel()
					rec := newReceiver(t, start, test.receiver)
					o := webhook.Options{Network: loopback()}
					if protocol == "h2" {
						o.Roots = rootsOf(t, rec)
					}
					var policy config.Retry
					e := endpointOf(t, newClient(t, o), rec.URL, func(ep *config.Endpoint) {
						ep.Answer, ep.Timeout = answer, test.timeout
						ep.Retry = config.Retry{Schedule: []time.Duration{time.Minute}, Success: config.Statuses{"2xx", "409"}}
						policy = ep.Retry
					})
					res := e.Send(t.Context(), newRequest())
					require.NotZero(t, res.Attempt.StatusCode)
					require.Equal(t, test.whole, res.Attempt.Error == "", "what was wrong is noted: %q", res.Attempt.Error)
					counts := test.whole || answer != config.AnswerComplete
					require.Equal(t, counts, res.Delivered)
					d := retry.Decide(policy, 1, retry.Result{StatusCode: res.Attempt.StatusCode, Error: res.Attempt.Error != "" && !res.Delivered}, time.Now(), 0)
					require.Equal(t, counts, d.Next.IsZero(), "what does not count is tried again")
				})
			}
		}
	}
}

// What a Date says of the receiver's clock has whole seconds: one that is right is not said to
// differ.
func TestRefused_saysHowFarTheReceiversClockIsAhead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ahead       time.Duration
		least, most time.Duration
	}{
		"right":        {0, 0, 0},
		"an hour on":   {time.Hour, time.Hour - 10*time.Second, time.Hour},
		"an hour back": {-time.Hour, -time.Hour - time.Second, -time.Hour + 10*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(test.ahead).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusUnauthorized)
			})
			heard := make(chan time.Duration, 1)
			o := webhook.Options{Network: loopback(), Refused: func(_ string, ahead time.Duration) { heard <- ahead }}
			res := endpointOf(t, newClient(t, o), rec.URL).Send(t.Context(), newRequest())
			require.Equal(t, http.StatusUnauthorized, res.Attempt.StatusCode)
			ahead := <-heard
			require.GreaterOrEqual(t, ahead, test.least)
			require.LessOrEqual(t, ahead, test.most)
		})
	}
}
