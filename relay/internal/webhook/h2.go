package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/tailpost/tailpost/relay/internal/egress"
	"github.com/tailpost/tailpost/relay/internal/http1"
)

// HTTP/2 is net/http's, by its public ClientConn: a connection at a time, with room reserved before
// it is used. Golang.org/x/net lends the exported type of a stream's error, which net/http's own
// errors turn into (errors.As); its Transport is deprecated in favour of this one.

// h2Conn is one HTTP/2 connection. Several attempts at a time use it.
type h2Conn struct {
	origin *origin
	cc     *http.ClientConn
	made   time.Time
	pulse  *pulse
	usedAt atomic.Int64 // Unix nanoseconds at which a request last ended; 0: none has
}

const (
	// A ping after this much silence finds a dead connection that many requests share.
	h2PingAfter   = 30 * time.Second
	h2PingTimeout = 15 * time.Second
)

// pulse is a connection that knows when its peer last said something.
type pulse struct {
	net.Conn

	last atomic.Int64 // Unix nanoseconds; 0: never
}

// Read implements net.Conn.
func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		p.last.Store(time.Now().UnixNano())
	}
	return n, err
}

// silentSince reports whether the peer has said nothing after t.
func (p *pulse) silentSince(t time.Time) bool { return p.last.Load() < t.UnixNano() }

// NetConn returns the connection beneath, as *tls.Conn does.
func (p *pulse) NetConn() net.Conn { return p.Conn }

// h2Error is what became of a request on an HTTP/2 connection, in words fit for people.
type h2Error struct {
	text   string
	during string
	err    error
	unread bool // the receiver says that it has not looked at the request
	closed bool // the connection is no more
}

func (e *h2Error) Error() string { return e.text }
func (e *h2Error) Unwrap() error { return e.err }

// addH2 begins HTTP/2 on a connection and shares it with the requests to come. What it returns has
// room for the caller's request. If another request was quicker to connect, its connection is used
// and this one closed.
func (o *origin) addH2(ctx context.Context, conn *tls.Conn, p *pulse) (*h2Conn, error) {
	if h := o.takeH2(); h != nil {
		_ = conn.Close() // nothing was sent on it
		return h, nil
	}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		DialTLSContext:         func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		Protocols:              &protocols,
		DisableCompression:     true,
		IdleConnTimeout:        o.pool.Timeout,
		MaxResponseHeaderBytes: http1.MaxHead,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: h2PingAfter, PingTimeout: h2PingTimeout},
	}
	cc, err := transport.NewClientConn(ctx, "https", conn.RemoteAddr().String())
	if err != nil {
		return nil, &egress.Error{During: egress.Securing, Err: err}
	}
	if cc.Reserve() != nil {
		_ = cc.Close() // nothing was sent on it
		return nil, failuref("the receiver's HTTP/2 connection takes no requests")
	}
	h := &h2Conn{origin: o, cc: cc, made: time.Now(), pulse: p}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.h2 = append(o.h2, h)
	}
	return h, nil
}

// takeH2 reserves a request on a connection that has room for it; nil if there is none. Connections
// over age go, so that a name whose address has moved is followed.
func (o *origin) takeH2() *h2Conn {
	if o.tls == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var found *h2Conn
	var old []*h2Conn
	o.h2 = slices.DeleteFunc(o.h2, func(h *h2Conn) bool {
		switch {
		case h.cc.Err() != nil: // closed
			return true
		case o.no2, time.Since(h.made) >= o.client.maxAge:
			old = append(old, h)
			return true
		}
		if found == nil && h.cc.Reserve() == nil {
			found = h
		}
		return false
	})
	for _, h := range old {
		h.retire()
	}
	return found
}

// drop takes the connection out of use: no request begins on it any more.
func (o *origin) drop(h *h2Conn) {
	o.mu.Lock()
	o.h2 = slices.DeleteFunc(o.h2, func(other *h2Conn) bool { return other == h })
	o.mu.Unlock()
	h.retire()
}

// retire closes the connection as soon as nothing is in flight on it.
func (h *h2Conn) retire() {
	closeIdle := func(cc *http.ClientConn) {
		if cc.InFlight() == 0 {
			_ = cc.Close() // nobody uses it
		}
	}
	h.cc.SetStateHook(closeIdle)
	closeIdle(h.cc)
}

// retireIfClosed is for connections that were made while their origin closed.
func (h *h2Conn) retireIfClosed() {
	h.origin.mu.Lock()
	closed := h.origin.closed
	h.origin.mu.Unlock()
	if closed {
		h.retire()
	}
}

