package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/tailpost/tailpost/relay/internal/http1"
	"github.com/tailpost/tailpost/relay/internal/http2"
)

// h2Conn is one HTTP/2 connection of an origin. Several attempts at a time use it.
type h2Conn struct {
	*http2.Conn

	origin *origin
}

const (
	// A ping after this much silence finds a dead connection that many requests share.
	h2PingAfter   = 30 * time.Second
	h2PingTimeout = 15 * time.Second
	// h2Drain is how much of an answer's body is read beyond what is kept.
	h2Drain = 256 << 10
)

// h2Error is what became of a request on an HTTP/2 connection, in words fit for people.
type h2Error struct {
	text   string
	during string
	err    error
	unread bool // the receiver says that it has not looked at the request
	away   bool // because it takes no more of this connection
}

func (e *h2Error) Error() string { return e.text }
func (e *h2Error) Unwrap() error { return e.err }

// addH2 begins HTTP/2 on a connection and shares it with the requests to come. The caller's request
// is its first one, and has room on it.
func (o *origin) addH2(conn *tls.Conn) (*h2Conn, error) {
	h := &h2Conn{origin: o, Conn: http2.New(conn, http2.Options{
		MaxHead: http1.MaxHead, MaxBody: o.mostBody, MaxDrain: h2Drain, Fields: o.keptFields,
		IdleTimeout: o.pool.Timeout, PingAfter: h2PingAfter, PingTimeout: h2PingTimeout,
	})}
	if !h.Reserve() {
		if err := h.Err(); err != nil {
			return nil, err // of its beginning: TLS 1.3 refuses a client's certificate only now
		}
		h.Retire()
		return nil, failuref("the receiver's HTTP/2 connection takes no requests")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.h2 = append(o.h2, h)
	}
	return h, nil
}

// reserveH2 reserves a request on a connection that has room for it; nil if there is none.
// Connections over age go, so that a name whose address has moved is followed.
func (o *origin) reserveH2() *h2Conn {
	if o.tls == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.h2) == 0 {
		return nil
	}
	var found *h2Conn
	now := time.Now()
	o.h2 = slices.DeleteFunc(o.h2, func(h *h2Conn) bool {
		switch {
		case o.no2, now.Sub(h.Made()) >= o.client.maxAge:
			h.Retire()
			return true
		case found == nil && h.Reserve():
			found = h
			return false
		}
		return h.Closed()
	})
	return found
}

// drop takes the connection out of use: no request begins on it any more.
func (o *origin) drop(h *h2Conn) {
	o.mu.Lock()
	o.h2 = slices.DeleteFunc(o.h2, func(other *h2Conn) bool { return other == h })
	o.mu.Unlock()
	h.Retire()
}

// retireIfClosed is for connections that were made while their origin closed.
func (h *h2Conn) retireIfClosed() {
	h.origin.mu.Lock()
	closed := h.origin.closed
	h.origin.mu.Unlock()
	if closed {
		h.Retire()
	}
}

// roundTrip is the HTTP/2 form of an exchange: the same header lines and the same body.
func (h *h2Conn) roundTrip(ctx context.Context, x *exchange, deadline time.Time) error {
	defer h.retireIfClosed()
	x.block = http2.AppendHead(x.block[:0], x.head[:x.headEnd], h.origin.authority)
	if err := x.mayGo(); err != nil {
		h.Release()
		return err
	}
	began := time.Now()
	a, idle, err := h.Do(ctx, deadline, x.block, x.sent, x.Answer.Body)
	x.Answer.Status, x.Answer.RetryAfter, x.Answer.Date, x.Answer.Location = a.Status, a.RetryAfter, a.Date, a.Location
	x.Answer.Word = a.Word
	for _, f := range a.Fields {
		x.Answer.Keep(f.Name, f.Value)
	}
	x.Answer.Body, x.Answer.Truncated = a.Body, a.Truncated
	if err == nil {
		return nil
	}
	if broken, ok := errors.AsType[*http2.Error](err); ok {
		if x.again = broken.Closed && !broken.Headed && idle >= staleAfter; x.again {
			h.origin.dropIdle()
		}
		return h.explain(broken)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && h.Silent(began) {
		// The connection may have died without a word: the next request is not to wait for that.
		h.origin.drop(h)
	}
	out := &h2Error{text: "the receiver closed the HTTP/2 connection", during: http1.Waiting, err: err}
	if a.Status != 0 {
		out.during = http1.Reading
	}
	return out
}

// explain says what became of a request that has no whole answer.
func (h *h2Conn) explain(err *http2.Error) *h2Error {
	out := &h2Error{text: "the receiver closed the HTTP/2 connection", during: http1.Waiting, err: err, unread: err.Unread}
	switch {
	case errors.Is(err, http2.ErrLength):
		out.text, out.during = "the answer's body is not as long as its Content-Length says", http1.Reading
	case err.Headed:
		out.text, out.during = "the receiver reset the HTTP/2 response", http1.Reading
	case err.WantsHTTP1:
		h.origin.wantHTTP1()
		out.text, out.unread = "the receiver wants HTTP/1.1", true
	case err.Reset:
		out.text = "the receiver reset the HTTP/2 request"
	default:
		out.away = out.unread
	}
	return out
}
