package http2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tailpost/tailpost/relay/internal/http2"
)

// TestAppendHead: the block says what the lines say, and enters nothing into the peer's table.
func TestAppendHead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 20_000)
	head := "POST /a%20b?c=d HTTP/1.1\r\nHost: other\r\nConnection: close\r\nUser-Agent: T\r\nX-AZ: T\r\nX-Long: " + long + "\r\nX-Empty: \r\nAuthorization: Bearer s\r\nCOOKIE: az\r\nX-127: " + long[:127] + "\r\n\r\n"
	var got []hpack.HeaderField
	d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = append(got, f) })
	_, err := d.Write(http2.AppendHead(nil, []byte(head), "example.com:8443"))
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.Equal(t, []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "example.com:8443"},
		{Name: ":path", Value: "/a%20b?c=d"},
		{Name: "user-agent", Value: "T"},
		{Name: "x-az", Value: "T"},
		{Name: "x-long", Value: long},
		{Name: "x-empty"},
		{Name: "authorization", Value: "Bearer s", Sensitive: true},
		{Name: "cookie", Value: "az", Sensitive: true},
		{Name: "x-127", Value: long[:127]},
	}, got)
	const firstOfTable = 62
	_, err = d.Write([]byte{0x80 | firstOfTable})
	require.Error(t, err, "the table is empty")

	fields, err := hpack.NewDecoder(0, nil).DecodeFull(http2.AppendHead(nil, []byte("PUT / HTTP/1.1\r\n\r\n"), "example.com"))
	require.NoError(t, err)
	require.Equal(t, hpack.HeaderField{Name: ":method", Value: "PUT"}, fields[0])
}

// TestManyAtOnce: every request gets its own answer.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	go p.echo()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 20 {
				body := fmt.Appendf(nil, "%d of %d %s", j, i, strings.Repeat("y", 10*j))
				if !c.Reserve() {
					t.Error("no place")
					return
				}
				r := do(t.Context(), c, time.Minute, body)
				if r.err != nil || r.Status != 200 || !bytes.Equal(r.Body, body) {
					t.Errorf("sent %q, got %d %q %v", body, r.Status, r.Body, r.err)
				}
			}
		})
	}
	wg.Wait()
}

// TestInterimAnswers: what comes before the answer is not the answer, and neither are trailers.
func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	require.NoError(t, p.head(stream, false, ":status", "100"))
	require.NoError(t, p.head(stream, false, ":status", "103", "retry-after", "9"))
	require.NoError(t, p.head(stream, false, ":status", "429", "retry-after", "3", "date", "today", "webhook-delivery", "stop"))
	require.NoError(t, p.WriteData(stream, false, []byte("later")))
	require.NoError(t, p.head(stream, true, "retry-after", "7"))
	r := <-out
	require.NoError(t, r.err)
	require.Equal(t, http2.Answer{Status: 429, RetryAfter: "3", Date: "today", Word: "stop", Body: []byte("later")}, r.Answer)
}

// TestLongHead: a head that fills more than a frame arrives whole.
func TestLongHead(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	require.True(t, c.Reserve())
	value := strings.Repeat("v", 40_000)
	got := make(chan error, 1)
	go func() {
		_, _, err := c.Do(t.Context(), time.Now().Add(time.Minute), http2.AppendHead(nil, []byte("POST / HTTP/1.1\r\nX-Long: "+value+"\r\n\r\n"), "example.com"), nil, nil)
		got <- err
	}()
	f := p.next(t)
	require.Equal(t, value, f.fields["x-long"])
	require.True(t, f.ended)
	require.NoError(t, p.head(f.stream, true, ":status", "204"))
	require.NoError(t, <-got)
}

