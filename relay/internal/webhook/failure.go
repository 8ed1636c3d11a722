package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tailpost/tailpost/config/receiver"
	"github.com/tailpost/tailpost/relay/internal/egress"
	"github.com/tailpost/tailpost/relay/internal/http1"
)

// failure is an error whose text is fit for people as it is.
type failure struct{ text string }

func (f *failure) Error() string { return f.text }

// errNotHeld is the error of a request that Request.Held forbade.
var errNotHeld = &failure{"not sent: the right to send it was lost"}

func failuref(format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...)}
}

// explain returns the text for Attempt.Error: short, the same for the same cause, without URLs or
// secrets.
func explain(ctx context.Context, err error, timeout time.Duration) string {
	at, inTLS := during(err)
	var own *failure
	var refused *receiver.DenialError
	var proxy *egress.RefusalError
	var malformed *http1.MalformedError
	var dns *net.DNSError
	switch {
	case errors.As(err, &own):
		return own.text
	case errors.As(err, &refused):
		return refused.Error()
	case errors.As(err, &proxy):
		return proxy.Error()
	case errors.As(err, &malformed):
		return malformed.Error()
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "canceled while " + progressive(at)
	case egress.IsLocal(err):
		return explainLocal(err)
	case egress.Unreached(err) != "":
		return egress.Unreached(err)
	case errors.As(err, &dns) && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return explainDNS(dns)
	case isTimeout(err):
		return "timeout after " + shortDuration(timeout) + " " + at
	}
	if inTLS || isAlert(err) {
		if text := explainTLS(err); text != "" {
			return text
		}
	}
	if text := explainSocket(err, at); text != "" {
		return text
	}
	var h2 *h2Error
	switch {
	case errors.As(err, &h2):
		return h2.text
	case inTLS:
		return "TLS: handshake failed"
	}
	return "failed " + at
}

// during says what a request was at when it failed, and whether that was a handshake.
func during(err error) (at string, inTLS bool) {
	for e := err; e != nil; e = errors.Unwrap(e) {
		switch e := e.(type) { //nolint:errorlint // each error of the chain is looked at
		case *egress.Error:
			at, inTLS = e.During, e.During == egress.Securing
		case *http1.Error:
			at = e.During
		case *h2Error:
			at = e.during
		}
	}
	return at, inTLS
}

// progressive completes "… while".
func progressive(at string) string {
	return strings.TrimPrefix(at, "in ")
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) ||
		errors.As(err, &n) && n.Timeout()
}

func explainLocal(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files on the relay's machine"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no local port or address available"
	}
	return "the relay's machine is out of memory for connections"
}

func explainDNS(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "DNS: no such host"
	case err.IsTimeout:
		return "DNS: timeout"
	}
	return "DNS: lookup failed"
}

func explainSocket(err error, at string) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return "connection reset while " + progressive(at)
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network unreachable"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed while " + progressive(at)
	}
	return ""
}

// explainCertificate says why a certificate is not trusted, and what the receiver is to do about
// it.
func explainCertificate(err *tls.CertificateVerificationError) string {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	chain := err.UnverifiedCertificates
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
			return "TLS: certificate is not valid yet; compare the clocks of receiver and relay"
		}
		return "TLS: certificate has expired; the receiver must renew it"
	case errors.As(err, &host):
		if c := host.Certificate; c != nil && len(c.DNSNames)+len(c.IPAddresses) == 0 {
			return "TLS: certificate names no host (it has no subjectAltName); the receiver must have it issued with one"
		}
		return "TLS: certificate is for another host name"
	case errors.As(err, &authority):
		switch {
		case slices.ContainsFunc(chain, weaklySigned):
			return "TLS: certificate is signed with SHA-1 or MD5, which proves nothing; the receiver must have it issued anew"
		case len(chain) == 1 && !bytes.Equal(chain[0].RawIssuer, chain[0].RawSubject):
			return "TLS: certificate is signed by an unknown authority; the receiver must send its intermediate certificates, " +
				"or the relay's machine must trust its authority"
		}
		return "TLS: certificate is signed by an unknown authority; the relay's machine must trust it"
	}
	return "TLS: certificate is not valid"
}

// weaklySigned reports whether a certificate's signature is of a kind that nobody accepts any more.
// That of a root does not count.
func weaklySigned(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm { //nolint:exhaustive // the rest is strong enough
	case x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA:
		return !bytes.Equal(c.RawIssuer, c.RawSubject)
	}
	return false
}

// isAlert reports whether err is what TLS said after the handshake: the receiver's, which in TLS
// 1.3 judges a client's certificate only then, or this side's.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

// explainTLS returns what a handshake failed of; empty: not TLS itself.
func explainTLS(err error) string {
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return explainCertificate(untrusted)
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "TLS: the receiver does not speak TLS on this port"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return "TLS: refused by the receiver: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	// What else crypto/tls finds wrong has no type, but a text that holds neither addresses nor
	// secrets.
	cause := err
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
		cause = next
	}
	text, ok := strings.CutPrefix(cause.Error(), "tls: ")
	if !ok {
		return ""
	}
	if text == "no renegotiation" {
		return "TLS: the receiver asks for a new handshake, as IIS does for a client certificate of some paths; it must ask for it in the first one"
	}
	if reason, ok := strings.CutPrefix(text, "failed to parse certificate from server: "); ok {
		return "TLS: certificate cannot be read (" + strings.TrimPrefix(reason, "x509: ") + "); the receiver must have it issued anew"
	}
	return "TLS: " + text
}

// shortDuration is d as people write it: 10s, not 10.000s; 1m30s.
func shortDuration(d time.Duration) string {
	if d >= time.Second {
		d = d.Round(time.Millisecond)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
