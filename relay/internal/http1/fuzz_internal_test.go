package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAnswer: no answer makes the client panic, and whenever it would use the connection again,
// net/http agrees.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 0\n\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nRetry-After: 3\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) { agrees(t, answer) })
}

// TestLineEndings: of every line of an answer, whatever ends it, the client reads no other end than
// net/http does.
func TestLineEndings(t *testing.T) {
	t.Parallel()
	const head, chunks = 4, 8
	lines := []string{
		"HTTP/1.1 200 OK", "X-A: b", "Transfer-Encoding: chunked", "", // the head
		"2", "ok", "0", "X-Sum: 1", "", // chunks, trailers
	}
	kept := 0
	for _, ending := range []string{"\n", "\r", "\r\r\n", " \r\n", "\n\r\n", ""} {
		for wrong := range lines {
			var b bytes.Buffer
			for i, line := range lines {
				b.WriteString(line)
				if i == wrong {
					b.WriteString(ending)
				} else {
					b.WriteString("\r\n")
				}
			}
			if agrees(t, b.Bytes()) {
				kept++
				require.Less(t, wrong, chunks, "%q", b.String())
				if ending == "\n" {
					require.Less(t, wrong, head, "a bare line feed ends a line of the head alone: %q", b.String())
				}
			}
		}
	}
	require.Positive(t, kept, "some of it is harmless")
}

// agrees reports whether the client would use the connection again after an answer. If it would,
// net/http's reading of the same bytes has the same status and body, and ends at the same byte, so
// that the next answer is the next request's.
func agrees(t *testing.T, answer []byte) (kept bool) {
	t.Helper()
	x := NewExchange()
	keep, err := x.Do(New(replay{r: bytes.NewReader(answer)}), []byte("head"), nil)
	require.LessOrEqual(t, len(x.Answer.Body), MaxBody)
	if !keep || err != nil {
		return false
	}
	br := bufio.NewReaderSize(bytes.NewReader(answer), 2*MaxHead) // net/http wants trailers to fit in its buffer
	status, theirs := 0, []byte(nil)
	for status < http.StatusOK {
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodPost})
		require.NoError(t, err, "%q", answer)
		theirs, err = io.ReadAll(resp.Body)
		require.NoError(t, err, "%q", answer)
		require.NoError(t, resp.Body.Close())
		status = resp.StatusCode
	}
	require.Equal(t, status, x.Answer.Status)
	require.Equal(t, len(theirs) > len(x.Answer.Body), x.Answer.Truncated)
	require.True(t, bytes.HasPrefix(theirs, x.Answer.Body))
	_, err = br.Peek(1)
	require.ErrorIs(t, err, io.EOF, "bytes are left")
	return true
}
