package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// gatedWriter blocks in each Write until it is opened, as a pipe does that nobody reads.
type gatedWriter struct {
	opened chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	err  error
}

func (w *gatedWriter) Write(p []byte) (int, error) {
	<-w.opened
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	return w.text.Write(p)
}

func (w *gatedWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *gatedWriter) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Fields(w.text.String())
}

func TestLogQueue_dropsAndCountsWhatNobodyReadsAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{opened: make(chan struct{})}
		var told []uint64
		q := newLogQueue(out, 10)
		q.onResumed(func(n uint64) { told = append(told, n) })
		// Of twenty lines of two bytes five fit; the first of them is being written.
		for i := range 20 {
			n, err := q.Write([]byte{byte('a' + i), '\n'})
			require.NoError(t, err, "zerolog would write that to stderr, and wait")
			require.Equal(t, 2, n)
		}
		synctest.Wait()
		require.Equal(t, uint64(15), q.Dropped())
		require.Empty(t, out.lines())

		close(out.opened)
		synctest.Wait()
		require.Equal(t, []string{"a", "b", "c", "d", "e"}, out.lines(), "the first lines, in order")
		require.Equal(t, []uint64{15}, told)
		_, err := q.Write([]byte("z\n"))
		require.NoError(t, err)
		q.Close(time.Hour)
		require.Equal(t, "z", out.lines()[5], "a close waits for what is held")
		require.Equal(t, []uint64{15}, told)
	})
}

// A reader that is only too slow would be told of each line that was dropped: it is told once half
// of the queue is free.
func TestLogQueue_tellsAReaderThatIsSlowOnceItHasCaughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{opened: make(chan struct{})}
		told := 0
		q := newLogQueue(out, 10)
		q.onResumed(func(uint64) { told++ })
		for range 6 {
			_, err := q.Write([]byte("a\n"))
			require.NoError(t, err)
		}
		for _, want := range []int{0, 0, 1, 1, 1} { // by line that is read: 8, 6, 4, 2 and no bytes are left
			out.opened <- struct{}{}
			synctest.Wait()
			require.Equal(t, want, told)
		}
		q.Close(time.Hour)
	})
}

func TestLogQueue_itsEndIsNotHeldUpByAReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{opened: make(chan struct{})}
		q := newLogQueue(out, 100)
		_, err := q.Write([]byte("a\n"))
		require.NoError(t, err)
		began := time.Now()
		q.Close(time.Second)
		require.Equal(t, time.Second, time.Since(began))
		_, err = q.Write([]byte("b\n"))
		require.NoError(t, err)
		require.Equal(t, uint64(1), q.Dropped())
		close(out.opened) // so that the bubble ends

		read := newLogQueue(io.Discard, 100)
		_, err = read.Write([]byte("a\n"))
		require.NoError(t, err)
		began = time.Now()
		read.Close(time.Second)
		require.Zero(t, time.Since(began), "who reads everything is not waited for")
	})
}

func TestLogQueue_countsWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{opened: make(chan struct{})}
		close(out.opened)
		var told []uint64
		q := newLogQueue(out, 100)
		q.onResumed(func(n uint64) { told = append(told, n) })
		out.fail(errors.New("broken pipe"))
		for range 3 {
			_, err := q.Write([]byte("a\n"))
			require.NoError(t, err)
		}
		synctest.Wait()
		require.Equal(t, uint64(3), q.Dropped())
		require.Empty(t, told, "nobody is there to read it")
		out.fail(nil)
		_, err := io.WriteString(q, "b\n")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []uint64{3}, told)
		require.Equal(t, []string{"b"}, out.lines())
		q.Close(time.Hour)
	})
}

// What zerolog writes with is used again by it.
func TestLogQueue_keepsACopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &gatedWriter{opened: make(chan struct{})}
		q := newLogQueue(out, 100)
		line := []byte("a\n")
		_, err := q.Write(line)
		require.NoError(t, err)
		line[0] = 'b'
		close(out.opened)
		q.Close(time.Hour)
		require.Equal(t, []string{"a"}, out.lines())
	})
}
