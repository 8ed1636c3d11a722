package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
	"time"
)

// errForeign is the error of a proxy that does not speak as one of its kind.
var errForeign = errors.New("it does not speak the protocol of network.proxy")

// Unreached returns why the relay does not get to its egress proxy, in words fit for people; empty:
// err is about something else.
func Unreached(err error) string {
	failed, is := errors.AsType[*Error](err)
	if !is || failed.During != Reaching {
		return ""
	}
	return "no connection to the egress proxy: " + causeOf(failed.Err)
}

func causeOf(err error) string {
	if dns, is := errors.AsType[*net.DNSError](err); is {
		if dns.IsNotFound {
			return "its name does not resolve: no such host"
		}
		return "the lookup of its name failed"
	}
	if _, is := errors.AsType[*net.AddrError](err); is {
		return "its name does not resolve: no address"
	}
	if text := causeOfTLS(err); text != "" {
		return text
	}
	var timed net.Error
	switch {
	case errors.Is(err, errForeign):
		return errForeign.Error()
	case errors.As(err, &timed) && timed.Timeout():
		return "it does not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network unreachable"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection"
	case isCut(err):
		return "it broke the connection off"
	}
	if own, is := errors.AsType[*Error](err); is && own.During == Securing {
		return "the TLS handshake failed"
	}
	return "the connection failed"
}

// causeOfTLS returns what TLS with the proxy failed of; empty: not TLS itself.
func causeOfTLS(err error) string {
	if _, is := errors.AsType[tls.RecordHeaderError](err); is {
		return "it does not speak TLS on this port: check the scheme of network.proxy"
	}
	if op, is := errors.AsType[*net.OpError](err); is && op.Op == "remote error" {
		return "it refused TLS"
	}
	if _, is := errors.AsType[*tls.CertificateVerificationError](err); !is {
		return ""
	}
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
			return "its certificate is not valid yet: compare its clock with the relay's"
		}
		return "its certificate has expired"
	case errors.As(err, &host):
		return "its certificate is for another host name"
	case errors.As(err, &authority):
		return "its certificate is signed by an unknown authority, which network.ca or the relay's machine must trust"
	}
	return "its certificate is not valid"
}
