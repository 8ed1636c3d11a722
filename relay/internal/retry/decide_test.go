package retry_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/retry"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	gone  = "the endpoint answered 410 Gone"
	asked = "the receiver asked for it (webhook-delivery: disable)"
)

func policy() config.Retry {
	return config.Retry{Schedule: []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute}}
}

// TestDecideEveryStatus holds what each status class means, for all of them.
func TestDecideEveryStatus(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		got := retry.Decide(policy(), 1, retry.Result{StatusCode: status, Error: status == 0}, now, 0)
		switch {
		case status >= 200 && status < 300:
			require.Equal(t, retry.Decision{Outcome: outbox.Delivered}, got, "status %d", status)
		case status == 410:
			require.Equal(t, retry.Decision{Outcome: outbox.Retry, Reason: outbox.ReasonDisabled, Disable: gone}, got)
		default:
			want := retry.Decision{Outcome: outbox.Retry, Reason: outbox.ReasonFailed, Next: now.Add(5 * time.Second)}
			want.Overloaded = slices.Contains([]int{429, 502, 503, 504}, status)
			want.Busy = slices.Contains([]int{429, 503}, status)
			require.Equal(t, want, got, "status %d", status)
		}
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	failed := func(delay time.Duration) retry.Decision {
		return retry.Decision{Outcome: outbox.Retry, Reason: outbox.ReasonFailed, Next: now.Add(delay)}
	}
	busy := func(delay, asks time.Duration) retry.Decision {
		d := failed(delay)
		d.Overloaded, d.Busy, d.Asks = true, true, asks
		return d
	}
	gateway := failed(time.Minute)
	gateway.Overloaded = true
	for name, test := range map[string]struct {
		number int
		result retry.Result
		rnd    float64
		want   retry.Decision
	}{
		"a 200 that was not read to its end is a failure": {1, retry.Result{StatusCode: 200, Error: true}, 0, failed(5 * time.Second)},
		"no answer":                      {1, retry.Result{Error: true}, 0, failed(5 * time.Second)},
		"the second failure":             {2, retry.Result{StatusCode: 500}, 0, failed(5 * time.Minute)},
		"the last scheduled attempt":     {3, retry.Result{StatusCode: 500}, 0, failed(30 * time.Minute)},
		"full jitter is a tenth":         {1, retry.Result{StatusCode: 500}, 1, failed(5500 * time.Millisecond)},
		"jitter below its range":         {1, retry.Result{StatusCode: 500}, -3, failed(5 * time.Second)},
		"jitter beyond its range":        {1, retry.Result{StatusCode: 500}, 7, failed(5500 * time.Millisecond)},
		"jitter that is no number":       {1, retry.Result{StatusCode: 500}, math.NaN(), failed(5 * time.Second)},
		"a later hint wins":              {1, retry.Result{StatusCode: 500, RetryAfter: time.Minute}, 0, failed(time.Minute)},
		"an earlier hint loses":          {1, retry.Result{StatusCode: 500, RetryAfter: time.Second}, 0, failed(5 * time.Second)},
		"a hint is capped":               {1, retry.Result{StatusCode: 400, RetryAfter: 900 * time.Hour}, 0, failed(24 * time.Hour)},
		"a negative hint is none":        {1, retry.Result{StatusCode: 503, RetryAfter: -time.Hour}, 0, busy(5*time.Second, 0)},
		"a hint of an overloaded one":    {1, retry.Result{StatusCode: 429, RetryAfter: time.Minute}, 0, busy(time.Minute, time.Minute)},
		"a capped hint asks for as much": {1, retry.Result{StatusCode: 429, RetryAfter: 900 * time.Hour}, 0, busy(24*time.Hour, 24*time.Hour)},
		"a gateway asks for nothing":     {1, retry.Result{StatusCode: 502, RetryAfter: time.Minute}, 0, gateway},
		"a number below the first":       {0, retry.Result{StatusCode: 500}, 0, failed(5 * time.Second)},
		"over with the attempt":          {2, retry.Result{StatusCode: 401, RetryAfter: time.Minute, Again: true}, 1, failed(0)},
		"the schedule is used up": {
			4,
			retry.Result{StatusCode: 500, RetryAfter: time.Minute},
			0,
			retry.Decision{Outcome: outbox.Dead, Reason: outbox.ReasonExhausted},
		},
		"used up and overloaded": {
			4,
			retry.Result{StatusCode: 503},
			0,
			retry.Decision{Outcome: outbox.Dead, Reason: outbox.ReasonExhausted, Overloaded: true, Busy: true},
		},
		"gone after the schedule is used up waits all the same": {
			4,
			retry.Result{StatusCode: 410},
			0,
			retry.Decision{Outcome: outbox.Retry, Reason: outbox.ReasonDisabled, Disable: gone},
		},
		"has nowhere to go": {
			1,
			retry.Result{Error: true, Permanent: true, Unaddressable: true},
			0,
			retry.Decision{Outcome: outbox.Dead, Reason: outbox.ReasonUnaddressable},
		},
		"cannot be built": {
			1,
			retry.Result{Error: true, Permanent: true},
			0,
			retry.Decision{Outcome: outbox.Dead, Reason: outbox.ReasonInvalid},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, retry.Decide(policy(), test.number, test.result, now, test.rnd))
		})
	}
}

