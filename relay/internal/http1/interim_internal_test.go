package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What an interim answer says of itself is not taken for what the answer says.
func TestInterimAnswersSayNothingOfTheAnswer(t *testing.T) {
	t.Parallel()
	const answers = "HTTP/1.1 103 Early Hints\r\nRetry-After: 86400\r\nLocation: https://elsewhere.example\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n" +
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
	x := NewExchange()
	keep, err := x.Do(New(replay{r: strings.NewReader(answers)}), []byte("head"), nil)
	require.NoError(t, err)
	require.True(t, keep)
	require.Equal(t, 503, x.Answer.Status)
	require.Empty(t, x.Answer.RetryAfter)
	require.Empty(t, x.Answer.Location)
	require.Empty(t, x.Answer.Date)
}
