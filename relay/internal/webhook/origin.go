package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"syscall"
	"time"
)

// origin is where requests of one endpoint go: a place, and the connections to it. Which protocol it speaks is known
// once the first connection is made.
type origin struct {
	client             *Client
	place              place
	tls                *tls.Config // nil: plain http
	absolute           bool        // the request line carries the whole URL, for a proxy
	proxyAuthorization string
	pool               pool

	mu     sync.Mutex
	closed bool
	h2     []*h2Conn
}

func newOrigin(c *Client, p place, concurrency int) *origin {
	o := &origin{client: c, place: p, pool: pool{max: concurrency, timeout: c.idleTimeout}}
	if p.secure {
		o.tls = c.tls.Clone()
		o.tls.ServerName = p.serverName()
	} else if c.dialer.proxy != nil {
		o.absolute, o.proxyAuthorization = true, c.dialer.proxy.authorization
	}
	return o
}

// staleAfter is how long a connection must have been idle for its end, without a byte of an answer, to be the receiver's
// keep-alive limit rather than what it does to this request.
const staleAfter = 500 * time.Millisecond

// roundTrip sends the exchange's request and reads the answer to its end. An idle connection that the receiver closed
// at the moment it was used again says nothing about the receiver: the request goes out once more on a new one. That
// is safe, for the receiver knows a repeated webhook-id. A connection that was busy until now is another matter: whoever
// takes a request and then hangs up has failed it, and what it got counts as an attempt.
func (o *origin) roundTrip(ctx context.Context, x *exchange, deadline time.Time) error {
	x.reset()
	if h := o.takeH2(); h != nil {
		idle := h.idle()
		err := h.roundTrip(ctx, x, deadline)
		if x.answer.status != 0 || !isStale(err, idle) || ctx.Err() != nil {
			return err
		}
	} else if c := o.pool.take(deadline); c != nil {
		idle := time.Since(c.idleSince)
		err := o.use(ctx, c, x)
		if x.answer.status != 0 || !isStale(err, idle) || ctx.Err() != nil {
			return err
		}
	}
	x.reset()
	c, h, err := o.dial(ctx, x, deadline)
	switch {
	case err != nil:
		return err
	case h != nil:
		return h.roundTrip(ctx, x, deadline)
	}
	if err = c.SetDeadline(deadline); err != nil {
		c.close()
		return err
	}
	return o.use(ctx, c, x)
}

// use makes one exchange on c, whose deadline is set, and keeps it for the next one, if it is fit for that.
func (o *origin) use(ctx context.Context, c *conn, x *exchange) error {
	x.phase = phaseSend
	err := c.begin(ctx)
	keep := false
	if err == nil {
		err = x.mayGo()
	}
	if err == nil {
		keep, err = x.do(c)
	}
	c.end()
	if keep && err == nil {
		o.pool.put(c, time.Now())
	} else {
		c.close()
	}
	return err
}

// isStale reports whether err is what using a connection gives that the peer closed while it was idle.
func isStale(err error, idle time.Duration) bool {
	var closed *closedError
	return errors.As(err, &closed) && (closed.unread || idle >= staleAfter)
}

// closedError marks the error of a connection that the peer closed before any byte of an answer.
type closedError struct {
	err    error
	unread bool // the peer says that it has not looked at the request
}

func (e *closedError) Error() string { return e.err.Error() }
func (e *closedError) Unwrap() error { return e.err }

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// dial makes a new connection: one that speaks HTTP/1.1, or HTTP/2.
func (o *origin) dial(ctx context.Context, x *exchange, deadline time.Time) (*conn, *h2Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := o.client.dialer.open(ctx, o.place, &x.phase)
	if err != nil {
		return nil, nil, err
	}
	if o.tls == nil {
		return newConn(raw), nil, nil
	}
	x.phase = phaseTLS
	t, err := secure(ctx, raw, o.tls)
	if err != nil {
		return nil, nil, err
	}
	if t.ConnectionState().NegotiatedProtocol != "h2" {
		return newConn(t), nil, nil
	}
	h, err := o.addH2(ctx, t)
	if err != nil {
		_ = t.Close() // err says more
		return nil, nil, err
	}
	return nil, h, nil
}

// close closes what is idle, and what is in use as soon as it is not.
func (o *origin) close() {
	o.pool.close()
	o.mu.Lock()
	o.closed = true
	old := o.h2
	o.h2 = nil
	o.mu.Unlock()
	for _, h := range old {
		h.retire()
	}
}
