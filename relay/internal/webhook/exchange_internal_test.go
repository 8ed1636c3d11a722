package webhook

import (
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

// What one attempt came to says nothing of the next one that uses its exchange.
func TestAnExchangeForgetsItsAttempt(t *testing.T) {
	t.Parallel()
	x := newExchange()
	x.head, x.body = append(x.head, "POST"...), append(x.body, "{}"...)
	x.at, x.token, x.shown = &url.URL{Host: "elsewhere.example"}, "t0k", true
	x.sent, x.held, x.reached, x.again = x.body, func() bool { return false }, true, true
	x.Answer = http1.Answer{Status: 503, RetryAfter: "9", Body: []byte("busy")}
	x.release(&sync.Pool{})
	require.False(t, x.reached)
	require.False(t, x.again)
	require.Nil(t, x.held)
	require.Nil(t, x.at, "where it went is not where the next one is redirected from")
	require.Empty(t, x.token)
	require.False(t, x.shown)
	require.Nil(t, x.sent)
	require.Empty(t, x.head)
	require.Empty(t, x.body)
	require.Zero(t, x.Answer.Status)
	require.Empty(t, x.Answer.RetryAfter)
	require.Empty(t, x.Answer.Body)
}
