package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/outbox"
	"github.com/tailpost/tailpost/relay/internal/egress"
	"github.com/tailpost/tailpost/relay/internal/token"
)

const (
	defaultUserAgent   = "Tailpost"
	defaultSource      = "tailpost"
	defaultTimeout     = 15 * time.Second
	defaultConcurrency = 32
	idleTimeout        = 90 * time.Second
	defaultMaxAge      = 5 * time.Minute
	maxRedirects       = 2
	// tlsSessions is how many receivers' sessions are kept, of about 4 kB each.
	tlsSessions = 4096
)

// Options say how a Client reaches receivers.
type Options struct {
	Network   config.Network
	UserAgent string // for example "Tailpost/1.2.3"; empty: "Tailpost"
	// Source is the source attribute of CloudEvents: a URI reference that names this relay's
	// events, for example "/shop/outbox". Empty: "tailpost".
	Source string
	// Deny lists the relay's own listeners. No configuration allows a request to them.
	Deny []netip.AddrPort
	// Resolver looks names up; nil: the system's.
	Resolver egress.Resolver
	// Roots are the authorities that sign receivers' certificates; nil: the system's.
	Roots *x509.CertPool
	// MaxAge is for how long a connection is used, so that a name whose address has moved is
	// followed under steady traffic. 0: five minutes.
	MaxAge time.Duration
	// Refused is called after an answer that refuses a request and has a Date, with how far the
	// receiver's clock is ahead of this one: a receiver refuses signatures for their time. nil:
	// nobody wants to know.
	Refused func(endpoint string, ahead time.Duration)
	// Secured is called after each TLS handshake with an endpoint's own receiver, with when the
	// first of the certificates that it presented expires. nil: nobody wants to know.
	Secured func(endpoint string, until time.Time)
	// Check says what is wrong with an event's payload, before it is sent; nil: nothing looks.
	// Strict has such an event not sent, as one that can never be.
	Check  func(*outbox.Event) error
	Strict bool
	// Dialer opens the sockets; nil: a plain one.
	Dialer *net.Dialer
}

// Client sends requests to endpoints. It is safe for concurrent use.
type Client struct {
	network     config.Network
	userAgent   string
	source      string
	dialer      *egress.Dialer
	tls         *tls.Config
	idleTimeout time.Duration
	maxAge      time.Duration
	refused     func(endpoint string, ahead time.Duration)
	secured     func(endpoint string, until time.Time)
	check       func(*outbox.Event) error
	strict      bool
	keepHeaders atomic.Bool // see KeepHeaders
	exchanges   sync.Pool   // of *exchange
	beside      *Client     // see Beside; nil: none

	mu        sync.Mutex
	closed    bool
	endpoints map[*Endpoint]struct{}
	manner    *manner // of the endpoint that was made last
}

// NewClient makes a Client. It opens no connection.
func NewClient(o Options) (*Client, error) {
	dialer, err := egress.New(egress.Options{
		Allow: o.Network.Allow, AllowedBy: o.Network.AllowedBy(), Deny: o.Deny, Proxy: o.Network.Proxy.Reveal(),
		ProxyResolves: o.Network.ProxyResolves, NoProxy: o.Network.NoProxy,
		Resolver: o.Resolver, Roots: o.Roots, Dialer: o.Dialer,
	})
	if err != nil {
		return nil, fmt.Errorf("make webhook client: %w", err)
	}
	c := &Client{
		network:     o.Network,
		userAgent:   or(o.UserAgent, defaultUserAgent),
		source:      or(o.Source, defaultSource),
		dialer:      dialer,
		idleTimeout: idleTimeout,
		maxAge:      o.MaxAge,
		refused:     o.Refused,
		secured:     o.Secured,
		check:       o.Check,
		strict:      o.Strict,
		endpoints:   make(map[*Endpoint]struct{}),
		tls: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: o.Roots, NextProtos: []string{"h2", "http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessions),
			// A request goes out in one record, also the first ones of a connection.
			DynamicRecordSizingDisabled: true,
		},
	}
	c.exchanges.New = func() any { return newExchange() }
	if c.maxAge <= 0 {
		c.maxAge = defaultMaxAge
	}
	if !receiver.ValidValue(c.userAgent) || !receiver.ValidValue(c.source) {
		return nil, errors.New("make webhook client: the user agent or the source holds control characters")
	}
	return c, nil
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// Close closes the idle connections of every endpoint. Requests in flight end as they would; their
// connections close after them.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	endpoints := c.endpoints
	c.endpoints = nil
	c.mu.Unlock()
	for e := range endpoints {
		e.closeOrigins()
	}
}

