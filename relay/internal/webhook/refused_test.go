package webhook_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOAuth2_tokenThatIsRefused: a token that the receiver no longer takes is replaced, and the
// delivery may be attempted at once; a new one that is refused too is a failure as any other.
func TestOAuth2_tokenThatIsRefused(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	rec := a.guarded(t)
	e := a.endpoint(t, rec.URL)
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	first := (<-rec.requests).header.Get("Authorization")
	require.NoError(t, a.oauth.Manager.RemoveAccessToken(t.Context(), first[len("Bearer "):]))
	res := e.Send(t.Context(), newRequest())
	require.Equal(t, http.StatusUnauthorized, res.Attempt.StatusCode)
	require.True(t, res.Again)
	require.False(t, res.Barred)
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	require.EqualValues(t, 2, a.fetches.Load())

	strict := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	e = a.endpoint(t, strict.URL)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			res := e.Send(t.Context(), newRequest())
			if res.Attempt.StatusCode != http.StatusUnauthorized || res.Again {
				t.Errorf("status %d, again: %t", res.Attempt.StatusCode, res.Again)
			}
		})
	}
	group.Wait()
}

// TestOAuth2_tokenThatIsForbidden: some gateways answer 403 once a token has ended. Receivers
// answer it to what a client may not do too: that fetches no token for each event.
func TestOAuth2_tokenThatIsForbidden(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	var only atomic.Pointer[string] // the token that is not taken
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) {
		if refused := only.Load(); refused != nil && (*refused == "" || *refused == r.Header.Get("Authorization")) {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	e := a.endpoint(t, rec.URL)
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	first := (<-rec.requests).header.Get("Authorization")
	only.Store(&first)
	res := e.Send(t.Context(), newRequest())
	require.Equal(t, http.StatusForbidden, res.Attempt.StatusCode)
	require.True(t, res.Again)
	require.True(t, e.Send(t.Context(), newRequest()).Delivered)
	require.EqualValues(t, 2, a.fetches.Load())

	only.Store(new(string))
	for range 3 {
		res = e.Send(t.Context(), newRequest())
		require.Equal(t, http.StatusForbidden, res.Attempt.StatusCode)
		require.False(t, res.Again)
	}
	require.EqualValues(t, 2, a.fetches.Load())
}

// TestOAuth2_refusedWithoutAToken: that another receiver refuses what came without a token says
// nothing about the token.
func TestOAuth2_refusedWithoutAToken(t *testing.T) {
	t.Parallel()
	a := newAuthorizer(t, time.Hour)
	elsewhere := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, r *http.Request) { redirecting(307, constant(elsewhere.URL))(w, r) })
	e := a.endpoint(t, rec.URL, follows(1))
	for range 2 {
		res := e.Send(t.Context(), newRequest())
		require.Equal(t, http.StatusUnauthorized, res.Attempt.StatusCode)
		require.False(t, res.Again)
	}
	require.EqualValues(t, 1, a.fetches.Load())
}
