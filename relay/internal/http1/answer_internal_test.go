package http1

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

const malformed, unsupported = "the answer is not valid HTTP/1.1", "the answer has a transfer encoding that is not supported"

// asked sends a request that is answered so.
func asked(x *Exchange, answer io.Reader) (keep bool, err error) {
	return x.Do(New(replay{r: answer}), []byte("head"), nil)
}

// TestAnswer_isReadStrictly: what HTTP/1.1 has no place for is no answer, or an error beside the
// status where the head came whole, and its connection is not used again.
func TestAnswer_isReadStrictly(t *testing.T) {
	t.Parallel()
	const ok, end = "HTTP/1.1 200 OK\r\n", "\r\nok"
	tokens := "!#$%&'*+-.^_`|~059azAZ"
	for answer, want := range map[string]string{ // empty: it is one
		"HTTP/1.1 200\r\nContent-Length: 2\r\n" + end:                                               "",
		"HTTP/1.1 2\r\n" + end:                                                                      malformed,
		"HTTP/1.1\r\n" + end:                                                                        malformed,
		"HTTP/1.\r\n" + end:                                                                         malformed,
		"HTTP/1.1 2000\r\nContent-Length: 2\r\n" + end:                                              malformed,
		"HTTP/1.1-200 OK\r\nContent-Length: 2\r\n" + end:                                            malformed,
		"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n" + end:                                            malformed,
		"HTTP/2.1 200 OK\r\nContent-Length: 2\r\n" + end:                                            malformed,
		"HTTP/1.1 2/0 OK\r\nContent-Length: 2\r\n" + end:                                            malformed,
		"HTTP/1.1 20: OK\r\nContent-Length: 2\r\n" + end:                                            malformed,
		"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n" + end:                                            malformed,
		"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 2\r\n" + end:                           malformed,
		"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 2\r\n" + end:                        "",
		ok + "Content-Length: 02\r\n" + end:                                                         "",
		ok + "content-length:\t2 \r\n" + end:                                                        "",
		ok + "Content-Length: 2\r\nContent-Length: 2\r\n" + end:                                     "",
		ok + "Content-Length: 2\r\nContent-Length: 1\r\n" + end:                                     malformed,
		ok + "Content-Length: 2, 2\r\n" + end:                                                       malformed,
		ok + "Content-Length: +2\r\n" + end:                                                         malformed,
		ok + "Content-Length: 2/\r\n" + end:                                                         malformed,
		ok + "Content-Length: 0:\r\n" + end:                                                         malformed,
		ok + "Content-Length: \r\n\r\n":                                                             malformed,
		ok + "Content-Length: 18446744073709551618\r\n" + end:                                       malformed, // 2 in 64 bits
		ok + "Content-Length: 000000000000000002\r\n" + end:                                         "",
		ok + "Content-Length: 0000000000000000002\r\n" + end:                                        malformed,
		ok + "Transfer-Encoding: gzip\r\n" + end:                                                    unsupported,
		ok + "Transfer-Encoding: gzip\r\nContent-Length: x\r\n" + end:                               unsupported,
		ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n": unsupported,
		"HTTP/1.1 299\nContent-Length: 2\n\nok":                                                     "", // others write line feeds alone
		ok + " \r\nContent-Length: 2\r\n" + end:                                                     malformed,
		"HTTP/1.1 103 Early\r\n: x\r\n\r\n" + ok + "Content-Length: 2\r\n" + end:                    malformed,
		ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n x\r\n\r\n":                         malformed,
		ok + tokens + ": a\tb\x80\r\nContent-Length: 2\r\n" + end:                                   "",
		ok + "Content-Length: 2\r\nX: a\r\n b\r\n" + end:                                            "",
		ok + "Content-Length: 2\r\nX: a\r\n\tb\r\n" + end:                                           "",
		ok + "Content-Length: 2\r\nX: a\r\n b\x00\r\n" + end:                                        malformed,
		ok + "Content-Length: 2\r\n: a\r\n" + end:                                                   malformed,
		ok + "Content-Length: 2\r\na\r\n" + end:                                                     malformed,
		ok + "Content-Length: 2\r\nX: \x1f\r\n" + end:                                               malformed,
		ok + "Content-Length: 2\r\nX: \x7f\r\n" + end:                                               malformed,
	} {
		x := NewExchange()
		keep, err := asked(x, strings.NewReader(answer))
		require.Equal(t, want == "", keep, "%q", answer)
		if want == "" {
			require.NoError(t, err, "%q", answer)
			require.Equal(t, "ok", string(x.Answer.Body), "%q", answer)
		} else {
			var bad *MalformedError
			require.ErrorAs(t, err, &bad, "%q", answer)
			require.Equal(t, want, bad.Error(), "%q", answer)
			require.Equal(t, strings.HasPrefix(answer, ok), x.Answer.Status != 0, "%q", answer)
		}
	}
	for _, c := range "\"(),/;<=>?@[\\]{} \x7f\x80" { // no part of a name
		_, err := asked(NewExchange(), strings.NewReader(ok+"X"+string(c)+"Y: a\r\nContent-Length: 2\r\n"+end))
		require.ErrorContains(t, err, malformed, "%q", c)
	}
}

