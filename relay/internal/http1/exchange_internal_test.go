package http1

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// replay is a connection whose peer says what it was given and then closes.
type replay struct {
	net.Conn

	r io.Reader
}

func (c replay) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c replay) Write(b []byte) (int, error) { return len(b), nil }

func (replay) SetWriteDeadline(time.Time) error { return nil }

// brokenPipe is a connection whose peer has answered, and closed, before it had read the whole
// request.
type brokenPipe struct{ replay }

func (brokenPipe) Write([]byte) (int, error) { return 10, syscall.EPIPE }

// recorded is a connection that keeps what is written.
type recorded struct {
	replay

	b bytes.Buffer
}

func (r *recorded) Write(b []byte) (int, error) { return r.b.Write(b) }

// TestARequestIsWrittenOnce, its body behind its head.
func TestARequestIsWrittenOnce(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{"": "head", "body": "headbody"} {
		c := &recorded{replay: replay{r: strings.NewReader("HTTP/1.1 204 No Content\r\n\r\n")}}
		_, err := NewExchange().Do(New(c), []byte("head"), []byte(body))
		require.NoError(t, err)
		require.Equal(t, want, c.b.String())
	}
}

// TestNoReuseAfterAWriteError: a request that was not written whole leaves a connection on which
// the receiver would take the next request for the rest of this one. Its answer counts all the
// same.
func TestNoReuseAfterAWriteError(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
	x := NewExchange()
	keep, err := x.Do(New(replay{r: strings.NewReader(answer)}), []byte("head"), nil)
	require.NoError(t, err)
	require.True(t, keep, "an answer like this keeps the connection otherwise")

	x = NewExchange()
	keep, err = x.Do(New(brokenPipe{replay{r: strings.NewReader(answer)}}), []byte("head"), nil)
	require.NoError(t, err)
	require.False(t, keep)
	require.Equal(t, http.StatusRequestEntityTooLarge, x.Answer.Status)
	require.Equal(t, "big", string(x.Answer.Body))
}

// HTTP/1.0 knows no chunks: who sends them all the same may mean something else by what comes after
// them, so that the connection is not used again.
func TestNoReuseAfterChunksOfHTTP10(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"HTTP/1.0": false, "HTTP/1.1": true} {
		x := NewExchange()
		answer := version + " 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
		keep, err := x.Do(New(replay{r: strings.NewReader(answer)}), []byte("head"), nil)
		require.NoError(t, err)
		require.Equal(t, "ok", string(x.Answer.Body))
		require.Equal(t, want, keep, version)
	}
}
