package webhook

import (
	"context"
	"net/url"
	"sync"
	"time"

	"github.com/tailpost/tailpost/relay/internal/http1"
)

const (
	// joinBelow is up to where copying a body behind its head is cheaper than a second buffer for
	// the kernel.
	joinBelow = 32 << 10
	// keptBuffer is the most that a buffer may hold on to between exchanges.
	keptBuffer = 64 << 10
)

// exchange is the state of one attempt: its request, ready to be written, and room for the answer
// of its latest hop. Exchanges are reused.
type exchange struct {
	*http1.Exchange

	head    []byte      // request line, header lines, blank line; then the body if it is small
	headEnd int         // where the head ends
	hop     int         // where the hop's part of the head ends
	sent    []byte      // the body: the exact bytes that were signed
	body    []byte      // room for building a body
	packed  []byte      // room for compressing it
	block   []byte      // room for the head as HTTP/2 has it
	target  []byte      // room for a path and query that follow from the event
	own     []byte      // the endpoint's own headers, where some follow from the event
	at      *url.URL    // the URL, where it follows from the event and redirects are followed
	token   string      // the access token of the attempt; empty: none
	shown   bool        // its last request carried it
	held    func() bool // Request.Held
	reached bool        // something may have been written
	again   bool        // Result.Again
}

func newExchange() *exchange { return &exchange{Exchange: http1.NewExchange()} }

// release makes the exchange ready for another attempt.
func (x *exchange) release(pool *sync.Pool) {
	x.sent, x.held, x.reached, x.again = nil, nil, false, false
	x.token, x.shown = "", false
	x.at = nil
	x.Reset()
	for _, b := range []*[]byte{&x.head, &x.body, &x.packed, &x.block, &x.target, &x.own} {
		if cap(*b) > keptBuffer {
			*b = nil
		}
		*b = (*b)[:0]
	}
	pool.Put(x)
}

// build makes the request ready for its first hop. An error means that no attempt can be made,
// ever.
func (x *exchange) build(e *Endpoint, r *Request) error {
	if err := e.checkEvent(r); err != nil {
		return err
	}
	c, err := x.format(e, r)
	if err != nil {
		return err
	}
	return x.wrap(e, r, r.Event.ID, c)
}

// wrap puts the head before a body.
func (x *exchange) wrap(e *Endpoint, r *Request, id string, c content) (err error) {
	if e.gzip {
		if c, x.packed, err = pack(x.packed, c); err != nil {
			return err
		}
	}
	x.sent, x.held = c.body, r.Held
	if e.address == nil {
		x.head = append(x.head[:0], e.head...)
	} else if err := x.aim(e, r); err != nil {
		return err
	}
	x.head = x.appendToken(x.head, true)
	x.hop = len(x.head)
	x.head = x.appendFields(x.head, e, r, id, c)
	x.finishHead()
	return nil
}

// appendToken appends the header with the attempt's access token, if it has one that may be shown
// to whom the request goes to.
func (x *exchange) appendToken(dst []byte, may bool) []byte {
	x.shown = may && x.token != ""
	if !x.shown {
		return dst
	}
	return append(append(append(dst, "Authorization: Bearer "...), x.token...), "\r\n"...)
}

func (x *exchange) finishHead() {
	x.head = append(x.head, "\r\n"...)
	x.headEnd = len(x.head)
	if len(x.sent) < joinBelow {
		x.head = append(x.head, x.sent...)
	}
}

// rebase makes the request ready for another hop: the same fields and body behind the hop's own
// head.
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

// do makes the exchange on an HTTP/1.1 connection. It reports whether the connection can be used
// again.
func (x *exchange) do(ctx context.Context, c *http1.Conn, deadline time.Time) (keep bool, err error) {
	if err := c.SetDeadline(deadline); err != nil {
		return false, &http1.Error{During: http1.Sending, Err: err}
	}
	defer c.End()
	if err := c.Begin(ctx); err != nil {
		return false, &http1.Error{During: http1.Sending, Err: err}
	}
	if err := x.mayGo(); err != nil {
		return false, err
	}
	if len(x.sent) < joinBelow {
		return x.Do(c, x.head, nil)
	}
	return x.Do(c, x.head, x.sent)
}
