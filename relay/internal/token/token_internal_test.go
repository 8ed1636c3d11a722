package token

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/egress"
)

// Requests of before may be refused while there is a new token already: that one is kept.
func TestRefusedIsTheTokenThatWasSent(t *testing.T) {
	t.Parallel()
	for _, sure := range []bool{true, false} {
		s := &Source{kept: kept{value: "new", taken: true}, before: kept{value: "old", taken: true}}
		knows := func(want string) {
			value, err := s.known(time.Now())
			require.NoError(t, err)
			require.Equal(t, want, value)
		}
		require.True(t, s.Refused("old", sure))
		require.False(t, s.Refused("older", sure))
		s.Taken("older")
		knows("new")
		require.True(t, s.Refused("new", sure))
		require.True(t, s.Refused("new", sure), "another request was under way with it")
		require.False(t, s.Refused("old", sure))
		knows("")

		s = &Source{kept: kept{value: "new"}, before: kept{value: "old", taken: true}}
		s.Taken("old")
		require.False(t, s.Refused("new", sure), "the receiver took the one before, and never this one")
	}
}

// A 401 is about the token. A 403 may be about the event: it has a token replaced that the receiver
// took until then, and not for each event that it forbids.
func TestATokenIsReplacedForA403OnceAMinute(t *testing.T) {
	t.Parallel()
	s := &Source{kept: kept{value: "first"}}
	require.False(t, s.Refused("first", false), "the receiver never took it")
	require.Equal(t, "first", s.kept.value)
	s.Taken("first")
	require.True(t, s.Refused("first", false))
	s.keep(kept{value: "second", taken: true})
	require.False(t, s.Refused("second", false))
	require.Equal(t, "second", s.kept.value)
	s.doubted = s.doubted.Add(-doubtEvery)
	require.True(t, s.Refused("second", false))

	s.keep(kept{value: "third"})
	require.False(t, s.Refused("third", true), "a new token that is refused says something about the client")
	require.Empty(t, s.kept.value)
}

// The longer a token endpoint fails, the less often it is asked; once it has worked, a failure is a
// first one again.
func TestPausesBeginAnewOnceThereWasAToken(t *testing.T) {
	t.Parallel()
	var works atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !works.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"access_token": "good", "token_type": "Bearer"}`))
	}))
	t.Cleanup(server.Close)
	dialer, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	s, err := New(config.Auth{Kind: config.AuthOAuth2, ClientID: "tailpost", Secret: config.NewSecret("secret"), TokenURL: server.URL}, dialer, nil)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	fails := func() (pause time.Duration) {
		s.retryAt = time.Time{} // as if the pause were over
		began := time.Now()
		_, err := s.Token(t.Context())
		require.ErrorContains(t, err, "answered 503")
		require.False(t, s.retryAt.Before(began))
		return time.Until(s.retryAt)
	}
	require.LessOrEqual(t, fails(), time.Second)
	for range 4 {
		fails()
	}
	require.Greater(t, fails(), 10*time.Second)

	works.Store(true)
	s.retryAt = time.Time{}
	value, err := s.Token(t.Context())
	require.NoError(t, err)
	s.Refused(value, true)
	works.Store(false)
	require.LessOrEqual(t, fails(), time.Second)
}
