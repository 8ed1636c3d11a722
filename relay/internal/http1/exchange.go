package http1

import (
	"bufio"
	"net"
	"time"
)

const (
	readBuffer = 4 << 10
	// keptBuffer is the most that a buffer may hold on to between exchanges.
	keptBuffer = 64 << 10
	// settle is how long after a whole answer a write may still take to end. A receiver that has
	// read the request lets it end at once; one that has not refuses the rest.
	settle = 50 * time.Millisecond
)

// Exchange is the state of one request beside its connection: room to read its answer. It is used
// again for the next one, by one goroutine at a time.
type Exchange struct {
	Answer Answer
	// KeepFields has Answer keep the header lines.
	KeepFields bool
	// MostBody is how much of an answer's body is kept; 0: MaxBody.
	MostBody int

	reader *bufio.Reader // made for the first answer: an exchange may wait long for its connection
	line   []byte        // room for a line that is longer than reader's buffer
}

// NewExchange makes an Exchange.
func NewExchange() *Exchange { return &Exchange{} }

// Reset forgets the answer, and room that is larger than most answers need.
func (x *Exchange) Reset() {
	if x.reader != nil {
		x.reader.Reset(nil)
	}
	body := x.Answer.Body
	if cap(body) > keptBuffer {
		body = nil
	}
	if cap(x.line) > keptBuffer {
		x.line = nil
	}
	x.Answer = Answer{Body: body[:0]}
}

// Do writes a request, head and body, and reads the answer until it is whole. The deadline is set
// on the connection, and its use has begun. It reports whether the connection can be used again. An
// answer whose head came whole is in Answer even if there is an error, which is an *[Error] and
// then speaks of the rest.
//
// An empty body costs one write and no goroutine: put a small one behind the head. A body of its
// own is written beside the reading, so that a receiver may answer before it has read it all, with
// 413 for example, and close.
func (x *Exchange) Do(c *Conn, head, body []byte) (keep bool, err error) {
	x.Reset()
	if x.reader == nil {
		x.reader = bufio.NewReaderSize(nil, readBuffer)
	}
	x.reader.Reset(c.Conn)
	if len(body) == 0 {
		_, err := c.Write(head)
		if err != nil && !isClosed(err) {
			return false, &Error{During: Sending, Err: err}
		}
		// Who closed may have answered before.
		return x.read(func() (bool, error) { return true, err })
	}
	written, writeErr := make(chan struct{}), error(nil)
	go func() {
		defer close(written)
		parts := net.Buffers{head, body}
		_, writeErr = parts.WriteTo(c.Conn)
	}()
	sent := func() (bool, error) {
		timer := time.NewTimer(settle)
		defer timer.Stop()
		select {
		case <-written:
			return true, writeErr
		case <-timer.C:
			return false, nil
		}
	}
	keep, err = x.read(sent)
	// What was not written by now is not wanted. Head and body are the caller's again once the
	// write has ended.
	_ = c.SetWriteDeadline(time.Unix(1, 0)) // an error means that it is closed already
	<-written
	return keep, err
}

// read reads the answer. Sent reports, once that matters, whether the request was written to its
// end, and what went wrong with that.
func (x *Exchange) read(sent func() (bool, error)) (keep bool, err error) {
	if _, err := x.reader.Peek(1); err != nil {
		during := Waiting
		if whole, writeErr := sent(); writeErr != nil {
			during, err = Sending, writeErr
		} else if !whole {
			during = Sending
		}
		return false, &Error{During: during, Err: err, Closed: isClosed(err), Silent: isTimeout(err)}
	}
	f := framing{budget: MaxHead}
	if err := x.readHead(&f); err != nil {
		return false, &Error{During: Waiting, Err: err}
	}
	inStep, err := x.readBody(&f)
	whole, writeErr := sent()
	if err != nil {
		err = &Error{During: Reading, Err: err}
	}
	return inStep && whole && writeErr == nil && !f.closes && (!f.http10 || f.keepAlive) && x.reader.Buffered() == 0, err
}
