package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tailpost/tailpost/config"
	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/egress"
)

const (
	endpointTime = 10 * time.Second
	endpointsAt  = 8 // a time
	// certificateWarning is how long before its end a certificate is worth a word.
	certificateWarning = 14 * 24 * time.Hour
)

// Endpoints examines the receivers of a configuration: their names, their connections, their
// certificates, and that they answer HTTP. No event is sent.
func Endpoints(ctx context.Context, cfg *config.Config, now time.Time) []Finding {
	findings := make([]Finding, len(cfg.Endpoints))
	roots, err := cfg.Network.Roots(nil)
	var dialer *egress.Dialer
	if err == nil {
		dialer, err = egress.New(egress.Options{
			Allow: cfg.Network.Allow, Proxy: cfg.Network.Proxy.Reveal(), ProxyResolves: cfg.Network.ProxyResolves,
			NoProxy: cfg.Network.NoProxy, Roots: roots,
		})
	}
	if err != nil {
		return []Finding{{Check: "endpoint", Grade: Failure, Detail: "the network block is not usable: " + err.Error()}}
	}
	var group errgroup.Group
	group.SetLimit(endpointsAt)
	for i := range cfg.Endpoints {
		group.Go(func() error {
			findings[i] = examineEndpoint(ctx, dialer, roots, &cfg.Endpoints[i], now)
			return nil
		})
	}
	_ = group.Wait() // each finding says what went wrong
	return findings
}

func examineEndpoint(ctx context.Context, dialer *egress.Dialer, roots *x509.CertPool, e *config.Endpoint, now time.Time) Finding {
	ctx, cancel := context.WithTimeoutCause(ctx, endpointTime, fmt.Errorf("no answer within %s", endpointTime))
	defer cancel()
	finding, err := tryEndpoint(ctx, dialer, roots, e, now)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		finding, _ = fail("", "endpoint %s: %s", e.ID, err)
		if denied, is := errors.AsType[*receiver.DenialError](err); is {
			finding.Fix = "network.allow, if the relay may go there: " + denied.Error()
		}
	}
	finding.Check = "endpoint"
	return finding
}

func tryEndpoint(ctx context.Context, dialer *egress.Dialer, roots *x509.CertPool, e *config.Endpoint, now time.Time) (Finding, error) {
	u, place, err := config.ParseURL(e.URL)
	if err != nil {
		return Finding{}, err
	}
	opened, err := dialer.Open(ctx, place)
	if err != nil {
		return Finding{}, err
	}
	defer opened.Close()
	// A deadline of the connection's own might be over before ctx says why.
	stop := context.AfterFunc(ctx, func() { _ = opened.Close() })
	defer stop()
	conn := opened
	certificate := ""
	if place.Secure {
		settings := &tls.Config{ServerName: place.ServerName(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, RootCAs: roots}
		if e.HTTP == config.HTTP2 {
			settings.NextProtos = []string{"h2"}
		}
		settings, err := egress.OwnTLS(settings, e.TLS.Cert, e.TLS.Key.Reveal(), e.TLS.CA)
		if err != nil {
			return Finding{}, err
		}
		secured, err := egress.Secure(ctx, conn, settings)
		if err != nil {
			return Finding{}, fmt.Errorf("TLS: %w", err)
		}
		conn = secured
		left := firstExpiry(secured.ConnectionState().PeerCertificates).Sub(now)
		certificate = fmt.Sprintf(", its certificate is good for %d days", int(left/(24*time.Hour)))
		if left < certificateWarning {
			return warn("renew it", "endpoint %s answers%s", e.ID, certificate)
		}
		if settled := secured.ConnectionState().NegotiatedProtocol; e.HTTP == config.HTTP2 && settled == "h2" {
			return ok("endpoint %s settles on HTTP/2%s", e.ID, certificate)
		} else if e.HTTP == config.HTTP2 {
			return fail("leave http out", "endpoint %s speaks no HTTP/2, and its http is 2", e.ID)
		}
	}
	return tryHead(conn, u, place, dialer, e.ID, certificate)
}

// firstExpiry returns when the first of a receiver's certificates expires: with it ends the trust
// in those before it.
func firstExpiry(presented []*x509.Certificate) time.Time {
	return slices.MinFunc(presented, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// tryHead sees whether an endpoint answers HTTP on conn.
func tryHead(conn net.Conn, u *url.URL, place receiver.Place, dialer *egress.Dialer, id, certificate string) (Finding, error) {
	user, whole := dialer.Proxied(place)
	status, err := askHead(conn, u, place, user, whole)
	switch {
	case err != nil:
		return Finding{}, fmt.Errorf("no HTTP answer: %w", err)
	case whole && (status == http.StatusForbidden || status >= http.StatusInternalServerError):
		return warn("look at the proxy's log: it answers so itself where it refuses a request or does not reach the receiver",
			"endpoint %s, or the egress proxy for it, answers %d to HEAD", id, status)
	}
	return ok("endpoint %s answers (%d to HEAD)%s", id, status, certificate)
}

// askHead sends a HEAD request, which is no event, and returns the status of the answer. With whole
// the request goes to the egress proxy, as user.
func askHead(conn net.Conn, u *url.URL, place receiver.Place, user *url.Userinfo, whole bool) (status int, err error) {
	target, key := u.RequestURI(), ""
	if whole {
		target = "http://" + place.Authority() + target
	}
	if user != nil {
		key = "Proxy-Authorization: " + egress.Basic(user) + "\r\n"
	}
	_, err = fmt.Fprintf(conn, "HEAD %s HTTP/1.1\r\nHost: %s\r\n%sUser-Agent: Tailpost doctor\r\nConnection: close\r\n\r\n", target, place.Authority(), key)
	if err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodHead})
	if err != nil {
		return 0, err
	}
	if whole && answer.StatusCode == http.StatusProxyAuthRequired {
		return 0, egress.Unpassed(answer.Header.Get("Proxy-Authenticate") != "")
	}
	return answer.StatusCode, answer.Body.Close()
}
