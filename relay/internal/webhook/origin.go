package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/egress"
	"github.com/tailpost/tailpost/relay/internal/http1"
)

// maxUnread is how often a request may go out again because the receiver says that it has not
// looked at it. Where that is because the connection went away, the last time has a new one, of
// which it is the first request: a receiver that ends its connections after a few requests leaves
// out most of those that wait for the next one together.
const maxUnread = 3

// origin is where requests of one endpoint go: a place, and the connections to it. Which protocol
// it speaks is known once the first connection is made.
type origin struct {
	client   *Client
	place    receiver.Place
	tls      *tls.Config // what its own is made of; nil: plain http
	only2    bool        // the endpoint insists on HTTP/2
	absolute bool        // the request line carries the whole URL, for a proxy

	keepFields bool   // of an answer on HTTP/2, whether its header lines are kept in any case
	mostBody   int    // of an answer on HTTP/2, how much of its body is kept
	endpoint   string // whose own receiver it is; empty: it is a redirect's

	authority string // of place
	pool      http1.Pool

	mu       sync.Mutex
	closed   bool
	no2      bool        // the receiver wants HTTP/1.1, or the endpoint does
	own      *tls.Config // of its connections; nil: none was needed yet
	h2       []*h2Conn
	proxyKey string // the value of Proxy-Authorization; empty: none
}

// newOrigin makes an origin whose connections are secured as secure says.
func (e *Endpoint) newOrigin(p receiver.Place, secure *tls.Config) *origin {
	c := e.client
	o := &origin{client: c, place: p, authority: p.Authority(), mostBody: answerRoom(e), keepFields: e.keepFields, pool: http1.Pool{Max: e.concurrency, Timeout: c.idleTimeout, MaxAge: c.maxAge}}
	if p.Secure {
		o.tls = secure
	}
	switch e.http {
	case config.HTTP1:
		o.wantHTTP1()
	case config.HTTP2:
		o.only2 = true
	}
	var user *url.Userinfo
	if user, o.absolute = c.dialer.Proxied(p); user != nil {
		o.proxyKey = egress.Basic(user)
	}
	return o
}

// roundTrip sends the exchange's request and reads the answer to its end. The request goes out
// again only where the receiver says that it has not looked at it: it refused it, or asks for
// HTTP/1.1. Whatever else befalls a request that was written is the end of the attempt, so that
// there is an attempt for each request that may have reached the receiver.
func (o *origin) roundTrip(ctx context.Context, x *exchange, deadline time.Time) error {
	first, reached := false, x.reached
	for unread := 0; ; unread++ {
		err := o.try(ctx, x, deadline, first)
		if o.absolute && x.Answer.Status == http.StatusProxyAuthRequired {
			challenged := x.Answer.Challenged
			x.reached = reached || !challenged
			x.Reset()
			return egress.Unpassed(challenged)
		}
		failed, ok := errors.AsType[*h2Error](err)
		if unread == maxUnread || ctx.Err() != nil || !ok || !failed.unread {
			return err
		}
		first = failed.away && unread+1 == maxUnread
		x.reached = reached // by what led here
	}
}

// try sends the request once. With first it is the first one of its connection.
func (o *origin) try(ctx context.Context, x *exchange, deadline time.Time, first bool) error {
	x.Reset()
	x.again = false // an earlier try that reached nobody is over
	if !first {
		if h := o.reserveH2(); h != nil {
			return h.roundTrip(ctx, x, deadline)
		}
		if c := o.pool.Get(deadline); c != nil {
			return o.use(ctx, c, x, deadline)
		}
	}
	c, h, err := o.dial(ctx, deadline, first)
	if err != nil && egress.IsLocal(err) {
		// Idle connections hold descriptors.
		o.client.dropIdle()
		c, h, err = o.dial(ctx, deadline, first)
	}
	switch {
	case err != nil:
		return err
	case h != nil:
		return h.roundTrip(ctx, x, deadline)
	}
	return o.use(ctx, c, x, deadline)
}

