package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/webhook"
)

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(1994, 11, 6, 8, 49, 7, 0, time.UTC)
	const year = 366 * 24 * time.Hour
	for header, want := range map[string]time.Duration{
		"0":                               0,
		"120":                             2 * time.Minute,
		" 5 ":                             5 * time.Second,
		"0000000000000000000000000000007": 7 * time.Second,
		"99999999999999999999999999":      year,
		"9223372036854775807":             year,
		"Sun, 06 Nov 1994 08:49:37 GMT":   30 * time.Second,
		"Sunday, 06-Nov-94 08:49:37 GMT":  30 * time.Second,
		"Sun Nov  6 08:49:37 1994":        30 * time.Second,
		"Sun, 06 Nov 1994 08:49:00 GMT":   0,
		"Fri, 31 Dec 9999 23:59:59 GMT":   year,
		"Mon, 01 Jan 0001 00:00:00 GMT":   0,
	} {
		got, ok := webhook.ParseRetryAfter(header, now)
		require.True(t, ok, header)
		require.Equal(t, want, got, header)
	}
	for _, header := range []string{"", " ", "-1", "+1", "1.5", "1e3", "0x10", "soon", "Sun, 06 Nov 1994 08:49:37 CET", "٣", "5 s", "1,2"} {
		_, ok := webhook.ParseRetryAfter(header, now)
		require.False(t, ok, header)
	}
}

func TestRetryAfterReachesTheResult(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{"30": 30 * time.Second, "": 0, "later": 0} {
		rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		res := newEndpoint(t, rec.URL).Send(t.Context(), newRequest())
		require.Equal(t, 503, res.Attempt.StatusCode)
		require.Empty(t, res.Attempt.Error)
		require.Equal(t, want, res.RetryAfter)
	}
}

// TestRetryAfterIsByTheReceiversClock, which its Date shows, however far it is from ours.
func TestRetryAfterIsByTheReceiversClock(t *testing.T) {
	t.Parallel()
	const format, wait = http.TimeFormat, 30 * time.Second
	for name, ahead := range map[string]time.Duration{"behind": -time.Hour, "ahead": time.Hour} {
		for _, start := range []func(*httptest.Server){plainHTTP, withH2} {
			rec := newReceiver(t, start, func(w http.ResponseWriter, _ *http.Request) {
				now := time.Now().UTC().Add(ahead)
				w.Header().Set("Date", now.Format(format))
				w.Header().Set("Retry-After", now.Add(wait).Format(format))
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			c := newClient(t, webhook.Options{Network: loopback()})
			if rec.TLS != nil {
				c = clientFor(t, rec)
			}
			res := endpointOf(t, c, rec.URL).Send(t.Context(), newRequest())
			require.Equal(t, 503, res.Attempt.StatusCode, res.Attempt.Error)
			require.Equal(t, wait, res.RetryAfter, name)
		}
	}
}

// FuzzParseRetryAfter: no header panics, none gives a negative delay, none gives one that could
// overflow a time.
func FuzzParseRetryAfter(f *testing.F) {
	f.Add("120", int64(0))
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT", int64(784111777))
	f.Fuzz(func(t *testing.T, header string, unix int64) {
		got, ok := webhook.ParseRetryAfter(header, time.Unix(unix%(1<<40), 0))
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, 366*24*time.Hour)
		if !ok {
			require.Zero(t, got)
		}
	})
}
