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
func following(t *testing.T, asJSON bool, handler func(w http.ResponseWriter, r *http.Request, stop func())) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" || r.URL.RawQuery != "outcome=retry" {
			t.Errorf("%s of %q was asked for", r.Header.Get("Accept"), r.URL.RawQuery)
		}
		handler(w, r, cancel)
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	var out, complaints bytes.Buffer
	f := &follower{
		app: &app{stdout: &out, stderr: &complaints}, client: &client{base: base, http: server.Client()},
		query: url.Values{"outcome": {"retry"}}, asJSON: asJSON, pause: time.Millisecond,
	}
	err = f.run(ctx)
	return out.String(), complaints.String(), err
}

func TestAFollowedStreamGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	stdout, stderr, err := following(t, true, func(w http.ResponseWriter, r *http.Request, stop func()) {
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
		_, _ = fmt.Fprintf(w, "retry: 2000\n\n: alive\n\nevent: attempt\ndata: {\"number\":%d}\n\ndata: {\"number\":99}\n\nid: place-%d\nevent: seen\ndata: {}\n\n", n, n)
		_, _ = fmt.Fprint(w, "event: skipped\ndata: {\"skipped\":7}\n\n")
	})
	require.NoError(t, err, "an interrupt is no failure")
	require.Equal(t, "{\"number\":1}\n{\"number\":3}\n", stdout)
	require.Contains(t, stderr, "7 attempts left out")
	require.Equal(t, 3, strings.Count(stderr, "the stream ended, asking for it again"))
}

func TestAStreamThatIsRefusedIsAFailure(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		var asked atomic.Int64
		_, _, err := following(t, true, func(w http.ResponseWriter, _ *http.Request, stop func()) {
			if asked.Add(1) > 1 {
				stop()
			}
			http.Error(w, `{"detail": "This key lacks the scope deliveries:read."}`, status)
		})
		require.ErrorContains(t, err, fmt.Sprintf("the API answers %d: This key lacks the scope", status))
		require.EqualValues(t, 1, asked.Load())
	}
}

// The columns are named once, and an attempt may be as large as its answer.
func TestAFollowedTableHasOneHead(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	large := strings.Repeat("x", 200<<10)
	stdout, _, err := following(t, false, func(w http.ResponseWriter, _ *http.Request, stop func()) {
		n := asked.Add(1)
		if n == 3 {
			stop()
			return
		}
		_, _ = fmt.Fprintf(w, "event: attempt\ndata: {\"number\":%d,\"response_body\":%q}\n\n", n, large)
	})
	require.NoError(t, err)
	lines := strings.Split(stdout, "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, "^AT +EVENT ", lines[0])
	require.Regexp(t, "^- +- +- +- +1 +- +- +0 +-$", lines[1])
	require.Regexp(t, "^- +- +- +- +2 +- +- +0 +-$", lines[2])
}

// A relay that restarts, or has too many tails, is asked again; a key that was taken away is told.
func TestAStreamThatEndsIsAskedForUntilItIsRefused(t *testing.T) {
	t.Parallel()
	statuses := []int{http.StatusOK, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusForbidden, http.StatusOK}
	var asked atomic.Int64
	_, stderr, err := following(t, true, func(w http.ResponseWriter, _ *http.Request, stop func()) {
		n := asked.Add(1)
		if int(n) == len(statuses) {
			stop()
		}
		w.WriteHeader(statuses[n-1])
		_, _ = fmt.Fprint(w, `{"detail": "Not now."}`)
	})
	require.ErrorContains(t, err, "the API answers 403: Not now.")
	require.EqualValues(t, 4, asked.Load())
	require.Equal(t, 3, strings.Count(stderr, "the stream ended, asking for it again"))
	require.Contains(t, stderr, "asking for it again: the API answers 429: Not now.")
}

func TestATailThatNobodyReadsEnds(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = fmt.Fprint(w, "event: attempt\ndata: {}\n\n")
	}))
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := stopsAt{text: "again", stop: cancel}
	f := &follower{app: &app{stdout: brokenWriter{}, stderr: &said}, client: &client{base: base, http: server.Client()}, asJSON: true, pause: time.Hour}
	require.ErrorContains(t, f.run(ctx), "write the result: disk full")
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
	p, total = progress{now: p.now}, 10
	require.Equal(t, "0 of 10 queued (0 %)", p.say("queued", 0, &total))
	require.Equal(t, "1 of 10 queued (10 %)", p.say("queued", 1, &total), "no time has passed")
	now = now.Add(time.Second)
	require.Equal(t, "10 of 10 queued (100 %), 10/s", p.say("queued", 10, &total))
	now = now.Add(time.Second)
	require.Equal(t, "30 of 10 queued (100 %), 15/s", p.say("queued", 30, &total), "the total may have been too low")
	p, total = progress{now: p.now}, 0
	require.Equal(t, "0 of 0 queued", p.say("queued", 0, &total))
	now, total = now.Add(time.Second), 1000
	require.Equal(t, "999 of 1000 queued (99 %), 999/s, 1s left", p.say("queued", 999, &total))
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