// staleAfter is how long a connection must have been idle for its end, without a byte of an answer,
// to be the receiver's keep-alive limit rather than what it does to this request.
const staleAfter = 500 * time.Millisecond

// use makes one exchange on c and keeps it for the next one, if it is fit for that.
func (o *origin) use(ctx context.Context, c *http1.Conn, x *exchange, deadline time.Time) error {
	idle := c.Idle()
	keep, err := x.do(ctx, c, deadline)
	if keep && err == nil {
		o.pool.Put(c)
		return nil
	}
	c.Close()
	if failed, ok := errors.AsType[*http1.Error](err); ok {
		x.again = failed.Closed && idle >= staleAfter
		if failed.Silent && idle > 0 {
			// The connection may have died without a word, and then the others have too.
			o.dropIdle()
		}
		if x.again {
			// If the receiver has moved to another machine, none of them is alive, and each retry,
			// which comes at once, would meet the next one.
			o.dropIdle()
		}
	}
	return err
}

// dial makes a new connection: one that speaks HTTP/1.1, or HTTP/2. Without first, an HTTP/2
// connection that was made meanwhile may take its place.
func (o *origin) dial(ctx context.Context, deadline time.Time, first bool) (*http1.Conn, *h2Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	raw, err := o.client.dialer.Open(ctx, o.place)
	if err != nil {
		return nil, nil, err
	}
	if o.tls == nil {
		return http1.New(raw), nil, nil
	}
	t, err := egress.Secure(ctx, raw, o.tlsConfig())
	if err != nil {
		return nil, nil, err
	}
	state := t.ConnectionState()
	if o.endpoint != "" && o.client.secured != nil {
		o.client.secured(o.endpoint, firstExpiry(state.PeerCertificates))
	}
	switch {
	case state.NegotiatedProtocol == "h2":
	case o.only2:
		_ = t.Close() // nothing was sent on it
		return nil, nil, errNoHTTP2
	default:
		return http1.New(t), nil, nil
	}
	if !first {
		if h := o.reserveH2(); h != nil {
			_ = t.Close() // nothing was sent on it
			return nil, h, nil
		}
	}
	h, err := o.addH2(t)
	return nil, h, err
}

// firstExpiry returns when the first of some certificates, at least one, expires.
func firstExpiry(presented []*x509.Certificate) time.Time {
	first := presented[0].NotAfter
	for _, c := range presented[1:] {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// tlsConfig returns how connections are secured. It is made for the first of them: most origins
// need none for long.
func (o *origin) tlsConfig() *tls.Config {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.own != nil {
		return o.own
	}
	o.own = o.tls.Clone()
	o.own.ServerName = o.place.ServerName()
	switch {
	case o.only2:
		o.own.NextProtos = []string{"h2"}
	case o.no2:
		o.own.NextProtos = []string{"http/1.1"}
	}
	return o.own
}

// errNoHTTP2 is why a request that insists on HTTP/2 was not sent.
var errNoHTTP2 = failuref("the receiver speaks no HTTP/2, and the endpoint's http is 2")

// wantHTTP1 has connections made from now on speak HTTP/1.1, unless the endpoint insists on HTTP/2.
func (o *origin) wantHTTP1() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.no2 && !o.only2 && o.tls != nil {
		o.no2, o.own = true, nil
	}
}

// dropIdle closes the connections that have nothing to do.
func (o *origin) dropIdle() {
	o.pool.Drop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.h2 {
		h.CloseIdle()
	}
}

// close closes what is idle, and what is in use as soon as it is not.
func (o *origin) close() {
	o.pool.Close()
	o.mu.Lock()
	o.closed = true
	old := o.h2
	o.h2 = nil
	o.mu.Unlock()
	for _, h := range old {
		h.Retire()
	}
}
