package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"

	"github.com/tailpost/tailpost/config/receiver"
)

// Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say how a Dialer reaches receivers.
type Options struct {
	// Allow lists the addresses that requests may go to although they are not public. AllowedBy
	// names the block of the configuration that lists them; empty: network.
	Allow     []netip.Prefix
	AllowedBy string
	// Deny lists the relay's own listeners. No configuration allows a request to them.
	Deny []netip.AddrPort
	// Proxy is the URL of the egress proxy; empty: none. ProxyResolves leaves it to the proxy to
	// look names up and to judge where they lead. NoProxy names the receivers that are reached
	// without it, as receiver.ParseBypass reads them.
	Proxy         string
	ProxyResolves bool
	NoProxy       []string
	// Resolver looks names up; nil: the system's.
	Resolver Resolver
	// Roots are the authorities that sign the proxy's certificate; nil: the system's.
	Roots *x509.CertPool
	// Dialer opens the sockets; nil: a plain one.
	Dialer *net.Dialer
}

// Dialer opens connections that requests may use. It is safe for concurrent use.
type Dialer struct {
	guard     *receiver.Guard
	by        string // Options.AllowedBy
	own       listeners
	resolver  Resolver
	net       *net.Dialer
	proxy     proxy // nil: none
	resolves  bool  // the proxy looks names up
	bypass    receiver.Bypass
	starved   atomic.Int64
	hasSource func(ctx context.Context, address string) bool
}

// New makes a Dialer. It opens no connection.
func New(o Options) (*Dialer, error) {
	d := &Dialer{resolver: o.Resolver, net: o.Dialer, by: o.AllowedBy, hasSource: hasSource}
	if d.net == nil {
		d.net = &net.Dialer{}
	}
	if d.resolver == nil {
		d.resolver = &net.Resolver{Dial: d.dialResolver}
	}
	var err error
	if d.guard, err = receiver.NewGuard(o.Allow); err != nil {
		return nil, err
	}
	if d.own, err = newListeners(o.Deny); err != nil {
		return nil, err
	}
	if o.Proxy != "" {
		if d.proxy, err = d.newProxy(o.Proxy, o.Roots); err != nil {
			return nil, err
		}
		d.resolves = o.ProxyResolves
	}
	if d.bypass, err = receiver.ParseBypass(o.NoProxy); err != nil {
		return nil, fmt.Errorf("network.no_proxy: %w", err)
	}
	return d, nil
}

// dialResolver is how the system's resolver reaches its servers. It counts the times that this
// machine is short of what that takes.
func (d *Dialer) dialResolver(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.dial(ctx, network, address)
	if IsLocal(err) {
		d.starved.Add(1)
	}
	return c, err
}

// dial opens a connection. A machine without IPv6, like most containers, has no source address for
// an IPv6 destination, and reports that with the error of one that has run out of ports. Unlike
// that shortage it does not pass.
func (d *Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.net.DialContext(ctx, network, address)
	if errors.Is(err, syscall.EADDRNOTAVAIL) && !d.hasSource(ctx, address) {
		err = fmt.Errorf("no source address: %w", syscall.ENETUNREACH)
	}
	return c, err
}

// hasSource reports whether this machine has a source address for a destination. It sends nothing:
// connecting a datagram socket only looks for a route.
func hasSource(ctx context.Context, address string) bool {
	c, err := (&net.Dialer{}).DialContext(ctx, "udp", address)
	if err == nil {
		_ = c.Close() // nothing was sent on it
	}
	return !errors.Is(err, syscall.EADDRNOTAVAIL) && !errors.Is(err, syscall.ENETUNREACH)
}

// through returns the proxy that requests to p go through; nil: none.
func (d *Dialer) through(p receiver.Place) proxy {
	if d.proxy == nil || d.bypass.Has(p) {
		return nil
	}
	return d.proxy
}

// Proxied reports whether plain http requests to p go to the egress proxy, with the whole URL in
// their request line, and which user their Proxy-Authorization shows; nil: they have none.
func (d *Dialer) Proxied(p receiver.Place) (user *url.Userinfo, proxied bool) {
	if x, is := d.through(p).(*httpProxy); is && !p.Secure {
		return x.user, true
	}
	return nil, false
}

// check returns a denial if no request may go to dst; nil if one may.
func (d *Dialer) check(dst netip.AddrPort) *receiver.DenialError {
	addr := receiver.Plain(dst.Addr())
	for _, a := range append(receiver.Embedded(addr), addr) {
		if d.own.contain(a, dst.Port()) {
			return &receiver.DenialError{Addr: dst.Addr(), Kind: "this relay listens there", Own: true}
		}
	}
	denied := d.guard.Check(dst.Addr())
	if denied != nil {
		denied.By = d.by
	}
	return denied
}
