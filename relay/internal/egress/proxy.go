package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	socks "golang.org/x/net/proxy"

	"github.com/tailpost/tailpost/config/receiver"
)

// proxy is the egress proxy. Its own address is the operator's choice and not checked by the guard.
// Where requests go is: the relay resolves and checks the receiver's name itself, and asks the
// proxy for the checked address, not for the name, so that a second lookup cannot lead elsewhere;
// the certificate is still checked against the name. Two things are left to the proxy: plain http
// through an HTTP proxy, which has no tunnel, and every name where network.proxy_resolves says so.
type proxy interface {
	// open connects to target, as host:port, or, where p is plain http to an HTTP proxy, to the
	// proxy itself.
	open(ctx context.Context, p receiver.Place, target string) (net.Conn, error)
}

// newProxy reads the URL of a proxy.
func (d *Dialer) newProxy(text string, roots *x509.CertPool) (proxy, error) {
	p, err := receiver.ParseProxy(text)
	if err != nil {
		return nil, fmt.Errorf("network.proxy: %w", err)
	}
	if p.SOCKS {
		return newSOCKSProxy(p, d.net)
	}
	x := &httpProxy{place: p.Place, user: p.User, net: d.net}
	if p.Place.Secure {
		x.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: p.Place.ServerName(), RootCAs: roots, NextProtos: []string{"http/1.1"},
		}
	}
	return x, nil
}

// address is where a place is dialled.
func address(p receiver.Place) string {
	return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
}

// reaching dials the proxy itself. Its errors are *[Error]s.
type reaching struct{ *net.Dialer }

// DialContext implements socks.ContextDialer.
func (r reaching) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := r.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &Error{Reaching, err}
	}
	return conn, nil
}

// isCut reports whether err means that a connection ended.
func isCut(err error) bool {
	_, failed := errors.AsType[syscall.Errno](err)
	return failed || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// unheard returns why a proxy gave no answer. A proxy that does not reach the receiver says so (RFC
// 9110, section 15.6): one that ends the connection or speaks otherwise is at fault itself. Of one
// that is silent, nobody knows whom it waits for.
func unheard(ctx context.Context, err error) error {
	_, refused := errors.AsType[*RefusalError](err)
	_, inNet := errors.AsType[net.Error](err)
	switch {
	case refused, ctx.Err() != nil:
		return err
	case inNet, isCut(err):
		return &Error{Reaching, err}
	}
	return &Error{Reaching, errForeign}
}

// socksProxy speaks SOCKS 5 (RFC 1928).
type socksProxy struct{ dialer socks.ContextDialer }

func newSOCKSProxy(p receiver.Proxy, through *net.Dialer) (*socksProxy, error) {
	var auth *socks.Auth
	if p.User != nil {
		password, _ := p.User.Password()
		auth = &socks.Auth{User: p.User.Username(), Password: password}
	}
	d, err := socks.SOCKS5("tcp", address(p.Place), auth, reaching{through})
	if err != nil {
		return nil, fmt.Errorf("network.proxy: %w", err)
	}
	dialer, is := d.(socks.ContextDialer)
	if !is {
		return nil, fmt.Errorf("network.proxy: a %T waits for nobody", d) // none that golang.org/x/net makes
	}
	return &socksProxy{dialer}, nil
}

// isLogin reports whether a text of golang.org/x/net/proxy, which has no types for them, says that
// the proxy takes no user and password, or not these.
func isLogin(text string) bool {
	return text == "no acceptable authentication methods" || text == "username/password authentication failed"
}

func (x *socksProxy) open(ctx context.Context, _ receiver.Place, target string) (net.Conn, error) {
	conn, err := x.dialer.DialContext(ctx, "tcp", target)
	if err == nil {
		return conn, nil
	}
	if _, own := errors.AsType[*Error](err); own || ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, err
	}
	if isCut(err) {
		return nil, &Error{Reaching, err}
	}
	// Around the proxy's answer are addresses.
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	if strings.HasPrefix(err.Error(), "unexpected protocol version ") {
		return nil, &Error{Reaching, errForeign}
	}
	text := "the egress proxy refused the connection: " + strings.TrimPrefix(err.Error(), "unknown error ")
	if isLogin(err.Error()) {
		return nil, &RefusalError{text: text + barredText, barred: true}
	}
	return nil, &RefusalError{text: text}
}

// httpProxy makes tunnels by CONNECT, and gets the whole URL of what is plain http.
type httpProxy struct {
	place receiver.Place
	user  *url.Userinfo // nil: none
	tls   *tls.Config
	net   *net.Dialer
}

// Basic is the value of an Authorization header for what stands before the host in a URL.
func Basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
}

func (x *httpProxy) open(ctx context.Context, p receiver.Place, target string) (net.Conn, error) {
	conn, err := x.dial(ctx)
	if err != nil || !p.Secure {
		return conn, err
	}
	if err := x.tunnel(ctx, conn, target); err != nil {
		_ = conn.Close() // the tunnel's error says more
		return nil, err
	}
	return conn, nil
}

func (x *httpProxy) dial(ctx context.Context) (net.Conn, error) {
	conn, err := reaching{x.net}.DialContext(ctx, "tcp", address(x.place))
	if err != nil || x.tls == nil {
		return conn, err
	}
	t, err := Secure(ctx, conn, x.tls)
	if err != nil {
		return nil, &Error{Reaching, err}
	}
	return t, nil
}

// tunnel asks for a tunnel to target.
func (x *httpProxy) tunnel(ctx context.Context, conn net.Conn, target string) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if x.user != nil {
		req += "Proxy-Authorization: " + Basic(x.user) + "\r\n"
	}
	if _, err := conn.Write([]byte(req + "\r\n")); err != nil {
		return unheard(ctx, err)
	}
	br := bufio.NewReader(conn)
	if err := readTunnel(br); err != nil {
		return unheard(ctx, err)
	}
	if br.Buffered() > 0 {
		return &RefusalError{text: "the egress proxy sent data before the connection was made"}
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return nil
}

// readTunnel reads the answer to CONNECT. Any 2xx means that there is a tunnel, which begins right
// behind the head, whatever that says of a body (RFC 9110, section 9.3.6). The body of a refusal
// goes with its connection.
func readTunnel(br *bufio.Reader) error {
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // to close it would read it
		switch {
		case err != nil:
			return err
		case resp.StatusCode < http.StatusOK && resp.StatusCode != http.StatusSwitchingProtocols: // interim
		case resp.StatusCode >= http.StatusOK && resp.StatusCode < http.StatusMultipleChoices:
			return nil
		case resp.StatusCode == http.StatusProxyAuthRequired && resp.Header.Get("Proxy-Authenticate") != "":
			return unknown("connection")
		default:
			return &RefusalError{text: fmt.Sprintf("the egress proxy refused the connection with status %d", resp.StatusCode)}
		}
	}
}