// TestAnswer_takesTheHeadersItNames: in whatever case they are written, on one line each, and none
// that is called otherwise.
func TestAnswer_takesTheHeadersItNames(t *testing.T) {
	t.Parallel()
	headers := []string{"Date", "Location", "Retry-After", "Webhook-Delivery", "Proxy-Authenticate"}
	want := Answer{Status: 400, Date: "x", Location: "x", RetryAfter: "x", Word: "x", Challenged: true}
	matters := append([]string{"Connection", "Content-Length", "Transfer-Encoding"}, headers[1:]...)
	for name, change := range map[string]func(string) string{
		"upper": strings.ToUpper, "lower": strings.ToLower, "as is": strings.TrimSpace,
		"another": func(name string) string { return "X" + name[1:] },
	} {
		var b strings.Builder
		for _, header := range append([]string{"Connection", "Transfer-Encoding"}, headers...) {
			value := cmp.Or(map[string]string{"Connection": "x, close", "Transfer-Encoding": "chunked"}[header], "x")
			fmt.Fprintf(&b, "%s: %s\r\n", change(header), value)
		}
		x, expected := NewExchange(), want
		if name == "another" {
			expected = Answer{Status: 400}
			b.WriteString("Xontent-Length: 7\r\nTransfer-Encoding: chunked\r\n")
		}
		// Of the trailers nothing is taken.
		const trailers = "Retry-After: y\r\nLocation: y\r\nDate: y\r\nWebhook-Delivery: y\r\n"
		keep, err := asked(x, strings.NewReader("HTTP/1.1 400 Bad\r\n"+b.String()+"\r\n0\r\n"+trailers+"\r\n"))
		require.NoError(t, err, name)
		require.Equal(t, name == "another", keep, name)
		x.Answer.Body = nil
		require.Equal(t, expected, x.Answer, name)
	}
	for _, header := range matters {
		value := map[string]string{"Content-Length": "0", "Transfer-Encoding": "chunked"}[header]
		keep, err := asked(NewExchange(), strings.NewReader("HTTP/1.1 503 Busy\r\n"+header+": "+value+"\r\n more\r\n\r\n"))
		require.ErrorContains(t, err, malformed, "%s goes on in the next line, which others may not take for its own", header)
		require.False(t, keep)
	}
	x := NewExchange()
	_, err := asked(x, strings.NewReader("HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n"))
	require.NoError(t, err)
	require.Equal(t, Answer{Status: 204}, x.Answer, "of a success nobody needs the date, and the lines only where they are wanted")
}