// TestDecideByTheEndpointsOwnStatuses: what an answer means is what its endpoint says, a single
// status before its class, and 410 is what it always was unless it is a success.
func TestDecideByTheEndpointsOwnStatuses(t *testing.T) {
	t.Parallel()
	delivered := retry.Decision{Outcome: outbox.Delivered}
	rejected := retry.Decision{Outcome: outbox.Dead, Reason: outbox.ReasonRejected}
	failed := retry.Decision{Outcome: outbox.Retry, Reason: outbox.ReasonFailed, Next: now.Add(5 * time.Second)}
	disabled := retry.Decision{Outcome: outbox.Retry, Reason: outbox.ReasonDisabled, Disable: gone}
	for name, test := range map[string]struct {
		success, permanent config.Statuses
		want               map[int]retry.Decision
	}{
		"neither":              {nil, nil, map[int]retry.Decision{200: delivered, 299: delivered, 300: failed, 409: failed, 410: disabled}},
		"a single success":     {config.Statuses{"202"}, nil, map[int]retry.Decision{202: delivered, 200: failed, 204: failed}},
		"a class and a single": {config.Statuses{"2xx", "409"}, nil, map[int]retry.Decision{200: delivered, 409: delivered, 408: failed}},
		"refusals":             {nil, config.Statuses{"400", "422"}, map[int]retry.Decision{200: delivered, 400: rejected, 422: rejected, 404: failed, 410: disabled}},
		"a class of refusals":  {config.Statuses{"2xx", "409"}, config.Statuses{"4xx"}, map[int]retry.Decision{409: delivered, 404: rejected, 500: failed}},
		"one that is refused of a class that is not": {config.Statuses{"2xx"}, config.Statuses{"203"}, map[int]retry.Decision{200: delivered, 203: rejected}},
		"410 as a success":                           {config.Statuses{"410"}, nil, map[int]retry.Decision{410: delivered}},
	} {
		p := policy()
		p.Success, p.Permanent = test.success, test.permanent
		for status, want := range test.want {
			require.Equal(t, want, retry.Decide(p, 1, retry.Result{StatusCode: status}, now, 0), "%s: %d", name, status)
		}
	}
	p := policy()
	p.Permanent = config.Statuses{"4xx"}
	require.Equal(t, failed, retry.Decide(p, 1, retry.Result{Error: true}, now, 0), "no answer is no refusal")
	failed.Next = now
	require.Equal(t, failed, retry.Decide(p, 1, retry.Result{StatusCode: 401, Again: true}, now, 0), "it refused the token, not the event")
}

// TestDecideByTheReceiversWord: a receiver may end a delivery, or all of them; a word that it does
// not have says nothing.
func TestDecideByTheReceiversWord(t *testing.T) {
	t.Parallel()
	for word, want := range map[retry.Word]map[int]retry.Decision{
		retry.WordDisable: {
			200: {Outcome: outbox.Delivered, Disable: asked},
			500: {Outcome: outbox.Retry, Reason: outbox.ReasonDisabled, Disable: asked},
			410: {Outcome: outbox.Retry, Reason: outbox.ReasonDisabled, Disable: asked},
		},
		retry.WordAbort: {
			200: {Outcome: outbox.Delivered},
			500: {Outcome: outbox.Dead, Reason: outbox.ReasonRejected},
			410: {Outcome: outbox.Dead, Reason: outbox.ReasonRejected, Disable: gone},
		},
		"Disable": {500: {Outcome: outbox.Retry, Reason: outbox.ReasonFailed, Next: now.Add(5 * time.Second)}},
	} {
		for status, want := range want {
			require.Equal(t, want, retry.Decide(policy(), 1, retry.Result{StatusCode: status, Word: word}, now, 0), "%s: %d", word, status)
		}
	}
}

