package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// following follows what handler streams, until it cancels.
func following(t *testing.T, handler func(w http.ResponseWriter, r *http.Request, stop func())) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(w, r, cancel) }))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	var out, complaints bytes.Buffer
	f := &follower{
		app: &app{stdout: &out, stderr: &complaints}, client: &client{base: base, http: server.Client()}, asJSON: true, pause: time.Millisecond,
	}
	err = f.run(ctx)
	return out.String(), complaints.String(), err
}

func TestAFollowedStreamGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	stdout, stderr, err := following(t, func(w http.ResponseWriter, r *http.Request, stop func()) {
		n := asked.Add(1)
		if n == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		want := map[int64]string{1: "", 3: "place-1", 4: "place-3"}[n]
		if got := r.Header.Get("Last-Event-ID"); got != want {
			t.Errorf("stream %d began at %q, want %q", n, got, want)
		}
		if n == 4 {
			stop()
			return
		}
		_, _ = fmt.Fprintf(w, "retry: 2000\n\n: alive\n\nevent: attempt\ndata: {\"number\":%d}\n\nid: place-%d\nevent: seen\ndata: {}\n\n", n, n)
		_, _ = fmt.Fprint(w, "event: skipped\ndata: {\"skipped\":7}\n\n")
	})
	require.NoError(t, err, "an interrupt is no failure")
	require.Equal(t, "{\"number\":1}\n{\"number\":3}\n", stdout)
	require.Contains(t, stderr, "7 attempts left out")
	require.Equal(t, 3, strings.Count(stderr, "the stream ended, asking for it again"))
}

func TestAStreamThatIsRefusedIsAFailure(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	_, _, err := following(t, func(w http.ResponseWriter, _ *http.Request, _ func()) {
		asked.Add(1)
		http.Error(w, `{"detail": "This key lacks the scope deliveries:read."}`, http.StatusForbidden)
	})
	require.ErrorContains(t, err, "the API answers 403: This key lacks the scope")
	require.EqualValues(t, 1, asked.Load())
}

func TestProgressSaysRateAndRemainingTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	p := progress{now: func() time.Time { return now }}
	total := int64(1000)
	require.Equal(t, "0 of 1000 queued (0 %)", p.say("queued", 0, &total))
	now = now.Add(10 * time.Second)
	require.Equal(t, "200 of 1000 queued (20 %), 20/s, 40s left", p.say("queued", 200, &total))
	now = now.Add(40 * time.Second)
	require.Equal(t, "240 of 1000 queued (24 %), 1.0/s, 12m40s left", p.say("queued", 240, &total), "what is long ago does not count")
	now = now.Add(30 * time.Second)
	require.Equal(t, "240 of 1000 queued (24 %)", p.say("queued", 240, &total), "nothing moves, so nobody knows")
	now = now.Add(time.Second)
	require.Equal(t, "1000 of 1000 queued (100 %), 25/s", p.say("queued", 1000, &total))
	require.Equal(t, "7 discarded", (&progress{}).say("discarded", 7, nil))
}

func TestADiscardGoesOnUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, _ *http.Request) {
		n := calls.Add(1)
		_, _ = fmt.Fprintf(w, `{"matched": 10000, "changed": 10000, "more": %v}`, n < 3)
	}, "discard", "--all")
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, "30000 deliveries discarded\n", stdout)
	require.Contains(t, stderr, "10000 discarded")
}

func TestReplaysThatWaitSayHowFarTheyAre(t *testing.T) {
	t.Parallel()
	answers := []string{
		`{"id": "rp_1", "state": "pending"}`,
		`{"id": "rp_1", "state": "running", "total": 40, "done": 10}`,
		`{"id": "rp_1", "state": "failed", "total": 40, "done": 20, "error": "the table is gone"}`,
	}
	var asked atomic.Int64
	code, stdout, stderr := askAPI(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = fmt.Fprint(w, answers[0])
			return
		}
		_, _ = fmt.Fprint(w, answers[asked.Add(1)-1])
	}, "replay", "--endpoint", "erp", "--wait")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "replay rp_1 has not begun: a relay that delivers takes it up")
	require.Contains(t, stderr, "replay rp_1: 10 of 40 events looked at (25 %)")
	require.Contains(t, stderr, "the table is gone")
	require.Contains(t, stdout, "failed")
}
