package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/tailpost/tailpost/config/receiver"
)

// proxy is the egress proxy. Its own address is the operator's choice and not checked by the guard.
// Where requests go is: the relay resolves and checks the receiver's name itself. For https it then
// asks the proxy for a tunnel to the checked address, not to the name, so that a second lookup
// cannot lead elsewhere; the certificate is still checked against the name. Plain http has no
// tunnel: the proxy gets the URL and resolves the name itself once more.
type proxy struct {
	place         receiver.Place
	authorization string // the value of Proxy-Authorization; empty: none
	tls           *tls.Config
}

func parseProxy(text string, roots *x509.CertPool) (*proxy, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("network.proxy is not a valid URL: want http://host:port")
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("network.proxy: want http://host:port or https://host:port")
	}
	p := &proxy{}
	if p.place, err = receiver.ParsePlace(u); err != nil {
		return nil, fmt.Errorf("network.proxy: %w", err)
	}
	if u.User != nil {
		p.authorization = Basic(u.User)
	}
	if p.place.Secure {
		p.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: p.place.ServerName(), RootCAs: roots, NextProtos: []string{"http/1.1"},
		}
	}
	return p, nil
}

// Basic is the value of an Authorization header for what stands before the host in a URL.
func Basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}

// open connects to the proxy and, if p is an https place, through it to the first of addrs that it
// reaches.
func (x *proxy) open(ctx context.Context, d *Dialer, p receiver.Place, addrs []netip.AddrPort) (net.Conn, error) {
	var err error
	for _, addr := range addrs {
		var conn net.Conn
		if conn, err = x.dial(ctx, d); err != nil {
			return nil, err
		}
		if !p.Secure {
			return conn, nil
		}
		if err = x.tunnel(ctx, conn, addr); err == nil {
			return conn, nil
		}
		_ = conn.Close() // the tunnel's error says more
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func (x *proxy) dial(ctx context.Context, d *Dialer) (net.Conn, error) {
	conn, err := d.net.DialContext(ctx, "tcp", net.JoinHostPort(x.place.Host, fmt.Sprint(x.place.Port)))
	if err != nil || x.tls == nil {
		return conn, err
	}
	t, err := Secure(ctx, conn, x.tls)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// tunnel asks for a tunnel to addr.
func (x *proxy) tunnel(ctx context.Context, conn net.Conn, addr netip.AddrPort) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := "CONNECT " + addr.String() + " HTTP/1.1\r\nHost: " + addr.String() + "\r\n"
	if x.authorization != "" {
		req += "Proxy-Authorization: " + x.authorization + "\r\n"
	}
	if _, err := conn.Write([]byte(req + "\r\n")); err != nil {
		return err
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &RefusalError{fmt.Sprintf("the egress proxy refused the connection with status %d", resp.StatusCode)}
	}
	if br.Buffered() > 0 {
		return &RefusalError{"the egress proxy sent data before the connection was made"}
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return nil
}