// TestDecideWithoutAToken: what was not sent for want of an access token is retried by the
// schedule, and says so.
func TestDecideWithoutAToken(t *testing.T) {
	t.Parallel()
	want := retry.Decision{Outcome: outbox.Retry, Reason: outbox.ReasonAuthFailed, Next: now.Add(5 * time.Second)}
	require.Equal(t, want, retry.Decide(policy(), 1, retry.Result{Error: true, Barred: true}, now, 0))
	want = retry.Decision{Outcome: outbox.Dead, Reason: outbox.ReasonExhausted}
	require.Equal(t, want, retry.Decide(policy(), 4, retry.Result{Error: true, Barred: true}, now, 0))
}

func TestDecideWithoutSchedule(t *testing.T) {
	t.Parallel()
	got := retry.Decide(config.Retry{}, 1, retry.Result{StatusCode: 500}, now, 0)
	require.Equal(t, retry.Decision{Outcome: outbox.Dead, Reason: outbox.ReasonExhausted}, got)
}

func genResult(t *rapid.T) retry.Result {
	return retry.Result{
		StatusCode: rapid.IntRange(300, 599).Filter(func(s int) bool { return s != 410 }).Draw(t, "status"),
		RetryAfter: time.Duration(rapid.Int64().Draw(t, "retry after")),
		Error:      rapid.Bool().Draw(t, "error"),
	}
}

// TestNextIsBounded: a retry is never early, and late by a tenth at most.
func TestNextIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		schedule := rapid.SliceOfN(rapid.Int64Range(0, int64(1000*time.Hour)), 1, 12).Draw(t, "schedule")
		p := config.Retry{}
		for _, d := range schedule {
			p.Schedule = append(p.Schedule, time.Duration(d))
		}
		number := rapid.IntRange(1, len(schedule)).Draw(t, "number")
		r := genResult(t)
		d := retry.Decide(p, number, r, now, rapid.Float64().Draw(t, "rnd"))
		require.Equal(t, outbox.Retry, d.Outcome)
		delay, scheduled := d.Next.Sub(now), p.Schedule[number-1]
		base := max(scheduled, min(r.RetryAfter, retry.MaxRetryAfter))
		require.GreaterOrEqual(t, delay, base)
		require.LessOrEqual(t, delay, base+base/10)
		require.LessOrEqual(t, d.Asks, retry.MaxRetryAfter)
	})
}

// TestNextIsMonotone: a longer schedule, hint or jitter never brings an earlier retry.
func TestNextIsMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pair := func(label string) (lo, hi time.Duration) {
			a, b := rapid.Int64().Draw(t, label), rapid.Int64().Draw(t, label)
			return time.Duration(min(a, b)), time.Duration(max(a, b))
		}
		s1, s2 := pair("schedule")
		h1, h2 := pair("hint")
		j1, j2 := rapid.Float64Range(0, 1).Draw(t, "jitter"), rapid.Float64Range(0, 1).Draw(t, "jitter")
		next := func(s, h time.Duration, j float64) time.Time {
			p := config.Retry{Schedule: []time.Duration{s}}
			return retry.Decide(p, 1, retry.Result{StatusCode: 503, RetryAfter: h}, now, j).Next
		}
		require.False(t, next(s2, h2, max(j1, j2)).Before(next(s1, h1, min(j1, j2))))
	})
}

// TestScheduleEnds: whatever fails, the attempts are as many as the schedule has delays, plus the
// first.
func TestScheduleEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "delays")
		p := config.Retry{Schedule: make([]time.Duration, n)}
		number := 1
		for retry.Decide(p, number, genResult(t), now, 0).Outcome == outbox.Retry {
			number++
		}
		require.Equal(t, n+1, number)
	})
}
