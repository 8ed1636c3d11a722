package webhook_test

import (
	"bufio"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/relay/internal/webhook"
)

// script is a receiver that answers every request with the bytes it was given.
type script struct {
	url   string
	conns atomic.Int64
}

// newScript starts a receiver whose connections serve handles: it is called once per request, with
// the number of the connection and the request, and says whether to go on.
func newScript(t *testing.T, serve func(c net.Conn, conn, request int) bool) *script {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &script{url: "http://" + l.Addr().String() + "/in"}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(s.conns.Add(1))
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for i := 1; ; i++ {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil || !serve(c, n, i) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

// says answers every request alike and then keeps the connection, or closes it.
func says(answer string, then bool) func(net.Conn, int, int) bool {
	return func(c net.Conn, _, _ int) bool {
		_, err := io.WriteString(c, answer)
		return err == nil && then
	}
}

// TestAnswers holds what is made of well and badly formed answers, and whether the connection is
// used again after them.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const malformed = "the answer is not valid HTTP/1.1"
	const cut = "connection closed while reading the response body"
	ok := "HTTP/1.1 200 OK\r\n"
	for name, test := range map[string]struct {
		answer string
		closes bool // the receiver closes after the answer
		status int
		body   string
		err    string
		reused bool
	}{
		"empty body":                     {answer: ok + "Content-Length: 0\r\n\r\n", status: 200, reused: true},
		"short body":                     {answer: ok + "content-length:2\r\n\r\nok", status: 200, body: "ok", reused: true},
		"bare line feeds":                {answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", status: 200, body: "ok", reused: true},
		"no reason":                      {answer: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", status: 200, reused: true},
		"chunks":                         {answer: ok + "Transfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n1;x=y\r\n!\r\n0\r\n\r\n", status: 200, body: "ok!", reused: true},
		"chunks with trailers":           {answer: ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", status: 200, body: "ok", reused: true},
		"no content":                     {answer: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, reused: true},
		"not modified with a length":     {answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", status: 304, reused: true},
		"interim answers":                {answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nok", status: 200, body: "ok", reused: true},
		"HTTP/1.0 kept alive":            {answer: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", reused: true},
		"HTTP/1.0":                       {answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"closes":                         {answer: ok + "Connection: x, Close\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok"},
		"ends with the connection":       {answer: ok + "\r\nok", closes: true, status: 200, body: "ok"},
		"the same length twice":          {answer: ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", reused: true},
		"a long header":                  {answer: ok + "X-Policy: " + strings.Repeat("x", 20_000) + "\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", reused: true},
		"a folded header":                {answer: ok + "X-Old: a\r\n  b\r\nContent-Length: 2\r\n\r\nok", status: 200, body: "ok", reused: true},
		"a length beside chunks":         {answer: ok + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", status: 200, body: "ok"},
		"a second answer":                {answer: ok + "Content-Length: 2\r\n\r\nok" + ok + "Content-Length: 3\r\n\r\nbad", status: 200, body: "ok"},
		"more than its length":           {answer: ok + "Content-Length: 2\r\n\r\nok, but more", status: 200, body: "ok"},
		"less than its length":           {answer: ok + "Content-Length: 20\r\n\r\nok", closes: true, status: 200, body: "ok", err: cut},
		"cut chunks":                     {answer: ok + "Transfer-Encoding: chunked\r\n\r\n9\r\nok", closes: true, status: 200, body: "ok", err: cut},
		"cut before the trailers":        {answer: ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", closes: true, status: 200, body: "ok", err: cut},
		"cut head":                       {answer: ok + "Content-Le", closes: true, err: "connection closed while waiting for headers"},
		"no answer":                      {closes: true, err: "connection closed while waiting for headers"},
		"bad chunks":                     {answer: ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n", status: 200, err: malformed},
		"lengths that differ":            {answer: ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", status: 200, err: malformed},
		"a list of lengths":              {answer: ok + "Content-Length: 2, 2\r\n\r\nok", status: 200, err: malformed},
		"a negative length":              {answer: ok + "Content-Length: -2\r\n\r\nok", status: 200, err: malformed},
		"a length that overflows":        {answer: ok + "Content-Length: 99999999999999999999\r\n\r\nok", status: 200, err: malformed},
		"a folded length":                {answer: ok + "Content-Length: 2\r\n 3\r\n\r\nok", status: 200, err: malformed},
		"a blank before the colon":       {answer: ok + "Content-Length : 2\r\n\r\nok", status: 200, err: malformed},
		"no colon":                       {answer: ok + "Content-Length\r\n\r\nok", status: 200, err: malformed},
		"no name":                        {answer: ok + ": 2\r\n\r\nok", status: 200, err: malformed},
		"another encoding":               {answer: ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", status: 200, err: "the answer has a transfer encoding that is not supported"},
		"chunked twice":                  {answer: ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, err: "the answer has a transfer encoding that is not supported"},
		"not HTTP":                       {answer: "220 mail.example ESMTP\r\n", err: malformed},
		"HTTP/2":                         {answer: "HTTP/2.0 200 OK\r\n\r\n", err: malformed},
		"switching protocols":            {answer: "HTTP/1.1 101 Switching Protocols\r\n\r\n", err: malformed},
		"a status of four digits":        {answer: "HTTP/1.1 2000 OK\r\n\r\n", err: malformed},
		"a status of letters":            {answer: "HTTP/1.1 abc OK\r\n\r\n", err: malformed},
		"endless headers":                {answer: ok + strings.Repeat("X-Flood: x\r\n", 40_000), err: "the answer's headers are too large"},
		"endless header line":            {answer: ok + "X-Flood: " + strings.Repeat("x", 400_000), err: "the answer's headers are too large"},
		"endless interim answers":        {answer: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20_000), err: "the answer's headers are too large"},
		"a failure speaks for itself":    {answer: "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nboom", status: 500, body: "boom", reused: true},
		"an unknown class":               {answer: "HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", status: 999, reused: true},
		"a redirect that is not wanted":  {answer: "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", status: 302, reused: true},
		"NUL and invalid bytes":          {answer: ok + "Content-Length: 5\r\n\r\na\x00b\xffc", status: 200, body: "a\uFFFDb\uFFFDc", reused: true},
		"half a character":               {answer: ok + "Content-Length: 2\r\n\r\na\xc3", status: 200, body: "a\uFFFD", reused: true},
		"a blank line before the answer": {answer: "\r\n" + ok + "Content-Length: 0\r\n\r\n", err: malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, says(test.answer, !test.closes))
			e := newEndpoint(t, s.url)
			for range 2 {
				res := e.Send(t.Context(), newRequest())
				require.Equal(t, test.err, res.Attempt.Error)
				require.Equal(t, test.status, res.Attempt.StatusCode)
				require.Equal(t, test.status/100 == 2, res.Delivered, "a whole head is the answer, whatever becomes of its body")
				require.Equal(t, test.body, string(res.Attempt.ResponseBody))
				require.False(t, res.Attempt.ResponseTruncated)
			}
			want := int64(2)
			if test.reused {
				want = 1
			}
			require.Equal(t, want, s.conns.Load(), "connections")
		})
	}
}

// TestLongAnswers: the beginning is kept, the rest drained up to a limit.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	const kept = 16 << 10
	for name, test := range map[string]struct {
		size    int
		lead    string
		unit    string
		chunked bool
		want    int
		cut     bool
		reused  bool
	}{
		"exactly what is kept":         {size: kept, unit: "x", want: kept, reused: true},
		"one more":                     {size: kept + 1, unit: "x", want: kept, cut: true, reused: true},
		"one more in chunks":           {size: kept + 1, unit: "x", chunked: true, want: kept, cut: true, reused: true},
		"exactly that in chunks":       {size: kept, unit: "x", chunked: true, want: kept, reused: true},
		"drained":                      {size: 200_000, unit: "x", want: kept, cut: true, reused: true},
		"drained chunks":               {size: 200_000, unit: "x", chunked: true, want: kept, cut: true, reused: true},
		"flood":                        {size: 5_000_000, unit: "x", want: kept, cut: true},
		"flood in chunks":              {size: 5_000_000, unit: "x", chunked: true, want: kept, cut: true},
		"a character cut in two":       {size: 60_000, unit: "日", want: kept - kept%3, cut: true, reused: true},
		"cut after three of its four":  {size: 60_000, lead: "x", unit: "😀", want: kept - 3, cut: true, reused: true},
		"replacement makes it longer":  {size: kept, unit: "\xff", want: kept - kept%3, cut: true, reused: true},
		"replaced NUL makes it longer": {size: kept, unit: "\x00", want: kept - kept%3, cut: true, reused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := test.lead + strings.Repeat(test.unit, test.size/len(test.unit))
			rec := newReceiver(t, plainHTTP, func(w http.ResponseWriter, _ *http.Request) {
				if test.chunked {
					_ = http.NewResponseController(w).Flush()
				} else {
					w.Header().Set("Content-Length", strconv.Itoa(len(body)))
				}
				_, _ = io.WriteString(w, body)
			})
			e := newEndpoint(t, rec.URL)
			for range 2 {
				res := e.Send(t.Context(), newRequest())
				require.Empty(t, res.Attempt.Error)
				require.Equal(t, 200, res.Attempt.StatusCode)
				require.Len(t, res.Attempt.ResponseBody, test.want)
				require.True(t, utf8.Valid(res.Attempt.ResponseBody))
				require.NotContains(t, string(res.Attempt.ResponseBody), "\x00")
				if utf8.ValidString(body) && !strings.Contains(body, "\x00") {
					require.True(t, strings.HasPrefix(body, string(res.Attempt.ResponseBody)), "only characters that were sent")
				}
				require.Equal(t, test.cut, res.Attempt.ResponseTruncated)
			}
			require.Equal(t, test.reused, rec.conns.Load() == 1)
		})
	}
}

// TestDeadlines: the timeout covers every phase, and no trickle renews it.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	short := func(ep *config.Endpoint) { ep.Timeout = time.Second }
	trickle := func(head, drip string) func(net.Conn, int, int) bool {
		return func(c net.Conn, _, _ int) bool {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			_, err := io.WriteString(c, head)
			for err == nil {
				<-tick.C
				_, err = io.WriteString(c, drip)
			}
			return false
		}
	}
	for name, test := range map[string]struct {
		serve  func(net.Conn, int, int) bool
		err    string
		status int
	}{
		"no answer":          {func(net.Conn, int, int) bool { return true }, "timeout after 1s waiting for headers", 0},
		"a trickled head":    {trickle("HTTP/1.1 200 OK\r\n", "X: y\r\n"), "timeout after 1s waiting for headers", 0},
		"interim answers":    {trickle("", "HTTP/1.1 100 Continue\r\n\r\n"), "timeout after 1s waiting for headers", 0},
		"half a body":        {says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", true), "timeout after 1s reading the response body", 200},
		"a trickled body":    {trickle("HTTP/1.1 200 OK\r\n\r\n", "x"), "timeout after 1s reading the response body", 200},
		"trickled chunks":    {trickle("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), "timeout after 1s reading the response body", 200},
		"an endless trailer": {trickle("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"), "timeout after 1s reading the response body", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := newEndpoint(t, newScript(t, test.serve).url, short).Send(t.Context(), newRequest())
			require.Equal(t, test.err, res.Attempt.Error)
			require.Equal(t, test.status, res.Attempt.StatusCode)
			require.GreaterOrEqual(t, res.Attempt.Duration, time.Second)
		})
	}
	t.Run("a receiver that does not read", func(t *testing.T) {
		t.Parallel()
		over := make(chan struct{})
		// It answers one request, so that the next has its connection, and reads no more.
		deaf := newScript(t, func(c net.Conn, _, _ int) bool {
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			<-over
			return false
		})
		t.Cleanup(func() { close(over) })
		ep := newEndpoint(t, deaf.url, func(ep *config.Endpoint) { ep.Timeout = 6 * time.Second })
		require.Empty(t, ep.Send(t.Context(), newRequest()).Attempt.Error)
		r := newRequest()
		r.Event.Payload = []byte(`"` + strings.Repeat("x", 20<<20) + `"`)
		require.Equal(t, "timeout after 6s sending the request", ep.Send(t.Context(), r).Attempt.Error)
	})
	t.Run("http/2", func(t *testing.T) {
		t.Parallel()
		block := make(chan struct{})
		rec := newReceiver(t, withH2, func(http.ResponseWriter, *http.Request) { <-block })
		t.Cleanup(func() { close(block) })
		patient := func(ep *config.Endpoint) { ep.Timeout = 2 * time.Second }
		res := endpointOf(t, clientFor(t, rec), rec.URL, patient).Send(t.Context(), newRequest())
		require.Equal(t, "timeout after 2s waiting for headers", res.Attempt.Error)
	})
}

// clientFor trusts a TLS receiver's certificate.
func clientFor(t *testing.T, rec *receiver) *webhook.Client {
	t.Helper()
	t.Helper()
	return newClient(t, webhook.Options{Network: loopback(), Roots: rootsOf(t, rec)})
}

func rootsOf(t *testing.T, rec *receiver) *x509.CertPool {
	t.Helper()
	transport, ok := rec.Client().Transport.(*http.Transport)
	require.True(t, ok)
	return transport.TLSClientConfig.RootCAs
}

// TestStaleConnections: a receiver may close an idle connection whenever it likes, and no attempt
// pays for it.
func TestStaleConnections(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, answer := range map[string]string{
		"closes after each answer":            ok,
		"answers a request that was not sent": ok + "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t, says(answer, false))
			e := newEndpoint(t, s.url)
			for range 3 {
				res := e.Send(t.Context(), newRequest())
				require.Equal(t, 200, res.Attempt.StatusCode, res.Attempt.Error)
				idle(t)
			}
			require.EqualValues(t, 3, s.conns.Load())
		})
	}
}

// TestClosedAtTheMomentOfUse: who closes an idle connection just when it is used again has got the
// request or has not: nobody can tell. The attempt has failed, so that there is one for each
// request, and says that a retry may follow at once.
func TestClosedAtTheMomentOfUse(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]bool{"closes": false, "resets": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			s := newScript(t, func(c net.Conn, _, request int) bool {
				requests.Add(1)
				if request == 1 {
					_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					return err == nil
				}
				if tcp, ok := c.(*net.TCPConn); ok && reset {
					_ = tcp.SetLinger(0)
				}
				return false
			})
			e := newEndpoint(t, s.url)
			for range 2 {
				require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode)
				idle(t)
				res := e.Send(t.Context(), newRequest())
				require.True(t, res.Again, res.Attempt.Error)
				require.True(t, res.Reached)
				require.False(t, res.Local)
				require.Contains(t, res.Attempt.Error, "while waiting for headers")
			}
			require.EqualValues(t, 4, requests.Load(), "one attempt for each")
		})
	}
}

// idle lets connections be idle for so long that their end may be due to that.
func idle(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(550 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// TestBusyConnectionIsNotRetried: a receiver under load that takes a request and then breaks the
// connection off has failed the attempt. Were it sent again at once, it would get the event twice
// of which once is recorded.
func TestBusyConnectionIsNotRetried(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := newScript(t, func(c net.Conn, _, request int) bool {
		requests.Add(1)
		if request > 1 {
			return false
		}
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		return err == nil
	})
	e := newEndpoint(t, s.url)
	for range 3 {
		require.Equal(t, 200, e.Send(t.Context(), newRequest()).Attempt.StatusCode)
		res := e.Send(t.Context(), newRequest())
		require.Equal(t, "connection closed while waiting for headers", res.Attempt.Error)
		require.False(t, res.Again)
	}
	require.EqualValues(t, 6, requests.Load())
}

// TestFreshConnectionIsNotRetried: a receiver that closes without an answer fails the attempt, it
// is not asked twice.
func TestFreshConnectionIsNotRetried(t *testing.T) {
	t.Parallel()
	s := newScript(t, func(net.Conn, int, int) bool { return false })
	res := newEndpoint(t, s.url).Send(t.Context(), newRequest())
	require.Equal(t, "connection closed while waiting for headers", res.Attempt.Error)
	require.False(t, res.Again)
	require.EqualValues(t, 1, s.conns.Load())
}

// TestEarlyAnswer: a receiver may refuse a large body before it has read it.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, c)
		}
	}()
	r := newRequest()
	r.Event.Payload = []byte(`"` + strings.Repeat("x", 10<<20) + `"`)
	res := newEndpoint(t, "http://"+l.Addr().String()).Send(t.Context(), r)
	require.Equal(t, 413, res.Attempt.StatusCode, res.Attempt.Error)
	require.Equal(t, "big", string(res.Attempt.ResponseBody))
}

func TestTLSErrors(t *testing.T) {
	t.Parallel()
	trusted := newReceiver(t, tlsOnly, nil)
	plain := newReceiver(t, plainHTTP, nil)
	strangers := newClient(t, webhook.Options{Network: loopback()})
	res := endpointOf(t, strangers, trusted.URL).Send(t.Context(), newRequest())
	require.Equal(t, "TLS: certificate is signed by an unknown authority; the relay's machine must trust it", res.Attempt.Error)

	o := webhook.Options{Network: loopback(), Resolver: resolvesTo("127.0.0.1"), Roots: rootsOf(t, trusted)}
	res = endpointOf(t, newClient(t, o), named(t, trusted, "other.test")).Send(t.Context(), newRequest())
	require.Equal(t, "TLS: certificate is for another host name", res.Attempt.Error)

	res = endpointOf(t, strangers, strings.Replace(plain.URL, "http://", "https://", 1)).Send(t.Context(), newRequest())
	require.Equal(t, "TLS: the receiver does not speak TLS on this port", res.Attempt.Error)
}
