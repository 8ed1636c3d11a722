package http2_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
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

const (
	kept    = 1 << 10
	drained = 64 << 10
)

func options() http2.Options {
	return http2.Options{MaxHead: 64 << 10, MaxBody: kept, MaxDrain: drained, IdleTimeout: time.Minute, PingAfter: 30 * time.Second, PingTimeout: 15 * time.Second}
}

// peer is the other end of a connection, which says what a test has it say.
type peer struct {
	*h2.Framer

	conn net.Conn
}

// frame is what a test needs of a frame, beyond the framer's next read.
type frame struct {
	kind     h2.FrameType
	stream   uint32
	ended    bool
	data     []byte // of a DATA frame
	code     h2.ErrCode
	fields   map[string]string
	ack      bool
	settings map[h2.SettingID]uint32
	opened   uint32 // by a WINDOW_UPDATE frame
}

// connect returns a connection, made of a pipe that holds nothing, and its peer, which has said
// hello.
func connect(tb testing.TB) (*http2.Conn, *peer) {
	tb.Helper()
	return connectAs(tb, options())
}

func connectAs(tb testing.TB, o http2.Options) (*http2.Conn, *peer) {
	tb.Helper()
	near, far := net.Pipe()
	c := http2.New(near, o)
	p := &peer{Framer: h2.NewFramer(far, far), conn: far}
	p.SetMaxReadFrameSize(16 << 10) // as much as one takes that has said nothing
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	tb.Cleanup(func() { c.Retire(); _ = far.Close(); _ = near.Close() })
	preface := make([]byte, len(h2.ClientPreface))
	_, err := io.ReadFull(far, preface)
	require.NoError(tb, err)
	require.Equal(tb, h2.ClientPreface, string(preface))
	require.Equal(tb, frame{kind: h2.FrameSettings, settings: map[h2.SettingID]uint32{
		h2.SettingEnablePush: 0, h2.SettingMaxHeaderListSize: uint32(o.MaxHead),
	}}, p.next(tb))
	return c, p
}

// hello sends the peer's settings and reads that they were taken in.
func (p *peer) hello(tb testing.TB, settings ...h2.Setting) {
	tb.Helper()
	require.NoError(tb, p.WriteSettings(settings...))
	f := p.next(tb)
	require.Equal(tb, h2.FrameSettings, f.kind)
	require.True(tb, f.ack)
}

// next reads a frame.
func (p *peer) next(tb testing.TB) frame {
	tb.Helper()
	f, err := p.read()
	require.NoError(tb, err)
	return f
}

func (p *peer) read() (frame, error) {
	f, err := p.ReadFrame()
	if err != nil {
		return frame{}, err
	}
	out := frame{kind: f.Header().Type, stream: f.Header().StreamID}
	switch f := f.(type) {
	case *h2.MetaHeadersFrame:
		out.ended, out.fields = f.StreamEnded(), make(map[string]string)
		for _, field := range f.Fields {
			out.fields[field.Name] = field.Value
		}
	case *h2.DataFrame:
		out.ended, out.data = f.StreamEnded(), bytes.Clone(f.Data())
	case *h2.RSTStreamFrame:
		out.code = f.ErrCode
	case *h2.SettingsFrame:
		out.ack = f.IsAck()
		_ = f.ForeachSetting(func(s h2.Setting) error {
			if out.settings == nil {
				out.settings = make(map[h2.SettingID]uint32)
			}
			out.settings[s.ID] = s.Val
			return nil
		})
	case *h2.PingFrame:
		out.ack = f.IsAck()
	case *h2.WindowUpdateFrame:
		out.opened = f.Increment
	}
	return out, nil
}

// hasNoMore requires that the next frame is the answer to a ping, and that nothing is under way
// after it.
func (p *peer) hasNoMore(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, p.WritePing(false, [8]byte{1}))
	f := p.next(tb)
	require.Equal(tb, h2.FramePing, f.kind)
	require.True(tb, f.ack)
	synctest.Wait()
}

// head sends the head of an answer: pairs of names and values.
func (p *peer) head(stream uint32, end bool, pairs ...string) error {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return p.WriteHeaders(h2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndStream: end, EndHeaders: true})
}

// longHead sends the head of an answer that has a list of headers of so many bytes, in several
// frames.
func (p *peer) longHead(stream uint32, size int) error {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	const each, beside = 1 << 10, 32 // what a field counts for beside its name and value
	for size -= len(":status200") + beside; size > 0; size -= each {
		n := min(size, each)
		_ = e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("\t", n-beside-len("x"))}) // it gets longer, if anything
	}
	const part = 8 << 10
	err := p.WriteHeaders(h2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Next(part), EndStream: true})
	for err == nil && b.Len() > 0 {
		fragment := b.Next(part)
		err = p.WriteContinuation(stream, b.Len() == 0, fragment)
	}
	return err
}

// result is what came of a request.
type result struct {
	http2.Answer

	idle time.Duration
	err  error
}

// send sends a request on its own goroutine.
func send(tb testing.TB, c *http2.Conn, timeout time.Duration, body []byte) <-chan result {
	tb.Helper()
	require.True(tb, c.Reserve())
	out := make(chan result, 1)
	ctx := tb.Context()
	go func() { out <- do(ctx, c, timeout, body) }()
	return out
}

func do(ctx context.Context, c *http2.Conn, timeout time.Duration, body []byte) (r result) {
	head := "POST /in?a=b HTTP/1.1\r\nHost: ignored\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\nWebhook-Id: evt_1\r\n\r\n"
	r.Answer, r.idle, r.err = c.Do(ctx, time.Now().Add(timeout), http2.AppendHead(nil, []byte(head), "example.com"), body, nil)
	return r
}

// echo answers every request with its own body, until the connection is closed.
func (p *peer) echo() {
	bodies := make(map[uint32][]byte)
	var mu sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		f, err := p.read()
		if err != nil {
			return
		}
		bodies[f.stream] = append(bodies[f.stream], f.data...)
		if !f.ended {
			continue
		}
		body := bodies[f.stream]
		delete(bodies, f.stream)
		wg.Go(func() { // reading goes on meanwhile: a pipe holds nothing
			mu.Lock()
			defer mu.Unlock()
			_ = p.head(f.stream, false, ":status", "200")
			_ = p.WriteData(f.stream, true, body)
			_ = p.WriteWindowUpdate(0, uint32(max(1, len(body))))
		})
	}
}
