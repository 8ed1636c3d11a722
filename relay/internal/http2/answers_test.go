package http2_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tailpost/tailpost/relay/internal/http2"
)

// TestASmallerTableIsConfirmed: a peer that takes less of a table of headers hears in the next
// head, once, that it is empty. Peers that are made with nghttp2 take a head for a broken one
// otherwise, and end the connection with all that is in flight.
func TestASmallerTableIsConfirmed(t *testing.T) {
	t.Parallel()
	const empty = 0x20
	for name, test := range map[string]struct {
		sizes []uint32 // that it names, each before a request
		told  []bool   // in which of their heads
	}{
		"none":                           {[]uint32{0, 0}, []bool{true, false}},
		"less, and less again":           {[]uint32{1024, 512}, []bool{true, false}},
		"as much as ever, and then less": {[]uint32{4096, 4095}, []bool{false, true}},
		"more, and then as much":         {[]uint32{65536, 4096}, []bool{false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p := connect(t)
			p.ReadMetaHeaders = nil
			decoder := hpack.NewDecoder(4096, nil)
			var told []bool
			for _, size := range test.sizes {
				p.hello(t, h2.Setting{ID: h2.SettingHeaderTableSize, Val: size})
				out := send(t, c, time.Minute, nil)
				f, err := p.ReadFrame()
				require.NoError(t, err)
				head, is := f.(*h2.HeadersFrame)
				require.True(t, is)
				block := head.HeaderBlockFragment()
				told = append(told, block[0] == empty)
				fields, err := decoder.DecodeFull(block)
				require.NoError(t, err)
				require.Equal(t, hpack.HeaderField{Name: ":method", Value: "POST"}, fields[0])
				require.NoError(t, p.head(head.StreamID, true, ":status", "200"))
				require.Equal(t, 200, (<-out).Status)
			}
			require.Equal(t, test.told, told)
		})
	}
}

// TestTrailersEndARequestToo: of a request whose answer is whole nothing more is sent, and the peer
// is told, also where the answer ends with trailers: it would wait for the rest, and count the
// request among those in flight.
func TestTrailersEndARequestToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t, h2.Setting{ID: h2.SettingInitialWindowSize, Val: 10})
		out := send(t, c, time.Minute, make([]byte, 100))
		stream := p.next(t).stream
		require.Len(t, p.next(t).data, 10)
		require.NoError(t, p.head(stream, false, ":status", "413"))
		require.NoError(t, p.head(stream, true, "x-checksum", "1"))
		require.Equal(t, frame{kind: h2.FrameRSTStream, stream: stream, code: h2.ErrCodeCancel}, p.next(t))
		r := <-out
		require.NoError(t, r.err)
		require.Equal(t, 413, r.Status)
	})
}

// TestABodyIsAsLongAsItsHeadSays: one that is not is an answer whose rest is wrong, however it
// ends, unless its status says that it has none.
func TestABodyIsAsLongAsItsHeadSays(t *testing.T) {
	t.Parallel()
	const none, data, trailers = "none", "data", "trailers"
	for name, test := range map[string]struct {
		status  string
		lengths []string
		ends    string
		fits    bool
	}{
		"as long":                     {"200", []string{"4"}, data, true},
		"as long, with trailers":      {"200", []string{"4"}, trailers, true},
		"said twice":                  {"200", []string{"4", "4"}, data, true},
		"not said":                    {"200", nil, data, true},
		"empty":                       {"200", []string{"0"}, none, true},
		"longer":                      {"200", []string{"3"}, data, false},
		"shorter":                     {"200", []string{"5"}, data, false},
		"shorter, with trailers":      {"200", []string{"5"}, trailers, false},
		"missing":                     {"500", []string{"4"}, none, false},
		"said twice, and differently": {"200", []string{"5", "4"}, data, false},
		"no number":                   {"200", []string{"four"}, data, false},
		"negative":                    {"200", []string{"-4"}, data, false},
		"beyond all numbers":          {"200", []string{"9223372036854775808"}, data, false},
		"none by its status":          {"204", []string{"4"}, none, true},
		"not modified":                {"304", []string{"4"}, none, true},
		"none by its status, and one": {"204", []string{"3"}, data, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, p := connect(t)
			p.hello(t)
			out := send(t, c, time.Minute, nil)
			stream := p.next(t).stream
			pairs := []string{":status", test.status}
			for _, length := range test.lengths {
				pairs = append(pairs, "content-length", length)
			}
			require.NoError(t, p.head(stream, test.ends == none, pairs...))
			if test.ends != none {
				require.NoError(t, p.WriteData(stream, test.ends == data, []byte("body")))
			}
			if test.ends == trailers {
				require.NoError(t, p.head(stream, true, "x-a", "b"))
			}
			r := <-out
			require.NotZero(t, r.Status)
			require.False(t, c.Closed())
			if test.fits {
				require.NoError(t, r.err)
				return
			}
			var broken *http2.Error
			require.ErrorAs(t, r.err, &broken)
			require.ErrorIs(t, broken, http2.ErrLength)
			require.True(t, broken.Headed)
		})
	}
}

// TestWhatNobodyUsesIsClosed, and what somebody does, or is about to, is not.
func TestWhatNobodyUsesIsClosed(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	require.True(t, c.Reserve())
	c.CloseIdle()
	require.False(t, c.Closed())
	c.Release()
	c.CloseIdle()
	require.True(t, c.Closed())
	_, err := p.read()
	require.Error(t, err)
}