// TestBodyWaitsForWindows: a body goes as far as the peer's windows allow, and on once they do.
func TestBodyWaitsForWindows(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(p *peer, stream uint32) error{
		"by settings": func(p *peer, _ uint32) error {
			return p.WriteSettings(h2.Setting{ID: h2.SettingInitialWindowSize, Val: 1 << 20})
		},
		"by update": func(p *peer, stream uint32) error { return p.WriteWindowUpdate(stream, 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := connect(t)
				p.hello(t, h2.Setting{ID: h2.SettingInitialWindowSize, Val: 1000})
				body := bytes.Repeat([]byte("0123456789"), 20_000)
				out := send(t, c, time.Minute, body)
				head := p.next(t)
				require.Equal(t, h2.FrameHeaders, head.kind)
				require.False(t, head.ended)
				first := p.next(t)
				require.Len(t, first.data, 1000)
				p.hasNoMore(t)
				require.NoError(t, open(p, head.stream))
				got := first.data
				for ended := false; !ended; {
					const all = 65535
					if len(got) == all {
						p.hasNoMore(t)
						require.NoError(t, p.WriteWindowUpdate(0, 1<<20))
					}
					f := p.next(t)
					require.True(t, len(got) >= all || len(got)+len(f.data) <= all, "the window of all streams together counts too")
					got, ended = append(got, f.data...), f.ended
				}
				require.Equal(t, body, got)
				require.NoError(t, p.head(head.stream, true, ":status", "200"))
				r := <-out
				require.NoError(t, r.err)
				require.Equal(t, 200, r.Status)
			})
		})
	}
}

// TestAnswersOpenWindows: a peer is told what was read, of each answer and of all together.
func TestAnswersOpenWindows(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	part := make([]byte, 16<<10)
	require.NoError(t, p.head(stream, false, ":status", "200"))
	opened := make(map[uint32]bool)
	for range 2 {
		require.NoError(t, p.WriteData(stream, false, part))
	}
	for len(opened) < 2 {
		f := p.next(t)
		require.Equal(t, h2.FrameWindowUpdate, f.kind)
		opened[f.stream] = true
	}
	require.Equal(t, map[uint32]bool{0: true, stream: true}, opened)
	require.NoError(t, p.WriteData(stream, true, []byte("end")))
	r := <-out
	require.NoError(t, r.err)
	require.Len(t, r.Body, kept)
	require.True(t, r.Truncated)
}

// TestLongAnswerIsCut: the rest of an answer that is too long is refused, and the connection lives.
func TestLongAnswerIsCut(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	require.NoError(t, p.head(stream, false, ":status", "200", "retry-after", "3", "date", "now", "location", "/there"))
	reset := make(chan frame, 1)
	go func() {
		for {
			f, err := p.read()
			if err != nil || f.kind == h2.FrameRSTStream {
				reset <- f
				return
			}
		}
	}()
	for sent := 0; sent <= kept+drained; sent += 16 << 10 {
		require.NoError(t, p.WriteData(stream, false, make([]byte, 16<<10)))
	}
	f := <-reset
	require.Equal(t, h2.ErrCodeCancel, f.code)
	r := <-out
	require.NoError(t, r.err)
	require.True(t, r.Truncated)
	require.Equal(t, "3", r.RetryAfter)
	require.Equal(t, "/there", r.Location)
	require.Empty(t, r.Date, "of a success nobody needs it")
	require.False(t, c.Closed())
}

// TestGivenUpRequestIsReset: the peer learns that nobody waits, and the next request is answered.
func TestGivenUpRequestIsReset(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		timeout time.Duration
		want    error
	}{"by its deadline": {10 * time.Millisecond, os.ErrDeadlineExceeded}, "by its context": {time.Minute, context.Canceled}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p := connect(t)
			p.hello(t, h2.Setting{ID: h2.SettingInitialWindowSize, Val: 10}, h2.Setting{ID: h2.SettingMaxConcurrentStreams, Val: 1})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			require.True(t, c.Reserve())
			out := make(chan result, 1)
			go func() { out <- do(ctx, c, test.timeout, make([]byte, 100)) }()
			stream := p.next(t).stream
			require.Len(t, p.next(t).data, 10)
			if test.want == context.Canceled { //nolint:errorlint // the test's own
				cancel()
			}
			f := p.next(t)
			require.Equal(t, frame{kind: h2.FrameRSTStream, stream: stream, code: h2.ErrCodeCancel}, f)
			require.ErrorIs(t, (<-out).err, test.want)
			require.NoError(t, p.head(stream, true, ":status", "200"), "too late, and no offence")
			next := send(t, c, time.Minute, nil)
			require.NoError(t, p.head(p.next(t).stream, true, ":status", "202"))
			require.Equal(t, 202, (<-next).Status, "its place is free again")
			c.Retire()
			_, err := p.read()
			require.Error(t, err, "nothing holds the connection open")
		})
	}
}

