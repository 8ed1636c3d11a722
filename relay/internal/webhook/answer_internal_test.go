package webhook

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// replay is a connection whose peer says what it was given and then closes.
type replay struct {
	net.Conn

	r io.Reader
}

func (c replay) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c replay) Write(b []byte) (int, error) { return len(b), nil }

// brokenPipe is a connection whose peer has answered, and closed, before it had read the whole request.
type brokenPipe struct{ replay }

func (brokenPipe) Write([]byte) (int, error) { return 10, syscall.EPIPE }

// TestNoReuseAfterAWriteError: a request that was not written whole leaves a connection on which the receiver would take
// the next request for the rest of this one. Its answer counts all the same.
func TestNoReuseAfterAWriteError(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
	x := newExchange()
	keep, err := x.do(newConn(replay{r: strings.NewReader(answer)}))
	require.NoError(t, err)
	require.True(t, keep, "an answer like this keeps the connection otherwise")

	x = newExchange()
	keep, err = x.do(newConn(brokenPipe{replay{r: strings.NewReader(answer)}}))
	require.NoError(t, err)
	require.False(t, keep)
	require.Equal(t, http.StatusRequestEntityTooLarge, x.answer.status)
	require.Equal(t, "big", string(x.capture))
}

// FuzzAnswer: no answer makes the client panic; and whenever it would use the connection again, net/http's reading of
// the same bytes has the same status, the same body, and ends at the same byte, so that the next answer is the next
// request's.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 0\n\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nRetry-After: 3\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		x := newExchange()
		keep, err := x.do(newConn(replay{r: bytes.NewReader(answer)}))
		require.LessOrEqual(t, len(x.capture), maxCapture)
		body, _ := cleanBody(x.capture, x.answer.truncated)
		require.LessOrEqual(t, len(body), maxCapture)
		if !keep || err != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(answer))
		status, theirs := 0, []byte(nil)
		for status < http.StatusOK {
			resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodPost})
			require.NoError(t, err)
			theirs, err = io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			status = resp.StatusCode
		}
		require.Equal(t, status, x.answer.status)
		require.Equal(t, len(theirs) > len(x.capture), x.answer.truncated)
		require.True(t, bytes.HasPrefix(theirs, x.capture))
		_, err = br.Peek(1)
		require.ErrorIs(t, err, io.EOF, "bytes are left")
	})
}
