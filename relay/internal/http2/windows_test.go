package http2_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	h2 "golang.org/x/net/http2"
)

// TestWindowsAreGivenOnce: a peer is told of each byte once, padding included, so that the windows
// stay as large as they are, however long the connection lives.
func TestWindowsAreGivenOnce(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	part, padding := make([]byte, 16<<10), make([]byte, 255)
	require.NoError(t, p.head(stream, false, ":status", "200"))
	for range 2 {
		require.NoError(t, p.WriteData(stream, false, part))
		require.NoError(t, p.WriteDataPadded(stream, false, part[len(padding)+1:], padding)) // its length takes a byte
		opened := make(map[uint32]uint32)
		for range 2 {
			f := p.next(t)
			require.Equal(t, h2.FrameWindowUpdate, f.kind)
			opened[f.stream] += f.opened
		}
		require.Equal(t, map[uint32]uint32{0: 32 << 10, stream: 32 << 10}, opened)
	}
	require.NoError(t, p.WriteData(stream, true, nil))
	require.NoError(t, (<-out).err)
}

// TestNothingOfABodyFollowsItsReset: of a request that was given up nothing more is sent, whatever
// room there is then: its body is the caller's again.
func TestNothingOfABodyFollowsItsReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t, h2.Setting{ID: h2.SettingInitialWindowSize, Val: 1 << 20})
		out := send(t, c, time.Second, make([]byte, 100_000))
		stream := p.next(t).stream
		for got := 0; got < 65535; { // the window of all streams together
			got += len(p.next(t).data)
		}
		require.Equal(t, frame{kind: h2.FrameRSTStream, stream: stream, code: h2.ErrCodeCancel}, p.next(t))
		require.ErrorIs(t, (<-out).err, os.ErrDeadlineExceeded)
		require.NoError(t, p.WriteWindowUpdate(0, 1<<20))
		p.hasNoMore(t)
		next := send(t, c, time.Minute, []byte("body"))
		head := p.next(t)
		require.Equal(t, h2.FrameHeaders, head.kind)
		require.Equal(t, frame{kind: h2.FrameData, stream: head.stream, ended: true, data: []byte("body")}, p.next(t))
		require.NoError(t, p.head(head.stream, true, ":status", "200"))
		require.Equal(t, 200, (<-next).Status)
	})
}

// TestAnAnswerThatNobodyWaitsForUsesUpNoWindow: what arrives of a request that was given up makes
// room for the answers to others.
func TestAnAnswerThatNobodyWaitsForUsesUpNoWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, p := connect(t)
		p.hello(t)
		out := send(t, c, time.Second, nil)
		stream := p.next(t).stream
		require.NoError(t, p.head(stream, false, ":status", "200"))
		require.Equal(t, frame{kind: h2.FrameRSTStream, stream: stream, code: h2.ErrCodeCancel}, p.next(t))
		require.ErrorIs(t, (<-out).err, os.ErrDeadlineExceeded)
		for range 2 {
			require.NoError(t, p.WriteData(stream, false, make([]byte, 16<<10)))
		}
		require.Equal(t, frame{kind: h2.FrameWindowUpdate, opened: 32 << 10}, p.next(t))
	})
}

// TestSettingsMoveTheWindowsThatAreOpen: another initial window gives a request under way as much
// more or less as it differs, beside what the request has left.
func TestSettingsMoveTheWindowsThatAreOpen(t *testing.T) {
	t.Parallel()
	const all, first = 65535, 100_000 // the window of all streams together, and of each
	for name, second := range map[string]int{"more": 110_000, "less": 80_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, p := connect(t)
				p.hello(t, h2.Setting{ID: h2.SettingInitialWindowSize, Val: first})
				out := send(t, c, time.Minute, make([]byte, 200_000))
				stream := p.next(t).stream
				got := 0
				for got < all {
					got += len(p.next(t).data)
				}
				p.hello(t, h2.Setting{ID: h2.SettingInitialWindowSize, Val: uint32(second)})
				require.NoError(t, p.WriteWindowUpdate(0, 1<<20))
				for got < second {
					got += len(p.next(t).data)
				}
				require.Equal(t, second, got)
				p.hasNoMore(t)
				require.NoError(t, p.head(stream, true, ":status", "200"))
				require.NoError(t, (<-out).err)
			})
		})
	}
}

// TestCutAnswerEndsWithNothing: an answer that was cut remains so where its last frame is empty.
func TestCutAnswerEndsWithNothing(t *testing.T) {
	t.Parallel()
	c, p := connect(t)
	p.hello(t)
	out := send(t, c, time.Minute, nil)
	stream := p.next(t).stream
	require.NoError(t, p.head(stream, false, ":status", "200"))
	require.NoError(t, p.WriteData(stream, false, make([]byte, kept+1)))
	require.NoError(t, p.WriteData(stream, true, nil))
	r := <-out
	require.NoError(t, r.err)
	require.Len(t, r.Body, kept)
	require.True(t, r.Truncated)
}