// TestGoingAwayLeavesWhatWasLookedAt: the last request that the peer names is answered, and not
// taken for one that nobody has seen.
func TestGoingAwayLeavesWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	require.NoError(t, p.WriteGoAway(stream, h2.ErrCodeNo, nil))
	require.NoError(t, p.head(stream, true, ":status", "200"))
	r := <-out
	require.NoError(t, r.err)
	require.Equal(t, 200, r.Status)
}

// TestEndOfARequest: what the peer does to a request, and what is said of it.
func TestEndOfARequest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		does func(p *peer, stream uint32) error
		want http2.Error
		ends bool       // the connection
		told h2.ErrCode // what the peer is told of the request; 0: nothing
	}{
		"refuses it":         {func(p *peer, s uint32) error { return p.WriteRSTStream(s, h2.ErrCodeRefusedStream) }, http2.Error{Reset: true, Unread: true}, false, 0},
		"resets it":          {func(p *peer, s uint32) error { return p.WriteRSTStream(s, h2.ErrCodeInternal) }, http2.Error{Reset: true}, false, 0},
		"wants HTTP/1.1":     {func(p *peer, s uint32) error { return p.WriteRSTStream(s, h2.ErrCodeHTTP11Required) }, http2.Error{Reset: true, WantsHTTP1: true}, false, 0},
		"goes away before":   {func(p *peer, s uint32) error { return p.WriteGoAway(s-1, h2.ErrCodeNo, nil) }, http2.Error{Unread: true}, true, 0},
		"closes":             {func(p *peer, _ uint32) error { return p.conn.Close() }, http2.Error{Closed: true}, true, 0},
		"data before a head": {func(p *peer, s uint32) error { return p.WriteData(s, true, []byte("x")) }, http2.Error{Reset: true}, false, h2.ErrCodeProtocol},
		"no status":          {func(p *peer, s uint32) error { return p.head(s, true, "x-a", "b") }, http2.Error{Reset: true}, false, h2.ErrCodeProtocol},
		"a strange status":   {func(p *peer, s uint32) error { return p.head(s, true, ":status", "1e3") }, http2.Error{Reset: true}, false, h2.ErrCodeProtocol},
		"switches":           {func(p *peer, s uint32) error { return p.head(s, false, ":status", "101") }, http2.Error{Reset: true}, false, h2.ErrCodeProtocol},
		"an interim end":     {func(p *peer, s uint32) error { return p.head(s, true, ":status", "103") }, http2.Error{Reset: true}, false, h2.ErrCodeProtocol},
		"a head too large": {func(p *peer, s uint32) error {
			return p.head(s, true, ":status", "200", "x", strings.Repeat("y", 15_000), "z", strings.Repeat("ab", 60_000))
		}, http2.Error{Closed: true}, true, 0},
		"a window too large": {func(p *peer, s uint32) error { return p.WriteWindowUpdate(s, 1<<31-1) }, http2.Error{Reset: true}, false, h2.ErrCodeFlowControl},
		"all windows":        {func(p *peer, _ uint32) error { return p.WriteWindowUpdate(0, 1<<31-1) }, http2.Error{Closed: true}, true, 0},
		"a window too large, by settings": {func(p *peer, _ uint32) error {
			return p.WriteSettings(h2.Setting{ID: h2.SettingInitialWindowSize, Val: 1 << 31})
		}, http2.Error{Closed: true}, true, 0},
		"a window too large, by the second of two settings": {func(p *peer, _ uint32) error {
			return p.WriteSettings(h2.Setting{ID: h2.SettingInitialWindowSize, Val: 1}, h2.Setting{ID: h2.SettingInitialWindowSize, Val: 1 << 31})
		}, http2.Error{Closed: true}, true, 0},
		"a window too large, by an update and settings": {func(p *peer, s uint32) error {
			return errors.Join(p.WriteWindowUpdate(s, 1<<30), p.WriteSettings(h2.Setting{ID: h2.SettingInitialWindowSize, Val: 1<<31 - 1}))
		}, http2.Error{Closed: true}, true, 0},
		"a long head": {func(p *peer, s uint32) error { return p.longHead(s, options().MaxHead+1) }, http2.Error{Reset: true}, false, h2.ErrCodeProtocol},
		"a second head": {func(p *peer, s uint32) error {
			return errors.Join(p.head(s, false, ":status", "200"), p.head(s, false, "x-a", "b"))
		}, http2.Error{Reset: true, Headed: true}, false, h2.ErrCodeProtocol},
		"refuses it after its head": {func(p *peer, s uint32) error {
			return errors.Join(p.head(s, false, ":status", "200"), p.WriteRSTStream(s, h2.ErrCodeRefusedStream))
		}, http2.Error{Reset: true, Headed: true}, false, 0},
		"wants HTTP/1.1 after its head": {func(p *peer, s uint32) error {
			return errors.Join(p.head(s, false, ":status", "200"), p.WriteRSTStream(s, h2.ErrCodeHTTP11Required))
		}, http2.Error{Reset: true, Headed: true}, false, 0},
		"promises": {func(p *peer, s uint32) error {
			return p.WritePushPromise(h2.PushPromiseParam{StreamID: s, PromiseID: 2, EndHeaders: true})
		}, http2.Error{Closed: true}, true, 0},
		"answers another": {func(p *peer, s uint32) error { return p.head(s+2, true, ":status", "200") }, http2.Error{Closed: true}, true, 0},
		"resets its body": {func(p *peer, s uint32) error {
			return errors.Join(p.head(s, false, ":status", "200"), p.WriteRSTStream(s, h2.ErrCodeInternal))
		}, http2.Error{Reset: true, Headed: true}, false, 0},
		"closes in its body": {func(p *peer, s uint32) error { return errors.Join(p.head(s, false, ":status", "200"), p.conn.Close()) }, http2.Error{Closed: true, Headed: true}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := connect(t)
				p.hello(t)
				out := send(t, c, time.Minute, []byte("body"))
				stream := p.next(t).stream
				require.True(t, p.next(t).ended)
				told := make(chan h2.ErrCode, 1)
				go func() {
					for { // a pipe holds nothing
						f, err := p.read()
						if err != nil {
							return
						}
						if f.kind == h2.FrameRSTStream {
							told <- f.code
						}
					}
				}()
				_ = test.does(p, stream) // the connection may end before it is all said
				begin := time.Now()
				r := <-out
				require.Zero(t, time.Since(begin), "it is said at once, not when a ping is not answered")
				got := &http2.Error{}
				require.ErrorAs(t, r.err, &got)
				require.Error(t, got.Err)
				got.Err = nil
				require.Equal(t, test.want, *got)
				if test.told != 0 {
					require.Equal(t, test.told, <-told)
				}
				require.Equal(t, test.want.Headed, r.Status == 200)
				require.Equal(t, test.ends, c.Closed())
			})
		})
	}
}

