package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/tailpost/tailpost/config/receiver"
)

// headStart is how long one address may take before the next one is tried beside it (RFC 8305).
const headStart = 250 * time.Millisecond

// Open resolves, checks and connects to p, through the egress proxy where there is one, up to but
// not including TLS with the receiver. The error is an *[Error].
func (d *Dialer) Open(ctx context.Context, p receiver.Place) (net.Conn, error) {
	via := d.through(p)
	if via != nil && d.resolves && !p.Addr.IsValid() {
		conn, err := via.open(ctx, p, address(p))
		return proxied(conn, err)
	}
	addrs, err := d.resolve(ctx, p)
	if err != nil {
		return nil, &Error{Resolving, err}
	}
	if via != nil {
		return proxied(openFirst(ctx, via, p, addrs))
	}
	conn, err := d.connect(ctx, addrs)
	if err != nil {
		return nil, &Error{Connecting, err}
	}
	return conn, nil
}

// openFirst connects through a proxy to the first of addrs that it reaches. One that the relay gets
// to nobody through is not asked again.
func openFirst(ctx context.Context, via proxy, p receiver.Place, addrs []netip.AddrPort) (conn net.Conn, err error) {
	for _, addr := range addrs {
		if conn, err = via.open(ctx, p, addr.String()); err == nil || ctx.Err() != nil || IsBarred(err) {
			break
		}
	}
	return conn, err
}

// proxied says what was going on when an error came up, unless it says so itself.
func proxied(conn net.Conn, err error) (net.Conn, error) {
	if err == nil {
		return conn, nil
	}
	if own, is := errors.AsType[*Error](err); is {
		return nil, own
	}
	return nil, &Error{Proxying, err}
}

// OwnTLS returns how connections are secured that have a certificate with its key, or authorities,
// of their own beside what all have; each is PEM, and empty where there is none.
func OwnTLS(all *tls.Config, cert, key, authorities string) (*tls.Config, error) {
	t := all.Clone()
	if cert != "" {
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			return nil, errors.New("the client certificate is not PEM of a certificate with its key")
		}
		t.Certificates = []tls.Certificate{pair}
	}
	if authorities != "" {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM([]byte(authorities)) {
			return nil, errors.New("the authorities are not PEM of a certificate")
		}
	}
	return t, nil
}

// resolve returns the addresses of p, every one of them checked. One bad answer rejects all: a name
// that also points inside is either a mistake or an attack.
func (d *Dialer) resolve(ctx context.Context, p receiver.Place) ([]netip.AddrPort, error) {
	addrs := []netip.Addr{p.Addr}
	if !p.Addr.IsValid() {
		var err error
		if addrs, err = d.lookup(ctx, p.Host); err != nil {
			return nil, err
		}
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	out := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		out[i] = netip.AddrPortFrom(a.Unmap(), p.Port)
		if denial := d.check(out[i]); denial != nil {
			return nil, denial
		}
	}
	return interleave(out), nil
}

// lookup asks the resolver. Its errors do not wrap what its own connections failed of, so those are
// counted.
func (d *Dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	before := d.starved.Load()
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil && d.starved.Load() != before {
		err = errors.Join(syscall.EMFILE, err)
	}
	return addrs, err
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

// connect opens a TCP connection to the first of addrs that answers. They are tried in order; each
// gets a head start.
func (d *Dialer) connect(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	if len(addrs) == 1 {
		return d.dial(ctx, "tcp", addrs[0].String())
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
			c, err := d.dial(ctx, "tcp", addr)
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

// Secure speaks TLS on conn, as config says, and closes conn if that fails. The error is an
// *[Error].
func Secure(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	t := tls.Client(conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error says more
		return nil, &Error{Securing, err}
	}
	return t, nil
}
