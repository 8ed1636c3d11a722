package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
)

// TestHTTP2SharesConnections: requests share connections up to the streams that the receiver takes,
// and no further.
func TestHTTP2SharesConnections(t *testing.T) {
	t.Parallel()
	const streams, requests = 2, 6
	release := make(chan struct{})
	narrow := func(s *httptest.Server) {
		s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: streams}
		withH2(s)
	}
	rec := newReceiver(t, narrow, func(http.ResponseWriter, *http.Request) { <-release })
	e := endpointOf(t, clientFor(t, rec), rec.URL, func(ep *config.Endpoint) { ep.Concurrency = requests })
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			if res := e.Send(t.Context(), newRequest()); res.Attempt.StatusCode != http.StatusOK {
				t.Errorf("status %d, error %q", res.Attempt.StatusCode, res.Attempt.Error)
			}
		})
		require.Equal(t, "HTTP/2.0", (<-rec.requests).proto)
	}
	close(release)
	wg.Wait()
	require.EqualValues(t, requests/streams, rec.conns.Load())
	for range requests {
		require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	}
	require.EqualValues(t, requests/streams, rec.conns.Load(), "and later ones use them again")
	e.Close()
	awaitClosed(t, rec, requests/streams)
}

// TestHTTP2Reconnects: connections that the receiver closed are replaced, and no attempt pays for
// it.
func TestHTTP2Reconnects(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, withH2, nil)
	e := endpointOf(t, clientFor(t, rec), rec.URL)
	for range 3 {
		res := e.Send(t.Context(), newRequest())
		require.Equal(t, http.StatusOK, res.Attempt.StatusCode, res.Attempt.Error)
		rec.CloseClientConnections()
		idle(t)
	}
	require.EqualValues(t, 3, rec.conns.Load())
}

// TestHTTP2Reset: a receiver that resets the request fails the attempt; the connection lives on.
func TestHTTP2Reset(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, withH2, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
	})
	c := clientFor(t, rec)
	e := endpointOf(t, c, rec.URL+"/abort")
	for range 2 {
		res := e.Send(t.Context(), newRequest())
		require.Equal(t, "the receiver reset the HTTP/2 request", res.Attempt.Error)
		require.Zero(t, res.Attempt.StatusCode)
	}
	require.Len(t, rec.requests, 2, "not sent again")
	require.EqualValues(t, 1, rec.conns.Load())
}

// TestHTTP2LongAnswer: the rest of an answer that is too long is refused, not read.
func TestHTTP2LongAnswer(t *testing.T) {
	t.Parallel()
	rec := newReceiver(t, withH2, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5_000_000)) })
	e := endpointOf(t, clientFor(t, rec), rec.URL)
	for range 2 {
		res := e.Send(t.Context(), newRequest())
		require.Empty(t, res.Attempt.Error)
		require.True(t, res.Attempt.ResponseTruncated)
		require.LessOrEqual(t, len(res.Attempt.ResponseBody), 16<<10)
	}
	require.EqualValues(t, 1, rec.conns.Load())
}