// TestSettingsComeFirst: a peer that begins with anything else speaks something else.
func TestSettingsComeFirst(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	require.NoError(t, p.head(stream, true, ":status", "200"))
	require.Error(t, (<-out).err)
	require.True(t, c.Closed())
}

// TestNeverWritten: a request that was not given to the connection was not sent.
func TestNeverWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t)
		first := send(t, c, time.Minute, nil)
		synctest.Wait() // the writer waits for the peer to read it
		second := send(t, c, time.Minute, nil)
		synctest.Wait()
		_ = p.conn.Close()
		got := &http2.Error{}
		require.ErrorAs(t, (<-first).err, &got)
		require.False(t, got.Unread, "perhaps it was")
		require.ErrorAs(t, (<-second).err, &got)
		require.True(t, got.Unread)
	})
}

// TestPlaces: the peer says how many requests may be in flight.
func TestPlaces(t *testing.T) {
	t.Parallel()
	reserve := func(c *http2.Conn, n int) {
		for range n {
			require.True(t, c.Reserve())
		}
		require.False(t, c.Reserve())
	}
	c, p := connect(t)
	reserve(c, 100) // it has said nothing yet
	p.hello(t)
	reserve(c, 900) // it has said that it has no number
	c, p = connect(t)
	p.hello(t, h2.Setting{ID: h2.SettingMaxConcurrentStreams, Val: 2})
	require.True(t, c.Reserve())
	require.True(t, c.Reserve())
	require.False(t, c.Reserve())
	c.Release()
	require.True(t, c.Reserve())
}

