package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// h2Conn is one HTTP/2 connection, net/http's. Several attempts at a time use it.
type h2Conn struct {
	origin *origin
	cc     *http.ClientConn
	usedAt atomic.Int64 // Unix nanoseconds at which a request last ended
}

const (
	// A ping after this much silence finds a dead connection that many requests share.
	h2PingAfter   = 30 * time.Second
	h2PingTimeout = 15 * time.Second
	// h2RefusedStream is the code of a request that the receiver did not look at (RFC 9113, section 7).
	h2RefusedStream = 7
)

// streamError takes net/http's error about one request of a connection, whose type it does not export: errors.As fills
// any struct of the same fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "stream error" }

// addH2 begins HTTP/2 on a connection and shares it with the requests to come. What it gives has room for the caller's
// request. If another request was quicker to connect, its connection is used and this one closed.
func (o *origin) addH2(ctx context.Context, conn *tls.Conn) (*h2Conn, error) {
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
		IdleConnTimeout:        o.pool.timeout,
		MaxResponseHeaderBytes: maxHead,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: h2PingAfter, PingTimeout: h2PingTimeout},
	}
	cc, err := transport.NewClientConn(ctx, "https", conn.RemoteAddr().String())
	if err != nil {
		return nil, &tlsError{err}
	}
	if cc.Reserve() != nil {
		_ = cc.Close() // nothing was sent on it
		return nil, failuref("the receiver's HTTP/2 connection takes no requests")
	}
	h := &h2Conn{origin: o, cc: cc}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.h2 = append(o.h2, h)
	}
	return h, nil
}

// takeH2 reserves a request on a connection that has room for it, or gives nil.
func (o *origin) takeH2() *h2Conn {
	if o.tls == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	kept := o.h2[:0]
	var found *h2Conn
	for _, h := range o.h2 {
		if h.cc.Err() != nil {
			continue // closed
		}
		kept = append(kept, h)
		if found == nil && h.cc.Reserve() == nil {
			found = h
		}
	}
	clear(o.h2[len(kept):])
	o.h2 = kept
	return found
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

// idle is for how long the connection has had nothing to do.
func (h *h2Conn) idle() time.Duration {
	if h.cc.InFlight() > 1 { // one is reserved for whoever asks
		return 0
	}
	return time.Since(time.Unix(0, h.usedAt.Load()))
}

// roundTrip is the HTTP/2 form of an exchange: the same header lines and the same body. The error is marked as a closed
// connection's if the request may go out again on a new one.
func (h *h2Conn) roundTrip(ctx context.Context, x *exchange, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer h.retireIfClosed()
	defer func() { h.usedAt.Store(time.Now().UnixNano()) }()
	x.phase = phaseHeaders
	req, err := h.request(ctx, x)
	if err != nil {
		h.cc.Release()
		return err
	}
	if err := x.mayGo(); err != nil {
		h.cc.Release()
		return err
	}
	resp, err := h.cc.RoundTrip(req)
	if err != nil {
		return h2Error(ctx, err)
	}
	defer resp.Body.Close()
	x.phase = phaseBody
	x.answer.status = resp.StatusCode
	x.answer.retryAfter = resp.Header.Get("Retry-After")
	x.answer.location = resp.Header.Get("Location")
	if _, err = x.readStream(resp.Body); err != nil {
		return h2Error(ctx, err)
	}
	return nil
}

func h2Error(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reset, isReset := errors.AsType[streamError](err)
	if isReset && reset.Code != h2RefusedStream {
		return failuref("the receiver reset the HTTP/2 request")
	}
	// net/http says of a request that came after a GOAWAY what it says of no other.
	unread := isReset || strings.Contains(err.Error(), "graceful shutdown GOAWAY")
	if explainSocket(err, phaseHeaders) == "" {
		err = failuref("the receiver closed the HTTP/2 connection")
	}
	return &closedError{err: err, unread: unread}
}

// request makes the request from the exchange's header lines.
func (h *h2Conn) request(ctx context.Context, x *exchange) (*http.Request, error) {
	line, fields, _ := bytes.Cut(x.head[:x.headEnd], []byte("\r\n"))
	uri := strings.TrimSuffix(strings.TrimPrefix(string(line), "POST "), " HTTP/1.1")
	authority := h.origin.place.authority()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+authority+uri, bytes.NewReader(x.sent))
	if err != nil {
		return nil, failuref("the URL cannot be sent over HTTP/2")
	}
	readFields(req.Header, fields)
	req.Header.Del("Host")
	req.Header.Del("Content-Length") // NewRequest knows it
	// The transport may go on reading the body after RoundTrip: its room is not for the next exchange.
	x.body = nil
	return req, nil
}
