package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// phase is how far a request came. Its text completes "timeout after 10s …".
type phase string

const (
	phaseResolve phase = "resolving the name"
	phaseConnect phase = "connecting"
	phaseProxy   phase = "connecting through the egress proxy"
	phaseTLS     phase = "in the TLS handshake"
	phaseSend    phase = "sending the request"
	phaseHeaders phase = "waiting for headers"
	phaseBody    phase = "reading the response body"
)

// failure is an error whose text is fit for people as it is.
type failure struct{ text string }

func (f *failure) Error() string { return f.text }

// errNotHeld is the error of a request that Request.Held forbade.
var errNotHeld = &failure{"not sent: the right to send it was lost"}

func failuref(format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...)}
}

// tlsError marks an error of the TLS handshake.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// explain gives the text for Attempt.Error: short, the same for the same cause, without addresses that change, URLs or
// secrets.
func explain(ctx context.Context, err error, at phase, timeout time.Duration) string {
	var own *failure
	var refused *denial
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &own):
		return own.text
	case errors.As(err, &refused):
		return refused.Error()
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "canceled while " + progressive(at)
	case isLocal(err):
		return explainLocal(err)
	case errors.As(err, &dns) && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return explainDNS(dns)
	case isTimeout(err):
		return "timeout after " + shortDuration(timeout) + " " + string(at)
	case errors.As(err, &untrusted):
		return explainCertificate(untrusted)
	}
	if text := explainSocket(err, at); text != "" {
		return text
	}
	if handshake, ok := errors.AsType[*tlsError](err); ok {
		return explainTLS(handshake.err)
	}
	return "failed " + string(at)
}

// progressive completes "… while".
func progressive(at phase) string {
	return strings.TrimPrefix(string(at), "in ")
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) ||
		errors.As(err, &n) && n.Timeout()
}

// localError marks an error of a lookup that failed for want of something on this machine; the resolver's error hides it.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// isLocal reports whether the machine the relay runs on is short of something: that says nothing about the receiver.
func isLocal(err error) bool {
	var local *localError
	if errors.As(err, &local) {
		return true
	}
	for _, e := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
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

func explainSocket(err error, at phase) string {
	through := ""
	if at == phaseProxy {
		through = " by the egress proxy"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused" + through
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

func explainCertificate(err *tls.CertificateVerificationError) string {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
			return "TLS: certificate is not valid yet"
		}
		return "TLS: certificate has expired"
	case errors.As(err, &host):
		return "TLS: certificate is for another host name"
	case errors.As(err, &authority):
		return "TLS: certificate is signed by an unknown authority"
	}
	return "TLS: certificate is not valid"
}

func explainTLS(err error) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "TLS: the receiver does not speak TLS on this port"
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return "TLS: refused by the receiver: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return "TLS: handshake failed"
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