// TestSilentPeerIsAsked: a peer that says nothing for long, while a request waits, has to answer a
// ping.
func TestSilentPeerIsAsked(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]bool{"answers": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := connect(t)
				p.hello(t)
				began := time.Now()
				time.Sleep(time.Minute - time.Second) //nolint:forbidigo // the bubble's clock; idle: nobody is asked
				sent := time.Now()
				out := send(t, c, time.Hour, nil)
				stream := p.next(t).stream
				f := p.next(t)
				require.Equal(t, h2.FramePing, f.kind)
				require.False(t, f.ack)
				require.GreaterOrEqual(t, time.Since(sent), 30*time.Second)
				require.Less(t, time.Since(sent), 61*time.Second)
				if answers {
					require.NoError(t, p.WritePing(true, [8]byte{'t', 'a', 'i', 'l'}))
					again := p.next(t)
					require.Equal(t, h2.FramePing, again.kind, "it is asked again")
					require.False(t, again.ack, "nobody answers an answer")
					require.NoError(t, p.head(stream, true, ":status", "200"))
					require.Equal(t, 200, (<-out).Status)
					return
				}
				got := &http2.Error{}
				require.ErrorAs(t, (<-out).err, &got)
				require.True(t, got.Closed)
				require.Less(t, time.Since(began), 3*time.Minute)
			})
		})
	}
}

// TestFloodEnds: a peer that asks for answers and reads none does not fill the memory.
func TestFloodEnds(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	require.NoError(t, p.WriteSettings())
	for range 300_000 {
		if p.WritePing(false, [8]byte{}) != nil {
			break
		}
	}
	require.True(t, c.Closed())
}

// FuzzPeer: whatever a peer says, a request ends, and nothing panics.
func FuzzPeer(f *testing.F) {
	var b bytes.Buffer
	framer := h2.NewFramer(&b, nil)
	_ = framer.WriteSettings(h2.Setting{ID: h2.SettingInitialWindowSize, Val: 5})
	p := &peer{Framer: framer}
	_ = p.head(1, false, ":status", "200", "date", "x")
	_ = framer.WriteData(1, true, []byte("ok"))
	f.Add(b.Bytes())
	_ = framer.WriteGoAway(0, h2.ErrCodeNo, nil)
	_ = framer.WriteRSTStream(1, h2.ErrCodeRefusedStream)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, said []byte) {
		synctest.Test(t, func(t *testing.T) {
			c, p := connect(t)
			out := send(t, c, time.Second, []byte("0123456789"))
			go func() {
				for {
					if _, err := p.read(); err != nil {
						return
					}
				}
			}()
			_, _ = p.conn.Write(said)
			r := <-out
			if r.err == nil && r.Status < 200 {
				t.Fatalf("no answer and no error: %+v", r)
			}
			require.LessOrEqual(t, len(r.Body), kept)
			c.Retire()
			_ = p.conn.Close()
			synctest.Wait()
		})
	})
}