// roundTrip is the HTTP/2 form of an exchange: the same header lines and the same body.
func (h *h2Conn) roundTrip(ctx context.Context, x *exchange, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer h.retireIfClosed()
	req, body, err := h.request(ctx, x)
	if err == nil {
		err = x.mayGo()
	}
	if err != nil {
		h.cc.Release()
		return err
	}
	idle, began := h.idle(), time.Now()
	defer func() { h.usedAt.Store(time.Now().UnixNano()) }()
	resp, err := h.cc.RoundTrip(req)
	if err != nil {
		err := h.explain(ctx, err, began, body)
		x.again = err.closed && idle >= staleAfter
		return err
	}
	defer resp.Body.Close()
	x.Answer.Status = resp.StatusCode
	x.Answer.RetryAfter = resp.Header.Get("Retry-After")
	x.Answer.Date = resp.Header.Get("Date")
	x.Answer.Location = resp.Header.Get("Location")
	x.Answer.Word = resp.Header.Get("Webhook-Delivery")
	if _, err = x.ReadBody(resp.Body); err != nil {
		return &h2Error{text: "the receiver reset the HTTP/2 response", during: http1.Reading, err: timeUp(ctx, err)}
	}
	return nil
}

// timeUp is the context's error once it has ended, which is why everything else failed.
func timeUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// idle is for how long the connection has had nothing to do, before the caller's request.
func (h *h2Conn) idle() time.Duration {
	used := h.usedAt.Load()
	if used == 0 || h.cc.InFlight() > 1 { // one is reserved for the caller
		return 0
	}
	return time.Since(time.Unix(0, used))
}

// leftOut is in net/http's error of a request that a GOAWAY leaves out, which has neither a type
// nor a name of its own. The connection's state does not tell it from others: nginx closes as soon
// as it has answered what it took. Were the text to change, such a request would fail its attempt,
// and TestGoAwayLeavesOut.
const leftOut = "graceful shutdown GOAWAY"

// explain says what became of a request that has no answer.
func (h *h2Conn) explain(ctx context.Context, err error, began time.Time, body *h2Body) *h2Error {
	out := &h2Error{text: "the receiver closed the HTTP/2 connection", during: http1.Waiting, err: timeUp(ctx, err)}
	reset, isReset := errors.AsType[http2.StreamError](err)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		if h.pulse.silentSince(began) {
			// The connection may have died without a word: the next request is not to wait for
			// that.
			h.origin.drop(h)
		}
	case ctx.Err() != nil:
	case isReset && reset.Code == http2.ErrCodeHTTP11Required:
		h.origin.wantHTTP1()
		out.text, out.unread = "the receiver wants HTTP/1.1", true
	case isReset:
		out.text, out.unread = "the receiver reset the HTTP/2 request", reset.Code == http2.ErrCodeRefusedStream
	case strings.Contains(err.Error(), leftOut), body != nil && !body.begun.Load():
		out.unread = true // without its body it was no request
	case h.cc.Err() != nil:
		out.closed = true
	default:
		// The connection is open and takes no more requests: this one came too late.
		out.unread = h.cc.Available() == 0
	}
	return out
}

// request makes the request from the exchange's header lines.
func (h *h2Conn) request(ctx context.Context, x *exchange) (*http.Request, *h2Body, error) {
	line, fields, _ := strings.Cut(string(x.head[:x.headEnd]), "\r\n")
	target := strings.TrimSuffix(strings.TrimPrefix(line, x.method+" "), " HTTP/1.1")
	path, query, _ := strings.Cut(target, "?")
	unescaped, err := url.PathUnescape(path)
	if err != nil {
		return nil, nil, failuref("the URL cannot be sent over HTTP/2")
	}
	req := (&http.Request{
		Method: x.method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &url.URL{
			Scheme: "https", Host: h.origin.place.Authority(), Path: unescaped, RawPath: path,
			RawQuery: query, ForceQuery: strings.HasSuffix(target, "?"),
		},
		Host: h.origin.place.Authority(), Header: make(http.Header, 10),
		ContentLength: int64(len(x.sent)),
	}).WithContext(ctx)
	var body *h2Body
	if req.Body = http.NoBody; len(x.sent) > 0 {
		body = &h2Body{rest: x.sent}
		req.Body = body
	}
	readFields(req.Header, fields)
	// The transport may go on reading the body after RoundTrip: its room is not for the next
	// exchange.
	x.body = nil
	return req, body, nil
}

// h2Body is a request's body that knows whether any of it was taken.
type h2Body struct {
	rest  []byte
	begun atomic.Bool
}

// Read implements io.Reader.
func (b *h2Body) Read(p []byte) (int, error) {
	b.begun.Store(true)
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *h2Body) Close() error { return nil }