// TestAnswer_saysWhetherItsConnectionLives.
func TestAnswer_saysWhetherItsConnectionLives(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]bool{
		"1.1 200 OK\r\n":                                                true,
		"1.1 200 OK\r\nConnection: x\r\n":                               true,
		"1.1 200 OK\r\nConnection: x ,\tClose , y\r\n":                  false,
		"1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n": false,
		"1.0 200 OK\r\n":                                                false,
		"1.0 200 OK\r\nConnection: Keep-Alive, x\r\n":                   true,
		"1.0 200 OK\r\nConnection: x , keep-alive\r\nConnection: x\r\n": true,
		"1.0 200 OK\r\nConnection: close, keep-alive\r\n":               false,
		"1.1 103 Early\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\n": true,
		"1.0 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n":                      true,
		"1.1 103 Early\r\n\r\nHTTP/1.0 200 OK\r\n":                      false,
	} {
		keep, err := asked(NewExchange(), strings.NewReader("HTTP/"+head+"Content-Length: 2\r\n\r\nok"))
		require.NoError(t, err)
		require.Equal(t, want, keep, head)
	}
	for head, want := range map[string]bool{
		"1.1 200 OK\r\n":                           true,
		"1.1 200 OK\r\nContent-Length: 2\r\n":      false, // somebody on the way may have gone by that
		"1.0 200 OK\r\nConnection: keep-alive\r\n": false, // which has no chunks
	} {
		keep, err := asked(NewExchange(), strings.NewReader("HTTP/"+head+"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
		require.NoError(t, err)
		require.Equal(t, want, keep, "in chunks: %s", head)
	}
	for head, want := range map[string]bool{ // these have no body, and some are about to send one all the same
		"200 OK\r\nContent-Length: 0": true, "204 No Content": true, "204 No Content\r\nContent-Length: 0": true, "304 Not Modified\r\nContent-Length: 2": true,
		"204 No Content\r\nContent-Length: 2": false, "204 No Content\r\nTransfer-Encoding: chunked": false, "304 Not Modified\r\nTransfer-Encoding: chunked": false,
	} {
		x := NewExchange()
		keep, err := asked(x, strings.NewReader("HTTP/1.1 "+head+"\r\n\r\n"))
		require.NoError(t, err)
		require.Equal(t, want, keep, head)
		require.Empty(t, x.Answer.Body)
	}
	keep, err := asked(NewExchange(), strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!"))
	require.NoError(t, err)
	require.False(t, keep, "a byte that nobody asked for is not the next answer's")
	keep, err = asked(NewExchange(), strings.NewReader("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.False(t, keep)
}

// counted counts what is read.
type counted struct {
	io.Reader

	n int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += n
	return n, err
}

// TestAnswer_hasAHeadOfSoManyBytes: the head, the interim ones before it and the trailers after it
// together; what goes beyond is not read.
func TestAnswer_hasAHeadOfSoManyBytes(t *testing.T) {
	t.Parallel()
	const ok, chunked, chunk = "HTTP/1.1 200 OK\r\n", "Transfer-Encoding: chunked\r\n", "2\r\nok\r\n0\r\n"
	const early = "HTTP/1.1 103 Early\r\n"
	line := func(n int) string { return "X: " + strings.Repeat("y", n-len("X: \r\n")) + "\r\n" }
	const rest = MaxHead - len(ok+chunked) - 2*len("\r\n")
	for name, answer := range map[string]func(extra int) string{
		"a line": func(extra int) string { return ok + chunked + line(rest+extra) + "\r\n" + chunk + "\r\n" },
		"interim": func(extra int) string {
			return early + line(rest/2) + "\r\n" + ok + chunked + line(rest/2-len(early+"\r\n")+rest%2+extra) + "\r\n" + chunk + "\r\n"
		},
		"trailers": func(extra int) string { return ok + chunked + "\r\n" + chunk + line(rest+extra) + "\r\n" },
	} {
		keep, err := asked(NewExchange(), strings.NewReader(answer(0)))
		require.NoError(t, err, name)
		require.True(t, keep, name)
		keep, err = asked(NewExchange(), strings.NewReader(answer(1)))
		require.ErrorContains(t, err, "the answer's headers are too large", name)
		require.False(t, keep, name)
	}
	endless := &counted{Reader: strings.NewReader(ok + line(4*MaxHead))}
	_, err := asked(NewExchange(), endless)
	require.ErrorContains(t, err, "the answer's headers are too large")
	require.LessOrEqual(t, endless.n, MaxHead+2*readBuffer)
}

// TestAnswer_hasABodyOfSoManyBytes: of a longer one the beginning is kept, and as much more is read
// as the connection is worth.
func TestAnswer_hasABodyOfSoManyBytes(t *testing.T) {
	t.Parallel()
	const most = 100
	frames := map[string]func(n int) string{
		"length": func(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, strings.Repeat("y", n)) },
		"chunks": func(n int) string {
			return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("y", n))
		},
		"the end": func(n int) string { return "\r\n" + strings.Repeat("y", n) },
	}
	x := NewExchange()
	for _, kept := range []int{MaxBody, most} {
		x.MostBody = kept % MaxBody // 0: MaxBody
		for name, frame := range frames {
			for n, want := range map[int]struct{ truncated, keep bool }{
				kept: {false, true}, kept + 1: {true, true}, kept + maxDrain: {true, true}, kept + maxDrain + 1: {true, false},
			} {
				keep, err := asked(x, strings.NewReader("HTTP/1.1 200 OK\r\n"+frame(n)))
				require.NoError(t, err)
				require.Len(t, x.Answer.Body, kept, "%s %d", name, n)
				require.Equal(t, want.truncated, x.Answer.Truncated, "%s %d", name, n)
				if name == "chunks" && n == kept+maxDrain {
					continue // whether it ends there, only a further read says
				}
				require.Equal(t, want.keep && name != "the end", keep, "%s %d", name, n)
			}
		}
	}
	keep, err := asked(NewExchange(), strings.NewReader(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", MaxBody+maxDrain+1)+strings.Repeat("y", MaxBody)))
	require.NoError(t, err)
	require.False(t, keep, "the rest has not come yet, and is not the next answer")
}

// TestExchange_forgetsTheLastAnswer: where nothing comes, nothing is left of the one before, and of
// a large one no room either.
func TestExchange_forgetsTheLastAnswer(t *testing.T) {
	t.Parallel()
	x := NewExchange()
	x.MostBody = 2 * keptBuffer
	large := "X: " + strings.Repeat("y", 2*keptBuffer)
	_, err := asked(x, strings.NewReader("HTTP/1.1 200 OK\r\n"+large+"\r\n\r\n"+large))
	require.NoError(t, err)
	require.Equal(t, large, string(x.Answer.Body)+strings.Repeat("y", len("X: ")))
	keep, err := asked(x, iotest.ErrReader(os.ErrDeadlineExceeded))
	var failed *Error
	require.ErrorAs(t, err, &failed)
	require.False(t, keep)
	require.True(t, failed.Silent)
	require.False(t, failed.Closed)
	require.Equal(t, Answer{Body: []byte{}}, Answer{Body: append([]byte{}, x.Answer.Body...), Status: x.Answer.Status})
	require.LessOrEqual(t, cap(x.Answer.Body), keptBuffer)
	require.LessOrEqual(t, cap(x.line), keptBuffer)
}

// TestExchange_showsNothingOfAnotherAnswer: a body that breaks off is what came of it. The room for
// it held the body of another receiver before.
func TestExchange_showsNothingOfAnotherAnswer(t *testing.T) {
	t.Parallel()
	x := NewExchange()
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
	_, err := asked(x, strings.NewReader(head+"secret"))
	require.NoError(t, err)
	_, err = asked(x, strings.NewReader(head+"ok"))
	require.Error(t, err)
	require.Equal(t, "ok", string(x.Answer.Body))
}