// KeepHeaders has the attempts of later requests keep the headers of request and answer, or not.
func (c *Client) KeepHeaders(keep bool) { c.keepHeaders.Store(keep) }

// Beside has each of two clients close its idle connections too where the other one lacks what the
// machine has no more of. It is called before either is used.
func (c *Client) Beside(other *Client) { c.beside, other.beside = other, c }

// dropIdle closes the connections of every endpoint that have nothing to do.
func (c *Client) dropIdle() {
	c.dropOwnIdle()
	if c.beside != nil {
		c.beside.dropOwnIdle()
	}
}

func (c *Client) dropOwnIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := range c.endpoints {
		e.dropIdle()
	}
}

// Endpoint makes everything ready that the requests to one endpoint share. It opens no connection.
// Where the URL leads is checked when a request is sent, not here: names change their addresses.
func (c *Client) Endpoint(ep config.Endpoint) (*Endpoint, error) {
	e, err := c.endpoint(ep)
	if err != nil {
		return nil, fmt.Errorf("prepare endpoint %q: %w", ep.ID, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("prepare endpoint %q: the client is closed", ep.ID)
	}
	c.endpoints[e] = struct{}{}
	return e, nil
}

func (c *Client) endpoint(ep config.Endpoint) (*Endpoint, error) {
	address, err := ep.Address()
	if err != nil {
		return nil, err
	}
	u, p := address.URL, address.Place
	if !p.Secure && !c.network.AllowHTTP {
		return nil, fmt.Errorf("the URL is plain http: use https, or set %s.allow_http", c.network.AllowedBy())
	}
	manner, err := c.mannerOf(&ep)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{manner: manner, client: c, id: ep.ID, shownURL: ep.ShownURL()}
	if ep.Redirects > 0 {
		e.url = u
	}
	if err := e.SetSecrets(ep.Secrets); err != nil {
		return nil, err
	}
	if err := e.setHeaders(address, &ep); err != nil {
		return nil, err
	}
	if e.tls, err = c.tlsOf(&ep.TLS); err != nil {
		return nil, err
	}
	if ep.Auth.Kind == config.AuthOAuth2 {
		if e.tokens, err = token.New(ep.Auth, c.dialer, c.tls.RootCAs); err != nil {
			return nil, err
		}
	}
	e.first = e.newOrigin(p, e.tls)
	e.first.endpoint = e.id
	if address.Varies() {
		e.address = address
	}
	e.target = requestURI(u)
	e.head = e.hopHead(e.first, e.target, e.own, true)
	return e, prepareVerification(e, u, ep)
}

// tlsOf returns how the connections of an endpoint are secured: as all are, unless it has a
// certificate or authorities of its own. Sessions are kept apart then: one that was begun as
// somebody else is not gone on with.
func (c *Client) tlsOf(own *config.ClientTLS) (*tls.Config, error) {
	if own.IsZero() {
		return c.tls, nil
	}
	t, err := egress.OwnTLS(c.tls, own.Cert, own.Key.Reveal(), own.CA)
	if err != nil {
		return nil, err
	}
	t.ClientSessionCache = tls.NewLRUClientSessionCache(maxOrigins)
	return t, nil
}
