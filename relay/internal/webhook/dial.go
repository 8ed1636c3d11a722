package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// headStart is how long one address may take before the next one is tried beside it (RFC 8305).
const headStart = 250 * time.Millisecond

// Resolver looks names up. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer opens connections that requests may use, and none other.
type dialer struct {
	guard    *guard
	resolver Resolver
	net      *net.Dialer
	proxy    *proxy // nil: none
	// starved counts the lookups that had no descriptor or port for their question: a resolver's error does not wrap why.
	starved *atomic.Int64
}

// newDialer makes a dialer; resolver may be nil.
func newDialer(g *guard, resolver Resolver) dialer {
	d := dialer{guard: g, resolver: resolver, net: &net.Dialer{}, starved: new(atomic.Int64)}
	if resolver == nil {
		d.resolver = &net.Resolver{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := d.net.DialContext(ctx, network, address)
			if err != nil && isLocal(err) {
				d.starved.Add(1)
			}
			return c, err
		}}
	}
	return d
}

// resolve gives the addresses of p, every one of them checked. One bad answer rejects all: a name that also points
// inside is either a mistake or an attack.
func (d *dialer) resolve(ctx context.Context, p place) ([]netip.AddrPort, error) {
	addrs := []netip.Addr{p.addr}
	if !p.addr.IsValid() {
		var err error
		before := d.starved.Load()
		if addrs, err = d.resolver.LookupNetIP(ctx, "ip", p.host); err != nil {
			if d.starved.Load() != before {
				err = &localError{errors.Join(syscall.EMFILE, err)}
			}
			return nil, err
		}
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a.Unmap(), p.port)
		if err := d.guard.check(out[i]); err != nil {
			return nil, err
		}
	}
	return interleave(out), nil
}

// interleave alternates the families, beginning with the one that the resolver put first.
func interleave(addrs []netip.AddrPort) []netip.AddrPort {
	var first, second []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().Is4() == addrs[0].Addr().Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	out := make([]netip.AddrPort, 0, len(addrs))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out
}

// connect opens a TCP connection to the first of addrs that answers. They are tried in order; each gets a head start.
func (d *dialer) connect(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	if len(addrs) == 1 {
		return d.net.DialContext(ctx, "tcp", addrs[0].String())
	}
	type dialled struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialled)
	started, ended := 0, 0
	start := func() {
		addr := addrs[started].String()
		started++
		go func() {
			c, err := d.net.DialContext(ctx, "tcp", addr)
			results <- dialled{c, err}
		}()
	}
	timer := time.NewTimer(headStart)
	defer timer.Stop()
	var won net.Conn
	var firstErr error
	start()
	for ended < started {
		select {
		case <-timer.C:
			if won == nil && started < len(addrs) {
				start()
				timer.Reset(headStart)
			}
		case r := <-results:
			ended++
			switch {
			case r.err == nil && won == nil:
				won = r.conn
				cancel() // the others end at once, and the loop waits for them
			case r.err == nil:
				_ = r.conn.Close() // two won at the same time; nothing was sent on this one
			case won == nil:
				firstErr = firstOf(firstErr, r.err)
				if started < len(addrs) {
					start()
					timer.Reset(headStart)
				}
			}
		}
	}
	if won != nil {
		return won, nil
	}
	return nil, firstErr
}

// firstOf keeps the first error: it is that of the address the resolver preferred.
func firstOf(first, next error) error {
	if first != nil {
		return first
	}
	return next
}

// open resolves, checks and connects to p, through the egress proxy where there is one, up to but not including TLS.
// The phase says how far it came.
func (d *dialer) open(ctx context.Context, p place, at *phase) (net.Conn, error) {
	*at = phaseResolve
	addrs, err := d.resolve(ctx, p)
	if err != nil {
		return nil, err
	}
	*at = phaseConnect
	if d.proxy == nil {
		return d.connect(ctx, addrs)
	}
	return d.proxy.open(ctx, d, p, addrs, at)
}

// secure speaks TLS on conn, as config says, and closes conn if that fails.
func secure(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	t := tls.Client(conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error says more
		if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			return nil, verify
		}
		return nil, &tlsError{err}
	}
	return t, nil
}
