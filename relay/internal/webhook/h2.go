package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// h2Transport makes HTTP/2 connections of TLS connections that agreed on it.
type h2Transport struct{ t *http2.Transport }

func newH2Transport() *h2Transport {
	return &h2Transport{&http2.Transport{
		DisableCompression: true,
		MaxHeaderListSize:  maxHead,
		IdleConnTimeout:    idleTimeout,
		ReadIdleTimeout:    30 * time.Second, // a ping finds a dead connection that many requests share
		PingTimeout:        15 * time.Second,
	}}
}

// h2Conn is one HTTP/2 connection. Several attempts at a time use it.
type h2Conn struct {
	origin *origin
	cc     *http2.ClientConn
	once   sync.Once
}

// addH2 begins HTTP/2 on a connection and shares it with the requests to come. The caller may send one request on it.
func (o *origin) addH2(conn *tls.Conn) (*h2Conn, error) {
	cc, err := o.client.h2.t.NewClientConn(conn)
	if err != nil {
		return nil, &tlsError{err}
	}
	h := &h2Conn{origin: o, cc: cc}
	if !cc.ReserveNewRequest() {
		return nil, failuref("the receiver's HTTP/2 connection takes no requests")
	}
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
		if state := h.cc.State(); state.Closed || state.Closing {
			continue
		}
		kept = append(kept, h)
		if found == nil && h.cc.ReserveNewRequest() {
			found = h
		}
	}
	clear(o.h2[len(kept):])
	o.h2 = kept
	return found
}

// retire closes the connection as soon as nothing is in flight on it.
func (h *h2Conn) retire() {
	h.once.Do(func() {
		h.cc.SetDoNotReuse()
		if s := h.cc.State(); s.StreamsActive == 0 && s.StreamsReserved == 0 {
			_ = h.cc.Close() // nobody uses it
		}
	})
}

// retireIfClosed is for connections in use, or being made, while their origin closed.
func (h *h2Conn) retireIfClosed() {
	h.origin.mu.Lock()
	closed := h.origin.closed
	h.origin.mu.Unlock()
	if closed {
		h.retire()
	}
}

// stale reports whether err says that the connection refused the request before the receiver saw it.
func (h *h2Conn) stale(err error) bool {
	var goAway http2.GoAwayError
	var stream http2.StreamError
	return errors.As(err, &goAway) || errors.As(err, &stream) && stream.Code == http2.ErrCodeRefusedStream ||
		isClosed(err)
}

// roundTrip is the HTTP/2 form of an exchange: the same header lines and the same body.
func (h *h2Conn) roundTrip(ctx context.Context, x *exchange, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer h.retireIfClosed()
	x.phase = phaseHeaders
	req, err := h.request(ctx, x)
	if err != nil {
		return err
	}
	resp, err := h.cc.RoundTrip(req)
	if err != nil {
		if cause := ctx.Err(); cause != nil {
			return cause
		}
		return err
	}
	defer resp.Body.Close()
	x.phase = phaseBody
	x.answer.status = resp.StatusCode
	x.answer.retryAfter = resp.Header.Get("Retry-After")
	x.answer.location = resp.Header.Get("Location")
	if _, err = x.readStream(resp.Body); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
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
