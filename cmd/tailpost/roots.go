package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// roots returns a function that reads the certificates of the authorities that receivers'
// certificates may be signed by, anew at each call: those of SSL_CERT_FILE, or of the first bundle
// that a distribution of Linux keeps. Where there is none, it is nil that the function returns: the
// system's, which Go reads once.
func roots(getenv func(string) string) func() (*x509.CertPool, error) {
	bundles := []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // CentOS, RHEL
		"/etc/ssl/cert.pem",
	}
	return func() (*x509.CertPool, error) {
		if named := getenv("SSL_CERT_FILE"); named != "" {
			text, err := os.ReadFile(named) //nolint:gosec // the operator's own file
			if err != nil {
				return nil, fmt.Errorf("read SSL_CERT_FILE: %w", err)
			}
			return pool("SSL_CERT_FILE", text)
		}
		if getenv("SSL_CERT_DIR") != "" {
			return nil, nil //nolint:nilnil // documented: the system's
		}
		for _, bundle := range bundles {
			text, err := os.ReadFile(bundle) //nolint:gosec // the system's file
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read certificates of authorities: %w", err)
			}
			return pool(bundle, text)
		}
		return nil, nil //nolint:nilnil // documented: the system's
	}
}

func pool(name string, text []byte) (*x509.CertPool, error) {
	certificates := x509.NewCertPool()
	if !certificates.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", name)
	}
	return certificates, nil
}
