package webhook

import (
	"bufio"
	"net"
	"sync"
)

const (
	readBuffer = 4 << 10
	// joinBelow is up to where copying a body behind its head is cheaper than a second buffer for the kernel.
	joinBelow = 32 << 10
	// keptBuffer is the most that a buffer may hold on to between exchanges.
	keptBuffer = 64 << 10
)

// exchange is what one attempt needs beside a connection: its request, ready to be written, and the answer of its latest
// hop. Exchanges are reused.
type exchange struct {
	head    []byte      // request line, header lines, blank line; then the body if it is small
	headEnd int         // where the head ends
	hop     int         // where the hop's part of the head ends
	sent    []byte      // the body: the exact bytes that were signed
	body    []byte      // room for building a body
	held    func() bool // Request.Held

	reader  *bufio.Reader
	line    []byte // room for a line that is longer than reader's buffer
	capture []byte // the beginning of the response's body
	answer  answer
	phase   phase
	reached bool // something may have been written
}

// answer is what a receiver answered.
type answer struct {
	status     int // 0: nothing yet
	retryAfter string
	location   string
	truncated  bool // the body is longer than capture
}

func newExchange() *exchange {
	return &exchange{reader: bufio.NewReaderSize(nil, readBuffer)}
}

// release gives the exchange back for another attempt.
func (x *exchange) release(pool *sync.Pool) {
	x.sent, x.held, x.reached = nil, nil, false
	x.reader.Reset(nil)
	x.answer = answer{}
	for _, b := range []*[]byte{&x.head, &x.body, &x.line, &x.capture} {
		if cap(*b) > keptBuffer {
			*b = nil
		}
		*b = (*b)[:0]
	}
	pool.Put(x)
}

// build makes the request ready for its first hop. An error means that no attempt can be made, ever.
func (x *exchange) build(e *Endpoint, r *Request) error {
	if err := e.checkEvent(r); err != nil {
		return err
	}
	c, err := x.format(e, r)
	if err != nil {
		return err
	}
	x.sent, x.held = c.body, r.Held
	x.hop = len(e.head)
	x.head = append(x.head[:0], e.head...)
	x.head = x.appendFields(x.head, e, r, c)
	x.finishHead()
	return nil
}

func (x *exchange) finishHead() {
	x.head = append(x.head, "\r\n"...)
	x.headEnd = len(x.head)
	if len(x.sent) < joinBelow {
		x.head = append(x.head, x.sent...)
	}
}

// rebase makes the request ready for another hop: the same fields and body behind the hop's own head.
func (x *exchange) rebase(hopHead []byte) {
	fields := x.head[x.hop : x.headEnd-len("\r\n")]
	head := make([]byte, 0, len(hopHead)+len(fields)+joinBelow)
	head = append(append(head, hopHead...), fields...)
	x.head, x.hop = head, len(hopHead)
	x.finishHead()
}

// mayGo is the last look before the request is written.
func (x *exchange) mayGo() error {
	if x.held == nil || x.held() {
		x.reached = true
		return nil
	}
	return errNotHeld
}

// reset forgets the answer of the hop before.
func (x *exchange) reset() {
	x.answer = answer{}
	x.capture = x.capture[:0]
}

// write sends the request in one call to the kernel.
func (x *exchange) write(conn net.Conn) error {
	if len(x.sent) < joinBelow {
		_, err := conn.Write(x.head)
		return err
	}
	parts := net.Buffers{x.head, x.sent}
	_, err := parts.WriteTo(conn)
	return err
}
