package main

import (
	"io"
	"sync"
	"time"
)

const (
	// logQueueBytes is how much of the log may wait for whoever reads stderr: some thousand lines.
	logQueueBytes = 1 << 20
	// logFlushTime is how long the end of the process waits for the rest of the log to be read.
	logFlushTime = time.Second
)

// logQueue is an io.Writer that never blocks: one goroutine of its own writes what it holds to a
// writer that may, such as a pipe that nobody reads. What does not fit is dropped and counted. Its
// methods are safe for concurrent use.
//
// It is not zerolog's diode because that bounds lines and not bytes, drops the oldest lines, those
// that explain what went wrong first, and waits without an end when it is closed.
type logQueue struct {
	out io.Writer

	mu      sync.Mutex
	resumed func(n uint64) // see onResumed
	lines   [][]byte
	bytes   int // of lines, and of the one that is being written
	most    int
	dropped uint64 // in all
	missing uint64 // since resumed was last called
	closed  bool
	wake    chan struct{} // capacity 1: there are lines, or it is closed
	done    chan struct{} // closed once all is written
}

// newLogQueue starts a queue that holds at most so many bytes.
func newLogQueue(out io.Writer, most int) *logQueue {
	q := &logQueue{out: out, most: most, resumed: func(uint64) {}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// onResumed has f called each time that somebody reads again after n lines were dropped. It may
// write.
func (q *logQueue) onResumed(f func(n uint64)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.resumed = f
}

// Write queues a copy of a line, or drops it. It returns no error: zerolog would print that to
// stderr, and wait there.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	if q.closed || q.bytes+len(line) > q.most {
		q.dropped++
		q.missing++
		q.mu.Unlock()
		return len(line), nil
	}
	q.lines = append(q.lines, append([]byte(nil), line...))
	q.bytes += len(line)
	q.mu.Unlock()
	q.signal()
	return len(line), nil
}

// Dropped returns how many lines were dropped so far.
func (q *logQueue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Close takes no more lines and waits until those that it holds are written, but no longer than
// within.
func (q *logQueue) Close(within time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-q.done:
	case <-timer.C:
	}
}

func (q *logQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes until the queue is closed and empty. It is not in anybody's errgroup: while nobody
// reads, it cannot be ended.
func (q *logQueue) run() {
	defer close(q.done)
	for range q.wake {
		for {
			line, ended := q.next()
			if ended {
				return
			}
			if line == nil {
				break
			}
			_, err := q.out.Write(line)
			q.wrote(line, err)
		}
	}
}

// next returns the line to write, nil for none, and reports whether there will be no more.
func (q *logQueue) next() (line []byte, ended bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		return nil, q.closed
	}
	line, q.lines[0] = q.lines[0], nil
	q.lines = q.lines[1:]
	return line, false
}

// wrote notes what became of a line. A line that could not be written is one that was dropped: the
// reader is gone, or the disk is full.
func (q *logQueue) wrote(line []byte, err error) {
	q.mu.Lock()
	q.bytes -= len(line)
	if err != nil {
		q.dropped++
		q.missing++
	}
	missing, notify := q.missing, q.resumed
	// With half of it free, so that a reader that is just too slow does not get a notice per line.
	resumed := err == nil && missing > 0 && q.bytes <= q.most/2
	if resumed {
		q.missing = 0
	}
	q.mu.Unlock()
	if resumed {
		notify(missing)
	}
}
