package http1

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What an interim answer says of itself is not taken for what the answer says.
func TestInterimAnswersSayNothingOfTheAnswer(t *testing.T) {
	t.Parallel()
	const answers = "HTTP/1.1 103 Early Hints\r\nRetry-After: 86400\r\nLocation: https://elsewhere.example\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n" +
		"Webhook-Delivery: stop\r\nProxy-Authenticate: Basic\r\n\r\n" +
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
	x := NewExchange()
	x.KeepFields = true
	keep, err := x.Do(New(replay{r: strings.NewReader(answers)}), []byte("head"), nil)
	require.NoError(t, err)
	require.True(t, keep)
	require.Equal(t, Answer{Status: 503, Body: []byte("busy"), Fields: []Field{{"Content-Length", "4"}}}, x.Answer)
	_, err = asked(x, strings.NewReader("HTTP/1.1 103 Early Hints\r\n\r\n"))
	require.Error(t, err)
	require.Zero(t, x.Answer.Status, "nothing came after it")
}

// TestExchange_keepsTheFirstLines, each as it is, however long.
func TestExchange_keepsTheFirstLines(t *testing.T) {
	t.Parallel()
	x := NewExchange()
	x.KeepFields = true
	var answer strings.Builder
	var want []Field
	for i := range MaxFields + 1 {
		f := Field{"X-" + strconv.Itoa(i), strings.Repeat(string(rune('A'+i)), readBuffer+10*i)}
		want = append(want, f)
		answer.WriteString(f.Name + ": \t" + f.Value + " \r\n")
	}
	_, err := asked(x, strings.NewReader("HTTP/1.1 204 No Content\r\n"+answer.String()+"\r\n"))
	require.NoError(t, err)
	require.Equal(t, want[:MaxFields], x.Answer.Fields)
}
